"""Tuning where something is small or short: falls over many decades, few steps, noise large against the start, targets.

Expected values come from closed forms, scalar equations solved here, or a Runge-Kutta method of four stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import erf

import hdlimit as hd
from hdlimit.tuning.threshold_rules import Followed, clip_schedule, heuristic
from hdlimit.tuning.trial import checked_trial

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

MIXTURE = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])


def isotropic(noise: Any, d: int = 100, risk: float = 0.5) -> hd.Problem:
    return hd.Problem(hd.Isotropic(d), noise, target=np.full(d, math.sqrt(2 * risk / d)))


# the greedy step


@pytest.mark.parametrize("horizon", [40.0, 1e4, 1e12])
def test_the_greedy_step_without_noise_is_one_however_far_the_risk_falls(horizon: float) -> None:
    """K = I: eta = A/(v Bq) = 1 at every v."""
    for risk in (0.5, 1e-100):
        table = hd.tuning.greedy_lr(isotropic(None, risk=risk), hd.SGD, horizon)
        np.testing.assert_allclose(table.values, 1.0, rtol=1e-9)


def two_modes(rates: np.ndarray, horizon: float, steps: int) -> float:
    """The greedy step of SGD without noise; the equations are homogeneous, so that u may be scaled after every step."""
    u, forcing = rates / 2, rates**2 / 2

    def step(u: np.ndarray) -> float:
        return float(rates @ u / (u.sum() * forcing.sum()))

    def slope(u: np.ndarray) -> np.ndarray:
        eta = step(u)
        return -2 * eta * rates * u + eta**2 * u.sum() * forcing

    h = horizon / steps
    for _ in range(steps):
        a = slope(u)
        b = slope(u + h / 2 * a)
        c = slope(u + h / 2 * b)
        u = u + h / 6 * (a + 2 * b + 2 * c + slope(u + h * c))
        u /= u.sum()
    return step(u)


@pytest.mark.parametrize(("slow", "right"), [(0.5, 1.167750), (0.02, None)])
def test_the_greedy_step_without_noise_on_two_eigenvalues(slow: float, right: float | None) -> None:
    rates = np.array([1.0, slow])
    table = hd.tuning.greedy_lr(hd.Problem(hd.Covariance(np.repeat(rates, 200))), hd.SGD, 60.0)
    assert table(60.0) == pytest.approx(two_modes(rates, 60.0, 4000), rel=1e-7)
    assert right is None or table(60.0) == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize(
    ("std", "horizon", "right"), [(1e-6, 60.0, 0.033332), (1e-6, 1e12, None), (1e-30, 500.0, None)]
)
def test_the_greedy_step_under_little_noise(std: float, horizon: float, right: float | None) -> None:
    """K = I: eta = v/(v + s^2) and v' = -v eta, so that t = log(v(0)/v) + s^2 (1/v - 1/v(0))."""
    square = std**2

    def late(x: float) -> float:
        return x + square * math.expm1(x) - horizon

    x = brentq(late, 0.0, min(horizon, 690.0), xtol=1e-13, rtol=1e-14)
    eta = 1 / (1 + square * math.exp(x))
    table = hd.tuning.greedy_lr(hd.Problem(hd.Isotropic(100), hd.Gaussian(std)), hd.SGD, horizon)
    assert table(horizon) == pytest.approx(eta, rel=1e-6)
    assert right is None or table(horizon) == pytest.approx(right, abs=1e-6)


def test_the_greedy_step_of_binned_modes_is_that_of_all() -> None:
    """2000 eigenvalues in bins against the closed loop of all, by the midpoint rule, to the error of the bins."""
    problem = hd.Problem(hd.PowerLaw(2000, 0.7), hd.Laplace(0.3))
    rate = np.asarray(problem.covariance.diagonal)
    u, forcing, square = rate / 2000, rate**2 / 2000, problem.noise.second_moment

    def pace(u: np.ndarray) -> float:
        return float(rate @ u / ((u.sum() + square) * forcing.sum()))

    def slope(u: np.ndarray) -> np.ndarray:
        eta = pace(u)
        return -2 * eta * rate * u + eta**2 * (u.sum() + square) * forcing

    for _ in range(4000):
        h = 0.5 / 4000
        u = u + h * slope(u + h / 2 * slope(u))
    table = hd.tuning.greedy_lr(problem, hd.SGD, 0.5)
    assert table(0.5) == pytest.approx(pace(u), rel=1e-4)


