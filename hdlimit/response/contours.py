"""Contours for the numerical inversion of a Laplace transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import ComplexArray, Points


def _log1p(z: Points) -> Points:
    """log(1 + z) to full precision; NumPy's loses the real part of small complex z."""
    from scipy.special import log1p

    result: Points = log1p(z)
    return result


Contour = Callable[[FloatArray, int], tuple[ComplexArray, ComplexArray]]


class Arc(NamedTuple):
    """Half a contour as Gauss-Legendre nodes.

    Attributes
    ----------
    z : ndarray
        The nodes q x.
    start : float
        Where the contour leaves the real axis.
    weight, half, one : ndarray
        Weights of the inverse Laplace transform, Re sum weight F(z/x)/x, of E[S^(-1/2); S > x] and of E[1/S; S > x].

    Notes
    -----
    int_x^inf y^(-s) e^(q y) dy has a cut at q > 0, to which both halves of the contour return: no trapezoid over the
    whole of it, and along the cut

        E[S^(-s); S > x] = Re sum ... + int_0^(start/x) q^(s - 1) L(q)^B dq/Gamma(s)
    """

    z: ComplexArray
    start: float
    weight: ComplexArray
    half: ComplexArray
    one: ComplexArray


@lru_cache(maxsize=64)
def arc(size: int) -> Arc:
    """Return the parabola z = 4 + iu - u^2/(6 B^(4/5)) down to e^z = e^-38.

    L(q)^B grows towards the singularities of L on the negative axis, and the contour bends the later the larger B is.
    """
    from scipy.special import erfcx, exp1

    start, bend = 4.0, 1 / (6 * size**0.8)
    last = math.sqrt((38 + start) / bend)
    x, w = np.polynomial.legendre.leggauss(int(0.6 * last) + 16)
    u = last / 2 * (1 + x)
    z = start + 1j * u - bend * u**2
    weight = -0.5j / np.pi * last * w * np.exp(z) * (1j - 2 * bend * u)
    half = weight * np.sqrt(np.pi / -z) * erfcx(np.sqrt(-z))
    return Arc(z, start, weight, half, weight * exp1(-z) * np.exp(-z))


def parabola(x: FloatArray, size: int) -> tuple[ComplexArray, ComplexArray]:
    """Points q and weights w, shape (len(x), n): the inverse Laplace transform of F at x > 0 is Re sum w F(q).

    For transforms whose singularities are on the negative axis; the contour of `arc`.
    """
    half = arc(size)
    return half.z / x[:, None], half.weight / x[:, None]


def euler(x: FloatArray, size: int = 2) -> tuple[ComplexArray, ComplexArray]:
    """Points and weights as of `parabola`: the Euler sums of Abate and Whitt, which stay in Re q > 0."""
    a, plain, averaged = 23.0, 44, 14
    k = np.arange(plain + averaged + 1)
    binomial = np.array([math.comb(averaged, j) for j in range(averaged + 1)]) / 2.0**averaged
    share = np.concatenate([np.ones(plain), np.cumsum(binomial[::-1])[::-1]])
    weight = math.exp(a / 2) * share * np.where(k == 0, 0.5, 1.0) * (-1.0) ** k
    q = np.asarray((a + 2j * np.pi * k) / (2 * x[:, None]), dtype=np.complex128)
    return q, np.asarray(weight / x[:, None], dtype=np.complex128)
