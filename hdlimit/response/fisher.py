"""The ceiling of mu^2/nu over all residual maps: the Fisher information of the residual.

Over all psi, mu^2/nu = (E psi')^2/E psi^2 is at most

    I_F(v) = E (p_r'/p_r)^2,   p_r the density of r = z - eps, z ~ N(0, v),

by the inequality of Cauchy and Schwarz on E psi' = -E psi p_r'/p_r; the score psi = -p_r'/p_r reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core import chebyshev, checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.errors import NotAvailable
from hdlimit.kernels import responses as kernels
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.residual_law import ResidualLaw
from hdlimit.response.response import Compiled
from hdlimit.response.tables import TABLE_ERROR, panels_over, reach
from hdlimit.response.tables import table as chebyshev_table

# Relative error of I_F beyond which it is refused; measured: 1e-11 (tests/response/test_fisher.py).
WORST = 1e-9
# Length in log v and degree of a piece of smooth_information: an error of 1e-5 (tests/response/test_fisher.py).
PANEL = 1.25
_DEGREE = 10  # see PANEL
_NODES = chebyshev.roots(_DEGREE + 1)
_FIT = chebyshev.from_roots(_DEGREE + 1)


@known_names
def fisher_information(noise: Any, v: float) -> float:
    """I_F = E (p_r'/p_r)^2 of the residual r = z - eps at v, by quadrature; 1/(v + std^2) for Gaussian noise.

    Parameters
    ----------
    noise : NoiseLaw, frozen scipy.stats distribution or None
        The label noise.
    v : float
        2R = E z^2 > 0, in the units of y^2.

    Returns
    -------
    float
        I_F in units of 1/y^2. Relative error below 1e-9 (measured for v from 1e-12 to 1e12 times the squared width of
        the noise: 1e-11).

    Raises
    ------
    InvalidInput
        For arguments out of range.
    NotAvailable
        Where quadrature does not reach 1e-9.

    Notes
    -----
    p_r is the density of r, z ~ N(0, v). mu^2/nu <= I_F for every residual map: derivations/fisher.py.

    Examples
    --------
    >>> import hdlimit as hd
    >>> round(hd.tuning.fisher_information(hd.Gaussian(0.5), v=0.25), 9)
    2.0
    """
    return _information(as_noise(noise), checks.risk("v", v))


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
    return math.exp(float(np.polynomial.chebyshev.chebval(2 * (x - k) - 1, _panel(noise, k)))) / v


class Ceiling:
    """The response of the score at every v, scaled to mu = 1: nu = 1/(B I_F(v)); no control is read."""

    def __init__(self, noise: NoiseLaw, batch_size: int) -> None:
        self.noise, self.batch_size = noise, batch_size

    def __call__(self, v: float, c: float = math.inf) -> tuple[float, float]:
        """(1, 1/(B I_F(v)))."""
        return 1.0, 1 / (self.batch_size * smooth_information(self.noise, v))

    def largest(self, c: float) -> tuple[float, float]:
        """Return bounds of mu and nu: none."""
        return math.inf, math.inf

    def bounded(self, c: float) -> bool:
        """Return False: the score grows with v."""
        return False

    def compiled(self, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
        """Return a table in log v."""
        panels = panels_over(*v_range)
        return Compiled(kernels.table, chebyshev_table(self, math.inf, panels, TABLE_ERROR), *reach(panels))

    def lookup(self, c: float) -> Callable[[float], tuple[float, float]]:
        """(mu, nu) as a function of v."""
        return self
