"""Where the limit ends: the mean risk of runs over the predicted curve, under conditions that the limit leaves out.

    python examples/where_it_ends.py [--out PNG] [--runs N] [--d N]

Five panels: a covariance whose trace sits in few directions; a start that is aligned with coordinates, under sign
features; a batch as large as D = (tr K)^2/tr(K^2), with lr in proportion to B (sign: to sqrt B); lr near the critical
one of SGD at this d; features that are not Gaussian, with K = I. Markers: runs over the curve, with a standard error.
Lines: what is known of it, the exact mean of SGD or curve.corrected over the curve. Dashes: the ratio that predict
warns of where features are not Gaussian, right when settled for SGD, a rule of thumb for clip and sign. The table says
which warnings predict gave.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import caveats, largest_alignment
from hdlimit.plotting.figure import style
from hdlimit.problem.row_moments import row_effects

NOISE, ALIGNED_NOISE = hd.Gaussian(0.5), hd.Gaussian(0.1)
OPTIMIZERS = {"SGD": hd.SGD(0.5), "clip": hd.ClippedSGD(0.5, 0.6), "sign": hd.SignSGD(0.3)}


class Point(NamedTuple):
    """One comparison. panel, line: where it is drawn; x: the condition; ratio, error: of runs to the curve; known: what
    theory says of it; told: the warnings of predict.
    """

    panel: str
    line: str
    x: Any
    ratio: float
    error: float
    known: float
    told: str


def compare(panel: str, line: str, x: Any, problem: hd.Problem, optimizer: Any, time: float, runs: int) -> Point:
    """Runs and what is known of their mean, over the curve at one time."""
    curve = hd.predict(problem, optimizer, time, times=[time])
    direct = isinstance(optimizer, hd.SignSGD) or problem.rows is not None
    done = hd.simulate(problem, optimizer, time, runs, times=[time], method="direct" if direct else "blocks")
    if problem.rows is not None:
        mean = curve.risk[0] * known_of_rows(problem, optimizer)
    elif isinstance(optimizer, hd.SGD):
        mean = hd.exact_mean(problem, optimizer, [round(time * problem.dimension)]).risk[0]
    else:
        mean = curve.corrected[0]
    told = ", ".join(
        sorted({type(c).__name__.removesuffix("Warning") for c in caveats(limit_of(problem, optimizer), problem, time)})
    )
    ratio, error = done.mean[0] / curve.risk[0], done.stderr[0] / curve.risk[0]
    return Point(panel, line, x, float(ratio), float(error), float(mean / curve.risk[0]), told or "-")


def known_of_rows(problem: hd.Problem, optimizer: Any) -> float:
    """The risk over the limit's that predict warns of: SGD and sign when settled, clip on the way; K = I."""
    rows = row_effects(problem.rows)
    if isinstance(optimizer, hd.SignSGD):
        return 1 / rows.drift
    if isinstance(optimizer, hd.ClippedSGD):
        return 1 + rows.norm_variance
    x = float(optimizer.lr_schedule(0.0)) / 2
    return rows.noise * (1 - x) / (1 - rows.square * x) if rows.square * x < 1 else math.inf


