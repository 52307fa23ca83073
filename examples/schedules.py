"""Schedules, each at its best peak: what the decay at the end is worth.

    python examples/schedules.py [--out PNG] [--runs N] [--d N] [--points N]

SGD on eigenvalues i^-1 with label noise: constant, cosine, linear, warm-up with cosine, and warm-up, stable, decay
(WSD). Left: the risk at the horizon over the peak of the schedule; a dot marks the least. Right: the curves at these
peaks as lines, the means of real runs as markers. A decay lets the peak be higher, and takes away, at the end, the
noise that this brings. The numbers are those of this spectrum, start and horizon.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import label_axes, style
from hdlimit.plotting.risk import plot_curve

STD, HORIZON, EXPONENT = 0.5, 20.0, 1.0


def shapes() -> dict[str, hd.schedules.Schedule]:
    """Schedules with a peak of 1."""
    s = hd.schedules
    return {
        "constant": s.Constant(1.0),
        "cosine": s.Cosine(1.0, 0.0, HORIZON),
        "linear": s.Linear(1.0, 0.0, HORIZON),
        "warm-up, cosine": s.WarmUp(s.Cosine(1.0, 0.0, 0.9 * HORIZON), 0.1 * HORIZON),
        "WSD": s.WSD(1.0, HORIZON, warmup_share=0.05, decay_share=0.2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="schedules.png", type=Path)
    parser.add_argument("--runs", default=64, type=int)
    parser.add_argument("--d", default=400, type=int)
    parser.add_argument("--points", default=60, type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    problem = hd.Problem(hd.PowerLaw(arguments.d, EXPONENT), hd.Gaussian(STD))
    peaks = np.geomspace(0.02, 1.5, arguments.points)
    print(f"{'schedule':<18}{'peak':>8}{'R(T)':>10}{'simulated':>11}{'+-':>9}{'of constant':>13}")
    with style():
        figure = Figure(figsize=(11, 4.4))
        left, right = figure.subplots(1, 2)
        label_axes(right)
        left.set(xlabel="peak of the lr", ylabel=f"risk at t = {HORIZON:g}", xscale="log", yscale="log")
        first = 0.0
        for number, (name, shape) in enumerate(shapes().items()):
            schedules = [hd.schedules.Product([shape, peak]) for peak in peaks]
            final = hd.sweep(problem, hd.SGD(0.1), HORIZON, lr=schedules, final=True).risk
            best = int(np.argmin(final))
            first = first or float(final[best])
            left.plot(peaks, np.where(final < 0.5, final, np.nan), color=f"C{number}", label=name)
            left.plot(peaks[best], final[best], "o", color=f"C{number}")
            optimizer = hd.SGD(schedules[best])
            runs = hd.simulate(problem, optimizer, HORIZON, runs=arguments.runs, times=np.geomspace(1.0, HORIZON, 20))
            plot_curve(hd.predict(problem, optimizer, HORIZON), right, color=f"C{number}", label=name, band=False)
            right.plot(runs.time, runs.mean, "o", color=f"C{number}", label="_")
            row = f"{name:<18}{peaks[best]:>8.3f}{final[best]:>10.5f}{runs.mean[-1]:>11.5f}{runs.stderr[-1]:>9.5f}"
            print(f"{row}{final[best] / first:>13.3f}")
        left.set_ylim(0.3 * first, 10 * first)
        right.set(xlim=(1.0, 1.1 * HORIZON), ylim=(0.3 * first, 10 * first))
        right.legend(loc="lower left")
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
