"""Moments of SciPy's laws and of a user's: infinite where the tail says so, confirmed by a sum or refused.

Right values: gamma functions of the documented laws, and mpmath; never what SciPy's `stats` answers.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from scipy import special, stats
from scipy.stats._distr_params import distcont

import hdlimit as hd
from hdlimit.errors import InvalidInput, NoLimit
from hdlimit.problem.noise import as_noise
from hdlimit.response.response import MapResponse

INF = math.inf


def frechet(c: float) -> tuple[float, float, float]:
    """E x^m = Gamma(1 - m/c) of the Frechet law, infinite for m >= c."""
    first, second, fourth = (math.gamma(1 - m / c) if m < c else INF for m in (1, 2, 4))
    return first, second, fourth


@pytest.mark.parametrize("c", [0.7, 1.5, 2.0, 2.5, 3.99, 4.0, 4.01, 9.0])
def test_frechet(c: float) -> None:
    assert as_noise(stats.invweibull(c)).moments == pytest.approx(frechet(c), rel=1e-9)


def beta_prime(a: float, b: float, m: int) -> float:
    return math.exp(special.betaln(a + m, b - m) - special.betaln(a, b)) if m < b else INF


# Law, and which of E eps^2 and E eps^4 are finite by the power of its heavier tail.
POWERS: list[tuple[Any, bool, bool]] = [
    (stats.t(2.0), False, False),
    (stats.t(2.02), True, False),
    (stats.t(4.0), True, False),
    (stats.t(4.02), True, True),
    (stats.genextreme(-0.51), False, False),
    (stats.genextreme(-0.26), True, False),
    (stats.genextreme(-0.24), True, True),
    (stats.burr12(2.0, 1.0), False, False),
    (stats.burr12(2.0, 2.0), True, False),
    (stats.burr12(2.0, 2.01), True, True),
    (stats.jf_skew_t(2.0, 8.0), True, False),
    (stats.jf_skew_t(8.0, 2.01), True, True),
    (stats.skewcauchy(0.3), False, False),
    (stats.foldcauchy(2.0), False, False),
    (stats.levy_l(), False, False),
    (stats.crystalball(2.0, 4.99), True, False),
    (stats.crystalball(2.0, 5.01), True, True),
    (stats.kappa3(4.0), True, False),
    (stats.mielke(2.0, 4.01), True, True),
    (stats.f(3.0, 8.0), True, False),
    (stats.nct(4.1, 1.0), True, True),
    (stats.pareto(2.0, loc=-5.0, scale=1e-3), False, False),
    (stats.zipf(5.01, loc=-2), True, True),
    (stats.yulesimon(4.0), True, False),
]
if hasattr(stats, "dpareto_lognorm"):  # from SciPy 1.15 on
    POWERS.append((stats.dpareto_lognorm(3.0, 1.2, 1.5, 2.0), False, False))
if stats.zipf(3.5).sf(1e6) < 1e-15:  # a rounding error of 1.4e-15 before SciPy 1.17, and the law is refused
    POWERS.append((stats.zipf(3.5), True, False))


@pytest.mark.parametrize(
    ("law", "second", "fourth"), POWERS, ids=lambda x: getattr(getattr(x, "dist", None), "name", x)
)
def test_the_power_of_the_tail_tells_which_moments_are_infinite(law: Any, second: bool, fourth: bool) -> None:
    mean, square, quartic = as_noise(law).moments
    assert (math.isfinite(square), math.isfinite(quartic)) == (second, fourth)
    assert not math.isfinite(square) or mean**2 <= square
    assert not math.isfinite(quartic) or square**2 <= quartic


@pytest.mark.parametrize("b", [2.1, 4.2, 12.0])
def test_a_slow_tail_is_summed_to_its_end(b: float) -> None:
    expected = [beta_prime(2.0, b, m) for m in (1, 2, 4)]
    assert as_noise(stats.betaprime(2.0, b)).moments == pytest.approx(expected, rel=1e-8)


def test_tails_that_are_no_power() -> None:
    """A lognormal tail looks like any power on the way: E x^m = exp(m^2 s^2/2) all the same."""
    for s in (0.5, 3.0, 6.0):
        expected = [math.exp(m * m * s * s / 2) for m in (1, 2, 4)]
        assert as_noise(stats.lognorm(s)).moments == pytest.approx(expected, rel=1e-8)


def test_a_moment_that_scipy_does_not_have() -> None:
    """SciPy has no moments of kappa4(-0.1, 0.1); its density, (1 - h (1 - k x)^(1/k))^(1/h - 1) (1 - k x)^(1/k - 1)."""
    h, k = mp.mpf(-1) / 10, mp.mpf(1) / 10

    def density(x: Any) -> Any:
        u = (1 - k * x) ** (1 / k)
        return (1 - h * u) ** (1 / h - 1) * u / (1 - k * x)

    ends = [-2000, -100, -10, -2, 0, 3, 10 - mp.mpf(10) ** -9]
    expected = [float(mp.quad(lambda x, m=m: x**m * density(x), ends)) for m in (1, 2, 4)]
    assert as_noise(stats.kappa4(-0.1, 0.1)).moments == pytest.approx(expected, rel=1e-9)


class Cubic(stats.rv_continuous):
    """Density (1 + |x|)^-3, and nothing else: E x^2 is infinite."""

    def _pdf(self, x: Any) -> Any:
        return (1 + np.abs(x)) ** -3.0


class KnownCubic(Cubic):
    """The same with its distribution function."""

    def _cdf(self, x: Any) -> Any:
        return np.where(x < 0, 0.5 * (1 + np.abs(x)) ** -2.0, 1 - 0.5 * (1 + np.abs(x)) ** -2.0)


@pytest.mark.parametrize("law", [Cubic(name="cubic"), KnownCubic(name="known_cubic")], ids=lambda x: x.name)
def test_a_law_of_the_user(law: Any) -> None:
    noise = as_noise(law())
    assert noise.moments[1:] == (INF, INF)
    with pytest.raises(NoLimit, match="infinite variance"):
        hd.predict(hd.Problem(hd.Isotropic(100), noise), hd.SGD(0.3), horizon=1.0)
    v, c = 0.3, 1.2
    s = mp.sqrt(v)
    inside = lambda e: mp.ncdf((c + e) / s) - mp.ncdf((e - c) / s)  # noqa: E731
    mu = 2 * mp.quad(lambda e: (1 + e) ** -3 * inside(e), [0, 0.3, 1, 1.5, 2.5, 5, 20, mp.inf])
    assert MapResponse("clip", noise)(v, c)[0] == pytest.approx(float(mu), rel=1e-9)


class NotOne(stats.rv_continuous):
    """A density that integrates to sqrt(2 pi)."""

    def _pdf(self, x: Any) -> Any:
        return np.exp(-x * x / 2)


class Scalar(stats.rv_continuous):
    """A density that takes one number at a time."""

    def _pdf(self, x: Any) -> Any:
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


class Failing(stats.rv_continuous):
    """A density that fails."""

    def _pdf(self, x: Any) -> Any:
        raise OverflowError("too large")


class Shifty(stats.rv_continuous):
    """Normal, with the moments of another law."""

    def _pdf(self, x: Any) -> Any:
        return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def _cdf(self, x: Any) -> Any:
        return special.ndtr(x)

    def _stats(self, *args: Any, **options: Any) -> Any:
        return 0.0, 4.0, 0.0, -2.5


def test_stated_moments_that_the_density_denies() -> None:
    """The sum is taken: its mass is 1. The statement breaks Jensen's inequality too, E x^4 = 8 < 16."""
    assert as_noise(Shifty(name="shifty")()).moments == pytest.approx((0.0, 1.0, 3.0), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (Scalar(name="scalar")(), "noise: expected a distribution with valid parameters, got .*raises TypeError"),
        (Failing(name="failing")(), "noise: expected a distribution with valid parameters, got .*OverflowError: too"),
        (stats.pareto(2.0, loc=-1.0, scale=1e-50), "noise: expected a law wider than the rounding of its values"),
    ],
    ids=["scalar", "failing", "narrow"],
)
def test_laws_that_are_refused(law: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        as_noise(law)
    assert len(str(caught.value)) < 400


def test_a_density_that_is_none_is_refused() -> None:
    noise = as_noise(NotOne(name="not_one", a=-9.0, b=9.0)())
    with pytest.raises(InvalidInput, match=r"noise: expected a law with known moments, got .*sum to 2\.506") as caught:
        hd.predict(hd.Problem(hd.Isotropic(100), noise), hd.SGD(0.3), horizon=1.0)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("optimizer", [hd.SGD(0.3), hd.ClippedSGD(0.3, math.inf)])
def test_what_follows_for_sgd(optimizer: Any) -> None:
    """E eps^2 = -4.06 gave a curve that fell to 0."""
    problem = hd.Problem(hd.Isotropic(100), stats.invweibull(1.5))
    for call in (lambda: hd.predict(problem, optimizer, horizon=1.0), lambda: hd.steady_state(problem, optimizer)):
        with pytest.raises(NoLimit, match="infinite variance"):
            call()
    assert math.isfinite(hd.tuning.best_threshold(problem.noise, 0.5).threshold)


# Laws whose densities SciPy integrates number by number: minutes.
BY_THE_MINUTE = {"studentized_range", "kstwo", "ksone", "levy_stable"}


@pytest.mark.slow
def test_every_law_of_scipy() -> None:
    """None is refused, none breaks Jensen's inequalities, and the frozen laws of today keep their moments to 1e-6."""
    for name, shapes in distcont:
        if not isinstance(name, str) or name in BY_THE_MINUTE:
            continue
        law = getattr(stats, name)(*shapes)
        mean, second, fourth = as_noise(law).moments
        assert not mean**2 > second * (1 + 1e-9) and not second**2 > fourth * (1 + 1e-9), name
        stated = float(law.var())
        if math.isfinite(stated):
            assert second - mean**2 == pytest.approx(stated, rel=1e-6), name
