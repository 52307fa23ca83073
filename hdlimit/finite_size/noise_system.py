"""The linear equations of mean, covariance and shift of the modes along a curve."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.finite_size import bias as shift
from hdlimit.finite_size.bias import ClippedNorm, Coefficients
from hdlimit.finite_size.noise_modes import check_spread, noise_modes
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.integrator import value_range
from hdlimit.limit.interpolant import Integrated
from hdlimit.limit.piecewise import tabulate
from hdlimit.limit.system import limit_of
from hdlimit.response.response import Compiled, Response
from hdlimit.response.step_moments import StepMoments, of_map, step_moments

# Relative step of v in the differences that give the slope and the bend of a response; chosen, not measured.
_BEND = 0.02
# Spacing in log v and log c of the grid on which moments of a step are interpolated; chosen, not measured.
GRID = 0.05


class _State(NamedTuple):
    """What is integrated.

    m: bins, shape (n,); e: what is left of the start, squared, shape (n,); p: covariance, shape (n, n); x: shift of the
    mean, shape (n,).
    """

    m: FloatArray
    e: FloatArray
    p: FloatArray
    x: FloatArray

    def plus(self, h: float, weights: Any, slopes: list[_State]) -> _State:
        """Return the state plus h sum_j weights_j slopes_j."""
        used = [(w * h, s) for w, s in zip(weights, slopes) if w != 0]
        return _State(*(field + sum((w * s[k] for w, s in used), np.zeros_like(field)) for k, field in enumerate(self)))


class _System:
    """The linear equations of (m, e, p, x), given the curve."""

    def __init__(self, curve: Integrated, bins: int, diffusion: str, shifted: bool) -> None:
        problem, optimizer = curve.problem, curve.optimizer
        self.curve, self.limit = curve, limit_of(problem, optimizer).explicit(curve.horizon)
        check_spread(self.limit)
        self.modes = noise_modes(problem, optimizer, bins)
        self.batch, self.d = optimizer.batch_size, problem.dimension
        self.linear = FEATURES[optimizer.features].linear
        self.algorithm, self.shifted = diffusion == "algorithm", shifted
        v = np.abs(curve.dense.start[:, 0])
        self.lowest = max(0.9 * float(v[v > 0].min(initial=math.inf)), 1e-100) if v.any() else 1e-100
        v_range = (0.9 * self.lowest, 1.2 * max(float(v.max()), self.lowest))
        c_range = value_range(tabulate(self.limit.control, curve.horizon))
        self.moving = c_range[0] < c_range[1] < math.inf
        self.response: Compiled = self.limit.response.compiled(v_range, c_range).whole()
        self.per_sample = of_map(self.limit.response).map.per_sample
        trace, squares = problem.covariance.trace, problem.covariance.squares
        clips = shifted and self.linear and self.algorithm and not self.per_sample and c_range[0] < math.inf
        self.norm = ClippedNorm.of(self.limit, 2 * squares / trace**2, trace, v_range, c_range) if clips else None

    def start(self) -> _State:
        n = self.modes.rate.size
        return _State(self.modes.start, np.ones(n), np.zeros((n, n)), np.zeros(n))

    def at(self, t: float, left: float, right: float) -> Coefficients:
        """Return the coefficients at a time of the step from left to right, whose schedules are read inside of it."""
        inside = min(t, math.nextafter(right, 0.0))
        eta, c = float(self.limit.lr(inside)), float(self.limit.control(inside))
        reach = 1e-3 * (right - left)
        before, after = max(left, inside - reach), min(math.nextafter(right, 0.0), inside + reach)
        rise = float(self.limit.lr(after)) - float(self.limit.lr(before))
        slope = rise / (after - before) if after > before else 0.0  # a step between neighbouring floats
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
        """Return a, by which v acts on the drift of the bins, shape (n,)."""
        a: FloatArray = -2 * k.eta * k.mu[1] * self.modes.rate * m + k.eta**2 * k.nu[1] * self.modes.diffusion
        return a

    def noise(self, k: Coefficients, m: FloatArray) -> FloatArray:
        """Return Q/d of the bins, shape (n, n)."""
        modes, eta, (nu_2, chi, kappa) = self.modes, k.eta, k.moments
        pull, b = modes.rate * m, modes.diffusion
        cross = np.outer(pull, b)
        q = 4 * eta**2 * (nu_2 - k.mu[0] ** 2) * np.outer(pull, pull) + eta**4 * (kappa - k.nu[0] ** 2) * np.outer(b, b)
        q -= 2 * eta**3 * (chi - k.mu[0] * k.nu[0]) * (cross + cross.T)
        q[np.diag_indices(m.size)] += 4 * eta**2 * k.nu[0] * modes.single * m
        return q / self.d

    def drift(self, k: Coefficients, m: FloatArray) -> FloatArray:
        """Return dm/dt, shape (n,)."""
        rate, b = self.modes.rate, self.modes.diffusion
        f: FloatArray = -2 * k.eta * k.mu[0] * rate * m + k.eta**2 * k.nu[0] * b
        return f

    def push(self, k: Coefficients, s: _State) -> FloatArray:
        """Return what drives the shift of the mean, shape (n,)."""
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
        if not self.per_sample:
            return push + shift.cubic(k, modes.rate, fourth, self.batch)
        of_pairs: FloatArray = k.eta**2 / self.d * (1 - 1 / self.batch) * k.mu[0] ** 2 * modes.rate**2 * s.m
        return push + of_pairs + shift.cubic(k, modes.rate, fourth, 1)

    def bend(self, k: Coefficients, m: FloatArray) -> FloatArray:
        """Return m'', the second time derivative of the bins, shape (n,)."""
        rate, b, f = self.modes.rate, self.modes.diffusion, self.drift(k, m)
        explicit = k.slope * (-2 * k.mu[0] * rate * m + 2 * k.eta * k.nu[0] * b)
        bend: FloatArray = -2 * k.eta * k.mu[0] * rate * f + self.feedback(k, m) * float(rate @ f) + explicit
        return bend

    def slope(self, k: Coefficients, s: _State) -> _State:
        """Return the time derivative of the state."""
        decay, a = 2 * k.eta * k.mu[0] * self.modes.rate, self.feedback(k, s.m)
        y = s.p @ self.modes.rate
        back = np.outer(a, y)
        p = back + back.T - (decay[:, None] + decay) * s.p + self.noise(k, s.m)
        x = -decay * s.x + a * float(self.modes.rate @ s.x) + self.push(k, s)
        return _State(self.drift(k, s.m), -decay * s.e, p, x)

    def stage(self, k: Coefficients, base: _State, hg: float) -> _State:
        """Solve s - hg slope(s) = base for the state s."""
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
        """Return Var v and the shifts of the three functionals, shape (4,)."""
        rate = self.modes.rate
        return np.append(rate @ s.p @ rate, self.modes.functionals @ s.x)


def shares(response: Response, v: float, c: float, moving: bool) -> FloatArray:
    """Return (nu_2/mu^2, chi/(mu nu), kappa/nu^2), linear in log v (and in log c, where it moves) on a grid of GRID."""
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
