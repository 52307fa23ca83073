"""Optimizers of the sign of the gradient: one moment a mode, sign features.

Under a full covariance norm(delta)^2 and norm(K delta)^2 need the moments of all pairs of modes, which v drives but
which do not act back.
"""

from __future__ import annotations

import numpy as np

from hdlimit.limit.compression import compressed
from hdlimit.limit.modes import basis
from hdlimit.limit.moments import MomentSystem
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.problem.spectral_measure import Compression


def moments(
    problem: LeastSquares, optimizer: Optimizer, compress: bool | float
) -> tuple[MomentSystem, Compression | None]:
    """Return the moment system of an optimizer that follows sign(x), and what was done to the spectrum.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        One with sign features.
    compress : bool or float
        As hdlimit.limit.compression.compressed has it.

    Returns
    -------
    tuple of MomentSystem and Compression or None
        With v as functional, and norm(delta)^2 and norm(K delta)^2 where K is diagonal.
    """
    return compressed(problem, optimizer.features, compress)


def pair_moments(problem: LeastSquares, optimizer: Optimizer) -> MomentSystem:
    """All second moments W_ij = E w_i w_j (i <= j) as modes of rate (lambda_i + lambda_j)/2.

    W is linear given v(t), dW/dt = -eta mu (Lambda W + W Lambda) + eta^2 nu C/d, so that norm(delta)^2 = tr(Q^T G Q
    W) and norm(K delta)^2 = tr(Lambda Q^T G^-1 Q Lambda W) are functionals of these n (n + 1)/2 modes. For full
    covariances.
    """
    b = basis(problem.covariance, optimizer.features)
    assert b.vectors is not None
    w = b.coordinates(problem.initial_error)
    i, j = np.triu_indices(b.rate.size)
    twice = np.where(i == j, 1.0, 2.0)
    q, rate = b.vectors, b.rate
    squared_norm = q.T @ (b.gain[:, None] * q)
    squared_gradient = rate[:, None] * (q.T @ (q / b.gain[:, None])) * rate
    functionals = np.stack([np.where(i == j, rate[i], 0.0), twice * squared_norm[i, j], twice * squared_gradient[i, j]])
    noise = b.noise if b.noise.ndim == 2 else np.diag(b.noise)
    return MomentSystem((rate[i] + rate[j]) / 2, noise[i, j], w[i] * w[j], functionals)
