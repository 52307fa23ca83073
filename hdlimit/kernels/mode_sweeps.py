"""Sweeps over the modes: all that a step of the integrator costs in n.

A stage with base_i = m_i + h sum_(j < s) a_sj f_ji has m_i = (base_i + source diffusion_i)/(1 + beta rate_i) and the
slope f_i = (m_i - base_i)/(h gamma), where source = h gamma eta^2 nu and beta = 2 h gamma eta mu. One sweep completes
the stage before, writes the base of the next one and sums what its equation for v needs, so that a stage reads the
modes once: two divisions and some 25 other operations a mode, which the compiler vectorizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hdlimit.core.jit import VECTOR, float64, jit
from hdlimit.kernels import formulas

# Stages of the method, the first of which is explicit, and the diagonal entry of its tableau (derivations).
STAGES = len(formulas.C)
GAMMA = formulas.A[1][1]
Six: TypeAlias = tuple[float, float, float, float, float, float]
Seven: TypeAlias = tuple[float, float, float, float, float, float, float]

# Sums may be reordered, so that loops over modes use vector instructions.
_SUMS: Any = {"reassoc", "contract", "nsz"}


class Modes(NamedTuple):
    """What the sweeps read: rate, diffusion and weight in v of every mode, each of shape (n,)."""

    rate: np.ndarray
    diffusion: np.ndarray
    weight: np.ndarray


class Work(NamedTuple):
    """What the sweeps write in a step.

    Attributes
    ----------
    m : array, shape (n,)
        Modes at the start of the step.
    base : array, shape (n,)
        Base of the present stage; after the last stage the modes at the end of the step.
    f0, f1, f2, f3, f4, f5, f6 : arrays, shape (n,)
        Slopes of the stages; f1 holds the sum of the slopes 0 and 1, whose a_sj are equal.
    products : array, shape (STAGES,)
        h a_sj of the present stage s.
    """

    m: np.ndarray
    base: np.ndarray
    f0: np.ndarray
    f1: np.ndarray
    f2: np.ndarray
    f3: np.ndarray
    f4: np.ndarray
    f5: np.ndarray
    f6: np.ndarray
    products: np.ndarray


@jit(float64(VECTOR, VECTOR), fastmath=_SUMS, borrows=True)
def dot(x: np.ndarray, y: np.ndarray) -> float:
    """Return sum x_i y_i."""
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@jit(float64(VECTOR), borrows=True)
def largest(x: np.ndarray) -> float:
    """Return max x_i of x_i >= 0."""
    most = 0.0
    for i in range(x.size):
        most = max(most, x[i])
    return most


@jit(forceinline=True, borrows=True)
def slope(work: Work, modes: Modes, drift: float, source: float) -> None:
    """Overwrite f0 with the time derivative of the modes, drift = 2 eta mu, source = eta^2 nu."""
    m, f = work.m, work.f0
    rate, diffusion, _ = modes
    for i in range(m.size):
        f[i] = source * diffusion[i] - drift * rate[i] * m[i]


@jit(fastmath=_SUMS, borrows=True)
def sums(base: np.ndarray, modes: Modes, beta: float) -> Six:
    """Return sum q p^k base and sum q p^k diffusion, k = 0, 1, 2, q = weight/(1 + beta rate), p = beta q rate/weight.

    They are v of a stage in powers of -(relative change of beta).
    """
    rate, diffusion, weight = modes
    a0, a1, a2, b0, b1, b2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(base.size):
        inverse = 1.0 / (1.0 + beta * rate[i])
        p = 1.0 - inverse
        a, b = weight[i] * inverse * base[i], weight[i] * inverse * diffusion[i]
        a0, b0 = a0 + a, b0 + b
        a1, b1 = a1 + a * p, b1 + b * p
        a2, b2 = a2 + a * p * p, b2 + b * p * p
    return a0, a1, a2, b0, b1, b2


def _stage(stage: int) -> Callable[..., Seven]:
    """Return the sweep into a stage, compiled for its number.

    Its arguments are those of `into`, and the row to be written.
    """

    @jit(fastmath=_SUMS, borrows=True)
    def sweep(
        work: Work, row: np.ndarray, modes: Modes, done: float, source: float, per_time: float, beta: float
    ) -> Seven:
        m, base, f0, f1, f2, f3, f4, steps = (
            work.m, work.base, work.f0, work.f1, work.f2, work.f3, work.f4, work.products,
        )  # fmt: skip
        rate, diffusion, weight = modes
        h0, h1, h2, h3, h4, last = steps[0], steps[1], steps[2], steps[3], steps[4], steps[stage - 1]
        rise, a0, a1, a2, b0, b1, b2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(m.size):
            # The slopes before the last one enter the base.
            new = m[i]
            if stage == 1:
                new += h0 * f0[i]
            if stage > 2:
                new += h1 * f1[i]
            if stage > 3:
                new += h2 * f2[i]
            if stage > 4:
                new += h3 * f3[i]
            if stage > 5:
                new += h4 * f4[i]
            # The stage before is completed: its slope is written and enters the base.
            if stage > 1:
                f = ((base[i] + source * diffusion[i]) / (1.0 + done * rate[i]) - base[i]) * per_time
                rise += weight[i] * f
                if stage == 2:
                    f += f0[i]
                row[i] = f
                new += last * f
            base[i] = new
            # The sums of this stage.
            inverse = 1.0 / (1.0 + beta * rate[i])
            p = 1.0 - inverse
            a, b = weight[i] * inverse * new, weight[i] * inverse * diffusion[i]
            a0, b0 = a0 + a, b0 + b
            a1, b1 = a1 + a * p, b1 + b * p
            a2, b2 = a2 + a * p * p, b2 + b * p * p
        return rise, a0, a1, a2, b0, b1, b2

    return sweep


_into_1, _into_2, _into_3, _into_4, _into_5, _into_6 = (_stage(s) for s in range(1, STAGES))


@jit(forceinline=True, borrows=True)
def into(stage: int, work: Work, modes: Modes, done: float, source: float, per_time: float, beta: float) -> Seven:
    """Complete the stage before (its beta = done, its source; from stage 2 on) and write the base of this one.

    per_time: 1/(h gamma). Returns the slope of v in the stage before, and the `sums` of this one at beta.
    """
    if stage == 1:
        return _into_1(work, work.f1, modes, done, source, per_time, beta)
    if stage == 2:
        return _into_2(work, work.f1, modes, done, source, per_time, beta)
    if stage == 3:
        return _into_3(work, work.f2, modes, done, source, per_time, beta)
    if stage == 4:
        return _into_4(work, work.f3, modes, done, source, per_time, beta)
    if stage == 5:
        return _into_5(work, work.f4, modes, done, source, per_time, beta)
    return _into_6(work, work.f5, modes, done, source, per_time, beta)


@jit(fastmath=_SUMS, borrows=True)
def complete(work: Work, modes: Modes, done: float, source: float, per_time: float) -> tuple[float, float]:
    """Overwrite the base of the last stage with its modes, f6 with their slopes; the slope of v, and v, at the end."""
    base, f = work.base, work.f6
    rate, diffusion, weight = modes
    rise, value = 0.0, 0.0
    for i in range(base.size):
        new = (base[i] + source * diffusion[i]) / (1.0 + done * rate[i])
        change = (new - base[i]) * per_time
        f[i] = change
        base[i] = new
        rise += weight[i] * change
        value += weight[i] * new
    return rise, value


@jit(fastmath=_SUMS, borrows=True)
def rises(weight: np.ndarray, other: np.ndarray, work: Work) -> tuple[Seven, Seven]:
    """Two functionals of the modes and of the slopes as `into` and `complete` leave them."""
    m, f1, f2, f3, f4, f5, f6 = work.base, work.f1, work.f2, work.f3, work.f4, work.f5, work.f6
    a, a1, a2, a3, a4, a5, a6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    b, b1, b2, b3, b4, b5, b6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(m.size):
        w, x = weight[i], other[i]
        a, b = a + w * m[i], b + x * m[i]
        a1, b1 = a1 + w * f1[i], b1 + x * f1[i]
        a2, b2 = a2 + w * f2[i], b2 + x * f2[i]
        a3, b3 = a3 + w * f3[i], b3 + x * f3[i]
        a4, b4 = a4 + w * f4[i], b4 + x * f4[i]
        a5, b5 = a5 + w * f5[i], b5 + x * f5[i]
        a6, b6 = a6 + w * f6[i], b6 + x * f6[i]
    return (a, a1, a2, a3, a4, a5, a6), (b, b1, b2, b3, b4, b5, b6)
