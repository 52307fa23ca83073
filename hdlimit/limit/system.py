"""The limit of a problem and an optimizer: a mode system and a response, coupled through v.

dm_i/dt = -2 eta(t) mu(v) lambda_i m_i + eta(t)^2 nu(v) c_i/d,   v = 2R = sum_i lambda_i m_i
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from hdlimit.limit.dynamics import identity, momentum, sign
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.piecewise import explicit
from hdlimit.optimizers.base import Memory, Optimizer
from hdlimit.optimizers.schedules import Schedule
from hdlimit.problem.least_squares import DIVERGED, LeastSquares
from hdlimit.problem.spectral_measure import Compression
from hdlimit.response.response import MapResponse, Response

# The members of the family, by the names that optimizers give as their dynamics.
MEMBERS = {"identity": identity.moments, "sign": sign.moments, "momentum": momentum.moments}


@dataclass(frozen=True)
class Limit:
    """Everything that the limit depends on.

    modes: the mode system; response: (mu, nu); lr, control: schedules of t; step: 1/d, the time of one step;
    compression: what was done to the spectrum, None for every eigenvalue; features: name of the feature map; memory:
    the buffer of gradients, None without.
    """

    modes: MomentSystem
    response: Response
    lr: Schedule
    control: Schedule
    step: float
    compression: Compression | None = None
    features: str = "identity"
    memory: Memory | None = None

    @property
    def gain(self) -> float:
        """The effective step over lr."""
        return 1.0 if self.memory is None else self.memory.gain

    @cached_property
    def scale(self) -> float:
        """The size of v that the problem brings: max(v(0), E eps^2), with a squared width where E eps^2 is infinite."""
        return max(self.modes.v, self.response.noise.scale_squared)

    @cached_property
    def bounded(self) -> bool:
        """Whether the residual map is bounded, so that no step size diverges."""
        return self.response.bounded(float(self.control(0.0)))

    @property
    def has_spread(self) -> bool:
        """Whether single runs have a finite variance: not with an unbounded residual map and infinite E eps^4."""
        return self.bounded or math.isfinite(self.response.noise.fourth_moment)

    @property
    def escape(self) -> float:
        """Value of v above which a run counts as diverged: 1e12 max(v(0), E eps^2); inf for bounded residual maps."""
        return math.inf if self.bounded or self.scale == 0 else DIVERGED * self.scale

    def explicit(self, horizon: float) -> Self:
        """Return the limit with schedules that say where they bend, up to a horizon.

        Raises: InvalidInput for a schedule that is too rough.
        """
        if self.lr.explicit and self.control.explicit:
            return self
        lr, control = (explicit(schedule, horizon, self.step) for schedule in (self.lr, self.control))
        return replace(self, lr=lr, control=control)


def limit_of(problem: LeastSquares, optimizer: Optimizer, compress: bool | float = True) -> Limit:
    """Return the limit of an optimizer on a problem.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        The optimizer.
    compress : bool or float
        As in `hdlimit.limit.compression`.

    Returns
    -------
    Limit
        The mode system, the response and the schedules.

    Raises
    ------
    NoLimit
        Where nu is infinite.
    """
    modes, done = MEMBERS[optimizer.dynamics](problem, optimizer, compress)
    limit = limit_on(modes, problem, optimizer, done)
    limit.response(2 * problem.initial_risk, float(limit.control(0.0)))
    return limit


def limit_on(
    modes: MomentSystem, problem: LeastSquares, optimizer: Optimizer, compression: Compression | None = None
) -> Limit:
    """Return the limit of an optimizer whose mode system is known already.

    Parameters
    ----------
    modes : MomentSystem
        Of the optimizer's feature map on the problem.
    problem, optimizer
        As in `limit_of`.
    compression : Compression, optional
        What was done to the spectrum.

    Returns
    -------
    Limit
        The mode system, the response and the schedules.
    """
    schedules = optimizer.lr_schedule, optimizer.control_schedule
    response = MapResponse.of(optimizer, problem.noise)
    memory, d = optimizer.memory, problem.dimension
    if modes.block is not None:
        first = momentum.First(response, optimizer.batch_size, float(schedules[1](0.0)))
        modes = momentum.begun(modes, memory, first, d)
    return Limit(modes, response, *schedules, 1 / d, compression, optimizer.features, memory)
