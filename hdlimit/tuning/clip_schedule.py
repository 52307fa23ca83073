"""A clip threshold that follows the risk, with its step size, as a record and as a file for a trainer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.core.timegrid import steps_at
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput
from hdlimit.optimizers.base import Loss, loss_factor
from hdlimit.optimizers.sgd import ClippedSGD
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.predict import predict
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import efficiency
from hdlimit.storage.files import checked_path, new_file

if TYPE_CHECKING:
    from os import PathLike

# Most steps that a file or an array lists: its size against its resolution. Chosen, not measured.
MOST_STEPS = 1_000_000
SCHEDULE_FILES = (".csv", ".json")


@known_names
@dataclass(frozen=True, eq=False, repr=False)
class ClipSchedule:
    """A clip threshold and a step size that follow the predicted curve.

    Parameters
    ----------
    problem, horizon
        Of the tuning.
    k : float or None
        Of the heuristic c = k sqrt(v + s^2), inf where no clipping is best; None for the max-CCC schedule.
    optimizer : ClippedSGD
        With both schedules, as tables.
    time, risk, threshold, lr : ndarray, shape (T,)
        Along the curve.
    mu : ndarray, shape (T,)
        The drift at that threshold, so that lr mu is the compensated step eta(t).
    clipped_fraction, rate_gain : ndarray, shape (T,)
        Along the curve.
    gain : float
        R of SGD at its best constant lr over the risk here, at the horizon; inf where SGD has no limit. With a target
        of `tune_clip` the ratio of the times to it, inf where SGD does not reach it, 0 where this schedule does not.

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> schedule = hd.tuning.greedy_clip(problem, horizon=2.0)
    >>> schedule.trainer(loss="squared", every=100)["step"]
    array([  0, 100, 200])
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

    def trainer(self, *, loss: Loss, every: int = 1) -> dict[str, Any]:
        """Return the schedule in a trainer's units.

        Parameters
        ----------
        loss : {"half_squared", "squared"}
            r^2/2, or r^2 (PyTorch's MSELoss).
        every : int
            Distance of the steps listed, at most a million in all.

        Returns
        -------
        dict
            Arrays `step`, `lr` and `max_norm`, each of shape (S,).

        Raises
        ------
        InvalidInput
            Where more than a million steps would be listed.
        """
        d, every = self.problem.dimension, checks.integer("every", every)
        last = steps_at(self.horizon, d)
        if last // every > MOST_STEPS:
            raise InvalidInput("every", f"at least {last // MOST_STEPS + 1} (a million steps in all)", f"{every}")
        steps = np.arange(0, last + 1, every)
        factor = loss_factor(loss)
        norm = math.sqrt(self.problem.covariance.trace) * factor
        max_norm = self.optimizer.control_schedule(steps / d) * norm
        return {
            "step": steps,
            "lr": self.optimizer.step_size(self.problem, loss=loss, steps=steps),
            "max_norm": max_norm,
        }

    def save(self, path: str | PathLike[str], *, loss: Loss, every: int = 1) -> None:
        """Write the trainer's schedule as .csv (columns step, lr, max_norm) or .json, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            Ends in .csv or .json.
        loss, every
            As for `trainer`.
        """
        target = checked_path(path, SCHEDULE_FILES)
        columns = {name: column.tolist() for name, column in self.trainer(loss=loss, every=every).items()}
        facts = self._facts() | {"loss": loss}
        with new_file(target) as file:
            if target.suffix.lower() == ".json":
                file.write((json.dumps(facts | columns, indent=1) + "\n").encode())
                return
            lines = [f"# {key}: {json.dumps(value)}" for key, value in facts.items()]
            lines += [",".join(columns), *(",".join(map(repr, row)) for row in zip(*columns.values()))]
            file.write(("\n".join(lines) + "\n").encode())

    def _facts(self) -> dict[str, Any]:
        """Return what the head of a file states."""
        kind = "max-CCC" if self.k is None else "heuristic"
        facts = {"result": "ClipSchedule", "version": __version__, "schedule": kind, "k": self.k}
        return facts | {"problem": repr(self.problem), "horizon": self.horizon, "batch_size": self.optimizer.batch_size}
