"""SGD with any scalar map of its residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.schedules import Constant, Schedule, as_schedule
from hdlimit.optimizers.tabulation import Tabulated, bound_to, tabulate, takes_control

# Levels of a table that has no control: every control reads the same row.
_ANY_LEVEL = np.array([1.0, 2.0])


@lru_cache(maxsize=64)
def _tabulated(psi: Callable[..., Any], control: float | None) -> tuple[Tabulated, ResidualTable]:
    """Tabulate a map once; equal functions share the table."""
    found = tabulate(bound_to(psi, control))
    return found, ResidualTable(_ANY_LEVEL, found.residuals, np.stack([found.values] * 2))


@dataclass(frozen=True, eq=False, repr=False)
class ResidualSGD(Optimizer):
    """Streaming SGD with a scalar map of the residuals: update = (1/B) sum_j psi(r_j) g(x_j), g(x) = x or sign(x).

    Theory and simulator read the same table of psi: pieces of lines that meet the function to 1e-5 of its size on each
    piece for 1e-6 <= |r| <= 1e6, with jumps as jumps. Beyond, a map that is constant there stays constant, any other
    continues along a line. A feature narrower than 0.2 % of |r| may be missed.

    Parameters
    ----------
    lr : float or schedule
        eta > 0 as a function of t.
    psi : callable or ResidualTable
        Function of an array of residuals, or of (r, control), that maps each residual by itself, in the units of r,
        and grows at most linearly; or a finished table. A callable cannot be written to a file: `tabulated` gives the
        optimizer with its table, which can.
    control : float or schedule, optional
        Second argument of psi, > 0. A schedule needs a ResidualTable, whose levels are values of the control.
    batch_size : int
        B >= 1, fresh samples a step.
    features : {"identity", "sign"}
        g: x itself, or its signs coordinate by coordinate; psi acts on each residual before the mean over the batch.

    Raises
    ------
    InvalidInput
        For a psi that raises, changes from call to call, has values of another shape, not real or not finite, grows
        faster than linearly, or bends too often for a table.

    Notes
    -----
    psi maps the residual itself, whatever the loss of the trainer: step_size is lr/d for r^2/2 and for r^2.

    With z = <x, delta> ~ N(0, v) and r = z - eps the limit reads mu(v) = E psi(r) z / v and nu(v) = E psi(r)^2 / B.
    Sign features multiply the drift of coordinate i by sqrt(2/(pi K_ii)) and replace K_ij in the noise by (2/pi)
    arcsin(K_ij/sqrt(K_ii K_jj)).

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964).

    Examples
    --------
    >>> import numpy as np
    >>> import hdlimit as hd
    >>> optimizer = hd.ResidualSGD(lr=0.5, psi=np.tanh)
    >>> optimizer.table_error < 1e-5
    True
    >>> problem = hd.Problem(hd.Isotropic(400), hd.StudentT(df=1.5, scale=0.5))
    >>> curve = hd.predict(problem, optimizer, horizon=5.0)
    >>> round(float(curve.risk[-1]), 3)
    0.107
    """

    residual: ClassVar[str] = "table"
    name: ClassVar[str] = "residual-sgd"
    follows_loss: ClassVar[bool] = False

    lr: Any
    psi: ResidualTable | Callable[..., Any]
    control: Any = None
    batch_size: int = 1
    features: Literal["identity", "sign"] = "identity"  # type: ignore[misc]

    def __post_init__(self) -> None:
        if not isinstance(self.psi, ResidualTable) and (not callable(self.psi) or isinstance(self.psi, type)):
            raise InvalidInput("psi", "a function of r or a ResidualTable", shown(self.psi))
        given = self.control
        if given is not None:
            as_schedule("control", given)
            self._set(control=given if isinstance(given, Schedule) or callable(given) else float(given))
        checks.one_of("features", self.features, ("identity", "sign"))
        super().__post_init__()
        if isinstance(self.psi, ResidualTable):
            return
        needs = takes_control(self.psi)
        if needs != (given is not None):
            expected = "a number > 0, as psi takes one" if needs else "None, as psi takes none"
            raise InvalidInput("control", expected, shown(given))
        if needs and not isinstance(as_schedule("control", given), Constant):
            raise InvalidInput("control", "a number (a schedule needs psi as a ResidualTable)", shown(given))
        self._table  # noqa: B018 : a psi that cannot be tabulated is refused here

    @cached_property
    def _table(self) -> tuple[Tabulated, ResidualTable]:
        constant = None if self.control is None else checks.positive("control", self.control_schedule(0.0))
        return _tabulated(self.psi, constant)

    @cached_property
    def control_schedule(self) -> Schedule:
        """The second argument of psi as a function of t (1 where it has none)."""
        return Constant(1.0) if self.control is None else as_schedule("control", self.control)

    @property
    def update(self) -> str:  # type: ignore[override]
        """The name of the simulator's update."""
        return "gradient" if self.features == "identity" else "signed-features"

    @property
    def residual_table(self) -> ResidualTable:
        """The table of psi that theory and simulator read."""
        return self.psi if isinstance(self.psi, ResidualTable) else self._table[1]

    @cached_property
    def flat_table(self) -> FloatArray:
        """The table as the simulator reads it."""
        return self.residual_table.flat

    @property
    def table_error(self) -> float:
        """Largest |table - psi| over the largest |psi| of its piece, as seen at places inside of it; 0 for a table."""
        return 0.0 if isinstance(self.psi, ResidualTable) else self._table[0].error

    def tabulated(self) -> ResidualSGD:
        """Return the same optimizer with psi as a ResidualTable, which can be saved.

        Returns
        -------
        ResidualSGD

        Examples
        --------
        >>> import numpy as np
        >>> import hdlimit as hd
        >>> optimizer = hd.ResidualSGD(lr=0.5, psi=np.sign).tabulated()
        >>> optimizer.psi.residuals.size
        4
        """
        return replace(self, psi=self.residual_table)

    def to_plain(self) -> dict[str, Any]:
        """Return the fields, for a file.

        Returns
        -------
        dict

        Raises
        ------
        InvalidInput
            For a Python function, which is not written to a file.
        """
        if not isinstance(self.psi, ResidualTable):
            raise InvalidInput("psi", "a ResidualTable in a file (optimizer.tabulated() has one)", "a Python function")
        return super().to_plain()
