"""Any scalar map of the residual in place of a threshold: six of them, predicted and simulated.

    python examples/scalar_maps.py [--out PNG] [--runs N] [--d N]

The update is the mean of psi(r_j) x_j over the batch. Noise has outliers (a tenth of it is ten times as wide). Lines:
predictions, with dots at plus and minus the spread of one run; markers: simulated runs with the band of one; grey: SGD
at the same step. psi is drawn in the corner of each panel.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import label_axes, style
from hdlimit.plotting.risk import plot_curve, plot_ensemble

HORIZON = 20.0


def soft_huber(r: np.ndarray) -> np.ndarray:
    """Huber's map with a soft knee at 1/2."""
    return r / np.sqrt(1 + (2 * r) ** 2)


def quantile(r: np.ndarray) -> np.ndarray:
    """Slope of the pinball loss of the 0.7-quantile; r is the prediction less the label."""
    return np.where(r > 0, 0.3, -0.7)


def quantizer(r: np.ndarray) -> np.ndarray:
    """Four bits: 16 levels, 1/4 apart."""
    return np.clip(np.round(r / 0.25), -8, 7) * 0.25


def normalized(r: np.ndarray) -> np.ndarray:
    """r over 1 + |r|."""
    return r / (1 + np.abs(r))


MAPS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "Huber, soft knee": (soft_huber, 0.4),
    "tanh": (np.tanh, 0.4),
    "0.7-quantile": (quantile, 0.3),
    "4-bit quantizer": (quantizer, 0.3),
    "normalized, r/(1 + |r|)": (normalized, 0.6),
    "sign-error LMS": (np.sign, 0.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="scalar_maps.png", type=Path)
    parser.add_argument("--runs", default=8, type=int)
    parser.add_argument("--d", default=400, type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 3.0])
    problem = hd.Problem(hd.PowerLaw(arguments.d, 0.3), noise)
    print(f"{'map':<26}{'lr':>6}{'table error':>13}{'predicted':>11}{'simulated':>11}{'+-':>9}{'SGD':>9}")
    with style():
        figure = Figure(figsize=(11, 6.4))
        for number, (ax, (name, (psi, lr))) in enumerate(zip(figure.subplots(2, 3).flat, MAPS.items())):
            optimizer = hd.ResidualSGD(lr, psi)
            curve = hd.predict(problem, optimizer, HORIZON)
            plain = hd.predict(problem, hd.SGD(lr), HORIZON)
            runs = hd.simulate(problem, optimizer, HORIZON, runs=arguments.runs)
            label_axes(ax)
            ax.plot(plain.time[1:], plain.risk[1:], color="0.6", linewidth=1, label="SGD, same lr")
            color = f"C{number}"
            plot_curve(curve, ax, label="predicted, dots: $\\pm$ spread of one run", color=color)
            plot_ensemble(runs, ax, label=f"{arguments.runs} runs, band: $\\pm$ spread", color=color)
            ax.set_title(f"{name}, lr = {lr:g}")
            ax.set_xlim(0.02, HORIZON * 1.2)
            inset = ax.inset_axes((0.11, 0.1, 0.3, 0.3))
            r = np.linspace(-3, 3, 1201)
            inset.plot(r, psi(r), color=color, linewidth=1)
            inset.axhline(0, color="0.8", linewidth=0.5)
            inset.set_title("psi(r), |r| < 3", fontsize=7, pad=2)
            inset.tick_params(labelsize=6)
            low, high = ax.get_ylim()
            ax.set_ylim(low, high * 2)  # room for the legend
            if not number:
                ax.legend(fontsize=7, loc="upper right")
            error = runs.stderr[-1] if arguments.runs > 1 else math.nan
            print(
                f"{name:<26}{lr:>6g}{optimizer.table_error:>13.1e}{curve.risk[-1]:>11.5f}{runs.mean[-1]:>11.5f}"
                f"{error:>9.5f}{plain.risk[-1]:>9.4f}"
            )
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
