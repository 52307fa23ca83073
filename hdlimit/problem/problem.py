"""The problem: what the data is.

y = <x, theta*> + eps,   x ~ (0, K) centred,   eps independent of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput, NotAvailable, shown
from hdlimit.problem import conditions
from hdlimit.problem.covariance import MOST_NUMBERS, CovarianceModel, as_covariance
from hdlimit.problem.estimation import from_data
from hdlimit.problem.noise import NoNoise, as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.row_moments import Rows

# A run or a curve has diverged above this many times the larger of its start and of the noise: far above what any
# stable step reaches (1.84 times the limit at 0.99 of the critical step, examples/where_it_ends.py).
DIVERGED = 1e12


@dataclass(frozen=True, eq=False, repr=False)
class Problem(Declaration):
    """A streaming least-squares problem.

    Parameters
    ----------
    covariance : CovarianceModel or array_like, shape (d, d) or (d,)
        Covariance K of the features: a model such as `PowerLaw`, a matrix, or its diagonal.
    noise : NoiseLaw or frozen scipy.stats distribution, default NoNoise()
        Law of the label noise eps.
    target : array_like, shape (d,), optional
        theta*; 1/sqrt(d) everywhere if omitted.
    start : array_like, shape (d,), optional
        theta_0; zeros if omitted.
    rows : Rows, optional
        The data rows that `Problem.from_data` keeps.

    Raises
    ------
    InvalidInput
        If an argument is of another type or shape.

    Notes
    -----
    Every step draws fresh samples of y = <x, theta*> + eps, where x has mean 0 and covariance K and eps is independent
    of x. The excess risk is R = delta^T K delta/2 with delta = theta - theta*.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.PowerLaw(1000, exponent=0.3), hd.StudentT(df=5, scale=0.5))
    >>> problem
    Problem(covariance=PowerLaw(d=1000, exponent=0.3), noise=StudentT(df=5, scale=0.5))
    >>> problem.dimension, round(problem.initial_risk, 6)
    (1000, 0.5)
    """

    covariance: CovarianceModel
    noise: NoiseLaw = NoNoise()
    target: FloatArray | None = None
    start: FloatArray | None = None
    rows: Rows | None = None

    def __post_init__(self) -> None:
        covariance = as_covariance(self.covariance)
        self._set(covariance=covariance, noise=as_noise(self.noise))
        for name in ("target", "start"):
            if (value := getattr(self, name)) is not None:
                self._set(**{name: checks.array(name, value, 1, (covariance.dimension,))})
        if self.rows is not None and not isinstance(self.rows, Rows):
            raise InvalidInput("rows", "the rows made by Problem.from_data, or None", type(self.rows).__name__)

    @classmethod
    def from_data(cls, X: Any, y: Any, **options: Any) -> Problem:
        """Estimate K, theta* and the noise law from the rows of a data set, which are kept for the simulator.

        Parameters
        ----------
        X : array_like, shape (n, d)
            Features.
        y : array_like, shape (n,)
            Response.
        **options
            Those of `hdlimit.problem.estimation.from_data`.

        Returns
        -------
        Problem
            Its `rows` are the centred rows.

        Raises
        ------
        InvalidInput
            If the rows cannot be used; the message says which argument and why.
        """
        covariance, noise, target, rows = from_data(X, y, **options)
        return cls(covariance, noise, target=target, rows=rows)

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

    def summary(self) -> str:
        """Describe the problem in a few lines.

        Returns
        -------
        str
            Dimensions, initial risk, noise variance, the critical lr of SGD, and what to be warned of.
        """
        lines = [
            f"d = {self.dimension}, intrinsic dimension {self.intrinsic_dimension:.4g}, "
            f"tr K = {self.covariance.trace:.4g}",
            f"initial risk {self.initial_risk:.4g}",
            *conditions.of_sgd(self.covariance, self.noise, self.rows),
        ]
        return "\n".join(lines)


def checked_problem(problem: object) -> Problem:
    """Return the problem; raises InvalidInput for anything else."""
    if not isinstance(problem, Problem):
        raise InvalidInput("problem", "a Problem", shown(problem))
    return problem
