"""How far the limit of signSGD is off the mean of runs at finite d.

    python examples/sign_bias.py [--out PNG] [--runs N] [--dimensions D ...]

One point is |mean - limit|/limit, averaged over 20 times, for one covariance, noise law, step size and batch size,
against D = (tr K)^2/tr(K^2); its bar is two standard errors. The lines are the allowance (1 + B/2)/D that hd.verify
makes for sign features, where the corrected mean is not known. The table prints the bias times D.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting import style
from hdlimit.quantities import smooth_dimension

NOISES = (hd.NoNoise(), hd.Gaussian(0.3), hd.StudentT(1.5, 0.3), hd.Rademacher(0.5))
SETTINGS = ((1, 0.3), (1, 0.8), (4, 0.3))
HORIZON = 8.0


def problems(d: int) -> Iterator[hd.Problem]:
    """Four covariances of dimension d under four noise laws."""
    scales = np.geomspace(0.3, 3.0, d)
    for covariance in (
        hd.Isotropic(d),
        hd.PowerLaw(d, 0.5),
        hd.PowerLaw(d, 0.5).rotated(1),
        hd.Wishart(d, 0.5, row_scales=scales, seed=2),
    ):
        for noise in NOISES:
            yield hd.Problem(covariance, noise)


def bias(problem: hd.Problem, optimizer: hd.SignSGD, runs: int) -> tuple[float, float]:
    """Mean of (mean - limit)/limit over the times of a verification, and its standard error from the runs."""
    report = hd.verify(problem, optimizer, HORIZON, runs=runs)
    at = np.isin(report.runs.time, report.time)
    relative = (report.runs.risk[:, at] / report.predicted - 1).mean(axis=1)
    return float(relative.mean()), float(relative.std(ddof=1) / np.sqrt(runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="sign_bias.png", type=Path)
    parser.add_argument("--runs", default=400, type=int)
    parser.add_argument("--dimensions", default=[100, 200], type=int, nargs="+")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.HdlimitWarning)

    print(f"{'covariance':<44}{'noise':<30}{'B':>3}{'lr':>5}{'D':>8}{'bias x D':>10}{'+-':>7}")
    points: dict[int, list[tuple[float, float, float]]] = {1: [], 4: []}
    for d in arguments.dimensions:
        for problem in problems(d):
            for batch, lr in SETTINGS:
                mean, error = bias(problem, hd.SignSGD(lr, batch_size=batch), arguments.runs)
                size = smooth_dimension(problem)
                points[batch].append((size, abs(mean), 2 * error))
                name = repr(problem.covariance)[:42]
                scaled = f"{mean * size:>+10.2f}{error * size:>7.2f}"
                print(f"{name:<44}{problem.noise!r:<30}{batch:>3}{lr:>5}{size:>8.1f}{scaled}", flush=True)

    with style():
        figure = Figure()
        ax = figure.subplots()
        grid = np.array([min(p[0] for p in points[1]), max(p[0] for p in points[1])])
        for batch, marker, color in ((1, "o", "C0"), (4, "s", "C1")):
            size, value, error = np.array(points[batch]).T
            ax.errorbar(size, value, error, fmt=marker, color=color, label=f"measured, batch {batch}", alpha=0.7)
            ax.plot(grid, (1 + batch / 2) / grid, color=color, label=f"allowance (1 + {batch}/2)/D")
        ax.set(
            xscale="log",
            yscale="log",
            ylim=(1e-4, None),
            xlabel="D = (tr K)^2 / tr(K^2)",
            ylabel="relative bias of the limit",
        )
        ax.legend()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
