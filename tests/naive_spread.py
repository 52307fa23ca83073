"""A slow, obviously right twin of the spread of runs: THEORY section 7 with dense matrices, moments from definitions.

One step of batch B pulls with H = (1/B) sum psi_j z_j and adds noise with N = (1/B^2) sum psi_j^2 (clip of the mean
gradient: psi_j = r_j min(1, c B/sqrt(S)), S = sum r_j^2; sign of the mean: H = <r, z>/sqrt(S), N = 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from naive import noise_parts
from numpy.polynomial.chebyshev import chebpts1, chebvander2d
from scipy import integrate, special
from scipy.stats import qmc

from hdlimit.core.declaration import FloatArray
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual import ResidualSGD
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.schedules import Schedule
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.optimizers.sgd import ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.problem.noise import Gaussian, Laplace, NoNoise, StudentT
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem

Kind = str | ResidualTable
_X, _W = np.polynomial.legendre.leggauss(24)
_PANELS = np.array([-13.0, -6, -3, -1, 0, 1, 3, 6, 13])


class Moments(NamedTuple):
    """E H/v, E N, Var H, Cov(H, N), Var N of one step, given v."""

    mu: float
    nu: float
    var_h: float
    cov: float
    var_n: float


def psi(kind: Kind, r: FloatArray, c: float) -> FloatArray:
    """The residual map of one sample."""
    if isinstance(kind, ResidualTable):
        rows = np.array([np.interp(r, kind.residuals, row) for row in kind.scores])
        x = np.interp(math.log(c), np.log(kind.levels), np.arange(len(kind.levels)))
        low = min(int(x), len(kind.levels) - 2)
        return rows[low] + (x - low) * (rows[low + 1] - rows[low])
    return {"identity": r, "clip": np.clip(r, -c, c), "sign": np.sign(r)}[kind]


def _kinks(kind: Kind, c: float) -> list[float]:
    if isinstance(kind, ResidualTable):
        return list(kind.residuals)
    return {"identity": [], "clip": [-c, c] if c < math.inf else [], "sign": [0.0]}[kind]


def single(kind: Kind, noise: NoiseLaw, v: float, c: float) -> tuple[FloatArray, ...]:
    """E psi z, E psi^2, E (psi z)^2, E psi^3 z, E psi^4 of one sample.

    Given its normal component of mean m and variance s^2, eps makes r = z - eps normal, and z given r normal too: an
    integral over r by Gauss-Legendre between the kinks of psi. The identity needs moments of eps only.
    """
    if kind == "identity" or (kind == "clip" and c == math.inf):
        second, fourth = noise.second_moment, noise.fourth_moment
        r2, r4 = v + second, 3 * v**2 + 6 * v * second + fourth
        return v, r2, 3 * v**2 + v * second, 3 * v**2 + 3 * v * second, r4
    weight, mean, variance = noise_parts(noise)
    if isinstance(noise, StudentT | Laplace):  # a trapezoid rule of step 0.02, where 0.1 does
        kept = np.flatnonzero(weight > 1e-13)[::5]
        weight, mean, variance = 5 * weight[kept], mean[kept], variance[kept]
    t = np.sqrt(v + variance)
    low, high = -mean - 13 * t, -mean + 13 * t
    cuts = np.concatenate([-mean + np.outer(_PANELS, t), *(np.clip([[k]], low, high) for k in _kinks(kind, c))])
    cuts = np.sort(cuts, axis=0)
    half = np.diff(cuts, axis=0)[..., None] / 2
    r = cuts[:-1, :, None] + half * (1 + _X)
    t, mean, variance = t[:, None], mean[:, None], variance[:, None]
    density = np.exp(-(((r + mean) / t) ** 2) / 2) / (t * math.sqrt(2 * math.pi))
    w = weight[:, None] * half * _W * density
    z = v / t**2 * (r + mean)
    z2 = z**2 + v * variance / t**2
    p = psi(kind, r, c)
    return tuple(float((w * f).sum()) for f in (p * z, p**2, p**2 * z2, p**3 * z, p**4))


def additive(kind: Kind, noise: NoiseLaw, batch: int, v: float, c: float) -> Moments:
    """Where the samples of a batch do not know of each other: B = 1, SGD and tables."""
    h, n, hh, hn, nn = single(kind, noise, v, c)
    return Moments(h / v, n / batch, (hh - h**2) / batch, (hn - h * n) / batch**2, (nn - n**2) / batch**3)


def gaussian_batch(kind: Kind, noise: NoiseLaw, batch: int, v: float, c: float) -> Moments:
    """Clip and sign of the mean of B samples, noise none or Gaussian: sqrt(S) = s chi_B, z given r is normal."""
    sigma2 = noise.second_moment
    s = math.sqrt(v + sigma2)
    kink = min(c * batch / s, 40.0)
    cuts = np.unique(np.concatenate([np.linspace(0, 40, 41), [kink]]))
    half = np.diff(cuts)[:, None] / 2
    x = cuts[:-1, None] + half * (1 + _X)
    log_density = (batch - 1) * np.log(x) - x**2 / 2 - (batch / 2 - 1) * math.log(2) - math.lgamma(batch / 2)
    w = half * _W * np.exp(log_density)
    root, a, tau = s * x, v / s**2, v * sigma2 / s**2  # root = sqrt(S)
    f = 1 / root if kind == "sign" else np.minimum(1, c * batch / root) / batch
    h, h2 = f * a * root**2, f**2 * (a**2 * root**4 + tau * root**2)
    n = np.ones_like(x) if kind == "sign" else f**2 * root**2
    mean = [float((w * g).sum()) for g in (h, n, h2, h * n, n * n)]
    return _centred(v, *mean)


def _centred(v: float, h: float, n: float, hh: float, hn: float, nn: float) -> Moments:
    return Moments(h / v, n, hh - h * h, hn - h * n, nn - n * n)


def quantile(noise: NoiseLaw, u: FloatArray) -> FloatArray:
    """Quantiles; of a mixture its component by u, and the component's quantile by where u falls within."""
    if isinstance(noise, NoNoise):
        return np.zeros_like(u)
    if isinstance(noise, Gaussian):
        return noise.std * special.ndtri(u)
    if isinstance(noise, StudentT):
        return noise.scale * special.stdtrit(noise.df, u)
    if isinstance(noise, Laplace):
        return -noise.scale * np.sign(u - 0.5) * np.log1p(-2 * np.abs(u - 0.5))
    if noise.components is None:
        return noise.frozen.ppf(u)
    weight, mean, variance = noise.components
    edges = np.cumsum(weight)
    k = np.minimum(np.searchsorted(edges, u), weight.size - 1)
    inner = np.clip((u - edges[k] + weight[k]) / weight[k], 1e-15, 1 - 1e-15)
    return mean[k] + np.sqrt(variance[k]) * special.ndtri(inner)


