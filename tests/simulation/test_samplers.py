"""Samplers and updates: features have the covariance asked for, rows are the rows, updates do what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import COVARIANCES, NOISES, name_of
from scipy import stats

from hdlimit.errors import InvalidInput
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.problem.covariance import Covariance, CovarianceModel
from hdlimit.problem.empirical import Empirical
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.named_covariances import Isotropic
from hdlimit.problem.noise import Gaussian
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.simulation.kernels import steps as stream
from hdlimit.simulation.samplers import Rule, block_steps, choose_rows, factor, in_eigenbasis, sampler_of
from hdlimit.simulation.updates import UPDATES, update_of

FALSE_ALARM = 1e-3
SMALL = [Isotropic(5), Covariance([0.0, 0.3, 2.0]), Covariance(np.diag([1.0, 2.0, 0.5, 1.5]) + 0.4)]


def features(problem: Problem, count: int, batch_size: int = 1, rows: str = "gaussian") -> np.ndarray:
    """Samples x of a problem without noise but eps = -1: from delta = 0 one SGD step of length 1 is -x (B = 1)."""
    d = problem.dimension
    generators = (np.random.default_rng(0), np.random.default_rng(1))
    sampler = sampler_of(problem, batch_size, rows)
    x = np.empty((count, d))
    for start in range(0, count, block_steps(d, batch_size)):
        steps = min(block_steps(d, batch_size), count - start)
        block = sampler.draw(*generators, steps, sampler.scratch())
        rule = Rule(UPDATES["gradient"].number, np.ones(steps), np.full(steps, math.inf))
        for k in range(steps):
            delta = np.zeros(d)
            block.advance(delta, rule, k, k + 1)
            x[start + k] = -delta
    return x


def worst_entry(x: np.ndarray, k: np.ndarray) -> float:
    """Largest |z| of the entries of the sample second moment: n Var(S_ij) = K_ii K_jj + K_ij^2 for Gaussian x."""
    deviation = np.sqrt((np.outer(np.diagonal(k), np.diagonal(k)) + k**2) / len(x))
    z = (x.T @ x / len(x) - k)[deviation > 0] / deviation[deviation > 0]
    return float(np.abs(z).max())


def critical(d: int) -> float:
    """Two-sided normal quantile for d (d + 1)/2 entries together at FALSE_ALARM (Bonferroni)."""
    return float(stats.norm.isf(FALSE_ALARM / (d * (d + 1))))


@pytest.mark.parametrize("covariance", SMALL, ids=name_of)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_features_have_the_covariance(covariance: CovarianceModel, batch_size: int) -> None:
    """Second moments of 20 000 (means of B) samples; false alarm 0.001 a case. Planted: K squared in place of K."""
    x = features(Problem(covariance, Empirical([-1.0])), 20_000, batch_size)
    k = covariance.matrix / batch_size
    assert worst_entry(x, k) < critical(len(k))
    assert (x[:, np.diagonal(k) == 0] == 0).all()
    if not np.array_equal(covariance.matrix, covariance.matrix @ covariance.matrix):
        assert worst_entry(x, covariance.matrix @ k) > critical(len(k))
    assert worst_entry(x, 1.1 * k) > critical(len(k))


def test_features_are_the_normals_in_order() -> None:
    full = Covariance(np.diag([1.0, 2.0, 0.5, 1.5, 3.0]) + 0.4)
    for problem, f in (
        (Problem(Covariance([4.0, 9.0, 0.0]), Empirical([-1.0])), np.diag([2.0, 3.0, 0.0])),
        (Problem(full, Empirical([-1.0])), factor(full.matrix)),
    ):
        z = np.random.default_rng(0).standard_normal((7, problem.dimension))
        np.testing.assert_allclose(features(problem, 7), z @ f.T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("covariance", [c for c in COVARIANCES if c.diagonal is None], ids=name_of)
def test_factor(covariance: CovarianceModel) -> None:
    f = factor(covariance.matrix)
    np.testing.assert_allclose(f @ f.T, covariance.matrix, rtol=0, atol=1e-13 * covariance.norm)


@pytest.mark.parametrize("covariance", [c for c in COVARIANCES if c.diagonal is None], ids=name_of)
def test_eigenbasis_keeps_the_problem(covariance: CovarianceModel) -> None:
    start = np.linspace(-1, 2, covariance.dimension)
    problem = Problem(covariance, Gaussian(0.3), start=start)
    turned = in_eigenbasis(problem)
    assert turned.covariance.diagonal is not None and turned.noise == problem.noise
    assert turned.initial_risk == pytest.approx(problem.initial_risk, rel=1e-12)
    assert turned.covariance.trace == pytest.approx(covariance.trace, rel=1e-12)
    length = np.linalg.norm(problem.initial_error)
    assert np.linalg.norm(turned.initial_error) == pytest.approx(length, rel=1e-12)


def problem_with_rows() -> Problem:
    x = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, -2.0]])
    return Problem(np.cov(x.T, bias=True), rows=Rows(x, np.full(3, -1.0)))


def test_rows_are_drawn_with_replacement_and_equal_weight() -> None:
    """Chi-square on the counts of 3 rows in 30 000 draws, false alarm 0.001. Planted: one row 5 % too often."""
    problem = problem_with_rows()
    x = features(problem, 30_000, rows="data")
    assert problem.rows is not None
    counts = np.array([(x == row).all(axis=1).sum() for row in problem.rows.x])
    assert counts.sum() == 30_000
    limit = stats.chi2.isf(FALSE_ALARM, 2)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < limit
    planted = np.array([10_500, 9750, 9750])
    assert ((counts - planted) ** 2 / planted).sum() > limit


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_a_shorter_block_begins_with_the_same_samples(noise: NoiseLaw) -> None:
    for covariance in (Isotropic(4), Covariance(np.eye(4) + 0.1)):
        ends = []
        for steps in (9, 4):
            generators = (np.random.default_rng(0), np.random.default_rng(1))
            sampler = sampler_of(Problem(covariance, noise), 3, "gaussian")
            block = sampler.draw(*generators, steps, sampler.scratch())
            delta = np.ones(4)
            block.advance(delta, Rule(stream.GRADIENT, np.full(steps, 0.1), np.full(steps, 1.0)), 0, 4)
            ends.append(delta)
        assert np.array_equal(*ends)


@pytest.mark.parametrize(("d", "batch_size"), [(1, 1), (10, 3), (1000, 1), (1000, 7), (10**6, 1), (10**6, 64)])
def test_blocks_hold_4_megabytes(d: int, batch_size: int) -> None:
    steps = block_steps(d, batch_size)
    assert 1 <= steps <= 4096
    assert steps == 1 or steps * d * batch_size * 8 <= 2**22


@pytest.mark.parametrize(("m", "k", "n"), [(2, 4, 1), (6, 52, 3), (10, 100, 515), (64, 8, 1030)])
def test_product(m: int, k: int, n: int) -> None:
    generator = np.random.default_rng(5)
    z, f, x = generator.standard_normal((m, k)), generator.standard_normal((k, n)), np.full((m, n), math.nan)
    stream.product(x, z, f)
    np.testing.assert_allclose(x, z @ f, rtol=0, atol=1e-13 * k)
    part = np.empty((2, n))
    stream.product(part, np.ascontiguousarray(z[:2]), f)
    assert np.array_equal(part, x[:2])


def applied(name: str, x: list[float], max_norm: float) -> list[float]:
    """The update of one sample of residual 1, whose gradient is x."""
    delta, gradient, number = np.zeros(len(x)), np.zeros(len(x)), UPDATES[name].number
    stream.add_gradient(gradient, delta, np.array(x), -1.0, 1.0, np.empty(0), 0.0, number)
    stream.apply_update(number, delta, gradient, 0.5, max_norm, np.empty(0))
    return (-delta / 0.5).tolist()


def test_updates() -> None:
    assert applied("gradient", [3.0, -4.0, 0.0], 1.0) == [3.0, -4.0, 0.0]
    assert applied("signed-gradient", [3.0, -4.0, 0.0, -0.0, 1e-300], 1.0) == [1.0, -1.0, 0.0, 0.0, 1.0]
    assert applied("signed-features", [3.0, -4.0, 0.0, -0.0, 1e-300], 1.0) == [1.0, -1.0, 0.0, 0.0, 1.0]
    assert applied("clipped-gradient", [3.0, -4.0, 0.0], 2.5) == pytest.approx([1.5, -2.0, 0.0])
    assert applied("clipped-gradient", [3.0, -4.0, 0.0], 5.0) == [3.0, -4.0, 0.0]
    assert applied("clipped-gradient", [3.0, -4.0, 0.0], math.inf) == [3.0, -4.0, 0.0]
    assert applied("clipped-gradient", [3.0, -4.0, 0.0], 0.0) == [0.0, 0.0, 0.0]
    assert applied("clipped-gradient", [0.0, 0.0], 0.0) == [0.0, 0.0]


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("max_norm", [0.7, math.inf])
def test_update_entries_say_the_truth(name: str, max_norm: float) -> None:
    """`rotates`, `clips` and `unbounded` are decided by applying the update to rotated x and long gradients."""
    generator = np.random.default_rng(2)
    gradient, q = generator.standard_normal(5), np.linalg.qr(generator.standard_normal((5, 5)))[0]
    plain, turned = (np.array(applied(name, g.tolist(), max_norm)) for g in (gradient, q @ gradient))
    assert np.allclose(turned, q @ plain, atol=1e-12) == UPDATES[name].rotates
    lengths = []
    for s in (1e6, 1e9):
        delta = np.zeros(5)
        stream.apply_update(UPDATES[name].number, delta, s * gradient, 0.5, max_norm, np.empty(0))
        lengths.append(np.linalg.norm(delta))
    assert bool(lengths[1] > 2 * lengths[0]) == UPDATES[name].unbounded(max_norm)
    counted = [
        stream.apply_update(UPDATES[name].number, np.zeros(5), s * gradient, 0.5, max_norm, np.empty(0))
        for s in (1e-6, 1e6)
    ]
    assert counted == [0, int(UPDATES[name].clips and math.isfinite(max_norm))]


def test_every_optimizer_names_an_update() -> None:
    for optimizer in (SGD(0.1), ClippedSGD(0.1, 1.0), SignSGD(0.1)):
        assert update_of(optimizer) is UPDATES[optimizer.update]

    class Unknown(SGD):
        update = "unheard-of"

    with pytest.raises(InvalidInput, match=r"optimizer: expected .*'clipped-gradient'.*got .*'unheard-of'"):
        update_of(Unknown(0.1))


def test_choice_of_rows() -> None:
    plain, data = Problem(Isotropic(3)), problem_with_rows()
    assert choose_rows(plain, None) == "gaussian" and choose_rows(data, None) == "data"
    assert choose_rows(data, "gaussian") == "gaussian"
    with pytest.raises(InvalidInput, match="rows: expected 'gaussian', as the problem has no rows"):
        choose_rows(plain, "data")
    with pytest.raises(InvalidInput, match="rows: expected one of 'data', 'gaussian', got 'both'"):
        choose_rows(data, "both")


@pytest.mark.parametrize(
    "rows",
    [
        Rows(np.ones((3, 2)), np.ones(2)),
        Rows(np.ones((3, 3)), np.ones(3)),
        Rows(np.ones((0, 2)), np.ones(0)),
        Rows(np.full((3, 2), math.nan), np.ones(3)),
        Rows(np.ones((3, 2)), np.array([0.0, math.inf, 1.0])),
    ],
)
def test_bad_rows_are_refused(rows: Rows) -> None:
    with pytest.raises(InvalidInput, match="problem.rows: expected"):
        sampler_of(Problem(Isotropic(2), rows=rows), 1, "data")
