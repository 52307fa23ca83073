"""Feature maps: what the optimizer makes of x, coordinate by coordinate.

A feature map g enters the limit through G = diag(E[g(x_i) x_i]/K_ii) and K_g = E g(x) g(x)^T, for x ~ N(0, K).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hdlimit.core.declaration import FloatArray


@dataclass(frozen=True)
class FeatureMap:
    """A coordinate-wise feature map.

    gain: diagonal of G from the variances K_ii > 0, shape (d,); covariance: K_g from K, both (d, d); variance:
    diagonal of K_g from the variances; linear: g(x) = x.
    """

    gain: Callable[[FloatArray], FloatArray]
    covariance: Callable[[FloatArray], FloatArray]
    variance: Callable[[FloatArray], FloatArray]
    linear: bool


def _sign_covariance(k: FloatArray) -> FloatArray:
    s = 1 / np.sqrt(np.diagonal(k))
    correlation = np.clip(k * s * s[:, None], -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return 2 / np.pi * np.arcsin(correlation)


FEATURES: dict[str, FeatureMap] = {
    "identity": FeatureMap(np.ones_like, lambda k: k, lambda variances: variances, linear=True),
    "sign": FeatureMap(
        lambda variances: np.sqrt(2 / (np.pi * variances)), _sign_covariance, np.ones_like, linear=False
    ),
}
