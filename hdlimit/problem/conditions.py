"""What a reader has to be told of a problem: few directions, infinite moments, a step near the critical one, rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import HeavyTailWarning, LowDimensionWarning, NearCriticalWarning, NonGaussianWarning
from hdlimit.problem.covariance import CovarianceModel
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.row_moments import RowEffects, row_effects

# Intrinsic dimension below which runs leave the limit by 1 % or more (examples/where_it_ends.py: 1.01 at 15, 1.03 at
# 4.3, 1.10 at 2.5).
LOW_DIMENSION = 30.0
# Relative error of the risk from which a condition that follows from a formula is told; chosen.
WORTH_SAYING = 0.1


def low_dimension(covariance: CovarianceModel) -> Iterator[Warning]:
    """Few directions, so that the limit is rough."""
    d_int = covariance.intrinsic_dimension
    if d_int < LOW_DIMENSION:
        yield LowDimensionWarning(
            f"the intrinsic dimension tr(K)/norm(K) is {d_int:.3g}, below {LOW_DIMENSION:g}: "
            f"expect deviations from the limit of the order of {1 / d_int:.0%}"
        )


def heavy_tail(noise: NoiseLaw) -> Iterator[Warning]:
    """Infinite E eps^4, for an unbounded residual map."""
    if not math.isfinite(noise.fourth_moment):
        yield HeavyTailWarning(
            f"E eps^4 is infinite for {noise!r}: the mean curve exists, the variance of a run does not, "
            "and standard errors of simulated runs mean nothing"
        )


def settled(x: float) -> float:
    """Return the v at which SGD settles, over E eps^2, where x is the share of its own noise that a step feeds back."""
    return x / (1 - x)


def limit_feedback(covariance: CovarianceModel, lr: float, batch: int) -> float:
    """Return X0 = lr kappa/(2B), the share of its own noise that SGD feeds back in the limit."""
    return lr * covariance.trace / covariance.dimension / (2 * batch)


def near_critical(
    covariance: CovarianceModel, noise: NoiseLaw, lr: float, batch: int, clipped: bool, fed: float | None = None
) -> Iterator[Warning]:
    """Compare SGD at this d with its limit: a step near or above the critical one.

    Runs settle at v = E eps^2 X/(1 - X), X = sum g l_i/(2B - g l_i (B + 1)), g = lr/d; the limit has
    X0 = sum g l_i/(2B) in place of X. Source: derivations/steady.py. With momentum lr is the effective one and X, fed,
    is given.
    """
    variance = noise.second_moment
    values, counts = covariance.counted
    step = lr / covariance.dimension * values
    at_limit, room = float(counts @ step) / (2 * batch), 2 * batch - step * (batch + 1)
    here = float(counts @ (step / room)) if room.min() > 0 else math.inf
    if at_limit == 0:
        return
    name = "lr" if fed is None else "the effective lr"
    here = here if fed is None else fed
    start = f"{name} {lr:.4g} is large for d = {covariance.dimension} and batch size {batch}: "
    until, up_to = (" until it is clipped", "up to ") if clipped else ("", "")
    if at_limit < 1 <= here:
        yield NearCriticalWarning(
            f"{start}it is above the critical lr there, though not above the limit's, and the risk of runs grows{until}"
        )
    elif here < 1 and variance == 0 and (slower := (1 - here) / (1 - at_limit)) < 1 - WORTH_SAYING:
        yield NearCriticalWarning(f"{start}expect the risk of runs to fall at about {slower:.2g} of the limit's rate")
    elif 0 < here < 1 and variance > 0 and (ratio := settled(here) / settled(at_limit)) > 1 + WORTH_SAYING:
        times = f"{up_to}{ratio:.3g} times the risk of the limit"
        yield NearCriticalWarning(f"{start}at this lr expect runs to settle at {times}")


def noisy_rows(at_limit: float, rows: RowEffects) -> Iterator[Warning]:
    """Compare rows with Gaussian ones: v settles at E eps^2 noise X0/(1 - square X0), X0 as in near_critical."""
    here = rows.square * at_limit
    if at_limit == 0:
        return
    start = (
        f"the rows are not Gaussian, E norm(x)^4 is {rows.square:.3g} and E eps^2 norm(x)^2 {rows.noise:.3g} of the "
        "Gaussian value: "
    )
    if at_limit < 1 <= here:
        yield NonGaussianWarning(f"{start}at this lr the risk of runs on them grows, though not that of the limit")
    elif here < 1 and abs((ratio := rows.noise * (1 - at_limit) / (1 - here)) - 1) > WORTH_SAYING:
        yield NonGaussianWarning(f"{start}expect runs on them to settle at {ratio:.3g} times the risk of the limit")


def of_sgd(covariance: CovarianceModel, noise: NoiseLaw, rows: Rows | None) -> list[str]:
    """Noise, critical lr of SGD, and what has to be said of SGD at half of it, a line each."""
    lines = [f"noise {noise!r}, variance {noise.variance:.4g}"]
    critical = exact_critical_lr(covariance, 1)
    if math.isfinite(noise.second_moment):
        kappa = covariance.trace / covariance.dimension
        lines.append(f"critical lr of SGD {critical:.4g} at this d, {2 / kappa:.4g} in the limit (batch size 1)")
    else:
        lines.append("SGD has no limit (infinite variance); clipped SGD and signSGD have one")
    found = [*low_dimension(covariance), *heavy_tail(noise)]
    found += near_critical(covariance, noise, critical / 2, 1, clipped=False)
    if rows is not None:
        found += noisy_rows(limit_feedback(covariance, critical / 2, 1), row_effects(rows))
    lines += [f"{type(caveat).__name__}: {caveat}" for caveat in found]
    if rows is not None:
        dropped = f", constant columns left out: {', '.join(rows.dropped)}" if rows.dropped else ""
        lines.append(f"{rows.x.shape[0]} rows{dropped}")
    return lines


def _spectrum(covariance: CovarianceModel) -> tuple[FloatArray, FloatArray | float]:
    """Eigenvalues > 0 in ascending order, and how many there are of each."""
    if (nodes := covariance.nodes) is not None:
        return nodes.value, nodes.mass
    return covariance.eigenvalues[covariance.eigenvalues > 0], 1.0


def exact_critical_lr(covariance: CovarianceModel, batch_size: int) -> float:
    """Return the step size above which the mean square of streaming SGD grows, for Gaussian x, at this d.

    It solves sum_i g l_i/(2B - g l_i (B + 1)) = 1 with g = eta/d and g l_max < 2B/(B + 1), l_i the eigenvalues of K.
    Source: derivations/steady.py.
    """
    if (kept := covariance.kept.get(("critical lr", batch_size))) is not None:
        return float(kept)
    values, count = _spectrum(covariance)
    values = values / covariance.norm
    beyond = _root_beyond(count * values, (batch_size + 1) * (values[-1] - values))
    inverse = (batch_size + 1) * float(values[-1]) + beyond  # 2B/g
    critical = 2 * batch_size / inverse * covariance.dimension / covariance.norm
    covariance.kept["critical lr", batch_size] = critical
    return critical


def exact_critical_batch(covariance: CovarianceModel, lr: float) -> float:
    """Return the smallest batch size at which the mean square of streaming SGD does not grow.

    For Gaussian x, at this d. sum_i g l_i/(2B - g l_i (B + 1)), g = lr/d, falls with B; it is below 1 from this integer
    on. inf for g l_max >= 2, where even the gradient of the population diverges. Source: derivations/steady.py.
    """
    values, count = _spectrum(covariance)
    relative = lr / covariance.dimension * values
    largest = float(relative[-1])
    if float((count * relative).sum()) <= 0.5:
        return 1.0
    if largest >= 2 * (1 - 1e-14):
        return math.inf
    distance = 2 * (largest - relative) / ((2 - largest) * (2 - relative))
    root = largest / (2 - largest) + _root_beyond(count * relative / (2 - relative), distance)
    return float(max(math.floor(root) + 1, 1))


def _root_beyond(weight: FloatArray, distance: FloatArray) -> float:
    """Return the y > 0 with S(y) = sum_i weight_i/(y + distance_i) = 1, weight > 0, distance >= 0, the last of them 0.

    1/S is increasing and concave, so that Newton's steps for it, begun at the last weight, where S >= 1, rise to y.
    """
    y = float(weight[-1])
    for _ in range(100):
        shares = weight / (y + distance)
        total = float(shares.sum())
        step = total * (total - 1) / float((shares / (y + distance)).sum())
        y += step
        if step <= 1e-15 * y:
            break
    return y
