"""What clipping at a threshold does: clipped fraction, gain in rate, the threshold of largest gain."""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.batch_law import squared_norm
from hdlimit.response.best_threshold import promising
from hdlimit.response.closed_loop import ERROR, ClipResponse
from hdlimit.response.efficiency import share_of_ceiling
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import MapResponse

# Chebyshev nodes in log c between which log(mu^2/nu) is interpolated.
_X, _FIT = chebyshev.roots(12)[::-1], chebyshev.from_roots(12)[:, ::-1]
# Maxima on the grid that are followed, and how far in log(mu^2/nu) below the largest one may be. Chosen, not measured.
MOST_PEAKS, NEARLY = 3, 0.1
# Point masses up to which the grid of thresholds is refined around each. Chosen, not measured.
MOST_ATOMS = 40


class BestNow:
    """c*(v) = argmax over c of mu_c^2/nu_c, fast: the high peaks on a grid over every scale of the residual, refined.

    Relative error of c* about 1e-5, so that of mu^2/nu is about 1e-10; where (mu, nu) come from a table, of mu^2/nu
    2e-6, and of c* what this leaves at a flat maximum. best_threshold is the exact one. inf where not clipping is best.
    """

    def __init__(self, noise: NoiseLaw, batch_size: int) -> None:
        second, self.noise, self.batch_size = noise.second_moment, noise, batch_size
        self.reach = max(noise.width, math.sqrt(second) if math.isfinite(second) else 0.0)
        self.exact = ClipResponse(noise, batch_size)
        self.error = 1e-9 if self.exact.error <= ERROR else 2 * self.exact.error

    def gain(self, v: float, c: float) -> float:
        """log(mu_c^2/nu_c)."""
        mu, nu = self.exact(v, c)
        return 2 * math.log(mu) - math.log(nu) if mu > 0 else -math.inf

    def gains(self, v: float, c: FloatArray) -> FloatArray:
        """log(mu_c^2/nu_c) at many c in ascending order."""
        mu, nu = self.exact.over(v, c)
        with np.errstate(divide="ignore"):
            found: FloatArray = 2 * np.log(mu) - np.log(nu)
        return np.where(mu > 0, found, -math.inf)

    def __call__(self, v: float) -> float:
        """c*(v)."""
        grid = self._grid(v)
        gains = self.gains(v, grid)
        best = int(np.argmax(gains))
        unclipped = -math.log((v + self.noise.second_moment) / self.batch_size)
        if best and all(abs(gain - unclipped) < self.error for gain in gains[best - 1 : best + 2]):
            return math.inf
        found = (self._near(v, grid, top) for top in _peaks(gains))
        y, gain = max(found, key=lambda pair: pair[1])
        return math.exp(y) if gain > unclipped + self.error else math.inf

    def _near(self, v: float, grid: FloatArray, top: int) -> tuple[float, float]:
        """(log c, gain) at the maximum between the neighbours of a threshold of the grid."""
        ends = math.log(grid[max(top - 1, 0)]), math.log(grid[min(top + 1, grid.size - 1)])
        return self._by_polynomial(v, *ends) if self.batch_size > 1 else self._by_brent(v, *ends)

    def _by_brent(self, v: float, low: float, high: float) -> tuple[float, float]:
        """(log c, gain) at the maximum between two log c."""
        from scipy.optimize import minimize_scalar

        options = {"xatol": 1e-7}
        found = minimize_scalar(
            lambda y: -self.gain(v, math.exp(y)), bounds=(low, high), method="bounded", options=options
        )
        return float(found.x), -float(found.fun)

    def _by_polynomial(self, v: float, low: float, high: float) -> tuple[float, float]:
        """Return the same from few thresholds, halving the interval until a polynomial is right at its maximum."""
        for _ in range(6):
            gains = self.gains(v, np.exp((low + high) / 2 + (high - low) / 2 * _X))
            fit = np.polynomial.Chebyshev(_FIT @ gains, domain=[low, high])
            fine = np.linspace(low, high, 401)
            top = int(np.argmax(fit(fine)))
            near = fit.deriv().roots()
            inside = near.real[(np.abs(near.imag) < 1e-6) & (np.abs(near.real - fine[top]) <= (high - low) / 200)]
            y = float(max(inside, key=fit)) if inside.size else float(fine[top])
            gain = self.gain(v, math.exp(y))
            if abs(gain - fit(y)) < max(1e-7, self.error):
                break
            middle, quarter = y, (high - low) / 4
            low, high = max(low, middle - quarter), min(high, middle + quarter)
        return y, gain

    def _grid(self, v: float) -> FloatArray:
        s = math.sqrt(v)
        root = math.sqrt(self.batch_size)
        low, high = 0.05 * s / root, 10 * (s + self.reach) / root
        if self.batch_size == 1:
            grid = np.geomspace(low, high, math.ceil(math.log(high / low) / 0.25) + 1)
        else:  # thresholds that every v shares
            grid = np.exp(0.5 * np.arange(math.floor(2 * math.log(low)), math.ceil(2 * math.log(high)) + 1))
        radius, spread = self._masses(v)
        around = radius[:, None] + spread[:, None] * np.arange(-4.0, 5.0)
        inside = around[(around > low) & (around < high)]
        return np.unique(np.concatenate([grid, inside]))

    def _masses(self, v: float) -> tuple[FloatArray, FloatArray]:
        """Return thresholds where few point masses may put a maximum, and the width of each."""
        parts, size, none = self.noise.components, self.batch_size, np.empty(0)
        if size == 1:
            if parts is None or not 0 < np.count_nonzero(parts.mean) <= MOST_ATOMS:
                return none, none
            return np.abs(parts.mean), np.sqrt(v + parts.variance)
        few = squared_norm(self.noise, size, v).few
        if few is None:
            return none, none
        radius = few.radius[promising(few.radius, few.weight, size)[-MOST_ATOMS:]] / size
        return radius, np.full(radius.size, few.s / size)


