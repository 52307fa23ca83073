"""Responses: closed forms against quadrature over the noise's density, limits, and the laws behind them."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from cases import NOISES, name_of
from scipy import integrate, stats

import hdlimit as hd
from hdlimit.kernels import formulas
from hdlimit.kernels import lazy_table as memory
from hdlimit.kernels import responses as kernels
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.response.batch_law import squared_norm
from hdlimit.response.expectation import quadrature_response
from hdlimit.response.mixtures import density_components, flat
from hdlimit.response.residual_maps import RESIDUALS
from hdlimit.response.response import MapResponse

V = [1e-12, 1e-6, 1e-2, 1.0, 1e3, 1e12]
C = [1e-6, 1e-2, 1.0, 30.0, 1e6]
SAMPLES = 4000
ALARM = 1e-6
DENSITIES = {
    hd.Laplace(1.0): stats.laplace(),
    hd.Uniform(1.0): stats.uniform(-1, 2),
    hd.Gaussian(1.0): stats.norm(),
    hd.StudentT(1.0, 1.0): stats.t(1),
    hd.StudentT(1.5, 1.0): stats.t(1.5),
    hd.StudentT(5.0, 1.0): stats.t(5),
    hd.StudentT(30.0, 1.0): stats.t(30),
}


@pytest.mark.parametrize("noise", DENSITIES, ids=name_of)
@pytest.mark.parametrize("name", ["clip", "sign"])
def test_closed_forms_agree_with_quadrature_over_the_density(noise: Any, name: str) -> None:
    """v from 1e-12 to 1e12 and c from 1e-6 to 1e6 of the noise scale, relative difference below 1e-9."""
    closed = MapResponse(name, noise)
    for v in V:
        for c in C if name == "clip" else C[:1]:
            parts = density_components(
                ScipyNoise(DENSITIES[noise]), v, RESIDUALS[name].kinks(c), c if name == "clip" else 0.0
            )
            kernel = memory.clip_mixture if name == "clip" else kernels.sign_mixture
            np.testing.assert_allclose(closed(v, c), kernel(v, c, flat(parts)), rtol=1e-9, err_msg=f"v={v} c={c}")


@pytest.mark.parametrize("noise", DENSITIES, ids=name_of)
@pytest.mark.parametrize(("v", "c"), [(0.3, 0.5), (2.0, 3.0)])
def test_against_the_definition(noise: Any, v: float, c: float) -> None:
    """mu = E psi'(r) and nu = E psi^2 by adaptive quadrature of the definition, to 1e-8."""
    law, s = DENSITIES[noise], math.sqrt(v)

    def expect(f: Any) -> float:
        edges = [-np.inf, -c - 4 * s, -1.0, 0.0, 1.0, c + 4 * s, np.inf]
        pairs = zip(sorted(edges[:-1]), sorted(edges)[1:])
        return sum(
            integrate.quad(lambda e: f(e) * law.pdf(e), a, b, epsabs=1e-13, epsrel=1e-12)[0] for a, b in pairs if a < b
        )

    inside = expect(lambda e: stats.norm.cdf((c + e) / s) - stats.norm.cdf((e - c) / s))
    assert MapResponse("clip", noise)(v, c)[0] == pytest.approx(inside, rel=1e-8)
    at_zero = expect(lambda e: stats.norm.pdf(e, scale=s))
    assert MapResponse("sign", noise)(v)[0] == pytest.approx(2 * at_zero, rel=1e-8)
    tail = 2 * integrate.quad(lambda u: u * (1 - MapResponse("clip", noise)(v, u)[0]), 0, c, epsabs=1e-13)[0]
    assert MapResponse("clip", noise)(v, c)[1] == pytest.approx(tail, rel=1e-8)


