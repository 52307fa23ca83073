"""Closed Laplace transforms of a squared residual, L(q) = E exp(-q r^2) for r = z - eps, z ~ N(0, v)."""

from __future__ import annotations

import math

import numpy as np

from hdlimit.problem.noise_law import Points, Transform

# |x| beyond which 16 terms of the asymptotic series of erfcx are used: the next one is below 3e-14 there.
FAR = 40.0


def laplace_transform(v: float, scale: float) -> Transform:
    """L(q) for Laplace noise: sqrt(pi x/a) erfcx(sqrt(x)), a = 1 + 2 q v, x = a/(4 q scale^2).

    Laplace noise is normal noise with an exponential variance of mean 2 scale^2, and int_0^inf e^(-y) (a + 4 q scale^2
    y)^(-1/2) dy is this.

    Parameters
    ----------
    v : float
        E z^2 > 0, in the units of y^2.
    scale : float
        Scale of the noise, in the units of y.

    Returns
    -------
    Transform
        The transform.
    """
    from scipy.special import erfcx

    def shape_deficit(x: Points) -> Points:
        """1 - sqrt(pi x) erfcx(sqrt(x)), by its asymptotic series where |x| > 40."""
        far = np.abs(x) > FAR
        series, term = np.zeros_like(x), np.where(far, -1.0, 0.0) / np.where(far, -2 * x, 1.0)
        for k in range(1, 17):
            series = series + term
            term = term * (2 * k + 1) / np.where(far, -2 * x, 1.0)
        near = np.sqrt(np.where(far, 1.0, x))
        result: Points = np.where(far, series, 1 - math.sqrt(math.pi) * near * erfcx(near))
        return result

    def value(q: Points) -> Points:
        x = (1 + 2 * q * v) / (4 * scale**2 * q)
        result: Points = math.sqrt(math.pi) / (2 * scale) / np.sqrt(q) * erfcx(np.sqrt(x))
        return result

    def deficit(q: Points) -> Points:
        gaussian = _gaussian_deficit(q, v)
        result: Points = gaussian + (1 - gaussian) * shape_deficit((1 + 2 * q * v) / (4 * scale**2 * q))
        return result

    return Transform(value, deficit, v + scale * scale)


def uniform_transform(v: float, half_width: float) -> Transform:
    """L(q) for uniform noise on [-h, h]: a^(-1/2) g(h sqrt(q/a)), a = 1 + 2 q v, g(w) = sqrt(pi) erf(w)/(2 w).

    Parameters
    ----------
    v : float
        E z^2 > 0, in the units of y^2.
    half_width : float
        Half the width of the noise, in the units of y.

    Returns
    -------
    Transform
        The transform.
    """
    from scipy.special import erf

    def shape_deficit(q: Points) -> Points:
        """1 - g(w), by its series where |w| < 1/2."""
        w2 = half_width**2 * q / (1 + 2 * q * v)
        result: Points = np.empty_like(w2)
        small = np.abs(w2) < 0.25
        series, term, square = np.zeros_like(w2[small]), w2[small], w2[small]
        for k in range(1, 16):
            series = series + term / (2 * k + 1)
            term = -term * square / (k + 1)
        w = np.sqrt(w2[~small])
        result[small], result[~small] = series, 1 - math.sqrt(math.pi) * erf(w) / (2 * w)
        return result

    def deficit(q: Points) -> Points:
        gaussian = _gaussian_deficit(q, v)
        result: Points = gaussian + (1 - gaussian) * shape_deficit(q)
        return result

    def value(q: Points) -> Points:
        w = half_width * np.sqrt(q / (1 + 2 * q * v))
        result: Points = np.sqrt(np.pi / q) / (2 * half_width) * erf(w)
        if (near := np.abs(w) < 0.1).any():
            result[near] = 1 - deficit(q[near])
        return result

    return Transform(value, deficit, v + half_width * half_width)


def _gaussian_deficit(q: Points, v: float) -> Points:
    """1 - (1 + 2 q v)^(-1/2)."""
    root = np.sqrt(1 + 2 * q * v)
    result: Points = 2 * q * v / (root * (1 + root))
    return result
