"""Rules for a clip threshold that follows v = 2R, each with its best compensated step.

max-CCC:    c(v) = argmax_c mu_c(v)^2/nu_c(v)
heuristic:  c(v) = k sqrt(v + s^2),  s^2 = Var eps, or the squared width of the noise where Var is infinite
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from hdlimit.optimizers.schedules import Constant, Schedule
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import BestNow, heuristic_scale
from hdlimit.response.closed_loop import ClipResponse, Feedback, compensated
from hdlimit.tuning.search import Family, best_scale, polish
from hdlimit.tuning.trial import Trial

Threshold = Callable[[float], float]


class Rule(NamedTuple):
    """A threshold that follows v.

    Parameters
    ----------
    threshold : callable
        v -> c, inf allowed.
    k : float or None
        Of the heuristic.
    """

    threshold: Threshold
    k: float | None = None

    def response(self, noise: NoiseLaw, batch_size: int) -> Feedback:
        """Return (1, nu_c/mu_c^2), the response with compensated step."""
        exact = ClipResponse(noise, batch_size)
        return Feedback(compensated(lambda v: exact(v, self.threshold(v))), noise, batch_size)


def max_ccc(problem: Problem, batch_size: int) -> Rule:
    """Return the rule c*(v) = argmax over c of mu_c^2/nu_c."""
    return Rule(lru_cache(maxsize=None)(BestNow(problem.noise, batch_size)))


def heuristic(problem: Problem, k: float) -> Rule:
    """Return the rule c(v) = k sqrt(v + s^2)."""
    square = heuristic_scale(problem.noise) ** 2
    return Rule(lambda v: k * math.sqrt(v + square), k)


class Followed(NamedTuple):
    """The best step for a rule.

    Parameters
    ----------
    rule : Rule
        The threshold.
    lr : Schedule
        The compensated step eta(t).
    value : float
        Log of the risk or of the time.
    """

    rule: Rule
    lr: Schedule
    value: float


def tuned_max_ccc(trial: Trial, batch_size: int, lr: Schedule | None) -> Followed:
    """Return the max-CCC schedule with the given compensated step, or its best constant one."""
    rule = max_ccc(trial.problem, batch_size)
    response = rule.response(trial.problem.noise, batch_size)
    if lr is None:
        x, _ = best_scale(trial, response, math.exp, math.inf)
        (x,), value = polish(lambda p: trial.value(response, Constant(math.exp(p[0])), math.inf, fine=True), [x])
        return Followed(rule, Constant(math.exp(x)), value)
    return Followed(rule, lr, trial.value(response, lr, math.inf, fine=True))


def tuned_heuristic(trial: Trial, batch_size: int, lr: Schedule | None) -> Followed:
    """Return the heuristic with its best k, under the given compensated step or the best constant one."""
    problem = trial.problem
    family = Family(
        trial,
        lambda y: heuristic(problem, math.exp(y)).response(problem.noise, batch_size),
        lambda x, y: math.exp(x),
        lambda y: math.inf,
        lr,
    )
    x, y, value = family.best(math.log(0.1 / batch_size), math.log(8.0))
    return Followed(heuristic(problem, math.exp(y)), Constant(math.exp(x)) if lr is None else lr, value)
