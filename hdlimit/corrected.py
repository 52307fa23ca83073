"""The corrected mean: what the limit leaves out at finite d, as far as it can be computed without the spread of runs.

    m_i <- m_i - 2 g mu' l_i m_i + g^2 (nu' l_i + nu_2 l_i^2 m_i),   g = eta/d

for identity features and Gaussian x. nu_2 = E (psi^2)''(r) makes this exact for SGD (any d and B). For clipping, the
true norm of the mean gradient is clipped, which is clipping the residuals at c/sqrt(q) with q = norm(gradient)^2
B^2/(S tr K) near 1: mu' and nu' are averaged over q to second order, its mean 1 + (norm(K delta)^2/(v tr K)) (E <r,
z>^2/(v S) - 1) and its dependence on z included (for B > 1 to leading order in small and in large noise). Left out is
(1/2) mu'' Var(v), of the same order in d but through the spread of v. For B >= 3, E[1/S; S > x0] in nu_2 is taken as
its lower bound. A table acts on the residuals alone: nu_2 = 2 dnu/dv + (1 - 1/B) mu^2.

Measured for clipping (isotropic d = 40; Gaussian, t 1.5 and Rademacher noise; lr 0.8, c 0.5; 8000 runs, standard
errors of 0.2 %): B = 1, 0.4 to 1.4 % below the mean of runs; B = 3, within 0.8 % where the limit is up to 3.9 % below
it.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.features import FEATURES
from hdlimit.kernels.correction import corrected_mean, difference
from hdlimit.limit import limit_of
from hdlimit.optimizers import Optimizer
from hdlimit.problem import Problem
from hdlimit.response import Compiled, Response, batch_law


def batch_overlap(response: Response, v: float) -> float:
    """E <r, z>^2/(v S) - 1 for a batch: v (B - 1)(B - 2) E 1/S, for B = 2 its limit 2 pi v p_r(0)^2 (Stein twice)."""
    size = response.batch_size
    if size == 1:
        return 0.0
    if size == 2:
        return math.pi / 2 * v * Response("sign", response.noise)(v)[0] ** 2
    return v * (size - 1) * (size - 2) * batch_law(response.noise, size, v).inverse


def corrected_risk(
    problem: Problem, optimizer: Optimizer, steps: FloatArray, v_range: tuple[float, float]
) -> FloatArray:
    """The corrected mean risk after given numbers of steps.

    problem, optimizer: identity features; steps: non-decreasing integers; v_range: a range of v that holds the
    limit's curve (widened by a factor of 2 on both sides). Returns: R, the shape of steps. Raises: NotAvailable for
    other features. Source: THEORY section 7; derivations/correction.py.
    """
    if not FEATURES[optimizer.features].linear:
        raise NotAvailable("the corrected mean is known for identity features only")
    limit, trace = limit_of(problem, optimizer), problem.covariance.trace
    d, modes = problem.dimension, limit.modes
    variance = 2 * float((problem.covariance.eigenvalues**2).sum()) / trace**2
    starts = np.arange(max(int(steps[-1]), 1)) / d
    lr, threshold = limit.lr(starts), limit.threshold(starts)
    h = difference(variance)
    low, high = float(threshold.min()), float(threshold.max())

    def compiled(q: float) -> Compiled:
        return limit.response.compiled((v_range[0] / 2, 2 * v_range[1]), (low / math.sqrt(q), high / math.sqrt(q)))

    of_samples = limit.response.map.table is not None
    plain = compiled(1.0)
    short, long = (plain, plain) if of_samples else (compiled(1 - h), compiled(1 + h))
    log_v = np.linspace(math.log(v_range[0] / 2), math.log(2 * v_range[1]), 33)
    overlap = np.array([0.0 if of_samples else batch_overlap(limit.response, math.exp(u)) for u in log_v])
    v = np.empty(steps.size)
    corrected_mean(
        modes.rate, modes.diffusion, modes.start.copy(), d, float(optimizer.batch_size), trace, of_samples,
        lr, threshold, log_v, overlap,
        plain.kernel, plain.parameters, short.kernel, short.parameters, long.kernel, long.parameters,
        np.ascontiguousarray(steps, dtype=np.int64), v,
    )  # fmt: skip
    if not (np.isfinite(v).all() and (v >= 0).all()):
        raise NotAvailable("the corrected mean diverges: the step size is not below the critical one at this d")
    if (v < plain.low).any() or (v > plain.high).any():
        raise NotAvailable("the corrected mean leaves the range of v over which the response was tabulated")
    return v / 2
