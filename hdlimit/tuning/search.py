"""The best constants: step size and clip threshold that minimize the risk at a horizon, or the time to a target risk.

Every trial is an integration of the limit. The search is coarse first, over the whole range of both constants (there
can be several minima), on binned modes; then local; then polished on the modes of the problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.core.timegrid import counting
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Constant, Schedule
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.problem.problem import Problem
from hdlimit.response.closed_loop import Thresholds, at_threshold
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import MapResponse, Response
from hdlimit.tuning.trial import WORST, Trial, check_found, checked_trial, compensated_step

# Gain in the objective below which not clipping is chosen: above the error of FINE trials. Chosen, not measured.
NEGLIGIBLE = 2e-5

Value = Callable[[float], float]


def scan(value: Value, low: float, high: float, spacing: float, more: int = 40) -> list[tuple[float, float]]:
    """Evaluate a function on a grid, continued past an end while the smallest value is there.

    Parameters
    ----------
    value : callable
        x -> number.
    low, high : float
        Ends of the grid.
    spacing : float
        Largest distance of its points.
    more : int
        Most points added past an end.

    Returns
    -------
    list of tuple
        (x, value), x ascending.
    """
    count = max(math.ceil((high - low) / spacing), 1) + 1
    points = [(float(x), value(float(x))) for x in np.linspace(low, high, count)]
    step = points[1][0] - points[0][0]
    for _ in range(more):
        best = min(range(len(points)), key=lambda i: points[i][1])
        if best not in (0, len(points) - 1):
            break
        x = points[best][0] + (step if best else -step)
        new = (x, value(x))
        points = [*points, new] if best else [new, *points]
        if WORST > new[1] > points[-2 if best else 1][1] - 1e-7:
            break
    return points


def local_minimum(value: Value, low: float, high: float, xtol: float) -> tuple[float, float]:
    """Return (x, value) of a minimum inside [low, high], by Brent's method."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(value, bounds=(low, high), method="bounded", options={"xatol": xtol})
    return float(found.x), float(found.fun)


def around(points: list[tuple[float, float]], index: int) -> tuple[float, float]:
    """Return the grid interval around a point."""
    return points[max(index - 1, 0)][0], points[min(index + 1, len(points) - 1)][0]


def minimize(value: Value, low: float, high: float, spacing: float, xtol: float) -> tuple[float, float]:
    """Return (x, value) of the best minimum: a grid, then Brent's method around its best point."""
    points = scan(value, low, high, spacing)
    best = min(range(len(points)), key=lambda i: points[i][1])
    return min(local_minimum(value, *around(points, best), xtol), points[best], key=lambda p: p[1])


def best_scale(trial: Trial, response: Response, lr: Callable[[float], float], threshold: float) -> tuple[float, float]:
    """Return (x, value) of the best constant step lr(x) for one response, x near the log of eta mu."""
    return minimize(lambda x: trial.value(response, Constant(lr(x)), threshold), *trial.scales, trial.spacing, 0.02)


def polish(value: Callable[[Any], float], start: list[float], step: float = 0.03) -> tuple[list[float], float]:
    """Minimize by Nelder and Mead from a small simplex: (point, value), the point to about 1e-3."""
    from scipy.optimize import minimize as simplex

    corners = np.array([start] + [[s + step * (i == j) for i, s in enumerate(start)] for j in range(len(start))])
    options = {"initial_simplex": corners, "xatol": 2e-3, "fatol": 1e-7, "maxfev": 80}
    found = simplex(value, start, method="Nelder-Mead", options=options)
    return [float(x) for x in found.x], float(found.fun)


class Constants(NamedTuple):
    """Best constants.

    Parameters
    ----------
    optimizer : Optimizer
        The one that has them.
    value : float
        Its objective, log risk or log time; WORST where every trial failed, and the step then says nothing.
    """

    optimizer: Optimizer
    value: float


def best_step(trial: Trial, optimizer: Optimizer) -> Constants:
    """Return the optimizer with its best constant lr; its own lr is ignored, its constant threshold is kept."""
    response = MapResponse.of(optimizer, trial.problem.noise)
    if not isinstance(optimizer.control_schedule, Constant):
        raise InvalidInput("optimizer", "one with a constant threshold", shown(optimizer))
    c = optimizer.control_schedule.value
    quick: Response = at_threshold(response, c) if response.map.clips else response
    mu = response(2 * trial.problem.initial_risk, c)[0] * trial.per_lr
    x, _ = best_scale(trial, quick, lambda x: compensated_step(x, mu), c)
    (x,), value = polish(lambda p: trial.value(quick, Constant(compensated_step(p[0], mu)), c, fine=True), [x])
    tuned: Any = optimizer
    return Constants(tuned if value >= WORST else replace(tuned, lr=compensated_step(x, mu)), value)


