"""A trial of the search for constants: the objective, on few modes and at a rough tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from hdlimit.core import checks
from hdlimit.core.timegrid import check_horizon
from hdlimit.errors import InvalidInput
from hdlimit.kernels import esdirk
from hdlimit.limit.compression import binned, compressed
from hdlimit.limit.dynamics.momentum import First, begun, with_memory
from hdlimit.limit.integrator import solve
from hdlimit.limit.interpolant import first_crossing
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.piecewise import explicit
from hdlimit.limit.system import Limit
from hdlimit.optimizers.base import Memory
from hdlimit.optimizers.schedules import Constant, Schedule
from hdlimit.problem.least_squares import checked_problem
from hdlimit.problem.problem import Problem
from hdlimit.response.response import Response

# Relative tolerances of the trials of the rough search and of the polish: time of a trial against the error of the
# minimum, 1e-5 of the risk.
ROUGH, FINE = 1e-4, 3e-7


# Share of the initial risk by which the best step must lower the risk; below it the constants found mean nothing.
# Chosen, not measured.
LEAST_FALL = 0.01


# Least range of log(eta mu) that is searched, however short the horizon is. Chosen, not measured.
NARROWEST = math.log(16.0)


# Spacing of the rough grid in log of the step: missed minima against trials. Chosen, not measured.
SPACING = math.log(4.0)
# The same with momentum, where risks that oscillate give several minima. Chosen, not measured.
FINER = math.log(2.0)


# Objective of a trial that diverged: above the log of every risk in double precision (709.8).
WORST = 700.0


class TrialLimit(Limit):
    """A limit whose trials end, as failed, where v exceeds a thousand times its start."""

    @property
    def escape(self) -> float:
        """The v beyond which a trial has failed."""
        return 1e3 * self.modes.v


@dataclass(frozen=True)
class Trial:
    """What is minimized: log R(horizon), or log of the first time at which R <= target.

    Risks below 1e-50 of the start are beyond the integrator: of two such trials the one that falls there first is
    better.

    Parameters
    ----------
    problem : Problem
        The problem.
    horizon : float
        In units of t = k/d.
    features : str
        Name of the feature map.
    target : float or None
        A risk. Where it is not reached the value is log(horizon) plus log(smallest risk/target), so that a search moves
        towards it.
    memory : Memory or None
        The buffer of gradients.
    """

    problem: Problem
    horizon: float
    features: str = "identity"
    target: float | None = None
    memory: Memory | None = None

    @cached_property
    def modes(self) -> MomentSystem:
        """The modes of the problem."""
        return self._remembering(compressed(self.problem, self.features, True)[0])

    def _remembering(self, modes: MomentSystem) -> MomentSystem:
        return modes if self.memory is None else with_memory(modes, self.memory, self.problem.dimension)

    @property
    def per_lr(self) -> float:
        """The effective step over lr."""
        return 1.0 if self.memory is None else self.memory.gain

    @property
    def spacing(self) -> float:
        """Spacing of the rough grid in log of the step."""
        return SPACING if self.memory is None else FINER

    @property
    def lowest(self) -> float:
        """The risk below which falls are told apart by their times."""
        return 1e-50 * self.problem.initial_risk

    @cached_property
    def few_modes(self) -> MomentSystem:
        """Binned modes, for the rough search."""
        return self._remembering(binned(compressed(self.problem, self.features, True)[0]))

    def value(self, response: Response, lr: Schedule, threshold: float, fine: bool = False) -> float:
        """Return the objective for one response and step-size schedule."""
        if isinstance(lr, Constant) and not 0 < lr.value * lr.value < math.inf:
            return WORST
        modes, rtol = (self.modes, FINE) if fine else (self.few_modes, ROUGH)
        modes = begun(modes, self.memory, First(response, response.batch_size, threshold), self.problem.dimension)
        schedules = self._explicit(lr), Constant(threshold)
        limit = TrialLimit(self.few_modes, response, *schedules, 1 / self.problem.dimension, memory=self.memory)
        level = -math.inf if self.target is None else 2 * self.target
        solution = solve(limit, modes, self.horizon, rtol, level)
        dense = solution.dense
        if dense.start.size == 0:
            return WORST
        end = max(float(dense(dense.knots[-1:], 0)[0]) / 2, 1e-300)
        if self.target is None and solution.status != esdirk.REACHED:
            return WORST
        if self.target is None and end < self.lowest:
            fallen = first_crossing(dense, 2 * self.lowest)
            return math.log(self.lowest) + math.log(max(fallen, 1 / self.problem.dimension) / self.horizon)
        if self.target is None:
            return math.log(end)
        reached = first_crossing(dense, 2 * self.target)
        if math.isfinite(reached):
            return math.log(max(reached, 1 / self.problem.dimension))
        lowest = min(float(dense.start[:, 0].min()) / 2, end)
        return math.log(self.horizon) + max(math.log(lowest / self.target), 0.0) + 1e-6

    def _explicit(self, lr: Schedule) -> Schedule:
        """Return a schedule as read once for all trials."""
        if lr.explicit:
            return lr
        if lr not in self._read:
            self._read[lr] = explicit(lr, self.horizon, 1 / self.problem.dimension)
        return self._read[lr]

    @cached_property
    def _read(self) -> dict[Schedule, Schedule]:
        """Schedules that have been read."""
        return {}

    def missed(self, value: float) -> bool:
        """Whether an objective says that the target is not reached."""
        return self.target is not None and value > math.log(self.horizon)

    def gain(self, rival: float, risk: float, value: float) -> float:
        """Return what a rival has over what was found: the ratio of the risks at the horizon, of the times to a target.

        Parameters
        ----------
        rival : float
            Its risk, or its time to the target; inf where it has none.
        risk, value : float
            Risk at the horizon and objective of what was found.
        """
        if self.target is None:
            return max(rival, self.lowest) / max(risk, self.lowest)
        return 0.0 if self.missed(value) else rival / math.exp(value)

    @cached_property
    def scales(self) -> tuple[float, float]:
        """A range of log(eta mu) that holds the best effective step of most problems; searches may leave it."""
        modes = self.few_modes
        fastest, forcing = modes.fastest, modes.v_noise
        high = math.log(4 * fastest / forcing)
        return min(math.log(0.1 / (fastest * self.horizon)), high - NARROWEST), high

    @cached_property
    def thresholds(self) -> tuple[float, float]:
        """A range of log c that holds the best threshold of most problems; searches may leave it."""
        spread = math.sqrt(2 * self.problem.initial_risk)
        width = self.problem.noise.width or spread
        return math.log(0.1 * min(spread, width)), math.log(10 * (spread + width))


def compensated_step(x: float, mu: float) -> float:
    """Return the step e^x/mu, inf where the drift vanishes in double precision, so that no step is large enough."""
    return math.exp(x) / mu if mu > 0 else math.inf


def checked_trial(
    problem: Problem,
    horizon: float,
    features: str = "identity",
    target: float | None = None,
    memory: Memory | None = None,
) -> Trial:
    """Make a trial from a user's arguments.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.
    """
    checked_problem(problem)
    horizon = check_horizon(horizon, problem.dimension)
    if problem.initial_risk == 0:
        raise InvalidInput("problem", "a start with positive risk (there is nothing to tune)", "a start at the target")
    if target is not None:
        target = checks.risk("target", target)
        if target >= problem.initial_risk:
            raise InvalidInput("target", f"a risk below the initial risk {problem.initial_risk:.6g}", f"{target:g}")
    return Trial(problem, horizon, features, target, memory)


def check_found(trial: Trial, value: float, lowest: Callable[[], float]) -> None:
    """Refuse a result that says nothing: a target that is not reached, a horizon in which no step lowers the risk.

    Parameters
    ----------
    trial : Trial
        What was minimized.
    value : float
        The smallest value found.
    lowest : callable
        Computes the lowest risk at the horizon.

    Raises
    ------
    InvalidInput
        Where the result says nothing.
    """
    if trial.target is not None:
        if trial.missed(value):
            expected = f"at least {lowest():.6g}, the lowest risk that constants reach at t = {trial.horizon:g}"
            raise InvalidInput("target", expected, f"{trial.target:g}")
    elif value > math.log((1 - LEAST_FALL) * trial.problem.initial_risk):
        fall = abs(math.expm1(min(value - math.log(trial.problem.initial_risk), 0.0)))
        expected = f"one in which some step size lowers the risk by {LEAST_FALL:.0%}"
        raise InvalidInput(
            "horizon", expected, f"{trial.horizon:g}, in which the best one lowers it by {100 * fall:.3g}%"
        )
