"""The limit of a problem and an optimizer: a mode system and a response, coupled through v.

dm_i/dt = -2 eta(t) mu(v) lambda_i m_i + eta(t)^2 nu(v) c_i/d,   v = 2R = sum_i lambda_i m_i
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from hdlimit.compress import compressed
from hdlimit.errors import HeavyTailWarning, InvalidInput, LowDimensionWarning, ValidityWarning
from hdlimit.features import FEATURES
from hdlimit.measures import Compression
from hdlimit.modes import ModeSystem
from hdlimit.optimizers import Optimizer
from hdlimit.problem import Problem
from hdlimit.residual import residual_map
from hdlimit.response import Response
from hdlimit.schedules import Schedule

LOW_DIMENSION = 30.0
ALIGNED = 0.1


@dataclass(frozen=True)
class Limit:
    """Everything that the limit depends on.

    modes: the mode system; response: (mu, nu); lr, threshold: schedules of t; step: 1/d, the time of one step;
    compression: what was done to the spectrum, None for every eigenvalue.
    """

    modes: ModeSystem
    response: Response
    lr: Schedule
    threshold: Schedule
    step: float
    compression: Compression | None = None

    @property
    def scale(self) -> float:
        """The size of v that the problem brings: max(v(0), E eps^2), with a squared width where E eps^2 is infinite."""
        v0 = float(self.modes.functionals[0] @ self.modes.start)
        second = self.response.noise.second_moment
        return max(v0, second if math.isfinite(second) else self.response.noise.width**2)

    @property
    def bounded(self) -> bool:
        """Whether the residual map is bounded, so that no step size diverges."""
        return self.response.map.bounded(float(self.threshold(0.0)))

    @property
    def escape(self) -> float:
        """v above which a run counts as diverged: 1e12 max(v(0), E eps^2); inf for bounded residual maps."""
        return math.inf if self.bounded or self.scale == 0 else 1e12 * self.scale


def check_types(problem: object, optimizer: object) -> None:
    """Raise InvalidInput unless these are a Problem and an optimizer."""
    if not isinstance(problem, Problem):
        raise InvalidInput("problem", "a Problem", type(problem).__name__)
    if not isinstance(optimizer, Optimizer):
        raise InvalidInput("optimizer", "SGD, ClippedSGD or SignSGD", type(optimizer).__name__)


def limit_of(problem: Problem, optimizer: Optimizer, compress: bool | float = True) -> Limit:
    """The limit of an optimizer on a problem.

    compress: as hdlimit.compress has it. Raises: NoLimit when it does not exist (infinite nu).
    """
    response = Response(residual_map(optimizer), problem.noise, optimizer.batch_size)
    response(2 * problem.initial_risk, float(optimizer.threshold_schedule(0.0)))
    modes, done = compressed(problem, optimizer.features, compress)
    return Limit(modes, response, optimizer.lr_schedule, optimizer.threshold_schedule, 1 / problem.dimension, done)


def has_spread(problem: Problem, optimizer: Optimizer) -> bool:
    """Whether single runs have a finite variance: not for an unbounded residual map under noise with infinite E
    eps^4.
    """
    bounded = residual_map(optimizer).bounded(float(optimizer.threshold_schedule(0.0)))
    return bounded or math.isfinite(problem.noise.fourth_moment)


def caveats(problem: Problem, optimizer: Optimizer) -> list[Warning]:
    """What a reader of the prediction must know: low dimension, infinite moments, conditions of the limit that fail."""
    found: list[Warning] = []
    d_int = problem.intrinsic_dimension
    if d_int < LOW_DIMENSION:
        found.append(
            LowDimensionWarning(
                f"the intrinsic dimension tr(K)/norm(K) is {d_int:.3g}, below {LOW_DIMENSION:g}: "
                f"expect deviations from the limit of the order of {1 / d_int:.0%}"
            )
        )
    if not has_spread(problem, optimizer):
        found.append(
            HeavyTailWarning(
                f"E eps^4 is infinite for {problem.noise!r}: the mean curve exists, the variance of a run does not, "
                "and standard errors of simulated runs mean nothing"
            )
        )
    if optimizer.batch_size > max(d_int / 10, 1):
        found.append(
            ValidityWarning(
                f"batch_size {optimizer.batch_size} is not small against the intrinsic dimension {d_int:.3g}: "
                "the limit holds the batch fixed as d grows"
            )
        )
    if not FEATURES[optimizer.features].linear and (aligned := largest_alignment(problem)) > ALIGNED:
        found.append(
            ValidityWarning(
                f"the start error is aligned with a coordinate (max rho_i^2 = {aligned:.2g}, should be far below 1): "
                "the drift of sign features is linearized and off by up to pi/2"
            )
        )
    return found


def largest_alignment(problem: Problem) -> float:
    """max_i rho_i^2 at the start, rho_i = (K delta)_i/sqrt(K_ii v); 0 for a start at the target."""
    v = 2 * problem.initial_risk
    if v == 0:
        return 0.0
    if problem.uniform and problem.covariance.nodes is not None:
        return problem.covariance.norm / (problem.dimension * v)
    variances = problem.covariance.variances
    moving = variances > 0
    pull = problem.covariance.apply(problem.initial_error)[moving]
    return float((pull**2 / variances[moving]).max() / v)


def warn_caveats(problem: Problem, optimizer: Optimizer, stacklevel: int = 3) -> None:
    """Issue the caveats as warnings."""
    for caveat in caveats(problem, optimizer):
        warnings.warn(caveat, stacklevel=stacklevel)
