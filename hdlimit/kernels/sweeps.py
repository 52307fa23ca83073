"""The sweeps of a stage by one set of names, over modes of one number (mode_sweeps) or of two (block_sweeps).

A law is what drives the modes at a time: eta, or M and w of block_sweeps. The past of a stage is the law, mu and nu of
the stage before.
"""

from __future__ import annotations

import numpy as np

from hdlimit.core.jit import jit
from hdlimit.kernels import block_sweeps, mode_sweeps
from hdlimit.kernels.block_sweeps import Law
from hdlimit.kernels.mode_sweeps import Modes, Seven, Six, Work
from hdlimit.kernels.step import Past


@jit(forceinline=True, borrows=True)
def mode_law(block: None, eta: float) -> float:
    """Sweeps.law_at of modes of one number, as all that follow."""
    return eta


@jit(forceinline=True, borrows=True)
def mode_slope(work: Work, modes: Modes, eta: float, mu: float, nu: float) -> None:
    """Sweeps.slope."""
    mode_sweeps.slope(work, modes, 2 * eta * mu, eta * eta * nu)


@jit(forceinline=True, borrows=True)
def mode_scale(hg: float, eta: float) -> float:
    """Sweeps.scale_of."""
    return hg * eta * eta


@jit(forceinline=True, borrows=True)
def mode_stiffness(hg: float, eta: float, fastest: float) -> float:
    """Sweeps.stiffness."""
    return 2 * hg * eta * fastest


@jit(forceinline=True, borrows=True)
def mode_sums(base: np.ndarray, modes: Modes, hg: float, eta: float, mu: float) -> Six:
    """Sweeps.sums."""
    return mode_sweeps.sums(base, modes, 2 * hg * eta * mu)


@jit(forceinline=True, borrows=True)
def mode_into(stage: int, work: Work, modes: Modes, hg: float, past: Past, eta: float, mu: float) -> Seven:
    """Sweeps.into."""
    before, old, noise = past
    done, source = 2 * hg * before * old, hg * before * before * noise
    return mode_sweeps.into(stage, work, modes, done, source, 1 / hg, 2 * hg * eta * mu)


@jit(forceinline=True, borrows=True)
def mode_complete(work: Work, modes: Modes, hg: float, past: Past) -> tuple[float, float]:
    """Sweeps.complete."""
    eta, mu, nu = past
    return mode_sweeps.complete(work, modes, 2 * hg * eta * mu, hg * eta * eta * nu, 1 / hg)


@jit(forceinline=True, borrows=True)
def block_law(block: np.ndarray, eta: float) -> Law:
    """Sweeps.law_at of modes of two numbers, as all that follow."""
    fixed, moved = block[0], block[1]
    return (
        fixed[0] + eta * moved[0],
        fixed[1] + eta * moved[1],
        fixed[2] + eta * moved[2],
        fixed[3] + eta * moved[3],
        fixed[4] + eta * moved[4],
        fixed[5] + eta * moved[5],
    )


@jit(forceinline=True, borrows=True)
def block_scale(hg: float, law: Law) -> float:
    """Sweeps.scale_of."""
    return hg


@jit(forceinline=True, borrows=True)
def block_stiffness(hg: float, law: Law, fastest: float) -> float:
    """Sweeps.stiffness, which is not bounded by the largest rate: a large number."""
    return 1e300


@jit(forceinline=True, borrows=True)
def block_complete(work: Work, modes: Modes, hg: float, past: Past) -> tuple[float, float]:
    """Sweeps.complete."""
    law, mu, nu = past
    block_sweeps.complete(work.base, work.f6, modes, hg, law, mu, nu)
    return block_sweeps.of_v(modes.weight, work.f6), block_sweeps.of_v(modes.weight, work.base)
