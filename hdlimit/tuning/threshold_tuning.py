"""Tuning over a horizon: the constants, and the schedules, that reach the lowest risk."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hdlimit.core import checks
from hdlimit.core.version import __version__
from hdlimit.errors import HdlimitWarning, InvalidInput
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Loss, Optimizer, loss_factor
from hdlimit.optimizers.schedules import Constant, as_schedule
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.predict import predict
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import clipped_fraction, efficiency, rate_gain
from hdlimit.storage.files import checked_path, new_file
from hdlimit.storage.records import finite_or_none
from hdlimit.tuning.clip_schedule import ClipSchedule, clip_schedule, tuned_heuristic, tuned_max_ccc
from hdlimit.tuning.landscape import around
from hdlimit.tuning.search import best_clip, best_step
from hdlimit.tuning.trial import Trial, check_found, checked_trial

if TYPE_CHECKING:
    from os import PathLike

    from hdlimit.tuning.landscape import Landscape


_LOSSES: tuple[tuple[Loss, str], ...] = (("half_squared", "r^2/2"), ("squared", "r^2 (PyTorch's MSELoss)"))


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """The tuned clip threshold and step size.

    problem, horizon, target: as given; optimizer: ClippedSGD with the tuned constants; curve: its predicted curve;
    time: at which the target is reached, None without one; clipped_fraction, rate_gain: at the horizon's v (rate_gain:
    the CCC value (mu^2/nu) E r^2/B); gain: R_SGD/R_tuned at the horizon, SGD at its best constant lr (inf where SGD has
    no limit); sgd: that SGD, None without limit; schedule, heuristic: ClipSchedules of schedule=True, else None.
    """

    problem: Problem
    horizon: float
    target: float | None
    optimizer: ClippedSGD
    curve: Curve
    time: float | None
    clipped_fraction: float
    rate_gain: float
    gain: float
    sgd: SGD | None
    schedule: ClipSchedule | None
    heuristic: ClipSchedule | None

    def __repr__(self) -> str:
        return f"Tuning({self.optimizer!r}, t={self.horizon:g}, risk {self.risk:.4g}, gain {self.gain:.4g})"

    @property
    def threshold(self) -> float:
        """The clip threshold c in residual units; inf: do not clip."""
        return float(self.optimizer.threshold)

    @property
    def lr(self) -> Any:
        """The step size eta: a number, or the schedule that was given."""
        return self.optimizer.lr

    @property
    def max_norm(self) -> float:
        """The gradient-norm limit c sqrt(tr K) of a trainer with loss r^2/2 (twice that with r^2)."""
        return self.optimizer.max_norm(self.problem)

    @property
    def risk(self) -> float:
        """The excess risk R at the horizon."""
        return float(self.curve.risk[-1])

    @cached_property
    def efficiency(self) -> float:
        """mu^2/(nu B I_F) at the horizon's v: the share of the fastest possible decrease that this clip reaches."""
        return efficiency(self.problem.noise, 2 * self.risk, self.threshold, self.optimizer.batch_size)

    @cached_property
    def landscape(self) -> Landscape:
        """The risk at the horizon over lr x threshold around the optimum, 24 x 24 points."""
        return around(self.problem, self.optimizer, self.horizon)

    def trainer(self, loss: Loss = "half_squared", every: int = 1) -> dict[str, Any]:
        """lr and max_norm in a trainer's units; with a schedule, arrays `step`, `lr` and `max_norm` of that schedule.

        loss: "half_squared" for r^2/2, "squared" for r^2 (PyTorch's MSELoss); every: distance of the schedule's steps.
        """
        if self.schedule is not None:
            return self.schedule.trainer(loss, every)
        if not isinstance(self.optimizer.lr_schedule, Constant):
            raise InvalidInput("lr", "a constant lr (optimizer.step_size gives the steps of a schedule)", repr(self.lr))
        step = self.optimizer.step_size(self.problem, loss)
        return {"lr": step, "max_norm": self.max_norm * loss_factor(loss)}

    def summary(self) -> str:
        """The answer as a few lines of text."""
        lines = [f"lr = {self.lr:.6g}" if isinstance(self.lr, float) else f"lr = {self.lr!r}"]
        if math.isinf(self.threshold):
            lines.append("threshold = inf: do not clip, no threshold lowers the risk at this horizon")
        else:
            lines.append(f"threshold = {self.threshold:.6g} in units of the residual")
            lines.append(f"clipped at the horizon: {self.clipped_fraction:.1%} of the steps")
        if isinstance(self.lr, float):
            for loss, name in _LOSSES:
                units = self.optimizer.step_size(self.problem, loss), self.optimizer.max_norm(self.problem, loss)
                lines.append("trainer, loss {}: lr = {:.6g}, max_norm = {:.6g}".format(name, *units))
        lines.append(f"risk at t = {self.horizon:g}: {self.risk:.6g}")
        if self.time is not None:
            steps = self.time * self.problem.dimension
            lines.append(f"risk {self.target:g} is reached at t = {self.time:.6g}, after {steps:.0f} steps")
        if self.sgd is None:
            lines.append("SGD without clipping has no limit here: the noise has infinite variance")
        else:
            lines.append(f"SGD at its best constant lr {self.sgd.lr:.6g} has {self.gain:.4g} times this risk")
        for name, schedule in (("max-CCC schedule", self.schedule), ("heuristic schedule", self.heuristic)):
            if schedule is not None:
                lines.append(f"{name}: {_describe(schedule)}")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """The answer as plain values."""
        facts: dict[str, Any] = {"result": "Tuning", "version": __version__, "problem": repr(self.problem)}
        facts |= {"horizon": self.horizon, "target": self.target, "batch_size": self.optimizer.batch_size}
        facts |= {"lr": self.lr if isinstance(self.lr, float) else repr(self.lr)}
        facts |= {name: getattr(self, name) for name in ("threshold", "max_norm", "clipped_fraction", "risk", "time")}
        facts |= {"gain": self.gain, "rate_gain": self.rate_gain, "sgd_lr": None if self.sgd is None else self.sgd.lr}
        for name, schedule in (("schedule", self.schedule), ("heuristic", self.heuristic)):
            if schedule is not None:
                columns = ("time", "threshold", "lr", "risk", "clipped_fraction")
                facts[name] = {"k": schedule.k, "gain": schedule.gain} | {c: getattr(schedule, c) for c in columns}
        return facts

    def save(self, path: str | PathLike[str]) -> None:
        """Write the answer to .json, whole or not at all; a schedule's own save writes a trainer's steps."""
        target = checked_path(path, (".json",))
        with new_file(target) as file:
            file.write((json.dumps(finite_or_none(self.facts()), allow_nan=False, indent=1) + "\n").encode())


