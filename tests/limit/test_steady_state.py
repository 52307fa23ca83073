"""Steady states, their time scales, critical steps and batches, against slow algebra and long simulation.

Statistical tests compare at 4 standard errors of the runs (false alarm 6e-5 each) plus, for the steady risk, the
O(1/d_int) bias of the limit; each has a twin with a planted error that must be rejected.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import name_of

import hdlimit as hd
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.conditions import exact_critical_batch, exact_critical_lr
from hdlimit.problem.covariance import CovarianceModel
from hdlimit.problem.noise_law import NoiseLaw

COVARIANCES = [
    hd.Isotropic(40),
    hd.PowerLaw(40, 0.6),
    hd.MarchenkoPastur(40, 2.0),
    hd.Wishart(30, 0.5, row_scales=np.geomspace(0.3, 3, 30)),
    hd.PowerLaw(30, 0.8).rotated(1),
]
NOISES = [hd.NoNoise(), hd.Gaussian(0.5), hd.StudentT(3, 0.4), hd.Laplace(0.6), hd.Rademacher(0.8), hd.Uniform(1.2)]
OPTIMIZERS: list[Optimizer] = [
    hd.SGD(0.7),
    hd.SGD(0.7, batch_size=4),
    hd.ClippedSGD(0.7, 0.6),
    hd.ClippedSGD(1.8, 2.0),
    hd.SignSGD(0.2),
    hd.SignSGD(0.05),
]


def slowest_rate(problem: hd.Problem, optimizer: Optimizer, risk: float) -> float:
    """The slowest rate at rest from the eigenvalues of the mode equations' Jacobian, by complex-free differences."""
    limit = limit_of(problem, optimizer)
    lr, c = float(limit.lr(0.0)), float(limit.control(0.0))
    moving = limit.modes.rate > 0
    rate, noise = limit.modes.rate[moving], limit.modes.diffusion[moving]

    def flow(m: np.ndarray) -> np.ndarray:
        mu, nu = limit.response(float(rate @ m), c)
        return -2 * lr * mu * rate * m + lr**2 * nu * noise

    mu, nu = limit.response(2 * risk, c)
    rest = lr * nu * noise / (2 * mu * rate)
    assert np.abs(flow(rest)).max() <= 1e-8 * (lr**2 * nu * noise).max()
    jacobian = np.empty((rate.size, rate.size))
    for j in range(rate.size):
        h = 1e-4 * risk / rate[j]
        up, down = rest.copy(), rest.copy()
        up[j] += h
        down[j] -= h
        jacobian[:, j] = (flow(up) - flow(down)) / (2 * h)
    return float(-np.linalg.eigvals(jacobian).real.max())


@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_time_scale_is_the_slowest_eigenvalue_of_the_jacobian(covariance: CovarianceModel) -> None:
    worst, count = 0.0, 0
    for noise in NOISES:
        for optimizer in OPTIMIZERS:
            problem = hd.Problem(covariance, noise)
            steady = hd.steady_state(problem, optimizer)
            if not 0 < steady.risk < math.inf:
                continue
            worst = max(worst, abs(steady.time_scale * slowest_rate(problem, optimizer, steady.risk) - 1))
            count += 1
    assert count >= 25
    assert worst < 1e-5


def test_time_scale_in_closed_form() -> None:
    for batch in (1, 4):
        for noise in (hd.NoNoise(), hd.Gaussian(0.5)):
            found = hd.steady_state(hd.Problem(hd.Isotropic(60), noise), hd.SGD(0.7, batch_size=batch))
            assert found.time_scale == pytest.approx(1 / (2 * 0.7 - 0.7**2 / batch), rel=1e-9)
    silent = hd.steady_state(hd.Problem(hd.Isotropic(60)), hd.SignSGD(0.3))
    # dv/dt = -(4/pi) eta sqrt(v) + eta^2, at rest sqrt(v) = pi eta/4: the slope is -(2/pi) eta/sqrt(v) = -8/pi^2
    assert silent.time_scale == pytest.approx(math.pi**2 / 8, rel=1e-9)
    still = hd.steady_state(hd.Problem(hd.PowerLaw(60, 0.5)), hd.ClippedSGD(0.5, 0.7))
    assert still.risk == 0
    assert still.time_scale == hd.steady_state(hd.Problem(hd.PowerLaw(60, 0.5)), hd.SGD(0.5)).time_scale


def test_time_scale_ends_at_the_critical_step() -> None:
    problem = hd.Problem(hd.PowerLaw(60, 0.5), hd.Gaussian(0.5))
    near = [hd.steady_state(problem, hd.SGD(2 - gap)).time_scale for gap in (1e-3, 1e-4)]
    assert near[1] / near[0] == pytest.approx(10, rel=0.01)
    beyond = hd.steady_state(problem, hd.SGD(2.1))
    assert beyond.risk == beyond.time_scale == math.inf


@pytest.mark.parametrize("covariance", [*COVARIANCES, hd.PowerLaw(50, 1.5), hd.Isotropic(1)], ids=name_of)
def test_critical_batch_is_the_first_stable_one(covariance: CovarianceModel) -> None:
    """Against the critical step of every batch size, itself tested against the exact recursion's spectral radius."""
    seen = set()
    largest = covariance.dimension / covariance.norm
    for lr in np.concatenate([np.geomspace(1e-3, 1.87, 12) * largest, [2 * largest, 3 * largest]]):
        batch = exact_critical_batch(covariance, lr)
        seen.add(batch)
        if lr >= 2 * largest:
            assert batch == math.inf
            continue
        assert exact_critical_lr(covariance, int(batch)) > lr
        assert batch == 1 or exact_critical_lr(covariance, int(batch) - 1) <= lr
    assert len(seen) >= 3


