"""What drives the mean of runs off the limit curve at finite d, to first order in 1/d.

The mean modes of runs are m + x, dx/dt = J x + the sum of (J as in hdlimit.finite_size.linear_noise)

- fluctuations, P the covariance of the modes:
      -2 eta lambda [mu' P lambda + (1/2) mu'' m Var v] + (1/2) eta^2 nu'' b Var v
- steps of 1/d where the limit flows: -m''/(2 d)
- identity features: (eta^2/d) nu_2 lambda^2 m, the part of the gradient along K delta; and, where the norm of the mean
  gradient is clipped, q = norm^2 B^2/(S tr K) in place of 1, which is clipping residuals at c/sqrt(q): mu and nu are
  averaged over q to second order, with its variance 2 tr(K^2)/(tr K)^2, its mean 1 + (norm(K delta)^2/(v tr K)) (E <r,
  z>^2/(v S) - 1), and its dependence on z (for B > 1 to leading order in small and in large noise)
- sign features, diagonal K: E[sign(x_i) psi] to third order in the correlation rho_i of x_i and z, with which mu
  becomes mu + rho_i^2 (B - 2) v mu'/3, rho_i^2 = lambda_i w_i^2/v, B = 1 for a map of every residual. E sign^2 = 1 has
  no correction; the pairs of samples of a map of every residual add (eta^2/d) (1 - 1/B) mu^2 lambda^2 m
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.limit.system import Limit
from hdlimit.response.response import Compiled
from hdlimit.response.step_moments import StepMoments, overlap

# Relative step of v in the difference that gives a slope: rounding and curvature are both below 1e-6. Chosen.
WIDER = 1e-3


class Coefficients(NamedTuple):
    """What a stage needs at one time.

    Attributes
    ----------
    eta, slope : float
        Step size and its slope in t.
    c, v : float
        Threshold and twice the risk.
    mu, nu : tuple of float
        The responses with two derivatives in v.
    moments : StepMoments
        Moments of a step.
    """

    eta: float
    slope: float
    c: float
    v: float
    mu: tuple[float, float, float]
    nu: tuple[float, float, float]
    moments: StepMoments


class Norm(NamedTuple):
    """How mu and nu change with q: mean change of both, d/dq of both at q = 1."""

    mu: float
    nu: float
    mu_q: float
    nu_q: float


@dataclass(frozen=True, eq=False)
class ClippedNorm:
    """The responses at q = 1 -+ h and q = 1, for clipping the true norm of the mean gradient.

    Attributes
    ----------
    limit : Limit
        The mode system and response.
    short, plain, long : Compiled
        The response compiled for thresholds c/sqrt(q), q = 1 - h, 1 and 1 + h.
    variance : float
        Variance of q.
    trace : float
        tr K.
    """

    limit: Limit
    short: Compiled
    plain: Compiled
    long: Compiled
    variance: float
    trace: float

    @classmethod
    def of(
        cls, limit: Limit, variance: float, trace: float, v_range: tuple[float, float], c_range: tuple[float, float]
    ) -> ClippedNorm:
        """Compile the three responses for v and c within ranges."""
        h = difference(variance)
        low, high = c_range
        short, plain, long = (
            limit.response.compiled(v_range, (low / math.sqrt(q), high / math.sqrt(q))).whole()
            for q in (1 - h, 1.0, 1 + h)
        )
        return cls(limit, short, plain, long, variance, trace)

    def _slopes(self, v: float, c: float) -> tuple[FloatArray, FloatArray]:
        """(mu, nu): first and second difference quotients in q."""
        h = difference(self.variance)
        low, middle, high = (
            np.array(f.kernel(v, c / math.sqrt(q), f.parameters))
            for f, q in ((self.short, 1 - h), (self.plain, 1.0), (self.long, 1 + h))
        )
        return (high - low) / (2 * h), (high - 2 * middle + low) / h**2

    def at(self, k: Coefficients, tilt: float) -> Norm:
        """Return the change of mu and nu; tilt: norm(K delta)^2/(v tr K)."""
        if k.c == math.inf:
            return Norm(0.0, 0.0, 0.0, 0.0)
        (mu_q, nu_q), (mu_qq, nu_qq) = self._slopes(k.v, k.c)
        wider, _ = self._slopes(k.v * (1 + WIDER), k.c)
        shared = k.v * overlap(self.limit.response, k.v)
        mu = self.variance * mu_qq / 2 + tilt * (shared * mu_q + 2 * (mu_q + (wider[0] - mu_q) / WIDER))
        nu = self.variance * nu_qq / 2 + tilt * (shared * nu_q + 2 * (wider[1] - nu_q) / WIDER)
        return Norm(mu, nu, mu_q, nu_q)


def difference(variance: float) -> float:
    """Return the step in q of central differences, about the standard deviation of q."""
    return min(max(math.sqrt(variance), 1e-3), 0.3)


def fluctuating(k: Coefficients, rate: FloatArray, b: FloatArray, m: FloatArray, y: FloatArray) -> FloatArray:
    """Return the part of the fluctuations, shape (n,); y = P lambda."""
    variance = float(y @ rate)
    push: FloatArray = -2 * k.eta * rate * (k.mu[1] * y + k.mu[2] * variance * m / 2)
    return push + k.eta**2 * k.nu[2] * variance * b / 2


def identity(
    k: Coefficients, rate: FloatArray, b: FloatArray, m: FloatArray, dimension: int, norm: ClippedNorm | None
) -> FloatArray:
    """Return the parts of identity features, shape (n,); norm: None where the norm of the gradient does not matter."""
    push: FloatArray = k.eta**2 / dimension * k.moments.nu_2 * rate**2 * m
    if norm is None:
        return push
    tilt = float(rate**2 @ m) / (k.v * norm.trace)
    change = norm.at(k, tilt)
    drift = change.mu * m + 2 * change.mu_q / norm.trace * (rate - tilt * norm.trace) * m
    noise: FloatArray = k.eta**2 * b * (change.nu + 2 * change.nu_q * rate / norm.trace)
    return push - 2 * k.eta * rate * drift + noise


def cubic(k: Coefficients, rate: FloatArray, fourth: FloatArray, batch_size: int) -> FloatArray:
    """Return the part of sign features, shape (n,); fourth: sum of E w_i^4 over the modes of each bin."""
    push: FloatArray = -2 * k.eta * rate**2 * fourth * (batch_size - 2) * k.mu[1] / 3
    return push
