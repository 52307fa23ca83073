"""Mini-batches: the routes to the law of S against closed forms, limits, every scale, sums over all pairs."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import NOISES, name_of
from scipy import integrate, interpolate, special, stats

import hdlimit as hd
from hdlimit.kernels import formulas
from hdlimit.problem import noise as laws
from hdlimit.problem.empirical import Empirical
from hdlimit.problem.gaussian_mixture import GaussianMixture
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.response.batch_law import InvertedLaw, squared_norm
from hdlimit.response.noise_transform import NoiseTransform
from hdlimit.response.noncentral_law import NoncentralLaw, sums_of_squares
from hdlimit.response.response import MapResponse

SIZES = [2, 3, 4, 8, 32]
THRESHOLDS = [1e-10, 1e-5, 1e-2, 0.1, 0.3, 1.0, 3.0, 1e3, 1e9]


def route(name: str, size: int, v: float) -> Any:
    """The law of S for residuals N(0, 1), v of it signal, by one route."""
    normal = np.ones(1), np.zeros(1)
    if name == "radial":
        return NoncentralLaw(*normal[::-1], size, 1.0)
    noise = {"mixture": laws.Gaussian, "density": lambda std: as_noise(stats.norm(0, std))}[name](math.sqrt(1 - v))
    return InvertedLaw(NoiseTransform(noise, 1e3), size, v)


ROUTES = [("radial", 3e-14, SIZES), *((name, 1e-9, [*SIZES, 100, 256]) for name in ("mixture", "density"))]


@pytest.mark.parametrize(("name", "precision", "size"), [(*one, size) for *one, sizes in ROUTES for size in sizes])
def test_routes_against_the_closed_gaussian_form(name: str, precision: float, size: int) -> None:
    """mu and nu relative to themselves, whatever the threshold; density and E[1/S; S > x0] against chi^2."""
    for v in (1e-8, 1e-3, 0.5):
        law = route(name, size, v)
        assert (size - 1) * law.inverse_root == pytest.approx(formulas.sign_batch_normal(1.0, float(size)), rel=1e-12)
        if size > 2:
            assert law.inverse == pytest.approx(1 / (size - 2), rel=1e-12)
        for c in (*THRESHOLDS, *np.geomspace(0.5, 2.0, 7) / math.sqrt(size)):
            x0 = (c * size) ** 2
            s = law.moments(x0)
            found = ((size - 1) * s.root_ratio + s.below) / size, s.minimum / size**2
            assert found == pytest.approx(formulas.clip_batch_normal(1.0, c, float(size)), rel=precision), (v, c)
            assert s.below == pytest.approx(stats.chi2.cdf(x0, size), abs=10 * precision)
            assert s.density * x0 == pytest.approx(stats.chi2.pdf(x0, size) * x0, abs=1e3 * precision)
            if size > 2:
                above = stats.chi2.sf(x0, size - 2) / (size - 2)
                assert law.inverse_above(x0) == pytest.approx(above, abs=100 * precision)


@pytest.mark.parametrize("size", [2, 5, 40, 200])
def test_noise_that_is_mostly_absent(size: int) -> None:
    """eps = 0, or N(0, 1) with probability 1/4; v -> 0: S is chi^2_k, k binomial, to 1e-10."""
    law = squared_norm(GaussianMixture([0.75, 0.25], [0.0, 1.0]), size, 1e-26)
    k = np.arange(1, size + 1)
    share, none = stats.binom.pmf(k, size, 0.25), 0.75**size
    for x0 in (0.01 * size, 0.2 * size, 0.3 * size, size):
        log_half = special.gammaln((np.maximum(k, 2) - 1) / 2) - special.gammaln(k / 2) - math.log(2) / 2
        tail = np.exp(log_half) * stats.chi2.sf(x0, np.maximum(k - 1, 1))
        tail[0] = special.exp1(x0 / 2) / math.sqrt(2 * math.pi)
        below = none + float(share @ stats.chi2.cdf(x0, k))
        s = law.moments(x0)
        assert s.below == pytest.approx(below, rel=1e-10)
        assert s.root_ratio == pytest.approx(below + math.sqrt(x0) * float(share @ tail), rel=1e-10)
        minimum = float(share @ (k * stats.chi2.cdf(x0, k + 2) + x0 * stats.chi2.sf(x0, k)))
        assert s.minimum == pytest.approx(minimum, rel=1e-10)


def chord(density: Any, x: float, kinks: tuple[float, ...]) -> float:
    """P(r_1^2 + r_2^2 <= x) for iid r of a symmetric density, in polar coordinates."""

    def ring(rho: float) -> float:
        marks = sorted(math.asin(k / rho) for k in kinks if k < rho)
        marks += [math.pi / 2 - m for m in marks]
        ends = [0.0, *sorted(m for m in marks if 0 < m < math.pi / 2), math.pi / 2]
        nodes, weights = np.polynomial.legendre.leggauss(40)
        total = 0.0
        for a, b in zip(ends[:-1], ends[1:], strict=True):
            angle = (a + b) / 2 + (b - a) / 2 * nodes
            values = [density(rho * math.cos(t)) * density(rho * math.sin(t)) for t in angle]
            total += (b - a) / 2 * float(weights @ np.array(values))
        return 4 * rho * total

    end = math.sqrt(x)
    points = [k for k in (*kinks, math.sqrt(2) * max(kinks)) if 0 < k < end]
    return float(integrate.quad(ring, 0, end, points=points or None, epsabs=1e-12, epsrel=1e-11, limit=200)[0])


@pytest.mark.parametrize(
    ("noise", "density", "kinks", "precision"),
    [
        (laws.Uniform(1.2), lambda u, v: formulas.density_uniform(u, v, 1.2), (1.2,), 2e-9),
        (laws.Laplace(0.5), lambda u, v: formulas.density_laplace(u, v, 0.5), (0.1,), 1e-10),
        (laws.StudentT(1, 0.7), lambda u, v: float(special.voigt_profile(u, math.sqrt(v), 0.7)), (0.1,), 1e-10),
        (
            GaussianMixture([0.5, 0.5], [0.3, 0.3], [-1.0, 1.0]),
            lambda u, v: (formulas.density_normal(u, v + 0.09, 1.0) + formulas.density_normal(u, v + 0.09, -1.0)) / 2,
            (1.0,),
            1e-10,
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, NoiseLaw) else "",
)
def test_pairs_against_the_density_of_the_residual(noise: Any, density: Any, kinks: Any, precision: float) -> None:
    """The cdf of S for two samples, from p_r in polar coordinates: no Laplace transform."""
    for v in (0.05, 0.7):
        for x in (0.3, 2.0):
            exact = chord(lambda u: density(u, v), x, kinks)  # noqa: B023
            assert squared_norm(noise, 2, v).moments(x).below == pytest.approx(exact, rel=precision), (v, x)


@pytest.mark.parametrize("size", [2, 4])
def test_point_masses_at_every_v(size: int) -> None:
    """Rademacher noise: v from 1e-280 to 1e8 of the squared scale; the ends are known."""
    noise = laws.Rademacher(0.8)
    for v in (1e-280, 1e-40, 1e-20, 1e-12):
        norm = 0.8 * math.sqrt(size)
        mu = MapResponse("sign", noise, size)(v)[0]
        assert mu == pytest.approx((size - 1) / norm, rel=1e-9)
        for c in (0.1, 0.3, 2.0):
            f = min(1.0, c * size / norm)
            clipped = f == 1.0
            expected = 1.0 if clipped else (size - 1) / size * f
            assert MapResponse("clip", noise, size)(v, c) == pytest.approx((expected, 0.64 * f**2 / size), rel=1e-9)
    large = MapResponse("clip", noise, size)(0.64e8, 1e3)
    assert large == pytest.approx(formulas.clip_batch_normal(0.64e8, 1e3, float(size)), rel=1e-7)


@pytest.mark.parametrize("size", [2, 8, 61, 64, 200, 1000])
def test_noncentral_laws_against_scipy(size: int) -> None:
    """P(S <= x) and E min(S, x) = int_0^x P(S > s) ds for one N from 0 to 1e5, where Bessel functions may underflow."""
    for square in (0.0, 1e-12, 1e-4, 1.0, 30.0, 1e3, 1e5):
        for s2 in (0.01, 50.0):
            law = NoncentralLaw(np.array([square]), np.array([1.0]), size, s2)
            for x in ((square + size * s2) * np.array([0.3, 0.95, 1.0, 1.5])).tolist():
                found, exact = law.moments(x), stats.ncx2(size, square / s2) if square else stats.chi2(size)
                assert found.below == pytest.approx(exact.cdf(x / s2), abs=2e-9), (square, s2, x)
                low, high = (max(exact.mean() + k * exact.std(), 0.0) for k in (-10, 10))
                part = integrate.quad(exact.sf, low, max(min(high, x / s2), low), epsabs=0, epsrel=1e-10, limit=200)[0]
                assert found.minimum == pytest.approx(s2 * (min(low, x / s2) + part), rel=1e-7), (square, s2, x)


@pytest.mark.parametrize("size", [200, 1000])
def test_faint_noise_in_large_batches(size: int) -> None:
    """Signs of means of 200 samples were refused under 1e-3 of noise: mu is that without noise, mu/sqrt(1 + s^2/v)."""
    plain = math.exp(math.lgamma((size - 1) / 2) - math.lgamma(size / 2)) / math.sqrt(2)
    for scale in (1e-9, 1e-4, 1e-3, 1e-2):
        mu = MapResponse("sign", laws.Rademacher(scale), size)(1.0)[0]
        assert mu == pytest.approx((size - 1) * plain / math.sqrt(1 + scale**2), rel=1e-9 + scale**2 / size)


def test_merging_keeps_every_value_of_a_lattice() -> None:
    square, weight = sums_of_squares(as_noise(stats.poisson(1.5, loc=-1)).components, 3) or pytest.fail("none")
    assert weight.sum() == pytest.approx(1, abs=1e-14)
    values = as_noise(stats.poisson(1.5, loc=-1)).components
    assert float(weight @ square) == pytest.approx(3 * float(values.weight @ values.mean**2), rel=1e-12)
    assert (np.diff(square) > 0.5).all()


INVERTED = [n for n in NOISES if n.components is None or n.components.weight.size > 1]


@pytest.mark.parametrize("noise", INVERTED, ids=name_of)
@pytest.mark.parametrize("size", [2, 4])
def test_limits_in_c_and_v(noise: Any, size: int) -> None:
    """c -> 0 is the sign, c -> inf is SGD (where it exists), large v is without noise; tolerance by route."""
    response, sign = MapResponse("clip", noise, size), MapResponse("sign", noise, size)
    for v in (1e-8 * noise.width**2, noise.width**2):
        c = 1e-8 * math.sqrt(v)
        mu, nu = response(v, c)
        assert mu / c == pytest.approx(sign(v)[0], rel=1e-6)
        assert nu == pytest.approx(c * c, rel=1e-6)
        if math.isfinite(noise.second_moment):
            mu, nu = response(v, 1e9 * noise.width)
            assert mu == pytest.approx(1, abs=1e-8)
            rel = 1e-2 if noise.fourth_moment == math.inf else 1e-6
            assert nu == pytest.approx((v + noise.second_moment) / size, rel=rel)
    v = 1e12 * noise.width**2
    for c in (1e-3, 1.0):
        s = c * math.sqrt(v)
        mu, nu = response(v, s)
        alone = formulas.clip_batch_normal(v, s, float(size))
        assert (mu, nu) == pytest.approx(alone, rel=1e-4 if noise.second_moment == math.inf else 1e-6)


@pytest.mark.parametrize("size", [2, 5])
def test_batches_increase_with_the_threshold_and_stay_in_their_bounds(size: int) -> None:
    noise = laws.StudentT(1.5, 0.6)
    values = np.array([MapResponse("clip", noise, size)(0.3, c) for c in np.geomspace(1e-4, 1e4, 17)])
    assert (np.diff(values, axis=0) > -1e-12).all() and (values[:, 0] <= 1 + 1e-12).all()


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_every_extreme_gives_numbers(noise: Any) -> None:
    """v from 0 to 1e250, c from 0 to 1e100, B = 1 and 4: finite, without a warning; 0 <= mu <= 1, nu <= c^2."""
    sizes = (1,) if isinstance(noise, ScipyNoise) and noise.components is None else (1, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in sizes:
            for v in (0.0, 1e-300, 1e-30, 1.0, 1e30, 1e250):
                mu = MapResponse("sign", noise, size)(v)[0]
                assert 0 <= mu < math.inf and v * mu < math.inf
                for c in (0.0, 1e-100, 1.0, 1e12, 1e100):
                    mu, nu = MapResponse("clip", noise, size)(v, c)
                    assert 0 <= mu <= 1 + 1e-9, (size, v, c)
                    assert 0 <= nu <= c * c * (1 + 1e-9), (size, v, c)


SAMPLE = np.random.default_rng(1).standard_t(4, 3000) * 0.5
SAMPLE = SAMPLE - SAMPLE.mean()


def of_pairs(values: Any, v: float, c: float) -> tuple[float, float]:
    """(mu, nu) of batches of 2 with noise that takes these values, from the density of r, in polar coordinates."""
    s, end = math.sqrt(v), float(np.abs(values).max()) + 9 * math.sqrt(v)
    places = np.arange(0.0, end * 1.001, s / 12)
    density = sum(np.exp(-((places[:, None] + sign * values) ** 2) / (2 * v)).sum(axis=1) for sign in (-1, 1))
    p = interpolate.make_interp_spline(places, density / (2 * values.size * math.sqrt(2 * math.pi * v)), k=7)
    angle = (np.arange(math.ceil(8 * end / s)) + 0.5) * math.pi / 2 / math.ceil(8 * end / s)
    x, w = np.polynomial.legendre.leggauss(8)
    cut = 2 * c
    edges = np.concatenate([np.arange(0, cut, s), np.arange(cut, math.sqrt(2) * end + s, s)])
    half = np.diff(edges)[:, None] / 2
    radius, step = (edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()
    inside = [p(np.minimum(r * np.cos(angle), end)) @ (p(np.minimum(r * np.sin(angle), end))) for r in radius]
    mass = 4 * step * radius * np.array(inside) * (math.pi / 2 / angle.size)
    assert mass.sum() == pytest.approx(1, abs=1e-9)
    ratio = float(np.minimum(1, cut / radius) @ mass)
    return (ratio + float(mass[radius < cut].sum())) / 2, float(np.minimum(radius, cut) ** 2 @ mass) / 4


@pytest.mark.parametrize("count", [200, 3000])
def test_many_atoms_against_all_pairs(count: int) -> None:
    """Samples of 200 and 3000 values, v down to a hundredth of the variance: 1e-8 where it was 7e-5."""
    values = SAMPLE[:count]
    for v, c in ((0.5, 1.0), (0.02, 1.0), (0.005, 0.4)):
        found = MapResponse("clip", Empirical(values), 2)(v, c)
        assert found == pytest.approx(of_pairs(values, v, c), rel=1e-8), (v, c)


def test_the_steady_risk_of_a_sample() -> None:
    """The right value comes from a route outside this project: 0.008581135; it was 0.008581764."""
    problem = hd.Problem(hd.Isotropic(100), Empirical(SAMPLE))
    found = hd.steady_state(problem, hd.ClippedSGD(0.15, 1.0, batch_size=2)).risk
    assert found == pytest.approx(0.008581135, abs=6e-10)


def test_mu_is_at_most_1_in_tables_over_extremes() -> None:
    """Exponential noise, v from 1e9 to 1e11, c to 3.6e4: P(|r| <= c) of an exponentially modified normal law."""
    response, v_range, c_range = MapResponse("clip", as_noise(stats.expon(loc=-1))), (1e9, 1e11), (1e4, 3.6e4)
    kernel, parameters, *_ = response.compiled(v_range, c_range).whole()
    generator = np.random.default_rng(5)
    for v, c in zip(np.exp(generator.uniform(*np.log(v_range), 300)), np.exp(generator.uniform(*np.log(c_range), 300))):
        mu, nu = kernel(v, c, parameters)
        s = math.sqrt(v)
        law = stats.exponnorm(1 / s, loc=-1.0, scale=s)
        assert mu <= 1 and nu <= c * c
        assert mu == pytest.approx(law.cdf(c) - law.cdf(-c), rel=3e-6)


def test_no_law_takes_many_evaluations() -> None:
    """A curve with a constant threshold: at most 150 (v, c); one with a schedule: at most 5000; the next ones: few."""
    for noise in (laws.Uniform(0.4), Empirical(SAMPLE[:1000]), as_noise(stats.skewnorm(4, loc=-0.6))):
        problem = hd.Problem(hd.Isotropic(100), noise)
        schedule = hd.schedules.Power(initial=1.0, exponent=0.5, time_scale=2.0)
        for threshold, most in ((0.9, 150), (schedule, 5000)):
            optimizer = hd.ClippedSGD(0.1, threshold, batch_size=3)
            for lr, limit in ((0.1, most), (0.1001, 150)):
                with counted() as calls:
                    hd.predict(problem, replace(optimizer, lr=lr), 20.0)
                assert len(calls) <= limit, (noise, threshold, lr)


@contextlib.contextmanager
def counted() -> Iterator[list[float]]:
    """The thresholds of all evaluations of a batch's law."""
    calls: list[float] = []
    plain = InvertedLaw.moments

    def moments(self: InvertedLaw, x0: float) -> Any:
        calls.append(x0)
        return plain(self, x0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InvertedLaw, "moments", moments)
        yield calls


def test_what_was_asked_before_changes_no_bit() -> None:
    """One transform serves every v, threshold and thread: its tables grow, and no value depends on how."""
    y = np.linspace(-3.0, 9.0, 50)
    noise, reach = hd.StudentT(1.5, 0.5), 500.0
    fresh, used = NoiseTransform(noise, reach), NoiseTransform(noise, reach)
    for start in (-40.0, 15.0, -11.3):
        used.real_power(start + y, 0.1, 4)
    assert used.real_power(y, 0.3, 3).tobytes() == fresh.real_power(y, 0.3, 3).tobytes()
    shared = NoiseTransform(noise, reach)
    asked = [(start + y, v) for start in np.linspace(-60, 60, 40) for v in (0.01, 3.0)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: shared.real_power(*one, 3).tobytes(), asked))
    assert found == [NoiseTransform(noise, reach).real_power(*one, 3).tobytes() for one in asked]
