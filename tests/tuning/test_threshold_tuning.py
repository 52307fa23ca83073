"""Tuning over a horizon, against closed forms, grids of public predictions, and (slow) simulated grids."""

from __future__ import annotations

import csv
import json
import math
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import name_of
from scipy import stats
from scipy.optimize import minimize_scalar

import hdlimit as hd
from hdlimit.core.declaration import FloatArray
from hdlimit.kernels import responses as kernels
from hdlimit.limit.compression import binned
from hdlimit.limit.integrator import solve
from hdlimit.limit.modes import mode_system
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.schedules import Schedule
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.clipping import BestNow, clipped_fraction
from hdlimit.response.closed_loop import ClipResponse, Feedback, compensated
from hdlimit.response.response import MapResponse
from hdlimit.tuning.greedy import greedy_lr
from hdlimit.tuning.search import best_constants
from hdlimit.tuning.threshold_rules import Followed, clip_schedule, heuristic, max_ccc
from hdlimit.tuning.trial import checked_trial

BIMODAL = hd.GaussianMixture(weights=[0.6, 0.25, 0.15], scales=[0.02, 0.0, 0.5], means=[0.0, 2.0, -2.0])
LAWS = [hd.StudentT(df=1.5, scale=0.6), hd.Laplace(0.5), hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.1, 3.0])]


def problem_of(noise: Any, d: int = 120, exponent: float = 0.4) -> hd.Problem:
    return hd.Problem(hd.PowerLaw(d, exponent), noise)


def risk_at(problem: hd.Problem, optimizer: Any, horizon: float) -> float:
    curve = hd.predict(problem, optimizer, horizon, times=[horizon])
    return float(curve.risk[-1]) if curve.risk.size else math.inf


# constants


@pytest.mark.parametrize("sigma", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("horizon", [2.0, 60.0])
def test_best_lr_of_sgd_is_that_of_the_closed_form(sigma: float, horizon: float) -> None:
    """Isotropic K: dv/dt = -2 eta v + eta^2 (v + sigma^2), solved by hand."""

    def risk(eta: float) -> float:
        rate, steady = 2 * eta - eta**2, eta**2 * sigma**2
        return float(np.exp(-rate * horizon) + steady * -np.expm1(-rate * horizon) / rate) / 2

    problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(sigma) if sigma else None)
    grid = np.geomspace(1e-4, 1.9, 400)
    near = grid[np.argmin([risk(eta) for eta in grid])]
    best = minimize_scalar(risk, bounds=(near / 1.1, near * 1.1), method="bounded", options={"xatol": 1e-9})
    optimizer, found = best_constants(problem, hd.SGD, horizon)
    tolerance = 3e-5 + 3e-6 * -math.log(found)
    assert found == pytest.approx(best.fun, rel=tolerance, abs=0)
    assert risk(optimizer.lr) <= best.fun * (1 + tolerance)
    assert risk(1.2 * optimizer.lr) > best.fun * (1 + 10 * tolerance)


def test_falls_beyond_the_integrator_are_told_apart_by_their_times() -> None:
    """No noise, isotropic K, R = exp(-(2 eta - eta^2) 300)/2: below 1e-60 for many eta, the fastest is 1."""
    tuned = hd.tune_clip(hd.Problem(hd.Isotropic(50)), 300.0)
    assert tuned.lr == pytest.approx(1, abs=0.02) and tuned.gain == 1


@pytest.mark.filterwarnings("ignore::hdlimit.errors.NearCriticalWarning")
@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_no_pair_of_a_grid_beats_the_constants(noise: NoiseLaw) -> None:
    problem, horizon = problem_of(noise), 15.0
    tuned = hd.tune_clip(problem, horizon)
    assert tuned.risk == pytest.approx(risk_at(problem, tuned.optimizer, horizon), rel=1e-12)
    pairs = [(lr, c) for lr in np.geomspace(0.02, 3, 12) for c in np.geomspace(0.03, 20, 12)]
    near = [(tuned.lr * a, tuned.threshold * b) for a in (0.97, 1, 1.03) for b in (0.95, 1, 1.05) if (a, b) != (1, 1)]
    risks = [risk_at(problem, hd.ClippedSGD(*pair), horizon) for pair in pairs + near]
    assert tuned.risk <= min(risks) * (1 + 1e-5)
    assert min(risks[: len(pairs)]) < 1.1 * tuned.risk, "the grid holds nothing near the optimum"
    twin = risk_at(problem, replace(tuned.optimizer, threshold=2.5 * tuned.threshold), horizon)
    assert twin > min(risks) * (1 + 1e-3), "a wrong threshold would not be seen"


