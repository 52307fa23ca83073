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
from hdlimit.verification.evidence import CAP, Evidence
from hdlimit.verification.observables import allowance, measured, predicted, rounding
from hdlimit.verification.power import POWER

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Relative error that a passed verification would have seen. Part of the definition of the verdict.
TARGET = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Report(Evidence, Record):
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
    must_detect : float
        Largest detectable error at which the curve is called consistent.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
    >>> report = hd.verify(problem, hd.SGD(lr=0.5), horizon=5.0, runs=32, seed=0)
    >>> report.verdict, report.time.size, report.runs.runs
    ('consistent', 20, 32)
    """

    table: ClassVar[tuple[str, ...]] = ("time", "predicted", "mean", "stderr", "allowance", "relative_error")
    facts: ClassVar[tuple[str, ...]] = (
        "verdict",
        "reason",
        "passed",
        "detectable",
        "detectable_interval",
        "must_detect",
        "runs_needed",
        "z_max",
        "critical",
        "false_alarm",
        "stopped",
    )

    shapes: ClassVar[dict[str, str]] = dict.fromkeys(("time", "predicted", "mean", "stderr", "allowance"), "T")
    ordered: ClassVar[tuple[str, ...]] = ("time",)

    @cached_property
    def others(self) -> tuple[Report, ...]:
        """A report for each other quantity, held against the same critical value; the verdict counts them too."""
        steps = np.rint(self.time * self.curve.problem.dimension)
        return tuple(
            judge(self.curve, self.runs, steps, allowance(self.curve, steps, name), self.false_alarm, name)._at(self)
            for name in self.quantities
        )

    def _at(self, report: Report) -> Report:
        """Copy the report, with the critical value and the limit of another."""
        return replace(self, critical=report.critical, must_detect=report.must_detect)

    @cached_property
    def _judged(self) -> tuple[str, str]:
        """Verdict and reason, with those of the other quantities."""
        own = self._own()
        found = [own, *((verdict, f"{o.quantity}: {reason}") for o in self.others for verdict, reason in [o._own()])]
        order = ("inconsistent", "inconclusive", "consistent")
        return min(found, key=lambda each: order.index(each[0]))

    @property
    def too_much_allowed(self) -> bool:
        """Whether the allowance of a quantity exceeds 2 % of its scale at a test time: an error may hide there."""
        return not all(each._narrow() for each in (self, *self.others))

    def _narrow(self) -> bool:
        return bool((self.allowance <= CAP * self.scale).all())

    def _own(self) -> tuple[str, str]:
        """Verdict and reason of this quantity alone."""
        if self.z_max > self.critical:
            worst = int(self.z.argmax())
            return "inconsistent", f"the runs contradict the curve at t = {self.time[worst]:.4g}"
        if not np.isfinite(self.mean).all():
            return "inconclusive", self.runs.outcome.sentence
        if not self._narrow():
            share = float(self._relative(self.allowance).max())
            return "inconclusive", f"the mean of runs may be {share:.1%} off the curve at this d, more than {CAP:.0%}"
        if not self.detectable <= self.must_detect:
            more = self.runs_needed
            remedy = "no number of runs would show" if more is None else f"about {more} runs would show"
            return "inconclusive", f"too few runs: {remedy} an error of {100 * self.must_detect:.3g} %"
        return "consistent", ""

    @property
    def verdict(self) -> str:
        """One of consistent, inconsistent and inconclusive.

        Inconsistent when z_max exceeds the critical value. Otherwise inconclusive when a run diverged, when the
        allowance exceeds 2 % of the curve at a test time, or when `detectable` exceeds `must_detect`. With other
        quantities: inconsistent where one is, else inconclusive where one is.
        """
        return self._judged[0]

    @property
    def reason(self) -> str:
        """Why the verdict is not consistent, empty where it is."""
        return self._judged[1]

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
            *([self.reason] if self.reason else []),
            f"z_max {self.z_max:.2f} against {self.critical:.2f} "
            f"(false alarms: {self.false_alarm:g} of correct curves)",
            *self._errors(),
        ]
        for other in self.others:
            lines += [f"{other.quantity}: {other._own()[0]}, z_max {other.z_max:.2f}", *other._errors()]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def _errors(self) -> list[str]:
        """Return the largest error, the allowance and the detectable error in words."""
        worst, share = int(np.abs(self.relative_error).argmax()), float(self._relative(self.allowance).max())
        of, kind = ("of all steps", "") if self.quantity == "clipped_fraction" else ("of the curve", "relative ")
        low, high = self.detectable_interval
        return [
            f"largest {kind}error {self.relative_error[worst]:+.2%} at t = {self.time[worst]:.4g}; "
            f"allowance for finite d up to {share:.2%} (cap {CAP:.0%})",
            f"smallest error seen with {POWER:.0%} power: {self.detectable:.2%} {of} ({low:.2%} to {high:.2%})"
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
