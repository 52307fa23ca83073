"""predict against SciPy on the second-moment matrix (naive.limit_curve) and against exact solutions."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache

import mpmath
import numpy as np
import pytest
from cases import name_of
from naive import LimitTwin, limit_curve
from scipy import integrate, optimize

import hdlimit as hd
from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import default_times
from hdlimit.limit.integrator import solve
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.covariance import CovarianceModel

TOLERANCES = (1e-4, 1e-6, 1e-8)
PROMISE = 3  # predict's docstring: the error stays below 3 rtol


@dataclass(frozen=True)
class Case:
    """A problem small enough for SciPy. stiff: by Radau instead of DOP853."""

    problem: hd.Problem
    optimizer: Optimizer
    horizon: float
    stiff: bool = False

    def __repr__(self) -> str:
        return f"{self.problem.covariance!r}-{self.problem.noise!r}-{self.optimizer!r}-{self.horizon:g}"[:150]


def at_target(covariance: CovarianceModel, noise: object) -> hd.Problem:
    """A problem whose start is its target."""
    ones = np.ones(covariance.dimension)
    return hd.Problem(covariance, noise, target=ones, start=ones)


FLAT, MILD, STEEP = hd.Isotropic(30), hd.PowerLaw(40, 0.5), hd.PowerLaw(20, 1.5)
GRADED = hd.Covariance(np.geomspace(1e-3, 3.0, 20))
RANDOM_BASIS, SINGULAR = hd.PowerLaw(12, 0.8).rotated(1), hd.Wishart(12, 2.0, row_scales=np.geomspace(0.3, 3, 12))
ZEROS = hd.Covariance(np.concatenate([np.zeros(4), np.geomspace(0.1, 2, 16)]))
DEAD_ROW = hd.Covariance(np.pad(hd.Wishart(9, 0.5).matrix, (0, 1)))
OFFSET = np.linspace(-1, 2, 30)
COSINE, PAUSE = hd.schedules.Cosine(0.8, 0.05, 4), hd.schedules.Steps([1, 3], [0.5, 0, 0.3])
BIMODAL = hd.GaussianMixture(weights=[0.2, 0.5, 0.3], scales=[0.4, 0.0, 0.2], means=[-0.5, 0.1, 0.9])
RARE = hd.GaussianMixture(weights=[0.95, 0.05], scales=[0.1, 5.0])

CASES = [
    Case(hd.Problem(FLAT, hd.Gaussian(0.7)), hd.SGD(0.5), 20),
    Case(hd.Problem(MILD), hd.SGD(0.5), 40),
    Case(hd.Problem(GRADED, hd.StudentT(5, 0.5)), hd.SGD(0.8, batch_size=4), 100),
    Case(hd.Problem(FLAT, BIMODAL, start=OFFSET), hd.SGD(1.6), 50),
    Case(hd.Problem(MILD, hd.Gaussian(0.1)), hd.SGD(2.3), 5),
    Case(hd.Problem(SINGULAR, hd.Laplace(0.5)), hd.SGD(0.7), 30),
    Case(hd.Problem(STEEP, hd.Gaussian(0.1)), hd.SGD(0.2), 1e6, stiff=True),
    Case(hd.Problem(STEEP), hd.SGD(0.2), 100, stiff=True),
    Case(at_target(MILD, hd.Gaussian(0.3)), hd.SGD(0.5), 20),
    Case(hd.Problem(FLAT, hd.Gaussian(1)), hd.SGD(hd.schedules.Power(1.0, 1.0)), 1e10),
    Case(hd.Problem(STEEP, hd.Uniform(1.2)), hd.SGD(hd.schedules.Cosine(0.4, 0.0, 10)), 30),
    Case(hd.Problem(MILD, hd.Gaussian(0.3)), hd.SGD(hd.schedules.Steps([1.0, 3.5], [0.6, 0.0, 0.1])), 10),
    Case(hd.Problem(MILD, hd.Gaussian(0.3)), hd.SGD(hd.schedules.Table([0, 0.5, 4], [0.0, 0.6, 0.2])), 10),
    Case(hd.Problem(FLAT, hd.Gaussian(0.7)), hd.ClippedSGD(0.5, 0.9), 20),
    Case(hd.Problem(MILD), hd.ClippedSGD(0.5, 0.1), 100),
    Case(hd.Problem(GRADED, hd.StudentT(1.5, 0.6)), hd.ClippedSGD(1.5, 0.4), 100),
    Case(hd.Problem(MILD, hd.StudentT(1, 0.1)), hd.ClippedSGD(50.0, 0.001), 30),
    Case(hd.Problem(SINGULAR, hd.Laplace(0.5)), hd.ClippedSGD(0.5, 0.9), 30),
    Case(hd.Problem(RANDOM_BASIS, hd.Rademacher(0.7)), hd.ClippedSGD(0.3, 0.2), 60),
    Case(hd.Problem(STEEP, BIMODAL), hd.ClippedSGD(0.3, 2.0), 1e6, stiff=True),
    Case(hd.Problem(MILD, RARE), hd.ClippedSGD(3.0, 0.3), 30),
    Case(hd.Problem(MILD, hd.Gaussian(0.3)), hd.ClippedSGD(0.5, 0.4, batch_size=3), 20),
    Case(hd.Problem(FLAT, hd.Gaussian(0.7)), hd.ClippedSGD(0.3, math.inf), 20),
    Case(hd.Problem(MILD, hd.Laplace(0.1)), hd.ClippedSGD(COSINE, hd.schedules.Table([0, 2, 6], [1, 0.2, 0.5])), 20),
    Case(hd.Problem(MILD, hd.Laplace(0.1)), hd.ClippedSGD(0.5, hd.schedules.Cosine(0.5, 0.0, 10)), 30),
    Case(hd.Problem(ZEROS, hd.Laplace(0.1)), hd.ClippedSGD(PAUSE, hd.schedules.Steps([2], [0.5, 0.1])), 20),
    Case(hd.Problem(FLAT, hd.Gaussian(0.7)), hd.SignSGD(0.5), 20),
    Case(hd.Problem(MILD), hd.SignSGD(0.5), 40),
    Case(at_target(MILD, hd.Laplace(1e-3)), hd.SignSGD(0.5), 20),
    Case(at_target(MILD, hd.Rademacher(0.3)), hd.SignSGD(0.5), 20),
    Case(hd.Problem(GRADED, hd.StudentT(1.5, 0.5)), hd.SignSGD(0.1), 1e5, stiff=True),
    Case(hd.Problem(STEEP, hd.Gaussian(1e-6)), hd.SignSGD(1e-4), 1e5, stiff=True),
    Case(hd.Problem(STEEP, hd.Gaussian(1)), hd.SignSGD(100.0), 1e3, stiff=True),
    Case(hd.Problem(RANDOM_BASIS, hd.StudentT(5, 0.5)), hd.SignSGD(0.5), 20),
    Case(hd.Problem(SINGULAR), hd.SignSGD(0.5), 30),
    Case(hd.Problem(SINGULAR, BIMODAL), hd.SignSGD(0.2), 60),
    Case(hd.Problem(ZEROS, hd.Uniform(1.2)), hd.SignSGD(0.3), 30),
    Case(hd.Problem(DEAD_ROW, hd.Gaussian(0.4), start=np.ones(10)), hd.SignSGD(0.3), 30),
    Case(hd.Problem(MILD, hd.Gaussian(0.3)), hd.SignSGD(0.5, batch_size=4), 20),
    Case(hd.Problem(STEEP, hd.Gaussian(0.01)), hd.SignSGD(hd.schedules.Power(0.3, 0.9)), 1e6, stiff=True),
    Case(hd.Problem(RANDOM_BASIS, hd.Laplace(0.5)), hd.SignSGD(hd.schedules.Steps([5.0], [0.5, 0.05])), 20),
]


@cache
def reference(case: Case) -> LimitTwin:
    """SciPy's curve on the default grid. DOP853 is told 1e-13, Radau 1e-11."""
    times = default_times(case.horizon, case.problem.dimension)
    method, rtol = ("Radau", 1e-11) if case.stiff else ("DOP853", 1e-13)
    return limit_curve(case.problem, case.optimizer, times, method, rtol)


