"""What clipping at a threshold does: clipped fraction, gain in rate, the threshold of largest gain."""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.closed_loop import ClipResponse
from hdlimit.response.efficiency import share_of_ceiling
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import MapResponse
from hdlimit.response.squared_norm import squared_norm

# Point masses up to which the grid of thresholds is refined around each. Chosen, not measured.
MOST_ATOMS = 40


class BestNow:
    """c*(v) = argmax over c of mu_c^2/nu_c, fast: a grid over every scale of the residual, then Brent's method.

    Relative error of c* about 1e-5, so that of mu^2/nu is about 1e-10; best_threshold is the exact one. inf
    where not clipping is best.
    """

    def __init__(self, noise: NoiseLaw, batch_size: int) -> None:
        second, self.noise, self.batch_size = noise.second_moment, noise, batch_size
        self.reach = max(noise.width, math.sqrt(second) if math.isfinite(second) else 0.0)
        self.exact = ClipResponse(noise, batch_size)

    def gain(self, v: float, c: float) -> float:
        """log(mu_c^2/nu_c)."""
        mu, nu = self.exact(v, c)
        return 2 * math.log(mu) - math.log(nu) if mu > 0 else -math.inf

    def __call__(self, v: float) -> float:
        """c*(v)."""
        from scipy.optimize import minimize_scalar

        grid = self._grid(v)
        gains = [self.gain(v, c) for c in grid]
        best = int(np.argmax(gains))
        bounds = math.log(grid[max(best - 1, 0)]), math.log(grid[min(best + 1, grid.size - 1)])
        found = minimize_scalar(
            lambda y: -self.gain(v, math.exp(y)), bounds=bounds, method="bounded", options={"xatol": 1e-7}
        )
        unclipped = -math.log((v + self.noise.second_moment) / self.batch_size)
        return math.exp(found.x) if -found.fun > unclipped + 1e-9 else math.inf

    def _grid(self, v: float) -> FloatArray:
        s = math.sqrt(v)
        low, high = 0.05 * s / self.batch_size, 10 * (s + self.reach)
        grid = np.geomspace(low, high, math.ceil(math.log(high / low) / (0.25 if self.batch_size == 1 else 0.5)) + 1)
        parts = self.noise.components
        if parts is None or not 0 < np.count_nonzero(parts.mean) <= MOST_ATOMS:
            return grid
        around = np.abs(parts.mean)[:, None] + np.sqrt(v + parts.variance)[:, None] * np.arange(-4.0, 5.0)
        inside = around[(around > low) & (around < high)]
        return np.unique(np.concatenate([grid, inside]))


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
    if batch_size == 1:
        return min(max(1 - MapResponse(CLIP, noise)(v, c)[0], 0.0), 1.0)
    return min(max(1 - squared_norm(noise, batch_size, v).moments((c * batch_size) ** 2).below, 0.0), 1.0)


def rate_gain(noise: NoiseLaw, v: float, c: float, batch_size: int = 1) -> float:
    """Return the CCC value (mu^2/nu) E r^2/B: the best decrease of the risk over SGD's, inf where Var eps is."""
    if math.isinf(c):
        return 1.0
    mu, nu = MapResponse(CLIP, noise, batch_size)(v, c)
    return mu**2 / nu * (v + noise.second_moment) / batch_size
