"""SGD with the score of its residuals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.schedules import Schedule, as_schedule


@dataclass(frozen=True, eq=False, repr=False)
class ScoreSGD(Optimizer):
    """SGD with the score of its residuals, which no other residual map can beat.

    Made for a problem by `hdlimit.tuning.score_sgd`.

    Parameters
    ----------
    lr : float or Schedule
        Step size eta > 0.
    table : ResidualTable
        psi as a finished table over (log s, r).
    design : float or Schedule
        The v = 2R at which the table is read.
    batch_size : int, default 1
        Fresh samples a step, B.

    Raises
    ------
    InvalidInput
        If an argument is of another type or out of range.

    Notes
    -----
    The update is (1/B) sum_j psi(r_j; s) x_j with the score

        psi(r; s) = -p_r'(r)/(I_F p_r(r)),   r = z - eps, z ~ N(0, s),   I_F = E (p_r'/p_r)^2,

    scaled so that mu = 1 and nu = 1/(B I_F) at v = s. Under Gaussian noise it is SGD. The score attains the bound of
    derivations/fisher.py.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(200), hd.Laplace(0.5))
    >>> score = hd.tuning.score_sgd(problem, horizon=10.0, lr=0.3)
    >>> type(score).__name__, score.batch_size
    ('ScoreSGD', 1)
    """

    residual: ClassVar[str] = "score"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "gradient"
    name: ClassVar[str] = "score-sgd"
    follows_loss: ClassVar[bool] = False

    lr: Any
    table: ResidualTable
    design: Any
    batch_size: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.table, ResidualTable):
            raise InvalidInput("table", "a ResidualTable", shown(self.table))
        as_schedule("design", self.design)
        s = self.design
        self._set(design=s if isinstance(s, Schedule) or callable(s) else float(s))
        super().__post_init__()

    @cached_property
    def control_schedule(self) -> Schedule:
        """The design, which takes the place of a threshold: the second argument of the residual map."""
        return as_schedule("design", self.design)

    @property
    def residual_table(self) -> ResidualTable:
        """The table of the residual map."""
        return self.table

    @cached_property
    def flat_table(self) -> FloatArray:
        """The table as the simulator reads it."""
        return self.table.flat
