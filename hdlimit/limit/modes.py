"""Modes: what the data does.

    G^(1/2) K G^(1/2) = Q diag(lambda) Q^T,   w = Q^T G^(-1/2) delta,   m_i = E w_i^2,
    C = Q^T G^(-1/2) K_g G^(-1/2) Q,          c_i = C_ii.

The limit only needs the rates lambda_i, the diffusions c_i/d, the initial m_i(0), and the linear functionals of m
that are read off: v = sum lambda_i m_i first. Modes of equal rate are added up, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hdlimit.core.backend import symmetric_eigen
from hdlimit.core.declaration import BoolArray, FloatArray
from hdlimit.limit.feature_maps import FEATURES, FeatureMap
from hdlimit.limit.moments import MomentSystem
from hdlimit.problem.covariance import CovarianceModel


@dataclass(frozen=True, eq=False)
class Basis:
    """The modes of a covariance and a feature map, before a start is chosen.

    moving: mask of the coordinates with K_ii > 0, shape (d,); rate: lambda, shape (n,); gain: diagonal of G, shape
    (n,); vectors: Q, shape (n, n), None for the identity; noise: C/d, shape (n, n), or its diagonal (n,) where C is
    diagonal.
    """

    moving: BoolArray
    rate: FloatArray
    gain: FloatArray
    vectors: FloatArray | None
    noise: FloatArray

    def coordinates(self, delta: FloatArray) -> FloatArray:
        """Return w = Q^T G^(-1/2) delta over the moving coordinates, shape (n,)."""
        w = delta[self.moving] / np.sqrt(self.gain)
        projected: FloatArray = w if self.vectors is None else self.vectors.T @ w
        return projected


@lru_cache(maxsize=8)
def basis(covariance: CovarianceModel, features: str) -> Basis:
    """Return the modes of a covariance under a feature map of FEATURES, by a symmetric eigendecomposition."""
    moving, g = covariance.variances > 0, FEATURES[features]
    gain = g.gain(covariance.variances[moving])
    if covariance.diagonal is not None:
        rate = gain * covariance.diagonal[moving]
        noise = g.variance(covariance.diagonal[moving]) / gain / covariance.dimension
        return Basis(moving, rate, gain, None, noise)
    return _full_basis(covariance.matrix[np.ix_(moving, moving)], g, gain, moving, covariance.dimension)


def _full_basis(k: FloatArray, g: FeatureMap, gain: FloatArray, moving: BoolArray, dimension: int) -> Basis:
    root = np.sqrt(gain)
    rate, vectors = symmetric_eigen(root[:, None] * k * root)
    rate = np.where(rate > 1e-13 * rate.size * rate[-1], rate, 0.0)
    if g.linear:
        return Basis(moving, rate, gain, vectors, rate / dimension)
    noise = vectors.T @ ((g.covariance(k) / (root[:, None] * root)) @ vectors) / dimension
    return Basis(moving, rate, gain, vectors, noise)


def mode_system(covariance: CovarianceModel, features: str, delta: FloatArray) -> MomentSystem:
    """Return the modes of a problem that starts at error delta, shape (d,)."""
    b = basis(covariance, features)
    m = b.coordinates(delta) ** 2
    diffusion = b.noise if b.noise.ndim == 1 else np.diagonal(b.noise)
    if b.vectors is None or FEATURES[features].linear:
        functionals = np.stack([b.rate, b.gain, b.rate**2 / b.gain])
        rest = float((delta[~b.moving] ** 2).sum())
    else:
        functionals, rest = b.rate[None, :], 0.0
    return _merged(b.rate, diffusion, m, functionals, rest)


def modes_of_nodes(
    value: FloatArray, count: FloatArray, square: FloatArray, features: str, dimension: int, rest: float
) -> MomentSystem:
    """Return the modes of a diagonal covariance whose variances are known by value and count.

    There are `count` variances at every value > 0, and squared start errors that sum to `square` there, all of shape
    (n,); `rest` is the squared start error at variance 0.
    """
    g = FEATURES[features]
    gain = g.gain(value)
    rate = gain * value
    functionals = np.stack([rate, gain, rate**2 / gain])
    return _merged(rate, count * g.variance(value) / gain / dimension, square / gain, functionals, rest)


def _merged(
    rate: FloatArray, diffusion: FloatArray, m: FloatArray, functionals: FloatArray, rest: float
) -> MomentSystem:
    """Add up modes of equal rate; their functionals, the rate first, are equal too.

    `rest` is a distance that never changes.
    """
    way = -1 if (rate[1:] < rate[:-1]).all() else 1
    rate, diffusion, m, functionals = rate[::way], diffusion[::way].copy(), m[::way].copy(), functionals[:, ::way]
    if not (rate[1:] > rate[:-1]).all():
        _, first, group = np.unique(rate, return_index=True, return_inverse=True)
        diffusion, m = (np.bincount(group, values, first.size).astype(np.float64) for values in (diffusion, m))
        functionals = functionals[:, first]
    functionals = np.ascontiguousarray(functionals)
    if rest > 0:
        diffusion, m = np.append(diffusion, 0.0), np.append(m, rest)
        functionals = np.column_stack([functionals, [0.0, 1.0, 0.0]])
    return MomentSystem(functionals[0], diffusion, m, functionals)