def spectral_radius(covariance: CovarianceModel, lr: float, batch: int) -> float:
    """Of rho <- (1 - g l)^2 rho + (g^2/B)(l^2 rho + l l^T rho): the exact second moments of SGD."""
    x = lr / covariance.dimension * covariance.eigenvalues
    matrix = np.diag((1 - x) ** 2 + x**2 / batch) + np.outer(x, x) / batch
    return float(np.abs(np.linalg.eigvals(matrix)).max())


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_critical_step_and_batch_against_the_exact_recursion(batch: int) -> None:
    for covariance in (hd.Isotropic(12), hd.PowerLaw(12, 0.7), hd.PowerLaw(12, 2.0), hd.Covariance([3.0, 1.0, 0.2])):
        critical = exact_critical_lr(covariance, batch)
        below, above = (spectral_radius(covariance, factor * critical, batch) for factor in (0.9999, 1.0001))
        assert below < 1 < above
        judged = hd.stability(hd.Problem(covariance, hd.Gaussian(1)), hd.SGD(1.001 * critical, batch_size=batch))
        assert not judged.stable and judged.critical_batch == batch + 1
        assert hd.stability(hd.Problem(covariance), hd.SGD(0.999 * critical)).critical_batch == batch


def test_bounded_maps_have_no_critical_step_or_batch() -> None:
    problem = hd.Problem(hd.Isotropic(30), hd.StudentT(1, 0.7))
    for optimizer in (hd.SignSGD(1e6), hd.ClippedSGD(1e6, 1.0)):
        judged = hd.stability(problem, optimizer)
        assert judged.stable and judged.critical_lr == math.inf and judged.critical_batch == 1


D = 600
WIDE = hd.PowerLaw(D, 0.3)
FEW = WIDE.binned(16)
LONG = [
    (hd.Problem(FEW, hd.Gaussian(0.5)), hd.SGD(1.0)),
    (hd.Problem(FEW, hd.Uniform(1.0)), hd.SGD(3.0, batch_size=4)),
    (hd.Problem(FEW, hd.StudentT(1.5, 0.3)), hd.ClippedSGD(0.8, 0.5)),
    (hd.Problem(WIDE, hd.Laplace(0.4)), hd.SignSGD(0.2)),
]


def method_for(optimizer: Optimizer) -> str:
    """The exact chain but for signs, which it does not know."""
    return "direct" if isinstance(optimizer, hd.SignSGD) else "blocks"


def steady_runs(problem: hd.Problem, optimizer: Optimizer) -> tuple[float, float]:
    """Mean over 16 runs of the time average of R over ten time scales after ten, and its standard error."""
    tau = hd.steady_state(problem, optimizer).time_scale
    times, method = np.linspace(10, 20, 60) * tau, method_for(optimizer)
    runs = hd.simulate(problem, optimizer, 20 * tau, runs=16, seed=5, times=times, method=method)
    average = runs.risk.mean(axis=1)
    return float(average.mean()), float(average.std(ddof=1) / 4)


@pytest.mark.parametrize(("problem", "optimizer"), LONG, ids=name_of)
def test_steady_risk_against_long_simulation(problem: hd.Problem, optimizer: Optimizer) -> None:
    """All below 0.8 of the critical step. Allowed: 4 standard errors and a bias of (1 + B/2)/D, D = (tr K)^2/tr K^2.

    Planted: a risk that is 8 % off, the effect of a step size that is about 8 % off, must be rejected.
    """
    assert hd.stability(problem, optimizer).critical_lr * 0.8 > float(optimizer.lr)
    values = problem.covariance.eigenvalues
    bias = (1 + optimizer.batch_size / 2) * (values**2).sum() / values.sum() ** 2
    risk = hd.steady_state(problem, optimizer).risk
    mean, error = steady_runs(problem, optimizer)
    assert abs(mean - risk) < 4 * error + bias * risk
    for planted in (0.92 * risk, 1.08 * risk):
        assert abs(mean - planted) > 4 * error + bias * planted


RELAX = [
    (hd.Gaussian(0.5), hd.SGD(0.8)),
    (hd.StudentT(1.5, 0.3), hd.ClippedSGD(0.8, 0.5)),
    pytest.param(hd.Laplace(0.4), hd.SignSGD(0.2), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("noise", "optimizer"), RELAX, ids=name_of)
def test_time_scale_against_simulation(noise: NoiseLaw, optimizer: Optimizer) -> None:
    """R started 25 % above and below its steady value on K = I: the gap falls to 1/e in one time scale.

    The gap's even part, and with it the bias, cancels; what is left of the nonlinearity is below 1 %. At 4 standard
    errors plus 1 %; a time scale that is 1.3 times off must be rejected.
    """
    d, shift = 300, 0.25
    steady = hd.steady_state(hd.Problem(hd.Isotropic(d), noise), optimizer)
    tau, method = steady.time_scale, method_for(optimizer)
    gaps, errors = [], []
    for sign in (1, -1):
        target = np.full(d, math.sqrt(2 * steady.risk * (1 + sign * shift) / d))
        problem = hd.Problem(hd.Isotropic(d), noise, target=target)
        runs = hd.simulate(problem, optimizer, tau, runs=1500, seed=17 + sign, times=[tau], method=method)
        gaps.append(runs.risk[:, -1].mean())
        errors.append(runs.stderr[-1])
    scale = 2 * shift * steady.risk
    fall, error = (gaps[0] - gaps[1]) / scale, math.hypot(*errors) / scale
    assert abs(fall - math.exp(-1)) < 4 * error + 0.01 * math.exp(-1)
    for planted in (math.exp(-1.3), math.exp(-1 / 1.3)):
        assert abs(fall - planted) > 4 * error + 0.01 * planted
