"""Scalar maps with features that are narrow against the residual at which they stand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

import hdlimit as hd
from hdlimit.optimizers import tabulation
from hdlimit.optimizers.tabulation import bound_to, tabulate
from hdlimit.response.residual_maps import residual_map
from hdlimit.response.response import MapResponse

Map = Callable[[np.ndarray], np.ndarray]


def spiked(at: float, half: float, height: float) -> Map:
    """The clip at 1 with a triangle on both sides."""

    def psi(r: np.ndarray) -> np.ndarray:
        spike = height * np.maximum(0.0, 1 - np.abs(np.abs(r) - at) / half)
        return np.clip(r, -1, 1) + np.sign(r) * spike

    return psi


GENERATOR = np.random.default_rng(4)
SPIKES = [
    (at, at * share, 3.0)
    for at, share in zip(10 ** GENERATOR.uniform(-4, 4, 12), 10 ** GENERATOR.uniform(math.log10(0.002), -1, 12))
]


@pytest.mark.parametrize(("at", "half", "height"), [(2.3, 0.02, 5.0), *SPIKES])
def test_narrow_triangles_are_in_the_table(at: float, half: float, height: float) -> None:
    psi = spiked(at, half, height)
    table = tabulate(bound_to(psi, None))
    r = at + half * np.linspace(-1.5, 1.5, 3001)
    largest = np.abs(psi(r)).max()
    assert np.abs(np.interp(r, table.residuals, table.values) - psi(r)).max() < 2e-5 * largest


def test_five_places_alone_lose_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabulation, "PLACES", 1)
    lost = 0
    for at, half, height in [(2.3, 0.02, 5.0), *SPIKES]:
        table = tabulate(bound_to(spiked(at, half, height), None))
        lost += bool(np.interp(at, table.residuals, table.values) < height / 2)
    assert lost >= 3, "the places that are added do nothing"


def test_the_response_to_a_narrow_triangle() -> None:
    """Normal r of variance v + s^2: mu = E psi(r) r/(v + s^2), nu = E psi(r)^2, by quadrature between the kinks."""
    psi, v, std = spiked(2.3, 0.02, 50.0), 1.0, 0.5
    s = math.sqrt(v + std**2)
    kinks = [0.0, 1.0, 2.28, 2.3, 2.32, 12 * s]

    def mean(f: Callable[[float], float]) -> float:
        def weighed(r: float) -> float:
            return 2 * f(r) * math.exp(-((r / s) ** 2) / 2) / s / math.sqrt(2 * math.pi)

        return sum(quad(weighed, a, b, epsabs=1e-13, epsrel=1e-12)[0] for a, b in zip(kinks[:-1], kinks[1:]))

    def at(r: float) -> float:
        return float(psi(np.array([r]))[0])

    optimizer = hd.ResidualSGD(0.1, psi)
    mu, nu = MapResponse(residual_map(optimizer), hd.Gaussian(std))(v, 1.0)
    assert mu == pytest.approx(mean(lambda r: at(r) * r) / s**2, rel=2e-5)
    assert nu == pytest.approx(mean(lambda r: at(r) ** 2), rel=2e-5)
    assert nu > 5 * mean(lambda r: min(r, 1.0) ** 2), "the triangle matters"
