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
from hdlimit.limit.quadratic_forms import noise_scales, of_largest, quadratic_forms, share
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

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: not what was made on the way, functions among it."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

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

    @cached_property
    def _cubes(self) -> Callable[[FloatArray], FloatArray]:
        return quadratic_forms(self, [lambda eigenvalues: eigenvalues**3], True)

    def noise_scales(self, t: Any) -> FloatArray:
        """Return both gradient noise scales at any times, in samples.

        Parameters
        ----------
        t : array_like, shape (n,)
            Times in [0, `end`].

        Returns
        -------
        ndarray, shape (2, n)
            `noise_scale` and `hessian_noise_scale`.

        Raises
        ------
        InvalidInput
            If a time is outside [0, `end`].

        Notes
        -----
        For Gaussian x the gradient r x of a sample has mean K delta and covariance p K + K delta delta^T K with
        p = 2R + E eps^2. With A_k = delta^T K^k delta the scales are (p tr K + A_2)/A_2 and (p tr K^2 + A_3)/A_3: inf
        where E eps^2 is, and where the gradient vanishes.
        """
        times = self._times(t)
        signal = np.stack([self._squares(times)[1], self._cubes(times)[0]])
        return noise_scales(self.problem, self.at(times), signal)

    @property
    def noise_scale(self) -> FloatArray:
        """Gradient noise scale tr Sigma/norm(G)^2 of a sample's gradient with mean G, in samples, shape (T,).

        "B_simple" of McCandlish et al. (2018). It is inf where E eps^2 is infinite.
        """
        scale: FloatArray = self.noise_scales(self.time)[0]
        return scale

    @property
    def hessian_noise_scale(self) -> FloatArray:
        """Gradient noise scale tr(K Sigma)/(G^T K G), weighted with the Hessian K, in samples, shape (T,).

        The critical batch of McCandlish et al. (2018): one step with this batch, at the lr that is best for it, lowers
        the risk half as much as one along the population gradient. It is inf where E eps^2 is infinite.
        """
        scale: FloatArray = self.noise_scales(self.time)[1]
        return scale

    def alignment(self, k: int, t: Any = None) -> FloatArray:
        """Return the share of the squared population gradient in the top k eigenvectors of K.

        Parameters
        ----------
        k : int
            From 1 to d.
        t : array_like, shape (n,), optional
            Times in [0, `end`]; those of the curve if omitted.

        Returns
        -------
        ndarray
            sum_(i <= k) lambda_i^2 m_i / sum_i lambda_i^2 m_i, the eigenvalues in descending order and m_i the mean
            square of delta along eigenvector i; of eigenvalues that equal the k-th, a share is counted. 1 where the
            gradient vanishes.

        Raises
        ------
        InvalidInput
            If k is not from 1 to d, or a time is outside [0, `end`].
        NotAvailable
            Where the eigenvalues do not fit into memory.
        """
        top, times = of_largest(self.problem.covariance, k), self.time if t is None else self._times(t)
        part, whole = quadratic_forms(self, [top, np.square], False)(times)
        return share(part, whole)

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
