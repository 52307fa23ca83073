"""Four rungs from the theory to real data, shared by the examples with data.

    1. Gaussian x      Gaussian features with the rows' K, independent noise with the law of the residuals
    2. permuted        the rows' features, residuals dealt out to them anew: noise independent of x again
    3. rows            the rows as they are
    4. held out        the same streams of rows, judged on rows that were not streamed

Rungs 1 to 3 are compared with the predicted excess risk R. Rung 4 is compared in population risk, R + Var(eps)/2, since
the best theta of the unseen rows is not theta*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

import hdlimit as hd
from hdlimit.plotting.figure import label_axes, style
from hdlimit.plotting.risk import plot_curve
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.row_moments import non_gaussianity

LOOKS = {
    "Gaussian x": ("#0072B2", "o"),
    "permuted": ("#009E73", "s"),
    "rows": ("#D55E00", "^"),
    "held out": ("#CC79A7", "x"),
}
BANDS = ("rows", "held out")


@dataclass(frozen=True)
class Split:
    """Streamed rows as a problem, and unseen rows in the same coordinates."""

    problem: hd.Problem
    x: Any
    y: Any


@dataclass(frozen=True)
class Panel:
    """Prediction and rungs of one optimizer on one problem: an ensemble each, held out in population risk."""

    title: str
    curve: hd.results.Curve
    rungs: dict[str, hd.results.Ensemble]

    def predicted(self, rung: str, times: Any) -> Any:
        """What theory says of a rung: the excess risk, or the population risk of unseen rows."""
        floor = self.curve.problem.noise.variance / 2 if rung == "held out" else 0.0
        return self.curve.at(times) + floor


def split(x: Any, y: Any, whiten: float | None = None, held_out: float = 0.25, seed: int = 0) -> Split:
    """Deal the rows into streamed and unseen ones; everything that is estimated comes from the streamed rows.

    whiten: None scales the features by one factor to tr K = d; a share of the variance keeps the principal components
    that hold it, each scaled to variance 1. y is standardized.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    unseen, streamed = np.split(order, [round(held_out * len(y))])
    x, y = x - x[streamed].mean(axis=0), (y - y[streamed].mean()) / y[streamed].std()
    x = x[:, np.ptp(x[streamed], axis=0) > 0]
    values, vectors = np.linalg.eigh(x[streamed].T @ x[streamed] / len(streamed))
    if whiten is None:
        x = x * np.sqrt(x.shape[1] / values.sum())
    else:
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = int(np.searchsorted(np.cumsum(values), whiten * values.sum())) + 1
        x = x @ (vectors[:, :kept] / np.sqrt(values[:kept]))
    return Split(hd.Problem.from_data(x[streamed], y[streamed]), x[unseen], y[unseen])


def permuted(problem: hd.Problem, copies: int = 8, seed: int = 1) -> hd.Problem:
    """The rows `copies` times, with the residuals dealt out anew, so that noise and x are independent.

    The correlation that is left by chance, x @ shift, is taken off and the variance restored: theta* stays the best.
    """
    rows, generator = problem.rows, np.random.default_rng(seed)
    noise = np.array([generator.permutation(rows.noise) for _ in range(copies)])
    shift = np.linalg.lstsq(rows.x, noise.mean(axis=0))[0]
    noise = noise - rows.x @ shift
    noise *= np.sqrt(np.mean(rows.noise**2) / np.mean(noise**2))
    return replace(problem, rows=Rows(np.tile(rows.x, (copies, 1)), noise.ravel()))


def held_out(data: Split) -> tuple[hd.Problem, float]:
    """A problem that streams the same rows and has the unseen rows as its population, and the least risk there.

    With K, theta* and the residuals of the unseen rows, R plus their least risk is the mean of r^2/2 on them, exactly.
    """
    rows, x = data.problem.rows, data.x
    target = np.linalg.lstsq(x, data.y)[0]
    noise = rows.noise + rows.x @ (data.problem.target - target)
    problem = hd.Problem(x.T @ x / len(x), hd.Empirical(noise), target=target, rows=Rows(rows.x, noise))
    return problem, float(np.mean((data.y - x @ target) ** 2)) / 2


