"""The steady risk of signSGD depends only on the diagonal of K, as long as K is not singular.

    python examples/steady_sign.py [--out PNG] [--runs N] [--d N]

Covariances with unit diagonal and very different correlations: none, 0.7^|i-j|, a sample covariance of 2 d rows. All
settle at R = (pi lr/8) sqrt(2R + sigma^2). One of d/2 rows is singular: noise in its null space does not raise the
risk, which settles lower, while norm(delta)^2 (right) diffuses without limit. Lines: predictions; markers: simulated
runs with the band of one.
"""

from __future__ import annotations

import argparse
import math
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import label_axes, style
from hdlimit.plotting.risk import plot_curve, plot_ensemble

LR, STD, HORIZON = 0.3, 0.5, 40.0


def correlations(d: int) -> dict[str, hd.Covariance]:
    """Covariances of unit diagonal."""
    lags = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    found = {"K = I": hd.Covariance(np.ones(d)), "0.7^|i-j|": hd.Covariance(0.7**lags)}
    for name, rows in (("2d rows", 2 * d), ("d/2 rows (singular)", d // 2)):
        x = np.random.default_rng(rows).standard_normal((rows, d))
        x /= np.sqrt((x**2).sum(axis=0))
        found[name] = hd.Covariance(x.T @ x)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="steady_sign.png", type=Path)
    parser.add_argument("--runs", default=8, type=int)
    parser.add_argument("--d", default=200, type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    k = math.pi * LR / 8
    closed = k**2 + k * math.sqrt(k**2 + STD**2)
    print(f"closed form for unit diagonal: R = {closed:.5f}")
    print(f"{'covariance':<22}{'steady R':>10}{'simulated':>11}{'+-':>9}{'time scale':>12}{'R(T) limit':>12}")
    with style():
        figure = Figure(figsize=(11, 4.4))
        left, right = figure.subplots(1, 2)
        label_axes(left)
        label_axes(right).set_ylabel("norm(delta)^2")
        for number, (name, covariance) in enumerate(correlations(arguments.d).items()):
            problem, optimizer = hd.Problem(covariance, hd.Gaussian(STD)), hd.SignSGD(LR)
            steady = hd.steady_state(problem, optimizer)
            curve = hd.predict(problem, optimizer, HORIZON)
            runs = hd.simulate(problem, optimizer, HORIZON, runs=arguments.runs)
            late = runs.risk[:, runs.time > HORIZON / 2].mean(axis=1)
            error = late.std(ddof=1) / math.sqrt(arguments.runs)
            look = {"color": f"C{number}", "linestyle": ("-", "--", "-.", ":")[number]}
            plot_curve(curve, left, label=name, **look)
            plot_ensemble(runs, left, color=f"C{number}", label="_", marker="os^D"[number])
            right.plot(curve.time[1:], curve.distance[1:], label=name, **look)
            print(
                f"{name:<22}{steady.risk:>10.5f}{late.mean():>11.5f}{error:>9.5f}"
                f"{steady.time_scale:>12.4g}{curve.risk[-1]:>12.5f}"
            )
        left.axhline(closed, color="0.4", linewidth=1)
        left.set_xlim(0.05, HORIZON * 1.1)
        right.set_xlim(0.05, HORIZON * 1.1)
        right.legend()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
