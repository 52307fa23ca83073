"""Contours for the inversion of Laplace transforms of S = r_1^2 + ... + r_B^2 at x, in units of 1/x.

E exp(-q S) = [Lambda(w)/sqrt(1 + 2 q v)]^B with w = q/(1 + 2 q v) and Lambda analytic in Re w > 0 (noise_transform.py):
a contour of q may bend into Re q < 0 as long as w stays in Re w > 0, that is outside the disk with the diameter
[-1/(2 v), 0]. Where x/v is small it bends around the disk; where it is large the contour is the image of Re w =
START/x, along which the integrand falls like exp(-2 v Im(w)^2 x): there it needs about sqrt(x/v) points, which do not
depend on v or B.

int_x^inf y^(-s) e^(q y) dy has a cut at q > 0, to which both halves of a contour return: no trapezoid over the whole of
it, and along the cut, from the point where the contour leaves the real axis,

    E[S^(-s); S > x] = Re sum ... + int_0^(start/x) q^(s - 1) E exp(-q S) dq/Gamma(s)
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.density import gauss
from hdlimit.problem.noise_law import ComplexArray, Points

# x times the point where contours of w (for large x/v) or of q (for small) leave the real axis: e^START is the loss of
# digits, e^(-START S/x) what keeps larger S out.
START = 6.0
# Length of a panel of the line and its points: what is read there turns by at most 5 LENGTH/2 radians on each side.
LENGTH, PANEL = 12.0, 36
# Exponent below which an integrand is 0 beside e^START.
NEGLIGIBLE = -36.0
# |z| beyond which 20 terms of asymptotic series are used: the next one is below 1e-13 there.
FAR = 30.0
# Range of the logarithm in which trapezoids with weights like e^(+-y) are summed.
RANGE = 32.0


def log1p(z: Points) -> Points:
    """log(1 + z) to full precision; NumPy's loses the real part of small complex z."""
    from scipy import special

    result: Points = special.log1p(z)
    return result


class Arc(NamedTuple):
    """The upper half of the parabola z = START + iu - bend u^2 as Gauss-Legendre nodes.

    Attributes
    ----------
    z : ndarray, shape (n,)
        The nodes q x.
    weights : ndarray, shape (5, n)
        Real parts of their sums with E exp(-q S) are P(S <= x), x p_S(x), 1 - E min(S, x)/x, 1/2 less the integral of
        E min(S, x)/x^2, and a part of E[S^(-1/2); S > x] sqrt(x).
    """

    z: ComplexArray
    weights: ComplexArray


def line_from(size: int) -> float:
    """x/v from which the contour is a line in w: more points on one side, a larger start on the other."""
    return max(64.0, 8.0 * size)


@lru_cache(maxsize=64)
def arc(size: int) -> Arc:
    """Return the parabola down to e^z = e^NEGLIGIBLE.

    E exp(-q S) grows towards -1/(2 v), and the contour bends the later the larger B is.
    """
    bend = min(0.06, 1 / (6 * size))
    last = math.sqrt((START - NEGLIGIBLE) / bend)
    x, w = gauss(int(last) + 32)
    u = last / 2 * (1 + x)
    z: ComplexArray = np.asarray(START + 1j * u - bend * u**2, dtype=np.complex128)
    weight = last / 2 / (1j * np.pi) * w * np.exp(z) * (1j - 2 * bend * u)
    return Arc(z, weight * np.stack([1 / z, np.ones_like(z), 1 / z**2, 1 / z**3, half_factor(z)]))


@lru_cache(maxsize=256)
def cut(octaves: int) -> tuple[FloatArray, FloatArray]:
    """Trapezoid in log(p/(1 - p)) for integrals over p in [0, 1] from p = e^-octaves: log p and the weights dp."""
    y, step = np.linspace(-octaves, RANGE, math.ceil((RANGE + octaves) / 0.4) + 1, retstep=True)
    place = 1 / (1 + np.exp(-y))
    return np.log(place), step * np.exp(-y) * place**2


@lru_cache(maxsize=1024)
def panel(k: int) -> tuple[ComplexArray, FloatArray]:
    """Nodes w x of panel k of the line Re w x = START, and their weights."""
    x, w = gauss(PANEL)
    return np.asarray(START + 1j * LENGTH * (k + (1 + x) / 2), dtype=np.complex128), LENGTH / 2 * w


def half_factor(z: ComplexArray) -> ComplexArray:
    """sqrt(pi/-z) erfcx(sqrt(-z)), in Im z > 0."""
    from scipy.special import erfcx

    near, result = np.abs(z) < FAR, np.empty_like(z)
    root = np.sqrt(-z[near])
    result[near] = math.sqrt(math.pi) / root * erfcx(root)
    if not near.all():
        result[~near] = _series(z[~near], 0.5)
    return result


def one_factor(z: ComplexArray) -> ComplexArray:
    """E_1(-z) exp(-z), in Im z > 0."""
    from scipy.special import exp1

    near, result = np.abs(z) < FAR, np.empty_like(z)
    result[near] = exp1(-z[near]) * np.exp(-z[near])
    if not near.all():
        result[~near] = _series(z[~near], 1.0)
    return result


def _series(z: ComplexArray, power: float) -> ComplexArray:
    """int_0^inf (1 + t)^(-power) e^(z t) dt for large |z|: -1/z sum_k power (power + 1) ... (power + k - 1)/z^k."""
    inverse = 1 / z
    total = np.ones_like(z)
    for k in range(20, 0, -1):
        total = 1 + (power + k - 1) * inverse * total
    return -inverse * total