def test_the_better_of_several_minima_is_found() -> None:
    """The risk over c (best lr for each) has two minima: the global one is taken, on both sides of their exchange."""
    sides = set()
    for horizon in (3.0, 40.0):
        problem = problem_of(BIMODAL, d=60)
        optimizer, risk = best_constants(problem, hd.ClippedSGD, horizon)
        clips = np.geomspace(0.02, 30, 40)
        profile = [hd.tune_lr(problem, hd.ClippedSGD(1.0, c), horizon).risk for c in clips]
        assert risk <= min(profile) * (1 + 1e-5)
        sides.add(optimizer.threshold < 0.7)
    assert sides


@pytest.mark.filterwarnings("ignore::hdlimit.errors.NearCriticalWarning")
@pytest.mark.parametrize("optimizer_type", [hd.SGD, hd.SignSGD])
@pytest.mark.parametrize("horizon", [0.5, 20.0, 1e5])
def test_no_lr_of_a_grid_beats_the_best_step(optimizer_type: Any, horizon: float) -> None:
    problem = hd.Problem(hd.PowerLaw(60, 0.3).rotated(seed=1), hd.Laplace(0.3))
    optimizer, risk = best_constants(problem, optimizer_type, horizon)
    assert risk == pytest.approx(risk_at(problem, optimizer, horizon), rel=1e-5)
    grid = [risk_at(problem, replace(optimizer, lr=optimizer.lr * f), horizon) for f in np.geomspace(1e-3, 1e3, 61)]
    assert risk <= min(grid) * (1 + 1e-5)
    assert sorted(grid)[3] > risk * (1 + 1e-3)


@pytest.mark.parametrize("noise", [hd.Gaussian(0.5), hd.Uniform(1.0), hd.NoNoise()], ids=name_of)
def test_light_tails_are_not_clipped(noise: NoiseLaw) -> None:
    tuned = hd.tune_clip(problem_of(noise), 10.0)
    assert tuned.threshold == math.inf and tuned.max_norm == math.inf
    assert tuned.gain == pytest.approx(1, rel=1e-5)
    assert tuned.clipped_fraction == 0 and tuned.rate_gain == 1
    assert "do not clip" in tuned.summary()


def test_infinite_variance() -> None:
    tuned = hd.tune_clip(problem_of(hd.StudentT(df=1, scale=0.5)), 10.0)
    assert tuned.gain == math.inf and tuned.rate_gain == math.inf and tuned.sgd is None
    assert 0 < tuned.clipped_fraction < 1
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        best_constants(tuned.problem, hd.SGD, 10.0)


def test_threshold_alone_under_a_given_lr() -> None:
    problem, lr = problem_of(LAWS[2]), hd.schedules.Cosine(0.6, 0.05, 15.0)
    tuned = hd.tune_clip(problem, 15.0, lr=lr)
    assert tuned.lr == lr
    grid = [risk_at(problem, hd.ClippedSGD(lr, c), 15.0) for c in np.geomspace(0.02, 20, 80)]
    assert min(grid) * (1 - 0.01) < tuned.risk <= min(grid) * (1 + 1e-5)
    with pytest.raises(hd.errors.InvalidInput, match="lr"):
        tuned.trainer(loss="half_squared")
    constant = hd.tune_clip(problem, 15.0, lr=0.2)
    assert constant.lr == 0.2 and constant.risk >= hd.tune_clip(problem, 15.0).risk * (1 - 1e-5)


def test_time_to_a_target() -> None:
    problem, target = problem_of(LAWS[1]), 0.06
    tuned = hd.tune_clip(problem, 40.0, target=target)
    assert tuned.time == pytest.approx(tuned.curve.time_to(target), rel=1e-4)
    grid = [
        hd.predict(problem, hd.ClippedSGD(lr, c), 40.0).time_to(target)
        for lr in tuned.lr * np.geomspace(0.2, 5, 13)
        for c in tuned.threshold * np.geomspace(0.2, 5, 11)
    ]
    assert tuned.time <= min(grid) * (1 + 1e-3)
    assert np.median(grid) > 1.05 * tuned.time
    alone = hd.tune_lr(problem, hd.SGD, 40.0, target=target)
    assert alone.time is not None and alone.time > tuned.time
    assert alone.time <= hd.predict(problem, hd.SGD(1.1 * alone.lr), 40.0).time_to(target)
    assert alone.time <= hd.predict(problem, hd.SGD(0.9 * alone.lr), 40.0).time_to(target)


