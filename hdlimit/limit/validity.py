"""Where the limit is a good approximation, and what a reader of a prediction has to be told."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hdlimit.core.timegrid import LONGEST_HORIZON
from hdlimit.errors import NonGaussianWarning, ValidityWarning, warn
from hdlimit.kernels.responses import SMALLEST
from hdlimit.limit.dynamics.momentum import kernel_norm
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.row_average import risk_ratios
from hdlimit.limit.system import Limit
from hdlimit.optimizers.reading import MOST_READ, largest_lr, unread
from hdlimit.problem import conditions
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.problem.row_moments import row_effects
from hdlimit.response.step_moments import of_map

# Alignment of the start times max(B - 2, 1) from which sign features leave the limit: examples/where_it_ends.py.
ALIGNED = 0.3
# Batch size over D from which bounded maps leave the limit: examples/where_it_ends.py.
LARGE_BATCH = 0.25
# Deviation of E|x_i| of rows from the Gaussian value that is told: examples/where_it_ends.py.
DRIFT = 0.04
# Spread of the norms of rows, beyond the Gaussian one, that is told: examples/where_it_ends.py.
NORMS_VARY = 0.08
# Length of a feature of a schedule that may be missed, from which it is told; chosen: lr = 1 moves v by 10 % in it.
UNREAD = 0.05
# Share of the drift that clipping takes off, below which it counts as SGD; chosen.
HARDLY = 0.01


def caveats(limit: Limit, problem: LeastSquares, horizon: float = LONGEST_HORIZON) -> list[Warning]:
    """Return the warnings that belong to a prediction.

    They name a low dimension, infinite moments and conditions of the limit that fail.

    What follows from a formula (near-critical lr, rows under an unbounded residual map) is told where the risk is off
    by 10 %. The thresholds of the others are measured, see examples/where_it_ends.py: the drift of sign features is off
    where s = max(B - 2, 1) max_i rho_i^2 is not small, the risk by about s/6 to s/3; batches of bounded maps matter
    from B = D/4 on, D = (tr K)^2/tr(K^2). Where clipping takes off less than 1 % of the drift an lr near SGD's critical
    one is told too (measured, d = 12 to 40: the risk is then between that of the limit and of SGD).

    Parameters
    ----------
    limit : Limit
        Of an optimizer on the problem.
    problem : Problem
        The problem.
    horizon : float
        The lr of a schedule is judged by its largest value up to this time, in units of t = k/d.

    Returns
    -------
    list of Warning
        Empty where nothing is known to fail.
    """
    found = [*conditions.low_dimension(problem.covariance)]
    lr, size, psi = largest_lr(limit.lr, horizon, limit.step), limit.response.batch_size, of_map(limit.response).map
    lr *= limit.gain
    found += _large_batch(problem, size) if limit.bounded else conditions.heavy_tail(problem.noise)
    linear_features = FEATURES[limit.features].linear
    if psi.clips or not limit.bounded:
        pace, memory = lr / max(psi.tail, SMALLEST), limit.memory
        if not linear_features:  # as near to critical as SGD with this lr
            pace *= limit.modes.forcing * problem.dimension / problem.covariance.trace
        here = None if memory is None else kernel_norm(memory, problem.covariance, pace / limit.gain, size)
        near = list(conditions.near_critical(problem.covariance, problem.noise, pace, size, limit.bounded, here))
        found += near if near and (not limit.bounded or _hardly_clips(limit, problem, lr)) else []
    if not linear_features:
        found += _aligned(problem, 1 if psi.per_sample else size)
    return [*found, *_non_gaussian(limit, problem, lr, horizon), *_unread(limit, horizon)]


def _unread(limit: Limit, horizon: float) -> Iterator[Warning]:
    """Yield how long a feature of a schedule is that may be missed, where it has too many steps to read them all."""
    for name, schedule in (("lr", limit.lr), ("the control", limit.control)):
        if (length := unread(schedule, horizon, limit.step)) > UNREAD:
            yield ValidityWarning(
                f"{name} is a function that is read at {MOST_READ} times up to t = {horizon:g}: what it does within a "
                f"time of {length:.2g} can be missed; a Table or Steps say where they bend"
            )


def _hardly_clips(limit: Limit, problem: LeastSquares, lr: float) -> bool:
    """Whether clipping takes off less than 1 % of the drift where SGD with this lr starts and settles in the limit."""
    at_limit = conditions.limit_feedback(problem.covariance, lr, limit.response.batch_size)
    variance = problem.noise.second_moment
    if at_limit >= 1 or math.isinf(variance):
        return False
    v = max(2 * problem.initial_risk, variance * conditions.settled(at_limit))
    return v == 0 or limit.response(v, float(limit.control(0.0)))[0] > 1 - HARDLY


def _large_batch(problem: LeastSquares, batch: int) -> Iterator[Warning]:
    size = problem.covariance.smooth_dimension
    if batch > max(LARGE_BATCH * size, 1):
        yield ValidityWarning(
            f"batch_size {batch} is not small against D = (tr K)^2/tr(K^2) = {size:.3g}, and the limit holds it fixed "
            f"as d grows: with an lr that grows with it expect the risk of runs to be up to {batch / size / 4:.0%} "
            "higher"
        )


def _aligned(problem: LeastSquares, batch: int) -> Iterator[Warning]:
    aligned, weight = largest_alignment(problem), max(batch - 2, 1)
    if (strength := weight * aligned) > ALIGNED:
        side = "lower" if batch < 3 else "higher"
        yield ValidityWarning(
            f"the start error is aligned with a coordinate: max rho_i^2 = {aligned:.2g}, times max(B - 2, 1) = "
            f"{weight}, should be far below 1, as the drift of sign features is linearized in rho_i; expect the risk "
            f"of runs to be {strength / 6:.0%} to {strength / 3:.0%} {side} on the way"
        )


def _non_gaussian(limit: Limit, problem: LeastSquares, lr: float, horizon: float) -> Iterator[Warning]:
    """Yield what the rows of a problem do to the optimizer that Gaussian features would not."""
    if problem.rows is None:
        return
    rows = row_effects(problem.rows)
    if not FEATURES[limit.features].linear:
        if abs(rows.drift - 1) > DRIFT:
            yield NonGaussianWarning(
                f"the rows are not Gaussian, E|x_i|/sqrt(K_ii) is {rows.drift:.3g} of the Gaussian value: expect runs "
                f"on them to fall at about {rows.drift:.3g} of the rate, and to settle at {1 / rows.drift:.3g} times "
                "the risk of the limit or further off"
            )
    elif not limit.bounded:
        at_limit = conditions.limit_feedback(problem.covariance, lr, limit.response.batch_size)
        yield from conditions.noisy_rows(at_limit, rows)
    elif (share := rows.norm_variance) > NORMS_VARY:
        start = (
            f"the norms of the rows vary, by {share:.2g} of E norm(x)^2 more than Gaussian ones: expect the risk of "
        )
        if of_map(limit.response).map.clips and limit.modes.block is None:
            last, largest = risk_ratios(limit, problem.rows, horizon)
            yield NonGaussianWarning(
                f"{start}of runs on them to be about {last:.3g} times that of the limit at t = {horizon:g}, and up to "
                f"{largest:.3g} times on the way"
            )
        else:
            yield NonGaussianWarning(f"{start}of runs on them to be {share / 2:.0%} or more higher on the way")


def largest_alignment(problem: LeastSquares) -> float:
    """max_i rho_i^2 at the start, rho_i = (K delta)_i/sqrt(K_ii v); 0 for a start at the target."""
    v = 2 * problem.initial_risk
    if v == 0:
        return 0.0
    if problem.uniform and problem.covariance.nodes is not None:
        return problem.covariance.norm / (problem.dimension * v)
    variances = problem.covariance.variances
    moving = variances > 0
    pull = problem.covariance.apply(problem.initial_error)[moving]
    return float((pull**2 / variances[moving]).max() / v)


def warn_caveats(problem: LeastSquares, horizon: float, *limits: Limit) -> None:
    """Issue the caveats of limits on a problem as warnings, each text once."""
    found = {str(caveat): caveat for limit in limits for caveat in caveats(limit, problem, horizon)}
    for caveat in found.values():
        warn(caveat)
