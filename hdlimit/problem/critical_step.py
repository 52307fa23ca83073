"""Critical step and batch of SGD at finite dimension, from the spectrum alone."""

from __future__ import annotations

import math

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.covariance import CovarianceModel


def _spectrum(covariance: CovarianceModel) -> tuple[FloatArray, FloatArray | float]:
    """Eigenvalues > 0 in ascending order, and how many there are of each."""
    if (nodes := covariance.nodes) is not None:
        return nodes.value, nodes.mass
    return covariance.eigenvalues[covariance.eigenvalues > 0], 1.0


def exact_critical_lr(covariance: CovarianceModel, batch_size: int) -> float:
    """The step size above which the mean square of streaming SGD grows, for Gaussian x, at this d.

    Solves sum_i g l_i/(2B - g l_i (B + 1)) = 1 with g = eta/d and g l_max < 2B/(B + 1), l_i the eigenvalues of K.
    Source: derivations/steady.py.
    """
    values, count = _spectrum(covariance)
    values = values / covariance.norm
    beyond = _root_beyond(count * values, (batch_size + 1) * (values[-1] - values))
    inverse = (batch_size + 1) * float(values[-1]) + beyond  # 2B/g
    return 2 * batch_size / inverse * covariance.dimension / covariance.norm


def exact_critical_batch(covariance: CovarianceModel, lr: float) -> float:
    """The smallest batch size at which the mean square of streaming SGD does not grow, for Gaussian x, at this d.

    sum_i g l_i/(2B - g l_i (B + 1)), g = lr/d, falls with B; it is below 1 from this integer on. inf for g l_max >= 2,
    where even the gradient of the population diverges. Source: derivations/steady.py.
    """
    values, count = _spectrum(covariance)
    relative = lr / covariance.dimension * values
    largest = float(relative[-1])
    if largest >= 2 * (1 - 1e-14):
        return math.inf
    distance = 2 * (largest - relative) / ((2 - largest) * (2 - relative))
    root = largest / (2 - largest) + _root_beyond(count * relative / (2 - relative), distance)
    return float(max(math.floor(root) + 1, 1))


def _root_beyond(weight: FloatArray, distance: FloatArray) -> float:
    """The y > 0 with S(y) = sum_i weight_i/(y + distance_i) = 1, weight > 0, distance >= 0, the last of them 0.

    1/S is increasing and concave, so that Newton's steps for it, begun at the last weight, where S >= 1, rise to y.
    """
    y = float(weight[-1])
    for _ in range(100):
        shares = weight / (y + distance)
        total = float(shares.sum())
        step = total * (total - 1) / float((shares / (y + distance)).sum())
        y += step
        if step <= 1e-15 * y:
            break
    return y
