"""ResidualSGD: tables of functions, their responses, what is refused, and runs against the limit."""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import NOISES, OPTIMIZERS, name_of

import hdlimit as hd
from hdlimit.limit.system import limit_of
from hdlimit.optimizers import declared
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response import piecewise_moments, tabulated_map
from hdlimit.response.expectation import quadrature_response
from hdlimit.response.residual_maps import residual_map, tabulated
from hdlimit.response.response import MapResponse
from hdlimit.response.step_moments import step_moments
from hdlimit.response.tabulated_map import table_response
from hdlimit.simulation.updates import UPDATES

Map = Callable[[np.ndarray], np.ndarray]


def soft_huber(r: np.ndarray) -> np.ndarray:
    return r / np.sqrt(1 + r * r)


def quantized(r: np.ndarray) -> np.ndarray:
    return 0.25 * np.clip(np.floor(r / 0.25) + 0.5, -7.5, 7.5)


def pinball(r: np.ndarray) -> np.ndarray:
    return np.where(r > 0, 0.7, -0.3)


def normalized(r: np.ndarray) -> np.ndarray:
    return r / (1 + np.abs(r))


def dead_zone(r: np.ndarray) -> np.ndarray:
    return np.sign(r) * np.maximum(np.abs(r) - 0.5, 0)


def two_slopes(r: np.ndarray) -> np.ndarray:
    return np.where(r > 0, 2 * r, 0.5 * r)


def biweight(r: np.ndarray) -> np.ndarray:
    return np.where(np.abs(r) < 2, r * (1 - r * r / 4) ** 2, 0)


BOUNDED: list[Map] = [np.tanh, np.sign, soft_huber, quantized, pinball, normalized, biweight]
UNBOUNDED: list[Map] = [dead_zone, two_slopes]
HEAVY = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
FEW = [hd.NoNoise(), hd.Gaussian(0.7), hd.GaussianMixture(weights=[0.2, 0.8], scales=[0.4, 0.1], means=[-0.5, 0.3])]


@pytest.mark.parametrize("psi", [*BOUNDED, *UNBOUNDED])
def test_the_table_is_the_function(psi: Map) -> None:
    """At places that the bisection did not see, to the stated error of what |psi| is nearby."""
    optimizer = hd.ResidualSGD(0.5, psi)
    assert optimizer.table_error < 1e-5
    rng = np.random.default_rng()
    r = rng.choice([-1, 1], 20000) * 10.0 ** rng.uniform(-5, 5, 20000)
    missed = np.abs(optimizer.residual_table(r, 1.0) - psi(r))
    far = np.array([-1e9, 1e9])
    np.testing.assert_allclose(optimizer.residual_table(far, 1.0), psi(far), rtol=1e-5)
    assert (missed <= 1.5e-5 * np.maximum(np.abs(psi(r)), 0.01)).all()
    assert residual_map(optimizer).bounded(1.0) == (psi in BOUNDED)


def test_jumps_are_pairs_at_their_places() -> None:
    for psi, places in ((np.sign, [0.0]), (pinball, [0.0]), (quantized, 0.25 * np.arange(-7, 8))):
        table = hd.ResidualSGD(0.5, psi).residual_table
        np.testing.assert_allclose(table.residuals[table.jumps], places, rtol=1e-12, atol=1e-18)
    table = hd.ResidualSGD(0.5, np.sign).residual_table
    assert table.scores[0].tolist() == [-1, -1, 1, 1]


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
@pytest.mark.parametrize(("psi", "name"), [(np.sign, "sign"), (lambda r: np.clip(r, -0.9, 0.9), "clip")])
def test_responses_of_known_maps(noise: NoiseLaw, psi: Map, name: str) -> None:
    """The table of a function against the closed forms of the map of that name."""
    table = hd.ResidualSGD(0.5, psi).residual_table
    for v in (1e-2, 0.05, 3.0):
        np.testing.assert_allclose(table_response(table, noise, v, 1.0), MapResponse(name, noise)(v, 0.9), rtol=1e-7)


