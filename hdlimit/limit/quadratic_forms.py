"""Quadratic forms delta^T f(K) delta along a curve, for functions f of the eigenvalues of K."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.limit.dynamics.sign import pair_moments
from hdlimit.limit.integrator import solve
from hdlimit.limit.interpolant import Integrated
from hdlimit.limit.modes import basis
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.system import limit_of
from hdlimit.problem.covariance import TOLERANCE, CovarianceModel
from hdlimit.problem.least_squares import LeastSquares

# Relative distance up to which eigenvalues count as equal: above the rounding of an eigendecomposition.
EQUAL = 1e-10

Function = Callable[[FloatArray], FloatArray]


def quadratic_forms(
    curve: Integrated, functions: Sequence[Function], compress: bool
) -> Callable[[FloatArray], FloatArray]:
    """Return E delta^T f(K) delta for every f as a function of times, shape (len(functions), n).

    The limit is integrated again, with these forms under the control of the error.

    Parameters
    ----------
    curve : Curve
        A curve.
    functions : sequence of callable
        From eigenvalues of K to weights >= 0 that vanish at 0.
    compress : bool
        Whether nodes may stand for the eigenvalues, as they did in the curve.

    Returns
    -------
    callable
        Of times up to the curve's end.
    """
    problem, optimizer = curve.problem, curve.optimizer
    limit = limit_of(problem, optimizer, min(TOLERANCE, curve.rtol / 10) if compress else False)
    if limit.modes.functionals.shape[0] > 1:
        modes = weighted(limit.modes, functions)
    else:
        modes = _of_pairs(problem, pair_moments(problem, optimizer), optimizer.features, functions)
    dense = solve(limit, modes, curve.end, curve.rtol).dense

    def values(t: FloatArray) -> FloatArray:
        inside = np.minimum(t, dense.knots[-1])
        return np.stack([np.maximum(dense(inside, 1 + k), 0.0) for k in range(len(functions))])

    return values


def weighted(modes: MomentSystem, functions: Sequence[Function]) -> MomentSystem:
    """Return the modes with v and the forms as functionals: those of v and of norm(delta)^2 tell the eigenvalues."""
    of_v, of_distance = modes.functionals[:2]
    eigenvalues = np.divide(of_v, of_distance, out=np.zeros_like(of_v), where=of_distance > 0)
    return replace(modes, functionals=np.stack([of_v, *(of_distance * f(eigenvalues) for f in functions)]))


def _of_pairs(problem: LeastSquares, pairs: MomentSystem, features: str, functions: Sequence[Function]) -> MomentSystem:
    """Return the pairs of modes with v and the forms tr(Q^T G^(1/2) f(K) G^(1/2) Q W) as functionals."""
    b = basis(problem.covariance, features)
    assert b.vectors is not None
    values, vectors = np.linalg.eigh(problem.covariance.matrix[np.ix_(b.moving, b.moving)])
    i, j = np.triu_indices(b.rate.size)
    half = vectors.T @ (np.sqrt(b.gain)[:, None] * b.vectors)
    rows = [pairs.functionals[0]]
    for f in functions:
        form = half.T @ (f(np.maximum(values, 0.0))[:, None] * half)
        rows.append(np.where(i == j, 1.0, 2.0) * form[i, j])
    return replace(pairs, functionals=np.stack(rows))


def of_largest(covariance: CovarianceModel, k: int) -> Function:
    """Return the square of an eigenvalue among the k largest ones of K, 0 for the others.

    Of eigenvalues that equal the k-th, those that belong to the k largest are a share, the same in every direction.
    Raises InvalidInput for a k that is not from 1 to d.
    """
    if (k := checks.integer("k", k)) > covariance.dimension:
        raise InvalidInput("k", f"at most d = {covariance.dimension}", f"{k}")
    eigenvalues = covariance.eigenvalues[::-1]
    least = eigenvalues[k - 1]
    high, low = least * (1 + EQUAL), least * (1 - EQUAL)
    above, equal = np.count_nonzero(eigenvalues > high), np.count_nonzero((eigenvalues <= high) & (eigenvalues >= low))
    share = (k - above) / equal

    def squares(values: FloatArray) -> FloatArray:
        weights = np.where(values > high, 1.0, np.where(values >= low, share, 0.0))
        squared: FloatArray = weights * values**2
        return squared

    return squares


def share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return part/whole, 1 where the whole is 0."""
    found: FloatArray = np.divide(part, whole, out=np.ones(whole.shape), where=whole > 0)
    return found


def noise_scales(problem: LeastSquares, risk: FloatArray, signal: FloatArray) -> FloatArray:
    """Return both gradient noise scales (p tr K + A_2)/A_2 and (p tr K^2 + A_3)/A_3, p = 2R + E eps^2, shape (2, n).

    signal: A_2 and A_3, A_k = delta^T K^k delta, shape (2, n). inf where these vanish.
    """
    k, p = problem.covariance, 2 * risk + problem.noise.second_moment
    noise = np.multiply.outer([k.trace, k.squares], p)
    found: FloatArray = np.divide(noise + signal, signal, out=np.full(signal.shape, np.inf), where=signal > 0)
    return found
