"""Mini-batches: three routes to the law of S against closed forms, limits, every scale, the error of compression."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from cases import NOISES, name_of
from scipy import integrate, special, stats

from hdlimit.kernels import formulas
from hdlimit.problem import noise as laws
from hdlimit.problem.empirical import Empirical
from hdlimit.problem.gaussian_mixture import GaussianMixture
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import Components, NoiseLaw
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.response import batch_law as batch
from hdlimit.response.compressed_noise import compress
from hdlimit.response.contours import euler, parabola
from hdlimit.response.mixtures import density_components
from hdlimit.response.response import MapResponse
from hdlimit.response.squared_norm import squared_norm

SIZES = [2, 3, 4, 8, 32]
THRESHOLDS = [1e-10, 1e-5, 1e-2, 0.1, 0.3, 1.0, 3.0, 1e3, 1e9]


def one_normal(variance: float) -> Components:
    return Components(np.ones(1), np.zeros(1), np.array([variance]))


def route(name: str, size: int, v: float) -> Any:
    """The law of S for residuals N(0, 1), v of it signal, by one of the three routes."""
    parts = one_normal(1 - v)
    if name == "radial":
        return batch.batch_law(parts, size, v)
    contour = {"parabola": parabola, "euler": euler}[name]
    return batch.InvertedLaw(batch.mixture_transform(v, parts), size, v, contour)


ROUTES = [("radial", 3e-14, SIZES), ("parabola", 1e-11, [*SIZES, 100, 256, 1000]), ("euler", 1e-9, SIZES)]


@pytest.mark.parametrize(("name", "precision", "size"), [(*one, size) for *one, sizes in ROUTES for size in sizes])
def test_three_routes_against_the_closed_gaussian_form(name: str, precision: float, size: int) -> None:
    """mu and nu relative to themselves, whatever the threshold; density and E[1/S; S > x0] against chi^2."""
    for v in (1e-8, 0.5):
        law = route(name, size, v)
        assert (size - 1) * law.inverse_root == pytest.approx(formulas.sign_batch_normal(1.0, float(size)), rel=1e-13)
        if size > 2:
            assert law.inverse == pytest.approx(1 / (size - 2), rel=1e-12)
        for c in (*THRESHOLDS, *np.geomspace(0.5, 2.0, 7) / math.sqrt(size)):
            x0 = (c * size) ** 2
            s = law.moments(x0)
            found = ((size - 1) * s.root_ratio + s.below) / size, s.minimum / size**2
            assert found == pytest.approx(formulas.clip_batch_normal(1.0, c, float(size)), rel=precision), (v, c)
            assert s.below == pytest.approx(stats.chi2.cdf(x0, size), abs=precision)
            assert s.density * x0 == pytest.approx(stats.chi2.pdf(x0, size) * x0, abs=1e3 * precision)
            if size > 2:
                above = stats.chi2.sf(x0, size - 2) / (size - 2)
                assert s.inverse_above == pytest.approx(above, abs=100 * precision)


@pytest.mark.parametrize("size", [2, 5, 40, 200, 1000])
def test_noise_that_is_mostly_absent(size: int) -> None:
    """eps = 0, or N(0, 1) with probability 1/4; v -> 0: S is chi^2_k, k binomial, to 1e-10."""
    parts = Components(np.array([0.75, 0.25]), np.zeros(2), np.array([0.0, 1.0]))
    law = batch.batch_law(parts, size, 1e-26)
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


def test_merging_keeps_every_value_of_a_lattice() -> None:
    square, weight = batch.sums_of_squares(as_noise(stats.poisson(1.5, loc=-1)).components, 3) or pytest.fail("none")
    assert weight.sum() == pytest.approx(1, abs=1e-14)
    values = as_noise(stats.poisson(1.5, loc=-1)).components
    assert float(weight @ square) == pytest.approx(3 * float(values.weight @ values.mean**2), rel=1e-12)
    assert (np.diff(square) > 0.5).all()


INVERTED = [n for n in NOISES if n.components is None or n.components.weight.size > 1]


@pytest.mark.parametrize("noise", INVERTED, ids=name_of)
@pytest.mark.parametrize("size", [2, 4])
def test_limits_in_c_and_v(noise: Any, size: int) -> None:
    """c -> 0 is the sign, c -> inf is SGD (where it exists), large v is without noise; tolerance by route."""
    rough = 1e-3 if noise.components is None and isinstance(noise, ScipyNoise) else 1e-6
    response, sign = MapResponse("clip", noise, size), MapResponse("sign", noise, size)
    for v in (1e-8 * noise.width**2, noise.width**2):
        c = 1e-8 * math.sqrt(v)
        mu, nu = response(v, c)
        assert mu / c == pytest.approx(sign(v)[0], rel=rough)
        assert nu == pytest.approx(c * c, rel=rough)
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


def test_compression_keeps_moments_and_responses() -> None:
    """A normal density as point masses, all of them and compressed, against the closed form: what batches of any
    density cost. mu of B = 2 at v = 1e-4 of the variance is the worst, 1e-4 at most here."""
    noise = as_noise(stats.norm(0, 1))
    parts = density_components(noise, 1e-2, (0.0,), 1.0, per_octave=4)
    few = compress(parts)
    assert few.weight.size <= parts.weight.size / 2
    for power in (0, 2, 4, 6):
        assert few.weight @ few.mean**power == pytest.approx(parts.weight @ parts.mean**power, rel=1e-11)
    for v, precision in ((1e-4, 1e-4), (1e-2, 5e-6), (1.0, 1e-7)):
        for size in (2, 4):
            for c in (0.1, 0.5, 1.0):
                exact = formulas.clip_batch_normal(1 + v, c, float(size))
                assert MapResponse("clip", noise, size)(v, c) == pytest.approx(exact, rel=precision), (v, size, c)
            exact_sign = formulas.sign_batch_normal(1 + v, float(size))
            assert MapResponse("sign", noise, size)(v)[0] == pytest.approx(exact_sign, rel=precision)


def test_compressed_samples() -> None:
    """3000 values compressed against all of them: at v = 1 % of the variance the sparse tail costs 2e-4, else 3e-5."""
    noise = Empirical(np.random.default_rng(2).standard_t(3, 3000))
    for v, precision in ((0.01, 2e-4), (0.3, 3e-5)):
        for size in (2, 4):
            every = batch.batch_law(noise.components, size, v)
            sign = (size - 1) * every.inverse_root
            assert MapResponse("sign", noise, size)(v)[0] == pytest.approx(sign, rel=precision)
            for c in (0.1, 0.5, 2.0):
                s = every.moments((c * size) ** 2)
                exact = ((size - 1) * s.root_ratio + s.below) / size, s.minimum / size**2
                assert MapResponse("clip", noise, size)(v, c) == pytest.approx(exact, rel=precision), (v, size, c)