def random_table(rng: np.random.Generator) -> ResidualTable:
    """Random pieces with jumps, unbounded on either side or on none."""
    n = int(rng.integers(2, 9))
    r = np.sort(rng.normal(0, 1.5, n))
    inner = r[1:-1][rng.random(n - 2) < 0.5]
    r = np.sort(np.concatenate([r, inner]))
    scores = rng.normal(0, 1, r.size)
    for side in (-1, 1):
        if rng.random() < 0.3:
            slope, end = rng.normal(), (0 if side < 0 else -1)
            far = scores[end] + slope * (side * 1e140 - r[end])
            at = 0 if side < 0 else r.size
            r, scores = np.insert(r, at, side * 1e140), np.insert(scores, at, far)
    return ResidualTable([1.0, 2.0], r, np.stack([scores, scores]))


def naive(table: ResidualTable, weight: Any, mean: Any, variance: Any, v: float) -> np.ndarray:
    """E psi z/v, E psi^2, E psi^3 z/v, E psi^4 from their definitions: for each normal law of eps, Gauss-Legendre in r
    between the knots, with E[z | r].
    """
    x, w = np.polynomial.legendre.leggauss(60)
    total = np.zeros(4)
    for p, m, s2 in zip(weight, mean, variance, strict=True):
        t = math.sqrt(v + s2)
        cuts = np.concatenate([-m + t * np.linspace(-13, 13, 40), table.residuals])
        cuts = np.unique(np.clip(cuts, -m - 13 * t, -m + 13 * t))
        half = np.diff(cuts)[:, None] / 2
        r = (cuts[:-1, None] + half + half * x).ravel()
        mass = (half * w).ravel() * np.exp(-((r + m) ** 2) / (2 * t * t)) / (t * math.sqrt(2 * math.pi))
        right = np.clip(np.searchsorted(table.residuals, r, side="right"), 1, table.residuals.size - 1)
        a, b = table.residuals[right - 1], table.residuals[right]
        u = np.clip(r, a, b)
        slope = (table.scores[0][right] - table.scores[0][right - 1]) / (b - a)
        near = np.where(a < -1e100, right, right - 1)
        psi = table.scores[0][near] + slope * (u - table.residuals[near])
        z = (r + m) / t**2
        total += p * np.array([mass @ (psi * z), mass @ psi**2, mass @ (psi**3 * z), mass @ psi**4])
    return total


def test_three_hundred_random_maps() -> None:
    """Closed forms and quadrature against the definition, for few normal laws."""
    rng = np.random.default_rng()
    for k in range(300):
        table, noise, v = random_table(rng), FEW[k % 3], 10.0 ** rng.uniform(-3, 1)
        assert noise.components is not None
        mu, nu, third, fourth = naive(table, *noise.components, v)
        size = math.sqrt(nu / v)
        found = table_response(table, noise, v, 1.3)
        np.testing.assert_allclose(found, (mu, nu), rtol=1e-7, atol=1e-9 * size)
        chi, kappa = tabulated_map.higher_moments(table, noise, v, 1.3)
        np.testing.assert_allclose((chi, kappa), (third, fourth), rtol=1e-7, atol=1e-9 * fourth**0.75 / math.sqrt(v))


def test_routes_agree() -> None:
    """A scale mixture by closed forms and by quadrature."""
    rng = np.random.default_rng()
    noise = hd.Laplace(0.5)
    for _ in range(20):
        table = random_table(rng)
        nodes = tabulated_map._by_quadrature(table, noise, 0.3)
        parts = noise.mixture(1.0)
        closed = tabulated_map._in_closed_form(table, noise, parts, 0.3)
        np.testing.assert_allclose(nodes, closed, rtol=1e-6, atol=1e-8 * math.sqrt(closed[2]))


@pytest.mark.parametrize("psi", [np.tanh, quantized, two_slopes])
def test_one_step_moments_of_a_sample(psi: Map) -> None:
    """nu_2, chi, kappa of a step against means over draws, to five standard errors."""
    noise, v, n = hd.Gaussian(0.5), 0.4, 400_000
    rng = np.random.default_rng()
    z, eps = math.sqrt(v) * rng.normal(size=n), 0.5 * rng.normal(size=n)
    p = psi(z - eps)
    draws = np.array([p * z / v, p**2, p**3 * z / v, p**4])
    response = MapResponse(residual_map(hd.ResidualSGD(1.0, psi)), noise)
    moments = step_moments(response, v, 1.0)
    found = np.array([*response(v, 1.0), moments.chi, moments.kappa])
    assert (np.abs(found - draws.mean(axis=1)) < 5 * draws.std(axis=1) / math.sqrt(n)).all()