# few steps, and noise that is large against the start


def sgd_risk(eta: float, horizon: float, square: float, risk: float = 0.5) -> float:
    """R under K = I: dv/dt = -2 eta v + eta^2 (v + s^2), solved by hand."""
    rate = eta * (2 - eta)
    return float(risk * np.exp(-rate * horizon) + eta**2 * square * -np.expm1(-rate * horizon) / rate / 2)


def least(value: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """The minimum of a function of one number over a range of decades: where, and its value."""
    grid = np.geomspace(low, high, 2000)
    i = int(np.argmin([value(float(x)) for x in grid]))
    ends = math.log(grid[max(i - 1, 0)]), math.log(grid[min(i + 1, grid.size - 1)])
    found = minimize_scalar(lambda x: value(math.exp(x)), bounds=ends, method="bounded", options={"xatol": 1e-10})
    return math.exp(found.x), float(found.fun)


def test_sgd_over_two_steps() -> None:
    tuned = hd.tune_lr(isotropic(None), hd.SGD, 0.02)
    assert tuned.lr == pytest.approx(1, abs=0.01)
    assert tuned.risk == pytest.approx(0.4900993, abs=5e-8)


@pytest.mark.parametrize("horizon", [0.02, 0.03, 0.07])
@pytest.mark.parametrize("std", [0.2, 0.5])
def test_sgd_over_a_few_steps(horizon: float, std: float) -> None:
    lr, risk = least(lambda eta: sgd_risk(eta, horizon, std**2), 1e-3, 1.9)
    tuned = hd.tune_lr(isotropic(hd.Gaussian(std)), hd.SGD, horizon)
    assert tuned.risk == pytest.approx(risk, rel=1e-6) and tuned.lr == pytest.approx(lr, rel=0.02)


def clipped_risk(lr: float, c: float, horizon: float) -> float:
    """R of clipped SGD under K = I and the mixture: (mu, nu) from normal laws, four steps of Runge and Kutta."""
    weights, variances = np.array([0.9, 0.1]), np.array([0.09, 4.0])

    def slope(v: float) -> float:
        s = np.sqrt(v + variances)
        x = c / s
        mu = erf(x / math.sqrt(2))
        inside = s**2 * (mu - math.sqrt(2 / math.pi) * x * np.exp(-(x**2) / 2))
        return float(weights @ (-2 * lr * mu * v + lr**2 * (inside + c**2 * (1 - mu))))

    v, h = 1.0, horizon / 4
    for _ in range(4):
        a = slope(v)
        b = slope(v + h / 2 * a)
        e = slope(v + h / 2 * b)
        v += h / 6 * (a + 2 * b + 2 * e + slope(v + h * e))
    return v / 2


@pytest.mark.parametrize("horizon", [0.02, 0.05])
def test_clipping_over_a_few_steps(horizon: float) -> None:
    found = minimize(
        lambda p: clipped_risk(math.exp(p[0]), math.exp(p[1]), horizon), [0.0, 0.5], method="Nelder-Mead", tol=1e-12
    )
    tuned = hd.tune_clip(isotropic(MIXTURE), horizon)
    assert tuned.risk == pytest.approx(found.fun, rel=1e-6) and tuned.threshold == pytest.approx(
        math.exp(found.x[1]), rel=0.1
    )
    optimizer, risk = hd.tuning.best_constants(isotropic(MIXTURE), hd.ClippedSGD, horizon)
    assert risk == pytest.approx(found.fun, rel=1e-5) and optimizer.lr == pytest.approx(tuned.lr, rel=0.02)
    comparison = hd.compare(isotropic(MIXTURE), horizon)
    assert comparison.best.clips and comparison.best.risk == pytest.approx(found.fun, rel=1e-5)


def test_greedy_clipping_over_one_step() -> None:
    """The greedy pair lowers v at the rate v^2 max_c mu^2/nu: by the trapezoidal rule, with an error of 1e-7."""

    def fall(v: float) -> float:
        best = hd.tuning.best_threshold(MIXTURE, v)
        return v**2 * best.mu**2 / best.nu

    greedy = hd.tuning.greedy_clip(isotropic(MIXTURE), 0.01)
    expected = 1 - 0.005 * (fall(1.0) + fall(1 - 0.01 * fall(1.0)))
    assert 2 * greedy.risk[-1] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("horizon", [0.01, 0.02])
@pytest.mark.parametrize("noise", [None, MIXTURE], ids=["none", "mixture"])
def test_few_steps_have_an_answer_or_a_refusal(noise: Any, horizon: float) -> None:
    problem = isotropic(noise)
    answers(lambda: hd.tune_lr(problem, hd.SignSGD, horizon))
    answers(lambda: hd.tune_clip(problem, horizon, schedule=True))
    answers(lambda: hd.compare(problem, horizon))
    assert hd.tuning.greedy_clip(problem, horizon).gain >= 1 - 1e-6


def answers(call: Callable[[], Any]) -> None:
    """The call has an answer, or says by how little the risk can be lowered."""
    try:
        call()
    except hd.errors.InvalidInput as refusal:
        assert str(refusal).startswith("horizon: expected one in which some step size lowers the risk by 1%")
        share = float(str(refusal).rpartition(" by ")[2].rstrip("%"))
        assert 0 <= share < 1 and "-" not in str(refusal).rpartition(" by ")[2].replace("e-", "e")


@pytest.mark.parametrize(("scale", "horizon", "right"), [(30.0, 50.0, None), (40.0, 50.0, 0.484859), (1e4, 1e7, None)])
def test_noise_far_above_the_start(scale: float, horizon: float, right: float | None) -> None:
    """No threshold and no sign helps against +-a: what is left is SGD with a small lr."""
    problem = hd.Problem(hd.Isotropic(10), hd.Rademacher(scale))
    lr, risk = least(lambda eta: sgd_risk(eta, horizon, scale**2), 1e-12, 1.0)
    tuned = hd.tune_clip(problem, horizon)
    assert tuned.risk == pytest.approx(risk, rel=1e-5) and tuned.lr == pytest.approx(lr, rel=0.03)
    if right is not None:
        assert tuned.risk <= right + 1e-6 and tuned.lr == pytest.approx(6.15e-4, rel=0.03)
    compared = hd.compare(problem, horizon)
    assert compared.best.risk == pytest.approx(risk, rel=1e-5) and compared.best.name == "SGD"


@pytest.mark.parametrize("risk", [1e-8, 1e-10])
def test_a_start_near_the_target(risk: float) -> None:
    """Unit noise, which lets lr of the order of R fall over times of the order of 1/R."""
    horizon = 10 / risk
    lr, right = least(lambda eta: sgd_risk(eta, horizon, 1.0, risk), risk / 1e3, 1.0)
    assert right < 0.2 * risk
    tuned = hd.tune_lr(isotropic(hd.Gaussian(1.0), risk=risk), hd.SGD, horizon)
    assert tuned.risk == pytest.approx(right, rel=1e-5) and tuned.lr == pytest.approx(lr, rel=0.03)


@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_nothing_to_gain_is_said_in_one_sentence(scale: float) -> None:
    problem = hd.Problem(hd.Isotropic(10), hd.Rademacher(scale))
    for call in (
        lambda: hd.tune_clip(problem, 1.0),
        lambda: hd.tune_lr(problem, hd.SGD, 1.0),
        lambda: hd.tune_lr(problem, hd.SignSGD, 1.0),
        lambda: hd.compare(problem, 1.0),
    ):
        with pytest.raises(hd.errors.InvalidInput) as caught:
            call()
        assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
        answers(call)


@pytest.mark.parametrize("scale", [20.0, 30.0, 40.0])
def test_the_greedy_step_of_the_sign_far_below_the_noise(scale: float) -> None:
    """K = I, v = 1: eta = mu = 2 phi(a), which vanishes in double precision from a = 39 on."""
    table = hd.tuning.greedy_lr(hd.Problem(hd.Isotropic(10), hd.Rademacher(scale)), hd.SignSGD, 5.0)
    expected = math.sqrt(2 / math.pi) * math.exp(-(scale**2) / 2) * math.sqrt(2 / math.pi)
    np.testing.assert_allclose(table.values, expected, rtol=1e-9)


# targets


def test_the_gain_of_a_target_is_a_ratio_of_times() -> None:
    """SGD tuned for the time to the target, by hand, not the SGD that is best at the horizon."""
    problem, target, horizon = isotropic(MIXTURE), 0.08, 40.0
    square = 0.9 * 0.09 + 0.1 * 4.0

    def time(eta: float) -> float:
        rest = eta * square / (2 - eta) / 2
        return math.log((0.5 - rest) / (target - rest)) / (eta * (2 - eta)) if rest < target else math.inf

    lr, right = least(time, 1e-3, 1.9)
    tuned = hd.tune_clip(problem, horizon, target=target, schedule=True)
    assert tuned.time is not None and tuned.sgd is not None
    assert tuned.gain == pytest.approx(right / tuned.time, rel=1e-3)
    assert tuned.sgd.lr == pytest.approx(lr, rel=0.02)
    assert f"takes {tuned.gain:.4g} times this time" in tuned.summary() and "times this risk" not in tuned.summary()
    assert repr(tuned).endswith(f"gain {tuned.gain:.4g} in time)") and tuned.facts()["gain_in"] == "time"
    wrong = sgd_risk(hd.tune_lr(problem, hd.SGD, horizon).lr, horizon, square) / tuned.risk
    assert abs(wrong / tuned.gain - 1) > 0.3, "the ratio of risks would pass"
    for schedule in (tuned.schedule, tuned.heuristic):
        assert schedule is not None
        assert schedule.gain == pytest.approx(right / schedule.curve.time_to(target), rel=2e-3)


def test_targets_that_sgd_does_not_reach() -> None:
    problem = isotropic(MIXTURE)
    lowest = hd.tune_clip(problem, 10.0)
    assert lowest.gain > 1.2
    tuned = hd.tune_clip(problem, 10.0, target=1.05 * lowest.risk)
    assert tuned.gain == math.inf and tuned.sgd is None
    assert f"SGD at no constant lr reaches risk {tuned.target:g} by t = 10" in tuned.summary()
    assert tuned.facts()["sgd_lr"] is None


# schedules that follow v


def test_thresholds_do_not_depend_on_the_units() -> None:
    """Targets and noise in units of 1e-18: thresholds too, and the same steps. nu below 1e-30 was taken as 1e-30."""
    unit = 1e-18
    small = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3 * unit, 2.0 * unit])
    one, other = (
        hd.tuning.greedy_clip(problem, 5.0) for problem in (isotropic(MIXTURE), isotropic(small, risk=0.5 * unit**2))
    )
    times = np.linspace(0.5, 5.0, 10)
    assert other.optimizer.lr(times) == pytest.approx(one.optimizer.lr(times), rel=1e-3)
    assert other.optimizer.threshold(times) / unit == pytest.approx(one.optimizer.threshold(times), rel=1e-3)
    assert other.risk[-1] / unit**2 == pytest.approx(one.risk[-1], rel=1e-4)


