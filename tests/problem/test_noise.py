"""Noise laws: samples against the laws that the docstrings state, moments against SciPy's, infinite ones as inf."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import NOISES, name_of
from scipy import integrate, special, stats

from hdlimit.errors import InvalidInput
from hdlimit.problem import noise as laws
from hdlimit.problem.empirical import Empirical
from hdlimit.problem.gaussian_mixture import GaussianMixture
from hdlimit.problem.noise import as_noise
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.problem.stable import SymmetricStable

SIZE = 400_000
BOUND = math.sqrt(math.log(2e6) / (2 * SIZE))

MORE = [
    laws.StudentT(0.4, 2.0),
    GaussianMixture(weights=[3, 1], scales=[0.5, 0.0], means=[-1.0, 2.0]),
    as_noise(stats.gamma(2.0, loc=-1.0, scale=0.5)),
    as_noise(stats.lognorm(1.0, loc=-1.0)),
    as_noise(stats.cauchy(loc=0.3, scale=0.5)),
    as_noise(stats.t(2.2, loc=1.0)),
    as_noise(stats.binom(10, 0.3, loc=-3)),
    as_noise(stats.poisson(1.5, loc=0.1)),
    as_noise(stats.rv_discrete(values=([-0.3, 0.5], [0.25, 0.75]))(loc=1)),
]
LAWS = [law for law in [*NOISES, *MORE] if not isinstance(law, laws.NoNoise)]

TRUTH: dict[type, Any] = {
    laws.Gaussian: lambda n: stats.norm(scale=n.std),
    laws.StudentT: lambda n: stats.t(n.df, scale=n.scale),
    laws.Laplace: lambda n: stats.laplace(scale=n.scale),
    laws.Uniform: lambda n: stats.uniform(-n.half_width, 2 * n.half_width),
    SymmetricStable: lambda n: n.frozen,  # against integrals of the characteristic function in test_stable.py
}


def cdf(noise: Any, x: Any) -> Any:
    """P(eps <= x), from SciPy's law of that name, else from what the law says of itself."""
    if type(noise) in TRUTH:
        return TRUTH[type(noise)](noise).cdf(x)
    if isinstance(noise, ScipyNoise):
        return noise.distribution.cdf(x + 1e-12) if noise.components else noise.distribution.cdf(x)
    parts = noise.components or pytest.fail(f"no law known for {noise!r}: add it to TRUTH")
    total = 0.0
    for weight, mean, variance in zip(*parts, strict=True):
        total += weight * (stats.norm.cdf(x, mean, math.sqrt(variance)) if variance > 0 else x >= mean - 1e-12)
    return total


def distance(noise: Any, sample: Any) -> float:
    """sup |F_n - F|, at the values of the sample and just below them."""
    x, count = np.unique(sample, return_counts=True)
    above = np.cumsum(count) / sample.size
    right = np.abs(above - cdf(noise, x))
    left = np.abs(above - count / sample.size - cdf(noise, x - 1e-9 * (1 + np.abs(x))))
    return float(max(right.max(), left.max()))


@pytest.mark.parametrize(
    "noise",
    [pytest.param(law, marks=pytest.mark.slow if isinstance(law, SymmetricStable) else ()) for law in LAWS],
    ids=name_of,
)
def test_samples_follow_the_law(noise: Any) -> None:
    """Dvoretzky, Kiefer, Wolfowitz, Massart: sup |F_n - F| > sqrt(log(2/p)/(2 n)) with probability at most p = 1e-6.

    A scale that is 5 % wrong is rejected by the same bound.
    """
    sample = noise.sample(np.random.default_rng(1), SIZE)
    assert sample.shape == (SIZE,) and sample.dtype == np.float64
    assert np.array_equal(sample, noise.sample(np.random.default_rng(1), SIZE))
    assert distance(noise, sample) < BOUND
    assert distance(noise, 1.05 * sample) > BOUND


def test_no_noise_is_none() -> None:
    assert not laws.NoNoise().sample(np.random.default_rng(1), 5).any()
    assert laws.NoNoise().moments == (0.0, 0.0, 0.0)
    assert as_noise(None) == laws.NoNoise()


@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_moments_are_those_of_the_samples_law(noise: Any) -> None:
    """E eps^k, k = 1, 2, 4, by integration of the density or over the components; infinite ones are tested below."""
    for k, moment in zip((1, 2, 4), noise.moments, strict=True):
        if not math.isfinite(moment):
            continue
        if noise.components is not None:
            spread = np.sqrt(np.maximum(noise.components.variance, 1e-300))
            exact = float(noise.components.weight @ stats.norm(noise.components.mean, spread).moment(k))
        else:
            low, middle, high = noise.frozen.ppf([0.0, 0.5, 1.0])
            pieces = [(low, middle), (middle, high)]
            exact = sum(
                integrate.quad(lambda e: e**k * noise.frozen.pdf(e), a, b, epsabs=1e-13, epsrel=1e-11, limit=500)[0]  # noqa: B023
                for a, b in pieces
            )
        assert moment == pytest.approx(exact, rel=2e-8, abs=1e-10), k


def test_which_moments_are_infinite() -> None:
    for df, finite in ((0.4, 0), (1.0, 0), (1.5, 1), (2.0, 1), (2.1, 2), (4.0, 2), (4.1, 3)):
        for noise in (laws.StudentT(df, 0.5), as_noise(stats.t(df, scale=0.5))):
            assert [math.isfinite(m) for m in noise.moments] == [k < finite for k in range(3)]
            assert not any(math.isnan(m) for m in noise.moments[1:])
    assert as_noise(stats.cauchy()).moments[1:] == (math.inf, math.inf)
    assert as_noise(stats.pareto(3.5)).fourth_moment == math.inf
    assert as_noise(stats.zipf(5.0)).fourth_moment == math.inf
    assert as_noise(stats.zipf(5.0)).second_moment == pytest.approx(special.zeta(3) / special.zeta(5), rel=1e-12)
    assert laws.StudentT(1.5, 1.0).variance == math.inf


def test_moments_of_named_laws() -> None:
    assert laws.Gaussian(2.0).moments == (0, 4, 48)
    assert laws.Laplace(0.5).moments == (0, 0.5, 1.5)
    assert laws.Uniform(2.0).moments == pytest.approx((0, 4 / 3, 16 / 5))
    assert laws.Rademacher(0.5).moments == (0, 0.25, 0.0625)
    assert laws.StudentT(5, 2.0).moments == pytest.approx((0, 4 * 5 / 3, 16 * 3 * 25 / 3))
    assert Empirical([1.0, 2.0, 6.0]).moments == pytest.approx((3, 41 / 3, 1313 / 3))
    assert Empirical([1.0, 2.0, 6.0]).variance == pytest.approx(14 / 3)
    skewed = as_noise(stats.gamma(2.0, loc=-1.0))
    assert skewed.moments == pytest.approx((1.0, 3.0, 120 - 4 * 24 + 6 * 6 - 4 * 2 + 1))


@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_width_scales_with_the_law(noise: Any) -> None:
    assert 0 < noise.width < math.inf
    if isinstance(noise, laws.StudentT):
        assert laws.StudentT(noise.df, 3 * noise.scale).width == 3 * noise.width


def test_discrete_laws_that_never_end_are_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match="discrete law"):
        as_noise(stats.zipf(2.1))
