"""What runs say about a curve before a verdict: z-scores, errors, and the smallest error that would be seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.prediction.curve import Curve
from hdlimit.problem.least_squares import DIVERGED
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.verification import power

# Largest allowance relative to the curve: beyond it a wrong curve could hide in the bias at finite d.
# Part of the definition of the verdict.
CAP = 0.02
# An allowance that is not exact counts times WIDER where it passes the cap, and says nothing where it passes NO_GUIDE.
# Measured: 1000 runs of each of 275 problems, d = 2 to 24, clipped SGD and signSGD, batches 1 to 8, left none outside.
WIDER, NO_GUIDE = 3.0, 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """A curve held against runs at the test times: the first attributes of a Report, which describes them."""

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
    must_detect: float = power.MUST_DETECT

    @property
    def scale(self) -> FloatArray:
        """What errors are relative to, at every test time: the curve, and 1 for the share of clipped steps."""
        return np.ones(self.time.size) if self.quantity == "clipped_fraction" else self.predicted

    @property
    def tolerance(self) -> FloatArray:
        """How far the mean of runs may be from a correct curve, at every test time: the allowance.

        Where it is not exact and its largest share of the scale passes 2 %, the next orders in 1/d are not small: then
        three times that share at every time, and without a bound where that share passes one half.
        """
        allowed = np.where(np.isnan(self.allowance), math.inf, self.allowance)
        share = float(self._relative(allowed).max())
        if share <= CAP or power.allowance_is_exact(self.curve.problem, self.curve.optimizer, self.quantity):
            return allowed
        return WIDER * share * self.scale if share <= NO_GUIDE else np.full(self.time.size, math.inf)

    @cached_property
    def z(self) -> FloatArray:
        """max(|mean - curve| - tolerance, 0)/stderr at every test time.

        Where a run has diverged: inf if a mean risk of curve + tolerance leads to a diverged run at a rate of less than
        the false alarms at one time (Markov's inequality), else 0.
        """
        with np.errstate(invalid="ignore"):
            z = exceedance(self.mean - self.predicted, self.tolerance, self.stderr)
        if np.isfinite(self.mean).all():
            return z
        rate = escape_rate(self.runs, self.predicted + self.tolerance, self.quantity)
        return np.where(np.isfinite(self.mean), z, np.where(rate * self.time.size <= self.false_alarm, math.inf, 0.0))

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

        Seen with 95 % power at one time at least; an estimate, as the standard errors are: see `detectable_interval`.
        """
        share, stderr = self._relative(self.tolerance), self._relative(self.stderr)
        return power.detectable(share, stderr, self.critical, self.runs.runs - 1)

    @property
    def beyond_allowance(self) -> float:
        """The smallest relative error beyond the allowance that is seen, as in `detectable`."""
        return power.detectable(0.0, self._relative(self.stderr), self.critical, self.runs.runs - 1)

    @property
    def detectable_interval(self) -> tuple[float, float]:
        """Where `detectable` is with 95 % confidence, for normal runs: (low, high). Wide with few runs."""
        share, stderr, freedom = self._relative(self.tolerance), self._relative(self.stderr), self.runs.runs - 1
        factors = power.spread_factors(freedom, self.time.size)
        low, high = (power.detectable(share, factor * stderr, self.critical, freedom) for factor in factors)
        return low, high

    @property
    def runs_needed(self) -> int | None:
        """About how many runs would see an error of `must_detect`, None where no number does."""
        from scipy import stats

        rate = float(stats.t.sf(self.critical, self.runs.runs - 1))
        spread = self._relative(self.stderr) * math.sqrt(self.runs.runs)
        return power.runs_needed(self._relative(self.tolerance), spread, rate, self.must_detect)


def exceedance(difference: FloatArray, allowance: FloatArray, stderr: FloatArray) -> FloatArray:
    """Return max(|difference| - allowance, 0)/stderr, 0/0 = 0; inf where a difference has no spread to be judged by."""
    excess = np.maximum(np.abs(difference) - allowance, 0.0)
    excess = np.where(excess <= 1e-12 * np.abs(allowance), 0.0, excess)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = excess / stderr
    return np.where(excess == 0, 0.0, np.where(np.isnan(z), math.inf, z))


def escape_rate(runs: Ensemble, mean: FloatArray, quantity: str = "risk") -> FloatArray:
    """Return a bound of the chance that one of the runs or more has diverged, if the mean is at most this one.

    Parameters
    ----------
    runs : Ensemble
        The runs.
    mean : ndarray, shape (T,)
        The largest mean.
    quantity : str
        One of QUANTITIES.

    Returns
    -------
    ndarray, shape (T,)
        Of the risk: runs * mean / the risk of a diverged run (Markov's inequality). inf for other quantities.
    """
    if quantity != "risk":
        return np.full(mean.size, math.inf)
    problem = runs.problem
    return np.asarray(runs.runs * mean / (DIVERGED * max(problem.initial_risk, problem.noise.scale_squared, 1e-300)))
