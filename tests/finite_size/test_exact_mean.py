"""The exact mean of SGD against full matrices, the corrected mean, simulated runs and the critical step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import COVARIANCES, name_of
from scipy import stats

import hdlimit as hd
from hdlimit.core.declaration import FloatArray
from hdlimit.finite_size.exact_mean import exact_bias
from hdlimit.problem.scipy_noise import ScipyNoise

SKEWED = ScipyNoise(stats.skewnorm(4, loc=0.3))  # its mean is not 0
FALLING = hd.schedules.Cosine(0.9, 0.1, 2.0)


def full_matrices(problem: hd.Problem, optimizer: hd.SGD, steps: int) -> FloatArray:
    """R at 0, ..., steps from E[delta delta^T] itself, with E[x x^T D x x^T] = 2 K D K + K tr(K D)."""
    k, d, b = problem.covariance.matrix, problem.dimension, optimizer.batch_size
    mean = np.outer(problem.initial_error, problem.initial_error)
    risk = [np.trace(k @ mean) / 2]
    for done in range(steps):
        g = float(optimizer.lr_schedule(done / d)) / d
        pair = k @ mean @ k
        own = 2 * pair + k * (np.trace(k @ mean) + problem.noise.second_moment)
        mean = mean - g * (k @ mean + mean @ k) + g**2 * (own / b + (1 - 1 / b) * pair)
        risk.append(np.trace(k @ mean) / 2)
    return np.array(risk)


@pytest.mark.parametrize("optimizer", [hd.SGD(0.6), hd.SGD(FALLING, batch_size=3)], ids=name_of)
@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_full_matrices(covariance: Any, optimizer: hd.SGD) -> None:
    d = covariance.dimension
    start = np.random.default_rng(1).standard_normal(d)
    problem = hd.Problem(covariance, SKEWED, start=start)
    found = hd.exact_mean(problem, optimizer, 3 * d)
    np.testing.assert_allclose(found.risk, full_matrices(problem, optimizer, 3 * d), rtol=1e-9, atol=1e-14)
    assert found.outcome.finished == hd.stability(problem, optimizer).stable and found.time[-1] == 3.0


def test_the_bias_of_first_order_is_the_limit_of_this_one() -> None:
    """exact - (limit + shift) is O(1/d^2): four times smaller, to a fifth, when d doubles; exact - limit only twice."""
    left, bias = [], []
    for d in (50, 100, 200):
        problem, steps = hd.Problem(hd.MarchenkoPastur(d, 0.5), SKEWED), np.array([d, 2 * d, 4 * d])
        curve = hd.predict(problem, hd.SGD(0.8), 4.0, times=steps / d, rtol=1e-9)
        exact = hd.exact_mean(problem, curve.optimizer, steps).risk
        left.append(exact - curve.corrected)
        bias.append(exact - curve.risk)
    for k in (0, 1):
        np.testing.assert_allclose(left[k] / left[k + 1], 4, rtol=0.2)
        np.testing.assert_allclose(bias[k] / bias[k + 1], 2, rtol=0.1)


@pytest.mark.parametrize("optimizer", [hd.SGD(0.8), hd.SGD(FALLING, batch_size=3)], ids=name_of)
def test_the_bias_of_the_recursion_is_the_bias_of_the_limit(optimizer: hd.SGD) -> None:
    """exact_bias, which knows no curve, against exact - predict, to the share 1/d^2."""
    for d in (50, 200):
        problem, steps = hd.Problem(hd.PowerLaw(d, 0.1), hd.Gaussian(0.4)), np.array([d // 2, 2 * d, 4 * d])
        limit = hd.predict(problem, optimizer, 4.0, times=steps / d, rtol=1e-9).risk
        bias = hd.exact_mean(problem, optimizer, steps).risk - limit
        found = exact_bias(problem, optimizer, steps)
        np.testing.assert_allclose(found, bias, rtol=1 / d**2, atol=1e-8)
        assert (np.abs(bias) > 1e-4).all()
    with pytest.raises(hd.errors.NotAvailable, match="diverges"):
        exact_bias(problem, hd.SGD(5.0), [10_000])


def test_steps_as_a_number_and_as_an_array() -> None:
    problem, optimizer = hd.Problem(hd.MarchenkoPastur(30, 0.5), hd.Gaussian(0.3)), hd.SGD(FALLING)
    whole = hd.exact_mean(problem, optimizer, 200_000)
    assert np.array_equal(whole.steps, np.arange(200_001)) and whole.risk[0] == pytest.approx(problem.initial_risk)
    some = np.array([0, 0, 7, 65_535, 65_536, 65_536, 65_537, 140_000, 200_000])
    picked = hd.exact_mean(problem, optimizer, some)
    assert np.array_equal(picked.risk, whole.risk[some]) and np.array_equal(picked.steps, some)
    assert np.array_equal(picked.time, some / 30) and np.array_equal(picked.samples, some)
    assert hd.exact_mean(problem, optimizer, 0).risk.tolist() == whole.risk[:1].tolist()


def test_one_parameter() -> None:
    """d = 1, worked by hand: v <- (1 - 2 g l + 3 g^2 l^2) v + g^2 l^2 E eps^2."""
    problem = hd.Problem(hd.Covariance([0.8]), hd.Gaussian(0.5), target=np.array([1.5]))
    v, expected = 0.8 * 1.5**2, []
    for _ in range(51):
        expected.append(v / 2)
        v = (1 - 2 * 0.4 * 0.8 + 3 * (0.4 * 0.8) ** 2) * v + (0.4 * 0.8) ** 2 * 0.25
    np.testing.assert_allclose(hd.exact_mean(problem, hd.SGD(0.4), 50).risk, expected, rtol=1e-13)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("covariance", [hd.Isotropic(1), hd.PowerLaw(20, 1.2), hd.Wishart(15, 2.0)], ids=name_of)
def test_bounded_below_the_critical_lr_and_growing_above(covariance: Any, batch: int) -> None:
    problem = hd.Problem(covariance, hd.Gaussian(0.3))
    critical = hd.stability(problem, hd.SGD(1.0, batch_size=batch)).critical_lr
    below, at, above = (
        hd.exact_mean(problem, hd.SGD(share * critical, batch_size=batch), 200_000) for share in (0.97, 1.0, 1.03)
    )
    late = below.risk[100_000:]
    assert below.outcome.finished and late.max() <= late.min() * (1 + 1e-6)
    growth = np.diff(at.risk[[50_000, 100_000, 150_000, 200_000]])
    assert at.outcome.status is hd.errors.Status.UNSTABLE and growth == pytest.approx(growth[0], rel=1e-3)  # linear
    assert above.outcome.status is hd.errors.Status.DIVERGED
    assert above.steps.size < 200_001 and np.isfinite(above.risk).all()
    assert above.risk[-1] <= 1e12 * max(problem.initial_risk, 0.09) < 2 * above.risk[-1] * critical**2 * 20


def check_against_runs(
    problem: hd.Problem, optimizer: hd.SGD, horizon: float, runs: int, times: int, **method: Any
) -> None:
    """|mean - exact| <= 4 standard errors at every time; a mean of lr 3 % too large is out of them."""
    d = problem.dimension
    steps = np.unique(np.geomspace(1, horizon * d, times).astype(int))
    ensemble = hd.simulate(problem, optimizer, horizon, runs=runs, seed=12, times=steps / d, **method)
    z = (ensemble.mean - hd.exact_mean(problem, optimizer, steps).risk) / ensemble.stderr
    assert np.abs(z).max() <= 4
    wrong = hd.exact_mean(problem, hd.SGD(1.03 * optimizer.lr, batch_size=optimizer.batch_size), steps)
    assert (np.abs(ensemble.mean - wrong.risk) / ensemble.stderr).max() > 4


@pytest.mark.parametrize(
    ("covariance", "noise", "batch"),
    [
        (hd.Isotropic(30), SKEWED, 1),
        (hd.PowerLaw(30, 0.5), hd.Laplace(0.4), 1),
        pytest.param(hd.Wishart(30, 0.5), SKEWED, 4, marks=pytest.mark.slow),
    ],
    ids=name_of,
)
def test_the_mean_of_direct_runs(covariance: Any, noise: Any, batch: int) -> None:
    """2500 runs at d = 30: |z| <= 4 at 10 times (false alarms: below 10 * 6.4e-5 each)."""
    check_against_runs(hd.Problem(covariance, noise), hd.SGD(0.7, batch_size=batch), 4.0, 2500, 10)


def two_blocks(d: int) -> hd.Covariance:
    return hd.Covariance(np.repeat([0.5, 1.5], d // 2))


@pytest.mark.parametrize(
    ("d", "horizon", "batch"),
    [(30, 4.0, 1), (200, 4.0, 4), *((d, t, batch) for d, t in ((1000, 8.0), (10_000, 3.0)) for batch in (1, 4))],
)
@pytest.mark.slow
def test_the_mean_of_block_runs(d: int, horizon: float, batch: int) -> None:
    """10^4 runs of the block sampler: |z| <= 4 at all times (false alarms below 1.6e-3 each)."""
    problem, optimizer = hd.Problem(two_blocks(d), hd.Gaussian(0.5)), hd.SGD(0.8, batch_size=batch)
    check_against_runs(problem, optimizer, horizon, 10_000, 25 if d >= 1000 else 10, method="blocks")


def test_the_limit_is_not_the_mean_of_block_runs() -> None:
    """The twin: at d = 30 the O(1/d) bias of the limit is seen in 3000 runs."""
    problem, optimizer, times = hd.Problem(hd.Isotropic(30), hd.Gaussian(0.5)), hd.SGD(1.2), np.linspace(2, 4, 6)
    runs = hd.simulate(problem, optimizer, 4.0, runs=3000, seed=12, times=times, method="blocks")
    with pytest.warns(hd.errors.NearCriticalWarning, match="1.11 times"):
        limit = hd.predict(problem, optimizer, 4.0, times=times).risk
    exact = hd.exact_mean(problem, optimizer, np.rint(times * 30)).risk
    assert (np.abs(runs.mean - limit) / runs.stderr).max() > 4 > (np.abs(runs.mean - exact) / runs.stderr).max()


def test_null_directions_carry_no_risk() -> None:
    singular = hd.Problem(hd.Covariance([0.0, 0.0, 2.0, 1.0]), hd.Gaussian(0.3))
    np.testing.assert_allclose(
        hd.exact_mean(singular, hd.SGD(0.5), 40).risk, full_matrices(singular, hd.SGD(0.5), 40), rtol=1e-12
    )


def test_at_the_target_without_noise_nothing_moves() -> None:
    problem = hd.Problem(hd.Isotropic(9), hd.NoNoise(), start=np.full(9, 1 / 3))
    still = hd.exact_mean(problem, hd.SGD(0.5), 20)
    assert not still.risk.any() and still.outcome.finished


def test_only_sgd() -> None:
    problem = hd.Problem(hd.Isotropic(20), hd.Gaussian(0.3))
    for optimizer in (hd.ClippedSGD(0.5, 0.9), hd.SignSGD(0.5), hd.tuning.score_sgd(problem, 2.0, 0.5)):
        with pytest.raises(hd.errors.NotAvailable, match="no closed recursion"):
            hd.exact_mean(problem, optimizer, 10)


@pytest.mark.parametrize("noise", [hd.StudentT(1.5, 0.3), hd.StudentT(2, 0.3)], ids=name_of)
def test_noise_of_infinite_variance(noise: Any) -> None:
    with pytest.raises(hd.errors.NoLimit, match="its mean risk is infinite"):
        hd.exact_mean(hd.Problem(hd.Isotropic(20), noise), hd.SGD(0.5), 10)


@pytest.mark.parametrize(
    "steps", [-1, 1.5, [3, 2], [0, 1.5], [-1, 2], [], [math.nan], "ten", None, [[1, 2]]], ids=name_of
)
def test_bad_steps(steps: Any) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="steps"):
        hd.exact_mean(hd.Problem(hd.Isotropic(20), hd.Gaussian(0.3)), hd.SGD(0.5), steps)


def test_divergence_before_the_first_step_asked_for() -> None:
    found = hd.exact_mean(hd.Problem(hd.Isotropic(20), hd.Gaussian(0.3)), hd.SGD(40.0), [100_000])
    assert found.risk.size == 0 and "before the first" in str(found.outcome)
    assert "diverged" in repr(found)


def test_plot() -> None:
    mean = hd.exact_mean(hd.Problem(hd.Isotropic(20), hd.Gaussian(0.3)), hd.SGD(0.5), 100)
    line = mean.plot().lines[0]
    assert np.array_equal(line.get_ydata(), mean.risk[1:]) and line.get_label() == "exact mean, d = 20"
