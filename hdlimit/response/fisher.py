"""The ceiling: over all residual maps psi, mu^2/nu = (E psi')^2/E psi^2 is at most the Fisher information of the
residual,

    I_F(v) = E (p_r'/p_r)^2,   p_r the density of r = z - eps, z ~ N(0, v),

by the inequality of Cauchy and Schwarz on E psi' = -E psi p_r'/p_r; the score psi = -p_r'/p_r reaches it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, NotAvailable
from hdlimit.prediction.curve import Curve
from hdlimit.problem.noise import NoiseLaw, as_noise
from hdlimit.response.residual_law import ResidualLaw
from hdlimit.response.residual_maps import ResidualMap
from hdlimit.response.response import Response

WORST = 1e-9
PANEL = 1.25
_DEGREE = 10
_NODES = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_FIT = np.linalg.inv(chebyshev.chebvander(_NODES, _DEGREE))


def fisher_information(noise: Any, v: float) -> float:
    """I_F = E (p_r'/p_r)^2 of the residual r = z - eps at v, by quadrature; 1/(v + std^2) for Gaussian noise.

    noise: a noise law, a frozen scipy.stats distribution or None; v: 2R = E z^2 > 0, in the units of y^2.
    Returns: I_F in units of 1/y^2. Relative error below 1e-9 (measured for v from 1e-12 to 1e12 times the squared width
    of the noise: 1e-11). Raises: InvalidInput; NotAvailable where quadrature does not reach 1e-9. Source:
    derivations/fisher.py.
    """
    return _information(as_noise(noise), checks.positive("v", v))


@lru_cache(maxsize=4096)
def _information(noise: NoiseLaw, v: float) -> float:
    if _apart(noise, v):
        return 1 / v
    _, value, error = ResidualLaw(noise, v).adapted(lambda u, score: score**2)
    if not (math.isfinite(value) and value > 0 and error <= WORST * value):
        raise NotAvailable(f"noise: the Fisher information of {noise!r} at v = {v:g} is not known to {WORST:g}")
    return value


def _apart(noise: NoiseLaw, v: float) -> bool:
    """Whether eps takes few values, so far apart that every residual tells which: then I_F = 1/v up to e^-100."""
    parts = noise.components
    if parts is None or parts.variance.any():
        return False
    return bool((np.diff(np.unique(parts.mean)) > 40 * math.sqrt(v)).all())


@lru_cache(maxsize=4096)
def _panel(noise: NoiseLaw, k: int) -> FloatArray:
    """log(v I_F) over log v in [k, k + 1] PANEL as a Chebyshev sum, without control of the error of I_F itself."""
    values = []
    for x in PANEL * (k + (1 + _NODES) / 2):
        law = ResidualLaw(noise, math.exp(x))
        if _apart(noise, law.v):
            values.append(0.0)
            continue
        _, mass, score = law.nodes(law.edges)
        values.append(math.log(law.v * float(mass @ score**2)))
    coefficients: FloatArray = _FIT @ np.array(values)
    return coefficients


def smooth_information(noise: NoiseLaw, v: float) -> float:
    """I_F(v) by interpolation in log v, for many calls: relative error below 1e-4 (measured: 1e-5)."""
    x = math.log(v) / PANEL
    k = math.floor(x)
    return math.exp(float(chebyshev.chebval(2 * (x - k) - 1, _panel(noise, k)))) / v


class Ceiling(Response):
    """The response of the score at every v, scaled to mu = 1: nu = 1/(B I_F(v))."""

    def __init__(self, noise: NoiseLaw, batch_size: int) -> None:
        super().__init__(_CEILING, noise)
        self.batch_size = batch_size

    def _closed(self, c: float) -> None:
        return None

    def __call__(self, v: float, c: float = math.inf) -> tuple[float, float]:
        return 1.0, 1 / (self.batch_size * smooth_information(self.noise, v))


_CEILING = ResidualMap("ceiling", lambda r, c: r, lambda c: (), lambda c: False)


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
    from hdlimit.response.best_threshold import best_threshold

    best = best_threshold(noise, v, size)
    sign = share_of_ceiling(noise, v, *Response("sign", noise, size)(v), size)
    clip = share_of_ceiling(noise, v, best.mu, best.nu, size) if best.threshold > 0 else sign
    sgd = share_of_ceiling(noise, v, 1.0, (v + noise.second_moment) / size, size)
    return v, _information(noise, v), sgd, clip, sign, best.threshold


def efficiency_along(curve: Curve, times: Any = None) -> Efficiency:
    """The efficiencies at the noise and the risk of a predicted curve.

    curve: of any optimizer; times: in [0, curve.end], shape (T,), None for 40 of the curve's own times, evenly spread
    over its list. Returns: an Efficiency with arrays of shape (T,). Raises: InvalidInput; NotAvailable.
    """
    if times is None:
        times = curve.time[np.unique(np.linspace(0, curve.time.size - 1, 40).astype(int))]
    return efficiency(curve.problem.noise, 2 * curve.at(checks.array("times", times, 1)), curve.optimizer.batch_size)
