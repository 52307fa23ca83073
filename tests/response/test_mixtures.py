"""Quadrature over the noise: scale mixtures and densities against integrals in mpmath, hard densities, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from scipy import integrate, stats

from hdlimit.errors import NotAvailable
from hdlimit.problem.noise import Laplace, StudentT, as_noise
from hdlimit.problem.normal_mixtures import laplace_components, student_components
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.response import mixtures
from hdlimit.response.response import MapResponse

DF = [0.3, 1, 1.5, 3, 5, 30, 3000]


def student(e: Any, df: Any) -> Any:
    """The density of Student's t, scale 1."""
    df = mp.mpf(df)
    return mp.gammaprod([(df + 1) / 2], [df / 2]) / mp.sqrt(mp.pi * df) * (1 + e * e / df) ** (-(df + 1) / 2)


def given(e: Any, v: Any, c: Any) -> tuple[Any, Any]:
    """P(|r| <= c) and E min(r^2, c^2) for r ~ N(-e, v)."""
    s = mp.sqrt(v)
    a, b = (e - c) / s, (e + c) / s
    inside = mp.ncdf(b) - mp.ncdf(a) if a < 0 else mp.ncdf(-a) - mp.ncdf(-b)
    second = (v + e * e) * inside - v * (b * mp.npdf(b) - a * mp.npdf(a)) + 2 * e * s * (mp.npdf(b) - mp.npdf(a))
    return inside, second + c * c * (1 - inside)


def clip(density: Callable[[Any], Any], v: float, c: float, decades: int) -> tuple[float, float]:
    """(mu, nu) of the clip at c for a symmetric density of scale 1, by integration over it up to 10^decades."""
    v, c = mp.mpf(v), mp.mpf(c)
    s = mp.sqrt(v)
    ends = [mp.mpf(0), *(mp.mpf(10) ** k for k in range(-2, decades))]
    ends += [abs(center + k * s) for center in (0, c) for k in (-8, -2, 2, 8)]
    ends = sorted({e for e in ends if e <= ends[decades + 2]})
    mu = mp.quad(lambda e: density(e) * given(e, v, c)[0], ends)
    nu = mp.quad(lambda e: density(e) * given(e, v, c)[1], ends)
    return float(2 * mu), float(2 * nu)


@pytest.mark.parametrize(
    ("df", "decades"), [pytest.param(0.3, 56, marks=pytest.mark.slow), (1.5, 14), (3, 9), (30, 4), (3000, 3)]
)
def test_student_against_integration_of_its_density(df: float, decades: int) -> None:
    with mp.workdps(20):
        for v, c in ((1e-6, 1.0), (0.7, 0.1)) if df == 1.5 else ((0.3, 2.0),):
            exact = clip(lambda e: student(e, df), v, c, decades)
            assert MapResponse("clip", StudentT(df, 1.0))(v, c) == pytest.approx(exact, rel=1e-13)


