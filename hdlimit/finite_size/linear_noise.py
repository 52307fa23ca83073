"""The spread of single runs around the limit curve, and the shift of their mean (linear noise).

P = covariance of the modes (m_i) of a run, P(0) = 0, obeys

    dP/dt = J P + P J^T + Q/d,   J = -2 eta mu diag(lambda) + a lambda^T,   a = -2 eta mu' lambda m + eta^2 nu' b,
    Q = 4 eta^2 [nu diag(c m) + (nu_2 - mu^2) (lambda m)(lambda m)^T]
        - 2 eta^3 (chi - mu nu) [(lambda m) b^T + b (lambda m)^T] + eta^4 (kappa - nu^2) b b^T,

b = c/d, with the moments nu_2, chi, kappa of hdlimit.response.step_moments; sd(R) = sqrt(lambda^T P lambda)/2. The
mean of runs
is shifted, to the same order in 1/d, by x with dx/dt = J x + what hdlimit.finite_size.bias collects.

Modes are put into bins, of which M = sum of m and b = sum of c/d. With P lambda given, a stage of an implicit method
leaves every entry of P explicit, so that a stage is one linear system of the size of the number of bins.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.finite_size.noise_modes import BINS
from hdlimit.finite_size.noise_system import _System
from hdlimit.finite_size.pair_noise import PairSystem
from hdlimit.kernels import formulas
from hdlimit.limit.interpolant import DenseOutput, Integrated
from hdlimit.limit.piecewise import stops

# Relative tolerance of the covariance and the shift: the first order in 1/d is off by more at any d in use.
TOLERANCE = 1e-4
# Steps after which the integration gives up: ten times what a thousand rough knots take. Chosen.
MOST_STEPS = 20_000
DIFFUSIONS = ("algorithm", "homogenized")
# Most bins with momentum, whose covariance has nine numbers a pair: 1 s. Against 64 the spread of power laws is off by
# 2e-3, that of Marchenko-Pastur spectra without noise by 1e-2.
PAIR_BINS = 16

_A = np.array(formulas.A)
_ERRORS = np.array([np.subtract(formulas.B, formulas.B_HAT), formulas.SECOND])
_NODES = np.array(formulas.C)
_DENSE = np.array(formulas.DENSE)
_GAMMA = formulas.A[1][1]


class LinearNoise(NamedTuple):
    """Var v and the shifts of E v, E norm(delta)^2 and E norm(K delta)^2: functionals 0 to 3 of an interpolant."""

    dense: DenseOutput

    def spread(self, t: FloatArray) -> FloatArray:
        """Return the standard deviation of the risk of one run at times t."""
        deviation: FloatArray = np.sqrt(np.maximum(self.dense(t, 0), 0.0)) / 2
        return deviation

    def shift(self, t: FloatArray) -> FloatArray:
        """Return the mean risk of runs minus the limit curve at times t, to first order in 1/d."""
        return self.dense(t, 1) / 2


def linear_noise(
    curve: Integrated, *, bins: int = BINS, diffusion: str = "algorithm", shifted: bool = True
) -> LinearNoise:
    """Integrate the covariance of the modes and the shift of the mean along a curve.

    It takes some 20 steps, 10 to 150 ms. Against 96 bins the spread changes by less than 5e-4 of itself. With momentum
    see PAIR_BINS and hdlimit.finite_size.pair_noise.

    Parameters
    ----------
    curve : Integrated
        From predict.
    bins : int, default 48
        Most bins of modes, each with one rate.
    diffusion : {"algorithm", "homogenized"}
        For runs of the algorithm, or for the limiting SDE, whose Q is 4 eta^2 nu diag(c m).
    shifted : bool, default True
        False leaves the shift 0, which is faster for clipping.

    Returns
    -------
    LinearNoise
        Functionals over [0, curve.end].

    Raises
    ------
    NotAvailable
        Where the spread does not exist or is not known.
    """
    checks.one_of("diffusion", diffusion, DIFFUSIONS)
    if not curve.dense.start[:, 0].any() and curve.problem.noise.second_moment == 0:
        return LinearNoise(DenseOutput(np.array([0.0, curve.end]), np.zeros((1, 4)), np.zeros((1, 4, 4))))
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            memory = curve.optimizer.memory
            plain = _System(curve, bins if memory is None else min(bins, PAIR_BINS), diffusion, shifted)
            return LinearNoise(_integrated(curve, plain if memory is None else PairSystem(plain, memory)))
    except OverflowError:
        raise NotAvailable(f"spread: beyond double precision for {curve.optimizer!r}, choose other units") from None


def _integrated(curve: Integrated, system: Any) -> DenseOutput:
    """Integrate the functionals along the curve; raise OverflowError where they leave double precision."""
    ends = stops((system.limit.lr, system.limit.control), curve.horizon, 100 * TOLERANCE)
    ends = np.append(ends[ends < curve.end], curve.end)
    state, first = system.start(), min(float(curve.dense.knots[1]), 1 / system.d)
    knots, start, coefficients = [0.0], [], []
    for left, right in zip(ends[:-1], ends[1:], strict=True):
        t, h = float(left), min(first, float(right - left))
        while t < right:
            if t + 1.001 * h >= right:
                h = float(right) - t
            after, worst, values, dense = _step(system, state, t, h)
            if not worst <= 1.0 and h > 1e-12 * max(t, first):
                h *= max(0.2, 0.9 * worst**-0.2) if worst < math.inf else 0.25
                continue
            if not np.isfinite(dense).all():
                raise OverflowError
            state, t = after, float(right) if t + h >= right else t + h
            knots.append(t)
            start.append(values)
            coefficients.append(dense)
            if len(start) > MOST_STEPS:
                raise NotAvailable(f"spread: more than {MOST_STEPS} steps are needed")
            h *= min(5.0, 0.9 * max(worst, 1e-8) ** -0.2)
    return DenseOutput(np.array(knots), np.array(start), np.array(coefficients))


def _step(system: Any, state: Any, t: float, h: float) -> tuple[Any, float, FloatArray, FloatArray]:
    """Take one step of the ESDIRK pair.

    Returns the new state, its error over the tolerance, the functionals before and their interpolant's coefficients.
    """
    slopes = [system.slope(system.at(t, t, t + h), state)]
    for s in range(1, _NODES.size):
        base = state.plus(h, _A[s, :s], slopes)
        after = system.stage(system.at(t + _NODES[s] * h, t, t + h), base, h * _GAMMA)
        slopes.append(type(base)(*((new - old) / (h * _GAMMA) for new, old in zip(after, base))))
    rates = np.array([system.functionals(slope) for slope in slopes])
    before, now = system.functionals(state), system.functionals(after)
    error = np.abs(h * (_ERRORS @ rates)).max(axis=0)[:2]
    size = np.maximum(np.abs(before), np.abs(now))[:2]
    size[1] = max(size[1], 0.01 * math.sqrt(max(size[0], 0.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(error > 0, error / (TOLERANCE * size), 0.0)
    worst = float(ratio.max()) if np.isfinite(ratio).all() and np.isfinite(now).all() and now[0] >= 0 else math.inf
    return after, worst, before, h * (rates.T @ _DENSE)
