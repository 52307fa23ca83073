"""Where the simulator's samples (x, eps) come from: Gaussian features with a diagonal or a full K, or actual rows.

A sampler holds what all runs share; `draw` makes one block of consecutive steps of one run, which then advances that
run's delta = theta - theta*. Features and noise have a generator each, and what is drawn depends on the problem, the
batch size and the step alone: not on how many runs there are or where they are computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hdlimit.core import checks
from hdlimit.core.backend import check_stop, stop_flag, symmetric_eigen
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem.covariance import Covariance
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.simulation.kernels import steps as stream

_BLOCK_NUMBERS = 2**19  # features of a block: 4 MB
# Steps of a chunk at most, so that Ctrl-C and divergence are seen soon.
_LONGEST_BLOCK = 4096
# Multiplications between two looks at whether the study has ended early: some tenths of a second. Chosen, not measured.
_BREATH = 2**29


def block_steps(dimension: int, batch_size: int) -> int:
    """Return the number of steps in a block: as many as 4 MB of features hold, from 1 to 4096."""
    return max(1, min(_LONGEST_BLOCK, _BLOCK_NUMBERS // (dimension * batch_size)))


@dataclass(frozen=True, eq=False)
class Rule:
    """What is done with the samples of a block.

    update: number of the update; step: eta/d, shape (steps,); control: max_norm, or the level at which a table is
    read, (steps,); table: of the residual map (optimizers.ResidualTable.flat), empty for psi(r) = r; memory: as in
    stream.Steps, overwritten.
    """

    update: int
    step: FloatArray
    control: FloatArray
    table: FloatArray = field(default_factory=lambda: np.empty(0))
    memory: FloatArray = field(default_factory=lambda: np.empty(0))

    def steps(self, noise: FloatArray, part: slice) -> stream.Steps:
        """Return what the kernels take, for a part of the steps and the noise of its samples."""
        return stream.Steps(
            noise, self.step[part], self.control[part], self.update, self.table, stop_flag(), self.memory
        )


class Block(Protocol):
    """The samples of consecutive steps of one run, to be used up in order."""

    def advance(self, state: FloatArray, rule: Rule, first: int, last: int) -> int:
        """Take the steps first, ..., last - 1 of the block: changes delta, or what stands for it, in place.

        Returns the number of steps whose gradient was clipped.
        """


class Sampler(Protocol):
    """Source of the samples of every run."""

    @property
    def width(self) -> int:
        """Coordinates of a sample, which block_steps goes by."""

    @property
    def step_seconds(self) -> float:
        """About what a step costs."""

    def scratch(self) -> FloatArray:
        """Room to work in, for `draw`: made once a run, as new memory of this size costs as much as it is used for."""

    def draw(self, features: np.random.Generator, noise: np.random.Generator, steps: int, scratch: FloatArray) -> Block:
        """Return the samples of the next `steps` steps, at most block_steps, of the run with these two generators."""


@dataclass(frozen=True, eq=False)
class _Rows:
    x: FloatArray
    rows: NDArray[np.int64]
    noise: FloatArray
    batch_size: int
    scratch: FloatArray

    def advance(self, state: FloatArray, rule: Rule, first: int, last: int) -> int:
        part, samples = slice(first, last), slice(first * self.batch_size, last * self.batch_size)
        steps = rule.steps(self.noise[samples], part)
        return stream.advance_rows(state, self.x, self.rows[samples], self.scratch[0], *steps)


@dataclass(frozen=True, eq=False)
class _Diagonal:
    generator: np.random.Generator
    deviation: FloatArray
    noise: FloatArray
    batch_size: int
    scratch: FloatArray

    def advance(self, state: FloatArray, rule: Rule, first: int, last: int) -> int:
        part, samples = slice(first, last), slice(first * self.batch_size, last * self.batch_size)
        steps = rule.steps(self.noise[samples], part)
        return stream.advance_diagonal(state, self.generator, self.deviation, self.scratch[0], self.scratch[1], *steps)


@dataclass(frozen=True, eq=False)
class DiagonalSampler:
    """x_i = deviation_i N(0, 1), independent: d normals a sample, drawn in the kernel in the order (step, sample, i).

    deviation: sqrt(K_ii), shape (d,); noise: law of eps; batch_size: B.
    """

    deviation: FloatArray
    noise: NoiseLaw
    batch_size: int

    @property
    def width(self) -> int:
        """Coordinates of a sample, which block_steps goes by."""
        return self.deviation.size

    @property
    def step_seconds(self) -> float:
        """About what a step costs."""
        return 7e-9 * self.width * self.batch_size

    def scratch(self) -> FloatArray:
        """Room to work in, for `draw`."""
        return np.empty((2, self.width))

    def draw(self, features: np.random.Generator, noise: np.random.Generator, steps: int, scratch: FloatArray) -> Block:
        """Return the samples of the next `steps` steps."""
        values = block_of_noise(self.noise, noise, self.width, self.batch_size)
        return _Diagonal(features, self.deviation, values, self.batch_size, scratch)


@dataclass(frozen=True, eq=False)
class FullSampler:
    """x = F z with z ~ N(0, I): d normals a sample, drawn in the order (step, sample, i).

    factor: F^T with F F^T = K, shape (d, d), and rows of zeros below up to a multiple of 4; noise: law of eps;
    batch_size: B.
    """

    factor: FloatArray
    noise: NoiseLaw
    batch_size: int

    @property
    def width(self) -> int:
        """Coordinates of a sample, which block_steps goes by."""
        width: int = self.factor.shape[1]
        return width

    @property
    def step_seconds(self) -> float:
        """About what a step costs."""
        return (7e-9 + 2e-10 * self.width) * self.width * self.batch_size

    def scratch(self) -> FloatArray:
        """Room to work in, for `draw`."""
        return np.empty((1, self.width))

    def draw(self, features: np.random.Generator, noise: np.random.Generator, steps: int, scratch: FloatArray) -> Block:
        """Return the samples of the next `steps` steps."""
        count, d = steps * self.batch_size, self.width
        z = np.zeros((count + count % 2, self.factor.shape[0]))
        z[:count, :d] = features.standard_normal((count, d))
        x = np.empty((z.shape[0], d))
        at_once = max(2, _BREATH // self.factor.size // 2 * 2)
        for first in range(0, len(z), at_once):
            check_stop()
            stream.product(x[first : first + at_once], z[first : first + at_once], self.factor)
        values = block_of_noise(self.noise, noise, d, self.batch_size)
        return _Rows(x, np.arange(count), values, self.batch_size, scratch)


@dataclass(frozen=True, eq=False)
class RowSampler:
    """Actual rows, drawn uniformly with replacement, each with its own noise.

    x: shape (n, d); noise: y - <x, theta*> of every row, shape (n,); batch_size: B.
    """

    x: FloatArray
    noise: FloatArray
    batch_size: int

    @property
    def width(self) -> int:
        """Coordinates of a sample, which block_steps goes by."""
        width: int = self.x.shape[1]
        return width

    @property
    def step_seconds(self) -> float:
        """About what a step costs."""
        return 1e-9 * self.width * self.batch_size

    def scratch(self) -> FloatArray:
        """Room to work in, for `draw`."""
        return np.empty((1, self.width))

    def draw(self, features: np.random.Generator, noise: np.random.Generator, steps: int, scratch: FloatArray) -> Block:
        """Return the samples of the next `steps` steps."""
        rows = features.integers(0, self.x.shape[0], steps * self.batch_size)
        return _Rows(self.x, rows, self.noise[rows], self.batch_size, scratch)


def block_of_noise(law: NoiseLaw, generator: np.random.Generator, dimension: int, batch_size: int) -> FloatArray:
    """Noise for a whole block, however few of its steps are taken: a longer horizon then continues the same run."""
    size = block_steps(dimension, batch_size) * batch_size
    return np.ascontiguousarray(law.sample(generator, size), dtype=np.float64)


def factor(matrix: FloatArray) -> FloatArray:
    """F = Q sqrt(lambda) with F F^T = K, shape (d, d), for K = Q diag(lambda) Q^T, singular or not."""
    values, vectors = _eigen(matrix)
    return vectors * np.sqrt(values)


def in_eigenbasis(problem: LeastSquares) -> LeastSquares:
    """Return the same problem, without its rows, in the coordinates Q^T theta, K = Q diag(lambda) Q^T.

    With x = F z, F = Q sqrt(lambda), its features sqrt(lambda) z are made of the same normals z.
    """
    values, vectors = _eigen(problem.covariance.matrix)
    error = vectors.T @ problem.initial_error
    return replace(problem, covariance=Covariance(values), target=np.zeros_like(error), start=error, rows=None)


def _eigen(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, vectors = symmetric_eigen(matrix)
    return np.maximum(values, 0.0), vectors


def choose_rows(problem: LeastSquares, rows: str | None) -> str:
    """Where features come from: "data" or "gaussian"; None: "data" where the problem has rows."""
    if rows is None:
        return "gaussian" if problem.rows is None else "data"
    chosen = checks.one_of("rows", rows, ("data", "gaussian"))
    if chosen == "data" and problem.rows is None:
        raise InvalidInput("rows", "'gaussian', as the problem has no rows (Problem.from_data keeps them)", "'data'")
    return chosen


def _padded(matrix: FloatArray) -> FloatArray:
    rows, columns = matrix.shape
    padded = np.zeros((-(-rows // 4) * 4, columns))
    padded[:rows] = matrix
    return padded


def sampler_of(problem: LeastSquares, batch_size: int, rows: str) -> Sampler:
    """Return the sampler of a problem.

    Parameters
    ----------
    problem : Problem
        The problem.
    batch_size : int
        B.
    rows : {"data", "gaussian"}
        Its actual rows, or Gaussian x with its K and noise from its law.

    Raises
    ------
    InvalidInput
        If the rows are not finite or do not have the d features of K.
    """
    if rows == "gaussian":
        variances = problem.covariance.diagonal
        if variances is not None:
            return DiagonalSampler(np.sqrt(variances), problem.noise, batch_size)
        return FullSampler(_padded(factor(problem.covariance.matrix).T), problem.noise, batch_size)
    assert problem.rows is not None
    x, noise = (np.ascontiguousarray(a, dtype=np.float64) for a in (problem.rows.x, problem.rows.noise))
    if not (x.ndim == 2 and x.shape[1] == problem.dimension and noise.shape == x.shape[:1] and x.size):
        expected = f"rows of {problem.dimension} features and one noise value a row"
        raise InvalidInput("problem.rows", expected, f"shapes {x.shape} and {noise.shape}")
    if not (np.isfinite(x).all() and np.isfinite(noise).all()):
        raise InvalidInput("problem.rows", "finite rows", "entries that are NaN or inf")
    return RowSampler(x, noise, batch_size)
