"""Slow, obviously right twins of parts of the package, written from the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdlimit.declaration import FloatArray
from hdlimit.optimizers import ClippedSGD, Optimizer, SignSGD
from hdlimit.problem import Problem


def simulated_run(
    problem: Problem, optimizer: Optimizer, steps: int, seed: int, run: int, factor: FloatArray | None = None
) -> FloatArray:
    """Excess risk of one run after 0, 1, ..., steps steps, from theta, x and y themselves.

    The random numbers are the simulator's. Child `run` of SeedSequence(seed) has two children, which seed an SFC64
    generator each, for features and for noise. Every step takes B x d normals in C order (one row a sample), turned
    into features by sqrt(K_ii) or by a given factor F with F F^T = K, or B row numbers where the problem has rows.
    Noise is drawn from the law in blocks of B times min(4096, 2^19/(d B)) values, whole numbers, at least B.
    """
    child = np.random.SeedSequence(seed, spawn_key=(run,))
    features, noise = (np.random.Generator(np.random.SFC64(s)) for s in child.spawn(2))
    d, batch, k = problem.dimension, optimizer.batch_size, problem.covariance.matrix
    target = np.full(d, d**-0.5) if problem.target is None else problem.target
    theta = np.zeros(d) if problem.start is None else np.array(problem.start)
    block = max(1, min(4096, 2**19 // (d * batch))) * batch
    pending: list[float] = []
    risk = [(theta - target) @ k @ (theta - target) / 2]
    for step in range(steps):
        if problem.rows is not None:
            rows = features.integers(0, len(problem.rows.x), batch)
            x, eps = problem.rows.x[rows], problem.rows.noise[rows]
        else:
            z = features.standard_normal((batch, d))
            x = z * np.sqrt(np.diagonal(k)) if factor is None else z @ factor.T
            if not pending:
                pending = list(problem.noise.sample(noise, block))
            eps, pending = np.array(pending[:batch]), pending[batch:]
        y = x @ target + eps
        gradient = sum(((x[j] @ theta - y[j]) * x[j] for j in range(batch)), np.zeros(d)) / batch
        theta = theta - optimizer.lr_schedule(step / d) / d * _update(optimizer, gradient, step / d, np.trace(k))
        risk.append((theta - target) @ k @ (theta - target) / 2)
    return np.array(risk)


def _update(optimizer: Optimizer, gradient: FloatArray, t: float, trace: float) -> Any:
    if isinstance(optimizer, ClippedSGD):
        norm, longest = np.linalg.norm(gradient), optimizer.threshold_schedule(t) * np.sqrt(trace)
        return gradient * (longest / norm) if norm > longest else gradient
    return np.sign(gradient) if isinstance(optimizer, SignSGD) else gradient
