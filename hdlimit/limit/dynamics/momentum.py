"""SGD and clipped SGD with a buffer of gradients: two numbers a mode, the error and the average y of gradients.

With beta = 1 - zeta/d, eta = lr (1 - dampening)/(1 - beta) and y = buffer (1 - beta)/(1 - dampening),

    d delta = -eta y dt,   dy = zeta (g - y) dt.

Steps of one d: heavy ball delta+ = delta - lr (g + beta buffer), nesterov
delta+ = delta - lr ((1 + beta) g + beta^2 buffer), buffer+ = beta buffer + g.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.limit.compression import compressed
from hdlimit.limit.moments import MomentSystem
from hdlimit.optimizers.base import Memory, Optimizer
from hdlimit.problem.covariance import CovarianceModel
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.problem.spectral_measure import Compression

# Modes up to which the Jacobian of a rest point is written down: 1200 x 1200. Chosen, not measured.
MOST_MODES = 400


class First(NamedTuple):
    """What the first gradient depends on: (mu, nu) of v and the control, the batch size, the control at t = 0."""

    response: Callable[[float, float], tuple[float, float]]
    batch: int
    control: float


def moments(
    problem: LeastSquares, optimizer: Optimizer, compress: bool | float
) -> tuple[MomentSystem, Compression | None]:
    """Return the moment system of an optimizer with a buffer, and what was done to the spectrum.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        One with a memory and identity features.
    compress : bool or float
        As hdlimit.limit.compression.compressed has it.

    Returns
    -------
    tuple of MomentSystem and Compression or None
        With v, norm(delta)^2 and norm(K delta)^2 as functionals; `begun` puts the first gradient in.
    """
    memory = optimizer.memory
    assert memory is not None
    modes, done = compressed(problem, optimizer.features, compress)
    return with_memory(modes, memory, problem.dimension), done


def with_memory(modes: MomentSystem, memory: Memory, dimension: int) -> MomentSystem:
    """Return (delta, y) on modes of one number, y at 0."""
    functionals = np.hstack([modes.functionals, np.zeros((modes.functionals.shape[0], 2 * modes.size))])
    zeta, block = dimension * (1 - memory.momentum), np.zeros((2, 6))
    block[0, [3, 5]] = -zeta, zeta
    block[1, 1] = -memory.gain
    start = np.concatenate([modes.start, np.zeros(2 * modes.size)])
    return MomentSystem(modes.rate, modes.diffusion, start, np.ascontiguousarray(functionals), block)


def begun(modes: MomentSystem, memory: Memory | None, first: First, dimension: int) -> MomentSystem:
    """Return the modes with what the first gradient leaves in y beyond the share of later ones.

    PyTorch's first buffer is the whole first gradient g: with dampening y becomes g w/(1 - dampening), w = 1 - beta,
    where a later gradient adds w g, which is part of the integral.
    """
    if memory is None or memory.dampening == 0:
        return modes
    n, w = modes.size, 1 - memory.momentum
    share = w / (1 - memory.dampening)
    mu, nu = first.response(modes.v, first.control)
    pull = mu * modes.rate * modes.start[:n]
    square = nu * modes.diffusion * dimension + (1 + 1 / first.batch) * mu * modes.rate * pull
    return replace(modes, start=np.concatenate([modes.start[:n], (share - w) * pull, (share**2 - w**2) * square]))


def feedback(memory: Memory, x: FloatArray) -> FloatArray:
    """Return B q of modes with x = lr (1 - dampening) lambda/d: what one sample's noise feeds back, exact at this d.

    calK = sum q/(1 - q) < 1 where the mean square is stable; inf beyond the edge of the full batch.
    """
    beta = memory.momentum
    if memory.nesterov:
        room = (1 - beta + beta * x) * (2 * (1 + beta) - (1 + 2 * beta) * x)
        top = x * (1 + beta + beta * x + 2 * beta**2 * x)
    else:
        room, top = (1 - beta) * (2 * (1 + beta) - x), x * (1 + beta)
    found: FloatArray = np.divide(top, room, out=np.full(x.shape, np.inf), where=room > 0)
    return found


def kernel_norm(memory: Memory, covariance: CovarianceModel, lr: float, batch: float) -> float:
    """Return calK at this d for psi(r) = r: the risk settles at E eps^2 calK/(2 (1 - calK)), and grows from 1 on."""
    values, counts = covariance.counted
    share = feedback(memory, lr * (1 - memory.dampening) / covariance.dimension * values)
    if not share.max(initial=0.0) < batch:
        return math.inf
    return float(counts @ (share / (batch - share))) if batch < math.inf else 0.0


def critical(memory: Memory, covariance: CovarianceModel, batch: int) -> float:
    """Return the lr at which calK = 1 at this d, for psi(r) = r."""
    return _root(lambda lr: kernel_norm(memory, covariance, lr, batch), 2 * batch / memory.gain)


def critical_batch(memory: Memory, covariance: CovarianceModel, lr: float) -> float:
    """Return the smallest batch size with calK < 1 at this d, inf where there is none."""
    if kernel_norm(memory, covariance, lr, 1.0) < 1:
        return 1.0
    if kernel_norm(memory, covariance, lr, math.inf) > 0:
        return math.inf
    root = 1 / _root(lambda inverse: kernel_norm(memory, covariance, lr, 1 / inverse), 1.0)
    return float(math.floor(root * (1 + 1e-12)) + 1)


def _root(norm: Callable[[float], float], start: float) -> float:
    """Return x with norm(x) = 1 for an increasing function that is 0 at 0."""
    from scipy.optimize import brentq

    high = start
    while norm(high) < 1:
        high *= 2
    low = high / 2
    while norm(low) >= 1:
        low /= 2
    # 1/norm falls to 0 where the norm is infinite.
    return float(brentq(lambda x: 1 / max(norm(x), 1e-300) - 1, low, min(high, 2 * low), xtol=1e-300, rtol=1e-14))


def steady_share(modes: MomentSystem, lr: float, mu: float) -> float:
    """Return v over nu of the limit at rest under a constant lr and mu > 0."""
    assert modes.block is not None
    m11, m12, m21, m22, w1, w2 = modes.block[0] + lr * modes.block[1]
    moving = modes.rate > 0
    pull = mu * modes.rate[moving]
    a11, a21 = m11 + pull * w1, m21 + pull * w2
    trace, det = a11 + m22, a11 * m22 - m12 * a21
    share = modes.diffusion[moving] * (det * w1**2 + (m22 * w1 - m12 * w2) ** 2) / (-2 * trace * det)
    return float(modes.functionals[0, : modes.size][moving] @ share)


def time_scale(
    modes: MomentSystem, lr: float, response: tuple[float, float], mu_slope: float, nu_slope: float
) -> float:
    """Return tau of the slowest motion around the rest point, from the Jacobian of all moments.

    response: (mu, nu) there; mu_slope, nu_slope: their derivatives in v. Of more than MOST_MODES modes bins are taken.
    """
    assert modes.block is not None
    (mu, nu), (m11, m12, m21, m22, w1, w2) = response, modes.block[0] + lr * modes.block[1]
    moving = np.flatnonzero(modes.rate > 0)
    moving = moving[np.unique(np.linspace(0, moving.size - 1, MOST_MODES).round().astype(int))]
    rate, noise = modes.rate[moving], modes.diffusion[moving] * (modes.rate > 0).sum() / moving.size
    n, one = rate.size, np.eye(rate.size)
    a11, a21 = m11 + mu * rate * w1, m21 + mu * rate * w2
    trace, det = a11 + m22, a11 * m22 - m12 * a21
    below, source = -2 * trace * det, nu * noise
    s11 = source * (det * w1 * w1 + (m22 * w1 - m12 * w2) ** 2) / below
    s12 = source * (det * w1 * w2 + (m22 * w1 - m12 * w2) * (a11 * w2 - a21 * w1)) / below
    jacobian = np.block([
        [np.diag(2 * a11), 2 * m12 * one, 0 * one],
        [np.diag(a21), np.diag(a11 + m22), m12 * one],
        [0 * one, np.diag(2 * a21), 2 * m22 * one],
    ])  # fmt: skip
    pull = mu_slope * rate
    through_v = np.concatenate([
        2 * pull * w1 * s11 + nu_slope * noise * w1 * w1,
        pull * (w2 * s11 + w1 * s12) + nu_slope * noise * w1 * w2,
        2 * pull * w2 * s12 + nu_slope * noise * w2 * w2,
    ])  # fmt: skip
    jacobian[:, :n] += np.outer(through_v, modes.functionals[0, moving])
    return float(-1 / np.linalg.eigvals(jacobian).real.max())
