"""How far the limit of signSGD is off the mean of runs at finite d.

    python examples/sign_bias.py [--out PNG] [--runs N] [--dimensions D ...]

One point is (mean - limit)/limit, averaged over 20 times, for one covariance, noise law, step size and batch size; its
bar is two standard errors. Left: diagonal covariances, against the computed shift of the mean, that of curve.corrected;
the line is where both are equal. Right: full ones, in size against D = (tr K)^2/tr(K^2); the lines are the allowance
(1 + B/2)/D that hd.verify makes there. The table prints bias and shift (or allowance), times D.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import style

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


def bias(problem: hd.Problem, optimizer: hd.SignSGD, runs: int) -> tuple[float, float, float]:
    """Mean of (mean - limit)/limit over the times of a verification, its standard error from the runs, and the shift
    (diagonal covariance) or the allowance of that mean.
    """
    report = hd.verify(problem, optimizer, HORIZON, runs=runs)
    at = np.isin(report.runs.time, report.time)
    relative = (report.runs.risk[:, at] / report.predicted - 1).mean(axis=1)
    known = report.allowance
    if problem.covariance.diagonal is not None:
        known = report.curve.linear_noise.shift(report.time)
    return float(relative.mean()), float(relative.std(ddof=1) / np.sqrt(runs)), float(np.mean(known / report.predicted))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="sign_bias.png", type=Path)
    parser.add_argument("--runs", default=400, type=int)
    parser.add_argument("--dimensions", default=[100, 200], type=int, nargs="+")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    print(f"{'covariance':<44}{'noise':<30}{'B':>3}{'lr':>5}{'D':>8}{'bias x D':>10}{'+-':>7}{'known x D':>11}")
    points: dict[tuple[bool, int], list[tuple[float, float, float, float]]] = {}
    for d in arguments.dimensions:
        for problem in problems(d):
            for batch, lr in SETTINGS:
                mean, error, known = bias(problem, hd.SignSGD(lr, batch_size=batch), arguments.runs)
                size, diagonal = problem.covariance.smooth_dimension, problem.covariance.diagonal is not None
                points.setdefault((diagonal, batch), []).append((size, mean, 2 * error, known))
                name = f"{problem.covariance!r:.42}"
                scaled = f"{mean * size:>+10.2f}{error * size:>7.2f}{known * size:>+11.2f}"
                print(f"{name:<44}{problem.noise!r:<30}{batch:>3}{lr:>5}{size:>8.1f}{scaled}", flush=True)

    with style():
        figure = Figure(figsize=(11, 4.4))
        left, right = figure.subplots(1, 2)
        for batch, marker, color in ((1, "o", "C0"), (4, "s", "C1")):
            look = {"fmt": marker, "color": color, "alpha": 0.7, "label": f"measured, batch {batch}"}
            _, mean, error, known = np.array(points[True, batch]).T
            left.errorbar(known, mean, error, **look)
            size, mean, error, _ = np.array(points[False, batch]).T
            right.errorbar(size, np.abs(mean), error, **look)
            grid = np.linspace(0.9 * size.min(), 1.1 * size.max(), 50)
            right.plot(grid, (1 + batch / 2) / grid, color=color, label=f"allowance (1 + {batch}/2)/D")
        left.axline((0, 0), slope=1, color="0.4")
        left.set(title="diagonal covariance", xlabel="computed shift of the mean", ylabel="relative bias of the limit")
        right.set(title="full covariance", xlabel="D = (tr K)^2 / tr(K^2)", ylabel="size of the relative bias")
        right.set(ylim=(0, None))
        left.legend()
        right.legend()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
