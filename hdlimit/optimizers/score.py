"""SGD with the score of its residuals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from hdlimit.errors import InvalidInput
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.schedules import Schedule, as_schedule


@dataclass(frozen=True, eq=False, repr=False)
class ScoreSGD(Optimizer):
    """The optimizer that no other residual map can beat: update = (1/B) sum_j psi(r_j; s) x_j, with the score

        psi(r; s) = -p_r'(r)/(I_F p_r(r)),   r = z - eps, z ~ N(0, s),   I_F = E (p_r'/p_r)^2,

    scaled so that mu = 1 and nu = 1/(B I_F) at v = s, as for SGD under Gaussian noise, which it is there.

    lr: eta > 0, a number or a schedule of t; table: psi as a finished table over (log s, r); design: the v = 2R at
    which the table is read, a number or a schedule of t; batch_size: B >= 1, fresh samples a step. Made for a problem
    by `hdlimit.tuning.score_sgd`. Source: the score attains the bound of derivations/fisher.py.
    """

    residual: ClassVar[str] = "score"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "gradient"
    name: ClassVar[str] = "score-sgd"

    lr: Any
    table: ResidualTable
    design: Any
    batch_size: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.table, ResidualTable):
            raise InvalidInput("table", "a ResidualTable", repr(self.table)[:120])
        as_schedule("design", self.design)
        s = self.design
        self._set(design=s if isinstance(s, Schedule) or callable(s) else float(s))
        super().__post_init__()

    @cached_property
    def threshold_schedule(self) -> Schedule:
        """The design, which takes the place of a threshold: the second argument of the residual map."""
        return as_schedule("design", self.design)

    @property
    def residual_table(self) -> ResidualTable:
        return self.table
