"""Expectations over noise and feature by two-dimensional quadrature: slow, for any residual map."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.density import gauss
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.response.mixtures import density_components


class Kinked(Protocol):
    """A map psi(r, control) and the r >= 0 at which it jumps or bends (at -r too)."""

    @property
    def psi(self) -> Callable[[FloatArray, float], FloatArray]:
        """(r, control) -> psi(r)."""

    @property
    def kinks(self) -> Callable[[float], tuple[float, ...]]:
        """Control -> kinks."""


def quadrature_response(psi: Kinked, noise: NoiseLaw, v: float, c: float) -> tuple[float, float]:
    """(mu, nu) of any residual map by two-dimensional quadrature over eps and z.

    Slow, and independent of the closed forms.

    Parameters
    ----------
    psi : Kinked
        The map and its kinks.
    noise : NoiseLaw
        The label noise.
    v : float
        E z^2 > 0.
    c : float
        Control of the map.

    Returns
    -------
    (mu, nu) : tuple of float
        E[psi(r) z]/v and E psi(r)^2.
    """
    s = math.sqrt(v)
    mu = expectation(noise, v, c, psi, lambda r, z: psi.psi(r, c) * z / s) / s
    return mu, expectation(noise, v, c, psi, lambda r, z: psi.psi(r, c) ** 2)


# Nodes of a panel of z, of at most 6.5 standard deviations: 1e-9 (tests/response/test_response.py).
NODES = 20


def expectation(
    noise: NoiseLaw, v: float, c: float, psi: Kinked, f: Callable[[FloatArray, FloatArray], FloatArray]
) -> float:
    """E f(r, z) for r = z - eps, with f smooth but at the kinks of psi.

    Gauss-Legendre panels in z end at the kinks.
    """
    kinks = sorted({sign * k for k in psi.kinks(c) for sign in (-1, 1)})
    total, (x, w) = 0.0, gauss(NODES)
    for weight, value in _points(noise, v, kinks, c):
        edges = [np.full(value.size, e * math.sqrt(v)) for e in (-9.5, -3.0, 0.0, 3.0, 9.5)]
        edges += [np.clip(value + k, edges[0], edges[4]) for k in kinks]
        ends = np.sort(np.stack(edges), axis=0)
        half = (ends[1:] - ends[:-1])[:, :, None] / 2
        z = ends[:-1, :, None] + half * (1 + x)
        mass = weight[:, None] * half * w * np.exp(-(z**2) / (2 * v)) / math.sqrt(2 * math.pi * v)
        total += float((mass * f(z - value[:, None], z)).sum())
    return total


def _points(noise: NoiseLaw, v: float, kinks: list[float], c: float) -> list[tuple[FloatArray, FloatArray]]:
    """(weights, values) of eps as point masses: those of the law, or Gauss-Legendre nodes of its density."""
    parts = noise.components
    if parts is None:
        parts = density_components(noise, v, tuple(k for k in kinks if k >= 0), c if math.isfinite(c) else noise.width)
        return [(parts.weight, parts.mean)]
    result = []
    for weight, mean, variance in zip(*parts, strict=True):
        if variance == 0:
            result.append((np.array([weight]), np.array([mean])))
            continue
        normal = density_components(
            ScipyNoise(_normal(mean, math.sqrt(variance))), v, tuple(abs(k) for k in kinks), 0.0
        )
        result.append((weight * normal.weight, normal.mean))
    return result


def _normal(mean: float, std: float) -> Any:
    from scipy import stats

    return stats.norm(mean, std)
