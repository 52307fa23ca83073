"""Noise compression: what label noise does to signSGD and to SGD, against its scale.

    python examples/noise_compression.py [--out PNG] [--points N] [--samples N]

Left: the factor f = mu(v)/mu_0(v) on signSGD's drift (its diffusion does not change). Right: by how much signSGD stands
the noise better than SGD, whose diffusion grows by (v + E eps^2)/v: f^2 (v + E eps^2)/v, 1 for Gaussian noise at every
scale, above 1 for heavier tails (infinite, and not drawn, for Cauchy), below 1 for lighter ones. The scale is the
median of |eps| over sqrt(v). Lines: hd.effects; markers: sampled.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import style
from hdlimit.problem.noise_law import NoiseLaw

LAWS = {
    "Gaussian": lambda scale: hd.Gaussian(scale / 0.67449),
    "Student t, df 3": lambda scale: hd.StudentT(3, scale / 0.76489),
    "Laplace": lambda scale: hd.Laplace(scale / np.log(2)),
    "uniform": lambda scale: hd.Uniform(2 * scale),
    "two-point": lambda scale: hd.Rademacher(scale),
    "Cauchy": lambda scale: hd.StudentT(1, scale),
}
STYLES = ("-", "--", "-.", ":", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))


def sampled(noise: NoiseLaw, samples: int) -> tuple[float, float]:
    """f from draws at v = 1, E[sign(z - eps) z]/sqrt(2/pi), and its standard error."""
    rng = np.random.default_rng(7)
    z = rng.standard_normal(samples)
    draws = np.sign(z - noise.sample(rng, samples)) * z / np.sqrt(2 / np.pi)
    return float(draws.mean()), float(draws.std() / np.sqrt(samples))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="noise_compression.png", type=Path)
    parser.add_argument("--points", default=80, type=int)
    parser.add_argument("--samples", default=200_000, type=int)
    arguments = parser.parse_args()

    grid, shown = np.geomspace(0.03, 30, arguments.points), np.array([0.1, 0.3, 1.0, 3.0])
    start = hd.Isotropic(100)
    print(f"{'noise':<18}{'scale':>7}{'drift x':>9}{'sampled':>9}{'+-':>8}{'SGD diffusion x':>17}{'gain':>9}")
    with style():
        figure = Figure(figsize=(11, 4.6))
        left, right = figure.subplots(1, 2)
        for number, (name, law) in enumerate(LAWS.items()):
            found = [hd.effects(hd.Problem(start, law(s)), 1.0, risk=0.5).noise for s in grid]
            look = {"color": f"C{number}", "linestyle": STYLES[number], "label": name}
            left.plot(grid, [f.drift for f in found], **look)
            if np.isfinite(found[0].gain):
                right.plot(grid, [f.gain for f in found], **look)
            for s in shown:
                exact, (drift, error) = (
                    hd.effects(hd.Problem(start, law(s)), 1.0, risk=0.5).noise,
                    sampled(law(s), arguments.samples),
                )
                if drift > 3 * error:
                    left.plot(s, drift, color=f"C{number}", marker="o", linestyle="none")
                line = f"{name:<18}{s:>7g}{exact.drift:>9.4f}{drift:>9.4f}{error:>8.4f}"
                diverges = not np.isfinite(exact.gain)
                print(line + ("   no SGD" if diverges else f"{exact.sgd_diffusion:>17.4g}{exact.gain:>9.4f}"))
        left.set(ylabel="factor on signSGD's drift", yscale="log", ylim=(0.01, 1.3))
        right.set(ylabel="gain of signSGD over SGD", yscale="log", ylim=(0.1, 6))
        right.axhline(1, color="0.4", linewidth=1, zorder=0)
        for ax, ticks in ((left, (0.01, 0.1, 1)), (right, (0.1, 0.2, 0.5, 1, 2, 5))):
            ax.set(xscale="log", xlabel="median |eps| / sqrt(v)", xticks=(0.1, 1, 10), yticks=ticks)
            ax.set_xticklabels(["0.1", "1", "10"])
            ax.set_yticklabels([f"{tick:g}" for tick in ticks])
            ax.set_yticks([], minor=True)
        left.legend()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
