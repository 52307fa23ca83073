"""Tuning over a horizon: the constants, and the schedules, that reach the lowest risk."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hdlimit.core import checks
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Loss, loss_factor
from hdlimit.optimizers.schedules import Constant, as_schedule
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.prediction.curve import Curve
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import clipped_fraction, efficiency, rate_gain
from hdlimit.storage.files import checked_path, new_file
from hdlimit.storage.records import finite_or_none
from hdlimit.tuning.clip_schedule import ClipSchedule, clip_schedule
from hdlimit.tuning.landscape import around
from hdlimit.tuning.search import best_clip, best_step
from hdlimit.tuning.step_tuning import quiet_curve, untargeted
from hdlimit.tuning.threshold_rules import tuned_heuristic, tuned_max_ccc
from hdlimit.tuning.trial import check_found, checked_trial

if TYPE_CHECKING:
    from os import PathLike

    from hdlimit.tuning.landscape import Landscape


_LOSSES: tuple[tuple[Loss, str], ...] = (("half_squared", "r^2/2"), ("squared", "r^2 (PyTorch's MSELoss)"))


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """The tuned clip threshold and step size.

    Parameters
    ----------
    problem, horizon, target
        As given to `tune_clip`.
    optimizer : ClippedSGD
        With the tuned constants.
    curve : Curve
        Its predicted curve.
    time : float or None
        Time at which the target is reached, None without a target.
    clipped_fraction : float
        Share of clipped steps at the horizon's v.
    rate_gain : float
        The value (mu^2/nu) E r^2/B of the clipping criterion (CCC) at the horizon's v.
    gain : float
        R_SGD/R_tuned at the horizon, SGD at its best constant lr; inf where SGD has no limit.
    sgd : SGD or None
        That SGD, None without a limit.
    schedule, heuristic : ClipSchedule or None
        The two schedules of `schedule=True`.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.StudentT(df=3, scale=0.5))
    >>> tuning = hd.tune_clip(problem, horizon=5.0)
    >>> tuning.gain > 1
    True
    >>> sorted(tuning.trainer())
    ['lr', 'max_norm']
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
        """Return lr and max_norm in a trainer's units.

        Parameters
        ----------
        loss : {"half_squared", "squared"}
            r^2/2, or r^2 (PyTorch's MSELoss).
        every : int
            Distance of the schedule's steps.

        Returns
        -------
        dict
            `lr` and `max_norm`; with a schedule, arrays `step`, `lr` and `max_norm` of that schedule.

        Raises
        ------
        InvalidInput
            For a given lr that is a schedule, without `schedule=True`.
        """
        if self.schedule is not None:
            return self.schedule.trainer(loss, every)
        if not isinstance(self.optimizer.lr_schedule, Constant):
            raise InvalidInput("lr", "a constant lr (optimizer.step_size gives the steps of a schedule)", repr(self.lr))
        step = self.optimizer.step_size(self.problem, loss)
        return {"lr": step, "max_norm": self.max_norm * loss_factor(loss)}

    def summary(self) -> str:
        """Return the answer as a few lines of text."""
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
        """Return the answer as plain values."""
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
        """Write the answer to .json, whole or not at all; a schedule's own `save` writes a trainer's steps.

        Parameters
        ----------
        path : str or path-like
            Ends in .json.
        """
        target = checked_path(path, (".json",))
        with new_file(target) as file:
            file.write((json.dumps(finite_or_none(self.facts()), allow_nan=False, indent=1) + "\n").encode())


def _describe(schedule: ClipSchedule) -> str:
    """Describe a schedule in one line."""
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
    """Find the clip threshold and the step size with the lowest risk at a horizon, on the limit ODE.

    Parameters
    ----------
    problem : Problem
        The problem.
    horizon : float
        In units of t = k/d.
    lr : float, schedule or callable, optional
        None to tune it too; else a number or a schedule of t, which is kept.
    schedule : bool
        Compute the max-CCC schedule and the heuristic c = k sqrt(2R + s^2) too, along their own curves, with
        compensated steps eta(t)/mu_c, eta the given lr or the best constant one.
    batch_size : int
        B; the mean gradient is clipped.
    target : float, optional
        A risk: the time at which it is reached is minimized instead of the risk at the horizon.

    Returns
    -------
    Tuning
        Its constants are within a few parts in a thousand of the minimum's, so that the risk is within 1e-5 of the
        least.

    Raises
    ------
    InvalidInput
        Among others for a target below the lowest risk that can be reached (the message says which), and for a
        horizon in which no step size lowers the risk by 1 %.

    Warns
    -----
    HdlimitWarning
        As `predict` does.

    Notes
    -----
    The constants minimize R(horizon), or the time to the target. The schedule is

        c*(t) = argmax_c mu_c^2/nu_c,   lr(t) = eta(t)/mu_c

    (derivations/threshold.py; R from the limit that `predict` integrates).

    References
    ----------
    Marshall, Xiao, Agarwala, Paquette (2025), the clipping comparison criterion (CCC).

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.StudentT(df=3, scale=0.5))
    >>> tuning = hd.tune_clip(problem, horizon=5.0)
    >>> tuning.risk < hd.tune_lr(problem, hd.SGD, horizon=5.0).risk
    True
    """
    trial, batch_size = checked_trial(problem, horizon, target=target), checks.integer("batch_size", batch_size)
    given = None if lr is None else as_schedule("lr", lr)
    found = best_clip(trial, batch_size, given)
    check_found(trial, found.value, lambda: math.exp(best_clip(untargeted(trial), batch_size, given).value))
    optimizer: Any = found.optimizer
    curve = quiet_curve(problem, optimizer, trial.horizon)
    c, v, noise = float(optimizer.threshold), 2 * float(curve.risk[-1]), problem.noise
    sgd = None if math.isinf(noise.second_moment) else best_step(untargeted(trial), SGD(1.0, batch_size))
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
