"""The main job in one command: SGD, clipped SGD and signSGD on one problem, predicted and simulated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.plotting.figure import write_figure
from hdlimit.plotting.risk import plot_curve, plot_ensemble
from hdlimit.problem.named_covariances import PowerLaw
from hdlimit.problem.noise import StudentT
from hdlimit.problem.problem import Problem
from hdlimit.verification.report import Report
from hdlimit.verification.verify import verify

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

PROBLEM = Problem(PowerLaw(1000, exponent=0.3), StudentT(df=5, scale=0.5))
OPTIMIZERS: dict[str, Optimizer] = {
    "SGD": SGD(lr=0.6),
    "clipped SGD": ClippedSGD(lr=0.6, threshold=0.6),
    "signSGD": SignSGD(lr=0.25),
}
# Length of the demo's curves in units of t = k/d: all three have relaxed by then.
HORIZON = 20.0


class Line(NamedTuple):
    """One optimizer of the demo.

    Parameters
    ----------
    name : str
        In words.
    report : Report
        Its verification.
    seconds : float
        The time it took.
    """

    name: str
    report: Report
    seconds: float


def run(runs: int, seed: int) -> Iterator[Line]:
    """Predict and simulate every optimizer.

    Parameters
    ----------
    runs : int
        Simulated runs of each.
    seed : int
        Of the runs.

    Yields
    ------
    Line
        As soon as it is known.
    """
    for name, optimizer in OPTIMIZERS.items():
        start = time.perf_counter()
        report = verify(PROBLEM, optimizer, HORIZON, runs=runs, seed=seed)
        yield Line(name, report, time.perf_counter() - start)


HEADER = (
    f"{'optimizer':<12}{'R predicted':>12}{'R simulated (mean of the runs)':>32}{'difference':>12}"
    f"{'detectable':>12}{'seconds':>9}  verdict"
)


def describe(line: Line) -> str:
    """Return a line of the table: the risk at the horizon, predicted and simulated, and the verdict."""
    curve, runs = line.report.curve, line.report.runs
    simulated = f"{runs.mean[-1]:.5f} +- {runs.stderr[-1]:.5f}"
    difference = runs.mean[-1] / curve.risk[-1] - 1
    return (
        f"{line.name:<12}{curve.risk[-1]:>12.5f}{simulated:>32}{difference:>+12.2%}"
        f"{line.report.detectable:>12.2%}{line.seconds:>9.1f}  {line.report.verdict}"
    )


def draw(lines: list[Line], path: str | PathLike[str]) -> None:
    """Write the figure: predictions as lines, the mean of the runs as markers, the spread of one run as a band."""

    def panel(ax: Axes) -> None:
        for index, (name, report, _) in enumerate(lines):
            color, runs = f"C{index}", report.runs
            plot_curve(report.curve, ax, color=color, label=f"{name}, predicted")
            plot_ensemble(runs, ax, color=color, label=f"{name}, {runs.runs} runs")
        ax.set_xlim(left=0.02)
        ax.set_title(f"d = {PROBLEM.dimension}, Student-t noise with 5 degrees of freedom")
        ax.legend()

    write_figure(path, panel)
