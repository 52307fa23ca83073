"""Stability and steady state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.core.timegrid import LONGEST_HORIZON
from hdlimit.errors import Outcome, Status
from hdlimit.limit.dynamics import momentum
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.system import Limit, limit_of
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.optimizers.reading import largest_lr
from hdlimit.optimizers.schedules import Constant
from hdlimit.problem.conditions import exact_critical_batch, exact_critical_lr
from hdlimit.problem.problem import Problem
from hdlimit.response.residual_maps import residual_map


@dataclass(frozen=True)
class Stability:
    """Whether a step size is stable, and up to which one it would be.

    Attributes
    ----------
    stable : bool
        Whether lr is below critical_lr.
    lr : float
        The step size that was judged, the largest one of a schedule.
    critical_lr : float
        The critical step size of SGD, exact at this d and batch size for Gaussian x; inf where no step size diverges.
    limit_critical_lr : float
        That of the limit.
    critical_batch : float
        The smallest batch size at which lr is stable at this d; inf where none is, 1 where no step size diverges.
    outcome : Outcome
        Status and sentence.
    """

    stable: bool
    lr: float
    critical_lr: float
    limit_critical_lr: float
    critical_batch: float
    outcome: Outcome

    def __str__(self) -> str:
        return self.outcome.sentence


@known_names
def stability(problem: Problem, optimizer: Optimizer, horizon: float = LONGEST_HORIZON) -> Stability:
    """Whether the risk of an optimizer stays bounded, and the step size above which it does not.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        The optimizer.
    horizon : float
        The lr of a schedule is judged by its largest value up to this time, in units of t = k/d.

    Returns
    -------
    Stability
        Bounded residual maps (sign, a finite clip threshold) never diverge: their critical step is inf.

    Raises
    ------
    NoLimit
        Where nu is infinite.

    Notes
    -----
    The limit of SGD with batch size B is stable iff eta kappa < 2 B, kappa = tr K/d. At finite d the critical step is
    the root of sum_i g l_i/(2 B - g l_i (B + 1)) = 1, g = eta/d, l_i the eigenvalues of K; the same sum in B gives the
    critical batch. A map with linear tails has the critical steps of SGD times the limit of mu v/nu as v grows,
    exact for psi(r) = a r. With momentum kappa eta < 2 B for the effective step, and at this d the root of
    sum_i q_i/(1 - q_i) = 1, with x = lr l_i/d: q = x (1 + beta)/(B (1 - beta)(2 (1 + beta) - x)), or with nesterov
    q = x (1 + beta + beta x + 2 beta^2 x)/(B (1 - beta + beta x)(2 (1 + beta) - (1 + 2 beta) x)). Sign features have
    those of the limit, where the forcing of the modes stands for kappa.
    Proof: derivations/steady.py.

    Examples
    --------
    >>> import hdlimit as hd
    >>> found = hd.stability(hd.Problem(hd.Isotropic(200)), hd.SGD(lr=1.5))
    >>> found.stable, round(found.limit_critical_lr, 3), round(found.critical_lr, 3)
    (True, 2.0, 1.98)
    """
    check_types(problem, optimizer)
    return judge(problem, optimizer, limit_of(problem, optimizer), checks.positive("horizon", horizon))


def is_stable(problem: Problem, optimizer: Optimizer, limit: Limit, horizon: float) -> bool:
    """Whether the largest lr up to the horizon is below the critical one; see stability."""
    return limit.bounded or largest_lr(limit.lr, horizon, limit.step) < _critical_lr(problem, optimizer, limit)


def judge(problem: Problem, optimizer: Optimizer, limit: Limit, horizon: float) -> Stability:
    """Return the stability of an optimizer whose limit is known; see stability."""
    lr = largest_lr(limit.lr, horizon, limit.step)
    if limit.bounded:
        return Stability(
            True,
            lr,
            math.inf,
            math.inf,
            1.0,
            Outcome(Status.FINISHED, "no step size diverges: the residual map is bounded"),
        )
    tail = residual_map(optimizer).tail
    asymptotic, critical = _asymptotic_lr(optimizer, limit), _critical_lr(problem, optimizer, limit)
    stable = lr < critical
    relation = "below" if stable else "not below"
    name = "lr" if isinstance(limit.lr, Constant) else "the largest lr"
    sentence = f"{name} {lr:.4g} is {relation} the critical lr {critical:.4g} (in the limit: {asymptotic:.4g})"
    outcome = Outcome(Status.FINISHED if stable else Status.UNSTABLE, sentence)
    return Stability(
        stable,
        lr,
        critical,
        asymptotic,
        _critical_batch(problem, limit, lr / tail) if tail > 0 else math.inf,
        outcome,
    )


def _asymptotic_lr(optimizer: Optimizer, limit: Limit) -> float:
    """Return the critical lr of the limit."""
    return 2 * optimizer.batch_size * residual_map(optimizer).tail / (limit.gain * limit.modes.forcing)


def _critical_lr(problem: Problem, optimizer: Optimizer, limit: Limit) -> float:
    """Return the critical lr at this d, that of the limit for sign features."""
    if not FEATURES[limit.features].linear:
        return _asymptotic_lr(optimizer, limit)
    tail, batch = residual_map(optimizer).tail, optimizer.batch_size
    if limit.memory is not None:
        return momentum.critical(limit.memory, problem.covariance, batch) * tail
    return exact_critical_lr(problem.covariance, batch) * tail


def _critical_batch(problem: Problem, limit: Limit, lr: float) -> float:
    """Return the smallest stable batch of a map with tail 1."""
    if limit.memory is not None:
        return momentum.critical_batch(limit.memory, problem.covariance, lr)
    if FEATURES[limit.features].linear:
        return exact_critical_batch(problem.covariance, lr)
    return math.floor(lr * limit.modes.forcing / 2) + 1.0
