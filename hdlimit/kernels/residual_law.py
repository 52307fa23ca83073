"""The density of a mixture of normal laws and its score, safe in the far tails."""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.jit import INTEGERS, VECTOR, jit, void

# Terms smaller than exp(-45) = 3e-20 of the largest change no bit of a sum.
NEGLIGIBLE = 45.0


@jit(void(VECTOR, VECTOR, VECTOR, VECTOR, INTEGERS, INTEGERS, VECTOR, VECTOR))
def mixture_score(
    u: np.ndarray,
    log_weight: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    log_density: np.ndarray,
    score: np.ndarray,
) -> None:
    """Return log p(u) and -p'(u)/p(u) for p = sum_k w_k N(mean_k, variance_k), variance_k > 0.

    log_weight: log(w_k/sqrt(2 pi variance_k)), the shape of mean and variance; first, last: the terms first <= k < last
    count at every u; log_density, score: overwritten, the shape of u. Sums of terms of one sign wherever the mixture
    has one centre.
    """
    for i in range(u.size):
        largest = -math.inf
        for k in range(first[i], last[i]):
            x = u[i] - mean[k]
            largest = max(largest, log_weight[k] - x * x / (2.0 * variance[k]))
        total, slope = 0.0, 0.0
        for k in range(first[i], last[i]):
            x = u[i] - mean[k]
            exponent = log_weight[k] - x * x / (2.0 * variance[k]) - largest
            if exponent > -NEGLIGIBLE:
                term = math.exp(exponent)
                total += term
                slope += term * x / variance[k]
        log_density[i] = largest + math.log(total)
        score[i] = slope / total
