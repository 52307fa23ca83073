"""The report of a verification: verdict, z-scores, and the smallest error that would be seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.core.observable import Observable
from hdlimit.errors import InvalidInput
from hdlimit.plotting.risk import plot_report
from hdlimit.prediction.curve import Curve
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.storage.records import Record
from hdlimit.verification.observables import allowance, measured, predicted, rounding

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Largest allowance relative to the curve: beyond it a wrong curve could hide in the bias at finite d.
# Part of the definition of the verdict.
CAP = 0.02


# Power at which an error counts as detectable. Part of the definition of the verdict.
POWER = 0.95


# Relative error that a passed verification would have seen. Part of the definition of the verdict.
TARGET = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Report(Record):
    """Verdict of a verification.

    Parameters
    ----------
    curve : Curve
        The prediction.
    runs : Ensemble
        The simulation, at the default times and the test times.
    time : ndarray, shape (20,)
        The test times, exact step times.
    predicted, mean, stderr, allowance : ndarray, shape (20,)
        The quantity at these times.
    false_alarm : float
        The stated rate.
    critical : float
        The quantile that z_max is held against.
    stopped : str
        Why no more runs were added, empty where their number was given.
    quantity : str
        "risk", or the quantity of one of the `others`.
    quantities : tuple of str
        Those verified beside the risk.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
    >>> report = hd.verify(problem, hd.SGD(lr=0.5), horizon=5.0, runs=16, seed=0)
    >>> report.verdict, report.time.size, report.runs.runs
    ('consistent', 20, 16)
    """

    table: ClassVar[tuple[str, ...]] = ("time", "predicted", "mean", "stderr", "allowance", "relative_error")
    facts: ClassVar[tuple[str, ...]] = (
        "verdict",
        "passed",
        "detectable",
        "z_max",
        "critical",
        "false_alarm",
        "stopped",
    )

    shapes: ClassVar[dict[str, str]] = dict.fromkeys(("time", "predicted", "mean", "stderr", "allowance"), "T")
    ordered: ClassVar[tuple[str, ...]] = ("time",)

    curve: Curve
    runs: Ensemble
    time: FloatArray
    predicted: FloatArray
    mean: FloatArray
    stderr: FloatArray
    allowance: FloatArray
    false_alarm: float
    critical: float
    stopped: str = ""
    quantity: str = "risk"
    quantities: tuple[str, ...] = ()

    @cached_property
    def others(self) -> tuple[Report, ...]:
        """A report for each other quantity, held against the same critical value; the verdict counts them too."""
        steps = np.rint(self.time * self.curve.problem.dimension)
        return tuple(
            judge(self.curve, self.runs, steps, allowance(self.curve, steps, name), self.false_alarm, name)._at(self)
            for name in self.quantities
        )

    def _at(self, report: Report) -> Report:
        """Copy the report, with the critical value of another."""
        return replace(self, critical=report.critical)

    @property
    def scale(self) -> FloatArray:
        """What errors are relative to, at every test time: the curve, and 1 for the share of clipped steps."""
        return np.ones(self.time.size) if self.quantity == "clipped_fraction" else self.predicted

    @cached_property
    def z(self) -> FloatArray:
        """max(|mean - curve| - allowance, 0)/stderr at every test time; the allowance is capped at 2 % of the scale."""
        return exceedance(self.mean - self.predicted, np.minimum(self.allowance, CAP * self.scale), self.stderr)

    @property
    def z_max(self) -> float:
        """The largest z over the test times."""
        return float(self.z.max())

    @property
    def relative_error(self) -> FloatArray:
        """(mean - curve)/scale at every test time."""
        return self._relative(self.mean - self.predicted)

    def _relative(self, errors: FloatArray) -> FloatArray:
        """Return errors/scale, 0/0 = 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(errors == 0, 0.0, errors / self.scale)

    @property
    def detectable(self) -> float:
        """The smallest relative error of the curve, the same at every time, that is seen.

        Seen with 95 % power at one time at least.
        """
        from scipy import stats

        reach = self.critical + float(stats.t.ppf(POWER, self.runs.runs - 1))
        return float(self._relative(self.allowance + reach * self.stderr).min())

    @property
    def verdict(self) -> str:
        """One of consistent, inconsistent and inconclusive.

        Inconclusive: the allowance exceeds 2 % of the curve at a test time, or a run diverged. Otherwise inconsistent
        when z_max exceeds the critical value. With other quantities: inconsistent where one is, else inconclusive where
        one is.
        """
        if not np.isfinite(self.mean).all() or (self.allowance > CAP * self.scale).any():
            own = "inconclusive"
        else:
            own = "inconsistent" if self.z_max > self.critical else "consistent"
        verdicts = {own, *(other.verdict for other in self.others)}
        return next(verdict for verdict in ("inconsistent", "inconclusive", "consistent") if verdict in verdicts)

    @property
    def passed(self) -> bool:
        """Consistent, and an error of 5 % of the curve would have been seen."""
        return self.verdict == "consistent" and self.detectable <= TARGET

    def summary(self) -> str:
        """Return the verdict and the numbers it rests on.

        Returns
        -------
        str
            A few lines of text.
        """
        d = self.curve.problem.dimension
        lines = [
            f"{self.verdict}: {self.runs.runs} runs at d = {d}, {self.time.size} times from t = {self.time[0]:.4g} to "
            f"{self.time[-1]:.4g}",
            f"z_max {self.z_max:.2f} against {self.critical:.2f} "
            f"(false alarms: {self.false_alarm:g} of correct curves)",
            *self._errors(),
        ]
        for other in self.others:
            lines += [f"{other.quantity}: {other.verdict}, z_max {other.z_max:.2f}", *other._errors()]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def _errors(self) -> list[str]:
        """Return the largest error, the allowance and the detectable error in words."""
        worst, share = int(np.abs(self.relative_error).argmax()), float(self._relative(self.allowance).max())
        of, kind = ("of all steps", "") if self.quantity == "clipped_fraction" else ("of the curve", "relative ")
        return [
            f"largest {kind}error {self.relative_error[worst]:+.2%} at t = {self.time[worst]:.4g}; "
            f"allowance for finite d up to {share:.2%} (cap {CAP:.0%})",
            f"smallest error seen with {POWER:.0%} power: {self.detectable:.2%} {of}"
            + ("" if self.detectable <= TARGET else f", more than {TARGET:.0%}: use more runs"),
        ]

    def __repr__(self) -> str:
        return (
            f"Report({self.verdict!r}, z_max={self.z_max:.2f}, critical={self.critical:.2f}, "
            f"detectable={self.detectable:.2%})"
        )

    def parts(self) -> tuple[Any, ...]:
        """Return the results that this one is made of.

        Returns
        -------
        tuple
            The curve and the runs.
        """
        return self.curve, self.runs

    def columns(self) -> dict[str, Any]:
        """Return the columns of a file.

        Returns
        -------
        dict
            What was tested at every time, for the risk and for the other quantities, by name.
        """
        table = super().columns()
        for other in self.others:
            table |= {f"{other.quantity}_{name}": getattr(other, name) for name in self.table[1:]}
        return table

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the curve, the runs with their band, and the test times.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; the current Axes by default.
        **style
            As for the plots of the other results.

        Returns
        -------
        Axes
            Where it was drawn.
        """
        return plot_report(self, ax, **style)


def exceedance(difference: FloatArray, allowance: FloatArray, stderr: FloatArray) -> FloatArray:
    """Return max(|difference| - allowance, 0)/stderr, 0/0 = 0; inf where a difference has no spread to be judged by."""
    excess = np.maximum(np.abs(difference) - allowance, 0.0)
    excess = np.where(excess <= 1e-12 * np.abs(allowance), 0.0, excess)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = excess / stderr
    return np.where(excess == 0, 0.0, np.where(np.isnan(z), math.inf, z))


def judge(
    curve: Curve, runs: Ensemble, steps: FloatArray, allowed: FloatArray, false_alarm: float, quantity: str = "risk"
) -> Report:
    """Make the report of an ensemble that was recorded at the test times, among others.

    Parameters
    ----------
    curve : Curve
        The prediction.
    runs : Ensemble
        At least 2 runs.
    steps : ndarray, shape (T,)
        The test times as step numbers.
    allowed : ndarray, shape (T,)
        The allowance there.
    false_alarm : float
        Rate of this report.
    quantity : str
        What is compared.

    Returns
    -------
    Report
        Without other quantities.

    Raises
    ------
    InvalidInput
        For fewer than 2 runs.
    """
    from scipy import stats

    if runs.runs < 2:
        raise InvalidInput("runs", "at least 2 runs", runs.runs)
    critical = float(stats.t.ppf(1 - false_alarm / (2 * steps.size), runs.runs - 1))
    expected = predicted(curve, steps, quantity)
    sample = Observable(quantity, measured(runs, steps, quantity))
    stderr = np.maximum(sample.stderr, rounding(expected, steps, quantity) / math.sqrt(runs.runs))
    time = steps / curve.problem.dimension
    return Report(curve, runs, time, expected, sample.mean, stderr, allowed, false_alarm, critical, "", quantity)