@pytest.mark.parametrize("size", [1, pytest.param(64, marks=pytest.mark.slow)])
def test_without_noise_a_schedule_does_not_clip(size: int) -> None:
    """K = I: dv/dt = (-2 eta + eta^2/B) v, least at eta = B, however far R falls: here to 1e-43."""
    horizon = 100.0 / size
    tuned = hd.tune_clip(isotropic(None), horizon, schedule=True, batch_size=size)
    assert tuned.schedule is not None and tuned.heuristic is not None
    assert tuned.heuristic.k == math.inf and np.isinf(tuned.schedule.threshold).all()
    assert math.log(tuned.schedule.risk[-1] / 0.5) / horizon == pytest.approx(-size, rel=1e-3)


def test_where_clipping_never_helps_no_heuristic_does() -> None:
    """Gaussian noise, B = 8: thresholds k sqrt(v + s^2) at the same step end above, for every k."""
    problem, lr = isotropic(hd.Gaussian(0.5)), 0.5
    tuned = hd.tune_clip(problem, 4.0, lr=lr, schedule=True, batch_size=8)
    assert tuned.schedule is not None and tuned.heuristic is not None and tuned.heuristic.k == math.inf
    trial = checked_trial(problem, 4.0)
    ends = [
        clip_schedule(trial, Followed(heuristic(problem, k), hd.schedules.Constant(lr), 0.0), 8, 1.0).risk[-1]
        for k in (0.1, 0.3, 0.5, 1.0)
    ]
    assert all(end >= tuned.schedule.risk[-1] * (1 - 1e-6) for end in ends) and ends[0] > 1.01 * ends[-1]