def climb(title: str, data: Split, optimizer: Any, horizon: float, runs: int, at: Any) -> Panel:
    """Predict, and simulate the four rungs; `at` are times that the table needs."""
    problem = data.problem
    unseen, least = held_out(data)
    same_step = optimizer
    if isinstance(optimizer, hd.ClippedSGD):
        max_norm = optimizer.max_norm(problem, loss="half_squared")
        same_step = hd.ClippedSGD.from_max_norm(optimizer.lr, max_norm, unseen, loss="half_squared")
    options = {"runs": runs, "times": np.union1d(np.geomspace(1 / problem.dimension, horizon, 25), at)}
    judged = hd.simulate(unseen, same_step, horizon, seed=3, **options)
    rungs = {
        "Gaussian x": hd.simulate(problem, optimizer, horizon, seed=1, rows="gaussian", **options),
        "permuted": hd.simulate(permuted(problem), optimizer, horizon, seed=2, **options),
        "rows": hd.simulate(problem, optimizer, horizon, seed=3, **options),
        "held out": replace(judged, risk=judged.risk + least),
    }
    return Panel(title, hd.predict(problem, optimizer, horizon), rungs)


def describe(title: str, data: Split) -> None:
    """What the streamed rows are like, and how much of the noise of unseen rows their residuals show."""
    problem = data.problem
    unseen = np.mean((data.y - data.x @ problem.target) ** 2)
    print(f"{title}: d = {problem.dimension}, d_int = {problem.intrinsic_dimension:.3g}")
    streamed = problem.noise.second_moment
    print(f"mean square of y - <x, theta*>: {streamed:.3g} on streamed rows, {unseen:.3g} on held-out rows")
    print(non_gaussianity(problem), end="\n\n")


def print_table(panels: list[Panel], at: Any) -> None:
    """Simulated over predicted risk, with the standard error of the simulation."""
    print("simulated / predicted (held out: population risk), +- standard error of the runs")
    print(f"{'':36}{'t':>6}{'R':>9}" + "".join(f"{name:>16}" for name in LOOKS))
    for panel in panels:
        for t in at:
            cells = ""
            for name, runs in panel.rungs.items():
                k = np.searchsorted(runs.time, t * (1 - 1e-9))
                predicted = panel.predicted(name, runs.time[k])
                cells += f"{runs.mean[k] / predicted:9.3f} +-{runs.stderr[k] / predicted:5.3f}"
            print(f"{panel.title:36}{t:6g}{panel.curve.at(t):9.4f}{cells}")


def draw(panels: list[Panel], columns: int, path: str) -> None:
    """One panel an optimizer and problem: prediction as lines, rungs as markers, the spread of a run as a band."""
    rows = len(panels) // columns
    with style():
        figure, axes = plt.subplots(rows, columns, figsize=(4.4 * columns, 3.7 * rows + 0.5), squeeze=False)
        for panel, ax in zip(panels, axes.flat):
            draw_panel(panel, ax)
        for ax in axes[:-1].flat:
            ax.set_xlabel("")
        for ax in axes[:, 0]:
            ax.set_ylabel("risk")
        handles = [Line2D([], [], color="black", label="predicted excess risk R")]
        handles += [Line2D([], [], color="black", linestyle="--", label="predicted R + Var(eps)/2")]
        handles += [Line2D([], [], label=name, **markers(name)) for name in LOOKS]
        figure.legend(handles=handles, loc="outside lower center", ncols=6)
        figure.savefig(path)
        plt.close(figure)
    print(f"figure: {path}")


def markers(name: str) -> dict[str, Any]:
    color, marker = LOOKS[name]
    edge = {"markeredgecolor": color, "markeredgewidth": 1.2, "fillstyle": "none"}
    return {"linestyle": "none", "marker": marker, "color": color, **edge}


def draw_panel(panel: Panel, ax: Any) -> None:
    label_axes(ax).set(title=panel.title, ylabel="")
    plot_curve(panel.curve, ax, color="black")
    time = panel.curve.time[panel.curve.time > 0]
    ax.plot(time, panel.predicted("held out", time), "--", color="black")
    for name, runs in panel.rungs.items():
        ax.plot(runs.time, runs.mean, **markers(name))
        if name in BANDS:
            low, high = np.maximum(runs.mean - runs.spread, runs.risk.min(axis=0)), runs.mean + runs.spread
            ax.fill_between(runs.time, low, high, color=LOOKS[name][0], alpha=0.2, linewidth=0)
