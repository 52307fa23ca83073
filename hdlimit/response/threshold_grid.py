"""Responses of the clipped mean gradient at many thresholds, for searches: pieces in log c, filled when asked for."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import MapResponse

# Length in log c of a piece and its Chebyshev nodes: with these the error stays below 3e-5
# (tests/tuning/test_threshold_tuning.py).
LENGTH, NODES = 0.8, 9
_X = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
_FIT = np.linalg.inv(np.polynomial.chebyshev.chebvander(_X, NODES - 1))
_ORDERS = np.arange(NODES)


class BatchGrid:
    """(mu, nu) of the clip for many thresholds, v by v and piece by piece, kept.

    Parameters
    ----------
    noise : NoiseLaw
        The label noise.
    size : int
        Batch size B >= 2.
    low, high : float
        Logarithms of the least and the largest threshold.
    """

    def __init__(self, noise: NoiseLaw, size: int, low: float, high: float) -> None:
        self.low, self.high = low, high
        self._response = MapResponse(CLIP, noise, size)
        self._piece = lru_cache(maxsize=None)(self._fit)

    def __call__(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu); thresholds outside the range are moved to its ends."""
        place = min(max(math.log(c), self.low), self.high) / LENGTH
        k = math.floor(place)
        mu, nu = np.exp(np.cos(_ORDERS * math.acos(min(max(2 * (place - k) - 1, -1.0), 1.0))) @ self._piece(v, k))
        return float(mu), float(nu)

    def _fit(self, v: float, k: int) -> FloatArray:
        thresholds = np.exp(LENGTH * (k + (1 + _X) / 2))
        values = np.array([self._response(v, c) for c in thresholds.tolist()])
        result: FloatArray = _FIT @ np.log(np.maximum(values, 1e-300))
        return result
