"""What predict returns.

Curves and ensembles use the same names: `time` (t = k/d), `risk` (excess risk R), `distance` (norm(delta)^2) and
`gradient_norm` (norm of the population gradient K delta).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from hdlimit.core.declaration import BoolArray, FloatArray
from hdlimit.core.timegrid import steps_taken
from hdlimit.errors import NotAvailable, Outcome, ValidityWarning, warn
from hdlimit.finite_size.linear_noise import LinearNoise, linear_noise
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.optimizers.base import Optimizer
from hdlimit.plotting.risk import plot_curve
from hdlimit.prediction.dense_curve import DenseCurve
from hdlimit.problem.problem import Problem
from hdlimit.problem.spectral_measure import Compression
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Spread over risk above which linear noise is a rough guide only: near 1 the risk of a run, which is positive, cannot
# be normal around the curve. Chosen, not measured.
TRUSTED = 0.3


@dataclass(frozen=True, eq=False, repr=False)
class Curve(DenseCurve, Record):
    """A predicted risk curve.

    Attributes
    ----------
    problem, optimizer, horizon, rtol
        As given to `predict`.
    time : ndarray, shape (T,)
        Times t = k/d, up to the divergence if there is one.
    risk : ndarray, shape (T,)
        Excess risk R at these times.
    outcome : Outcome
        How the integration ended.
    dense : DenseOutput
        The interpolant: v = 2R first, then norm(delta)^2 and norm(K delta)^2 where they are linear in the modes.
    version : str
        Version of the package that computed it.
    compression : Compression or None
        How many eigenvalues were put into how many modes, and the error of that; None if every eigenvalue is a mode.

    See Also
    --------
    hdlimit.predict : Make one.
    hdlimit.plot : Draw several curves and ensembles.

    Examples
    --------
    >>> import hdlimit as hd
    >>> curve = hd.predict(hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5)), hd.SGD(lr=0.5), horizon=10.0)
    >>> [round(float(r), 3) for r in curve.at([0.0, 1.0, 10.0])]
    [0.5, 0.258, 0.042]
    >>> round(curve.time_to(0.1), 2)
    2.75
    """

    table: ClassVar[tuple[str, ...]] = ("time", "samples", "risk", "distance", "gradient_norm")
    facts: ClassVar[tuple[str, ...]] = ("rtol",)
    kinds: ClassVar[dict[str, type]] = {"optimizer": Optimizer}
    shapes: ClassVar[dict[str, str]] = {"time": "T", "risk": "T"}
    ordered: ClassVar[tuple[str, ...]] = ("time",)

    problem: Problem
    optimizer: Any
    horizon: float
    rtol: float
    time: FloatArray
    risk: FloatArray
    outcome: Outcome
    dense: DenseOutput
    version: str
    compression: Compression | None = None

    def __repr__(self) -> str:
        few = f", {self.compression}" if self.compression is not None else ""
        return (
            f"Curve({self.optimizer!r}, d={self.problem.dimension}, {self.outcome.status.value} at t={self.end:g}, "
            f"risk {self.risk[0]:.4g} -> {self.risk[-1]:.4g}{few})"
        )

    @property
    def steps(self) -> FloatArray:
        """Steps taken at every time: t d, rounded down, shape (T,)."""
        return steps_taken(self.time, self.problem.dimension)

    @property
    def samples(self) -> FloatArray:
        """Samples seen at every time: batch size times steps, shape (T,)."""
        return steps_taken(self.time, self.problem.dimension, self.optimizer.batch_size)

    @cached_property
    def linear_noise(self) -> LinearNoise:
        """Fluctuations around the curve at this d, and the shift of their mean.

        See `hdlimit.finite_size.linear_noise`.

        Raises
        ------
        NotAvailable
            For sign features with a covariance that is not diagonal, and where E eps^4 is infinite and the residual map
            unbounded.
        """
        return linear_noise(self)

    @cached_property
    def _spread(self) -> FloatArray:
        return linear_noise(self, shifted=False).spread(self.time)

    @cached_property
    def spread(self) -> FloatArray:
        """Predicted standard deviation of the risk of one run at this d, shape (T,).

        Raises
        ------
        NotAvailable
            Where it does not exist (E eps^4 infinite) or is not known (sign features, K not diagonal).

        Warns
        -----
        ValidityWarning
            Where it exceeds 0.3 of the risk, beyond which fluctuations are not linear; `spread_trusted` says where.

        Notes
        -----
        sd(R) = sqrt(lambda^T P lambda)/2, P the covariance of the modes in linear noise. Measured against 4000 runs:
        within 3 % at d = 200 and 1000, 5 % at d = 40 without noise; with momentum 2 % at d = 200 from t = 0.5 on, with
        dampening beside it 10 %.
        """
        spread = self._spread
        wide = spread > TRUSTED * self.risk
        if wide.any():
            sentence = (
                f"spread: above {TRUSTED:g} of the risk from t = {self.time[wide][0]:.3g} on: fluctuations are not "
                "small there, and linear noise is a rough guide only"
            )
            warn(ValidityWarning(sentence))
        return spread

    @property
    def spread_trusted(self) -> BoolArray:
        """Where the spread is at most 0.3 of the risk, shape (T,)."""
        trusted: BoolArray = self._spread <= TRUSTED * self.risk
        return trusted

    @property
    def corrected(self) -> FloatArray:
        """Predicted mean risk of runs at this d: the limit and its bias of order 1/d, shape (T,).

        The bias left over is of order 1/d^2 (clipped batches of three samples and more: up to 0.4/d of the risk).

        Raises
        ------
        NotAvailable
            Where `linear_noise` does.
        """
        corrected: FloatArray = self.risk + self.linear_noise.shift(self.time)
        return corrected

    def columns(self) -> dict[str, Any]:
        """Return the columns of a file.

        Returns
        -------
        dict of str to ndarray
            Time, samples, risk, distance, gradient norm, and the spread where there is one.
        """
        table = super().columns()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ValidityWarning)
                return table | {"spread": self.spread}
        except NotAvailable:
            return table

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the risk as a line, with dots at plus and minus the predicted spread of one run.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new log-log figure if omitted.
        **style
            Passed to `Axes.plot`; `band=False` leaves the dots out.

        Returns
        -------
        matplotlib.axes.Axes
            The axes with the figure.
        """
        return plot_curve(self, ax, **style)
