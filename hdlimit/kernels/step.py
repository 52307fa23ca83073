"""One step of the ESDIRK method, phase by phase: stages, functionals at the end, error estimate, dense output.

Given v, every mode of a stage is explicit, m_i = (base_i + h gamma eta^2 nu diffusion_i)/(1 + 2 h gamma eta mu
rate_i), or as block_sweeps has it, so that a stage is one equation in v.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hdlimit.core.jit import jit
from hdlimit.kernels import formulas
from hdlimit.kernels import quadratic_model as nearby
from hdlimit.kernels.mode_sweeps import GAMMA, STAGES, Modes, Seven, Work, rises
from hdlimit.kernels.piecewise import Schedules, piecewise
from hdlimit.kernels.quadratic_model import MU_SLOPE, NU_SLOPE, Response

# The dense output may be off the cubic through both ends of a step by this many times its error: it sees what both
# estimates miss where they pass through 0 together (tests/prediction/test_predict.py).
BETWEEN = 400.0
# A stage equation is solved to the first fraction of the tolerance of a step; a response is read off the parabola
# through the last three where the terms of second order are below the second (tests/kernels/test_quadratic_model.py).
STAGE, PARABOLA = 1e-3, 0.03
# Relative accuracy that rounding leaves of a stage equation: some 20 units in the last place.
ROUNDING = 4e-15

# The tableau, its two error estimates and its dense output, from derivations.
A = np.array(formulas.A)
ERROR = np.array(formulas.B) - np.array(formulas.B_HAT)
NODES = np.array(formulas.C)
SECOND = np.array(formulas.SECOND)
DENSE = np.array(formulas.DENSE)
MIDDLE = DENSE @ np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16])


def _extrapolation() -> np.ndarray:
    """weights[s, j] of the slopes at the nodes before, for the slope of v at node s: a parabola of least squares."""
    weights = np.zeros((STAGES, STAGES))
    for s in range(2, STAGES):
        powers = np.arange(min(s, 3))[:, None]
        weights[s, :s] = np.linalg.pinv(NODES[:s] ** powers) @ NODES[s] ** powers[:, 0]
    return weights


AHEAD = _extrapolation()


# The law, mu and nu of a stage.
Past: TypeAlias = tuple[Any, float, float]


class Sweeps(NamedTuple):
    """Kernels over the modes of one kind; the compiler knows them by the type of the tuple.

    Attributes
    ----------
    law_at : kernel
        (block, eta) to the law.
    slope : kernel
        (work, modes, law, mu, nu): f0 becomes the time derivative of the moments.
    scale_of : kernel
        (h gamma, law) to the factor of nu in v of a stage.
    stiffness : kernel
        (h gamma, law, largest rate) to the change of the divisors per change of mu.
    sums : kernel
        (base, modes, h gamma, law, mu) to what the equation for v needs; see mode_sweeps.sums.
    into : kernel
        (stage, work, modes, h gamma, past, law, mu): the stage before is completed, from stage 2 on, and the base of
        this one written; to the slope of v in the stage before, and the sums of this one.
    complete : kernel
        (work, modes, h gamma, past): the base of the last stage becomes its moments, f6 their slopes; to the slope of
        v, and v, at the end.
    """

    law_at: Any
    slope: Any
    scale_of: Any
    stiffness: Any
    sums: Any
    into: Any
    complete: Any


class Record(NamedTuple):
    """The k functionals in a step.

    Attributes
    ----------
    functionals : array, shape (k, n)
        Their weights, v first.
    values, after : arrays, shape (k,)
        At the start and at the end of the step.
    slopes : array, shape (k, STAGES)
        Their time derivatives in the stages.
    sizes : array, shape (k,)
        To which each need be known where it jumps up from 0.
    floor : array, shape (k,)
        What counts as 0.
    """

    functionals: np.ndarray
    values: np.ndarray
    after: np.ndarray
    slopes: np.ndarray
    sizes: np.ndarray
    floor: np.ndarray


class Step(NamedTuple):
    """A step from t to t + h in a segment that ends at `end`.

    bend: second derivative of v at t; fastest: the largest rate; rtol: of the step.
    """

    t: float
    h: float
    end: float
    bend: float
    fastest: float
    rtol: float


class Stage(NamedTuple):
    """What the equation of a stage depends on.

    sweeps: over the modes; law: as there; hg = h gamma; c: control; fastest and rtol as in Step; floor: v that counts
    as 0.
    """

    sweeps: Sweeps
    hg: float
    law: Any
    c: float
    fastest: float
    rtol: float
    floor: float


@jit(forceinline=True, borrows=True)
def root(
    swept: Seven,
    base: np.ndarray,
    modes: Modes,
    stage: Stage,
    guess: tuple[float, float, float],
    response: Response,
    parameters: np.ndarray,
    near: np.ndarray,
) -> tuple[float, float, float]:
    """(v, mu, nu) of a stage by a safeguarded Newton method; v is nan where there is none.

    swept: the sums of sweeps.into at the mu of the guess. From them v of the modes, a + b h gamma eta^2 nu, is known
    for other mu to second order; where the third is not small, the modes are swept again. The gap between it and v
    falls through 0 at the root. Its slope turns a gap into an error of v, which is far larger near the critical step.
    The response and its slope come from the parabola of `nearby` where that is certain. Below the floor v counts as 0:
    there the equation need only hold to the floor.
    """
    _, a0, a1, a2, b0, b1, b2 = swept
    sweeps, hg, law, c, fastest, rtol, floor = stage
    v, mu, nu = guess
    center, accuracy, scale = mu, max(STAGE * rtol, ROUNDING), sweeps.scale_of(hg, law)
    stiff = sweeps.stiffness(hg, law, fastest)
    for _ in range(60):
        # The gap at v and its slope.
        inverse = 1.0 / center if center > 0.0 else 0.0
        delta = (mu - center) * inverse
        reach = min(abs(mu - center) * stiff, abs(delta)) if center > 0.0 or mu == 0.0 else math.inf
        a, b = a0 - delta * (a1 - delta * a2), b0 - delta * (b1 - delta * b2)
        image = a + b * scale * nu
        gap = image - v
        slope = b * scale * near[NU_SLOPE] - (a1 + b1 * scale * nu) * inverse * near[MU_SLOPE] - 1.0
        # Accept, or sweep the modes again.
        found = abs(gap) <= max(STAGE * rtol * min(-slope, 1.0), ROUNDING) * v + (floor if v <= floor else 0.0)
        if found and reach**3 * max(abs(a0), v) <= 0.1 * accuracy * v:
            return v, mu, nu
        if found or reach > 0.1:
            a0, a1, a2, b0, b1, b2 = sweeps.sums(base, modes, hg, law, mu)
            center = mu
            continue
        # Newton's step.
        new = v - gap / slope if slope < 0.0 else image
        v = new if floor < new < math.inf else max(v / 8, floor)
        if nearby.certain(near, v, PARABOLA * rtol):
            mu, nu = nearby.expanded(near, v)
        else:
            mu, nu = nearby.evaluated(near, v, c, response, parameters)
    return math.nan, 0.0, 0.0


@jit(forceinline=True, borrows=True)
def stages(
    work: Work,
    modes: Modes,
    record: Record,
    step: Step,
    schedules: Schedules,
    response: Response,
    parameters: np.ndarray,
    near: np.ndarray,
) -> tuple[float, Past, float, float]:
    """Solve the stages of a step.

    Returns v of the last one, nan where one has no root; what completes it (its law, mu and nu); the smallest and the
    largest v of the stages.
    """
    t, h, end, bend, fastest, rtol = step
    values, slopes, row, floor = record.values, record.slopes, work.products, record.floor[0]
    v, hg = values[0], h * GAMMA
    block, sweeps = schedules.block, schedules.sweeps
    past = sweeps.law_at(block, 0.0), 0.0, 0.0
    smallest, largest = math.inf, 0.0
    for s in range(1, STAGES):
        # The schedules at the node.
        span = NODES[s] * h
        eta = piecewise(t + span, end, schedules.lr_breaks, schedules.lr_pieces)
        c = piecewise(t + span, end, schedules.control_breaks, schedules.control_pieces)
        # A guess of v from the slopes before.
        ahead, below = slopes[0, 0] + span * bend if s == 1 else 0.0, values[0]
        for j in range(s):
            row[j] = h * A[s, j]
            ahead += AHEAD[s, j] * slopes[0, j]
            below += row[j] * slopes[0, j]
        guess = max(min(max(below + hg * ahead, values[0] / 4), values[0] * 4), floor)
        mu, nu = nearby.evaluated(near, guess, c, response, parameters)
        # The base of the stage, and its root.
        law = sweeps.law_at(block, eta)
        swept = sweeps.into(s, work, modes, hg, past, law, mu)
        if s > 1:
            slopes[0, s - 1] = swept[0]
        stage = Stage(sweeps, hg, law, c, fastest, rtol, floor)
        v, mu, nu = root(swept, work.base, modes, stage, (guess, mu, nu), response, parameters, near)
        if math.isnan(v):
            break
        past = law, mu, nu
        slopes[0, s] = (v - below) / hg
        smallest, largest = min(smallest, v), max(largest, v)
    return v, past, smallest, largest


@jit(forceinline=True, borrows=True)
def finish(work: Work, modes: Modes, sweeps: Sweeps, record: Record, hg: float, past: Past) -> None:
    """Complete the last stage and overwrite `after`, and the slopes of all functionals."""
    functionals, slopes, after = record.functionals, record.slopes, record.after
    count = after.size
    slopes[0, STAGES - 1], after[0] = sweeps.complete(work, modes, hg, past)
    for k in range(1, count, 2):
        j = min(k + 1, count - 1)
        one, other = rises(functionals[k], functionals[j], work)
        after[k], slopes[k, 1] = one[0], one[1] - slopes[k, 0]
        after[j], slopes[j, 1] = other[0], other[1] - slopes[j, 0]
        for s in range(2, STAGES):
            slopes[k, s], slopes[j, s] = one[s], other[s]


@jit(forceinline=True, borrows=True)
def error_of(record: Record, h: float, rtol: float) -> float:
    """Return the error of a step in units of what is allowed, the largest over the functionals.

    It is the largest of two estimates and of 1/BETWEEN of the distance between the dense output and the cubic through
    both ends.
    """
    values, after, slopes = record.values, record.after, record.slopes
    worst = 0.0
    for k in range(values.size):
        first, second, middle = 0.0, 0.0, 0.0
        for s in range(STAGES):
            first += h * ERROR[s] * slopes[k, s]
            second += h * SECOND[s] * slopes[k, s]
            middle += h * MIDDLE[s] * slopes[k, s]
        cubic = (values[k] + after[k]) / 2 + h * (slopes[k, 0] - slopes[k, STAGES - 1]) / 8
        error = max(abs(first), abs(second), abs(values[k] + middle - cubic) / BETWEEN)
        worst = max(worst, error / (rtol * max(values[k], after[k], record.sizes[k]) + 10 * record.floor[k]))
    return worst


@jit(forceinline=True, borrows=True)
def write(record: Record, h: float, place: int, start: np.ndarray, coefficients: np.ndarray) -> float:
    """Write the dense output of a step at a place; functionals below their floor are 0.

    Returns the second derivative of v at the end of the step.
    """
    values, after, slopes, floor = record.values, record.after, record.slopes, record.floor
    for k in range(values.size):
        gone = values[k] <= floor[k] and after[k] <= floor[k]
        start[place, k] = 0.0 if gone else values[k]
        for p in range(4):
            c_p = 0.0
            for s in range(STAGES):
                c_p += DENSE[s, p] * slopes[k, s]
            coefficients[place, k, p] = 0.0 if gone else h * c_p
    bend = 0.0
    for p in range(1, 4):
        bend += p * (p + 1) * coefficients[place, 0, p] / h / h
    return bend