class Family:
    """A one-parameter family of responses with a step; the constants to be searched over are x and y.

    Parameters
    ----------
    trial : Trial
        The objective.
    member : callable
        y -> the response at parameter e^y.
    step : callable
        (x, y) -> the constant lr.
    threshold : callable
        y -> the constant clip threshold that the integrator passes on (responses of v alone ignore it).
    lr : Schedule or None
        A given step size, None to search it.
    """

    def __init__(
        self, trial: Trial, member: Callable[[float], Response], step: Callable[[float, float], float],
        threshold: Callable[[float], float], lr: Schedule | None,
    ) -> None:  # fmt: skip
        self.trial, self.step, self.threshold, self.lr = trial, step, threshold, lr
        self.member = lru_cache(maxsize=256)(member)

    def value(self, x: float, y: float, fine: bool = False) -> float:
        """Return the objective at (x, y); x does not matter where the lr is given."""
        lr = Constant(self.step(x, y)) if self.lr is None else self.lr
        return self.trial.value(self.member(y), lr, self.threshold(y), fine)

    def profile(self, y: float) -> tuple[float, float]:
        """Return (best x, value) at y."""
        if self.lr is not None:
            return math.nan, self.value(math.nan, y)
        return minimize(lambda x: self.value(x, y), *self.trial.scales, self.trial.spacing, 0.02)

    def best(self, low: float, high: float) -> tuple[float, float, float]:
        """Return (x, y, value) of the best of all minima, polished."""
        points = scan(lambda y: self.profile(y)[1], low, high, math.log(2.0))
        values = [value for _, value in points]
        dips = [i for i in range(len(points)) if values[i] == min(values[max(i - 1, 0) : i + 2])]
        found = [points[i] for i in dips]
        for i in sorted(dips, key=lambda i: values[i])[:2]:
            found.append(local_minimum(lambda y: self.profile(y)[1], *around(points, i), 0.03))
        y = min(found, key=lambda p: p[1])[0]
        if self.lr is not None:
            (y,), value = polish(lambda p: self.value(math.nan, p[0], fine=True), [y])
            return math.nan, y, value
        (x, y), value = polish(lambda p: self.value(p[0], p[1], fine=True), [self.profile(y)[0], y])
        return x, y, value


@counting()
def best_clip(trial: Trial, batch_size: int = 1, lr: Schedule | None = None) -> Constants:
    """Find clipped SGD's best constants, or its best constant threshold under a given lr.

    Parameters
    ----------
    trial : Trial
        The objective.
    batch_size : int
        B.
    lr : Schedule, optional
        A given step size.

    Returns
    -------
    Constants
        Not clipping (threshold inf) is chosen where no threshold is better by more than 2e-5 of the log.
    """
    noise, buffer = trial.problem.noise, trial.memory or ()
    response = MapResponse(CLIP, noise, batch_size)
    v = 2 * trial.problem.initial_risk
    drift = lru_cache(maxsize=256)(lambda y: response(v, math.exp(y))[0] * trial.per_lr)
    member = lambda y: at_threshold(response, math.exp(y))  # noqa: E731
    if not response.is_quick(math.exp(trial.thresholds[0])):
        shared = Thresholds(response)
        drift = lru_cache(maxsize=256)(lambda y: shared(v, math.exp(y))[0] * trial.per_lr)
        member = lambda y: shared  # noqa: E731
    family = Family(trial, member, lambda x, y: compensated_step(x, drift(y)), math.exp, lr)
    x, y, value = family.best(*trial.thresholds)
    given: Any = lr.value if isinstance(lr, Constant) else lr
    step = family.step(x, y) if lr is None and value < WORST else given or 1.0
    clipped = Constants(ClippedSGD(step, math.exp(y), batch_size, *buffer), value)
    if math.isinf(noise.second_moment):
        return clipped
    if lr is None:
        plain = best_step(trial, SGD(1.0, batch_size, *buffer))
    else:
        plain = Constants(SGD(given, batch_size, *buffer), trial.value(response, lr, math.inf, fine=True))
    if plain.value > clipped.value + NEGLIGIBLE:
        return clipped
    return Constants(ClippedSGD(plain.optimizer.lr, math.inf, batch_size, *buffer), plain.value)


@known_names
def best_constants(
    problem: Problem, optimizer_type: type[Optimizer], horizon: float, target: float | None = None, batch_size: int = 1
) -> tuple[Optimizer, float]:
    """Find the constants of an optimizer that do best on a problem, and what they reach.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer_type : type
        SGD, ClippedSGD or SignSGD.
    horizon : float
        In units of t = k/d.
    target : float, optional
        A risk: the time at which it is reached is minimized, not the risk.
    batch_size : int
        B.

    Returns
    -------
    optimizer : Optimizer
        The lr is within a few parts in a thousand of the minimum's, so that the risk is within 1e-5 of the least. A
        threshold of inf means: do not clip.
    reached : float
        The risk at the horizon, or the time with a target. A risk below 1e-50 of the start stands for 0.

    Raises
    ------
    InvalidInput
        For a target below what constants reach, and a horizon in which no step lowers the risk by 1 %.
    NoLimit
        For SGD under noise of infinite variance.

    Notes
    -----
    Minimizes R(horizon) of the limit of `predict` over lr, and for ClippedSGD over lr and threshold.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> optimizer, risk = hd.tuning.best_constants(problem, hd.SGD, horizon=5.0)
    >>> bool(abs(hd.predict(problem, optimizer, horizon=5.0).risk[-1] / risk - 1) < 1e-4)
    True
    """
    if not any(optimizer_type is one for one in (SGD, ClippedSGD, SignSGD)):
        raise InvalidInput("optimizer_type", "SGD, ClippedSGD or SignSGD", shown(optimizer_type))
    batch_size = checks.count("batch_size", batch_size)
    trial = checked_trial(problem, horizon, optimizer_type.features, target)
    found = searched(trial, optimizer_type, batch_size)
    return found.optimizer, math.exp(found.value)


def searched(trial: Trial, optimizer_type: type[Optimizer], batch_size: int) -> Constants:
    """Return best_constants of a checked trial."""

    def search(trial: Trial) -> Constants:
        if optimizer_type is ClippedSGD:
            return best_clip(trial, batch_size)
        plain: Any = optimizer_type
        return best_step(trial, plain(lr=1.0, batch_size=batch_size))

    found = search(trial)
    check_found(trial, found.value, lambda: math.exp(search(replace(trial, target=None)).value))
    return found
