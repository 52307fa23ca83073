"""Sweeps: the limit of every combination of step sizes, thresholds, batch sizes and noises, on one labelled grid."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.core.timegrid import check_horizon, default_times
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput, shown, warn
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.prediction.axes import checked_axes
from hdlimit.prediction.points import Points
from hdlimit.prediction.predict import LOOSEST, TIGHTEST
from hdlimit.prediction.sweep_record import Sweep
from hdlimit.problem.problem import Problem


@known_names
def sweep(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    *,
    times: Any = None,
    final: bool = False,
    rtol: float = 1e-6,
    compress: bool | float = True,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    **axes: Any,
) -> Sweep:
    """Return the predicted risk for every combination of parameters.

    Parameters
    ----------
    problem : Problem
        Supplies what is not swept.
    optimizer : Optimizer
        Supplies what is not swept.
    horizon, times, rtol, compress
        As in `hdlimit.predict`.
    final : bool
        Keep the risk at the horizon alone.
    threads : int, optional
        Number of threads; by default one a core.
    executor : concurrent.futures.Executor, optional
        In place of threads.
    progress : bool, optional
        Show a progress bar over the points; by default on a terminal, for work of more than a second.
    **axes
        name=values for any of lr, threshold (numbers, or a list with schedules among them), batch_size, noise (laws),
        or the numeric parameters of the problem's noise law (std, df, scale, half_width), in the order of the result's
        axes. Values are distinct and > 0; a threshold may be inf.

    Returns
    -------
    Sweep
        The same bits on any number of threads and any executor. Every curve is that of `hdlimit.predict` to rtol.

    Raises
    ------
    InvalidInput
        For an argument that is not as above.
    NoLimit
        Where a point has no limit.

    Warns
    -----
    HdlimitWarning
        As `hdlimit.predict` does, each sentence once.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(200), hd.Gaussian(std=0.5))
    >>> found = hd.sweep(problem, hd.SGD(lr=1.0), 5.0, final=True, lr=[0.2, 0.4, 0.8])
    >>> found.best
    {'lr': 0.4}
    """
    check_types(problem, optimizer)
    horizon, rtol = check_horizon(horizon, problem.dimension), checks.positive("rtol", rtol)
    if not TIGHTEST <= rtol <= LOOSEST:
        raise InvalidInput("rtol", f"a number from {TIGHTEST:g} to {LOOSEST:g}", f"{rtol:g}")
    if checks.flag("final", final) and times is not None:
        raise InvalidInput("times", "None with final=True, which keeps the risk at the horizon alone", "times")
    if threads is not None:
        checks.count("threads", threads)
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidInput("executor", "a concurrent.futures.Executor or None", shown(executor))
    if threads is not None and executor is not None:
        raise InvalidInput("threads", "None with an executor", f"{threads}")
    grid = default_times(horizon, problem.dimension) if times is None else checks.times("times", times, horizon)
    checked = checked_axes(problem, optimizer, axes)
    points = Points(problem, optimizer, checked)
    points.check_total("axes", 1 if final else grid.size)
    for caveat in points.caveats(horizon):
        warn(caveat)
    how: Any = {"threads": threads, "executor": executor, "progress": progress}
    kept = np.array([horizon]) if final else grid
    risk, status, end = points.solve(horizon, kept, final, rtol, compress, **how)
    names, values = tuple(points.axes), tuple(points.axes.values())
    return Sweep(
        problem, optimizer, horizon, rtol, names, values, kept, risk, status, end, __version__, compress
    )  # fmt: skip
