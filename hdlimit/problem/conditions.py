"""A problem in a few lines."""

from __future__ import annotations

import math

from hdlimit.limit.validity import caveats
from hdlimit.optimizers.sgd import SGD
from hdlimit.problem.critical_step import exact_critical_lr
from hdlimit.problem.problem import Problem


def summarize(problem: Problem) -> str:
    """Dimensions, initial risk, noise, critical lr of SGD, and the caveats of SGD at half of it, one a line."""
    covariance, noise = problem.covariance, problem.noise
    lines = [
        f"d = {problem.dimension}, intrinsic dimension {problem.intrinsic_dimension:.4g}, "
        f"tr K = {covariance.trace:.4g}",
        f"initial risk {problem.initial_risk:.4g}",
        f"noise {noise!r}, variance {noise.variance:.4g}",
    ]
    critical = exact_critical_lr(covariance, 1)
    if math.isfinite(noise.second_moment):
        kappa = covariance.trace / problem.dimension
        lines.append(f"critical lr of SGD {critical:.4g} at this d, {2 / kappa:.4g} in the limit (batch size 1)")
    else:
        lines.append("SGD has no limit (infinite variance); clipped SGD and signSGD have one")
    lines += [f"{type(caveat).__name__}: {caveat}" for caveat in caveats(problem, SGD(lr=critical / 2))]
    if problem.rows is not None:
        lines.append(f"{problem.rows.x.shape[0]} rows" + _dropped(problem.rows.dropped))
    return "\n".join(lines)


def _dropped(names: tuple[str, ...]) -> str:
    return f", constant columns left out: {', '.join(names)}" if names else ""