def test_a_target_below_reach_is_refused_with_the_lowest_risk() -> None:
    problem = problem_of(LAWS[1])
    lowest = hd.tune_clip(problem, 5.0).risk
    with pytest.raises(hd.errors.InvalidInput, match=f"target: expected at least {lowest:.3g}"[:-1]):
        hd.tune_clip(problem, 5.0, target=0.9 * lowest)
    assert hd.tune_clip(problem, 5.0, target=1.02 * lowest).time <= 5.0


HARD = hd.Problem(hd.Isotropic(40), hd.Gaussian(30.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hd.tune_clip("problem", 5.0), "problem: expected a Problem"),
        (lambda: hd.tune_clip(problem_of(None), 1e-4), "horizon"),
        (lambda: hd.tune_clip(problem_of(None), math.nan), "horizon"),
        (lambda: hd.tune_clip(problem_of(None), 5.0, lr=-1.0), "lr"),
        (lambda: hd.tune_clip(problem_of(None), 5.0, batch_size=0), "batch_size"),
        (lambda: hd.tune_clip(problem_of(None), 5.0, target=0.0), "target"),
        (lambda: hd.tune_clip(problem_of(None), 5.0, target=3.0), "below the initial risk"),
        (lambda: hd.tune_clip(HARD, 0.05), "horizon: expected one in which some step size lowers the risk by 1%"),
        (lambda: hd.tune_lr(HARD, hd.SignSGD, 0.05), "horizon: expected one in which"),
        (lambda: hd.tune_lr(HARD, hd.ClippedSGD, 5.0), "optimizer"),
        (
            lambda: hd.tune_lr(HARD, hd.ClippedSGD(1.0, hd.schedules.Steps([1.0], [1.0, 2.0])), 5.0),
            "constant threshold",
        ),
        (lambda: best_constants(HARD, hd.ClippedSGD(1.0, 1.0), 5.0), "optimizer_type"),  # type: ignore[arg-type]
        (lambda: hd.tune_clip(hd.Problem(hd.Isotropic(40), target=np.zeros(40)), 5.0), "start at the target"),
        (lambda: hd.tuning.landscape(HARD, 5.0, [0.1, 0.1], [1.0]), "lr: expected increasing"),
        (lambda: hd.tuning.landscape(HARD, 5.0, [0.1], [math.nan]), "threshold"),
        (lambda: hd.tuning.greedy_lr(HARD, hd.ClippedSGD, 5.0), "optimizer"),
    ],
)
def test_bad_input(call: Any, words: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=words):
        call()


HEAVY = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.2, 3.0])


@pytest.mark.parametrize("noise", [hd.Gaussian(0.5), pytest.param(HEAVY, marks=pytest.mark.slow)], ids=name_of)
def test_batches(noise: NoiseLaw) -> None:
    problem, b = problem_of(noise, d=200), 3
    tuned = hd.tune_clip(problem, 6.0, batch_size=b)
    assert tuned.optimizer.batch_size == b
    c = min(tuned.threshold, 2.0)
    grid = [
        risk_at(problem, hd.ClippedSGD(tuned.lr * f, c * g, b), 6.0) for f in (0.8, 1.0, 1.25) for g in (0.6, 1, 1.5)
    ]
    assert tuned.risk <= min(grid) * (1 + 1e-5)


# tables and bins


