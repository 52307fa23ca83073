"""The kernel of the exact reduced chain: one length a distinct eigenvalue of K. No theory."""

from __future__ import annotations

import math
from typing import Any

from hdlimit.core.declaration import FloatArray
from hdlimit.core.jit import MATRIX, READ, READ_INTEGERS, VECTOR, float64, int64, jit, npy_rng
from hdlimit.simulation.kernels.steps import CLIPPED_GRADIENT, read_table


@jit(float64(npy_rng, float64, float64), inline="always")
def gamma(generator: Any, b: float, c: float) -> float:
    """Return a gamma variate of shape b + 1/3 > 1, c = 1/sqrt(9 b) (Marsaglia & Tsang 2000).

    It is NumPy's, bit for bit, at twice the speed, as b and c are not computed anew.
    """
    while True:
        x: float = generator.standard_normal()
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u = generator.random()
        if u < 1.0 - 0.0331 * (x * x) * (x * x) or math.log(u) < 0.5 * x * x + b * (1.0 - v + math.log(v)):
            return b * v


@jit(float64(npy_rng, float64, float64, float64), inline="always")
def chi_square(generator: Any, degrees: float, b: float, c: float) -> float:
    """Return a chi^2 variate of 0, 1, 2, ... degrees; b = degrees/2 - 1/3, c = 1/sqrt(9 b)."""
    if degrees > 2.0:
        return 2.0 * gamma(generator, b, c)
    if degrees == 2.0:
        return 2.0 * float(generator.standard_exponential())
    x: float = generator.standard_normal() if degrees == 1.0 else 0.0
    return x * x


@jit(int64(VECTOR, npy_rng, READ, READ, MATRIX, READ, READ, READ, int64, READ, READ_INTEGERS))
def advance_blocks(
    length: FloatArray,
    generator: Any,
    deviation: FloatArray,
    others: FloatArray,
    scratch: FloatArray,
    noise: FloatArray,
    step: FloatArray,
    control: FloatArray,
    update: int,
    table: FloatArray,
    stop: Any,
) -> int:
    """Take n steps of the norms rho_b of delta in the eigenspaces of K, for independent normal features.

    With e_b the direction of delta in eigenspace b and xi_jb = <x_j, e_b>/sqrt(lambda_b), the mean gradient has the
    component sqrt(lambda_b) a_b, a_b = (1/B) sum_j psi_j xi_jb, along e_b, and across it n_b - 1 components which,
    given psi, are independent normal of variance lambda_b norm(psi)^2/B^2: their squares add up to a chi^2.

    length: rho, shape (n,) or longer, the first n entries overwritten; generator: of the numbers, a step takes B x n
    normals in C order, then for every b with n_b > 1 a chi^2 of n_b - 1 degrees (a normal squared for n_b = 2);
    deviation: sqrt(lambda_b), (n,); others: n_b - 1, (n,); scratch: (5, n); the rest as in steps.Steps. Returns the
    number of steps whose gradient was clipped.
    """
    batch, clipped = noise.size // step.size, 0
    xi, along, across, gamma_b, gamma_c = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for b in range(deviation.size):
        gamma_b[b] = others[b] / 2.0 - 1.0 / 3.0
        gamma_c[b] = 1.0 / math.sqrt(9.0 * max(gamma_b[b], 1.0 / 6.0))
    for k in range(step.size):
        # The residuals of the batch, and the gradient along delta in every eigenspace.
        power = 0.0
        along[:] = 0.0
        for j in range(k * batch, (k + 1) * batch):
            if stop[0] != 0:
                return -1
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
        # Its squared length across delta, and its norm.
        square = 0.0
        for b in range(deviation.size):
            across[b] = power * chi_square(generator, others[b], gamma_b[b], gamma_c[b])
            square += deviation[b] ** 2 * (along[b] ** 2 + across[b])
        # The update.
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
