"""One run as a Markov chain: the state that it starts from, what moves the state, and what is read from it.

The state is delta = theta - theta* itself, or (hdlimit.simulation.eigenspaces) its norm in every eigenspace of K,
which K reads in the
same way: R = sum_b lambda_b rho_b^2 / 2 is delta^T K delta / 2 for delta = rho and K = diag(lambda).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.problem import Problem
from hdlimit.simulation import samplers
from hdlimit.simulation.kernels import steps as stream


@dataclass(frozen=True, eq=False)
class Chain:
    """What every run of a study shares; picklable.

    start: the first state, shape (n,); covariance: K as it reads a state, (n,) for a diagonal one or (n, n); trace: tr
    K; sampler: source of the samples.
    """

    start: FloatArray
    covariance: FloatArray
    trace: float
    sampler: samplers.Sampler

    def risk(self, state: FloatArray) -> float:
        """R = delta^T K delta / 2, inf where it is not finite."""
        return excess_risk(self.covariance, state)

    def distance(self, state: FloatArray) -> float:
        """norm(delta)^2."""
        length = stream.norm(state)
        return length * length

    def gradient_norm(self, state: FloatArray) -> float:
        """norm(K delta)."""
        if self.covariance.ndim == 1:
            return stream.norm(self.covariance * state)
        product = np.empty_like(state)
        stream.matrix_times(product, self.covariance, state)
        return stream.norm(product)


def excess_risk(covariance: FloatArray, delta: FloatArray) -> float:
    """R = delta^T K delta / 2 for K of shape (n, n), or (n,) for a diagonal one; inf where it is not finite."""
    form = (stream.diagonal_form if covariance.ndim == 1 else stream.matrix_form)(covariance, delta)
    return max(form, 0.0) / 2 if math.isfinite(form) else math.inf


def readable(problem: Problem) -> FloatArray:
    """K of a problem as `excess_risk` reads it."""
    covariance = problem.covariance
    return np.ascontiguousarray(covariance.matrix if covariance.diagonal is None else covariance.diagonal)


def direct_chain(problem: Problem, batch_size: int, rows: str, rotates: bool) -> Chain:
    """Return the algorithm itself, in O(d B) a step.

    problem: the problem; batch_size: B; rows: "data" for its actual rows, "gaussian" for Gaussian x; rotates: whether
    the update may be computed in the eigenbasis of K, where Gaussian features are independent.
    """
    if rows == "gaussian" and problem.covariance.diagonal is None and rotates:
        problem = samplers.in_eigenbasis(problem)
    sampler = samplers.sampler_of(problem, batch_size, rows)
    return Chain(np.array(problem.initial_error), readable(problem), problem.covariance.trace, sampler)
