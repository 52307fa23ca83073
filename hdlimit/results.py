"""What predict and simulate return: frozen records of named arrays.

Theory and simulation use the same names: `time` (t = k/d), `risk` (excess risk R), `distance` (norm(delta)^2) and
`gradient_norm` (norm of the population gradient K delta).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit import checks
from hdlimit.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput, NotAvailable, Outcome
from hdlimit.problem import Problem
from hdlimit.times import steps_at

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

RECORDABLE = ("distance", "gradient_norm", "clipped_fraction")


@dataclass(frozen=True, eq=False)
class DenseOutput:
    """Piecewise quartic interpolant of k linear functionals of the modes.

    knots: step ends of the integrator, shape (s + 1,); start: values at the left knots, shape (s, k);
    coefficients: of theta, ..., theta^4 on every step, shape (s, k, 4), theta = (t - knot)/(step length).
    """

    knots: FloatArray
    start: FloatArray
    coefficients: FloatArray

    def __call__(self, t: FloatArray, functional: int) -> FloatArray:
        """The functional at times t of any shape."""
        step = np.clip(np.searchsorted(self.knots, t, side="right") - 1, 0, self.start.shape[0] - 1)
        left = self.knots[step]
        theta = (t - left) / (self.knots[step + 1] - left)
        c = self.coefficients[step, functional]
        poly = theta * (c[..., 0] + theta * (c[..., 1] + theta * (c[..., 2] + theta * c[..., 3])))
        values: FloatArray = self.start[step, functional] + poly
        return values


@dataclass(frozen=True, eq=False, repr=False)
class Curve:
    """A predicted risk curve.

    problem, optimizer, horizon, rtol: as given to predict; time, risk: shape (T,), up to the divergence if there is
    one; outcome: how the integration ended; dense: the interpolant (v = 2R first, then norm(delta)^2 and norm(K
    delta)^2 where they are linear in the modes); version: of the package.
    """

    problem: Problem
    optimizer: Any
    horizon: float
    rtol: float
    time: FloatArray
    risk: FloatArray
    outcome: Outcome
    dense: DenseOutput
    version: str

    def __repr__(self) -> str:
        return (
            f"Curve({self.optimizer!r}, d={self.problem.dimension}, {self.outcome.status.value} at t={self.end:g}, "
            f"risk {self.risk[0]:.4g} -> {self.risk[-1]:.4g})"
        )

    @property
    def end(self) -> float:
        """The last time reached: the horizon, or the time of divergence."""
        return float(self.dense.knots[-1])

    @property
    def samples(self) -> FloatArray:
        """Samples seen at every time: batch size times steps, shape (T,)."""
        d = self.problem.dimension
        return np.array([float(self.optimizer.batch_size * steps_at(t, d)) for t in self.time])

    def at(self, t: Any) -> FloatArray:
        """The excess risk at any times in [0, end], from the dense output; the shape of t."""
        times = checks.array("t", t, None)
        if not ((times >= 0).all() and (times <= self.end * (1 + 1e-12)).all()):
            raise InvalidInput("t", f"times between 0 and {self.end:g}, where the curve ends", repr(t)[:80])
        return np.maximum(self.dense(times, 0), 0.0) / 2

    def time_to(self, risk: float) -> float:
        """The first time at which the excess risk is at most `risk`; inf if that never happens on the curve."""
        from hdlimit.crossing import first_crossing

        return first_crossing(self.dense, 2 * checks.number("risk", risk))

    @property
    def spread(self) -> FloatArray:
        """Predicted standard deviation of one run at this d. Not available yet."""
        raise NotAvailable(
            "spread: the predicted standard deviation of one run is not available in this version; "
            "simulate(...).spread measures it"
        )

    @cached_property
    def _observables(self) -> tuple[FloatArray, FloatArray]:
        if self.dense.start.shape[1] == 3:
            squares = np.maximum(self.dense(self.time, 1), 0.0), np.maximum(self.dense(self.time, 2), 0.0)
            return squares[0], np.sqrt(squares[1])
        from hdlimit.predict import pair_observables

        return pair_observables(self)

    @property
    def distance(self) -> FloatArray:
        """norm(delta)^2 at every time, shape (T,)."""
        return self._observables[0]

    @property
    def gradient_norm(self) -> FloatArray:
        """Norm of the population gradient, norm(K delta) (its root mean square), shape (T,).

        A logged mini-batch gradient is longer: its mean square is about tr K (2R + Var eps)/B.
        """
        return self._observables[1]

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the risk as a line; returns the Axes."""
        from hdlimit.plotting import plot_curve

        return plot_curve(self, ax, **style)

    def save(self, path: str | PathLike[str]) -> None:
        """Write to .npz (exact, hd.load reads it back), .csv or .json (columns only)."""
        from hdlimit.files import save

        save(self, path)


@dataclass(frozen=True, eq=False, repr=False)
class Observable(Declaration):
    """One quantity of several runs. name: of the quantity; values: shape (runs, T), inf after a run diverged."""

    name: str
    values: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Mean over the runs, shape (T,)."""
        mean: FloatArray = self.values.mean(axis=0)
        return mean

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of one run (n - 1 in the denominator), shape (T,); inf with a single run or diverged
        runs.
        """
        runs, times = self.values.shape
        spread = np.full(times, math.inf)
        if runs > 1:
            finite = np.isfinite(self.values).all(axis=0)
            spread[finite] = self.values[:, finite].std(axis=0, ddof=1)
        return spread

    @property
    def stderr(self) -> FloatArray:
        """Standard error of the mean, spread/sqrt(runs), shape (T,)."""
        return self.spread / math.sqrt(self.values.shape[0])


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """Simulated runs of the real algorithm.

    problem, optimizer, horizon: as given to simulate; time: shape (T,), exact step times k/d; risk: shape (runs, T),
    inf after a run diverged; entropy, spawn_key: of the SeedSequence whose child k drives run k; rows: "data" or
    "gaussian"; outcome: how the runs ended; version: of the package; method: "direct" or "blocks"; recorded: what was
    recorded beside the risk.
    """

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

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the mean as markers with the band of one run's spread; returns the Axes."""
        from hdlimit.plotting import plot_ensemble

        return plot_ensemble(self, ax, **style)

    def save(self, path: str | PathLike[str]) -> None:
        """Write to .npz (exact, hd.load reads it back), .csv or .json (columns only)."""
        from hdlimit.files import save

        save(self, path)