@pytest.mark.parametrize(
    "noise", [hd.Gaussian(0.5), hd.Laplace(0.5), hd.Rademacher(0.5), hd.StudentT(3, 0.5)], ids=name_of
)
def test_two_dimensional_quadrature(noise: Any) -> None:
    """The route that any residual map takes, E over eps and z, to 1e-9."""
    for v, c in ((0.1, 0.4), (3.0, 1.0)):
        got = quadrature_response(RESIDUALS["clip"], noise, v, c)
        np.testing.assert_allclose(got, MapResponse("clip", noise)(v, c), rtol=1e-9)


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_sizes_and_limits(noise: Any) -> None:
    """0 <= mu <= 1, nu <= c^2, mu grows with c, clipping at 0+ is sign rescaled, no nan at any extreme."""
    response = MapResponse("clip", noise)
    for v in (0.0, 1e-12, 1e-3, 1.0, 1e3, 1e12):
        values = np.array([response(v, c) for c in (0.0, 1e-6, 1e-3, 0.1, 1.0, 10.0, 1e6)])
        assert np.isfinite(values).all() and (values >= 0).all()
        assert (values[:, 0] <= 1 + 1e-12).all() and (np.diff(values[:, 0]) >= -1e-12).all()
        sign = MapResponse("sign", noise)(v)[0]
        assert math.isfinite(sign) and sign * v <= 2 * math.sqrt(v) + 1e-300
        if v >= 1e-3:
            assert response(v, 1e-6 * math.sqrt(v))[0] / (1e-6 * math.sqrt(v)) == pytest.approx(
                sign, rel=1e-4, abs=1e-9
            )


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_samples_follow_the_law(noise: Any) -> None:
    """P(|z - eps| <= c) of the response against 4000 samples, false alarms 1e-6; noise 20 % larger is rejected."""
    rng = np.random.default_rng(3)
    v, c = (0.2 * max(noise.width, 0.3)) ** 2, max(noise.width, 0.3)
    z, eps = math.sqrt(v) * rng.standard_normal(4 * SAMPLES), noise.sample(rng, 4 * SAMPLES)
    assert eps.shape == (4 * SAMPLES,) and np.array_equal(eps, noise.sample(_after_normals(), 4 * SAMPLES))
    expected = MapResponse("clip", noise)(v, c)[0]
    inside = int((np.abs(z - eps) <= c).sum())
    assert stats.binomtest(inside, eps.size, min(expected, 1.0)).pvalue > ALARM
    if noise.width > 0:
        planted = int((np.abs(z - 1.2 * eps) <= c).sum())
        assert stats.binomtest(planted, eps.size, min(expected, 1.0)).pvalue < ALARM


def _after_normals() -> np.random.Generator:
    rng = np.random.default_rng(3)
    rng.standard_normal(4 * SAMPLES)
    return rng


@pytest.mark.parametrize("noise", DENSITIES, ids=name_of)
def test_moments(noise: Any) -> None:
    law = DENSITIES[noise]
    mean, variance, _, kurtosis = (float(m) for m in law.stats(moments="mvsk"))
    df = getattr(noise, "df", math.inf)
    assert noise.second_moment == (pytest.approx(variance + mean**2) if df > 2 else math.inf)
    assert noise.fourth_moment == (pytest.approx((kurtosis + 3) * variance**2) if df > 4 else math.inf)
    assert math.isnan(noise.mean) if df <= 1 else noise.mean == pytest.approx(0.0, abs=1e-12)


def test_reference_numbers_of_a_batch() -> None:
    """t 1.5, scale .6, v = .7, c = .5, B = 4: values confirmed by Monte Carlo."""
    noise = hd.StudentT(1.5, 0.6)
    assert MapResponse("sign", noise, 4)(0.7)[0] == pytest.approx(1.31405, abs=1e-5)
    np.testing.assert_allclose(MapResponse("clip", noise, 4)(0.7, 0.5), (0.61821, 0.21736), atol=1e-5)
    assert 1 - squared_norm(noise, 4, 0.7).moments(4.0).below == pytest.approx(0.694, abs=1e-3)


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
@pytest.mark.parametrize("size", [2, 4])
def test_batches_against_samples(noise: Any, size: int) -> None:
    """(mu, nu) of clip and mu of sign against 300 000 batches, 6 standard errors each (false alarms below 1e-6 in all);
    an error of 5 % in mu is seen for clip."""
    rng, n = np.random.default_rng(4), 300_000
    scale = max(noise.width, 0.3)
    v, c = 0.5 * scale**2, 0.6 * scale
    z = math.sqrt(v) * rng.standard_normal((n, size))
    r = z - noise.sample(rng, n * size).reshape(n, size)
    total, overlap = (r**2).sum(axis=1), (r * z).sum(axis=1)
    f = np.minimum(1.0, c * size / np.sqrt(total))
    mu, nu = MapResponse("clip", noise, size)(v, c)
    for sample, expected in (
        (overlap * f / (size * v), mu),
        (total * f**2 / size**2, nu),
        (overlap / np.sqrt(total) / v, MapResponse("sign", noise, size)(v)[0]),
    ):
        error = 6 * sample.std() / math.sqrt(n) + 1e-9 * expected
        assert abs(sample.mean() - expected) <= error
    assert abs((overlap * f / (size * v)).mean() - 1.05 * mu) > 6 * (overlap * f / (size * v)).std() / math.sqrt(n)