def predict(
    problem: hd.Problem, optimizer: Optimizer, horizon: float, rtol: float = 1e-6, times: object = None
) -> hd.results.Curve:
    """predict, its warnings about small dimensions and aligned starts being expected here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hd.errors.HdlimitWarning)
        return hd.predict(problem, optimizer, horizon, times, rtol)


def error(curve: hd.results.Curve, exact: LimitTwin) -> float:
    """Largest relative error of risk, distance and gradient norm over the grid (0/0 is no error)."""
    worst = 0.0
    for name in ("risk", "distance", "gradient_norm"):
        found, true = getattr(curve, name), getattr(exact, name)
        assert found.shape == true.shape
        worst = max(worst, float(np.abs(found[true == 0]).max(initial=0.0)))
        worst = max(worst, float(np.abs(found[true > 0] / true[true > 0] - 1).max()))
    return worst


# Stiff cases of 5 to 11 s.
LONG = {19, 39}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if k in LONG else ()) for k, c in enumerate(CASES)], ids=name_of
)
def test_curve_keeps_its_promise(case: Case) -> None:
    for rtol in TOLERANCES:
        assert error(predict(case.problem, case.optimizer, case.horizon, rtol), reference(case)) <= PROMISE * rtol


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_reference_is_confirmed_by_a_second_solver(case: Case) -> None:
    times = default_times(case.horizon, case.problem.dimension)
    method = "LSODA" if case.stiff or case.problem.covariance.diagonal is None else "Radau"
    second = limit_curve(case.problem, case.optimizer, times, method, 1e-11)
    for name in ("risk", "distance", "gradient_norm"):
        a, b = getattr(reference(case), name), getattr(second, name)
        assert np.abs(a[b > 0] / b[b > 0] - 1).max() < 1e-8


def test_comparison_rejects_a_curve_that_is_slightly_wrong() -> None:
    """Planted errors of 1e-5 in lr, noise, threshold and one eigenvalue are seen at rtol 1e-6."""
    eigenvalues = MILD.diagonal.copy()
    eigenvalues[3] *= 1 + 1e-4
    right = Case(hd.Problem(MILD, hd.Laplace(0.5)), hd.ClippedSGD(0.5, 0.9), 20)
    planted = [
        (right.problem, hd.ClippedSGD(0.5 * (1 + 1e-5), 0.9)),
        (right.problem, hd.ClippedSGD(0.5, 0.9 * (1 + 1e-5))),
        (hd.Problem(MILD, hd.Laplace(0.5 * (1 + 1e-5))), right.optimizer),
        (hd.Problem(hd.Covariance(eigenvalues), hd.Laplace(0.5)), right.optimizer),
    ]
    for problem, optimizer in planted:
        assert error(predict(problem, optimizer, 20), reference(right)) > PROMISE * 1e-6


def sgd_exact(problem: hd.Problem, eta: float, times: FloatArray, precision: int = 0) -> FloatArray:
    """R(t) of SGD, linear in the modes: dm/dt = -M m + b, M = diag(2 eta k) - (eta^2/d) k k^T, k the variances.

    precision: decimal digits of the eigendecomposition by mpmath; 0 for double precision (fine while rate * t matters
    only for rates well above 1e-16 of the largest).
    """
    k, d, delta = problem.covariance.diagonal, problem.dimension, problem.initial_error
    sigma2 = problem.noise.second_moment
    if precision == 0:
        rate, q = np.linalg.eigh(2 * eta * np.diag(k) - eta**2 / d * np.outer(k, k))
        start, source, weight = q.T @ delta**2, q.T @ (eta**2 * sigma2 / d * k), q.T @ k
        x = np.outer(times, rate)
        return (np.exp(-x) * start - np.expm1(-x) / rate * source) @ weight / 2
    with mpmath.workdps(precision):
        e = mpmath.mpf(eta)
        m = mpmath.matrix(d, d)
        for i in range(d):
            for j in range(d):
                m[i, j] = (2 * e * mpmath.mpf(k[i]) if i == j else 0) - e**2 / d * mpmath.mpf(k[i]) * mpmath.mpf(k[j])
        rate, q = mpmath.eigsy(m)
        start, weight = (q.T * mpmath.matrix(list(x)) for x in ((mpmath.mpf(y) ** 2 for y in delta), k))
        source = e**2 * mpmath.mpf(sigma2) / d * weight

        def risk(t: float) -> float:
            decay = [mpmath.expm1(-rate[i] * mpmath.mpf(t)) for i in range(d)]
            modes = (weight[i] * ((1 + decay[i]) * start[i] - decay[i] / rate[i] * source[i]) for i in range(d))
            return float(mpmath.fsum(modes) / 2)

        return np.array([risk(t) for t in times])


@pytest.mark.parametrize("horizon", [1e10, 1e12])
@pytest.mark.parametrize("noise", [hd.Gaussian(0.1), hd.Gaussian(10.0)], ids=name_of)
def test_power_law_to_the_longest_horizons(noise: hd.Gaussian, horizon: float) -> None:
    problem = hd.Problem(hd.PowerLaw(400, 1.5), noise)
    times = default_times(horizon, 400)
    exact = sgd_exact(problem, 0.2, times)
    for rtol in TOLERANCES:
        curve = predict(problem, hd.SGD(0.2), horizon, rtol)
        assert np.abs(curve.risk / exact - 1).max() <= PROMISE * rtol
        assert len(curve.dense.knots) < 3000


def test_rates_over_twelve_decades_to_the_longest_horizon() -> None:
    problem = hd.Problem(hd.Covariance(np.geomspace(1e-12, 1, 10)), hd.Gaussian(1e-2), target=np.ones(10))
    exact = sgd_exact(problem, 4.0, default_times(1e12, 10), precision=50)
    for rtol in TOLERANCES:
        assert np.abs(predict(problem, hd.SGD(4.0), 1e12, rtol).risk / exact - 1).max() <= PROMISE * rtol


@pytest.mark.parametrize("below", [1e-2, 1e-4, 1e-6])
def test_steps_close_to_the_critical_one(below: float) -> None:
    """Isotropic: dv/dt = -a v + eta^2 sigma^2, a = eta (2 - eta), where rounding is amplified by eta/a."""
    eta = 2 * (1 - below)
    a = eta * (2 - eta)
    for horizon in (1e3, 1e12):
        curve = predict(hd.Problem(FLAT, hd.Gaussian(1.0)), hd.SGD(eta), horizon)
        exact = (np.exp(-a * curve.time) - eta**2 * np.expm1(-a * curve.time) / a) / 2
        assert np.abs(curve.risk / exact - 1).max() <= PROMISE * 1e-6
        assert len(curve.dense.knots) < 200


def test_divergence_ends_the_curve_and_is_right_until_then() -> None:
    """v(t) = e^(3t)(1 + 3 sigma^2) - 3 sigma^2 for eta = 3: 1e12 is passed at t = ln(1e12/(1 + 3 sigma^2))/3."""
    curve = predict(hd.Problem(FLAT, hd.Gaussian(0.1)), hd.SGD(3.0), 100.0)
    assert curve.outcome.status is hd.errors.Status.DIVERGED
    assert curve.outcome.sentence.startswith("diverged at t = 9.")
    assert "lr 3 is not below the critical lr" in curve.outcome.sentence
    crossing = math.log((1e12 + 0.03) / 1.03) / 3
    assert crossing <= curve.end < crossing + 1
    assert curve.time[-1] <= curve.end < curve.time[-1] * 1.1
    exact = (1.03 * np.exp(3 * curve.time) - 0.03) / 2
    assert np.abs(curve.risk / exact - 1).max() <= PROMISE * 1e-6


@pytest.mark.parametrize(
    "index",
    [0, 17, 23, 30, *(pytest.param(k, marks=pytest.mark.slow) for k in (6, 27, 35))],
    ids=lambda i: repr(CASES[i]),
)
def test_dense_output_between_the_knots(index: int) -> None:
    case = CASES[index]
    for rtol in TOLERANCES[:2]:
        curve = predict(case.problem, case.optimizer, case.horizon, rtol)
        knots = curve.dense.knots
        between = np.sort(np.concatenate([knots[:-1] + x * np.diff(knots) for x in (0.25, 0.5, 0.75)]))
        times = np.concatenate([[0.0], between])
        method, tight = ("Radau", 1e-11) if case.stiff else ("DOP853", 1e-13)
        exact = limit_curve(case.problem, case.optimizer, times, method, tight)
        assert np.abs(curve.at(times) / exact.risk - 1).max() <= PROMISE * rtol


@pytest.mark.parametrize("index", [1, 13, 26, 38], ids=lambda i: repr(CASES[i]))
def test_time_to_is_the_root_of_the_reference(index: int) -> None:
    case = CASES[index]
    curve = predict(case.problem, case.optimizer, case.horizon)
    method, tight = ("Radau", 1e-11) if case.stiff else ("DOP853", 1e-13)

    def excess(t: float, level: float) -> float:
        return float(limit_curve(case.problem, case.optimizer, np.array([0.0, t]), method, tight).risk[-1] / level - 1)

    for share in (0.9, 0.5):
        level = curve.risk[0] ** share * curve.risk[-1] ** (1 - share)
        found = curve.time_to(level)
        low, high = curve.time[np.searchsorted(-curve.risk, -level) + np.array([-1, 0])]
        true = optimize.brentq(excess, low, high, args=(level,), xtol=1e-12 * high, rtol=1e-12)
        slope = (excess(1.001 * true, level) - excess(0.999 * true, level)) / 0.002
        assert abs(found / true - 1) <= PROMISE * 1e-6 / abs(slope)
    assert curve.time_to(curve.risk[0]) == 0.0
    assert curve.time_to(curve.risk.min() * 0.99) == math.inf


def test_times_are_reported_as_given_and_do_not_change_the_curve() -> None:
    case = CASES[0]
    free = predict(case.problem, case.optimizer, 20.0)
    times = [0.0, 0.3, 0.3, 7.25, 20.0]
    curve = predict(case.problem, case.optimizer, 20.0, times=times)
    assert curve.time.tolist() == times
    np.testing.assert_array_equal(curve.risk, free.at(times))
    np.testing.assert_array_equal(free.risk, free.at(free.time))


def test_noiseless_curves_fall_to_zero_and_say_so() -> None:
    """R = e^(-eta (2 - eta) t)/2 is followed over 50 decades; below 1e-60 of the start it counts as 0."""
    for optimizer in (hd.SGD(0.5), hd.ClippedSGD(0.5, 50.0)):
        curve = predict(hd.Problem(FLAT), optimizer, 1e12, times=[0.0, 10.0, 100.0, 150.0, 1e3, 1e12])
        exact = np.exp(-0.75 * curve.time[:4]) / 2
        assert np.abs(curve.risk[:4] / exact - 1).max() <= PROMISE * 1e-6
        assert curve.risk[4:].tolist() == [0.0, 0.0]
        assert curve.outcome.finished and len(curve.dense.knots) < 10_000


@pytest.mark.parametrize("optimizer", [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.4), hd.SignSGD(0.5)], ids=name_of)
def test_a_noiseless_start_at_the_target_stays_there(optimizer: Optimizer) -> None:
    curve = predict(at_target(MILD, None), optimizer, 1e6)
    assert not curve.risk.any() and not curve.distance.any() and not curve.gradient_norm.any()
    assert curve.outcome.finished


@pytest.mark.parametrize("noise", [None, hd.Gaussian(1e-9), hd.StudentT(1, 1e-9)], ids=name_of)
def test_a_bounded_map_never_counts_as_diverged(noise: object) -> None:
    """From v(0) = 1e-17 signSGD rises 1e15-fold to its steady state: growth, not divergence."""
    problem = hd.Problem(FLAT, noise, target=np.ones(30), start=np.full(30, 1 + 1e-9))
    curve = predict(problem, hd.SignSGD(0.5), 1e3)
    assert curve.outcome.finished
    assert curve.risk[-1] == pytest.approx(math.pi * 0.25 * (math.pi / 2) / 16, rel=1e-6)  # pi eta^2 cbar^2/16


def test_a_schedule_is_judged_over_the_horizon_only() -> None:
    problem = hd.Problem(FLAT, hd.Gaussian(1.0))
    assert predict(problem, hd.SGD(hd.schedules.Power(0.1, -0.5)), 20.0).outcome.finished
    assert predict(problem, hd.SGD(lambda t: 0.01 * math.exp(t / 10)), 20.0).outcome.finished  # overflows at t = 7100
    late = predict(problem, hd.SGD(hd.schedules.Power(0.1, -0.5)), 1e3).outcome
    assert late.status is hd.errors.Status.DIVERGED and "the largest lr 3.164 is not below" in late.sentence


def test_an_unstable_step_is_named_even_where_the_limit_is_not() -> None:
    """lr 1.95 is below the limit's critical lr, 2, and above that of d = 30, 2/(1 + 2/30)."""
    outcome = predict(hd.Problem(FLAT, hd.Gaussian(1.0)), hd.SGD(1.95), 20.0).outcome
    assert outcome.status is hd.errors.Status.UNSTABLE and "1.875" in outcome.sentence