def few_directions(d: int, runs: int) -> Iterator[Point]:
    for exponent in (0.5, 0.8, 1.0, 1.2, 1.5):
        covariance = hd.PowerLaw(5 * d, exponent).binned(24)
        problem = hd.Problem(covariance, NOISE)
        for name, optimizer in OPTIMIZERS.items():
            size = runs if name != "sign" else max(runs // 10, 2)
            yield compare("tr(K)/norm(K)", name, problem.intrinsic_dimension, problem, optimizer, 8.0, size)


def aligned(d: int, runs: int) -> Iterator[Point]:
    for k in (1, 2, 4, 16, 64, d):
        target = np.where(np.arange(d) < k, k**-0.5, 0.0)
        problem = hd.Problem(hd.Isotropic(d), ALIGNED_NOISE, target=target)
        for batch, time in ((1, 4.0), (8, 0.5)):
            optimizer = hd.SignSGD(0.3 * math.sqrt(batch), batch_size=batch)
            x = largest_alignment(problem)
            yield compare("max rho_i^2", f"sign, B = {batch}, t = {time:g}", x, problem, optimizer, time, runs // 4)


def large_batch(d: int, runs: int) -> Iterator[Point]:
    problem = hd.Problem(hd.Isotropic(d), NOISE)
    for batch in (1, 4, 16, 64, 256):
        lr = min(0.5 * batch, 0.5 * d)
        optimizers = {
            "SGD": hd.SGD(lr, batch_size=batch),
            "clip": hd.ClippedSGD(lr, 0.6 / math.sqrt(batch), batch_size=batch),
            "sign": hd.SignSGD(0.3 * math.sqrt(batch), batch_size=batch),
            "SGD, lr 0.5": hd.SGD(0.5, batch_size=batch),
        }
        for name, optimizer in optimizers.items():
            size = max(runs // 10, 20) if name == "sign" else runs // 2
            yield compare("B / D", name, batch / d, problem, optimizer, 8.0, size)


def near_critical(d: int, runs: int) -> Iterator[Point]:
    for size in (d, 5 * d):
        problem = hd.Problem(hd.Isotropic(size), NOISE)
        critical = hd.stability(problem, hd.SGD(1.0)).critical_lr
        for share in (0.5, 0.8, 0.9, 0.95, 0.99, 1.005):
            optimizer = hd.SGD(share * critical)
            yield compare("lr / critical lr", f"SGD, d = {size}", share, problem, optimizer, 64.0, runs)


def feature_laws(d: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    n = 100 * d
    yield "normal", rng.standard_normal((n, d))
    yield "t 5", rng.standard_t(5, (n, d))
    yield "t 3", rng.standard_t(3, (n, d))
    yield "+-1", rng.choice([-1.0, 1.0], (n, d))
    for width in (0.3, 0.5):
        yield f"scaled {width}", np.exp(width * rng.standard_normal((n, 1))) * rng.standard_normal((n, d))


def not_gaussian(d: int, runs: int) -> Iterator[Point]:
    rng = np.random.default_rng(0)
    for law, x in feature_laws(d, rng):
        x /= math.sqrt(float(np.mean(x**2)))
        problem = hd.Problem.from_data(x, x @ np.full(d, d**-0.5) + 0.5 * rng.standard_normal(len(x)))
        for name, optimizer in OPTIMIZERS.items():
            time = 4.0 if name == "clip" else 16.0
            yield compare("features", f"{name}, t = {time:g}", law, problem, optimizer, time, max(runs // 8, 2))


PANELS = (few_directions, aligned, large_batch, near_critical, not_gaussian)


def draw(ax: Any, points: list[Point]) -> None:
    """One panel; a law of features is a place on the axis."""
    named = isinstance(points[0].x, str)
    places = {x: k for k, x in enumerate(dict.fromkeys(p.x for p in points))}
    for k, line in enumerate(dict.fromkeys(p.line for p in points)):
        mine = [p for p in points if p.line == line]
        x = np.array([places[p.x] + 0.2 * (k - 1) if named else p.x for p in mine])
        ratio, error, known = (np.array([getattr(p, name) for p in mine]) for name in ("ratio", "error", "known"))
        ax.plot(
            x, known, "_" if named else "-", color=f"C{k}", markersize=12, markeredgecolor=f"C{k}", markeredgewidth=2
        )
        ax.errorbar(x, ratio, error, fmt="osD^"[k], color=f"C{k}", label=line, markersize=5)
    ax.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    ax.set(xlabel=points[0].panel, ylabel="risk / curve")
    ax.set_ylim(max(ax.get_ylim()[0], 0.5), min(ax.get_ylim()[1], 2.6 if named else 3.5))
    if named:
        ax.set_xticks(list(places.values()), list(places), rotation=30)
    elif points[0].panel != "lr / critical lr":
        ax.set_xscale("log")
        ax.minorticks_off()
        ax.set_xticks(list(places), [f"{x:.2g}" for x in places])
    ax.legend(fontsize="small", loc="upper left" if points[0].panel != "tr(K)/norm(K)" else "upper right")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="where_it_ends.png", type=Path)
    parser.add_argument("--runs", default=1000, type=int)
    parser.add_argument("--d", default=200, type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    def shown(value: float) -> str:
        return f"{value:>9.3f}" if value < 100 else f"{'grows':>9}"

    with style():
        figure = Figure(figsize=(14, 8))
        for ax, panel in zip(figure.subplots(2, 3).ravel(), PANELS):
            points = list(panel(arguments.d, arguments.runs))
            print(f"\n{points[0].panel:<18}{'optimizer':<22}{'runs/curve':>11}{'+-':>9}{'known':>9}  warnings")
            for p in points:
                x = p.x if isinstance(p.x, str) else f"{p.x:.3g}"
                print(f"{x:<18}{p.line:<22}  {shown(p.ratio)}{shown(p.error)}{shown(p.known)}  {p.told}", flush=True)
            draw(ax, points)
        figure.axes[5].set_axis_off()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
