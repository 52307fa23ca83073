"""The optimizers, as bare declarations.

    theta <- theta - (lr/d) * update,     t = k/d after k steps.

In the theory an optimizer is a residual map and a feature map (`residual`, `features`, names in residual.py and
features.py); in the simulator it is an update (`update`, a name in updates.py). The two sides meet only in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.optimizers.schedules import Constant, Schedule, as_schedule
from hdlimit.problem.problem import Problem

Loss = Literal["half_squared", "squared"]

_LOSS_FACTOR = {"half_squared": 1.0, "squared": 2.0}


def loss_factor(loss: str) -> float:
    """Gradient of the trainer's loss over the gradient of r^2/2: 1 for r^2/2, 2 for r^2 (PyTorch's MSELoss)."""
    return _LOSS_FACTOR[checks.one_of("loss", loss, tuple(_LOSS_FACTOR))]


def _checked(problem: Problem) -> Problem:
    if not isinstance(problem, Problem):
        raise InvalidInput("problem", "a Problem", repr(problem)[:120])
    return problem


@dataclass(frozen=True, eq=False, repr=False)
class ScoreTable(Declaration):
    """A finished table of a residual map psi(r; s): linear in r between its residuals and in log s between its levels.

    Beyond the outermost residuals and levels it keeps its values there: it is bounded, and no step size diverges.
    levels: values of s, shape (m,), increasing, > 0, m >= 2; residuals: values of r, shape (n,), increasing, n >= 2;
    scores: psi, shape (m, n), in the units of r.
    """

    levels: FloatArray
    residuals: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        levels, residuals = checks.array("levels", self.levels, 1), checks.array("residuals", self.residuals, 1)
        if levels.size < 2 or (np.diff(levels) <= 0).any() or levels[0] <= 0:
            raise InvalidInput("levels", "at least 2 increasing numbers > 0", repr(levels.tolist())[:120])
        if residuals.size < 2 or (np.diff(residuals) <= 0).any():
            raise InvalidInput("residuals", "at least 2 increasing numbers", repr(residuals.tolist())[:120])
        scores = checks.array("scores", self.scores, 2, (levels.size, residuals.size))
        self._set(levels=levels, residuals=residuals, scores=scores)

    @property
    def flat(self) -> FloatArray:
        """m, n, log levels, residuals and scores in one array: what the kernels read."""
        sizes = np.array([self.levels.size, self.residuals.size], dtype=np.float64)
        return np.concatenate([sizes, np.log(self.levels), self.residuals, self.scores.ravel()])

    def at_levels(self, r: FloatArray) -> FloatArray:
        """psi at every level, shape (m, size of r)."""
        r = np.clip(r, self.residuals[0], self.residuals[-1])
        k = np.clip(np.searchsorted(self.residuals, r, side="right") - 1, 0, self.residuals.size - 2)
        share = (r - self.residuals[k]) / (self.residuals[k + 1] - self.residuals[k])
        values: FloatArray = (1 - share) * self.scores[:, k] + share * self.scores[:, k + 1]
        return values

    def slopes(self, r: FloatArray) -> FloatArray:
        """dpsi/dr at every level, shape (m, size of r)."""
        steps = np.diff(self.scores) / np.diff(self.residuals)
        k = np.searchsorted(self.residuals, r, side="right")
        values: FloatArray = np.pad(steps, ((0, 0), (1, 1)))[:, k]
        return values

    def place(self, s: float) -> tuple[int, float]:
        """The level below s and the share of the next one, in log s."""
        x, y = np.log(self.levels), math.log(min(max(s, self.levels[0]), self.levels[-1]))
        k = min(max(int(np.searchsorted(x, y, side="right")) - 1, 0), x.size - 2)
        return k, float((y - x[k]) / (x[k + 1] - x[k]))

    def __call__(self, r: Any, s: float) -> FloatArray:
        """psi(r; s) for r of any shape and one s >= 0."""
        r, (k, share) = np.asarray(r, dtype=np.float64), self.place(s)
        values = self.at_levels(r.ravel())
        blended: FloatArray = ((1 - share) * values[k] + share * values[k + 1]).reshape(r.shape)
        return blended


class Optimizer(Declaration):
    """Base of the optimizers: a step-size schedule, a batch size, and the names of its two factors."""

    residual: ClassVar[str]
    features: ClassVar[str]
    update: ClassVar[str]
    name: ClassVar[str]

    lr: Any
    batch_size: int

    def __post_init__(self) -> None:
        as_schedule("lr", self.lr)
        lr = self.lr if isinstance(self.lr, Schedule) or callable(self.lr) else float(self.lr)
        self._set(lr=lr, batch_size=checks.count("batch_size", self.batch_size))

    @property
    def lr_schedule(self) -> Schedule:
        """The step size eta as a function of t."""
        return as_schedule("lr", self.lr)

    @property
    def threshold_schedule(self) -> Schedule:
        """The clip threshold in residual units as a function of t (inf for optimizers that do not clip)."""
        return Constant(math.inf)

    @property
    def residual_table(self) -> ScoreTable | None:
        """The table of a residual map that the optimizer carries with it, None for one that has a name only."""
        return None

    def step_size(self, problem: Problem, loss: Loss = "half_squared", steps: Any = None) -> float | FloatArray:
        """The trainer's step: lr/d for the loss r^2/2, lr/(2d) for r^2 (PyTorch's MSELoss).

        problem: supplies d; loss: the trainer's; steps: step numbers k, needed when lr is a schedule (its value at t
        = k/d). Returns a float, or an array of the shape of steps.
        """
        scale = _checked(problem).dimension * loss_factor(loss)
        if steps is not None:
            numbers = checks.array("steps", steps, None)
            if (numbers < 0).any():
                raise InvalidInput("steps", "step numbers >= 0", f"a smallest one of {numbers.min():g}")
            return self.lr_schedule(numbers / problem.dimension) / scale
        if not isinstance(self.lr_schedule, Constant):
            raise InvalidInput("steps", "the step numbers at which to read the lr schedule", None)
        return self.lr_schedule.value / scale

    @classmethod
    def from_step_size(cls, step: float, problem: Problem, loss: Loss = "half_squared", **parameters: Any) -> Self:
        """The optimizer whose trainer step is `step`: lr = step * d for the loss r^2/2, 2 step d for r^2.

        step: > 0; problem: supplies d; parameters: the optimizer's other arguments.
        """
        lr = checks.positive("step", step) * _checked(problem).dimension * loss_factor(loss)
        return cls(**{"lr": lr, **parameters})


@dataclass(frozen=True, eq=False, repr=False)
class SGD(Optimizer):
    """Streaming SGD: update = (1/B) sum_j r_j x_j.

    lr: eta > 0, a number or a schedule of t; batch_size: B >= 1, fresh samples a step.
    """

    residual: ClassVar[str] = "identity"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "gradient"
    name: ClassVar[str] = "sgd"

    lr: Any
    batch_size: int = 1


@dataclass(frozen=True, eq=False, repr=False)
class ClippedSGD(Optimizer):
    """Clipped SGD: the mean gradient g = (1/B) sum_j r_j x_j, scaled to norm c sqrt(tr K) where it is longer.

    lr: eta > 0, a number or a schedule of t; threshold: c > 0 in residual units (inf: SGD), a number or a schedule,
    which may touch 0; batch_size: B >= 1. Trainer units: max_norm = c sqrt(tr K).
    """

    residual: ClassVar[str] = "clip"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "clipped-gradient"
    name: ClassVar[str] = "clipped-sgd"

    lr: Any
    threshold: Any
    batch_size: int = 1

    def __post_init__(self) -> None:
        as_schedule("threshold", self.threshold, allow_infinite=True)
        c = self.threshold
        self._set(threshold=c if isinstance(c, Schedule) or callable(c) else float(c))
        super().__post_init__()

    @property
    def threshold_schedule(self) -> Schedule:
        return as_schedule("threshold", self.threshold, allow_infinite=True)

    def max_norm(self, problem: Problem, loss: Loss = "half_squared") -> float:
        """The trainer's gradient-norm limit: c sqrt(tr K) for the loss r^2/2, 2 c sqrt(tr K) for r^2. Needs a
        constant threshold.
        """
        if not isinstance(self.threshold_schedule, Constant):
            raise InvalidInput("threshold", "a constant threshold", repr(self.threshold))
        return self.threshold_schedule.value * math.sqrt(_checked(problem).covariance.trace) * loss_factor(loss)

    @classmethod
    def from_max_norm(
        cls, lr: Any, max_norm: float, problem: Problem, loss: Loss = "half_squared", batch_size: int = 1
    ) -> ClippedSGD:
        """The clipped SGD of a trainer that clips gradient norms at max_norm.

        lr: eta (from_step_size converts a trainer's step); max_norm: > 0; problem: supplies tr K; loss: the trainer's.
        """
        scale = math.sqrt(_checked(problem).covariance.trace) * loss_factor(loss)
        return cls(lr=lr, threshold=checks.positive("max_norm", max_norm) / scale, batch_size=batch_size)


@dataclass(frozen=True, eq=False, repr=False)
class SignSGD(Optimizer):
    """signSGD: update = sign of the mean gradient (1/B) sum_j r_j x_j, coordinate by coordinate.

    lr: eta > 0, a number or a schedule of t; batch_size: B >= 1, fresh samples a step.
    """

    residual: ClassVar[str] = "sign"
    features: ClassVar[str] = "sign"
    update: ClassVar[str] = "signed-gradient"
    name: ClassVar[str] = "sign-sgd"

    lr: Any
    batch_size: int = 1


@dataclass(frozen=True, eq=False, repr=False)
class ScoreSGD(Optimizer):
    """The optimizer that no other residual map can beat: update = (1/B) sum_j psi(r_j; s) x_j, with the score

        psi(r; s) = -p_r'(r)/(I_F p_r(r)),   r = z - eps, z ~ N(0, s),   I_F = E (p_r'/p_r)^2,

    scaled so that mu = 1 and nu = 1/(B I_F) at v = s, as for SGD under Gaussian noise, which it is there.

    lr: eta > 0, a number or a schedule of t; table: psi as a finished table over (log s, r); design: the v = 2R at
    which the table is read, a number or a schedule of t; batch_size: B >= 1, fresh samples a step. Made for a problem
    by `ScoreSGD.for_problem`. Source: the score attains the bound of derivations/fisher.py.
    """

    residual: ClassVar[str] = "score"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "gradient"
    name: ClassVar[str] = "score-sgd"

    lr: Any
    table: ScoreTable
    design: Any
    batch_size: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.table, ScoreTable):
            raise InvalidInput("table", "a ScoreTable", repr(self.table)[:120])
        as_schedule("design", self.design)
        s = self.design
        self._set(design=s if isinstance(s, Schedule) or callable(s) else float(s))
        super().__post_init__()

    @property
    def threshold_schedule(self) -> Schedule:
        """The design, which takes the place of a threshold: the second argument of the residual map."""
        return as_schedule("design", self.design)

    @property
    def residual_table(self) -> ScoreTable:
        return self.table

    @classmethod
    def for_problem(cls, problem: Problem, lr: Any, horizon: float, batch_size: int = 1) -> ScoreSGD:
        """The score optimizer of a problem, its design being the curve v(t) that it follows itself.

        problem: supplies noise, covariance and start; lr: eta > 0, a number or a schedule; horizon: up to which the
        design is needed, in units of t = k/d. Raises: InvalidInput, also where the risk diverges at this lr.
        """
        from hdlimit.tuning.score import score_of

        return cls(lr, *score_of(problem, lr, horizon, batch_size), batch_size)