def test_laplace_mixture_against_its_characteristic_function() -> None:
    parts = laplace_components(0.5)
    for frequency in (0.0, 1e-6, 0.1, 1.0, 30.0, 1e4):
        mixture = float(parts.weight @ np.exp(-parts.variance * frequency**2 / 2))
        assert mixture == pytest.approx(1 / (1 + 0.25 * frequency**2), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("df", DF)
@pytest.mark.parametrize("c", [1e-6, 1.0, 1e6])
def test_student_mixture_against_its_density(df: float, c: float) -> None:
    parts = student_components(df, 2.0, 2 * c)
    assert parts.weight.sum() == pytest.approx(1, rel=1e-14)
    for e in (1e-6, 0.3, 2.0, 7.0):
        mixture = float(parts.weight @ stats.norm.pdf(e, scale=np.sqrt(parts.variance)))
        assert mixture == pytest.approx(stats.t.pdf(e, df, scale=2.0), rel=1e-11, abs=1e-200)


HARD = [
    stats.gamma(0.3, loc=-1.0),
    stats.beta(0.5, 0.5),
    stats.weibull_min(0.5),
    stats.triang(0.2),
    stats.rv_histogram(np.histogram([1.0, 2, 2, 3, 3, 3, 5]))(),
    stats.gennorm(0.7),
    stats.levy(),
    stats.pareto(1.2),
    stats.loguniform(1e-3, 1e3),
    stats.norm(50, 1e-3),
    stats.expon(loc=100.0),
    stats.lognorm(4.0),
    stats.t(0.2),
    stats.laplace_asymmetric(2.0),
    stats.gumbel_r(),
]


def by_distribution_function(law: Any, v: float, c: float) -> float:
    """P(|z - eps| <= c) = E[F(z + c) - F(z - c)], z ~ N(0, v): from the cdf, not from the density."""
    s = math.sqrt(v)
    marks = [x for x in (*law.support(), law.median()) if math.isfinite(x)]
    if hasattr(law.dist, "_hbins"):
        marks = list(law.dist._hbins)
    marks += {"triang": [0.2], "laplace_asymmetric": [0.0]}.get(law.dist.name, [])
    steps = np.concatenate([[0.0], np.geomspace(1e-12, 1e12, 250)])
    ends = [np.linspace(-9, 9, 200) * s] + [m + k * c + g * steps for m in marks for k in (-1, 1) for g in (-1, 1)]
    z = np.unique(np.concatenate(ends))
    z = z[np.abs(z) <= 9 * s]
    x, w = np.polynomial.legendre.leggauss(8)
    half = np.diff(z)[:, None] / 2
    nodes, weight = (z[:-1, None] + half + half * x).ravel(), (half * w).ravel()
    with np.errstate(all="ignore"):
        low, high = nodes - c, nodes + c
        inside = np.where(low > law.median(), law.sf(low) - law.sf(high), law.cdf(high) - law.cdf(low))
    return float(weight @ (inside * stats.norm.pdf(nodes, scale=s)))


@pytest.mark.parametrize("law", HARD, ids=lambda law: law.dist.name)
def test_densities_with_poles_jumps_and_heavy_tails(law: Any) -> None:
    noise = as_noise(law)
    for v in (1e-8, 1e-2, 1.0, 1e4):
        for c in (0.1, 1.0, 30.0):
            v_, c_ = v * noise.width**2, c * noise.width
            mu, nu = MapResponse("clip", noise)(v_, c_)
            assert mu == pytest.approx(by_distribution_function(law, v_, c_), rel=3e-7), (v, c)
            assert 0 < nu <= c_**2 * (1 + 1e-12)


def test_nu_is_the_integral_of_its_tail() -> None:
    """nu = E min(r^2, c^2) = 2 int_0^c u (1 - mu(u)) du, for an asymmetric density with a pole."""
    noise = as_noise(stats.gamma(0.3, loc=-1.0))
    response = MapResponse("clip", noise)
    for v, c in ((0.01, 0.8), (1.0, 3.0)):
        found = integrate.quad(lambda u: 2 * u * (1 - response(v, u)[0]), 0, c, epsrel=1e-11, points=[c / 2])[0]  # noqa: B023
        assert response(v, c)[1] == pytest.approx(found, rel=1e-9)


def test_large_thresholds_reach_far_into_the_tail() -> None:
    """E min(eps^2, c^2) of the Cauchy law is (2/pi)(c - arctan c) + c^2 (1 - (2/pi) arctan c)."""
    noise = as_noise(stats.cauchy())
    for c in (1.0, 1e3, 1e6):
        exact = 2 / math.pi * (c - math.atan(c)) + c**2 * 2 / math.pi * math.atan(1 / c)
        assert MapResponse("clip", noise)(1e-12, c)[1] == pytest.approx(exact, rel=1e-10)
        assert MapResponse("clip", StudentT(1, 1.0))(1e-12, c)[1] == pytest.approx(exact, rel=1e-12)


class Missing(stats.rv_continuous):
    """A density that integrates to 0.99."""

    def _pdf(self, x: Any) -> Any:
        return 0.99 * stats.norm.pdf(x)

    def _cdf(self, x: Any) -> Any:
        return stats.norm.cdf(x)


def test_densities_that_do_not_integrate_to_one_are_refused() -> None:
    with pytest.raises(NotAvailable, match="integrates to 1 with an error of 1.0e-02"):
        MapResponse("sign", ScipyNoise(Missing(name="missing")()))(1.0)


def test_flat_is_weights_means_variances() -> None:
    parts = laplace_components(1.0)
    assert np.array_equal(mixtures.flat(parts).reshape(3, -1), np.stack(parts))
    assert Laplace(1.0).width > 0