def test_no_limit_has_its_reason() -> None:
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        predict(hd.Problem(FLAT, hd.StudentT(2, 1.0)), hd.SGD(0.5), 10.0)
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        predict(hd.Problem(FLAT, hd.StudentT(2, 1.0)), hd.ClippedSGD(0.5, math.inf), 10.0)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"problem": "data"}, "problem"),
        ({"optimizer": 0.5}, "optimizer"),
        ({"horizon": 0.01}, "horizon"),
        ({"horizon": 1.1e12}, "horizon"),
        ({"horizon": math.nan}, "horizon"),
        ({"rtol": 0.1}, "rtol"),
        ({"rtol": 1e-11}, "rtol"),
        ({"rtol": -1e-3}, "rtol"),
        ({"times": [0.0, 2.0, 1.0]}, "times"),
        ({"times": [0.0, 21.0]}, "times"),
        ({"times": [-1.0, 2.0]}, "times"),
        ({"times": []}, "times"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], name: str) -> None:
    given: dict[str, object] = {"problem": hd.Problem(FLAT), "optimizer": hd.SGD(0.5), "horizon": 20.0}
    with pytest.raises(hd.errors.InvalidInput, match=f"^{name}: expected"):
        hd.predict(**{**given, **arguments})


def test_what_a_reader_must_know_is_warned_of() -> None:
    one_hot = np.zeros(200)
    one_hot[3] = 1.0
    with pytest.warns(hd.errors.LowDimensionWarning, match="below 30"):
        hd.predict(hd.Problem(hd.PowerLaw(200, 1.5)), hd.SGD(0.1), 1.0)
    with pytest.warns(hd.errors.ValidityWarning, match="aligned"):
        hd.predict(hd.Problem(hd.Isotropic(200), start=one_hot, target=np.zeros(200)), hd.SignSGD(0.1), 1.0)
    with pytest.warns(hd.errors.ValidityWarning, match="batch_size"):
        hd.predict(hd.Problem(hd.Isotropic(200)), hd.ClippedSGD(0.1, 1.0, batch_size=64), 1.0)
    with pytest.warns(hd.errors.HeavyTailWarning, match="infinite"):
        hd.predict(hd.Problem(hd.Isotropic(200), hd.StudentT(3, 1.0)), hd.SGD(0.1), 1.0)


