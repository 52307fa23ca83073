"""The limit of a problem and an optimizer: a mode system and a response, coupled through v.

dm_i/dt = -2 eta(t) mu(v) lambda_i m_i + eta(t)^2 nu(v) c_i/d,   v = 2R = sum_i lambda_i m_i
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from hdlimit.limit.dynamics import identity, sign
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.piecewise import told
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Schedule
from hdlimit.problem.problem import DIVERGED, Problem
from hdlimit.problem.spectral_measure import Compression
from hdlimit.response.residual_maps import residual_map
from hdlimit.response.response import MapResponse, Response

# The member of a feature map, by its name in hdlimit.limit.feature_maps.
MEMBERS = {"identity": identity.moments, "sign": sign.moments}


@dataclass(frozen=True)
class Limit:
    """Everything that the limit depends on.

    modes: the mode system; response: (mu, nu); lr, control: schedules of t; step: 1/d, the time of one step;
    compression: what was done to the spectrum, None for every eigenvalue.
    """

    modes: MomentSystem
    response: Response
    lr: Schedule
    control: Schedule
    step: float
    compression: Compression | None = None

    @cached_property
    def scale(self) -> float:
        """The size of v that the problem brings: max(v(0), E eps^2), with a squared width where E eps^2 is infinite."""
        return max(self.modes.v, self.response.noise.scale_squared)

    @cached_property
    def bounded(self) -> bool:
        """Whether the residual map is bounded, so that no step size diverges."""
        return self.response.bounded(float(self.control(0.0)))

    @property
    def escape(self) -> float:
        """Value of v above which a run counts as diverged: 1e12 max(v(0), E eps^2); inf for bounded residual maps."""
        return math.inf if self.bounded or self.scale == 0 else DIVERGED * self.scale

    def told(self, horizon: float) -> Self:
        """Return the limit with schedules that say where they bend, up to a horizon.

        Raises: InvalidInput for a schedule that is too rough.
        """
        lr, control = (told(schedule, horizon, self.step) for schedule in (self.lr, self.control))
        return self if lr is self.lr and control is self.control else replace(self, lr=lr, control=control)


def limit_of(problem: Problem, optimizer: Optimizer, compress: bool | float = True) -> Limit:
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
    response = MapResponse(residual_map(optimizer), problem.noise, optimizer.batch_size)
    response(2 * problem.initial_risk, float(optimizer.control_schedule(0.0)))
    modes, done = MEMBERS[optimizer.features](problem, optimizer, compress)
    return Limit(modes, response, optimizer.lr_schedule, optimizer.control_schedule, 1 / problem.dimension, done)
