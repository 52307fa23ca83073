"""Kernels of the simulator: draw samples, form the mean gradient, apply an update. No theory.

Every kernel works on delta = theta - theta*, in which the residual of a sample is r = <x, delta> - eps.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.core.jit import MATRIX, READ, READ_INTEGERS, READ_MATRIX, VECTOR, float64, int64, jit, npy_rng, void

_SUMS = {"reassoc", "contract"}  # sums may be reordered, so that loops over coordinates use vector instructions
_TILE_ROWS, _TILE_COLUMNS = 48, 512  # of the right factor of a product: 192 KB

# Beyond it a residual or a value of a table stands for infinity (optimizers.residual_table.LARGEST).
LARGEST = 1e100

_UPDATE = int64(VECTOR, READ, float64, float64)
# Entries of a memory: beta, 1 - dampening, whether the step looks ahead (nesterov), whether the buffer has begun; from
# the fifth on it is the buffer.
BETA, KEPT, AHEAD, BEGUN, BUFFER = range(5)

GRADIENT, CLIPPED_GRADIENT, SIGNED_GRADIENT, SIGNED_FEATURES = range(4)


class Steps(NamedTuple):
    """The last arguments of the kernels that take n steps, in their order.

    These are advance_rows, advance_diagonal and, without the memory, eigenspaces.advance_blocks.

    noise: eps of every sample, shape (n B,); step: eta/d, (n,); control: max_norm, or the level at which the table is
    read, (n,); update: one of the numbers above; table: psi as `read_table` takes it, empty for psi(r) = r; stop: as in
    core.backend; memory: as above, (BUFFER + d,), overwritten, empty without momentum.
    """

    noise: FloatArray
    step: FloatArray
    control: FloatArray
    update: int
    table: FloatArray
    stop: Any
    memory: FloatArray


@jit(_UPDATE)
def descend(delta: FloatArray, gradient: FloatArray, step: float, max_norm: float) -> int:
    """Set delta to delta - step * gradient. Returns 0."""
    for i in range(delta.size):
        delta[i] -= step * gradient[i]
    return 0


@jit(float64(READ, float64), fastmath=_SUMS)
def clip_factor(gradient: FloatArray, max_norm: float) -> float:
    """max_norm over the norm of a gradient that is longer, 1 for others."""
    square = 0.0
    for i in range(gradient.size):
        square += gradient[i] * gradient[i]
    norm: float = square**0.5
    return max_norm / norm if norm > max_norm else 1.0


@jit(_UPDATE, fastmath=_SUMS)
def descend_clipped(delta: FloatArray, gradient: FloatArray, step: float, max_norm: float) -> int:
    """Set delta to delta - step * gradient, the gradient scaled to norm max_norm where it is longer.

    Returns 1 if it was, else 0.
    """
    factor = clip_factor(gradient, max_norm)
    for i in range(delta.size):
        delta[i] -= step * factor * gradient[i]
    return int(factor < 1.0)


@jit(_UPDATE)
def descend_signed(delta: FloatArray, gradient: FloatArray, step: float, max_norm: float) -> int:
    """Set delta to delta - step * sign(gradient) coordinate by coordinate, sign(0) = 0. Returns 0."""
    for i in range(delta.size):
        delta[i] -= step * (int(gradient[i] > 0.0) - int(gradient[i] < 0.0))
    return 0


@jit(void(VECTOR, READ, float64, float64, VECTOR))
def descend_remembering(
    delta: FloatArray, gradient: FloatArray, step: float, factor: float, memory: FloatArray
) -> None:
    """Put a gradient times a factor into the buffer, and set delta to delta - step * what the memory makes of both."""
    beta, kept, ahead = memory[BETA], memory[KEPT] if memory[BEGUN] != 0.0 else 1.0, memory[AHEAD] != 0.0
    memory[BEGUN] = 1.0
    buffer = memory[BUFFER:]
    for i in range(delta.size):
        g = factor * gradient[i]
        buffer[i] = beta * buffer[i] + kept * g
        delta[i] -= step * (g + beta * buffer[i] if ahead else buffer[i])


@jit(int64(int64, VECTOR, READ, float64, float64, VECTOR), forceinline=True)
def apply_update(
    update: int, delta: FloatArray, gradient: FloatArray, step: float, max_norm: float, memory: FloatArray
) -> int:
    """Change delta by the update with the given number, which reaches a kernel much faster than a function does.

    Returns 1 if the gradient was clipped, else 0.
    """
    if memory.size > 0:
        factor = clip_factor(gradient, max_norm) if update == CLIPPED_GRADIENT else 1.0
        descend_remembering(delta, gradient, step, factor, memory)
        return int(factor < 1.0)
    if update == CLIPPED_GRADIENT:
        return descend_clipped(delta, gradient, step, max_norm)
    if update == SIGNED_GRADIENT:
        return descend_signed(delta, gradient, step, max_norm)
    return descend(delta, gradient, step, max_norm)


@jit(float64(float64, float64, READ))
def read_table(residual: float, level: float, table: FloatArray) -> float:
    """psi(r; s) of a table (optimizers.ResidualTable.flat): linear in r and in log s, constant outside.

    residual: r; level: s; table: m, n, log s of m levels, n residuals, and m x n values of psi.
    """
    m, n = int(table[0]), int(table[1])
    levels, residuals = table[2 : 2 + m], table[2 + m : 2 + m + n]
    y = math.log(level) if level > 0.0 else levels[0]
    y = min(max(y, levels[0]), levels[m - 1])
    r = min(max(residual, residuals[0]), residuals[n - 1])
    j = min(max(np.searchsorted(levels, y, side="right") - 1, 0), m - 2)
    i = min(max(np.searchsorted(residuals, r, side="right") - 1, 0), n - 2)
    across = (y - levels[j]) / (levels[j + 1] - levels[j])
    end = 1 if residuals[i] < -LARGEST else 0  # of the piece: the near one
    along = (r - residuals[i + end]) / (residuals[i + 1] - residuals[i])
    low = 2 + m + n + j * n + i
    first = table[low + end] + along * (table[low + 1] - table[low])
    second = table[low + n + end] + along * (table[low + n + 1] - table[low + n])
    value: float = first + across * (second - first)
    return value


@jit(float64(READ, READ, float64, READ, float64), fastmath=_SUMS)
def mapped_residual(delta: FloatArray, x: FloatArray, noise: float, table: FloatArray, level: float) -> float:
    """psi(<x, delta> - eps) for one sample x with noise eps.

    table, level: psi as a table and where to read it; an empty table is psi(r) = r.
    """
    residual = -noise
    for i in range(delta.size):
        residual += x[i] * delta[i]
    return read_table(residual, level, table) if table.size > 0 else residual


@jit(void(VECTOR, READ, READ, float64, float64, READ, float64, int64), fastmath=_SUMS)
def add_gradient(
    gradient: FloatArray, delta: FloatArray, x: FloatArray, noise: float, weight: float, table: FloatArray,
    level: float, update: int,
) -> None:  # fmt: skip
    """Return gradient <- gradient + weight * psi(<x, delta> - eps) g(x); the rest as in mapped_residual.

    g(x) is sign(x), coordinate by coordinate, for the update SIGNED_FEATURES, and x for the others.
    """
    residual = weight * mapped_residual(delta, x, noise, table, level)
    if update == SIGNED_FEATURES:
        for i in range(delta.size):
            gradient[i] += residual * (int(x[i] > 0.0) - int(x[i] < 0.0))
        return
    for i in range(delta.size):
        gradient[i] += residual * x[i]


@jit(int64(VECTOR, READ_MATRIX, READ_INTEGERS, VECTOR, READ, READ, READ, int64, READ, READ_INTEGERS, VECTOR))
def advance_rows(
    delta: FloatArray, x: FloatArray, rows: Any, gradient: FloatArray, noise: FloatArray, step: FloatArray,
    control: FloatArray, update: int, table: FloatArray, stop: Any, memory: FloatArray,
) -> int:  # fmt: skip
    """Take n steps on given rows: step k uses the rows x[rows[k B : (k + 1) B]] and the noise of the same places.

    delta: shape (d,), overwritten; x: (anything, d); rows: (n B,); gradient: scratch, (d,); the rest as in Steps.
    Returns the number of steps whose gradient was clipped.
    """
    batch, clipped = rows.size // step.size, 0
    for k in range(step.size):
        gradient[:] = 0.0
        for j in range(k * batch, (k + 1) * batch):
            if stop[0] != 0:
                return -1
            add_gradient(gradient, delta, x[rows[j]], noise[j], 1.0 / batch, table, control[k], update)
        clipped += apply_update(update, delta, gradient, step[k], control[k], memory)
    return clipped


@jit(void(VECTOR, npy_rng, READ), inline="always")
def draw_normals(x: FloatArray, generator: Any, deviation: FloatArray) -> None:
    """x_i <- deviation_i N(0, 1), independent, one after the other."""
    for i in range(x.size):
        x[i] = deviation[i] * generator.standard_normal()


@jit(int64(VECTOR, npy_rng, READ, VECTOR, VECTOR, READ, READ, READ, int64, READ, READ_INTEGERS, VECTOR))
def advance_diagonal(
    delta: FloatArray, generator: Any, deviation: FloatArray, gradient: FloatArray, x: FloatArray, noise: FloatArray,
    step: FloatArray, control: FloatArray, update: int, table: FloatArray, stop: Any, memory: FloatArray,
) -> int:  # fmt: skip
    """Take n steps on independent normal features x_i = deviation_i N(0, 1), drawn sample after sample.

    delta: shape (d,), overwritten; generator: of the normals; deviation: (d,); gradient, x: scratch, (d,); the rest as
    in Steps. Returns the number of steps whose gradient was clipped.
    """
    batch, clipped = noise.size // step.size, 0
    for k in range(step.size):
        # One sample is the gradient itself.
        if batch == 1 and update != SIGNED_FEATURES:
            draw_normals(x, generator, deviation)
            residual = mapped_residual(delta, x, noise[k], table, control[k])
            for i in range(delta.size):
                x[i] *= residual
            clipped += apply_update(update, delta, x, step[k], control[k], memory)
            continue
        # A batch is added up.
        gradient[:] = 0.0
        for j in range(k * batch, (k + 1) * batch):
            if stop[0] != 0:
                return -1
            draw_normals(x, generator, deviation)
            add_gradient(gradient, delta, x, noise[j], 1.0 / batch, table, control[k], update)
        clipped += apply_update(update, delta, gradient, step[k], control[k], memory)
    return clipped


@jit(void(MATRIX, READ_MATRIX, READ_MATRIX), fastmath={"contract"})
def product(x: FloatArray, z: FloatArray, f: FloatArray) -> None:
    """Return x <- z f, for an even number of rows of z and a multiple of 4 columns.

    About two thirds of the speed of one BLAS thread; unlike BLAS a row has the same bits whatever the number of rows
    and of threads, and calls from several threads do not wait for each other.
    """
    columns = x.shape[1]
    x[:] = 0.0
    for left in range(0, columns, _TILE_COLUMNS):
        right = min(left + _TILE_COLUMNS, columns)
        for top in range(0, z.shape[1], _TILE_ROWS):
            for i in range(0, z.shape[0], 2):
                x0, x1 = x[i, left:right], x[i + 1, left:right]
                for k in range(top, min(top + _TILE_ROWS, z.shape[1]), 4):
                    a0, a1, a2, a3 = z[i, k], z[i, k + 1], z[i, k + 2], z[i, k + 3]
                    b0, b1, b2, b3 = z[i + 1, k], z[i + 1, k + 1], z[i + 1, k + 2], z[i + 1, k + 3]
                    f0, f1 = f[k, left:right], f[k + 1, left:right]
                    f2, f3 = f[k + 2, left:right], f[k + 3, left:right]
                    for j in range(right - left):
                        g0, g1, g2, g3 = f0[j], f1[j], f2[j], f3[j]
                        x0[j] += a0 * g0 + a1 * g1 + a2 * g2 + a3 * g3
                        x1[j] += b0 * g0 + b1 * g1 + b2 * g2 + b3 * g3


@jit(float64(READ, READ), fastmath=_SUMS)
def diagonal_form(k: FloatArray, delta: FloatArray) -> float:
    """delta^T diag(k) delta."""
    total = 0.0
    for i in range(delta.size):
        total += k[i] * delta[i] * delta[i]
    return total


@jit(float64(READ_MATRIX, READ), fastmath=_SUMS)
def matrix_form(k: FloatArray, delta: FloatArray) -> float:
    """delta^T K delta for a symmetric K, of which the lower triangle is read."""
    total = 0.0
    for i in range(delta.size):
        row = 0.0
        for j in range(i):
            row += k[i, j] * delta[j]
        total += delta[i] * (2.0 * row + k[i, i] * delta[i])
    return total


@jit(void(VECTOR, READ_MATRIX, READ), fastmath=_SUMS)
def matrix_times(product: FloatArray, k: FloatArray, delta: FloatArray) -> None:
    """Return product <- K delta; unlike with BLAS the bits do not depend on the number of threads."""
    for i in range(delta.size):
        total = 0.0
        for j in range(delta.size):
            total += k[i, j] * delta[j]
        product[i] = total


@jit(float64(READ), fastmath=_SUMS)
def norm(vector: FloatArray) -> float:
    """Euclidean norm, without overflow or underflow on the way."""
    largest, total = 0.0, 0.0
    for i in range(vector.size):
        largest = max(largest, abs(vector[i]))
    if not 0.0 < largest < math.inf:
        return largest
    for i in range(vector.size):
        total += (vector[i] / largest) ** 2
    return largest * math.sqrt(total)
