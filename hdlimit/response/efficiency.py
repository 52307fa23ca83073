"""Efficiency: the risk decrease of a residual map over the largest possible one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.errors import InvalidInput
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.best_threshold import best_threshold
from hdlimit.response.fisher import _information
from hdlimit.response.residual_maps import SIGN
from hdlimit.response.response import MapResponse


@dataclass(frozen=True, eq=False)
class Efficiency:
    """How close optimizers come to the ceiling: mu^2/(nu B I_F), in [0, 1]; 1/efficiency is the factor by which the
    best other residual map could still speed up the descent now, each at its own best step.

    v: 2R; fisher: I_F(v); sgd (0 where Var eps is infinite), clip at its best threshold, sign; threshold: that
    threshold, in residual units. All floats, or all arrays of the shape of v.
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


def efficiency(noise: Any, v: Any, batch_size: int = 1) -> Efficiency:
    """The efficiency of SGD, of clipping at its best threshold, and of the sign of the residual.

    noise: a noise law, a frozen scipy.stats distribution or None; v: 2R > 0, a number or an array; batch_size: B (the
    mean gradient is clipped or signed). Returns: an Efficiency. Raises: InvalidInput; NotAvailable as
    fisher_information. Source: derivations/fisher.py.
    """
    law, size = as_noise(noise), checks.integer("batch_size", batch_size)
    if np.ndim(v) == 0:
        return Efficiency(*_efficiencies(law, checks.positive("v", v), size))
    values = checks.array("v", v, np.ndim(v))
    if (values <= 0).any():
        raise InvalidInput("v", "numbers > 0", f"a smallest value of {values.min():g}")
    columns = np.array([_efficiencies(law, float(x), size) for x in values.ravel()]).T
    return Efficiency(*(column.reshape(values.shape) for column in columns))


@lru_cache(maxsize=4096)
def _efficiencies(noise: NoiseLaw, v: float, size: int) -> tuple[float, ...]:
    best = best_threshold(noise, v, size)
    sign = share_of_ceiling(noise, v, *MapResponse(SIGN, noise, size)(v), size)
    clip = share_of_ceiling(noise, v, best.mu, best.nu, size) if best.threshold > 0 else sign
    sgd = share_of_ceiling(noise, v, 1.0, (v + noise.second_moment) / size, size)
    return v, _information(noise, v), sgd, clip, sign, best.threshold
