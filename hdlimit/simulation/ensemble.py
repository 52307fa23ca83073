"""What simulate returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.core.observable import Observable
from hdlimit.core.timegrid import steps_at
from hdlimit.errors import NotAvailable, Outcome
from hdlimit.plotting.risk import plot_ensemble
from hdlimit.problem.problem import Problem
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


RECORDABLE = ("distance", "gradient_norm", "clipped_fraction")


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Record):
    """Simulated runs of the real algorithm.

    problem, optimizer, horizon: as given to simulate; time: shape (T,), exact step times k/d; risk: shape (runs, T),
    inf after a run diverged; entropy, spawn_key: of the SeedSequence whose child k drives run k; rows: "data" or
    "gaussian"; outcome: how the runs ended; version: of the package; method: "direct" or "blocks"; recorded: what was
    recorded beside the risk.
    """

    table: ClassVar[tuple[str, ...]] = ("time", "samples", "mean", "spread", "stderr")
    facts: ClassVar[tuple[str, ...]] = ("runs", "rows", "method", "entropy", "spawn_key")

    problem: Problem
    optimizer: Any
    horizon: float
    time: FloatArray
    risk: FloatArray
    entropy: int
    spawn_key: tuple[int, ...]
    rows: str
    outcome: Outcome
    version: str
    method: str = "direct"
    recorded: tuple[Observable, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Ensemble({self.optimizer!r}, d={self.problem.dimension}, runs={self.runs}, t={self.time[-1]:g}, "
            f"risk {self.mean[-1]:.4g} +- {self.stderr[-1]:.2g})"
        )

    @property
    def runs(self) -> int:
        """Number of runs."""
        return int(self.risk.shape[0])

    def observable(self, name: str) -> Observable:
        """The values of all runs with their mean, spread and stderr.

        name: "risk", or one of "distance", "gradient_norm" and "clipped_fraction" that simulate was asked to record.
        Raises: InvalidInput for another name, NotAvailable for one that was not recorded.
        """
        if checks.one_of("name", name, ("risk", *RECORDABLE)) == "risk":
            return Observable("risk", self.risk)
        for observable in self.recorded:
            if observable.name == name:
                return observable
        raise NotAvailable(f"{name}: was not recorded; simulate(..., record=({name!r},)) records it")

    @property
    def mean(self) -> FloatArray:
        """Mean risk over the runs, shape (T,)."""
        return self.observable("risk").mean

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of the risk of one run (n - 1 in the denominator), shape (T,); inf with a single run or
        diverged runs.
        """
        return self.observable("risk").spread

    @property
    def stderr(self) -> FloatArray:
        """Standard error of the mean risk, spread/sqrt(runs), shape (T,)."""
        return self.observable("risk").stderr

    @property
    def distance(self) -> FloatArray:
        """norm(delta)^2 of every run, shape (runs, T), if it was recorded."""
        return self.observable("distance").values

    @property
    def gradient_norm(self) -> FloatArray:
        """norm(K delta) of every run, the norm of the population gradient, shape (runs, T), if it was recorded."""
        return self.observable("gradient_norm").values

    @property
    def clipped_fraction(self) -> FloatArray:
        """Share of the steps since the recorded time before (or the start) whose gradient was clipped, shape (runs, T),
        if it was recorded; 0 at time 0. A time that is listed twice has the same value twice.
        """
        return self.observable("clipped_fraction").values

    @property
    def samples(self) -> FloatArray:
        """Samples seen at every time: batch size times steps, shape (T,)."""
        d = self.problem.dimension
        return np.array([float(self.optimizer.batch_size * steps_at(t, d)) for t in self.time])

    def columns(self) -> dict[str, Any]:
        """The columns of a file: time, samples, mean, spread and stderr of the risk and of what was recorded."""
        table = super().columns()
        for observable in self.recorded:
            name = observable.name
            table |= {name: observable.mean, f"{name}_spread": observable.spread, f"{name}_stderr": observable.stderr}
        return table

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the mean as markers with the band of one run's spread; returns the Axes."""
        return plot_ensemble(self, ax, **style)
