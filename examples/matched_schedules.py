"""signSGD against SGD with the matched schedule: the same effective learning rate at every time.

    python examples/matched_schedules.py [--out PNG] [--runs N] [--d N]

signSGD with a constant lr drifts like SGD with the step lr (2/pi) f/sqrt(v), v = 2R along signSGD's own curve and f the
noise compression (hd.effects): this step grows as the risk falls. On isotropic features SGD with it drifts like signSGD
and has 4/pi^2 of its diffusion: it settles lower. Uneven variances: preconditioning overtakes, where the error lies in
small features. Correlations 0.8^|i-j|: the drift is SGD's again, but the noise has the shape K_g and reaches directions
in which K is small. Lines: predictions; markers: means of simulated runs; the table prints tr(K K_g)/tr(K^2).
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import label_axes, style
from hdlimit.plotting.risk import plot_curve, plot_ensemble

LR, HORIZON = 0.25, 12.0


def problems(d: int) -> dict[str, hd.Problem]:
    """Isotropic features; uneven variances; equal variances with correlations 0.8^|i-j|. Gaussian noise of std 0.2."""
    lags = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    variances = np.geomspace(0.05, 5, d)
    uneven, signs = hd.Covariance(variances / variances.mean()), np.where(np.arange(d) % 2, 1.0, -1.0)
    noise = hd.Gaussian(0.2)
    return {
        "isotropic": hd.Problem(hd.Isotropic(d), noise),
        "uneven variances": hd.Problem(uneven, noise, target=1 / np.sqrt(d * uneven.variances)),
        "correlated": hd.Problem(hd.Covariance(0.8**lags), noise, target=signs * 3 / np.sqrt(d)),
    }


def matched(problem: hd.Problem, curve: hd.results.Curve) -> hd.schedules.Table:
    """The step of SGD that drifts like signSGD on its own curve: effective rate times noise compression."""
    times = np.linspace(0, HORIZON, 200)
    found = [hd.effects(problem, LR, risk=float(risk)) for risk in curve.at(times)]
    return hd.schedules.Table(times, np.array([e.rate.lr * e.noise.drift for e in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="matched_schedules.png", type=Path)
    parser.add_argument("--runs", default=8, type=int)
    parser.add_argument("--d", default=400, type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    print(f"{'problem':<20}{'optimizer':<10}{'lr(0)':>8}{'lr(T)':>8}{'R(T)':>10}{'simulated':>11}{'+-':>9}{'shape':>8}")
    with style():
        figure = Figure(figsize=(12, 4))
        for ax, (name, problem) in zip(figure.subplots(1, 3), problems(arguments.d).items(), strict=True):
            sign = hd.predict(problem, hd.SignSGD(LR), HORIZON)
            sgd = hd.predict(problem, hd.SGD(matched(problem, sign)), HORIZON)
            label_axes(ax)
            for number, (label, curve) in enumerate({"signSGD": sign, "SGD": sgd}.items()):
                runs = hd.simulate(problem, curve.optimizer, HORIZON, runs=arguments.runs)
                color = f"C{number}"
                plot_curve(curve, ax, color=color, label=label + (", matched step" if number else f", lr {LR}"))
                plot_ensemble(runs, ax, color=color, label="_")
                step = curve.optimizer.lr_schedule(np.array([0.0, HORIZON]))
                shape = hd.effects(problem, LR).reshaping
                print(
                    f"{name:<20}{label:<10}{step[0]:>8.3f}{step[1]:>8.3f}{curve.risk[-1]:>10.4f}"
                    f"{runs.mean[-1]:>11.4f}{runs.stderr[-1]:>9.4f}{shape.trace / shape.sgd_trace:>8.3f}"
                )
            ax.set(title=name, xlim=(0.1, HORIZON * 1.1))
            ax.legend(loc="lower left")
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
