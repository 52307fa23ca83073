"""The declaration of a problem: what its fields are and what follows from them at the start.

y = <x, theta*> + eps,   x ~ (0, K) centred,   eps independent of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np

from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput, NotAvailable, shown
from hdlimit.problem.covariance import MOST_NUMBERS, CovarianceModel
from hdlimit.problem.noise_law import NoiseLaw

# A run or a curve has diverged above this many times the larger of its start and of the noise: far above what any
# stable step reaches (1.84 times the limit at 0.99 of the critical step, examples/where_it_ends.py).
DIVERGED = 1e12


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Declaration):
    """Centred data rows that the simulator can stream.

    Attributes
    ----------
    x : ndarray, shape (n, d)
        Features; columns of mean 0, unless made with intercept=False.
    noise : ndarray, shape (n,)
        y - <x, theta*>.
    columns : tuple of str
        Names of the d features kept.
    dropped : tuple of str
        Names of the constant columns that were left out.
    """

    shapes: ClassVar[dict[str, str]] = {"x": "n d", "noise": "n"}

    x: FloatArray
    noise: FloatArray
    columns: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class LeastSquares(Declaration):
    """A streaming least-squares problem, as theory and simulator read it.

    `hdlimit.Problem` is this with checks of its fields, defaults and estimation from rows.

    Attributes
    ----------
    covariance : CovarianceModel
        K.
    noise : NoiseLaw
        Law of eps.
    target, start : ndarray, shape (d,), or None
        theta* and theta_0; None for 1/sqrt(d) everywhere and for zeros.
    rows : Rows or None
        The rows that the problem was made from.
    """

    covariance: CovarianceModel
    noise: NoiseLaw
    target: FloatArray | None
    start: FloatArray | None
    rows: Rows | None

    @property
    def dimension(self) -> int:
        """Number of parameters, d."""
        return self.covariance.dimension

    @property
    def intrinsic_dimension(self) -> float:
        """Intrinsic dimension tr(K)/norm(K); the limit is good when it is large, see LowDimensionWarning."""
        return self.covariance.intrinsic_dimension

    @property
    def uniform(self) -> bool:
        """Whether every entry of the start error is -1/sqrt(d): the default target and start."""
        return self.target is None and self.start is None

    @cached_property
    def initial_error(self) -> FloatArray:
        """Error of the start, theta_0 - theta*, shape (d,)."""
        d = self.dimension
        if d > MOST_NUMBERS:
            raise NotAvailable(
                f"initial_error: would be an array of {d:.3g} numbers, more than {MOST_NUMBERS:g}; predict, stability, "
                "steady_state and summary do without it, simulation and what needs single coordinates do not"
            )
        target = np.full(d, d**-0.5) if self.target is None else self.target
        return -target if self.start is None else self.start - target

    @cached_property
    def initial_risk(self) -> float:
        """Excess risk of the start, R(0) = delta^T K delta / 2."""
        if self.uniform and self.covariance.nodes is not None:
            return self.covariance.trace / self.dimension / 2
        delta = self.initial_error
        return max(float(delta @ self.covariance.apply(delta)), 0.0) / 2


P = TypeVar("P")


def checked_problem(problem: P) -> P:
    """Return the problem; raises InvalidInput for anything else."""
    if not isinstance(problem, LeastSquares):
        raise InvalidInput("problem", "a Problem", shown(problem))
    return problem
