"""Clip thresholds that follow v = 2R, each with its best compensated step eta(t)/mu_c, along the predicted curve.

max-CCC:    c(v) = argmax_c mu_c(v)^2/nu_c(v)
heuristic:  c(v) = k sqrt(v + s^2),  s^2 = Var eps, or the squared width of the noise where Var is infinite
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import counting
from hdlimit.limit.integrator import solve
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.limit.system import Limit
from hdlimit.optimizers.schedules import Constant, Schedule, Table
from hdlimit.optimizers.sgd import ClippedSGD
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import BestNow, clipped_fraction, heuristic_scale
from hdlimit.response.closed_loop import ERROR, ClipResponse, Feedback, compensated
from hdlimit.tuning.clip_schedule import ClipSchedule
from hdlimit.tuning.search import Family, best_scale, polish
from hdlimit.tuning.trial import Trial

# Table points per step of the integrator: the linear table between them against the smooth schedule.
# Chosen, not measured; tests/tuning/test_threshold_tuning.py compares its curve with the rule's own.
PER_STEP = 4
# Change of log v below which a step is not divided further. Chosen, not measured.
FALL = 0.05
# Relative tolerance of the curve along which a schedule is read: that of predict by default.
ACCURACY = 1e-6

Threshold = Callable[[float], float]


class Rule(NamedTuple):
    """A threshold that follows v.

    Parameters
    ----------
    threshold : callable
        v -> c, inf allowed.
    k : float or None
        Of the heuristic.
    """

    threshold: Threshold
    k: float | None = None

    def response(self, noise: NoiseLaw, batch_size: int) -> Feedback:
        """Return (1, nu_c/mu_c^2), the response with compensated step."""
        exact = ClipResponse(noise, batch_size)
        error = ERROR if exact.error <= ERROR else 4 * exact.error
        return Feedback(compensated(lambda v: exact(v, self.threshold(v))), noise, batch_size, error)


def max_ccc(problem: Problem, batch_size: int) -> Rule:
    """Return the rule c*(v) = argmax over c of mu_c^2/nu_c."""
    return Rule(lru_cache(maxsize=None)(BestNow(problem.noise, batch_size)))


def heuristic(problem: Problem, k: float) -> Rule:
    """Return the rule c(v) = k sqrt(v + s^2)."""
    square = heuristic_scale(problem.noise) ** 2
    return Rule(lambda v: k * math.sqrt(v + square), k)


class Followed(NamedTuple):
    """The best step for a rule.

    Parameters
    ----------
    rule : Rule
        The threshold.
    lr : Schedule
        The compensated step eta(t).
    value : float
        Log of the risk or of the time.
    """

    rule: Rule
    lr: Schedule
    value: float


@counting()
def tuned_max_ccc(trial: Trial, batch_size: int, lr: Schedule | None) -> Followed:
    """Return the max-CCC schedule with the given compensated step, or its best constant one."""
    rule = max_ccc(trial.problem, batch_size)
    response = rule.response(trial.problem.noise, batch_size)
    if lr is None:
        x, _ = best_scale(trial, response, math.exp, math.inf)
        (x,), value = polish(lambda p: trial.value(response, Constant(math.exp(p[0])), math.inf, fine=True), [x])
        return Followed(rule, Constant(math.exp(x)), value)
    return Followed(rule, lr, trial.value(response, lr, math.inf, fine=True))


@counting()
def tuned_heuristic(trial: Trial, batch_size: int, lr: Schedule | None) -> Followed:
    """Return the heuristic with its best k, under the given compensated step or the best constant one."""
    problem = trial.problem
    family = Family(
        trial,
        lambda y: heuristic(problem, math.exp(y)).response(problem.noise, batch_size),
        lambda x, y: math.exp(x),
        lambda y: math.inf,
        lr,
    )
    x, y, value = family.best(math.log(0.1 / math.sqrt(batch_size)), math.log(8.0))
    return Followed(heuristic(problem, math.exp(y)), Constant(math.exp(x)) if lr is None else lr, value)


@counting()
def clip_schedule(trial: Trial, found: Followed, batch_size: int, rival: float) -> ClipSchedule:
    """Compute both schedules along the predicted curve of a rule.

    Parameters
    ----------
    trial : Trial
        The problem and the horizon.
    found : Followed
        The rule and its compensated step.
    batch_size : int
        B.
    rival : float
        Risk of SGD at its best constant lr at the horizon, or its time to the target of the trial; inf without one.

    Returns
    -------
    ClipSchedule
        On the integrator's steps, with points around every jump.
    """
    problem, noise = trial.problem, trial.problem.noise
    response = found.rule.response(noise, batch_size)
    limit = Limit(trial.modes, response, found.lr, Constant(math.inf), 1 / problem.dimension)
    dense = solve(limit, trial.modes, trial.horizon, ACCURACY).dense
    time = _knots(dense, found.lr, found.rule.threshold)
    v = np.maximum(dense(time, 0), 1e-280)
    c = np.array([found.rule.threshold(x) for x in v])
    eta = found.lr(time)
    mu, gain = np.ones(time.size), np.ones(time.size)
    if np.isinf(c).all():
        optimizer = ClippedSGD(_simple(found.lr), math.inf, batch_size)
    else:
        c = np.minimum(c, 20 * math.sqrt(float(v.max()) + noise.second_moment) if np.isinf(c).any() else math.inf)
        read = ClipResponse(noise, batch_size)
        mu, nu = np.array([read(*pair) for pair in zip(v.tolist(), c.tolist())]).T
        gain = mu**2 / nu * (v + noise.second_moment) / batch_size
        optimizer = ClippedSGD(Table(time, eta / mu), Table(time, c), batch_size)
    risk = v / 2
    return ClipSchedule(
        problem, trial.horizon, found.rule.k, optimizer, time, risk, c, eta / mu, mu,
        np.array([clipped_fraction(noise, *pair, batch_size) for pair in zip(v.tolist(), c.tolist())]),
        gain,
        trial.gain(rival, float(risk[-1]), found.value),
    )  # fmt: skip


def _simple(lr: Schedule) -> Any:
    """Return the number of a constant schedule, and any other schedule itself."""
    return lr.value if isinstance(lr, Constant) else lr


def _knots(dense: DenseOutput, lr: Schedule, threshold: Threshold) -> FloatArray:
    """Divide the integrator's steps, and add points around every jump of the lr and of the threshold."""
    left, length = dense.knots[:-1], np.diff(dense.knots)
    fall = np.abs(np.diff(np.log(np.maximum(dense(dense.knots, 0), 1e-280))))
    parts = np.clip(np.ceil(fall / FALL), 1, PER_STEP).astype(np.int64)
    step = np.repeat(np.arange(left.size), parts)
    place = (np.arange(step.size) - np.repeat(np.cumsum(parts) - parts, parts)) / parts[step]
    knots = lr.knots[lr.knots <= dense.knots[-1]]
    before = np.nextafter(knots, 0.0)
    before = before[~np.isclose(lr(before), lr(knots), rtol=1e-9, atol=0.0)]
    time = np.unique(np.concatenate([left[step] + place * length[step], dense.knots[-1:], knots, before]))
    return np.unique(np.concatenate([time, _jumps(dense, time, threshold)]))


def _jumps(dense: DenseOutput, time: FloatArray, threshold: Threshold) -> FloatArray:
    """Enclose every place where the threshold changes by more than a fifth between two given times."""

    def log_c(t: float) -> float:
        c = threshold(max(float(dense(np.array(t), 0)), 1e-280))
        return math.log(c) if math.isfinite(c) else 700.0

    found = []
    values = [log_c(t) for t in time.tolist()]
    for i in np.flatnonzero(np.abs(np.diff(values)) > math.log(1.2)):
        (a, b), (left, right) = time[i : i + 2].tolist(), values[i : i + 2]
        while abs(right - left) > math.log(1.2) and b - a > 1e-6 * b:
            middle = (a + b) / 2
            value = log_c(middle)
            if abs(value - left) < abs(right - value):
                a, left = middle, value
            else:
                b, right = middle, value
            found.append(middle)
    return np.array(found)
