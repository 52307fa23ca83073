"""The tuned clip threshold and step size, as a record."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hdlimit.core.declaration import known_names
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.base import Loss, loss_factor
from hdlimit.optimizers.schedules import Constant
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.prediction.curve import Curve
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import efficiency
from hdlimit.storage.files import checked_path, new_file
from hdlimit.storage.records import finite_or_none
from hdlimit.tuning.clip_schedule import ClipSchedule
from hdlimit.tuning.landscape import around

if TYPE_CHECKING:
    from os import PathLike

    from hdlimit.tuning.landscape import Landscape


_LOSSES: tuple[tuple[Loss, str], ...] = (("half_squared", "r^2/2"), ("squared", "r^2 (PyTorch's MSELoss)"))


@known_names
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
        R_SGD/R_tuned at the horizon, SGD at its best constant lr; inf where SGD has no limit. With a target the ratio
        of the times to it, SGD at the constant lr that gets there first; inf where none gets there by the horizon.
    sgd : SGD or None
        That SGD, None where there is none.
    schedule, heuristic : ClipSchedule or None
        The two schedules of `schedule=True`.

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> tuning = hd.tune_clip(problem, horizon=2.0)
    >>> tuning.gain > 1
    True
    >>> sorted(tuning.trainer(loss="squared"))
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
        reached = "" if self.time is None else f", risk {self.target:g} at t={self.time:.4g}"
        gain = f"gain {self.gain:.4g} in {self._measure}"
        return f"Tuning({self.optimizer!r}, t={self.horizon:g}, risk {self.risk:.4g}{reached}, {gain})"

    @property
    def _measure(self) -> str:
        """What a gain is a ratio of."""
        return "risk" if self.target is None else "time"

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
        return self.optimizer.max_norm(self.problem, loss="half_squared")

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

    def trainer(self, *, loss: Loss, every: int = 1) -> dict[str, Any]:
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
            return self.schedule.trainer(loss=loss, every=every)
        if not isinstance(self.optimizer.lr_schedule, Constant):
            raise InvalidInput(
                "lr", "a constant lr (optimizer.step_size gives the steps of a schedule)", shown(self.lr)
            )
        step = self.optimizer.step_size(self.problem, loss=loss)
        return {"lr": step, "max_norm": self.max_norm * loss_factor(loss)}

    def summary(self) -> str:
        """Return the answer as a few lines of text.

        Returns
        -------
        str
            One number a line, with its name.
        """
        lines = [f"lr = {self.lr:.6g}" if isinstance(self.lr, float) else f"lr = {self.lr!r}"]
        if math.isinf(self.threshold):
            lines.append("threshold = inf: do not clip, no threshold lowers the risk at this horizon")
        else:
            lines.append(f"threshold = {self.threshold:.6g} in units of the residual")
            lines.append(f"clipped at the horizon: {self.clipped_fraction:.1%} of the steps")
        if isinstance(self.lr, float):
            for loss, name in _LOSSES:
                step = self.optimizer.step_size(self.problem, loss=loss)
                units = step, self.optimizer.max_norm(self.problem, loss=loss)
                lines.append("trainer, loss {}: lr = {:.6g}, max_norm = {:.6g}".format(name, *units))
        lines.append(f"risk at t = {self.horizon:g}: {self.risk:.6g}")
        if self.time is not None:
            steps = self.time * self.problem.dimension
            lines.append(f"risk {self.target:g} is reached at t = {self.time:.6g}, after {steps:.0f} steps")
        lines.append(self._rival())
        for name, schedule in (("max-CCC schedule", self.schedule), ("heuristic schedule", self.heuristic)):
            if schedule is not None:
                lines.append(f"{name}: {_describe(schedule)} in {self._measure}")
        return "\n".join(lines)

    def _rival(self) -> str:
        """Say how SGD compares, in a sentence."""
        if math.isinf(self.problem.noise.second_moment):
            return "SGD without clipping has no limit here: the noise has infinite variance"
        if self.sgd is None:
            return f"SGD at no constant lr reaches risk {self.target:g} by t = {self.horizon:g}"
        if self.target is None:
            return f"SGD at its best constant lr {self.sgd.lr:.6g} has {self.gain:.4g} times this risk"
        return f"SGD at its fastest constant lr {self.sgd.lr:.6g} takes {self.gain:.4g} times this time"

    def facts(self) -> dict[str, Any]:
        """Return the answer as plain values.

        Returns
        -------
        dict
            What `save` writes.
        """
        facts: dict[str, Any] = {"result": "Tuning", "version": __version__, "problem": repr(self.problem)}
        facts |= {"horizon": self.horizon, "target": self.target, "batch_size": self.optimizer.batch_size}
        facts |= self.optimizer.memory._asdict() if self.optimizer.memory is not None else {}
        facts |= {"lr": self.lr if isinstance(self.lr, float) else repr(self.lr)}
        facts |= {name: getattr(self, name) for name in ("threshold", "max_norm", "clipped_fraction", "risk", "time")}
        facts |= {
            "loss": "half_squared",  # of max_norm
            "gain": self.gain,
            "gain_in": self._measure,
            "rate_gain": self.rate_gain,
            "sgd_lr": None if self.sgd is None else self.sgd.lr,
        }
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
