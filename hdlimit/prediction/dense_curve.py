"""What the dense output of a curve gives at any time: risk, distance, gradient norm, clipping, efficiencies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.errors import InvalidInput, NotAvailable, shown
from hdlimit.limit.interpolant import DenseOutput, first_crossing
from hdlimit.limit.pair_moments import pair_squares
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import clipped_fraction
from hdlimit.response.efficiency import Efficiency, efficiency
from hdlimit.response.residual_maps import residual_map

# Beyond every risk of a curve, and twice it is a number.
HIGHEST = 1e300

# Times of the efficiencies when none are given; each takes three responses. Chosen for a readable table.
_EFFICIENCY_TIMES = 40


@known_names
class DenseCurve:
    """Base of Curve: quantities at any time up to its end.

    Attributes
    ----------
    problem, optimizer, horizon, rtol, time, dense
        See `Curve`.
    """

    problem: Problem
    optimizer: Any
    horizon: float
    rtol: float
    time: FloatArray
    dense: DenseOutput

    @property
    def end(self) -> float:
        """The last time reached: the horizon, or the time of divergence."""
        return float(self.dense.knots[-1])

    def at(self, t: Any) -> FloatArray:
        """Return the excess risk at any times, from the dense output.

        Parameters
        ----------
        t : float or array_like
            Times in [0, `end`].

        Returns
        -------
        ndarray, shape of t
            The excess risk.

        Raises
        ------
        InvalidInput
            If a time is outside [0, `end`].
        """
        return np.maximum(self.dense(self._times(t), 0), 0.0) / 2

    def _times(self, t: Any) -> FloatArray:
        times = checks.array("t", t, None)
        if not ((times >= 0).all() and (times <= self.end * (1 + 1e-12)).all()):
            raise InvalidInput("t", f"times between 0 and {self.end:g}, where the curve ends", shown(t, 80))
        return times

    def time_to(self, risk: float) -> float:
        """Return the first time at which the excess risk is at most a given one.

        Parameters
        ----------
        risk : float
            An excess risk.

        Returns
        -------
        float
            The time t = k/d; inf if the curve never reaches the risk.

        Raises
        ------
        InvalidInput
            If `risk` is not a finite number.
        """
        return first_crossing(self.dense, 2 * np.clip(checks.number("risk", risk), -HIGHEST, HIGHEST))

    @cached_property
    def _squares(self) -> Callable[[FloatArray], FloatArray]:
        if self.dense.start.shape[1] == 3:
            return lambda t: np.maximum(np.stack([self.dense(t, 1), self.dense(t, 2)]), 0.0)
        return pair_squares(self)

    def squares(self, t: Any) -> FloatArray:
        """Return the squared distance and the squared norm of the gradient at any times.

        Parameters
        ----------
        t : array_like, shape (n,)
            Times in [0, `end`].

        Returns
        -------
        ndarray, shape (2, n)
            norm(delta)^2 and norm(K delta)^2.

        Raises
        ------
        InvalidInput
            If a time is outside [0, `end`].
        """
        return self._squares(self._times(t))

    @property
    def distance(self) -> FloatArray:
        """Squared distance to the target, norm(delta)^2, at every time, shape (T,)."""
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

        Raises
        ------
        NotAvailable
            For optimizers that do not clip.
        """
        return self.clipped_at(self.time)

    def clipped_at(self, t: Any) -> FloatArray:
        """Return the clipped fraction at any times.

        Parameters
        ----------
        t : float or array_like
            Times in [0, `end`].

        Returns
        -------
        ndarray
            Probability that a step clips the gradient; the shape of t, (1,) for a number.

        Raises
        ------
        InvalidInput
            If a time is outside [0, `end`].
        NotAvailable
            For optimizers that do not clip.
        """
        if not residual_map(self.optimizer).clips:
            raise NotAvailable(f"clipped_fraction: for optimizers that clip, not for {self.optimizer!r}")
        noise, size, c = self.problem.noise, self.optimizer.batch_size, self.optimizer.control_schedule
        times = np.atleast_1d(self._times(t))
        values = [clipped_fraction(noise, 2 * float(self.at(x)), float(c(x)), size) for x in times.flat]
        return np.reshape(values, times.shape)

    def efficiency(self, times: Any = None) -> Efficiency:
        """Return the efficiencies of SGD, clip and sign at the noise and the risk of the curve.

        Parameters
        ----------
        times : array_like, shape (T,), optional
            Times in [0, `end`]; 40 of the curve's own times, evenly spread over its list, if omitted.

        Returns
        -------
        Efficiency
            With arrays of shape (T,).

        Raises
        ------
        InvalidInput
            If a time is outside [0, `end`].
        NotAvailable
            Where an efficiency is not known.
        """
        if times is None:
            times = self.time[np.unique(np.linspace(0, self.time.size - 1, _EFFICIENCY_TIMES).astype(int))]
        return efficiency(self.problem.noise, 2 * self.at(checks.array("times", times, 1)), self.optimizer.batch_size)
