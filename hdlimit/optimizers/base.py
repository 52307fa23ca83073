"""The optimizers, as bare declarations.

    theta <- theta - (lr/d) * update,     t = k/d after k steps.

In the theory an optimizer is a residual map and a feature map (`residual`, `features`, names in
response/residual_maps.py and limit/feature_maps.py); in the simulator it is an update (`update`, a name in
simulation/updates.py). The two sides meet only in the tests.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import REQUIRED, Declaration, FloatArray
from hdlimit.errors import HdlimitError, InvalidInput, shown
from hdlimit.optimizers.schedules import Constant, Schedule, Table, as_schedule, no_negative
from hdlimit.problem.least_squares import LeastSquares, checked_problem

Loss = Literal["half_squared", "squared"]

# d from which steps and times, and a trainer's step and lr, are too far apart to be taken for each other. Chosen.
LARGE = 100
_LOSS_FACTOR = {"half_squared": 1.0, "squared": 2.0}


def loss_factor(loss: Any) -> float:
    """Gradient of the trainer's loss over the gradient of r^2/2: 1 for r^2/2, 2 for r^2 (PyTorch's MSELoss)."""
    if not isinstance(loss, str) or loss not in _LOSS_FACTOR:
        raise InvalidInput("loss", REQUIRED["loss"], shown(loss))
    return _LOSS_FACTOR[loss]


def check_named(optimizer: Optimizer) -> None:
    """Raise InvalidInput for a class that inherits the name of its residual map, feature map or update.

    It would be taken for its parent, and what it overrides (a method named psi, say) would be ignored.
    """
    cls = type(optimizer)
    if missing := [name for name in ("residual", "features", "update") if name not in vars(cls)]:
        parent = cls.__mro__[1].__name__
        expected = "a class that states residual, features and update itself"
        raise InvalidInput("optimizer", expected, f"a {cls.__name__}, which has its {missing[0]} from {parent}")


def check_types(problem: object, optimizer: object) -> None:
    """Raise InvalidInput unless these are a Problem and an optimizer that names its maps and its update."""
    checked_problem(problem)
    if not isinstance(optimizer, Optimizer):
        raise InvalidInput("optimizer", "an optimizer such as SGD(lr=0.5)", shown(optimizer))
    check_named(optimizer)


def over_steps(optimizer: Optimizer, horizon: float, dimension: int) -> str:
    """Say which schedules look like functions of step numbers, in place of t = steps/d; empty where none does.

    That is so from d = 100 on where a schedule changes by more than half of its largest value over [0, d horizon], a
    quarter of the change or more comes after d horizon/10, and less than a twentieth of it within the horizon.
    """
    schedules = {"lr": optimizer.lr_schedule, "threshold": optimizer.control_schedule}
    moving = [name for name, schedule in schedules.items() if not isinstance(schedule, Constant)]
    found = [name for name in moving if dimension >= LARGE and _moves_late(schedules[name], horizon, dimension)]
    said = f"the schedule of {' and '.join(found)} hardly changes up to t = {horizon:g} and much up to d times that: "
    remedy = f"its times are t = steps/d, and Schedule.in_steps({dimension}) divides step numbers by d"
    return f"{said}{remedy}" if found else ""


def _moves_late(schedule: Schedule, horizon: float, dimension: int) -> bool:
    early, steps = horizon * np.linspace(0.0, 1.0, 5), dimension * horizon * np.linspace(0.1, 1.0, 10)
    with suppress(HdlimitError), np.errstate(all="ignore"):  # a function may end at the horizon
        values = schedule(np.concatenate([early, steps]))
        change, late = np.ptp(values), np.ptp(values[early.size :])
        hardly = np.ptp(values[: early.size]) < change / 20
        return bool(hardly and late > change / 4 and change > values.max() / 2)
    return False


class Memory(NamedTuple):
    """A buffer of gradients as PyTorch keeps it.

    buffer <- momentum buffer + (1 - dampening) g, of which the first is g itself; the step follows the buffer, with
    nesterov g + momentum buffer.
    """

    momentum: float
    dampening: float
    nesterov: bool

    @property
    def gain(self) -> float:
        """What a gradient adds to all steps that follow it, over the step it would make alone."""
        return (1 - self.dampening) / (1 - self.momentum)


class Optimizer(Declaration):
    """Base of the optimizers: a step-size schedule, a batch size, and the names of its two factors.

    Attributes
    ----------
    follows_loss : bool
        Whether the update doubles with the gradient of the trainer's loss, so that the step is half as long for r^2 as
        for r^2/2. False: one step for both losses.
    """

    residual: ClassVar[str]
    features: ClassVar[str]
    update: ClassVar[str]
    name: ClassVar[str]
    follows_loss: ClassVar[bool] = True

    lr: Any
    batch_size: int

    def __post_init__(self) -> None:
        as_schedule("lr", self.lr)
        lr = self.lr if isinstance(self.lr, Schedule) or callable(self.lr) else float(self.lr)
        self._set(lr=lr, batch_size=checks.count("batch_size", self.batch_size))

    @cached_property
    def lr_schedule(self) -> Schedule:
        """The step size eta as a function of t."""
        return as_schedule("lr", self.lr)

    @property
    def memory(self) -> Memory | None:
        """The buffer of gradients, None for an optimizer that keeps none."""
        return None

    @property
    def dynamics(self) -> str:
        """The member of hdlimit.limit.dynamics that makes its moment system."""
        return self.features if self.memory is None else "momentum"

    @property
    def effective_lr(self) -> float:
        """What lr amounts to over time: lr (1 - dampening)/(1 - momentum), and lr without momentum."""
        if not isinstance(self.lr_schedule, Constant):
            raise InvalidInput("lr", "a constant lr", shown(self.lr))
        return self.lr_schedule.value * (1.0 if self.memory is None else self.memory.gain)

    @cached_property
    def control_schedule(self) -> Schedule:
        """The second argument of the residual map as a function of t: the clip threshold, inf without clipping."""
        return Constant(math.inf)

    @property
    def flat_table(self) -> FloatArray:
        """The residual map as `ResidualTable.flat` has it; empty where the optimizer only names its map."""
        return np.empty(0)

    def step_size(self, problem: LeastSquares, *, loss: Loss, steps: Any = None) -> float | FloatArray:
        """Return the trainer's step: lr/d for the loss r^2/2, lr/(2d) for r^2 (PyTorch's MSELoss).

        It is lr/d for both where the update does not follow the loss: signSGD, and maps of the residual itself.
        problem: supplies d; loss: the trainer's; steps: step numbers k, needed when lr is a schedule (its value at t
        = k/d). Returns a float, or an array of the shape of steps.
        """
        scale = checked_problem(problem).dimension * self._step_factor(loss)
        if steps is not None:
            numbers = checks.array("steps", steps, None)
            if (numbers < 0).any():
                raise InvalidInput("steps", "step numbers >= 0", f"a smallest one of {numbers.min():g}")
            return self.lr_schedule(numbers / problem.dimension) / scale
        if not isinstance(self.lr_schedule, Constant):
            raise InvalidInput("steps", "the step numbers at which to read the lr schedule", None)
        return self.lr_schedule.value / scale

    @classmethod
    def from_step_size(cls, step: Any, problem: LeastSquares, *, loss: Loss, **parameters: Any) -> Self:
        """Return the optimizer whose trainer step is `step`: lr = step * d for the loss r^2/2, 2 step d for r^2.

        lr = step * d for both where the update does not follow the loss. step: > 0, or a list of one >= 0 for every
        step from the first on, which `schedules.rates` reads from a scheduler; problem: supplies d; loss: the
        trainer's; parameters: the optimizer's other arguments.
        """
        steps = checks.scale("step", step) if checks.is_scalar(step) else checks.array("step", step, 1)
        d = checked_problem(problem).dimension
        lr: Any = steps * d * cls._step_factor(loss)
        if isinstance(lr, np.ndarray):
            lr = Table.from_steps(no_negative("step", lr), d)
        return cls(**{"lr": lr, **parameters})

    @classmethod
    def _step_factor(cls, loss: str) -> float:
        """Return lr over d times the trainer's step."""
        factor = loss_factor(loss)
        return factor if cls.follows_loss else 1.0