def _describe(schedule: ClipSchedule) -> str:
    c, risk = schedule.threshold, schedule.risk[-1]
    k = "" if schedule.k is None else f"k = {schedule.k:.4g}, "
    return f"{k}threshold from {c[0]:.4g} to {c[-1]:.4g}, risk {risk:.6g} at the horizon, gain {schedule.gain:.4g}"


def tune_clip(
    problem: Problem,
    horizon: float,
    lr: Any = None,
    schedule: bool = False,
    batch_size: int = 1,
    target: float | None = None,
) -> Tuning:
    """The clip threshold and the step size with the lowest risk at a horizon, on the limit ODE.

        minimize R(horizon) over constant (lr, threshold); schedule: c*(t) = argmax_c mu_c^2/nu_c, step eta(t)/mu_c

    problem: a Problem; horizon: t = k/d; lr: None to tune it too, else a number or a schedule of t that is kept;
    schedule: also compute the max-CCC schedule and the heuristic c = k sqrt(2R + s^2) along their own curves, with
    compensated steps eta(t)/mu_c, eta the given lr or the best constant one; batch_size: B, the mean gradient is
    clipped; target: a risk, to minimize the time at which it is reached instead of the risk at the horizon.

    Returns: a Tuning. Its constants are within a few parts in a thousand of the minimum's, so that the risk is within
    1e-5 of the least. Raises: InvalidInput; among it a target below the lowest risk that can be reached (the message
    says which), and a horizon in which no step size lowers the risk by 1 %. Warns as predict does. Source:
    derivations/threshold.py, and the limit that predict integrates.
    """
    trial, batch_size = checked_trial(problem, horizon, target=target), checks.integer("batch_size", batch_size)
    given = None if lr is None else as_schedule("lr", lr)
    found = best_clip(trial, batch_size, given)
    check_found(trial, found.value, lambda: math.exp(best_clip(_untargeted(trial), batch_size, given).value))
    optimizer: Any = found.optimizer
    curve = _curve(problem, optimizer, trial.horizon)
    c, v, noise = float(optimizer.threshold), 2 * float(curve.risk[-1]), problem.noise
    sgd = None if math.isinf(noise.second_moment) else best_step(_untargeted(trial), SGD(1.0, batch_size))
    sgd_risk = math.inf if sgd is None else math.exp(sgd.value)
    schedules: list[ClipSchedule | None] = [None, None]
    if schedule:
        rules = (tuned_max_ccc(trial, batch_size, given), tuned_heuristic(trial, batch_size, given))
        schedules = [clip_schedule(trial, rule, batch_size, sgd_risk) for rule in rules]
    warn_caveats(problem, optimizer, trial.horizon, *(each.optimizer for each in schedules if each is not None))
    plain: Any = None if sgd is None else sgd.optimizer
    return Tuning(
        problem,
        trial.horizon,
        trial.target,
        optimizer,
        curve,
        None if trial.target is None else math.exp(found.value),
        clipped_fraction(noise, v, c, batch_size),
        rate_gain(noise, v, c, batch_size),
        max(sgd_risk, trial.lowest) / max(float(curve.risk[-1]), trial.lowest),
        plain,
        *schedules,
    )


