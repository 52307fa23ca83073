"""The best clip threshold, what it clips and what it gains, against the heaviness of the noise's tails.

    python examples/tail_heaviness.py [--out PNG] [--points N] [--steps N]

Student t noise of scale 0.7 at excess risk R = 0.05, df from 1 (Cauchy) to 100. Lines: c*, the clipped fraction, and
the gain over SGD in the speed of descent, each optimizer at its best step (CCC value; SGD has no limit for df <= 2).
Markers: the same fraction and gain from sampled steps at d = 500, with two standard errors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import style
from hdlimit.response.best_threshold import best_threshold

SCALE, RISK, DIMENSION = 0.7, 0.05, 500
MEASURED = (1.0, 1.5, 2.5, 3.0, 5.0, 10.0, 30.0)


def measured(df: float, c: float, steps: int) -> tuple[float, float, float, float]:
    """Clipped fraction and gain (mu^2/nu) E r^2 of sampled steps, each with its standard error.

    mu from the mean of psi(r) z/v, nu from that of psi(r)^2; E r^2, which samples of heavy tails do not give, is exact.
    """
    rng, v = np.random.default_rng(round(100 * df)), 2 * RISK
    x = rng.standard_normal((steps, DIMENSION))
    z = x @ np.full(DIMENSION, np.sqrt(v / DIMENSION))
    noise = hd.StudentT(df, SCALE)
    r = z - noise.sample(rng, steps)
    norm = np.sqrt(np.einsum("ij,ij->i", x, x) / DIMENSION)
    psi = r * np.minimum(1, c / (np.abs(r) * norm))  # the gradient's norm is clipped, as a trainer does
    drift, square = psi * z / v, psi**2
    mu, nu = drift.mean(), square.mean()
    gain = mu**2 / nu * (v + noise.second_moment)
    relative = (2 * drift / mu - square / nu).std() / np.sqrt(steps)
    clipped = np.abs(r) * norm > c
    return clipped.mean(), clipped.std() / np.sqrt(steps), gain, gain * relative


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="tail_heaviness.png", type=Path)
    parser.add_argument("--points", default=100, type=int)
    parser.add_argument("--steps", default=40_000, type=int)
    arguments = parser.parse_args()

    grid = np.geomspace(1, 100, arguments.points)
    best = [best_threshold(hd.StudentT(df, SCALE), 2 * RISK) for df in grid]
    print(f"{'df':>5}{'c*':>9}{'clipped %':>11}{'measured':>10}{'+-':>7}{'gain':>9}{'measured':>10}{'+-':>8}")
    rows = []
    for df in MEASURED:
        found = best_threshold(hd.StudentT(df, SCALE), 2 * RISK)
        share, share_error, gain, gain_error = measured(df, found.threshold, arguments.steps)
        rows.append((df, 100 * share, 200 * share_error, gain, 2 * gain_error))
        line = f"{df:>5g}{found.threshold:>9.4f}{100 * found.clipped_fraction:>11.2f}{100 * share:>10.2f}"
        line += f"{100 * share_error:>7.2f}"
        print(line + (f"{found.rate_gain:>9.4f}{gain:>10.4f}{gain_error:>8.4f}" if df > 2 else "   no SGD"))
    df, share, share_error, gain, gain_error = np.array(rows).T

    with style():
        figure = Figure(figsize=(11.5, 3.9))
        left, middle, right = figure.subplots(1, 3)
        left.plot(grid, [b.threshold for b in best])
        middle.plot(grid, [100 * b.clipped_fraction for b in best], label="theory")
        middle.errorbar(df, share, share_error, fmt="o", color="C1", label=f"sampled, d = {DIMENSION}")
        finite, exact = df > 2, grid > 2.05
        right.plot(grid[exact], [b.rate_gain for b in np.array(best)[exact]])
        right.errorbar(df[finite], gain[finite], gain_error[finite], fmt="o", color="C1")
        right.axvspan(1, 2, color="0.9", linewidth=0)
        right.text(1.41, 2.5, "no SGD", rotation=90, ha="center", va="center")
        right.axhline(1, color="0.4", linewidth=1)
        left.set(ylabel="best threshold c*")
        middle.set(ylabel="clipped steps (%)", ylim=(0, None))
        right.set(ylabel="gain over SGD", yscale="log", ylim=(0.9, 9), yticks=(1, 2, 4, 8))
        right.set_yticks([], minor=True)
        right.set_yticklabels(["1", "2", "4", "8"])
        middle.legend()
        for ax in figure.axes:
            ax.set(xscale="log", xlabel="degrees of freedom of the noise", xticks=(1, 2, 5, 10, 30, 100))
            ax.set_xticklabels(["1", "2", "5", "10", "30", "100"])
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
