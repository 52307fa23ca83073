"""The kernel of the exact reduced chain: one length a distinct eigenvalue of K. No theory."""

from __future__ import annotations

import math
from typing import Any

from numba import types

from hdlimit.declaration import FloatArray
from hdlimit.kernels.jit import jit
from hdlimit.kernels.stream import CLIPPED_GRADIENT, read_table

_VECTOR = types.float64[::1]
_READ = types.Array(types.float64, 1, "C", readonly=True)
_MATRIX = types.float64[:, ::1]


@jit(types.int64(_VECTOR, types.npy_rng, _READ, _READ, _READ, _READ, _READ, _MATRIX, types.int64, _READ))
def advance_blocks(
    length: FloatArray,
    generator: Any,
    deviation: FloatArray,
    others: FloatArray,
    noise: FloatArray,
    step: FloatArray,
    control: FloatArray,
    scratch: FloatArray,
    update: int,
    table: FloatArray,
) -> int:
    """Take n steps of the norms rho_b of delta in the eigenspaces of K, for independent normal features.

    With e_b the direction of delta in eigenspace b and xi_jb = <x_j, e_b>/sqrt(lambda_b), the mean gradient has the
    component sqrt(lambda_b) a_b, a_b = (1/B) sum_j psi_j xi_jb, along e_b, and across it n_b - 1 components which,
    given psi, are independent normal of variance lambda_b norm(psi)^2/B^2: their squares add up to a chi^2.

    length: rho, shape (n,) or longer, the first n entries overwritten; generator: of the numbers, a step takes B x n
    normals in C order, then one chi^2 of n_b - 1 degrees for every b with n_b > 1; deviation: sqrt(lambda_b), (n,);
    others: n_b - 1, (n,); noise: (steps B,); step = eta/d and control: (steps,); scratch: (3, n); update, table: as in
    kernels.stream.advance_rows. Returns the number of steps whose gradient was clipped.
    """
    batch, clipped = noise.size // step.size, 0
    xi, along, across = scratch[0], scratch[1], scratch[2]
    for k in range(step.size):
        power = 0.0
        along[:] = 0.0
        for j in range(k * batch, (k + 1) * batch):
            residual = -noise[j]
            for b in range(deviation.size):
                xi[b] = generator.standard_normal()
                residual += deviation[b] * length[b] * xi[b]
            if table.size > 0:
                residual = read_table(residual, control[k], table)
            residual /= batch
            power += residual * residual
            for b in range(deviation.size):
                along[b] += residual * xi[b]
        square = 0.0
        for b in range(deviation.size):
            across[b] = generator.chisquare(others[b]) * power if others[b] > 0.0 else 0.0
            square += deviation[b] ** 2 * (along[b] ** 2 + across[b])
        scaled = step[k]
        if update == CLIPPED_GRADIENT and math.sqrt(square) > control[k]:
            scaled *= control[k] / math.sqrt(square)
            clipped += 1
        if scaled > 0.0:
            for b in range(deviation.size):
                pace = scaled * deviation[b]
                ahead = length[b] - pace * along[b]
                length[b] = math.sqrt(ahead * ahead + pace * pace * across[b]) if others[b] > 0.0 else abs(ahead)
    return clipped