def test_a_ramp_from_zero_at_the_target() -> None:
    """eta = s t, start = target: v = int_0^t (s u sigma)^2 e^(D(u) - D(t)) du, D(t) = s t^2 - s^2 t^3/3 (isotropic)."""
    s, problem = 1e-4, at_target(FLAT, hd.Gaussian(0.5))
    curve = predict(problem, hd.SGD(hd.schedules.Table([0.0, 1e4], [0.0, 1.0])), 1e4)
    assert curve.outcome.finished and len(curve.dense.knots) < 400

    def decay(t: float) -> float:
        return s * t**2 - s**2 * t**3 / 3

    for t, risk in list(zip(curve.time, curve.risk))[1::30]:
        left = max(0.0, t - 60 / max(2 * s * t * (1 - s * t / 2), 1e-9))
        exact = integrate.quad(
            lambda u, t=t: (s * u * 0.5) ** 2 * np.exp(decay(u) - decay(t)), left, t, epsrel=1e-11, limit=200
        )
        assert risk == pytest.approx(exact[0] / 2, rel=PROMISE * 1e-6)


def test_a_sudden_rise_late_in_a_run() -> None:
    """At t = 2e9 times are known to 5e-7 and v rises 1e6-fold within one step: R goes on to eta sigma^2/(4 - 2 eta)."""
    problem = hd.Problem(FLAT, hd.Gaussian(1e3))
    curve = predict(problem, hd.SGD(hd.schedules.Steps([2e9], [1e-6, 1.0])), 1e12)
    assert curve.outcome.finished
    assert curve.at(2e9 - 1.0) == pytest.approx(1e-6 * 1e6 / 4, rel=1e-5)
    assert curve.at([2e9 + 30.0, 1e12]) == pytest.approx(1e6 / 2, rel=PROMISE * 1e-6)


