"""Mean, covariance and shift of modes of two numbers, (delta, y) with momentum, along a curve.

A bin has S = (S_11, S_12, S_22), which obeys dS_i/dt = L_i S_i + nu b_i, L_i the matrix of A_i S + S A_i^T and
b_i = (w w^T) c_i/d as three numbers. With Pi_i = lambda_i (S_i e w^T + w e^T S_i), e = (1, 0), and the moments of a
step of hdlimit.response.step_moments,

    dP/dt = J P + P J^T + Q/d,   J = diag(L_i) + a l^T,   a = mu' Pi + nu' b,   l = lambda on S_11,
    Q = diag(D_i) + (nu_2 - mu^2) Pi Pi^T + (chi - mu nu) (Pi b^T + b Pi^T) + (kappa - nu^2) b b^T,
    D_i = nu c_i E (X w^T + w X^T)(X w^T + w X^T).

The shift x of the mean obeys dx/dt = J x + the sum of

- fluctuations, y = P l: mu' Pi(y) + (1/2) Var v (mu'' Pi + nu'' b)
- steps of 1/d: L and b are those of the flow that does in 1/d what a step does in the mean, as y may forget in a few
  steps; and a step reads mu, nu and lr at its beginning, half a step early
- clipping of the true norm: the change of mu and nu, as in hdlimit.finite_size.bias
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.finite_size.bias import ClippedNorm, Coefficients
from hdlimit.finite_size.noise_modes import NoiseModes
from hdlimit.optimizers.base import Memory

# Least share of a mode that a step of the algorithm takes, for a logarithm with an inverse: its error times d t against
# that of rounding over it. Chosen, not measured.
SLOWEST = 1e-11


class Plain(Protocol):
    """What is known of the curve; see hdlimit.finite_size.noise_system."""

    modes: NoiseModes
    d: int
    batch: int
    norm: ClippedNorm | None
    shifted: bool
    limit: Any

    def at(self, t: float, left: float, right: float) -> Coefficients:
        """Return the coefficients at a time of the step from left to right."""


class PairState(NamedTuple):
    """What is integrated: S of the bins, (3 n,), covariance, (3 n, 3 n), shift, (3 n,), number by number."""

    m: FloatArray
    p: FloatArray
    x: FloatArray

    def plus(self, h: float, weights: Any, slopes: list[PairState]) -> PairState:
        """Return the state plus h sum_j weights_j slopes_j."""
        used = [(w * h, s) for w, s in zip(weights, slopes) if w != 0]
        return PairState(*(part + sum(w * s[k] for w, s in used) for k, part in enumerate(self)))


class Laws(NamedTuple):
    """At one time: the matrices L_i, shape (n, 3, 3); b, (3, n); w."""

    matrix: FloatArray
    b: FloatArray
    w: tuple[float, float]


def of_moments(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the matrix on (S_11, S_12, S_22) of (A S B^T + B S A^T)/2, shape (n, 3, 3)."""
    both = np.einsum("nrs,nct->nrcst", a, b)
    both = (both + both.transpose(0, 2, 1, 4, 3)) / 2
    rows = np.stack([both[:, 0, 0], both[:, 0, 1], both[:, 1, 1]], axis=1)
    found: FloatArray = np.stack([rows[:, :, 0, 0], rows[:, :, 0, 1] + rows[:, :, 1, 0], rows[:, :, 1, 1]], axis=2)
    return found


def logarithm(a: FloatArray) -> FloatArray:
    """Return the logarithms of 2 x 2 matrices with determinants and traces > 0, to second order of others.

    log A = log(det A)/2 + (A - s) artanh(q/s)/q with s = tr(A)/2 and q^2 = s^2 - det A.
    """
    s, det = np.trace(a, axis1=1, axis2=2) / 2, np.linalg.det(a)
    small, one = a - np.eye(2), np.eye(2)
    near: FloatArray = small - small @ small / 2
    with np.errstate(all="ignore"):
        ratio = np.sqrt((1 - det / s**2).astype(complex))
        slope = np.where(np.abs(ratio) > 1e-4, np.arctanh(ratio) / ratio, 1 + ratio**2 / 3).real / s
        exact = (np.log(det) / 2)[:, None, None] * one + slope[:, None, None] * (a - s[:, None, None] * one)
    good = (s > 0) & (det > 0) & np.isfinite(exact).all(axis=(1, 2))
    return np.where(good[:, None, None], exact, near)