def test_facts_of_unbounded_maps() -> None:
    problem, heavy = (
        hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5)),
        hd.Problem(hd.Isotropic(200), hd.StudentT(1.5, 0.5)),
    )
    sgd, doubled = hd.stability(problem, hd.SGD(0.5)), hd.stability(problem, hd.ResidualSGD(0.5, lambda r: 2 * r))
    assert doubled.critical_lr == pytest.approx(sgd.critical_lr / 2, rel=1e-12)
    same = hd.predict(problem, hd.ResidualSGD(0.25, lambda r: 2 * r), 3.0).risk
    np.testing.assert_allclose(same, hd.predict(problem, hd.SGD(0.5), 3.0).risk, rtol=1e-6)
    assert hd.stability(problem, hd.ResidualSGD(9.0, np.tanh)).stable
    for psi in UNBOUNDED:
        with warnings.catch_warnings(), pytest.raises(hd.errors.NoLimit):
            warnings.simplefilter("ignore", hd.errors.HeavyTailWarning)
            hd.predict(heavy, hd.ResidualSGD(0.5, psi), 2.0)
    assert hd.steady_state(problem, hd.ResidualSGD(0.3, np.tanh)).risk > 0


def test_the_identity_is_sgd() -> None:
    problem = hd.Problem(hd.PowerLaw(100, 0.4), hd.StudentT(5, 0.5))
    given, sgd = hd.ResidualSGD(0.5, lambda r: r, batch_size=2), hd.SGD(0.5, 2)
    assert residual_map(given).linear
    np.testing.assert_array_equal(hd.predict(problem, given, 3.0).risk, hd.predict(problem, sgd, 3.0).risk)
    runs = [hd.simulate(problem, o, 1.0, runs=2).risk for o in (given, sgd)]
    np.testing.assert_allclose(*runs, rtol=1e-9)


