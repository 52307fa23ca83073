"""Bins of modes for linear noise, and whether it exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.modes import basis
from hdlimit.limit.system import Limit
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.problem import Problem

# Bins of modes for linear noise: their covariance costs the square of their number. Chosen, not measured.
BINS = 48


@dataclass(frozen=True, eq=False)
class NoiseModes:
    """Bins of modes whose fluctuations are followed.

    Attributes
    ----------
    rate : ndarray, shape (n,)
        lambda > 0 of each bin.
    single : ndarray, shape (n,)
        c of one mode of it.
    diffusion : ndarray, shape (n,)
        b = (sum of c)/d.
    start : ndarray, shape (n,)
        M(0) = sum of m_i(0).
    fourth : ndarray, shape (n,)
        Sum of m_i(0)^2.
    count : ndarray, shape (n,)
        Modes in each bin.
    functionals : ndarray, shape (3, n)
        Weights of v, norm(delta)^2 and norm(K delta)^2.
    """

    rate: FloatArray
    single: FloatArray
    diffusion: FloatArray
    start: FloatArray
    fourth: FloatArray
    count: FloatArray
    functionals: FloatArray


def noise_modes(problem: Problem, optimizer: Optimizer, bins: int = BINS) -> NoiseModes:
    """Put the modes of a problem into geometric bins of the rate; those of rate 0 do not enter R.

    A bin keeps lambda c and lambda m(0) summed over its modes.

    Parameters
    ----------
    problem, optimizer
        As in predict.
    bins : int, default 48
        Most bins.

    Returns
    -------
    NoiseModes
        The bins.

    Raises
    ------
    NotAvailable
        For sign features with a covariance that is not diagonal, whose modes do not diffuse independently.
    """
    rate, m, noise, gain, each = _modes_and_counts(problem, optimizer.features)
    distinct, group = np.unique(rate, return_inverse=True)
    if distinct.size > bins:
        edges = np.geomspace(rate.min() * (1 - 1e-12), rate.max() * (1 + 1e-12), bins + 1)
        _, group = np.unique(np.searchsorted(edges, rate, side="right"), return_inverse=True)

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(group, values * each).astype(np.float64)

    mean, count = total(rate * noise) / total(noise), total(np.ones(rate.size))
    single = problem.dimension * total(rate * noise) / (count * mean)
    weighted, fourth = total(rate * m) / mean, total((rate * m) ** 2) / mean**2
    weights = np.stack([mean, total(noise * gain) / total(noise), total(noise * rate**2 / gain) / total(noise)])
    return NoiseModes(mean, single, total(noise), weighted, fourth, count, weights)


def _modes_and_counts(
    problem: Problem, features: str
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray | float]:
    """Rate > 0, m(0), c/d and gain of single modes, and how many there are of each."""
    if problem.uniform and (nodes := problem.covariance.nodes) is not None:
        g, d = FEATURES[features], problem.dimension
        gain = g.gain(nodes.value)
        return gain * nodes.value, 1 / (d * gain), g.variance(nodes.value) / gain / d, gain, nodes.mass
    b = basis(problem.covariance, features)
    if b.noise.ndim == 2:
        raise NotAvailable(
            "spread: known for sign features with a diagonal covariance only; simulate(...).spread measures it"
        )
    w, moving = b.coordinates(problem.initial_error), b.rate > 0
    return b.rate[moving], w[moving] ** 2, b.noise[moving], b.gain[moving], 1.0


def check_spread(limit: Limit) -> None:
    """Raise NotAvailable where single runs have no finite variance."""
    if not limit.has_spread:
        raise NotAvailable(
            f"spread: E eps^4 is infinite for {limit.response.noise!r}, so that single runs have no finite variance; "
            "their mean curve exists"
        )
