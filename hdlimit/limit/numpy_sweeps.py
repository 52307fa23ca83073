"""The integrator without numba: the text of the kernels, with the sweeps over the modes in NumPy.

Loading the compiled integrator takes a fresh process a few tenths of a second, compiling it on a fresh machine several
seconds, a step in NumPy a third of a millisecond. With the backend "auto" a process begins in NumPy, and changes over
to the compiled integrator after as many steps as take together about as long as loading it; with "numpy", or without
numba, everything runs here. Both are one text with the same steps, and agree to rounding errors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hdlimit.core.backend import compiled
from hdlimit.core.jit import Kernel, by_numpy_rules, python
from hdlimit.kernels import block_sweeps, esdirk, lazy_table
from hdlimit.kernels import mode_sweeps as sweeps

# Steps in NumPy that take as long as loading numba and the integrator from the cache: 400 of 0.33 ms against 0.15 to
# 0.3 s (examples/benchmarks/fresh.py).
ENOUGH_STEPS = 400
# Modes up to which a step in NumPy costs less than a millisecond or two, so that the same number of steps holds.
FEW_MODES = 20_000

# Steps taken in NumPy by this process.
_steps = [0]


def sums(base: np.ndarray, modes: sweeps.Modes, beta: float) -> sweeps.Six:
    """mode_sweeps.sums."""
    rate, diffusion, weight = modes
    inverse = 1.0 / (1.0 + beta * rate)
    p, q = 1.0 - inverse, weight * inverse
    a, b = q * base, q * diffusion
    ap, bp = a * p, b * p
    return float(a.sum()), float(ap.sum()), float(ap @ p), float(b.sum()), float(bp.sum()), float(bp @ p)


def into(
    stage: int, work: sweeps.Work, modes: sweeps.Modes, done: float, source: float, per_time: float, beta: float
) -> sweeps.Seven:
    """mode_sweeps.into."""
    m, base, f0, f1, f2, f3, f4, f5, _, steps = work
    rate, diffusion, weight = modes
    rise, new = 0.0, m + steps[0] * f0 if stage == 1 else m.copy()
    rows = (f1, f2, f3, f4, f5)[: stage - 1]
    if stage > 1:
        f = ((base + source * diffusion) / (1.0 + done * rate) - base) * per_time
        rise = float(weight @ f)
        rows[-1][:] = f + f0 if stage == 2 else f
    for step, row in zip(steps[1:].tolist(), rows):
        new += step * row
    base[:] = new
    return rise, *sums(base, modes, beta)


def complete(
    work: sweeps.Work, modes: sweeps.Modes, done: float, source: float, per_time: float
) -> tuple[float, float]:
    """mode_sweeps.complete."""
    base, (rate, diffusion, weight) = work.base, modes
    new = (base + source * diffusion) / (1.0 + done * rate)
    work.f6[:] = (new - base) * per_time
    base[:] = new
    return float(weight @ work.f6), float(weight @ new)


def rises(weight: np.ndarray, other: np.ndarray, work: sweeps.Work) -> tuple[list[float], list[float]]:
    """mode_sweeps.rises."""
    rows = work.base, *work[3:9]
    return [float(weight @ x) for x in rows], [float(other @ x) for x in rows]


def slope(work: sweeps.Work, modes: sweeps.Modes, drift: float, source: float) -> None:
    """mode_sweeps.slope."""
    work.f0[:] = source * modes.diffusion - drift * modes.rate * work.m


def dot(x: np.ndarray, y: np.ndarray) -> float:
    """mode_sweeps.dot."""
    return float(x @ y)


def largest(x: np.ndarray) -> float:
    """mode_sweeps.largest."""
    return float(x.max(initial=0.0))


def block_slope(work: sweeps.Work, modes: sweeps.Modes, law: block_sweeps.Law, mu: float, nu: float) -> None:
    """block_sweeps.slope."""
    m11, m12, m21, m22, w1, w2 = law
    pull, noise = mu * modes.rate, nu * modes.diffusion
    a11, a21 = m11 + pull * w1, m21 + pull * w2
    s11, s12, s22 = np.split(work.m, 3)
    work.f0[:] = np.concatenate([
        2 * (a11 * s11 + m12 * s12) + w1 * w1 * noise,
        a21 * s11 + (a11 + m22) * s12 + m12 * s22 + w1 * w2 * noise,
        2 * (a21 * s12 + m22 * s22) + w2 * w2 * noise,
    ])  # fmt: skip


def block_sums(base: np.ndarray, modes: sweeps.Modes, hg: float, law: block_sweeps.Law, mu: float) -> sweeps.Six:
    """block_sweeps.sums."""
    rate, noise, weight = modes
    m11, m12, m21, m22, w1, w2 = law
    a12, a22, pull = hg * m12, hg * m22 - 0.5, hg * rate
    a11, a21 = hg * m11 - 0.5 + pull * mu * w1, hg * m21 + pull * mu * w2
    trace, det = a11 + a22, a11 * a22 - a12 * a21
    dtrace, ddet = pull * w1, pull * (w1 * a22 - w2 * a12)
    below, below1, below2 = -1 / (2 * trace * det), -2 * (dtrace * det + trace * ddet), -4 * dtrace * ddet
    s11, s12, s22 = np.split(base, 3)
    found = []
    for c11, c12, c22 in ((s11, s12, s22), (w1 * w1 * noise, w1 * w2 * noise, w2 * w2 * noise)):
        f = ((det + a22 * a22) * c11 - 2 * a22 * a12 * c12 + a12 * a12 * c22) * below
        f1 = (ddet * c11 - f * below1) * below
        f2 = -(f * below2 + 2 * f1 * below1) * below
        found += [float(weight @ f), -mu * float(weight @ f1), mu * mu * float(weight @ f2) / 2]
    a0, a1, a2, b0, b1, b2 = found
    return a0, a1, a2, b0, b1, b2


def block_complete(
    base: np.ndarray, row: np.ndarray, modes: sweeps.Modes, hg: float, law: block_sweeps.Law, mu: float, nu: float
) -> None:
    """block_sweeps.complete."""
    m11, m12, m21, m22, w1, w2 = law
    pull, noise = hg * mu * modes.rate, hg * nu * modes.diffusion
    a11, a12, a21, a22 = hg * m11 - 0.5 + pull * w1, hg * m12, hg * m21 + pull * w2, hg * m22 - 0.5
    det = a11 * a22 - a12 * a21
    below = -1 / (2 * (a11 + a22) * det)
    s11, s12, s22 = np.split(base, 3)
    c11, c12, c22 = s11 + w1 * w1 * noise, s12 + w1 * w2 * noise, s22 + w2 * w2 * noise
    new = np.concatenate([
        (det * c11 + a22 * a22 * c11 - 2 * a22 * a12 * c12 + a12 * a12 * c22) * below,
        (det * c12 - a22 * a21 * c11 + (a22 * a11 + a12 * a21) * c12 - a12 * a11 * c22) * below,
        (det * c22 + a21 * a21 * c11 - 2 * a21 * a11 * c12 + a11 * a11 * c22) * below,
    ])  # fmt: skip
    row[:] = (new - base) / hg
    base[:] = new


def add(base: np.ndarray, before: np.ndarray, step: float, row: np.ndarray) -> None:
    """block_sweeps.add."""
    base[:] = before + step * row


def of_v(weight: np.ndarray, row: np.ndarray) -> float:
    """block_sweeps.of_v."""
    return float(weight @ row[: weight.size])


@cache
def twin(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """Return a kernel of the integrator, or a response, without numba."""
    twins = (sums, into, complete, rises, slope, dot, largest)
    blocks = {"slope": block_slope, "sums": block_sums, "complete": block_complete, "add": add, "of_v": of_v}
    found: dict[Kernel[..., Any], Callable[..., Any]] = {getattr(sweeps, sweep.__name__): sweep for sweep in twins}
    found.update({getattr(block_sweeps, name): sweep for name, sweep in blocks.items()})
    return python(kernel, found)


def run(
    kernel: Kernel[..., Any], arrays: tuple[Any, ...], response: Kernel[..., Any], parameters: np.ndarray, *more: Any
) -> Any:
    """Call a kernel that integrates, esdirk.advance or one with its arguments first, as the backend has it.

    Parameters
    ----------
    kernel : Kernel
        Called with the arrays, the address of the response, the parameters and `more`.
    arrays : Arrays
        Of the moments, schedules and settings.
    response : Kernel
        (mu, nu).
    parameters : array
        Of the response; in NumPy one that remembers gets a copy.
    *more
        Further arguments of the kernel.

    Returns
    -------
    object
        What the kernel returns.
    """
    if compiled():
        return kernel(*arrays, response.address or response, parameters, *more)
    return in_numpy(kernel)(*arrays, twin(response), _own(response, parameters), *more)


def advance(arrays: esdirk.Arrays, block: np.ndarray | None, response: Kernel[..., Any], parameters: np.ndarray) -> Any:
    """Call esdirk.advance, or advance_blocks with a block, as `run` does; first in NumPy where the backend allows it.

    The compiled one takes over where many steps are needed or a number leaves the range of Python's.
    """
    kernel: Kernel[..., Any] = esdirk.advance if block is None else esdirk.advance_blocks
    more = () if block is None else (block,)
    if _starting(kernel, arrays):
        few = arrays.settings.copy()
        few[esdirk.MOST] = min(few[esdirk.MOST], ENOUGH_STEPS)
        _steps[0] += ENOUGH_STEPS
        try:
            with np.errstate(all="ignore"):
                given = (*arrays._replace(settings=few), *more)
                found = twin(kernel)(*given, twin(response), _own(response, parameters))
            if found[0] != esdirk.FULL:
                _steps[0] -= ENOUGH_STEPS - found[4].shape[0]
                return found
        except (ArithmeticError, ValueError):
            pass
    return run(kernel, (*arrays, *more), response, parameters)


def _starting(kernel: Kernel[..., Any], arrays: esdirk.Arrays) -> bool:
    """Whether a small integration at the start of a process is left to NumPy."""
    small = _steps[0] < ENOUGH_STEPS and arrays.rate.size <= FEW_MODES
    return small and kernel.deferred and compiled()


@cache
def in_numpy(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """Return a kernel of the integrator as the backend "numpy" runs it."""
    return by_numpy_rules(twin(kernel))


def _own(response: Kernel[..., Any], parameters: np.ndarray) -> np.ndarray:
    """Parameters with nothing in them that compiled code has computed, as that rounds otherwise."""
    if response is not lazy_table.remembered:
        return parameters
    own = parameters.copy()
    own[lazy_table.HEAD + 3 * int(own[lazy_table.TERMS]) :] = np.nan
    return own
