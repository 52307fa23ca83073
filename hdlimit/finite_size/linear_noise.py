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
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.finite_size import bias as shift
from hdlimit.finite_size.bias import ClippedNorm, Coefficients
from hdlimit.kernels import formulas
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.integrator import value_range
from hdlimit.limit.interpolant import DenseOutput, Integrated
from hdlimit.limit.modes import basis
from hdlimit.limit.piecewise import stops, tabulate
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import has_spread
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.problem import Problem
from hdlimit.response.response import Compiled, Response
from hdlimit.response.step_moments import StepMoments, of_map, step_moments

BINS = 48
GRID = 0.05
TOLERANCE = 1e-4
MOST_STEPS = 20_000
DIFFUSIONS = ("algorithm", "homogenized")

_A = np.array(formulas.A)
_ERRORS = np.array([np.subtract(formulas.B, formulas.B_HAT), formulas.SECOND])
_NODES = np.array(formulas.C)
_DENSE = np.array(formulas.DENSE)
_GAMMA = formulas.A[1][1]
_BEND = 0.02


@dataclass(frozen=True)
class NoiseModes:
    """Bins of modes whose fluctuations are followed.

    rate: lambda > 0 of each bin, shape (n,); single: c of one mode of it, shape (n,); diffusion: b = (sum of c)/d,
    shape (n,); start: M(0) = sum of m_i(0), shape (n,); fourth: sum of m_i(0)^2, shape (n,); count: modes in each bin,
    shape (n,); functionals: weights of v, norm(delta)^2 and norm(K delta)^2, shape (3, n).
    """

    rate: FloatArray
    single: FloatArray
    diffusion: FloatArray
    start: FloatArray
    fourth: FloatArray
    count: FloatArray
    functionals: FloatArray


def noise_modes(problem: Problem, optimizer: Optimizer, bins: int = BINS) -> NoiseModes:
    """The modes of a problem in at most `bins` geometric bins of the rate; those of rate 0 do not enter R.

    A bin keeps lambda c and lambda m(0) summed over its modes. Raises: NotAvailable for sign features with a covariance
    that is not diagonal, whose modes do not diffuse independently.
    """
    rate, m, noise, gain, each = _modes_and_counts(problem, optimizer.features)
    distinct, group = np.unique(rate, return_inverse=True)
    if distinct.size > bins:
        edges = np.geomspace(rate.min() * (1 - 1e-12), rate.max() * (1 + 1e-12), bins + 1)
        _, group = np.unique(np.searchsorted(edges, rate, side="right"), return_inverse=True)

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(group, values * each).astype(np.float64)

    mean, count = total(rate * noise) / total(noise), total(np.ones(rate.size))
    single = problem.dimension * total(rate * noise) / (count * mean)
    weighted, fourth = total(rate * m) / mean, total((rate * m) ** 2) / mean**2
    weights = np.stack([mean, total(noise * gain) / total(noise), total(noise * rate**2 / gain) / total(noise)])
    return NoiseModes(mean, single, total(noise), weighted, fourth, count, weights)


def _modes_and_counts(
    problem: Problem, features: str
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray | float]:
    """Rate > 0, m(0), c/d and gain of single modes, and how many there are of each."""
    if problem.uniform and (nodes := problem.covariance.nodes) is not None:
        g, d = FEATURES[features], problem.dimension
        gain = g.gain(nodes.value)
        return gain * nodes.value, 1 / (d * gain), g.variance(nodes.value) / gain / d, gain, nodes.mass
    b = basis(problem.covariance, features)
    if b.noise.ndim == 2:
        raise NotAvailable(
            "spread: known for sign features with a diagonal covariance only; simulate(...).spread measures it"
        )
    w, moving = b.coordinates(problem.initial_error), b.rate > 0
    return b.rate[moving], w[moving] ** 2, b.noise[moving], b.gain[moving], 1.0


def check_spread(problem: Problem, optimizer: Optimizer) -> None:
    """Raise NotAvailable where single runs have no finite variance."""
    if not has_spread(problem, optimizer):
        raise NotAvailable(
            f"spread: E eps^4 is infinite for {problem.noise!r}, so that single runs of {optimizer!r} have no finite "
            "variance; their mean curve exists"
        )


