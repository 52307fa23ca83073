"""What verify compares beside the risk: predicted, measured, and how far the limit may be off.

distance: norm(delta)^2. gradient_norm: norm(K delta)^2, whose mean the limit gives. clipped_fraction: the share of
clipped steps between one test time and the next (the first from 0).
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.finite_size.bias import difference
from hdlimit.finite_size.exact_mean import exact_bias
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.piecewise import explicit
from hdlimit.prediction.curve import Curve
from hdlimit.response.clipping import clipped_fraction
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import MapResponse
from hdlimit.response.step_moments import overlap
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.verification.power import allowance_is_exact

QUANTITIES = ("risk", "distance", "gradient_norm", "clipped_fraction")
# Midpoints a window at which the clipped fraction is averaged: quadrature error against time. Chosen, not measured.
POINTS = 8
# Relative change of v in the difference quotients of the share's bias: their truncation error, of order BEND^2, against
# the rounding error of the share. Chosen, not measured.
BEND = 0.02


def predicted(curve: Curve, steps: FloatArray, quantity: str = "risk") -> FloatArray:
    """Return the limit of a quantity after given numbers of steps.

    Parameters
    ----------
    curve : Curve
        The prediction.
    steps : ndarray, shape (T,)
        Numbers of steps.
    quantity : str
        One of QUANTITIES.

    Returns
    -------
    ndarray, shape (T,)
        The quantity.
    """
    t = np.minimum(steps / curve.problem.dimension, curve.end)
    if quantity == "risk":
        return curve.at(t)
    if quantity == "clipped_fraction":
        return _shares(curve, steps)
    squares: FloatArray = curve.squares(t)[0 if quantity == "distance" else 1]
    return squares


def _shares(curve: Curve, steps: FloatArray) -> FloatArray:
    """Average the clipped fraction over the steps of every window, cut where a schedule jumps."""
    d = curve.problem.dimension
    schedules = curve.optimizer.lr_schedule, curve.optimizer.control_schedule
    knots = np.concatenate([explicit(schedule, curve.horizon, 1 / d).knots for schedule in schedules])
    edges = np.unique(np.concatenate([[0.0], steps, np.ceil(knots[knots * d < steps[-1]] * d)]))
    length = np.diff(edges)
    middle = edges[:-1, None] + length[:, None] * (np.arange(POINTS) + 0.5) / POINTS
    share = curve.clipped_at(np.minimum(middle.ravel() / d, curve.end)).reshape(middle.shape).mean(axis=1)
    window = np.searchsorted(steps, edges[1:])
    average: FloatArray = np.bincount(window, share * length) / np.bincount(window, length)
    return average


def measured(runs: Ensemble, steps: FloatArray, quantity: str = "risk") -> FloatArray:
    """Return a quantity of every run, recorded at these numbers of steps among others.

    Parameters
    ----------
    runs : Ensemble
        The runs.
    steps : ndarray, shape (T,)
        Numbers of steps.
    quantity : str
        One of QUANTITIES.

    Returns
    -------
    ndarray, shape (runs, T)
        The quantity.
    """
    recorded = np.rint(runs.time * runs.problem.dimension)
    at = np.searchsorted(recorded, steps)
    values = runs.observable(quantity).values
    if quantity == "gradient_norm":
        values = values**2
    if quantity != "clipped_fraction":
        result: FloatArray = values[:, at]
        return result
    length = np.diff(recorded, prepend=0.0)
    clipped = np.concatenate([np.zeros((runs.runs, 1)), np.cumsum(values * length, axis=1)[:, at]], axis=1)
    return np.asarray(np.diff(clipped, axis=1) / np.diff(steps, prepend=0.0))


def rounding(values: FloatArray, steps: FloatArray, quantity: str) -> FloatArray:
    """Return a least standard error: of the predicted share of clipped steps for independent steps, 0 otherwise.

    Parameters
    ----------
    values : ndarray, shape (T,)
        The predicted quantity.
    steps : ndarray, shape (T,)
        Numbers of steps.
    quantity : str
        One of QUANTITIES.

    Returns
    -------
    ndarray, shape (T,)
        Of one run.
    """
    if quantity != "clipped_fraction":
        return np.zeros(values.size)
    return np.asarray(np.sqrt(values * (1 - values) / np.diff(steps, prepend=0.0)))


def allowance(curve: Curve, steps: FloatArray, quantity: str = "risk") -> FloatArray:
    """Return |mean of runs - limit| after given numbers of steps, as far as it is known.

    Parameters
    ----------
    curve : Curve
        The prediction.
    steps : ndarray, shape (T,)
        Numbers of steps.
    quantity : str
        One of QUANTITIES.

    Returns
    -------
    ndarray, shape (T,)
        The allowance.

    Notes
    -----
    The risk of SGD up to d = 2000: hdlimit.finite_size.exact_mean.exact_bias, which does not know the curve (with the
    exact mean less the curve, a wrong curve would be its own excuse). Otherwise the bias of order 1/d
    (hdlimit.finite_size.bias), for identity features and for sign features with a diagonal covariance. For sign
    features with a full covariance the share (1 + B/2)/D of the quantity, D = (tr K)^2/tr(K^2), a measured bound:
    examples/sign_bias.py measures the bias over rotated and Wishart covariances, four noise laws, d = 100 and 200; its
    mean over the curve is between -1.6 and +1.7 times 1/D for B = 1, and at most 2.8 +- 0.3 times 1/D for B = 4.
    """
    t = np.minimum(steps / curve.problem.dimension, curve.end)
    if allowance_is_exact(curve.problem, curve.optimizer, quantity):
        return np.abs(exact_bias(curve.problem, curve.optimizer, steps))
    try:
        noise = curve.linear_noise
    except NotAvailable:
        if FEATURES[curve.optimizer.features].linear:
            raise
        share = (1 + curve.optimizer.batch_size / 2) / curve.problem.covariance.smooth_dimension
        bound: FloatArray = share * predicted(curve, steps, quantity)
        return bound
    if quantity == "risk":
        return np.abs(noise.shift(t))
    if quantity == "clipped_fraction":
        bias = np.abs([_share_bias(curve, x) for x in np.concatenate([[t[0] / 2], t])])
        larger: FloatArray = np.maximum(bias[1:], bias[:-1])
        return larger
    shift: FloatArray = np.abs(noise.dense(t, 2 if quantity == "distance" else 3))
    return shift


def _share_bias(curve: Curve, t: float) -> float:
    """Return the bias of the clipped fraction at one time, to first order in 1/d.

    It is made of the shift and variance of v, and the true norm of the gradient, as in hdlimit.finite_size.bias.
    """
    problem, size = curve.problem, curve.optimizer.batch_size
    noise, trace = curve.linear_noise, problem.covariance.trace
    variance = 2 / problem.covariance.smooth_dimension
    v, c = 2 * float(curve.at(t)), float(curve.optimizer.control_schedule(t))
    if v <= 0 or c == math.inf:
        return 0.0
    h, k = difference(variance), BEND

    def share(wider: float, q: float) -> float:
        return clipped_fraction(problem.noise, v * wider, c / math.sqrt(q), size)

    middle, low, high = share(1.0, 1.0), share(1 - k, 1.0), share(1 + k, 1.0)
    short, long = share(1.0, 1 - h), share(1.0, 1 + h)
    slope_q = (long - short) / (2 * h)
    wider_q = (share(1 + k, 1 + h) - share(1 + k, 1 - h)) / (2 * h)
    tilt = float(curve.squares(np.array([t]))[1, 0]) / (v * trace)
    shared = v * overlap(MapResponse(CLIP, problem.noise, size), v)
    of_norm = variance * (long - 2 * middle + short) / (2 * h * h) + tilt * (
        shared * slope_q + 2 * (wider_q - slope_q) / k
    )
    at = np.array(t)
    of_v = float(noise.dense(at, 1)) * (high - low) / (2 * k * v)
    return of_norm + of_v + float(noise.dense(at, 0)) * (high - 2 * middle + low) / (2 * k * k * v * v)