def test_a_cosine_to_zero_is_followed_to_its_end() -> None:
    """Without noise R of signSGD follows lr^2 until the last few steps, where lr ~ (T - t)^2: R(T) ~ T^-4."""
    scaled = []
    for horizon in (1e6, 1e8, 1e10):
        curve = predict(hd.Problem(FLAT), hd.SignSGD(hd.schedules.Cosine(0.5, 0.0, horizon)), horizon)
        assert curve.outcome.finished
        scaled.append(curve.risk[-1] * horizon**4)
    assert scaled == pytest.approx([scaled[0]] * 3, rel=2 * PROMISE * 1e-6)


def test_until_ends_the_curve_where_the_risk_is_reached() -> None:
    """The time is that of the whole curve, and nothing follows the step in which it lies."""
    problem, optimizer = hd.Problem(hd.PowerLaw(200, 0.5), hd.Gaussian(0.1)), hd.SGD(0.5)
    whole, short = (hd.predict(problem, optimizer, 1e6, until=u) for u in (None, 0.01))
    reached = short.time_to(0.01)
    assert reached == pytest.approx(whole.time_to(0.01), rel=1e-5)
    assert reached <= short.end < 1.5 * reached and short.time[-1] <= short.end
    assert short.outcome.finished and f"t = {reached:.6g}" in short.outcome.sentence
    assert hd.predict(problem, optimizer, 10.0, until=1e-9).end == 10.0
    assert hd.predict(problem, optimizer, 10.0, until=9.0).end < 1.0
    with pytest.raises(hd.errors.InvalidInput, match="until"):
        hd.predict(problem, optimizer, 10.0, until=-1.0)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-9])
def test_a_curve_that_has_fallen_to_zero_stays_there(rtol: float) -> None:
    """Without noise a risk falls beyond double precision; the steps after that are few, and no residue is left."""
    problem = hd.Problem(hd.Covariance([1.454949126565352, 0.026782686459292982]), hd.NoNoise())
    optimizer = hd.ClippedSGD(hd.schedules.Cosine(2.34, 2.34e-3, 2.6e5), 4.29)
    limit = limit_of(problem, optimizer)
    until, whole = (solve(limit, limit.modes, horizon, rtol) for horizon in (1.2e3, 5.2e5))
    assert (whole.dense(np.geomspace(3e3, 5.2e5, 50), 0) == 0).all()
    assert whole.steps < until.steps + 100
