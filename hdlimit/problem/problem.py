"""The problem that a user declares or estimates from rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem import conditions
from hdlimit.problem.covariance import Covariance, CovarianceModel
from hdlimit.problem.estimation import from_data
from hdlimit.problem.least_squares import LeastSquares, Rows
from hdlimit.problem.noise import NoNoise, as_noise
from hdlimit.problem.noise_law import NoiseLaw


@dataclass(frozen=True, eq=False, repr=False)
class Problem(LeastSquares):
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
        covariance = _as_covariance(self.covariance)
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


def _as_covariance(covariance: CovarianceModel | ArrayLike) -> CovarianceModel:
    """Return a covariance model as it is, or make one of what Covariance takes; raise InvalidInput for others."""
    if isinstance(covariance, CovarianceModel):
        return covariance
    try:
        return Covariance(covariance)  # type: ignore[arg-type]
    except InvalidInput as error:
        raise InvalidInput("covariance", f"a covariance model, or {error.expected}", error.got) from None