class LinearNoise(NamedTuple):
    """Var v and the shifts of E v, E norm(delta)^2 and E norm(K delta)^2: functionals 0 to 3 of an interpolant."""

    dense: DenseOutput

    def spread(self, t: FloatArray) -> FloatArray:
        """Standard deviation of the risk of one run at times t."""
        deviation: FloatArray = np.sqrt(np.maximum(self.dense(t, 0), 0.0)) / 2
        return deviation

    def shift(self, t: FloatArray) -> FloatArray:
        """Mean risk of runs minus the limit curve at times t, to first order in 1/d."""
        return self.dense(t, 1) / 2


class _State(NamedTuple):
    """m: bins, shape (n,); e: what is left of the start, squared, shape (n,); p: covariance, shape (n, n); x: shift of
    the mean, shape (n,).
    """

    m: FloatArray
    e: FloatArray
    p: FloatArray
    x: FloatArray

    def plus(self, h: float, weights: Any, slopes: list[_State]) -> _State:
        """The state plus h sum_j weights_j slopes_j."""
        used = [(w * h, s) for w, s in zip(weights, slopes) if w != 0]
        return _State(*(field + sum((w * s[k] for w, s in used), np.zeros_like(field)) for k, field in enumerate(self)))


class _System:
    """The linear equations of (m, e, p, x), given the curve."""

    def __init__(self, curve: Integrated, bins: int, diffusion: str, shifted: bool) -> None:
        problem, optimizer = curve.problem, curve.optimizer
        check_spread(problem, optimizer)
        self.curve, self.limit = curve, limit_of(problem, optimizer)
        self.modes = noise_modes(problem, optimizer, bins)
        self.batch, self.d = optimizer.batch_size, problem.dimension
        self.linear = FEATURES[optimizer.features].linear
        self.algorithm, self.shifted = diffusion == "algorithm", shifted
        v = np.abs(curve.dense.start[:, 0])
        self.lowest = max(0.9 * float(v[v > 0].min(initial=math.inf)), 1e-100) if v.any() else 1e-100
        v_range = (0.9 * self.lowest, 1.2 * max(float(v.max()), self.lowest))
        c_range = value_range(tabulate(self.limit.threshold, curve.horizon))
        self.moving = c_range[0] < c_range[1] < math.inf
        self.response: Compiled = self.limit.response.compiled(v_range, c_range)
        trace, squares = problem.covariance.trace, problem.covariance.squares
        clips = (
            shifted
            and self.linear
            and self.algorithm
            and of_map(self.limit.response).map.table is None
            and c_range[0] < math.inf
        )
        self.norm = ClippedNorm.of(self.limit, 2 * squares / trace**2, trace, v_range, c_range) if clips else None

    def start(self) -> _State:
        n = self.modes.rate.size
        return _State(self.modes.start, np.ones(n), np.zeros((n, n)), np.zeros(n))

    def at(self, t: float, left: float, right: float) -> Coefficients:
        """Coefficients at a time of the step from left to right, whose schedules are read inside of it."""
        inside = min(t, math.nextafter(right, 0.0))
        eta, c = float(self.limit.lr(inside)), float(self.limit.threshold(inside))
        reach = 1e-3 * (right - left)
        before, after = max(left, inside - reach), min(math.nextafter(right, 0.0), inside + reach)
        slope = (float(self.limit.lr(after)) - float(self.limit.lr(before))) / (after - before)
        v = max(float(self.curve.dense(np.array(t), 0)), self.lowest)
        values = [self.response.kernel(v * (1 + k * _BEND), c, self.response.parameters) for k in (-1, 0, 1)]
        mu, nu = (_derivatives([value[i] for value in values], _BEND * v) for i in (0, 1))
        return Coefficients(eta, slope, c, v, mu, nu, self._moments(v, c, mu[0], nu[0]))

    def _moments(self, v: float, c: float, mu: float, nu: float) -> StepMoments:
        if not self.algorithm:
            return StepMoments(mu * mu, mu * nu, nu * nu)
        a, b, d = shares(self.limit.response, v, c, self.moving)
        return StepMoments(a * mu * mu, b * mu * nu, d * nu * nu)

    def feedback(self, k: Coefficients, m: FloatArray) -> FloatArray:
        """a: how v acts on the drift of the bins."""
        a: FloatArray = -2 * k.eta * k.mu[1] * self.modes.rate * m + k.eta**2 * k.nu[1] * self.modes.diffusion
        return a

    def noise(self, k: Coefficients, m: FloatArray) -> FloatArray:
        """Q/d of the bins, shape (n, n)."""
        modes, eta, (nu_2, chi, kappa) = self.modes, k.eta, k.moments
        pull, b = modes.rate * m, modes.diffusion
        cross = np.outer(pull, b)
        q = 4 * eta**2 * (nu_2 - k.mu[0] ** 2) * np.outer(pull, pull) + eta**4 * (kappa - k.nu[0] ** 2) * np.outer(b, b)
        q -= 2 * eta**3 * (chi - k.mu[0] * k.nu[0]) * (cross + cross.T)
        q[np.diag_indices(m.size)] += 4 * eta**2 * k.nu[0] * modes.single * m
        return q / self.d

    def drift(self, k: Coefficients, m: FloatArray) -> FloatArray:
        """dm/dt."""
        rate, b = self.modes.rate, self.modes.diffusion
        f: FloatArray = -2 * k.eta * k.mu[0] * rate * m + k.eta**2 * k.nu[0] * b
        return f

    def push(self, k: Coefficients, s: _State) -> FloatArray:
        """What drives the shift of the mean, shape (n,)."""
        modes = self.modes
        if not self.shifted:
            return np.zeros(modes.rate.size)
        push = shift.fluctuating(k, modes.rate, modes.diffusion, s.m, s.p @ modes.rate)
        if not self.algorithm:
            return push
        push = push - self.bend(k, s.m) / (2 * self.d)
        if self.linear:
            return push + shift.identity(k, modes.rate, modes.diffusion, s.m, self.d, self.norm)
        spread = np.maximum(s.m - modes.start * s.e, 0.0) / modes.count
        fourth = modes.fourth * s.e**2 + 6 * spread * modes.start * s.e + 3 * modes.count * spread**2
        return push + shift.cubic(k, modes.rate, fourth, self.batch)

    def bend(self, k: Coefficients, m: FloatArray) -> FloatArray:
        """m'', the second time derivative of the bins."""
        rate, b, f = self.modes.rate, self.modes.diffusion, self.drift(k, m)
        explicit = k.slope * (-2 * k.mu[0] * rate * m + 2 * k.eta * k.nu[0] * b)
        bend: FloatArray = -2 * k.eta * k.mu[0] * rate * f + self.feedback(k, m) * float(rate @ f) + explicit
        return bend

    def slope(self, k: Coefficients, s: _State) -> _State:
        """The time derivative of the state."""
        decay, a = 2 * k.eta * k.mu[0] * self.modes.rate, self.feedback(k, s.m)
        y = s.p @ self.modes.rate
        back = np.outer(a, y)
        p = back + back.T - (decay[:, None] + decay) * s.p + self.noise(k, s.m)
        x = -decay * s.x + a * float(self.modes.rate @ s.x) + self.push(k, s)
        return _State(self.drift(k, s.m), -decay * s.e, p, x)

    def stage(self, k: Coefficients, base: _State, hg: float) -> _State:
        """The state s with s - hg slope(s) = base."""
        rate = self.modes.rate
        decay = 2 * hg * k.eta * k.mu[0] * rate
        m = (base.m + hg * k.eta**2 * k.nu[0] * self.modes.diffusion) / (1 + decay)
        e, a = base.e / (1 + decay), hg * self.feedback(k, m)
        weight = 1 / (1 + decay[:, None] + decay)
        known = weight * (base.p + hg * self.noise(k, m))
        matrix = -a[:, None] * weight * rate
        matrix[np.diag_indices(rate.size)] += 1 - (weight * rate) @ a
        y = np.linalg.solve(matrix, known @ rate)
        back = np.outer(a, y)
        p = known + weight * (back + back.T)
        known_x = (base.x + hg * self.push(k, _State(m, e, p, base.x))) / (1 + decay)
        total = float(rate @ known_x) / (1 - float(rate @ (a / (1 + decay))))
        return _State(m, e, p, known_x + a * total / (1 + decay))

    def functionals(self, s: _State) -> FloatArray:
        """Var v and the shifts of the three functionals."""
        rate = self.modes.rate
        return np.append(rate @ s.p @ rate, self.modes.functionals @ s.x)