def test_clipped_fraction_of_batches_is_that_of_samples() -> None:
    """Normal test at 4.5 standard errors: false alarm 7e-6."""
    noise, v, c, b, n = hd.StudentT(df=1.5, scale=0.6), 0.7, 0.5, 4, 40_000
    generator = np.random.default_rng(0)
    r = generator.normal(0, math.sqrt(v), n * b) - noise.sample(generator, n * b)
    clipped = np.sqrt((r.reshape(n, b) ** 2).sum(axis=1)) > c * b
    error = math.sqrt(clipped.mean() * (1 - clipped.mean()) / n)
    assert abs(clipped.mean() - clipped_fraction(noise, v, c, b)) < 4.5 * error
    assert abs(clipped.mean() - (1 - MapResponse("clip", noise, b)(v, c)[0])) > 20 * error, "1 - mu is not the fraction"


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.2])
def test_bins_keep_the_curve(exponent: float) -> None:
    problem = hd.Problem(hd.PowerLaw(1500, exponent) if exponent else hd.Wishart(500, 0.5), hd.Laplace(0.4))
    limit = limit_of(problem, hd.ClippedSGD(0.4, 0.8))
    few = binned(limit.modes)
    assert few.rate.size <= 128 < limit.modes.rate.size
    for horizon in (0.1, 10.0, 1000.0):
        exact, rough = (
            float(solve(limit, modes, horizon, 1e-7).dense(np.array([horizon]), 0)[0]) for modes in (limit.modes, few)
        )
        assert rough == pytest.approx(exact, rel=2e-3)


def test_small_systems_are_not_binned() -> None:
    modes = mode_system(hd.Covariance(np.array([0.0, 0.5, 0.5, 2.0])), "identity", np.ones(4))
    few = binned(modes)
    np.testing.assert_array_equal(few.rate, [0.5, 2.0])
    np.testing.assert_allclose(few.start, [1.0, 2.0])
    np.testing.assert_allclose(few.diffusion, [2 * 0.25 / 4, 4.0 / 4])


@pytest.mark.parametrize("noise", [hd.StudentT(df=3, scale=0.7), hd.Empirical([-1.3, 0.0, 0.2, 2.5])], ids=name_of)
def test_tables_hold_the_rule(noise: NoiseLaw) -> None:
    exact = ClipResponse(noise)
    table = Feedback(compensated(lambda v: exact(v, 0.5 + math.sqrt(v))), noise)
    compiled = table.compiled((1e-3, 5.0), (1.0, 1.0))
    assert compiled.low <= 1e-3 and compiled.high >= 5.0
    for v in np.geomspace(1e-3, 5.0, 37).tolist():
        mu, nu = MapResponse("clip", noise)(v, 0.5 + math.sqrt(v))
        for got in (kernels.table(v, 1.0, compiled.parameters), table.looked_up(v), table(v)):
            np.testing.assert_allclose(got, (1.0, nu / mu**2), rtol=1e-6)


# schedules


@pytest.mark.parametrize(("df", "c", "gain"), [(1, 0.4477, math.inf), (3, 0.8490, 1.7504), (10, 1.4064, 1.0329)])
def test_best_now_has_the_published_values(df: float, c: float, gain: float) -> None:
    noise = hd.StudentT(df=df, scale=0.7)
    assert BestNow(noise, 1)(0.1) == pytest.approx(c, abs=6e-5)
    mu, nu = MapResponse("clip", noise)(0.1, c)
    assert mu**2 / nu * (0.1 + noise.second_moment) == pytest.approx(gain, abs=6e-5)


@pytest.mark.parametrize("noise", [*LAWS, BIMODAL, hd.Uniform(1.0), hd.Rademacher(0.5)], ids=name_of)
@pytest.mark.parametrize("v", [1e-4, 0.03, 2.0])
def test_best_now_is_the_exact_one(noise: NoiseLaw, v: float) -> None:
    exact = hd.tuning.best_threshold(noise, v)
    assert BestNow(noise, 1)(v) == pytest.approx(exact.threshold, rel=2e-4)