def _peaks(gains: FloatArray) -> list[int]:
    """Return the maxima of gains on a grid that may be the largest between its points, at most MOST_PEAKS."""
    low = np.full(1, -math.inf)
    padded = np.concatenate([low, gains, low])
    peaks = np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:]))
    order = peaks[np.argsort(gains[peaks])[::-1]][:MOST_PEAKS]
    return [int(k) for k in order if gains[k] >= gains[order[0]] - NEARLY]


def heuristic_scale(noise: NoiseLaw) -> float:
    """Scale s of the heuristic: the standard deviation of the noise about 0, or its width where that is infinite."""
    second = noise.second_moment
    return math.sqrt(second) if math.isfinite(second) else noise.width


def efficiency(noise: NoiseLaw, v: float, c: float, batch_size: int = 1) -> float:
    """mu^2/(nu B I_F) of the clip at c: the share of the fastest possible decrease of the risk that it reaches."""
    return share_of_ceiling(noise, v, *MapResponse(CLIP, noise, batch_size)(v, c), batch_size)


def clipped_fraction(noise: NoiseLaw, v: float, c: float, batch_size: int = 1) -> float:
    """Probability that a step is clipped: 1 - mu for B = 1, P(S > (c B)^2) for the mean gradient."""
    if math.isinf(c):
        return 0.0
    if (c * batch_size) ** 2 == 0:
        return 1.0
    if batch_size == 1:
        return min(max(1 - MapResponse(CLIP, noise)(v, c)[0], 0.0), 1.0)
    return min(max(1 - squared_norm(noise, batch_size, v).moments((c * batch_size) ** 2).below, 0.0), 1.0)


def rate_gain(noise: NoiseLaw, v: float, c: float, batch_size: int = 1) -> float:
    """Return the CCC value (mu^2/nu) E r^2/B: the best decrease of the risk over SGD's, inf where Var eps is."""
    if math.isinf(c):
        return 1.0
    mu, nu = MapResponse(CLIP, noise, batch_size)(v, c)
    return mu**2 / nu * (v + noise.second_moment) / batch_size