def shares(response: Response, v: float, c: float, moving: bool) -> FloatArray:
    """(nu_2/mu^2, chi/(mu nu), kappa/nu^2), linear in log v (and in log c, where it moves) on a grid of GRID."""
    x = math.log(v) / GRID
    left = math.floor(x)
    near = [(left, 1 - (x - left)), (left + 1, x - left)]
    if not moving or c <= 0:
        return sum((weight * _at_node(response, k, c) for k, weight in near), np.zeros(3))
    y = math.log(c) / GRID
    low = math.floor(y)
    across = [(low, 1 - (y - low)), (low + 1, y - low)]
    pairs = ((k, j, p * q) for k, p in near for j, q in across)
    return sum((weight * _at_node(response, k, math.exp(j * GRID)) for k, j, weight in pairs), np.zeros(3))


@lru_cache(maxsize=8192)
def _at_node(response: Response, k: int, c: float) -> FloatArray:
    v = math.exp(k * GRID)
    (mu, nu), (nu_2, chi, kappa) = response(v, c), step_moments(response, v, c)
    if mu == 0 or nu == 0:
        return np.zeros(3)
    return np.array([nu_2 / mu**2, chi / (mu * nu), kappa / nu**2])


def _derivatives(values: list[float], h: float) -> tuple[float, float, float]:
    low, middle, high = values
    return middle, (high - low) / (2 * h), (high - 2 * middle + low) / h**2