def test_control() -> None:
    def huber(r: np.ndarray, control: float) -> np.ndarray:
        return np.clip(r, -control, control)

    problem = hd.Problem(hd.Isotropic(200), hd.StudentT(2, 0.5))
    np.testing.assert_allclose(
        hd.predict(problem, hd.ResidualSGD(0.5, huber, control=0.8), 3.0).risk,
        hd.predict(problem, hd.ClippedSGD(0.5, 0.8), 3.0).risk,
        rtol=1e-5,
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_verified(batch: int) -> None:
    """At a false-alarm rate of 0.01: the runs agree with the limit."""
    problem = hd.Problem(hd.PowerLaw(400, 0.4), HEAVY)
    assert hd.verify(problem, hd.ResidualSGD(0.6, quantized, batch_size=batch), horizon=4.0, runs=200).passed


def test_a_wrong_mu_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit with 5 % more mu fails at the same false-alarm rate."""
    exact = tabulated_map.level_moments

    def wrong(table: ResidualTable, noise: NoiseLaw, v: float) -> np.ndarray:
        moments = exact(table, noise, v).copy()
        moments[: table.levels.size] *= 1.05
        return moments

    monkeypatch.setattr(tabulated_map, "level_moments", wrong)
    other = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.31, 2.0])  # of which nothing is cached
    problem = hd.Problem(hd.PowerLaw(400, 0.4), other)
    assert not hd.verify(problem, hd.ResidualSGD(0.6, quantized), horizon=4.0, runs=200).passed


BAD: list[tuple[Any, str]] = [
    (lambda r: r[:-1], r"psi: expected a function of \(r\) .* got shape"),
    (lambda r: float(r.sum()), "got a float for"),
    (lambda r: r.tolist(), "got a list for"),
    (lambda r: r + 0j, "real numbers, got values of type complex128"),
    (lambda r: np.where(r > 1, np.nan, r), "finite values, got psi"),
    (lambda r: 1 / r, "finite values, got psi"),
    (lambda r: r * np.random.default_rng().random(r.size), "same values at every call"),
    (lambda r: r / np.abs(r).max(), "map of each residual alone"),
    (lambda r: r**3, "grows at most linearly"),
    (lambda r: r * np.abs(r) ** 0.5, "grows at most linearly"),
    (np.sin, "pieces of lines follow"),
    (lambda r: r.undefined, "AttributeError"),
    (lambda r, a, b: r, "TypeError"),
    (lambda r, control: r, "control: expected a number > 0, as psi takes one"),
    (3, "psi: expected a function of r or a ResidualTable, got 3"),
    (np.ndarray, "psi: expected a function of r or a ResidualTable"),
]


@pytest.mark.parametrize(("psi", "message"), BAD)
def test_bad_maps(psi: Any, message: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=message):
        hd.ResidualSGD(0.5, psi)


def test_bad_controls() -> None:
    with pytest.raises(hd.errors.InvalidInput, match="control: expected None, as psi takes none"):
        hd.ResidualSGD(0.5, np.tanh, control=1.0)
    with pytest.raises(hd.errors.InvalidInput, match="a schedule needs psi as a ResidualTable"):
        hd.ResidualSGD(0.5, lambda r, control: r, control=hd.schedules.Cosine(1.0, 0.5, 3.0))
    for residuals in ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0, 2.0], [0.0, 2.0, 1.0]):
        with pytest.raises(hd.errors.InvalidInput, match="residuals: expected at least 2 increasing numbers"):
            ResidualTable([1.0, 2.0], residuals, np.zeros((2, len(residuals))))


def test_files() -> None:
    """A function is not written; its table is, and predicts the same."""
    problem, optimizer = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5)), hd.ResidualSGD(0.5, quantized)
    with pytest.raises(hd.errors.InvalidInput, match=r"psi: expected a ResidualTable in a file \(optimizer.tabulated"):
        hd.to_toml(problem, optimizer, 3.0)
    table = optimizer.tabulated()
    np.testing.assert_array_equal(hd.predict(problem, table, 3.0).risk, hd.predict(problem, optimizer, 3.0).risk)
    assert pickle.loads(pickle.dumps(table)) == table and pickle.loads(pickle.dumps(optimizer)) == optimizer
    assert "quantized" in repr(optimizer) and table.table_error == 0.0


def test_a_subclass_is_not_its_parent() -> None:
    """Refused by predict and by simulate: a method named psi, an untied combination, and nothing at all."""

    class Mine(hd.SGD):  # type: ignore[misc]
        def psi(self, r: float) -> float:
            return math.tanh(r)

    class Untied(hd.SGD):  # type: ignore[misc]
        residual = "clip"

    class Stated(hd.SGD):  # type: ignore[misc]
        residual, features, update = "clip", "identity", "gradient"

    problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
    with pytest.raises(hd.errors.InvalidInput, match="whose update 'gradient' is tied to its maps"):
        hd.simulate(problem, Stated(0.5), 2.0)
    for cls in (Mine, Untied):
        for verb in (hd.predict, hd.simulate):
            with pytest.raises(
                hd.errors.InvalidInput,
                match=f"optimizer: expected a class that states .*got a {cls.__name__}, which has its",
            ):
                verb(problem, cls(0.5), 2.0)


def test_every_listed_optimizer_is_a_case() -> None:
    """So that tests/test_architecture.py ties its update to its maps; the list of ties has no others."""
    ties = {(o.update, (o.residual, o.features)) for o in OPTIMIZERS}
    assert ties == {(name, pair) for name, update in UPDATES.items() for pair in update.ties}
    assert {type(optimizer) for optimizer in OPTIMIZERS} == set(declared.OPTIMIZERS)


def test_against_quadrature_over_the_noise() -> None:
    """A route that knows no density of r; a jump moved by 1 % is told apart."""
    table, noise = hd.ResidualSGD(0.5, soft_huber).residual_table, hd.Laplace(0.5)
    found = table_response(table, noise, 0.4, 1.0)
    psi = tabulated("table", ResidualTable(table.levels, table.residuals, table.scores))
    np.testing.assert_allclose(found, MapResponse(psi, noise)(0.4, 1.0), rtol=1e-12)
    coarse = ResidualTable([1.0, 2.0], [-1.0, 0.2, 0.2, 1.0], [[-1.0, -0.5, 0.5, 1.0]] * 2)
    moved = ResidualTable([1.0, 2.0], [-1.0, 0.202, 0.202, 1.0], [[-1.0, -0.5, 0.5, 1.0]] * 2)
    twin = quadrature_response(tabulated("table", coarse), noise, 0.4, 1.0)
    np.testing.assert_allclose(table_response(coarse, noise, 0.4, 1.0), twin, rtol=1e-7)
    assert not np.allclose(table_response(moved, noise, 0.4, 1.0), twin, rtol=1e-4)


def test_a_limit_is_made_quickly_of_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moments are asked for at most 250 times for three decades of v, whatever the table."""
    calls = []
    exact = tabulated_map.level_moments
    monkeypatch.setattr(tabulated_map, "level_moments", lambda *a: calls.append(a) or exact(*a))
    optimizer = hd.ResidualSGD(0.5, normalized)
    limit = limit_of(hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5)), optimizer)
    limit.response.compiled((1e-2, 10.0), (1.0, 1.0))
    assert 0 < len(calls) < 250