def draw(noise: NoiseLaw, batch: int, log2_points: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Scrambled Sobol points as B standard normals and B noise values, each of shape (points, B)."""
    u = qmc.Sobol(2 * batch, seed=seed).random_base2(log2_points)
    return special.ndtri(u[:, :batch]), quantile(noise, u[:, batch:])


def steps(kind: Kind, xi: FloatArray, eps: FloatArray, v: float, c: float) -> tuple[FloatArray, FloatArray]:
    """H and N of every draw."""
    z = math.sqrt(v) * xi
    r, batch = z - eps, xi.shape[1]
    size = np.sqrt((r**2).sum(axis=1))
    if kind == "sign":
        return (r * z).sum(axis=1) / size, np.ones(len(r))
    p = r * np.minimum(1, c * batch / size)[:, None] if kind == "clip" else psi(kind, r, c)
    return (p * z).sum(axis=1) / batch, (p**2).sum(axis=1) / batch**2


def sampled(kind: Kind, draws: tuple[FloatArray, FloatArray], v: float, c: float) -> Moments:
    """The moments as means over draws."""
    h, n = steps(kind, *draws, v, c)
    return _centred(v, *(float(x.mean()) for x in (h, n, h * h, h * n, n * n)))


def kind_of(optimizer: Optimizer) -> Kind:
    if isinstance(optimizer, ScoreSGD | ResidualSGD):
        return optimizer.residual_table
    return {SignSGD: "sign", ClippedSGD: "clip"}.get(type(optimizer), "identity")


def moments_of(problem: Problem, optimizer: Optimizer, low: float, high: float) -> Callable[[float, float], Moments]:
    """(v, c) -> moments, v between low and high: by quadrature, or by sampling where batches of clip and sign meet
    noise that is not Gaussian. What takes long is interpolated.
    """
    kind, batch, noise = kind_of(optimizer), optimizer.batch_size, problem.noise
    if batch > 1 and kind in ("clip", "sign"):
        if isinstance(noise, NoNoise | Gaussian):
            return partial(gaussian_batch, kind, noise, batch)
        return interpolated(partial(sampled, kind, draw(noise, batch, 16, 1)), low, high, optimizer.control_schedule)
    one = partial(additive, kind, noise, batch)
    quick = kind == "identity" or noise.components is not None
    return one if quick else interpolated(one, low, high, optimizer.control_schedule)


def interpolated(
    function: Callable[[float, float], Moments], low: float, high: float, threshold: Schedule
) -> Callable[[float, float], Moments]:
    """A polynomial of degree 8 in log v and 6 in c, fitted to 12 x 9 Chebyshev nodes."""
    c = threshold(np.concatenate([[0.0], threshold.knots, np.nextafter(threshold.knots, 0)]))
    x = [(math.log(low) + math.log(high)) / 2, math.log(high / low) / 2]
    moving = bool(c.max() > c.min())
    y = [(c.max() + c.min()) / 2, (c.max() - c.min()) / 2 if moving else 0.0]
    degrees, counts = ([8, 6], (12, 9)) if moving else ([8, 0], (12, 1))
    nodes = np.array([(a, b) for a in chebpts1(counts[0]) for b in chebpts1(counts[1])])
    values = [function(math.exp(x[0] + x[1] * a), float(y[0] + y[1] * b)) for a, b in nodes]
    fit = np.linalg.lstsq(chebvander2d(*nodes.T, degrees), np.array(values), rcond=None)[0]

    def moments(v: float, c: float) -> Moments:
        at = (math.log(v) - x[0]) / x[1], (c - y[0]) / y[1] if moving else 0.0
        assert max(map(abs, at)) < 1.01
        return Moments(*(chebvander2d(*at, degrees)[0] @ fit).tolist())

    return moments


class SpreadTwin:
    """State (m, P) of all d modes, integrated by SciPy from m(0) known and P(0) = 0."""

    def __init__(self, problem: Problem, optimizer: Optimizer, low: float, high: float) -> None:
        self.d, self.optimizer = problem.dimension, optimizer
        self.moments = moments_of(problem, optimizer, low, high)
        self.rate, self.c, self.start = _modes(problem, isinstance(optimizer, SignSGD))

    def derivative(self, eta: Any, threshold: Any, t: float, state: FloatArray) -> FloatArray:
        n, e, c = self.rate.size, eta(t), threshold(t)
        m, cov = state[:n], state[n:].reshape(n, n)
        v, h = float(self.rate @ m), 1e-3
        now, up, down = (self.moments(v * x, c) for x in (1.0, 1 + h, 1 - h))
        mu_slope, nu_slope = (up.mu - down.mu) / (2 * h * v), (up.nu - down.nu) / (2 * h * v)
        p, b = self.rate * m / v, self.c / self.d
        drift = -2 * e * now.mu * self.rate * m + e**2 * now.nu * b
        through_v = -2 * e * mu_slope * self.rate * m + e**2 * nu_slope * b
        jacobian = -2 * e * now.mu * np.diag(self.rate) + np.outer(through_v, self.rate)
        q = 4 * e**2 * now.nu * (np.diag(self.c * m) - v * np.outer(p, p))
        q += 4 * e**2 * now.var_h * np.outer(p, p)
        q -= 2 * e**3 * now.cov * (np.outer(p, b) + np.outer(b, p))
        q += e**4 * now.var_n * np.outer(b, b)
        return np.concatenate([drift, (jacobian @ cov + cov @ jacobian.T + q / self.d).ravel()])

    def solve(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """R and sd(R) at ascending times > 0; integration starts anew at the schedules' knots."""
        schedules = self.optimizer.lr_schedule, self.optimizer.control_schedule
        stops = np.unique(np.concatenate([[0.0, times[-1]], *(s.knots[s.knots < times[-1]] for s in schedules)]))
        state, values = np.concatenate([self.start, np.zeros(self.rate.size**2)]), []
        for start, stop in zip(stops[:-1], stops[1:]):
            eta, threshold = (partial(_before, s, stop) for s in schedules)
            inside = times[(times > start) & (times <= stop)]
            solution = integrate.solve_ivp(
                partial(self.derivative, eta, threshold),
                (start, stop),
                state,
                t_eval=np.unique(np.append(inside, stop)),
                rtol=1e-7,
                atol=1e-12 * self.start.max() ** 2,
            )
            assert solution.success, solution.message
            values.extend(solution.y[:, np.isin(solution.t, inside)].T)
            state = solution.y[:, -1]
        n = self.rate.size
        risk = np.array([self.rate @ y[:n] / 2 for y in values])
        return risk, np.array([math.sqrt(self.rate @ y[n:].reshape(n, n) @ self.rate) / 2 for y in values])


def _before(schedule: Schedule, stop: float, t: float) -> float:
    return float(schedule(min(t, np.nextafter(stop, 0) - 1e-14 * stop)))


def _modes(problem: Problem, sign: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """lambda, c, m(0) of the coordinates that move; sign features only with a diagonal K."""
    k, delta = problem.covariance.matrix, problem.initial_error
    if not sign:
        values, vectors = np.linalg.eigh(k)
        values = np.maximum(values, 0)
        return values, values, (vectors.T @ delta) ** 2
    assert not np.any(k - np.diag(np.diagonal(k)))
    moving = np.diagonal(k) > 0
    variances = np.diagonal(k)[moving]
    g = math.sqrt(2 / math.pi) / np.sqrt(variances)
    return g * variances, 1 / g, delta[moving] ** 2 / g


def spread(problem: Problem, optimizer: Optimizer, times: FloatArray, low: float, high: float) -> FloatArray:
    """sd(R) of one run at ascending times > 0; v must stay between low and high where the moments are sampled."""
    return SpreadTwin(problem, optimizer, low, high).solve(times)[1]
