"""The published way to a curve: explicit Euler with a step of one iteration, dt = 1/d, over all modes, in NumPy.

    python examples/benchmarks/euler.py

Our own rendering of how the papers integrate their limit. `extrapolated` times a few points of a sweep and multiplies:
its result is an extrapolation, and is marked so wherever it is shown. The script prints it beside hd.sweep for 10 000
points (200 modes, lr x threshold, Student-t noise), both in processor time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import process_time, thread_time
from typing import Any, NamedTuple

import numpy as np

import hdlimit as hd
from hdlimit.limit.system import limit_of

Response = Callable[[float, float], tuple[float, float]]


class Extrapolated(NamedTuple):
    """seconds: for all points, the measured time times points/timed; timed: how many points were timed; points: all."""

    seconds: float
    timed: int
    points: int

    def __str__(self) -> str:
        return f"{self.seconds:.4g} s (extrapolated from {self.timed} of {self.points} points)"


def euler(problem: hd.Problem, optimizer: Any, horizon: float, response: Response | None = None) -> np.ndarray:
    """The excess risk after every step k = 0, 1, ..., horizon * d, by explicit Euler with dt = 1/d.

    response: (v, c) -> (mu, nu), None for the package's own, evaluated once a step.
    """
    limit = limit_of(problem, optimizer)
    modes, m = limit.modes, limit.modes.start.copy()
    weight, dt = modes.functionals[0], 1 / problem.dimension
    time = dt * np.arange(round(horizon * problem.dimension) + 1)
    lr, threshold = limit.lr(time), limit.control(time)
    if response is None:
        response = limit.response.below(float(threshold.max()))
    v = np.empty(time.size)
    for k in range(time.size):
        v[k] = weight @ m
        mu, nu = response(v[k], threshold[k])
        m += dt * (-2 * lr[k] * mu * modes.rate * m + lr[k] ** 2 * nu * modes.diffusion)
    return v / 2


def extrapolated(
    problem: hd.Problem, optimizers: Iterable[Any], horizon: float, points: int, response: Response | None = None
) -> Extrapolated:
    """Processor time of `euler` for `points` points, from those of a few optimizers that stand for them."""
    few = list(optimizers)
    before = thread_time()
    for optimizer in few:
        euler(problem, optimizer, horizon, response)
    return Extrapolated((thread_time() - before) / len(few) * points, len(few), points)


def main() -> None:
    """10 000 points by both."""
    problem = hd.Problem(hd.PowerLaw(200, 0.4), hd.StudentT(df=5, scale=0.5))
    lr, threshold, horizon = np.geomspace(0.05, 1.5, 100), np.geomspace(0.1, 5.0, 100), 20.0
    base = hd.ClippedSGD(0.5, 1.0)
    hd.sweep(problem, base, horizon, lr=lr[:2], threshold=threshold[:2])
    before = process_time()
    sweep = hd.sweep(problem, base, horizon, lr=lr, threshold=threshold)
    ours = process_time() - before
    corners = [(lr[i], threshold[j]) for i in (10, 90) for j in (10, 90)]
    published = extrapolated(problem, [hd.ClippedSGD(*pair) for pair in corners], horizon, sweep.status.size)
    modes = extrapolated(problem, [base] * 4, horizon, sweep.status.size, lambda v, c: (1.0, v))
    error = max(
        abs(euler(problem, hd.ClippedSGD(a, c), horizon)[-1] / sweep.sel(lr=a, threshold=c).risk[-1] - 1)
        for a, c in corners
    )
    print(f"hd.sweep, {sweep.status.size} curves: {ours:.3g} s of processor time, right to 1e-6")
    print(f"explicit Euler, dt = 1/d: {published} of processor time, last risk off by up to {error:.2g}")
    print(f"the same with a response that costs nothing: {modes}")
    print(f"ratios: {published.seconds / ours:.3g} and {modes.seconds / ours:.3g} (extrapolated)")


if __name__ == "__main__":
    main()