@pytest.mark.parametrize("noise", [hd.StudentT(1.5, 0.6), hd.Laplace(0.5), hd.Uniform(0.8)], ids=name_of)
def test_large_batches_against_samples(noise: Any) -> None:
    """(mu, nu) of clip and mu of sign against 10 000 batches of 200 where half of them are clipped, 6 standard errors
    each (false alarms below 1e-7 in all); an error of 3 % in nu is seen.
    """
    rng, n, size, v = np.random.default_rng(8), 10_000, 200, 0.5
    z = math.sqrt(v) * rng.standard_normal((n, size))
    r = z - noise.sample(rng, n * size).reshape(n, size)
    total, overlap = (r**2).sum(axis=1), (r * z).sum(axis=1)
    c = math.sqrt(float(np.median(total))) / size
    f = np.minimum(1.0, c * size / np.sqrt(total))
    mu, nu = MapResponse("clip", noise, size)(v, c)
    for sample, expected in (
        (overlap * f / (size * v), mu),
        (total * f**2 / size**2, nu),
        (overlap / np.sqrt(total) / v, MapResponse("sign", noise, size)(v)[0]),
    ):
        assert abs(sample.mean() - expected) <= 6 * sample.std() / math.sqrt(n)
    planted = (total * f**2 / size**2).mean() - 1.03 * nu
    assert abs(planted) > 6 * (total * f**2 / size**2).std() / math.sqrt(n)


@pytest.mark.parametrize("size", [2, 3, 4, 8])
@pytest.mark.parametrize("c", [1e-3, 0.3, 1.0, 3.0, 100.0])
def test_three_routes_to_a_batch(size: int, c: float) -> None:
    """Gaussian noise: the closed form, radial integrals and Laplace inversion agree to 1e-7."""
    noise, v = hd.Gaussian(0.6), 0.7
    closed = MapResponse("clip", noise, size)(v, c)
    law = squared_norm(noise, size, v)
    twice = hd.GaussianMixture([0.5, 0.5], [0.6, 0.6 * (1 + 1e-12)])
    for moments in (law.moments((c * size) ** 2), squared_norm(twice, size, v).moments((c * size) ** 2)):
        got = ((size - 1) * moments.root_ratio + moments.below) / size, moments.minimum / size**2
        np.testing.assert_allclose(got, closed, rtol=1e-7)


@pytest.mark.parametrize(
    "noise",
    [
        ScipyNoise(stats.logistic(scale=0.4)),
        pytest.param(hd.Empirical(np.random.default_rng(0).standard_t(3, 3000)), marks=pytest.mark.slow),
    ],
    ids=name_of,
)
def test_tables_are_right_between_their_nodes(noise: Any) -> None:
    """Fixed and moving thresholds; random (v, c) in the range, relative error below 1e-6."""
    response, rng = MapResponse("clip", noise), np.random.default_rng(1)
    fixed = response.compiled((1e-2, 10.0), (0.5, 0.5))
    moving = response.compiled((1e-2, 10.0), (0.2, 2.0)).whole()
    for v in 10 ** rng.uniform(-2, 1, 12):
        np.testing.assert_allclose(fixed.kernel(v, 0.5, fixed.parameters), response(v, 0.5), rtol=1e-6)
        c = float(10 ** rng.uniform(math.log10(0.2), math.log10(2.0)))
        np.testing.assert_allclose(moving.kernel(v, c, moving.parameters), response(v, c), rtol=1e-6)


def test_infinite_variance_is_refused_with_the_reason() -> None:
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        MapResponse("identity", hd.StudentT(2.0, 1.0))(1.0)
    assert MapResponse("identity", hd.StudentT(2.0001, 1.0))(1.0)[1] == pytest.approx(1 + 2.0001 / 0.0001)


def test_a_response_of_another_class_is_another_one() -> None:
    """Else what is cached for one would be read for the other."""

    class Other(MapResponse):
        pass

    plain = MapResponse("sign", hd.Gaussian(0.5))
    assert Other("sign", hd.Gaussian(0.5)) != plain == MapResponse("sign", hd.Gaussian(0.5))


def test_centred_clip_against_mpmath() -> None:
    """mu = erf(a/sqrt 2), nu = s2 P(3/2, a^2/2) + c^2 erfc(a/sqrt 2), on both sides of every switch, to 2e-15."""
    rng = np.random.default_rng(5)
    for a in (1e-12, 1e-3, 0.4999999, 0.5, 0.5000001, 8.999, 9.001, 1e6, *np.exp(rng.uniform(-3, 2.3, 60))):
        s2 = math.exp(rng.uniform(-20, 20))
        c = float(a) * math.sqrt(s2)
        with mp.workdps(30):
            ratio = mp.mpf(c) / mp.sqrt(s2)
            mu, tail = mp.erf(ratio / mp.sqrt(2)), mp.erfc(ratio / mp.sqrt(2))
            nu = mp.mpf(s2) * mp.gammainc(mp.mpf(3) / 2, 0, ratio**2 / 2, regularized=True) + mp.mpf(c) ** 2 * tail
        np.testing.assert_allclose(memory.clip_centred(s2, c), (float(mu), float(nu)), rtol=2e-15)
    assert memory.clip_centred(0.7, 0.0) == (0.0, 0.0)