def linear_noise(
    curve: Integrated, *, bins: int = BINS, diffusion: str = "algorithm", shifted: bool = True
) -> LinearNoise:
    """Integrate the covariance of the modes and the shift of the mean along a curve.

    Some 20 steps, 10 to 150 ms. Against 96 bins the spread
    changes by less than 5e-4 of itself.

    curve: from predict; bins: most bins of modes, each with one rate; diffusion: "algorithm" for runs of the
    algorithm, "homogenized" for the limiting SDE, whose Q is 4 eta^2 nu diag(c m); shifted: False leaves the shift 0,
    which is faster for clipping. Returns: a LinearNoise over [0, curve.end]. Raises: NotAvailable where the spread does
    not exist or is not known.
    """
    checks.one_of("diffusion", diffusion, DIFFUSIONS)
    if not curve.dense.start[:, 0].any() and curve.problem.noise.second_moment == 0:
        return LinearNoise(DenseOutput(np.array([0.0, curve.end]), np.zeros((1, 4)), np.zeros((1, 4, 4))))
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return LinearNoise(_integrated(curve, _System(curve, bins, diffusion, shifted)))
    except OverflowError:
        raise NotAvailable(f"spread: beyond double precision for {curve.optimizer!r}, choose other units") from None


def _integrated(curve: Integrated, system: _System) -> DenseOutput:
    """The functionals along the curve; raises OverflowError where they leave double precision."""
    ends = stops((system.limit.lr, system.limit.threshold), curve.horizon, 100 * TOLERANCE)
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


def _step(system: _System, state: _State, t: float, h: float) -> tuple[_State, float, FloatArray, FloatArray]:
    """One step of the ESDIRK pair: the new state, its error over the tolerance, the functionals before and their
    interpolant's coefficients.
    """
    slopes = [system.slope(system.at(t, t, t + h), state)]
    for s in range(1, _NODES.size):
        base = state.plus(h, _A[s, :s], slopes)
        after = system.stage(system.at(t + _NODES[s] * h, t, t + h), base, h * _GAMMA)
        slopes.append(_State(*((new - old) / (h * _GAMMA) for new, old in zip(after, base))))
    rates = np.array([system.functionals(slope) for slope in slopes])
    before, now = system.functionals(state), system.functionals(after)
    error = np.abs(h * (_ERRORS @ rates)).max(axis=0)[:2]
    size = np.maximum(np.abs(before), np.abs(now))[:2]
    size[1] = max(size[1], 0.01 * math.sqrt(max(size[0], 0.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(error > 0, error / (TOLERANCE * size), 0.0)
    worst = float(ratio.max()) if np.isfinite(ratio).all() and np.isfinite(now).all() and now[0] >= 0 else math.inf
    return after, worst, before, h * (rates.T @ _DENSE)
