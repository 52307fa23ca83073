"""Paths of the limiting SDE have the mean of the algorithm's runs, and a spread of their own.

    python examples/sde_spread.py [--out PNG] [--runs N] [--d N]

Standard deviation of the risk of one run, K = I. Markers: runs of the algorithm, paths of the limiting (homogenized)
SDE, paths of the corrected one. Lines: the linear-noise equation for the algorithm (curve.spread) and for the limiting
SDE, whose noise misses the correlation of psi(r) with z and the fluctuations of psi(r)^2. The table gives both ratios
to the algorithm's spread and the standard error of a ratio.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.finite_size.linear_noise import linear_noise
from hdlimit.plotting.figure import label_axes, style

STD, HORIZON = 0.5, 8.0
CASES = {"signSGD, lr 0.5": hd.SignSGD(0.5), "SGD, lr 0.2": hd.SGD(0.2), "SGD, lr 1.2": hd.SGD(1.2)}
SHOWN = (0.5, 2.0, 8.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="sde_spread.png", type=Path)
    parser.add_argument("--runs", default=2000, type=int)
    parser.add_argument("--d", default=200, type=int)
    arguments = parser.parse_args()
    problem, times = hd.Problem(hd.Isotropic(arguments.d), hd.Gaussian(STD)), np.geomspace(0.1, HORIZON, 20)
    print(f"d = {arguments.d}, {arguments.runs} runs, a ratio is known to {1 / math.sqrt(arguments.runs):.3f}")
    heads = f"{'':<17}{'t':>5}{'algorithm':>11}{'theory':>9}{'SDE':>9}{'theory':>9}{'corrected':>11}"
    print(f"{heads}{'SDE/alg.':>10}{'corr./alg.':>12}")
    with style():
        figure = Figure(figsize=(12, 4.2))
        for name, optimizer, ax in zip(CASES, CASES.values(), figure.subplots(1, 3)):
            curve = hd.predict(problem, optimizer, HORIZON, times=times)
            own = linear_noise(curve, diffusion="homogenized").spread(curve.time)
            method = "direct" if isinstance(optimizer, hd.SignSGD) else "blocks"
            runs = hd.simulate(problem, optimizer, HORIZON, arguments.runs, times=times, method=method)
            paths, corrected = (
                hd.sample_sde(problem, optimizer, HORIZON, arguments.runs, seed=1, times=times, diffusion=diffusion)
                for diffusion in ("homogenized", "corrected")
            )
            label_axes(ax).set(title=name, ylabel="standard deviation of R")
            ax.plot(times, curve.spread, color="C0", label="theory, algorithm")
            ax.plot(times, own, color="C1", linestyle="--", label="theory, limiting SDE")
            ax.plot(times, runs.spread, "o", color="C0", label="algorithm")
            ax.plot(times, paths.spread, "s", color="C1", label="limiting SDE")
            ax.plot(times, corrected.spread, "+", color="black", markeredgecolor="black", label="corrected SDE")
            for k in np.searchsorted(times, np.array(SHOWN) * 0.999):
                spreads = (runs.spread[k], curve.spread[k], paths.spread[k], own[k])
                ratios = f"{paths.spread[k] / runs.spread[k]:>10.3f}{corrected.spread[k] / runs.spread[k]:>12.3f}"
                print(
                    f"{name:<17}{times[k]:>5.2f}{spreads[0]:>11.4f}"
                    + "".join(f"{value:>9.4f}" for value in spreads[1:])
                    + f"{corrected.spread[k]:>11.4f}{ratios}"
                )
        figure.axes[0].legend()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
