"""All second moments of the modes along a curve."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.limit.dynamics.sign import pair_moments
from hdlimit.limit.integrator import solve
from hdlimit.limit.interpolant import Integrated
from hdlimit.limit.modes import basis
from hdlimit.limit.system import limit_of


def pair_squares(curve: Integrated) -> Callable[[FloatArray], FloatArray]:
    """Return (norm(delta)^2, norm(K delta)^2) as a function of t, from all second moments of the modes.

    Sign features under a full K need them.
    """
    problem, optimizer = curve.problem, curve.optimizer
    modes = pair_moments(problem, optimizer)
    dense = solve(limit_of(problem, optimizer), modes, curve.end, curve.rtol).dense
    fixed = float((problem.initial_error[~basis(problem.covariance, optimizer.features).moving] ** 2).sum())

    def squares(t: FloatArray) -> FloatArray:
        inside = np.minimum(t, dense.knots[-1])
        return np.stack([np.maximum(dense(inside, 1), 0.0) + fixed, np.maximum(dense(inside, 2), 0.0)])

    return squares