class PairSystem:
    """The linear equations of (m, p, x), given the curve.

    Parameters
    ----------
    plain : Plain
        What is known of the curve.
    memory : Memory
        The buffer.
    """

    def __init__(self, plain: Plain, memory: Memory) -> None:
        self.plain, self.memory = plain, memory
        self.modes, self.d, self.limit = plain.modes, plain.d, plain.limit
        self.n = self.modes.rate.size
        self.weight = np.concatenate([self.modes.rate, np.zeros(2 * self.n)])

    def at(self, t: float, left: float, right: float) -> Coefficients:
        """Return the coefficients at a time of the step from left to right."""
        return self.plain.at(t, left, right)

    def start(self) -> PairState:
        """Return the state at t = 0: with dampening the first gradient is in y, and as random as a step is.

        The algorithm forgets 1 - beta of what y holds within the step in which the limit has just begun.
        """
        zero, beta, w = np.zeros(self.n), self.memory.momentum, 1 - self.memory.momentum
        m, x = np.concatenate([self.modes.start, zero, zero]), np.zeros(3 * self.n)
        p = np.zeros((x.size, x.size))
        if self.memory.dampening > 0:
            k = self.at(0.0, 0.0, float(self.limit.step))
            share, pull = w / (1 - self.memory.dampening), k.mu[0] * self.modes.rate * self.modes.start
            cross, excess = (share - w) * pull, share**2 - w**2
            along = (1 + 1 / self.plain.batch) * k.mu[0] * self.modes.rate * pull  # as the limit has it
            square = excess * (k.nu[0] * self.modes.diffusion * self.d + along)
            p = self._noise(k, m, (0.0, share * self.d)) / self.d
            after = excess / beta**2 * self._square(k, self.modes.start)
            x = np.concatenate([zero, cross * (1 / beta - 1), after - square])
            m = np.concatenate([self.modes.start, cross, square])
        return PairState(m, p, x)

    def _square(self, k: Coefficients, s11: FloatArray) -> FloatArray:
        """Return E g^2 along the modes of every bin, (n,)."""
        square: FloatArray = k.nu[0] * self.modes.diffusion * self.d + k.moments.nu_2 * self.modes.rate**2 * s11
        return square

    def _laws(self, k: Coefficients) -> Laws:
        """Return L, b and w."""
        m11, m12, m21, m22, w1, w2 = (self.limit.modes.block[0] + k.eta * self.limit.modes.block[1]).tolist()
        pull = k.mu[0] * self.modes.rate
        a11, a21 = m11 + pull * w1, m21 + pull * w2
        matrix = np.zeros((self.n, 3, 3))
        matrix[:, 0, 0], matrix[:, 0, 1] = 2 * a11, 2 * m12
        matrix[:, 1, 0], matrix[:, 1, 1], matrix[:, 1, 2] = a21, a11 + m22, m12
        matrix[:, 2, 1], matrix[:, 2, 2] = 2 * a21, 2 * m22
        b = np.multiply.outer([w1 * w1, w1 * w2, w2 * w2], self.modes.diffusion)
        return Laws(matrix, b, (w1, w2))

    def _pulled(self, s: FloatArray, w: tuple[float, float]) -> FloatArray:
        """Return Pi of S, (3 n,)."""
        s11, s12, _ = s.reshape(3, -1)
        return np.concatenate([2 * w[0] * s11, w[1] * s11 + w[0] * s12, 2 * w[1] * s12]) * np.tile(self.modes.rate, 3)

    def _feedback(self, k: Coefficients, laws: Laws, m: FloatArray) -> FloatArray:
        """Return a, (3 n,)."""
        return k.mu[1] * self._pulled(m, laws.w) + k.nu[1] * laws.b.ravel()

    def _noise(self, k: Coefficients, m: FloatArray, w: tuple[float, float]) -> FloatArray:
        """Return Q/d, (3 n, 3 n)."""
        (w1, w2), (nu_2, chi, kappa), n = w, k.moments, self.n
        s11, s12, s22 = m.reshape(3, -1)
        pull = self._pulled(m, w)
        b = np.multiply.outer([w1 * w1, w1 * w2, w2 * w2], self.modes.diffusion).ravel()
        q = (nu_2 - k.mu[0] ** 2) * np.outer(pull, pull) + (kappa - k.nu[0] ** 2) * np.outer(b, b)
        cross = (chi - k.mu[0] * k.nu[0]) * np.outer(pull, b)
        q += cross + cross.T
        own = np.array([
            [4 * w1 * w1 * s11, 2 * w1 * (w2 * s11 + w1 * s12), 4 * w1 * w2 * s12],
            [0 * s11, w2 * w2 * s11 + 2 * w1 * w2 * s12 + w1 * w1 * s22, 2 * w2 * (w2 * s12 + w1 * s22)],
            [0 * s11, 0 * s11, 4 * w2 * w2 * s22],
        ]) * (k.nu[0] * self.modes.single)  # fmt: skip
        places = np.arange(n)
        for i in range(3):
            for j in range(3):
                q[i * n + places, j * n + places] += own[min(i, j), max(i, j)]
        return q / self.d

    def _drift(self, k: Coefficients, laws: Laws, m: FloatArray) -> FloatArray:
        """Return dm/dt, (3 n,)."""
        return self._times(laws, m) + k.nu[0] * laws.b.ravel()

    def _times(self, laws: Laws, x: FloatArray) -> FloatArray:
        """Return L x of numbers, (3 n,), or of the rows of a matrix, (3 n, anything)."""
        parts = x.reshape(3, self.n, -1)
        found: FloatArray = np.einsum("irs,sit->rit", laws.matrix, parts).reshape(x.shape)
        return found

    def _push(self, k: Coefficients, laws: Laws, steps: Laws, s: PairState) -> FloatArray:
        """Return what drives the shift, (3 n,)."""
        if not self.plain.shifted:
            return np.zeros(3 * self.n)
        y = s.p @ self.weight
        variance, pull, b = float(self.weight @ y), self._pulled(s.m, laws.w), laws.b.ravel()
        push = k.mu[1] * self._pulled(y, laws.w) + variance / 2 * (k.mu[2] * pull + k.nu[2] * b)
        flow = self._drift(k, laws, s.m)
        late = self._feedback(k, laws, s.m) * float(self.weight @ flow)
        if k.slope != 0:
            late = late + k.slope * self._slope_in_lr(s.m)
        push = push + self._drift(k, steps, s.m) - flow - late / (2 * self.d)
        if (norm := self.plain.norm) is None:
            return push
        rate = self.modes.rate
        tilt = float(rate**2 @ s.m[: self.n]) / (k.v * norm.trace)
        change = norm.at(k, tilt)
        of_mu = change.mu + 2 * change.mu_q / norm.trace * (rate - tilt * norm.trace)
        of_nu = change.nu + 2 * change.nu_q * rate / norm.trace
        return push + np.tile(of_mu, 3) * pull + np.tile(of_nu, 3) * b

    def _slope_in_lr(self, m: FloatArray) -> FloatArray:
        """Return the derivative of the drift in lr, (3 n,): that of M alone."""
        _, m12, _, _, _, _ = self.limit.modes.block[1].tolist()
        _, s12, s22 = m.reshape(3, -1)
        return np.concatenate([2 * m12 * s12, m12 * s22, 0 * s22])

    def _steps(self, k: Coefficients, laws: Laws) -> Laws:
        """Return the laws of the flow that, in a time 1/d, does what a step of the algorithm does in the mean.

        A step takes S to A S A^T + u u^T E g^2, E g^2 = nu c + (nu_2 - mu^2) lambda^2 S_11.
        """
        beta, w, d = self.memory.momentum, 1 - self.memory.momentum, self.d
        pace, rate = k.eta * self.memory.gain / d, self.modes.rate
        back, ahead = (beta * beta, 1 + beta) if self.memory.nesterov else (beta, 1.0)
        u1, u2 = -pace * ahead * w, w
        a, one = np.empty((self.n, 2, 2)), np.broadcast_to(np.eye(2), (self.n, 2, 2))
        a[:, 0, 0], a[:, 0, 1] = 1 - np.maximum(-u1 * k.mu[0] * rate, SLOWEST), -pace * back
        a[:, 1, 0], a[:, 1, 1] = u2 * k.mu[0] * rate, beta
        flow = d * logarithm(a)
        matrix = of_moments(flow, one) + of_moments(one, flow)
        # In the time of a step a constant source s adds (exp(matrix/d) - 1) matrix^-1 s: here u u^T.
        added = np.broadcast_to(np.array([u1 * u1, u1 * u2, u2 * u2])[:, None], (self.n, 3, 1))
        unit = (matrix @ np.linalg.solve(of_moments(a, a) - np.eye(3), added))[..., 0]
        matrix[:, :, 0] += ((k.moments.nu_2 - k.mu[0] ** 2) * rate**2)[:, None] * unit
        return Laws(matrix, (unit * (self.modes.diffusion * d)[:, None]).T, laws.w)

    def slope(self, k: Coefficients, s: PairState) -> PairState:
        """Return the time derivative of the state."""
        laws = self._laws(k)
        a = self._feedback(k, laws, s.m)
        back = self._times(laws, s.p) + np.outer(a, s.p @ self.weight)
        steps = self._steps(k, laws)
        x = self._times(steps, s.x) + a * float(self.weight @ s.x) + self._push(k, laws, steps, s)
        return PairState(self._drift(k, laws, s.m), back + back.T + self._noise(k, s.m, laws.w), x)

    def stage(self, k: Coefficients, base: PairState, hg: float) -> PairState:
        """Solve s - hg slope(s) = base for the state s."""
        laws = self._laws(k)
        steps = self._steps(k, laws)
        m = self._solved(laws, hg, base.m + hg * k.nu[0] * laws.b.ravel())
        a = self._feedback(k, laws, m)
        p = self._covariance(laws, a, base.p + hg * self._noise(k, m, laws.w), hg)
        known = self._solved(steps, hg, base.x + hg * self._push(k, laws, steps, PairState(m, p, base.x)))
        gain = hg * self._solved(steps, hg, a)
        x = known + gain * float(self.weight @ known) / (1 - float(self.weight @ gain))
        return PairState(m, p, x)

    def _solved(self, laws: Laws, hg: float, x: FloatArray) -> FloatArray:
        """Solve y - hg L y = x."""
        rows = x.reshape(3, -1).T[..., None]
        found = np.linalg.solve(np.eye(3) - hg * laws.matrix, rows)[..., 0]
        return np.asarray(found.T.ravel(), dtype=np.float64)

    def _covariance(self, laws: Laws, a: FloatArray, known: FloatArray, hg: float) -> FloatArray:
        """Solve P - hg (J P + P J^T) = known: every pair of bins by itself, given y = P l, and a linear system in y."""
        n, one, rate = self.n, np.eye(3), self.modes.rate
        left, right = np.einsum("irs,ct->ircst", laws.matrix, one), np.einsum("jct,rs->jrcst", laws.matrix, one)
        matrix = np.eye(9).reshape(3, 3, 3, 3) - hg * (left[:, None] + right[None])
        inverse = np.linalg.inv(matrix.reshape(n, n, 9, 9)).reshape(n, n, 3, 3, 3, 3)
        blocks, vector = known.reshape(3, n, 3, n).transpose(1, 3, 0, 2), a.reshape(3, n).T
        parts = np.einsum("ijrcst,ijst->ijrc", inverse, blocks)
        first = inverse[:, :, :, 0] * rate[:, None, None, None]
        of_other = np.einsum("ijrst,is->irjt", first, vector)
        of_own = np.einsum("ijrst,jt->irs", first, vector)
        system = -hg * of_other
        system[np.arange(n), :, np.arange(n), :] -= hg * of_own
        system = np.eye(3 * n) + system.reshape(3 * n, 3 * n)
        y = np.linalg.solve(system, np.einsum("ijr,j->ir", parts[..., 0], rate).ravel()).reshape(n, 3)
        outer = np.einsum("is,jt->ijst", vector, y)
        parts += hg * np.einsum("ijrcst,ijst->ijrc", inverse, outer + outer.transpose(1, 0, 3, 2))
        found: FloatArray = parts.transpose(2, 0, 3, 1).reshape(3 * n, 3 * n)
        return found

    def functionals(self, s: PairState) -> FloatArray:
        """Return Var v and the shifts of the three functionals, shape (4,)."""
        return np.append(self.weight @ s.p @ self.weight, self.modes.functionals @ s.x[: self.n])
