"""What predict and simulate return: frozen records of named arrays.

Theory and simulation use the same names: `time` (t = k/d), `risk` (excess risk R), `distance` (norm(delta)^2) and
`gradient_norm` (norm of the population gradient K delta).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import BoolArray, FloatArray
from hdlimit.core.timegrid import steps_at
from hdlimit.errors import InvalidInput, NotAvailable, Outcome, ValidityWarning
from hdlimit.finite_size.linear_noise import LinearNoise, linear_noise
from hdlimit.limit.interpolant import DenseOutput, first_crossing
from hdlimit.limit.pair_moments import pair_squares
from hdlimit.plotting.risk import plot_curve
from hdlimit.problem.problem import Problem
from hdlimit.problem.spectral_measure import Compression
from hdlimit.response.clipping import clipped_fraction
from hdlimit.response.efficiency import Efficiency, efficiency
from hdlimit.response.residual_maps import residual_map
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Spread over risk up to which fluctuations count as linear: within 5 % of 4000 runs below it (see Curve.spread).
TRUSTED = 0.3


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Record):
    """A predicted risk curve.

    problem, optimizer, horizon, rtol: as given to predict; time, risk: shape (T,), up to the divergence if there is
    one; outcome: how the integration ended; dense: the interpolant (v = 2R first, then norm(delta)^2 and norm(K
    delta)^2 where they are linear in the modes); version: of the package; compression: how many eigenvalues were put
    into how many modes with what error, None for every eigenvalue.
    """

    table: ClassVar[tuple[str, ...]] = ("time", "samples", "risk", "distance", "gradient_norm")
    facts: ClassVar[tuple[str, ...]] = ("rtol",)

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
    def end(self) -> float:
        """The last time reached: the horizon, or the time of divergence."""
        return float(self.dense.knots[-1])

    @property
    def samples(self) -> FloatArray:
        """Samples seen at every time: batch size times steps, shape (T,)."""
        d = self.problem.dimension
        return np.array([float(self.optimizer.batch_size * steps_at(t, d)) for t in self.time])

    def at(self, t: Any) -> FloatArray:
        """The excess risk at any times in [0, end], from the dense output; the shape of t."""
        return np.maximum(self.dense(self._times(t), 0), 0.0) / 2

    def _times(self, t: Any) -> FloatArray:
        times = checks.array("t", t, None)
        if not ((times >= 0).all() and (times <= self.end * (1 + 1e-12)).all()):
            raise InvalidInput("t", f"times between 0 and {self.end:g}, where the curve ends", repr(t)[:80])
        return times

    def time_to(self, risk: float) -> float:
        """The first time at which the excess risk is at most `risk`; inf if that never happens on the curve."""
        return first_crossing(self.dense, 2 * checks.number("risk", risk))

    @cached_property
    def linear_noise(self) -> LinearNoise:
        """Fluctuations around the curve at this d, and the shift of their mean: see hdlimit.finite_size.linear_noise.

        Raises: NotAvailable for sign features with a covariance that is not diagonal, and where E eps^4 is infinite and
        the residual map unbounded.
        """
        return linear_noise(self)

    @cached_property
    def _spread(self) -> FloatArray:
        return linear_noise(self, shifted=False).spread(self.time)

    @cached_property
    def spread(self) -> FloatArray:
        """Predicted standard deviation of the risk of one run at this d, shape (T,).

        sd(R) = sqrt(lambda^T P lambda)/2, P the covariance of the modes in linear noise. Measured against 4000 runs:
        within 3 % at d = 200 and 1000, 5 % at d = 40 without noise. Raises: NotAvailable where it does not exist (E
        eps^4 infinite) or is not known (sign features, K not diagonal). Warns: ValidityWarning where it exceeds 0.3 of
        the risk, beyond which fluctuations are not linear; `spread_trusted` says where.
        """
        spread = self._spread
        wide = spread > TRUSTED * self.risk
        if wide.any():
            warnings.warn(
                f"spread: above {TRUSTED:g} of the risk from t = {self.time[wide][0]:.3g} on: fluctuations are not "
                "small there, and linear noise is a rough guide only",
                ValidityWarning,
                stacklevel=2,
            )
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
        Raises: as linear_noise.
        """
        corrected: FloatArray = self.risk + self.linear_noise.shift(self.time)
        return corrected

    @cached_property
    def _squares(self) -> Callable[[FloatArray], FloatArray]:
        if self.dense.start.shape[1] == 3:
            return lambda t: np.maximum(np.stack([self.dense(t, 1), self.dense(t, 2)]), 0.0)
        return pair_squares(self)

    def squares(self, t: Any) -> FloatArray:
        """norm(delta)^2 and norm(K delta)^2 at any times in [0, end], shape (2, n)."""
        return self._squares(self._times(t))

    @property
    def distance(self) -> FloatArray:
        """norm(delta)^2 at every time, shape (T,)."""
        distance: FloatArray = self.squares(self.time)[0]
        return distance

    @property
    def gradient_norm(self) -> FloatArray:
        """Norm of the population gradient, norm(K delta) (its root mean square), shape (T,).

        A logged mini-batch gradient is longer: its mean square is about tr K (2R + Var eps)/B.
        """
        norm: FloatArray = np.sqrt(self.squares(self.time)[1])
        return norm

    @property
    def clipped_fraction(self) -> FloatArray:
        """Probability that a step at t clips the gradient, P(r_1^2 + ... + r_B^2 > (c B)^2), shape (T,).

        Raises: NotAvailable for optimizers that do not clip.
        """
        return self.clipped_at(self.time)

    def clipped_at(self, t: Any) -> FloatArray:
        """The clipped fraction at any times in [0, end]; the shape of t, (1,) for a number."""
        if not residual_map(self.optimizer).clips:
            raise NotAvailable(f"clipped_fraction: for optimizers that clip, not for {self.optimizer!r}")
        noise, size, c = self.problem.noise, self.optimizer.batch_size, self.optimizer.threshold_schedule
        times = np.atleast_1d(self._times(t))
        values = [clipped_fraction(noise, 2 * float(self.at(x)), float(c(x)), size) for x in times.flat]
        return np.reshape(values, times.shape)

    def efficiency(self, times: Any = None) -> Efficiency:
        """The efficiencies of SGD, clip and sign at the noise and the risk of the curve.

        times: in [0, end], shape (T,), None for 40 of the curve's own times, evenly spread over its list. Returns: an
        Efficiency with arrays of shape (T,). Raises: InvalidInput; NotAvailable.
        """
        if times is None:
            times = self.time[np.unique(np.linspace(0, self.time.size - 1, 40).astype(int))]
        return efficiency(self.problem.noise, 2 * self.at(checks.array("times", times, 1)), self.optimizer.batch_size)

    def columns(self) -> dict[str, Any]:
        """The columns of a file: time, samples, risk, distance, gradient norm, and the spread where there is one."""
        table = super().columns()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ValidityWarning)
                return table | {"spread": self.spread}
        except NotAvailable:
            return table

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the risk as a line; returns the Axes."""
        return plot_curve(self, ax, **style)