@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_schedules_follow_their_own_curve(noise: NoiseLaw) -> None:
    """The tables handed to ClippedSGD lead, by predict, along the curve that they were computed on."""
    problem, horizon = problem_of(noise), 12.0
    tuned = hd.tune_clip(problem, horizon, schedule=True)
    assert tuned.schedule is not None and tuned.heuristic is not None
    for schedule in (tuned.schedule, tuned.heuristic):
        np.testing.assert_allclose(schedule.curve.at(schedule.time), schedule.risk, rtol=3e-4)
        assert isinstance(schedule.optimizer.threshold, hd.schedules.Table)
        mu = [MapResponse("clip", noise)(2 * r, c)[0] for r, c in zip(schedule.risk, schedule.threshold)]
        np.testing.assert_allclose(schedule.mu, mu, rtol=1e-9)
        np.testing.assert_allclose(1 - schedule.mu, schedule.clipped_fraction, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(schedule.lr * schedule.mu, schedule.lr[0] * schedule.mu[0], rtol=1e-9)
    best = [hd.tuning.best_threshold(noise, 2 * r).threshold for r in tuned.schedule.risk[::40]]
    np.testing.assert_allclose(tuned.schedule.threshold[::40], best, rtol=3e-4)
    rule = tuned.heuristic.k * np.sqrt(2 * tuned.heuristic.risk + _square(noise))
    np.testing.assert_allclose(tuned.heuristic.threshold, rule, rtol=1e-9)
    risks = tuned.schedule.risk[-1], tuned.heuristic.risk[-1], tuned.risk
    assert risks[0] <= risks[1] * (1 + 1e-5), "at any step the max-CCC threshold is the best"
    if tuned.sgd is not None:
        sgd = risk_at(problem, tuned.sgd, horizon)
        assert tuned.gain == pytest.approx(sgd / tuned.risk, rel=1e-5)
        assert tuned.schedule.gain == pytest.approx(sgd / risks[0], rel=1e-4)
    assert ((tuned.schedule.efficiency > 0) & (tuned.schedule.efficiency <= 1 + 1e-9)).all()
    assert 0 < tuned.efficiency <= tuned.schedule.efficiency[-1] + 0.2


def _square(noise: NoiseLaw) -> float:
    return noise.second_moment if math.isfinite(noise.second_moment) else noise.width**2


@pytest.mark.parametrize(
    ("noise", "size", "v"),
    [
        (hd.StudentT(3, 0.5), 2, 0.1),
        (as_noise(stats.poisson(1.5, loc=-1.5)), 2, 0.01),
        pytest.param(as_noise(stats.poisson(1.5, loc=-1.5)), 16, 1e-4, marks=pytest.mark.slow),
        (hd.GaussianMixture(weights=[0.8, 0.2], scales=[0.05, 0.05], means=[-0.5, 2.0]), 16, 1e-4),
        (hd.Empirical([-1.0, 0.2, 0.8]), 4, 0.1),
        (hd.Rademacher(0.5), 64, 0.01),
    ],
    ids=name_of,
)
def test_thresholds_of_schedules_in_batches_are_the_best(noise: NoiseLaw, size: int, v: float) -> None:
    """Against best_threshold, which follows the slope: mu^2/nu of point masses has a peak for every sum of squares."""
    exact, best = MapResponse("clip", noise, size), hd.tuning.best_threshold(noise, v, size)

    def gain(c: float) -> float:
        mu, nu = exact(v, c)
        return mu**2 / nu

    assert gain(BestNow(noise, size)(v)) == pytest.approx(gain(best.threshold), rel=3e-6)


def test_no_k_of_a_grid_beats_the_heuristic() -> None:
    problem, lr, horizon = problem_of(LAWS[2]), 0.3, 12.0
    tuned = hd.tune_clip(problem, horizon, lr=lr, schedule=True).heuristic
    trial = checked_trial(problem, horizon)
    grid = [
        clip_schedule(trial, Followed(heuristic(problem, k), hd.schedules.Constant(lr), 0.0), 1, 1.0).risk[-1]
        for k in np.geomspace(0.02, 5, 30)
    ]
    assert tuned is not None and tuned.risk[-1] <= min(grid) * (1 + 1e-5)
    assert min(grid) < 1.02 * tuned.risk[-1] and max(grid) > 1.1 * tuned.risk[-1]


def random_problem(generator: np.random.Generator) -> tuple[hd.Problem, Any, float]:
    scale = float(10 ** generator.uniform(-1.5, 0.5))
    kinds: list[Any] = [
        hd.Gaussian(scale),
        hd.Laplace(scale),
        hd.Uniform(scale),
        hd.Rademacher(scale),
        hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.1 * scale, 3 * scale]),
        hd.GaussianMixture(weights=[0.3, 0.5, 0.2], scales=[0.3 * scale, 0.0, scale], means=[-scale, 0.1, 2 * scale]),
        hd.Empirical(scale * generator.standard_t(2, 12)),
    ]
    d = int(generator.integers(20, 120))
    problem = hd.Problem(hd.PowerLaw(d, float(generator.uniform(0, 1))), kinds[generator.integers(len(kinds))])
    horizon = float(10 ** generator.uniform(-0.5, 2))
    eta = float(10 ** generator.uniform(-1.5, 0))
    lrs: list[Any] = [
        eta,
        hd.schedules.Cosine(eta, 0.1 * eta, horizon),
        hd.schedules.Steps([horizon / 3], [eta, eta / 4]),
        hd.schedules.Power(eta, 0.5),
    ]
    return problem, lrs[generator.integers(len(lrs))], horizon