def test_sum_over_normal_laws_against_each_of_them() -> None:
    """Laws of mean 0 and others, wide and narrow against c: the sum of the closed forms, to 1e-14."""
    rng = np.random.default_rng(9)
    for v in 10 ** rng.uniform(-8, 8, 40):
        weight, mean, variance = rng.dirichlet(np.ones(30)), rng.standard_normal(30), 10 ** rng.uniform(-8, 8, 30)
        mean[::2] = 0.0
        c = float(10 ** rng.uniform(-4, 4))
        terms = np.array([formulas.clip_normal(v + s2, c, m) for m, s2 in zip(mean, variance, strict=True)])
        found = memory.clip_mixture(v, c, np.concatenate([weight, mean, variance]))
        np.testing.assert_allclose(found, weight @ terms, rtol=1e-14)


REMEMBERED = [
    hd.StudentT(1.5, 0.5),
    hd.StudentT(5, 1e-3),
    hd.StudentT(30, 2.0),
    hd.GaussianMixture([0.5, 0.3, 0.2], [0.1, 0.5, 2.0], [0.0, 1.0, -1.0]),
    hd.Rademacher(0.5),
    hd.Empirical([-1.0, 0.2, 0.3]),
]


@pytest.mark.parametrize("noise", REMEMBERED, ids=name_of)
@pytest.mark.parametrize("name", ["clip", "sign"])
def test_what_is_remembered_is_the_sum(noise: Any, name: str) -> None:
    """Random v over 60 decades, inside the pieces and outside, and at other thresholds: (mu, nu) to 1e-12."""
    rng, response = np.random.default_rng(6), MapResponse(name, noise)
    for c in (0.02, 0.9, 40.0):
        kernel, parameters, low, high, _ = response.compiled((0.1, 1.0), (c, c))
        assert (low, high) == (0.0, math.inf) and kernel is not response._closed(c)[0]
        for v in (0.0, *10 ** rng.uniform(-30, 30, 100), *10 ** rng.uniform(-3, 1, 100)):
            np.testing.assert_allclose(kernel(v, c, parameters), response(v, c), rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(kernel(0.3, 1.1 * c, parameters), response(0.3, 1.1 * c), rtol=1e-12)


def _empty(response: MapResponse, c: float) -> Any:
    """Parameters of memory.remembered with nothing filled."""
    parameters = response.compiled((0.1, 1.0), (c, c)).parameters.copy()
    parameters[memory.HEAD + 3 * int(parameters[memory.TERMS]) :] = math.nan
    return parameters


def test_pieces_do_not_depend_on_who_came_first() -> None:
    """The same bits in every order, and where another thread has written half a piece."""
    points, response = np.geomspace(1e-3, 1e3, 50), MapResponse("clip", hd.StudentT(3, 0.5))
    one, other = _empty(response, 0.9), _empty(response, 0.9)
    forth = [memory.remembered(v, 0.9, one) for v in points]
    back = [memory.remembered(v, 0.9, other) for v in points[::-1]]
    assert forth == back[::-1] and np.array_equal(one, other, equal_nan=True)
    filled = np.flatnonzero(np.isfinite(other))[-1]
    for place in range(filled - 2 * memory.WIDTH + 1, filled + 1):
        other[place] = math.nan
        assert memory.remembered(points[-1], 0.9, other) == forth[-1]
        assert np.array_equal(one, other, equal_nan=True)


def test_pieces_that_miss_are_given_up() -> None:
    """Two values of eps on both sides of c, v -> 0: (mu, nu) falls as exp(-1/v); the sum itself is returned there."""
    response = MapResponse("clip", hd.Rademacher(0.5))
    c, parameters = 0.4, _empty(response, 0.4)
    kernel, mixture = response._closed(c)
    before = np.isinf(parameters).sum()
    found = [memory.remembered(v, c, parameters) == kernel(v, c, mixture) for v in (1e-5, 2e-5)]
    assert all(found) and np.isinf(parameters).sum() > before


def test_a_wrong_piece_would_be_seen() -> None:
    """A coefficient wrong by 1e-11 shifts what is returned by more than the 1e-12 that is claimed."""
    response, c = MapResponse("clip", hd.StudentT(3, 0.5)), 0.9
    parameters = _empty(response, c)
    memory.remembered(0.3, c, parameters)
    parameters[parameters.size - np.flatnonzero(np.isfinite(parameters[::-1]))[0] - 2 * memory.WIDTH] += 1e-11
    assert memory.remembered(0.3, c, parameters)[0] != pytest.approx(response(0.3, c)[0], rel=1e-12)
