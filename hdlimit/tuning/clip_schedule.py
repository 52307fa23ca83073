"""Clip thresholds that follow the risk: c(v) with the compensated step eta(t)/mu_c, along the predicted curve.

max-CCC:    c(v) = argmax_c mu_c(v)^2/nu_c(v)
heuristic:  c(v) = k sqrt(v + s^2),  s^2 = Var eps, or the squared width of the noise where Var is infinite
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import steps_at
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput
from hdlimit.limit.integrator import solve
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.limit.system import Limit
from hdlimit.optimizers.base import Loss, loss_factor
from hdlimit.optimizers.schedules import Constant, Schedule, Table
from hdlimit.optimizers.sgd import ClippedSGD
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.predict import predict
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import BestNow, clipped_fraction, efficiency, heuristic_scale, rate_gain
from hdlimit.response.closed_loop import ClipResponse, Feedback, compensated
from hdlimit.storage.files import checked_path, new_file
from hdlimit.tuning.search import Family, best_scale, polish
from hdlimit.tuning.trial import Trial

if TYPE_CHECKING:
    from os import PathLike

PER_STEP = 4
MOST_STEPS = 1_000_000
ACCURACY = 1e-6
SCHEDULE_FILES = (".csv", ".json")

Threshold = Callable[[float], float]


@dataclass(frozen=True, eq=False, repr=False)
class ClipSchedule:
    """A clip threshold and a step size that follow the predicted curve.

    problem, horizon: of the tuning; k: of the heuristic, None for the max-CCC schedule; optimizer: ClippedSGD with both
    schedules (tables); time, risk, threshold, lr, mu, clipped_fraction, rate_gain: along the curve, shape (T,). mu: the
    drift at that threshold, so that lr mu is the compensated step eta(t); gain: R of SGD at its best constant
    lr over the risk here, at the horizon (inf where SGD has no limit).
    """

    problem: Problem
    horizon: float
    k: float | None
    optimizer: ClippedSGD
    time: FloatArray
    risk: FloatArray
    threshold: FloatArray
    lr: FloatArray
    mu: FloatArray
    clipped_fraction: FloatArray
    rate_gain: FloatArray
    gain: float

    def __repr__(self) -> str:
        kind = "max-CCC" if self.k is None else f"heuristic, k={self.k:.4g}"
        return f"ClipSchedule({kind}, t={self.horizon:g}, risk {self.risk[0]:.4g} -> {self.risk[-1]:.4g})"

    @cached_property
    def curve(self) -> Curve:
        """The predicted curve of the optimizer."""
        return predict(self.problem, self.optimizer, self.horizon)

    @cached_property
    def efficiency(self) -> FloatArray:
        """mu^2/(nu B I_F) along the curve: 1 where no other residual map does better, shape (T,)."""
        noise, b = self.problem.noise, self.optimizer.batch_size
        return np.array([efficiency(noise, 2 * r, c, b) for r, c in zip(self.risk, self.threshold)])

    def trainer(self, loss: Loss = "half_squared", every: int = 1) -> dict[str, Any]:
        """The schedule in a trainer's units: arrays `step`, `lr` and `max_norm`, each of shape (S,).

        loss: "half_squared" for r^2/2, "squared" for r^2 (PyTorch's MSELoss); every: distance of the steps listed (at
        most a million in all).
        """
        d, every = self.problem.dimension, checks.integer("every", every)
        last = steps_at(self.horizon, d)
        if last // every > MOST_STEPS:
            raise InvalidInput("every", f"at least {last // MOST_STEPS + 1} (a million steps in all)", f"{every}")
        steps = np.arange(0, last + 1, every)
        factor = loss_factor(loss)
        norm = math.sqrt(self.problem.covariance.trace) * factor
        max_norm = self.optimizer.threshold_schedule(steps / d) * norm
        return {"step": steps, "lr": self.optimizer.step_size(self.problem, loss, steps), "max_norm": max_norm}

    def save(self, path: str | PathLike[str], loss: Loss = "half_squared", every: int = 1) -> None:
        """Write the trainer's schedule as .csv (columns step, lr, max_norm) or .json, whole or not at all.

        path: ends in .csv or .json; loss, every: as for trainer.
        """
        target = checked_path(path, SCHEDULE_FILES)
        columns = {name: column.tolist() for name, column in self.trainer(loss, every).items()}
        facts = self._facts() | {"loss": loss}
        with new_file(target) as file:
            if target.suffix.lower() == ".json":
                file.write((json.dumps(facts | columns, indent=1) + "\n").encode())
                return
            lines = [f"# {key}: {json.dumps(value)}" for key, value in facts.items()]
            lines += [",".join(columns), *(",".join(map(repr, row)) for row in zip(*columns.values()))]
            file.write(("\n".join(lines) + "\n").encode())

    def _facts(self) -> dict[str, Any]:
        kind = "max-CCC" if self.k is None else "heuristic"
        facts = {"result": "ClipSchedule", "version": __version__, "schedule": kind, "k": self.k}
        return facts | {"problem": repr(self.problem), "horizon": self.horizon, "batch_size": self.optimizer.batch_size}


class Rule(NamedTuple):
    """A threshold that follows v. threshold: v -> c, inf allowed; k: of the heuristic."""

    threshold: Threshold
    k: float | None = None

    def response(self, noise: NoiseLaw, batch_size: int) -> Feedback:
        """(1, nu_c/mu_c^2): the response with compensated step."""
        exact = ClipResponse(noise, batch_size)
        return Feedback(compensated(lambda v: exact(v, self.threshold(v))), noise, batch_size)


def max_ccc(problem: Problem, batch_size: int) -> Rule:
    """c*(v) = argmax over c of mu_c^2/nu_c."""
    return Rule(lru_cache(maxsize=None)(BestNow(problem.noise, batch_size)))


def heuristic(problem: Problem, k: float) -> Rule:
    """c(v) = k sqrt(v + s^2)."""
    square = heuristic_scale(problem.noise) ** 2
    return Rule(lambda v: k * math.sqrt(v + square), k)


class Followed(NamedTuple):
    """The best step for a rule: lr is the compensated step eta(t); value is the log of the risk or of the time."""

    rule: Rule
    lr: Schedule
    value: float


def tuned_max_ccc(trial: Trial, batch_size: int, lr: Schedule | None) -> Followed:
    """The max-CCC schedule with the given compensated step, or its best constant one."""
    rule = max_ccc(trial.problem, batch_size)
    response = rule.response(trial.problem.noise, batch_size)
    if lr is None:
        x, _ = best_scale(trial, response, math.exp, math.inf)
        (x,), value = polish(lambda p: trial.value(response, Constant(math.exp(p[0])), math.inf, fine=True), [x])
        return Followed(rule, Constant(math.exp(x)), value)
    return Followed(rule, lr, trial.value(response, lr, math.inf, fine=True))


def tuned_heuristic(trial: Trial, batch_size: int, lr: Schedule | None) -> Followed:
    """The heuristic with its best k, under the given compensated step or together with the best constant one."""
    problem = trial.problem
    family = Family(
        trial,
        lambda y: heuristic(problem, math.exp(y)).response(problem.noise, batch_size),
        lambda x, y: math.exp(x),
        lambda y: math.inf,
        lr,
    )
    x, y, value = family.best(math.log(0.1 / batch_size), math.log(8.0))
    return Followed(heuristic(problem, math.exp(y)), Constant(math.exp(x)) if lr is None else lr, value)


def clip_schedule(trial: Trial, found: Followed, batch_size: int, sgd_risk: float) -> ClipSchedule:
    """The schedules along the predicted curve of a rule. sgd_risk: of SGD at its best constant lr, inf without one."""
    problem, noise = trial.problem, trial.problem.noise
    response = found.rule.response(noise, batch_size)
    limit = Limit(trial.modes, response, found.lr, Constant(math.inf), 1 / problem.dimension)
    dense = solve(limit, trial.modes, trial.horizon, ACCURACY).dense
    time = _knots(dense, found.lr, found.rule.threshold)
    v = np.maximum(dense(time, 0), 1e-280)
    c = np.array([found.rule.threshold(x) for x in v])
    eta = found.lr(time)
    if np.isinf(c).all():
        mu, optimizer = np.ones(time.size), ClippedSGD(_simple(found.lr), math.inf, batch_size)
    else:
        c = np.minimum(c, 20 * math.sqrt(float(v.max()) + noise.second_moment) if np.isinf(c).any() else math.inf)
        exact = ClipResponse(noise, batch_size)
        mu = np.array([exact(*pair)[0] for pair in zip(v, c)])
        optimizer = ClippedSGD(Table(time, eta / mu), Table(time, c), batch_size)
    pairs = list(zip(v.tolist(), c.tolist()))
    risk = v / 2
    return ClipSchedule(
        problem, trial.horizon, found.rule.k, optimizer, time, risk, c, eta / mu, mu,
        np.array([clipped_fraction(noise, *pair, batch_size) for pair in pairs]),
        np.array([rate_gain(noise, *pair, batch_size) for pair in pairs]),
        max(sgd_risk, trial.lowest) / max(float(risk[-1]), trial.lowest),
    )  # fmt: skip


def _simple(lr: Schedule) -> Any:
    return lr.value if isinstance(lr, Constant) else lr


def _knots(dense: DenseOutput, lr: Schedule, threshold: Threshold) -> FloatArray:
    """The integrator's steps, each divided; with points around every jump of the lr and of the threshold."""
    parts = np.arange(PER_STEP) / PER_STEP
    inner = dense.knots[:-1, None] + np.diff(dense.knots)[:, None] * parts
    knots = lr.knots[lr.knots <= dense.knots[-1]]
    time = np.unique(np.concatenate([inner.ravel(), dense.knots[-1:], knots, np.nextafter(knots, 0.0)]))
    return np.unique(np.concatenate([time, _jumps(dense, time, threshold)]))


def _jumps(dense: DenseOutput, time: FloatArray, threshold: Threshold) -> FloatArray:
    """Times that enclose every place where the threshold changes by more than a fifth between two given times."""

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
