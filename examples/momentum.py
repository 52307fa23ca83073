"""Momentum: what the buffer does to the risk, and from which batch size on it allows a larger step.

    python examples/momentum.py [--out PNG] [--runs N] [--d N]

Left: SGD and momentum with one effective lr: beta = 0.9, and a memory of d/3 steps, zeta = d (1 - beta) = 3. With
dampening PyTorch's first buffer is the whole first gradient, 1/(1 - dampening) times what a later one adds. Lines:
predictions; markers: the mean of simulated runs with the band of one. Right: the critical effective lr over the batch
size, exact at this d. At small batches the noise of gradients limits it, whatever the momentum; from about
B = (1 + beta) tr K/((1 - beta) norm(K)) on, the vertical lines, the curvature does, which momentum moves by
(1 + beta)/(1 - beta), Nesterov's by 1 + 2 beta less.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import label_axes, style
from hdlimit.plotting.risk import plot_curve, plot_ensemble

ETA, STD, HORIZON, ZETA = 0.6, 0.3, 20.0, 3.0
EXPONENT = 0.8


def optimizers(d: int) -> dict[str, hd.SGD]:
    """Optimizers with the effective lr ETA."""
    beta = 1 - ZETA / d
    return {
        "SGD": hd.SGD(ETA),
        "beta = 0.9": hd.SGD(0.1 * ETA, momentum=0.9),
        f"zeta = {ZETA:g}": hd.SGD((1 - beta) * ETA, momentum=beta),
        f"zeta = {ZETA:g}, dampening = beta": hd.SGD(ETA, momentum=beta, dampening=beta),
    }


RULES = {
    "SGD": hd.SGD(1.0),
    "heavy ball, 0.9": hd.SGD(1.0, momentum=0.9),
    "Nesterov, 0.9": hd.SGD(1.0, momentum=0.9, nesterov=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="momentum.png", type=Path)
    parser.add_argument("--runs", default=32, type=int)
    parser.add_argument("--d", default=400, type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    problem = hd.Problem(hd.PowerLaw(arguments.d, EXPONENT), hd.Gaussian(STD))
    with style():
        figure = Figure(figsize=(11, 4.4))
        left, right = figure.subplots(1, 2)
        label_axes(left)
        print(f"{'optimizer':<28}{'t':>6}{'predicted':>12}{'simulated':>12}{'+-':>10}{'exact mean':>12}")
        for number, (name, optimizer) in enumerate(optimizers(arguments.d).items()):
            curve = hd.predict(problem, optimizer, HORIZON)
            runs = hd.simulate(problem, optimizer, HORIZON, runs=arguments.runs)
            look = {"color": f"C{number}", "linestyle": ("-", "--", "-.", ":")[number]}
            plot_curve(curve, left, label=name, band=False, **look)
            plot_ensemble(runs, left, color=f"C{number}", label="_", marker="os^D"[number])
            for t in (1.0, 5.0, HORIZON):
                k = int(np.searchsorted(runs.time, t * (1 - 1e-9)))
                exact = hd.exact_mean(problem, optimizer, [round(runs.time[k] * arguments.d)]).risk[-1]
                print(
                    f"{name:<28}{t:>6g}{curve.at(runs.time[k]):>12.5f}{runs.mean[k]:>12.5f}{runs.stderr[k]:>10.5f}"
                    f"{exact:>12.5f}"
                )
        left.set_xlim(0.02, HORIZON * 1.1)
        left.legend()
        draw_critical(right, problem)
        figure.savefig(arguments.out)


def draw_critical(ax: object, problem: hd.Problem) -> None:
    """Draw and print the critical effective lr over the batch size."""
    batches = np.unique(np.geomspace(1, 4096, 25).astype(int))
    edge = problem.covariance.trace / problem.covariance.norm
    print(f"{'critical effective lr':<28}{'B = 1':>10}{'B = 4096':>10}{'crossover B':>14}")
    for number, (name, rule) in enumerate(RULES.items()):
        critical = [
            hd.stability(problem, replace(rule, batch_size=int(b))).critical_lr * rule.effective_lr for b in batches
        ]
        beta = rule.momentum
        cross = (1 + beta) / (1 - beta) / (1 + 2 * beta if rule.nesterov else 1) * edge
        look = {"color": f"C{number}", "linestyle": ("-", "--", "-.")[number]}
        ax.loglog(batches, critical, label=name, **look)  # type: ignore[attr-defined]
        ax.axvline(cross, linewidth=0.8, **look)  # type: ignore[attr-defined]
        print(f"{name:<28}{critical[0]:>10.4g}{critical[-1]:>10.4g}{cross:>14.4g}")
    ax.set(xlabel="batch size B", ylabel="critical effective lr")  # type: ignore[attr-defined]
    ax.legend()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
