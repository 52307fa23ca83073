"""Sweeps over modes of two numbers each, whose second moments S = (S_11, S_12, S_22) are three numbers a mode.

dS/dt = A S + S A^T + w w^T nu c/d,   A = M + mu lambda w e_1^T,   law = (M_11, M_12, M_21, M_22, w_1, w_2)

A stage S - h gamma (A S + S A^T) = base + h gamma w w^T nu c/d is At S + S At^T + C = 0 with At = h gamma A - I/2 and
C its right side, and S = [det(At) C + adj(At) C adj(At)^T]/(-2 tr(At) det(At)): some 40 operations a mode. Moments
stand number by number: S_11 of all modes, then S_12, then S_22.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from hdlimit.core.jit import jit
from hdlimit.kernels.mode_sweeps import Modes, Seven, Six, Work

# Entries of M, row by row, and of w.
Law: TypeAlias = tuple[float, float, float, float, float, float]
# Sums may be reordered, so that loops over modes use vector instructions.
_SUMS: Any = {"reassoc", "contract", "nsz"}


@jit(fastmath=_SUMS, borrows=True)
def slope(work: Work, modes: Modes, law: Law, mu: float, nu: float) -> None:
    """Overwrite f0 with the time derivative of the moments."""
    m, f, n = work.m, work.f0, modes.rate.size
    m11, m12, m21, m22, w1, w2 = law
    for i in range(n):
        pull, noise = mu * modes.rate[i], nu * modes.diffusion[i]
        a11, a21 = m11 + pull * w1, m21 + pull * w2
        s11, s12, s22 = m[i], m[n + i], m[2 * n + i]
        f[i] = 2 * (a11 * s11 + m12 * s12) + w1 * w1 * noise
        f[n + i] = a21 * s11 + (a11 + m22) * s12 + m12 * s22 + w1 * w2 * noise
        f[2 * n + i] = 2 * (a21 * s12 + m22 * s22) + w2 * w2 * noise


@jit(fastmath=_SUMS, borrows=True)
def sums(base: np.ndarray, modes: Modes, hg: float, law: Law, mu: float) -> Six:
    """Return v of a stage, from its base and from noise of nu = 1/(h gamma), in powers of -(relative change of mu).

    They are a0, a1, a2, b0, b1, b2 as mode_sweeps.sums has them.
    """
    rate, diffusion, weight = modes
    n = rate.size
    m11, m12, m21, m22, w1, w2 = law
    a12, a22 = hg * m12, hg * m22 - 0.5
    k12, k22 = -2 * a22 * a12, a12 * a12
    spread = k12 * w1 * w2 + k22 * w2 * w2
    a0, a1, a2, b0, b1, b2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        # At, its trace and determinant; its first column moves with mu.
        pull = hg * rate[i]
        a11, a21 = hg * m11 - 0.5 + pull * mu * w1, hg * m21 + pull * mu * w2
        trace, det = a11 + a22, a11 * a22 - a12 * a21
        dtrace, ddet = pull * w1, pull * (w1 * a22 - w2 * a12)
        # S_11 is a quotient; its numerator is linear in mu, its denominator a parabola.
        below = -1 / (2 * trace * det)
        below1, below2 = -2 * (dtrace * det + trace * ddet), -4 * dtrace * ddet
        k11 = det + a22 * a22
        f = (k11 * base[i] + k12 * base[n + i] + k22 * base[2 * n + i]) * below
        f1 = (ddet * base[i] - f * below1) * below
        f2 = -(f * below2 + 2 * f1 * below1) * below
        noise = diffusion[i]
        g = (k11 * w1 * w1 + spread) * noise * below
        g1 = (ddet * w1 * w1 * noise - g * below1) * below
        g2 = -(g * below2 + 2 * g1 * below1) * below
        a0, a1, a2 = a0 + weight[i] * f, a1 - weight[i] * f1, a2 + weight[i] * f2
        b0, b1, b2 = b0 + weight[i] * g, b1 - weight[i] * g1, b2 + weight[i] * g2
    return a0, mu * a1, mu * mu * a2 / 2, b0, mu * b1, mu * mu * b2 / 2


@jit(fastmath=_SUMS, borrows=True)
def complete(base: np.ndarray, row: np.ndarray, modes: Modes, hg: float, law: Law, mu: float, nu: float) -> None:
    """Overwrite the base of a stage with its moments, and a row with their slopes."""
    n, per_time = modes.rate.size, 1 / hg
    m11, m12, m21, m22, w1, w2 = law
    a12, a22 = hg * m12, hg * m22 - 0.5
    for i in range(n):
        pull, noise = hg * mu * modes.rate[i], hg * nu * modes.diffusion[i]
        a11, a21 = hg * m11 - 0.5 + pull * w1, hg * m21 + pull * w2
        det = a11 * a22 - a12 * a21
        below = -1 / (2 * (a11 + a22) * det)
        old11, old12, old22 = base[i], base[n + i], base[2 * n + i]
        c11, c12, c22 = old11 + w1 * w1 * noise, old12 + w1 * w2 * noise, old22 + w2 * w2 * noise
        x11 = a22 * a22 * c11 - 2 * a22 * a12 * c12 + a12 * a12 * c22
        x12 = -a22 * a21 * c11 + (a22 * a11 + a12 * a21) * c12 - a12 * a11 * c22
        x22 = a21 * a21 * c11 - 2 * a21 * a11 * c12 + a11 * a11 * c22
        base[i] = (det * c11 + x11) * below
        base[n + i] = (det * c12 + x12) * below
        base[2 * n + i] = (det * c22 + x22) * below
        row[i] = (base[i] - old11) * per_time
        row[n + i] = (base[n + i] - old12) * per_time
        row[2 * n + i] = (base[2 * n + i] - old22) * per_time


@jit(fastmath=_SUMS, borrows=True)
def add(base: np.ndarray, before: np.ndarray, step: float, row: np.ndarray) -> None:
    """Overwrite the base with what was before, which may be the base, and step times a row."""
    for i in range(base.size):
        base[i] = before[i] + step * row[i]


@jit(fastmath=_SUMS, borrows=True)
def of_v(weight: np.ndarray, row: np.ndarray) -> float:
    """Return the sum over S_11 with the weights of v."""
    total = 0.0
    for i in range(weight.size):
        total += weight[i] * row[i]
    return total


@jit(forceinline=True, borrows=True)
def into(stage: int, work: Work, modes: Modes, hg: float, past: tuple[Law, float, float], law: Law, mu: float) -> Seven:
    """Complete the stage before (its law, mu and nu are the past; from stage 2 on) and write the base of this one.

    Returns the slope of v in the stage before, and the `sums` of this one.
    """
    m, base, f0, steps = work.m, work.base, work.f0, work.products
    rows, rise = (work.f1, work.f2, work.f3, work.f4, work.f5), 0.0
    if stage > 1:
        row = rows[stage - 2]
        complete(base, row, modes, hg, *past)
        rise = of_v(modes.weight, row)
        if stage == 2:
            add(row, row, 1.0, f0)
    if stage == 1:
        add(base, m, steps[0], f0)
    for j in range(1, stage):
        add(base, m if j == 1 else base, steps[j], rows[j - 1])
    a0, a1, a2, b0, b1, b2 = sums(base, modes, hg, law, mu)
    return rise, a0, a1, a2, b0, b1, b2