@dataclass(frozen=True, eq=False, repr=False)
class LrTuning:
    """The tuned step size. optimizer: with that lr; curve: its predicted curve; time: at which the target is reached,
    None without one.
    """

    optimizer: Optimizer
    curve: Curve
    time: float | None

    def __repr__(self) -> str:
        return f"LrTuning({self.optimizer!r}, t={self.curve.horizon:g}, risk {self.risk:.4g})"

    @property
    def lr(self) -> float:
        """The step size eta."""
        return float(self.optimizer.lr)

    @property
    def risk(self) -> float:
        """The excess risk R at the horizon."""
        return float(self.curve.risk[-1])


def tune_lr(problem: Problem, optimizer: Any, horizon: float, target: float | None = None) -> LrTuning:
    """The constant step size with the lowest risk at a horizon, or the shortest time to a target risk.

    problem: a Problem; optimizer: SGD or SignSGD (the class), or an optimizer whose lr is to be replaced, with a
    constant threshold; horizon: t = k/d; target: None, or a risk.
    Returns: an LrTuning. Raises: InvalidInput as tune_clip; NoLimit for SGD under noise of infinite variance. Warns as
    predict does.
    """
    if optimizer in (SGD, SignSGD):
        optimizer = optimizer(lr=1.0)
    if not isinstance(optimizer, Optimizer):
        raise InvalidInput("optimizer", "SGD, SignSGD or an optimizer with its threshold", repr(optimizer)[:120])
    trial = checked_trial(problem, horizon, optimizer.features, target)
    found = best_step(trial, optimizer)
    check_found(trial, found.value, lambda: math.exp(best_step(_untargeted(trial), optimizer).value))
    time = None if trial.target is None else math.exp(found.value)
    warn_caveats(problem, found.optimizer, trial.horizon)
    return LrTuning(found.optimizer, _curve(problem, found.optimizer, trial.horizon), time)


def _curve(problem: Problem, optimizer: Optimizer, horizon: float) -> Curve:
    """The predicted curve, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HdlimitWarning)
        return predict(problem, optimizer, horizon)


def _untargeted(trial: Trial) -> Trial:
    return replace(trial, target=None)