@pytest.mark.parametrize("batch", [1, 6])
def test_sign_features(batch: int) -> None:
    """Runs of the raw algorithm within 4.5 standard errors of the limit corrected to order 1/d, at 6 times.

    False alarm 6 x 7e-6; a curve with 15 % more step is off by more.
    """
    problem = hd.Problem(hd.PowerLaw(300, 0.4), hd.StudentT(df=3, scale=0.5))
    optimizer = hd.ResidualSGD(0.4, np.tanh, batch_size=batch, features="sign")
    runs = hd.simulate(problem, optimizer, 6.0, runs=64, seed=3, times=[1, 2, 3, 4, 5, 6])
    curve = hd.predict(problem, optimizer, 6.0, times=[1, 2, 3, 4, 5, 6])
    planted = hd.predict(
        problem, hd.ResidualSGD(0.46, np.tanh, batch_size=batch, features="sign"), 6.0, times=runs.time
    )
    assert (np.abs(runs.mean - curve.corrected) < 4.5 * runs.stderr).all()
    assert (np.abs(runs.mean - planted.corrected) > 4.5 * runs.stderr).any()
    assert optimizer.update == "signed-features" and pickle.loads(pickle.dumps(optimizer)) == optimizer


def test_linear_sign_features_have_their_own_critical_step() -> None:
    """SGD on sign(x), diagonal K: forcing sqrt(pi/2) (1/d) sum sqrt(K_ii); runs beyond diverge."""
    problem = hd.Problem(hd.PowerLaw(60, 0.5), hd.Gaussian(0.5))
    deviations = np.sqrt(problem.covariance.variances)
    optimizer = hd.ResidualSGD(1.0, lambda r: r, features="sign")
    found = hd.stability(problem, optimizer)
    assert found.limit_critical_lr == pytest.approx(2 / (math.sqrt(math.pi / 2) * deviations.mean()), rel=1e-12)
    assert found.stable and found.critical_batch == 1.0
    beyond = hd.ResidualSGD(1.3 * found.critical_lr, lambda r: r, features="sign")
    with pytest.warns(hd.errors.DivergenceWarning):
        assert np.isinf(hd.simulate(problem, beyond, 100.0, runs=2, seed=0).risk[:, -1]).all()
    with pytest.raises(hd.errors.InvalidInput, match="features: expected one of 'identity', 'sign'"):
        hd.ResidualSGD(0.5, np.tanh, features="other")


@pytest.mark.parametrize("noise", [hd.StudentT(1.2, 0.5), hd.StudentT(30, 0.5), hd.Laplace(0.5)], ids=name_of)
@pytest.mark.parametrize("v", [1e-8, 0.1, 1e4])
def test_interpolated_densities(noise: NoiseLaw, v: float) -> None:
    """Against the sum over the components, in the moments that responses take."""
    parts = noise.mixture(1e6)
    assert parts is not None
    s = np.sqrt(parts.variance + v)
    edges = np.append(0.0, s.min() * 1.6 ** np.arange(-1, 45))
    x, w = np.polynomial.legendre.leggauss(24)
    half = np.diff(edges) / 2
    r, width = (edges[:-1] + half * (1 + x[:, None])).ravel(), (half * w[:, None]).ravel()
    exact = np.array([parts.weight @ (np.exp(-((y / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))) for y in r])
    found = piecewise_moments._interpolated(r, edges, parts.weight, s)
    for power, allowed in ((0, 1e-12), (2, 1e-11)):
        assert np.abs(found - exact) @ (width * r**power) < allowed * (exact @ (width * r**power))
