"""What a verification can see: errors that a t test detects, how well that is known, and how many runs would do."""

from __future__ import annotations

import math

from hdlimit.core.declaration import FloatArray
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.problem import Problem
from hdlimit.response.residual_maps import residual_map

# Power at which an error counts as detectable. Part of the definition of the verdict.
POWER = 0.95
# Largest detectable error at which a curve is called consistent, unless another is asked for. Chosen, not measured.
MUST_DETECT = 0.2
# Confidence of the interval of the detectable error. Part of its definition.
CONFIDENCE = 0.95
# Critical value above which the noncentral t distribution is replaced by its limit, exact to 1/critical^2: at 1273
# (2 runs) SciPy's inverse is off by 3e-4.
FAR = 1000.0
# Runs beyond which none are proposed: no one simulates more.
MOST_RUNS = 10**9
# Largest d for the exact bias of SGD, whose time grows with d; beyond it the bias of order 1/d is below the error bars.
# Chosen, not measured.
EXACT_UP_TO = 2000


def allowance_is_exact(problem: Problem, optimizer: Optimizer, quantity: str) -> bool:
    """Whether the allowance is the exact bias, not its first order in 1/d or a measured bound: the risk of SGD."""
    linear = residual_map(optimizer).linear and FEATURES[optimizer.features].linear
    return quantity == "risk" and linear and problem.dimension <= EXACT_UP_TO


def reach(critical: float, freedom: int) -> float:
    """Return the mean of a t statistic that passes its critical value with 95 % power, in true standard errors.

    Parameters
    ----------
    critical : float
        The critical value.
    freedom : int
        Degrees of freedom of the estimated standard error.

    Returns
    -------
    float
        The noncentrality.
    """
    from scipy import special

    if critical > FAR:
        return critical * math.sqrt(float(special.chdtri(freedom, 1 - POWER)) / freedom)
    return float(special.nctdtrinc(freedom, 1 - POWER, critical))


def spread_factors(freedom: int, times: int) -> tuple[float, float]:
    """Return between which multiples of its estimate the standard error is, for normal runs.

    Parameters
    ----------
    freedom : int
        Degrees of freedom of every estimate.
    times : int
        Number of estimates out of which the smallest detectable error is chosen: the upper end holds for all of them
        (Bonferroni).

    Returns
    -------
    low, high : float
        With 2.5 % left out on either side.
    """
    from scipy import special

    rest = (1 - CONFIDENCE) / 2
    low, high = (math.sqrt(freedom / float(special.chdtri(freedom, p))) for p in (rest, 1 - rest / times))
    return low, high


def detectable(allowance: FloatArray | float, stderr: FloatArray, critical: float, freedom: int) -> float:
    """Return the smallest error, the same at every time, that is seen with 95 % power at one time at least.

    Parameters
    ----------
    allowance, stderr : ndarray, shape (T,)
        What is allowed, and standard errors, both relative to what the error is relative to.
    critical, freedom
        As in `reach`.

    Returns
    -------
    float
        The error.
    """
    return float((allowance + reach(critical, freedom) * stderr).min())


def runs_needed(allowance: FloatArray, spread: FloatArray, rate: float, largest: float) -> int | None:
    """Return how many runs make the detectable error at most `largest`.

    Parameters
    ----------
    allowance, spread : ndarray, shape (T,)
        What is allowed, and the spread of one run, relative as in `detectable`.
    rate : float
        Of false alarms at one time on one side.
    largest : float
        The detectable error that is asked for.

    Returns
    -------
    int or None
        Rounded up to two digits; None where no number of runs does.
    """
    from scipy import special

    def enough(runs: int) -> bool:
        critical = -float(special.stdtrit(runs - 1, rate))
        return detectable(allowance, spread / math.sqrt(runs), critical, runs - 1) <= largest

    few, many = 1, 2
    while not enough(many):
        few, many = many, 2 * many
        if many > MOST_RUNS:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    unit: int = 10 ** max(len(str(many)) - 2, 0)
    return -(-many // unit) * unit
