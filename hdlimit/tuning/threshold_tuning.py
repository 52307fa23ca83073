"""Tuning over a horizon: the constants, and the schedules, that reach the lowest risk."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.errors import InvalidInput
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.schedules import as_schedule
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.problem.problem import Problem
from hdlimit.response.clipping import clipped_fraction, rate_gain
from hdlimit.tuning.clip_schedule import ClipSchedule
from hdlimit.tuning.search import best_clip, best_step
from hdlimit.tuning.step_tuning import quiet_curve, untargeted
from hdlimit.tuning.threshold_report import Tuning
from hdlimit.tuning.threshold_rules import clip_schedule, tuned_heuristic, tuned_max_ccc
from hdlimit.tuning.trial import check_found, checked_trial


@known_names
def tune_clip(
    problem: Problem,
    horizon: float,
    lr: Any = None,
    schedule: bool = False,
    batch_size: int = 1,
    target: float | None = None,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
) -> Tuning:
    """Find the clip threshold and the step size with the lowest risk at a horizon, on the limit ODE.

    Parameters
    ----------
    problem : Problem
        The problem.
    horizon : float
        In units of t = k/d.
    lr : float, schedule or callable, optional
        None to tune it too; else a number or a schedule of t, which is kept.
    schedule : bool
        Compute the max-CCC schedule and the heuristic c = k sqrt(2R + s^2) too, along their own curves, with
        compensated steps eta(t)/mu_c, eta the given lr or the best constant one.
    batch_size : int
        B; the mean gradient is clipped.
    target : float, optional
        A risk: the time at which it is reached is minimized instead of the risk at the horizon.
    momentum, dampening, nesterov
        As in ClippedSGD; kept, for the rival without clipping too. Not with schedule=True.

    Returns
    -------
    Tuning
        Its constants are within a few parts in a thousand of the minimum's, so that the risk is within 1e-5 of the
        least.

    Raises
    ------
    InvalidInput
        Among others for a target below the lowest risk that can be reached (the message says which), and for a
        horizon in which no step size lowers the risk by 1 %.

    Warns
    -----
    HdlimitWarning
        As `predict` does.

    Notes
    -----
    The constants minimize R(horizon), or the time to the target. The schedule is

        c*(t) = argmax_c mu_c^2/nu_c,   lr(t) = eta(t)/mu_c

    (derivations/threshold.py; R from the limit that `predict` integrates).

    References
    ----------
    Marshall, Xiao, Agarwala, Paquette (2025), the clipping comparison criterion (CCC).

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> tuning = hd.tune_clip(problem, horizon=2.0)
    >>> tuning.risk < hd.tune_lr(problem, hd.SGD, horizon=2.0).risk
    True
    """
    memory = ClippedSGD(1.0, 1.0, checks.count("batch_size", batch_size), momentum, dampening, nesterov).memory
    trial, batch_size = checked_trial(problem, horizon, target=target, memory=memory), int(batch_size)
    if checks.flag("schedule", schedule) and memory is not None:
        expected = "False with momentum, as the schedule is the best threshold of steps that keep no gradients"
        raise InvalidInput("schedule", expected, "True")
    given = None if lr is None else as_schedule("lr", lr)
    found = best_clip(trial, batch_size, given)
    check_found(trial, found.value, lambda: math.exp(best_clip(untargeted(trial), batch_size, given).value))
    optimizer: Any = found.optimizer
    curve = quiet_curve(problem, optimizer, trial.horizon)
    c, v, noise = float(optimizer.threshold), 2 * float(curve.risk[-1]), problem.noise
    sgd = None if math.isinf(noise.second_moment) else best_step(trial, SGD(1.0, batch_size, *(memory or ())))
    if sgd is not None and trial.missed(sgd.value):
        sgd = None
    rival = math.inf if sgd is None else math.exp(sgd.value)
    schedules: list[ClipSchedule | None] = [None, None]
    if schedule:
        first = clip_schedule(trial, tuned_max_ccc(trial, batch_size, given), batch_size, rival)
        # Where nu/mu^2 is least without a clip, at every v, no threshold lowers the risk: the best k is infinite.
        unclipped = np.isinf(first.threshold).all()
        rule = None if unclipped else tuned_heuristic(trial, batch_size, given)
        other = replace(first, k=math.inf) if rule is None else clip_schedule(trial, rule, batch_size, rival)
        schedules = [first, other]
    found_optimizers = (optimizer, *(each.optimizer for each in schedules if each is not None))
    warn_caveats(problem, trial.horizon, *(limit_of(problem, each) for each in found_optimizers))
    plain: Any = None if sgd is None else sgd.optimizer
    return Tuning(
        problem,
        trial.horizon,
        trial.target,
        optimizer,
        curve,
        None if trial.target is None else math.exp(found.value),
        clipped_fraction(noise, v, c, batch_size),
        rate_gain(noise, v, c, batch_size),
        trial.gain(rival, float(curve.risk[-1]), found.value),
        plain,
        *schedules,
    )
