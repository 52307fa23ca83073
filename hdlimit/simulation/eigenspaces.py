"""The exact reduced chain: one number a distinct eigenvalue of K stands for all of delta in its eigenspace.

For Gaussian x and an update made of the gradient alone (no coordinates), the norms rho_b of delta in the eigenspaces
of K are a Markov chain of their own: given the residuals, the gradient in an eigenspace is known along delta and
isotropic across it. A step costs O(n B) in place of O(d B), n the number of distinct eigenvalues, and the law of
the risk, the distance and the gradient norms is that of the algorithm itself, because Gaussian x is
invariant under rotations within an eigenspace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.simulation import samplers
from hdlimit.simulation.kernels import eigenspaces as blocks
from hdlimit.simulation.runs import Chain

# Relative distance below which eigenvalues count as equal: rounding of an eigendecomposition.
SAME = 1e-12


@dataclass(frozen=True, eq=False)
class _Steps:
    generator: np.random.Generator
    sampler: BlockSampler
    noise: FloatArray
    scratch: FloatArray

    def advance(self, state: FloatArray, rule: samplers.Rule, first: int, last: int) -> int:
        part, batch = slice(first, last), self.sampler.batch_size
        steps = rule.steps(self.noise[first * batch : last * batch], part)
        return blocks.advance_blocks(
            state, self.generator, self.sampler.deviation, self.sampler.others, self.scratch, *steps[:-1]
        )


@dataclass(frozen=True, eq=False)
class BlockSampler:
    """What a step needs of the features: normals along delta, chi^2 across it, drawn in the kernel.

    deviation: sqrt(lambda_b) of the eigenvalues > 0, shape (n,); others: n_b - 1, their multiplicities less one, (n,);
    noise: law of eps; batch_size: B.
    """

    deviation: FloatArray
    others: FloatArray
    noise: NoiseLaw
    batch_size: int

    @property
    def width(self) -> int:
        """Coordinates of a sample, which block_steps goes by."""
        return self.deviation.size

    @property
    def step_seconds(self) -> float:
        """About what a step costs."""
        return (8e-9 * self.batch_size + 3e-8) * self.width

    def scratch(self) -> FloatArray:
        """Room to work in, for `draw`."""
        return np.empty((5, self.width))

    def draw(
        self, features: np.random.Generator, noise: np.random.Generator, steps: int, scratch: FloatArray
    ) -> samplers.Block:
        """Return the samples of the next `steps` steps."""
        values = samplers.block_of_noise(self.noise, noise, self.width, self.batch_size)
        return _Steps(features, self, values, scratch)


def block_chain(problem: LeastSquares, batch_size: int) -> Chain:
    """Return the chain of the norms of delta in the eigenspaces of K.

    The largest eigenvalue is first; the norm in the null space, if there is one, comes last and stays.

    problem: Gaussian x with its K and noise from its law; batch_size: B.
    """
    values, multiplicity, length = eigenspaces(problem)
    moving = values > 0
    deviation, others = np.sqrt(values[moving]), (multiplicity[moving] - 1).astype(np.float64)
    sampler = BlockSampler(deviation, others, problem.noise, batch_size)
    return Chain(length, values, problem.covariance.trace, sampler)


def eigenspaces(problem: LeastSquares) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return distinct eigenvalues of K in descending order, multiplicities, and norms of delta(0), each of shape (n,).

    Eigenvalues of a diagonal K are one where they differ by at most 1e-12 of their own size; those of a full K, which
    have rounding errors, where they differ by at most 1e-12 of the largest (and are 0 below that).
    """
    full = problem.covariance.diagonal is None
    if full:
        problem = samplers.in_eigenbasis(problem)
    assert problem.covariance.diagonal is not None
    values, delta = problem.covariance.diagonal, problem.initial_error
    order = np.argsort(-values, kind="stable")
    values, delta = values[order], delta[order]
    margin = SAME * values[0]
    if full:
        values = np.where(values > margin, values, 0.0)
    first = _first_of_groups(values, np.full(values.size, margin) if full else SAME * values)
    multiplicity = np.diff(first, append=values.size)
    scale = float(np.abs(delta).max()) or 1.0
    length = scale * np.sqrt(np.add.reduceat((delta / scale) ** 2, first))
    return np.add.reduceat(values, first) / multiplicity, multiplicity, length


def _first_of_groups(values: FloatArray, margin: FloatArray) -> IntArray:
    """Where groups begin in descending values: at the first value more than its margin below the group's first."""
    ends = np.searchsorted(-values, -(values - margin), side="right")
    first, group = 0, []
    while first < values.size:
        group.append(first)
        first = int(ends[first])
    return np.array(group, dtype=np.int64)