def worst_ratio(problem: hd.Problem, lr: Any, horizon: float, wrong: float = 1.0) -> float:
    """Largest ratio of the risk of the max-CCC schedule (its lr times `wrong`) to that of SGD with the same eta(t)."""
    eta = lr if isinstance(lr, Schedule) else hd.schedules.Constant(lr)
    found = Followed(max_ccc(problem, 1), eta, 0.0)
    optimizer = clip_schedule(checked_trial(problem, horizon), found, 1, 1.0).optimizer
    if wrong != 1:
        table = (
            optimizer.lr
            if isinstance(optimizer.lr, hd.schedules.Table)
            else hd.schedules.Table([0.0, horizon], eta(np.array([0.0, horizon])))
        )
        optimizer = hd.ClippedSGD(hd.schedules.Table(table.times, wrong * table.values), optimizer.threshold)
    times = np.linspace(horizon / 50, horizon, 50)
    clipped, sgd = (hd.predict(problem, o, horizon, times=times) for o in (optimizer, hd.SGD(lr)))
    both = min(clipped.risk.size, sgd.risk.size)
    return float((clipped.risk[:both] / sgd.risk[:both]).max())


@pytest.mark.parametrize("count", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_max_ccc_is_never_worse_than_sgd_with_the_same_steps(count: int) -> None:
    """Random problems in the ODE, at 50 times each, to the 3e-4 of the tables; with steps 20 % too small it is."""
    generator = np.random.default_rng(2024)
    problems = [random_problem(generator) for _ in range(count)]
    ratios = [worst_ratio(*problem) for problem in problems]
    assert max(ratios) < 1 + 3e-4, problems[int(np.argmax(ratios))]
    twins = [worst_ratio(*problem, wrong=0.8) for problem in problems[:12]]
    assert sum(ratio > 1 + 3e-4 for ratio in twins) >= 6


@pytest.mark.parametrize(
    ("optimizer", "features"),
    [(hd.SGD, "identity"), (hd.SignSGD, "sign"), (hd.ClippedSGD(1.0, 0.7), "identity"), (hd.SGD(1.0, 4), "identity")],
    ids=name_of,
)
def test_no_other_step_falls_faster_than_the_greedy_one(optimizer: Any, features: str) -> None:
    problem = hd.Problem(hd.PowerLaw(200, 0.3), hd.Laplace(0.4))
    table = greedy_lr(problem, optimizer, 10.0)
    declared = optimizer(lr=1.0) if isinstance(optimizer, type) else optimizer
    response = MapResponse(declared.residual, problem.noise, declared.batch_size)
    modes = mode_system(problem.covariance, features, problem.initial_error)
    mu, nu = response(2 * problem.initial_risk, float(declared.control_schedule(0.0)))
    first = mu * (modes.rate**2 @ modes.start) / (nu * (modes.rate @ modes.diffusion))
    assert table(0.0) == pytest.approx(first, rel=1e-6)
    for t in (0.3, 3.0):
        short = t + 0.02 / float(table(t))
        changed = []
        for factor in (0.7, 1.0, 1.3):
            stopped = hd.schedules.Table(
                [0.0, *np.linspace(0.01, t, 400), t + 1e-9, 20.0],
                [*_sampled(table, t), *[factor * float(table(t))] * 2],
            )
            changed.append(risk_at(problem, replace(declared, lr=stopped), short))
        assert changed[1] < min(changed[0], changed[2])


def _sampled(table: Any, t: float) -> FloatArray:
    values: FloatArray = table(np.array([0.0, *np.linspace(0.01, t, 400)]))
    return values


def test_greedy_clip_is_the_fastest_fall() -> None:
    problem, horizon = problem_of(LAWS[1]), 10.0
    greedy = hd.tuning.greedy_clip(problem, horizon)
    np.testing.assert_allclose(greedy.curve.at(greedy.time), greedy.risk, rtol=1e-3)
    early = greedy.time[10]
    for rival in (hd.SGD(hd.tuning.greedy_lr(problem, hd.SGD, horizon)), hd.ClippedSGD(0.7, 0.7)):
        assert greedy.curve.at(early) < hd.predict(problem, rival, horizon).at(early)
    v, c = 2 * greedy.risk[20], greedy.threshold[20]
    assert c == pytest.approx(hd.tuning.best_threshold(problem.noise, float(v)).threshold, rel=1e-3)


# landscape, units, files


def test_landscape(tmp_path: Path) -> None:
    problem = problem_of(LAWS[1], d=60)
    lrs, clips = [0.1, 0.4, 3.0], [0.2, 1.0, math.inf]
    land = hd.tuning.landscape(problem, 8.0, lrs, clips)
    expected = [[risk_at(problem, hd.ClippedSGD(lr, c), 8.0) for c in clips] for lr in lrs]
    assert math.isinf(land.risk[2, 2]), "SGD above its critical step"
    np.testing.assert_allclose(land.risk[:2], expected[:2], rtol=1e-5)
    np.testing.assert_allclose(land.risk[2, :2], expected[2][:2], rtol=1e-5)
    i, j = np.unravel_index(land.risk.argmin(), land.risk.shape)
    assert land.best == hd.ClippedSGD(lrs[i], clips[j])
    ax = land.plot()
    assert ax.get_xscale() == "log" and "lr" in ax.get_xlabel()
    tuned = hd.tune_clip(problem, 8.0)
    assert tuned.landscape.risk.shape == (24, 24)
    assert tuned.risk <= tuned.landscape.risk.min() * (1 + 1e-5) <= tuned.risk * 1.05


def test_trainer_units_and_files(tmp_path: Path) -> None:
    problem = problem_of(LAWS[1], d=50)
    tuned = hd.tune_clip(problem, 4.0, schedule=True)
    norm = math.sqrt(problem.covariance.trace)
    plain = hd.tune_clip(problem, 4.0)
    half = plain.trainer(loss="half_squared")
    assert half == {"lr": plain.lr / 50, "max_norm": pytest.approx(plain.threshold * norm)}
    squared = plain.trainer(loss="squared")
    assert squared == {"lr": plain.lr / 100, "max_norm": pytest.approx(2 * plain.threshold * norm)}
    schedule = tuned.schedule
    assert schedule is not None
    steps = tuned.trainer(loss="half_squared")
    np.testing.assert_array_equal(steps["step"], np.arange(201))
    np.testing.assert_allclose(steps["lr"][70], schedule.optimizer.lr(70 / 50) / 50, rtol=1e-15)
    np.testing.assert_allclose(steps["max_norm"][70], schedule.optimizer.threshold(70 / 50) * norm, rtol=1e-15)
    np.testing.assert_array_equal(schedule.trainer(loss="half_squared", every=40)["lr"], steps["lr"][::40])
    schedule.save(tmp_path / "steps.csv", loss="squared", every=10)
    lines = (tmp_path / "steps.csv").read_text().splitlines()
    assert '# loss: "squared"' in lines and any(line.startswith("# version") for line in lines)
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [int(row["step"]) for row in rows] == list(range(0, 201, 10))
    assert float(rows[7]["lr"]) == steps["lr"][70] / 2 and float(rows[7]["max_norm"]) == 2 * steps["max_norm"][70]
    schedule.save(tmp_path / "steps.json", loss="half_squared")
    assert json.loads((tmp_path / "steps.json").read_text())["max_norm"] == steps["max_norm"].tolist()
    tuned.save(tmp_path / "tuning.json")
    stored = json.loads((tmp_path / "tuning.json").read_text())
    assert stored["threshold"] == tuned.threshold and stored["schedule"]["gain"] == schedule.gain
    assert (stored["max_norm"], stored["loss"]) == (
        tuned.optimizer.max_norm(problem, loss=stored["loss"]),
        "half_squared",
    )
    for path in ("x.npz", "missing/x.json"):
        with pytest.raises(hd.errors.InvalidInput, match="path"):
            tuned.save(path if "/" not in path else tmp_path / path)
    with pytest.raises(hd.errors.InvalidInput, match="every"):
        replace(schedule, horizon=1e9).trainer(loss="squared")
    assert pickle.loads(pickle.dumps(tuned)).risk == tuned.risk


def test_public_names() -> None:
    assert hd.tuning.best_constants is best_constants
    for name in ("best_constants", "greedy_clip", "greedy_lr", "landscape"):
        assert name in hd.tuning.__all__ and callable(getattr(hd.tuning, name))
    for name in ("tune_clip", "tune_lr"):
        assert name in hd.__all__ and callable(getattr(hd, name))


# against the real algorithm


@pytest.mark.slow
@pytest.mark.parametrize("noise", [hd.StudentT(df=3, scale=0.6), LAWS[1], LAWS[2]], ids=name_of)
def test_the_schedule_is_not_worse_than_sgd_in_simulation(noise: NoiseLaw) -> None:
    """Student t with df 3 has no finite spread under SGD, so medians over runs are compared there: mean of clipped runs
    plus 3 standard errors below the median of SGD. False alarm below 0.2 %.
    """
    problem, horizon = hd.Problem(hd.PowerLaw(1000, 0.3), noise), 8.0
    schedule = hd.tune_clip(problem, horizon, schedule=True).schedule
    assert schedule is not None
    eta = float(schedule.lr[0] * schedule.mu[0])
    clipped = hd.simulate(problem, schedule.optimizer, horizon, runs=32, seed=1)
    sgd = hd.simulate(problem, hd.SGD(eta), horizon, runs=32, seed=2)
    assert clipped.mean[-1] + 3 * clipped.stderr[-1] < np.median(sgd.risk[:, -1])
    assert abs(clipped.mean[-1] / schedule.risk[-1] - 1) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_tuned_constants_against_a_simulated_grid(noise: NoiseLaw) -> None:
    """The winner of a 20 x 20 grid (one run a point) is run again on fresh seeds, as the tuned pair is: the tuned mean
    is below the winner's plus 2 standard errors of the difference (false alarm 2.3 % where both are equally good).
    """
    problem, horizon = hd.Problem(hd.PowerLaw(1000, 0.3), noise), 4.0
    tuned = hd.tune_clip(problem, horizon).optimizer
    pairs = [
        (lr, c)
        for lr in tuned.lr * np.geomspace(1 / 12, 12, 20)
        for c in tuned.threshold * np.geomspace(1 / 15, 15, 20)
    ]
    with np.errstate(all="ignore"):
        once = [
            hd.simulate(problem, hd.ClippedSGD(*pair), horizon, runs=1, seed=i).risk[0, -1]
            for i, pair in enumerate(pairs)
        ]
    winner = hd.ClippedSGD(*pairs[int(np.argmin(once))])
    again, ours = (hd.simulate(problem, o, horizon, runs=64, seed=s) for o, s in ((winner, 10_001), (tuned, 10_002)))
    error = math.hypot(again.stderr[-1], ours.stderr[-1])
    print(f"{noise!r}: grid {winner!r} {again.mean[-1]:.5f}, tuned {tuned!r} {ours.mean[-1]:.5f}, error {error:.5f}")
    assert ours.mean[-1] < again.mean[-1] + 2 * error
    off = hd.simulate(problem, hd.ClippedSGD(2 * tuned.lr, tuned.threshold), horizon, runs=64, seed=10_003)
    assert off.mean[-1] > again.mean[-1] + 2 * error, "a wrong lr would not be seen"


ANSWERS: list[Callable[[hd.Problem], Any]] = [
    lambda problem: hd.tune_lr(problem, hd.SGD, 3.0),
    lambda problem: hd.tune_clip(problem, 3.0),
    lambda problem: hd.tune_clip(problem, 3.0, schedule=True),
    lambda problem: hd.tuning.greedy_clip(problem, 3.0),
    lambda problem: greedy_lr(problem, hd.SGD, 3.0),
    lambda problem: hd.compare(problem, 3.0),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_near_the_critical_step_says_so(answer: Callable[[hd.Problem], Any]) -> None:
    """What is best in the limit is near the critical lr at d = 8, and not at d = 800; each caveat is given once, at the
    line that asked.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer(hd.Problem(hd.Isotropic(8), hd.Gaussian(0.3)))
    assert {w.category for w in caught} >= {hd.errors.LowDimensionWarning, hd.errors.NearCriticalWarning}
    assert all(w.filename == __file__ for w in caught)
    assert len({str(w.message) for w in caught}) == len(caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer(hd.Problem(hd.Isotropic(800), hd.Gaussian(0.3)))
