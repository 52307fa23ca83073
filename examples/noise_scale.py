"""The gradient noise scale grows as the risk falls, until the step size, not the batch, sets the risk.

    python examples/noise_scale.py [--out PNG] [--runs N] [--d N]

Left: both noise scales of SGD along its curve, the plain one tr Sigma/norm(G)^2 and the one weighted with the Hessian,
which is the critical batch, for a constant step and for warm-up, stable, decay (WSD). Right: the share of the squared
population gradient in the top k eigenvectors of K. Lines: predictions; markers: sampled gradients of real runs, whose
covariance and mean are measured. While the step is constant both scales settle, with the share of the top
eigenvectors high again, as these are where noise keeps the gradient up; the decay takes the noise away and the scales
grow further.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import style

LR, STD, HORIZON, EXPONENT, SAMPLES = 0.8, 0.5, 20.0, 0.5, 300


def measure(
    problem: hd.Problem, lr: hd.schedules.Schedule, times: np.ndarray, runs: int, top: list[int], seed: int
) -> np.ndarray:
    """Both noise scales and the shares of the top k at these times, from gradients of fresh samples: (2 + len(top), T).

    Numerators and denominators are means over the runs.
    """
    d, rng = problem.dimension, np.random.default_rng(seed)
    k = problem.covariance.variances
    delta = np.tile(problem.initial_error, (runs, 1))
    found, marks = [], np.rint(times * d).astype(int)
    for step in range(marks[-1] + 1):
        for _ in range(np.count_nonzero(marks == step)):
            found.append(read(k, delta, top, rng))
        x = np.sqrt(k) * rng.standard_normal((runs, d))
        residual = np.einsum("ri,ri->r", x, delta) - STD * rng.standard_normal(runs)
        delta -= float(lr(step / d)) / d * residual[:, None] * x
    return np.array(found).T


def read(k: np.ndarray, delta: np.ndarray, top: list[int], rng: np.random.Generator) -> list[float]:
    """Scales and shares at one time."""
    variance, squares = np.zeros_like(k), np.zeros_like(k)
    for one in delta:
        x = np.sqrt(k) * rng.standard_normal((SAMPLES, k.size))
        gradients = (x @ one - STD * rng.standard_normal(SAMPLES))[:, None] * x
        spread = gradients.var(axis=0, ddof=1)
        variance, squares = variance + spread, squares + gradients.mean(axis=0) ** 2 - spread / SAMPLES
    scales = [float((h @ variance) / (h @ squares)) for h in (np.ones_like(k), k)]
    return [*scales, *(float(squares[:j].sum() / squares.sum()) for j in top)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="noise_scale.png", type=Path)
    parser.add_argument("--runs", default=100, type=int)
    parser.add_argument("--d", default=300, type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", hd.errors.HdlimitWarning)

    problem = hd.Problem(hd.PowerLaw(arguments.d, EXPONENT), hd.Gaussian(STD))
    top = [1, arguments.d // 30, arguments.d // 3]
    times = np.array([0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 14.0, 17.0, 20.0])
    schedules = {
        f"constant {LR}": hd.schedules.Constant(LR),
        "WSD, decay 0.3": hd.schedules.WSD(LR, HORIZON, warmup_share=0.05, decay_share=0.3),
    }
    print(f"{'lr':<16}{'t':>5}" + "".join(f"{name:>18}" for name in ("plain", "weighted", f"top {top[1]}")))
    with style():
        figure = Figure(figsize=(11, 4.4))
        left, right = figure.subplots(1, 2)
        left.set(xlabel="t = steps/d", ylabel="gradient noise scale (samples)", yscale="log")
        right.set(xlabel="t = steps/d", ylabel="share of the squared gradient", ylim=(0, 1))
        for number, (name, lr) in enumerate(schedules.items()):
            curve = hd.predict(problem, hd.SGD(lr), HORIZON, times=np.linspace(0.0, HORIZON, 400))
            real = measure(problem, lr, times, arguments.runs, top, number)
            shares = [curve.alignment(j) for j in top]
            at = [curve.noise_scales(times), [curve.alignment(top[1], times)]]
            for t, *row in zip(times, *np.concatenate(at), *real[[0, 1, 3]], strict=True):
                print(f"{name:<16}{t:>5g}" + "".join(f"{p:>9.4g}{m:>9.4g}" for p, m in zip(row[:3], row[3:])))
            for form, dashes, values in zip(("plain", "weighted"), ("-", "--"), curve.noise_scales(curve.time)):
                left.plot(curve.time, values, dashes, color=f"C{number}", label=f"{form}, {name}")
            for j, share in zip(top, shares):
                right.plot(curve.time, share, color=f"C{number}", label=name if j == top[0] else "_")
                if not number:
                    right.annotate(f"top {j}", (curve.time[-1], share[-1]), xytext=(4, 0), textcoords="offset points")
            left.plot(times, real[:2].T, "o", color=f"C{number}", label="_")
            right.plot(times, real[2:].T, "o", color=f"C{number}", label="_")
        left.legend()
        right.legend()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
