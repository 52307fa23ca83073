"""Efficiency: the risk decrease of a residual map over the largest possible one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.best_threshold import best_threshold
from hdlimit.response.fisher import _information
from hdlimit.response.residual_maps import SIGN
from hdlimit.response.response import MapResponse


@dataclass(frozen=True, eq=False)
class Efficiency:
    """How close optimizers come to the ceiling: mu^2/(nu B I_F), in [0, 1].

    1/efficiency is the factor by which the best other residual map could still speed up the descent now, each at its
    own best step. All attributes are floats, or arrays of the shape of v.

    Attributes
    ----------
    v : float or ndarray
        2R, in the units of y^2.
    fisher : float or ndarray
        The Fisher information I_F(v).
    sgd, clip, sign : float or ndarray
        Efficiency of SGD (0 where Var eps is infinite), of clipping at its best threshold, of the sign.
    threshold : float or ndarray
        The best threshold, in residual units.

    Examples
    --------
    >>> import hdlimit as hd
    >>> round(hd.tuning.efficiency(hd.Gaussian(0.5), v=0.1).sgd, 6)
    1.0
    """

    v: Any
    fisher: Any
    sgd: Any
    clip: Any
    sign: Any
    threshold: Any


def share_of_ceiling(noise: NoiseLaw, v: float, mu: float, nu: float, batch_size: int = 1) -> float:
    """mu^2/(nu B I_F) of any optimizer with identity features, from its response at v."""
    return 0.0 if math.isinf(nu) else min(mu**2 / (nu * batch_size * _information(noise, v)), 1.0)


@known_names
def efficiency(noise: Any, v: Any, batch_size: int = 1) -> Efficiency:
    """Compute the efficiency of SGD, of clipping at its best threshold, and of the sign of the residual.

    Parameters
    ----------
    noise : NoiseLaw, frozen scipy.stats distribution or None
        The label noise.
    v : float or array_like
        2R > 0, in the units of y^2.
    batch_size : int, optional
        B; the mean gradient is clipped or signed.

    Returns
    -------
    Efficiency
        The shares mu^2/(nu B I_F).

    Raises
    ------
    InvalidInput
        For arguments out of range.
    NotAvailable
        Where the Fisher information is not known to 1e-9.

    Notes
    -----
    Over all residual maps, mu^2/nu is at most the Fisher information of the residual: derivations/fisher.py.

    Examples
    --------
    >>> import hdlimit as hd
    >>> found = hd.tuning.efficiency(hd.StudentT(df=3, scale=0.5), v=0.1)
    >>> round(found.sgd, 3), round(found.clip, 3), round(found.sign, 3)
    (0.612, 0.989, 0.763)
    """
    law, size = as_noise(noise), checks.count("batch_size", batch_size)
    if checks.is_scalar(v):
        return Efficiency(*_efficiencies(law, checks.risk("v", v), size))
    values = checks.array("v", v, None)
    for one in (values.min(), values.max()):
        checks.risk("v", one)
    columns = np.array([_efficiencies(law, float(x), size) for x in values.ravel()]).T
    return Efficiency(*(column.reshape(values.shape) for column in columns))


@lru_cache(maxsize=4096)
def _efficiencies(noise: NoiseLaw, v: float, size: int) -> tuple[float, ...]:
    best = best_threshold(noise, v, size)
    sign = share_of_ceiling(noise, v, *MapResponse(SIGN, noise, size)(v), size)
    clip = share_of_ceiling(noise, v, best.mu, best.nu, size) if best.threshold > 0 else sign
    sgd = share_of_ceiling(noise, v, 1.0, (v + noise.second_moment) / size, size)
    return v, _information(noise, v), sgd, clip, sign, best.threshold
