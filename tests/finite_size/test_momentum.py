"""The exact mean of momentum: against second moments written out in the original coordinates, against runs, and as what
a verification allows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.errors import Status
from hdlimit.finite_size.exact_mean import exact_bias
from hdlimit.problem.covariance import CovarianceModel

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
NOISE = 0.5
OPTIMIZERS = [
    hd.SGD(0.08, momentum=0.9),
    hd.SGD(0.3, 3, momentum=0.6, nesterov=True),
    hd.SGD(0.5, momentum=0.9, dampening=0.9),
    hd.SGD(0.2, 2, momentum=0.8, dampening=0.3),
    hd.SGD(hd.schedules.Steps([1.0, 2.0], [0.1, 0.02, 0.05]), momentum=0.7),
]


def moments(problem: hd.Problem, optimizer: Any, steps: int) -> np.ndarray:
    """E R after 0, ..., steps steps from D = E (delta, buffer)(delta, buffer)^T, of shape (2 d, 2 d).

    With g = (1/B) sum (x x^T delta - eps x), Gaussian x and Isserlis: E g | delta = K delta and
    E g g^T = K M K (1 + 1/B) + (tr(K M) + s^2) K/B, M = E delta delta^T.
    """
    d, k, batch, memory = problem.dimension, problem.covariance.matrix, optimizer.batch_size, optimizer.memory
    delta, one, zero = problem.initial_error, np.eye(d), np.zeros((d, d))
    s = np.block([[np.outer(delta, delta), zero], [zero, zero]])
    risks = [float((k * s[:d, :d]).sum()) / 2]
    for step in range(steps):
        lr, beta = float(optimizer.lr_schedule(step / d)) / d, memory.momentum
        kept = 1.0 if step == 0 else 1 - memory.dampening
        # buffer <- beta buffer + kept g; delta <- delta - lr (buffer, or g + beta buffer).
        back, ahead = (beta * beta, 1 + beta * kept) if memory.nesterov else (beta, kept)
        t, u = np.block([[one, -lr * back * one], [zero, beta * one]]), np.vstack([-lr * ahead * one, kept * one])
        m = s[:d, :d]
        second = k @ m @ k * (1 + 1 / batch) + ((k * m).sum() + NOISE**2) * k / batch
        cross = t @ s[:, :d] @ k @ u.T
        s = t @ s @ t.T + cross + cross.T + u @ second @ u.T
        risks.append(float((k * s[:d, :d]).sum()) / 2)
    return np.array(risks)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize(
    "covariance", [hd.PowerLaw(7, 0.8).rotated(2), hd.Isotropic(1), hd.Covariance([0.0, 0.5, 2.0])], ids=repr
)
def test_the_recursion_is_that_of_the_second_moments(covariance: CovarianceModel, optimizer: Any) -> None:
    problem = hd.Problem(covariance, hd.Gaussian(NOISE))
    found = hd.exact_mean(problem, optimizer, 60)
    np.testing.assert_allclose(found.risk, moments(problem, optimizer, found.steps[-1]), rtol=1e-11)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_mean_of_runs(optimizer: Any) -> None:
    """4000 runs at d = 12; 4 times, z below 4: false alarms 3e-4 a case, and 20 % more noise is seen."""
    problem = hd.Problem(hd.PowerLaw(12, 0.4), hd.Gaussian(NOISE))
    steps = np.array([1, 6, 24, 60])
    runs = hd.simulate(problem, optimizer, 6.0, 4000, seed=5, times=(steps + 0.5) / 12)

    def deviations(noise: float) -> np.ndarray:
        mean = hd.exact_mean(hd.Problem(hd.PowerLaw(12, 0.4), hd.Gaussian(noise)), optimizer, steps).risk
        z: np.ndarray = np.abs(runs.mean - mean) / runs.stderr
        return z

    assert deviations(NOISE).max() < 4
    assert deviations(1.2 * NOISE).max() > 4


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_the_bias_is_that_of_the_curve_and_shrinks_like_one_over_d(optimizer: Any) -> None:
    """exact_bias knows no curve; it is the exact mean less the curve, and of order 1/d at a fixed zeta."""
    errors = []
    for d in (50, 200):
        zeta = 50 * (1 - optimizer.momentum)
        share = {"momentum": 1 - zeta / d} if optimizer.dampening in (0.0, 0.3) else {}
        scaled = (1 - share["momentum"]) / (1 - optimizer.momentum) if share else 1.0
        lr: Any = optimizer.lr * scaled if isinstance(optimizer.lr, float) else 0.05 * scaled
        other = replace(optimizer, lr=lr, **share)
        problem, steps = hd.Problem(hd.Isotropic(d), hd.Gaussian(NOISE)), np.array([1, 2, 4]) * d
        mean, curve = hd.exact_mean(problem, other, steps), hd.predict(problem, other, 4.0, rtol=1e-9)
        bias = exact_bias(problem, other, steps)
        np.testing.assert_allclose(bias, mean.risk - curve.at(mean.time), rtol=0.02, atol=2e-5 * mean.risk[0])
        errors.append(np.abs(bias / mean.risk).max())
    assert errors[1] < 0.35 * errors[0] and errors[0] < 0.1


def test_verification_of_sgd_with_momentum() -> None:
    """The right curve passes, and one of an lr 10 % larger is told apart; the rate of false alarms is 1e-3 a case."""
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(NOISE))
    for optimizer in (hd.SGD(0.02, momentum=0.97), hd.SGD(0.05, momentum=0.9, nesterov=True)):
        report = hd.verify(problem, optimizer, 6.0, 200, seed=2, false_alarm=1e-3)
        assert report.verdict == "consistent", report.summary()
        wrong = hd.predict(problem, replace(optimizer, lr=1.1 * optimizer.lr), 6.0).at(report.time)
        assert (np.abs(report.mean - wrong) > report.allowance + report.critical * report.stderr).any()


def test_divergence_is_an_outcome() -> None:
    problem = hd.Problem(hd.Isotropic(20), hd.Gaussian(NOISE))
    found = hd.exact_mean(problem, hd.SGD(3.0, momentum=0.9), 4000)
    assert found.outcome.status is Status.DIVERGED and np.isfinite(found.risk).all()
    assert math.isfinite(hd.exact_mean(problem, hd.SGD(1e-300, momentum=0.9), 10).risk[-1])


# ---- fluctuations, and the shift of the mean to first order in 1/d

PROBLEM = hd.Problem(hd.PowerLaw(200, 0.4), hd.Gaussian(NOISE))
TIMES = np.array([0.5, 1.0, 2.0, 4.0])
LINEAR = [
    hd.SGD(0.05, momentum=0.9),
    hd.SGD(0.05, momentum=0.9, nesterov=True),
    hd.SGD(0.5, momentum=0.9, dampening=0.9),
    hd.SGD(0.3, 4, momentum=0.7),
    hd.SGD(hd.schedules.Steps([1.0, 2.0], [0.1, 0.02, 0.05]), momentum=0.8),
]
CLIPPED = [
    hd.ClippedSGD(0.015, 0.6, momentum=0.97),
    hd.ClippedSGD(0.1, 0.6, 4, momentum=0.9, nesterov=True),
    hd.ClippedSGD(0.5, 0.6, momentum=0.97, dampening=0.97),
]


@pytest.mark.parametrize("optimizer", LINEAR, ids=repr)
def test_the_shift_is_the_exact_bias(optimizer: Any) -> None:
    """To a tenth of its largest share of the risk: what is left out is of the next order in 1/d."""
    bias = exact_bias(PROBLEM, optimizer, np.rint(200 * TIMES))
    shift = hd.predict(PROBLEM, optimizer, 4.0, rtol=1e-8).linear_noise.shift(TIMES)
    risk = hd.predict(PROBLEM, optimizer, 4.0).at(TIMES)
    assert np.abs((shift - bias) / risk).max() < 0.1 * np.abs(bias / risk).max()


SMALL = hd.Problem(hd.PowerLaw(100, 0.4), hd.Gaussian(NOISE))


@pytest.mark.parametrize(
    "optimizer",
    [CLIPPED[0], *(pytest.param(each, marks=pytest.mark.slow) for each in (*CLIPPED[1:], LINEAR[1]))],
    ids=repr,
)
def test_spread_and_mean_of_runs(optimizer: Any) -> None:
    """2000 runs: spreads within 8 %, five standard errors; the corrected mean within four, and 1/d^2 ten times."""
    curve = hd.predict(SMALL, optimizer, 4.0, times=TIMES)
    runs = hd.simulate(SMALL, optimizer, 4.0, 2000, seed=3, times=TIMES)
    # With dampening the first gradient may be all that moves, which is no small fluctuation.
    rough = 0.2 if optimizer.dampening else 0.08
    np.testing.assert_allclose(curve.linear_noise.spread(TIMES), runs.spread, rtol=rough)
    assert (np.abs(runs.mean - curve.corrected) < 4 * runs.stderr + 1e-3 * curve.risk).all()


def test_another_spread_is_told_apart() -> None:
    """The twin: that of clipped SGD with the same effective lr."""
    runs = hd.simulate(SMALL, CLIPPED[0], 4.0, 2000, seed=3, times=TIMES)
    plain = hd.predict(SMALL, hd.ClippedSGD(CLIPPED[0].effective_lr, 0.6), 4.0)
    assert np.abs(plain.linear_noise.spread(TIMES) / runs.spread - 1).max() > 0.08


def test_verification_of_clipped_momentum() -> None:
    """The risk, the distance and the share of clipped steps; a curve of an lr 20 % larger is told apart."""
    problem = hd.Problem(hd.Isotropic(200), hd.StudentT(5, NOISE))
    optimizer = hd.ClippedSGD(0.015, 0.6, momentum=0.985)
    report = hd.verify(problem, optimizer, 6.0, 300, seed=2, false_alarm=1e-3, record=["distance", "clipped_fraction"])
    assert report.verdict == "consistent", report.summary()
    assert report.allowance.max() < 0.01 * report.predicted.max()
    wrong = hd.predict(problem, hd.ClippedSGD(0.018, 0.6, momentum=0.985), 6.0).at(report.time)
    assert (np.abs(report.mean - wrong) > report.allowance + report.critical * report.stderr).any()


def test_scaling_study_with_momentum() -> None:
    study = hd.scaling_study(hd.Problem(hd.Isotropic(9), hd.Gaussian(NOISE)), hd.ClippedSGD(0.05, 0.7, momentum=0.9),
                             3.0, [30, 60, 120], 200, seed=1, false_alarm=1e-3)  # fmt: skip
    assert study.verdict in ("consistent", "inconclusive") and np.isfinite(study.predicted_spread).all()
    np.testing.assert_allclose(study.predicted_spread, study.spread, rtol=0.3)
