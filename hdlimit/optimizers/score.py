"""SGD with the score of its residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hdlimit.errors import InvalidInput
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual_table import ScoreTable
from hdlimit.optimizers.schedules import Schedule, as_schedule
from hdlimit.problem.problem import Problem


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
