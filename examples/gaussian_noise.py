"""Clipping never helps under Gaussian noise, at any risk and threshold; it does under heavier tails.

    python examples/gaussian_noise.py [--out PNG] [--points N]

Lines are the CCC value (mu_c^2/nu_c) E r^2 against the clipped fraction, one for each excess risk R: where it is above
1, clipping beats SGD, each at its best step. For Gaussian noise the residual is Gaussian at every R, so that all lines
are one, and it stays below 1 (proved in derivations/threshold.py). The table gives the largest value over thresholds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import hdlimit as hd
from hdlimit.plotting.figure import style
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.response import MapResponse

LAWS: dict[str, NoiseLaw] = {
    "Gaussian noise": hd.Gaussian(0.7),
    "Student t noise, df 5": hd.StudentT(5, 0.7 * 0.6**0.5),
}
RISKS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def curve(noise: NoiseLaw, risk: float, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Clipped fraction and CCC value over thresholds from 0.01 to 6 standard deviations of the residual."""
    response, square = MapResponse("clip", noise), 2 * risk + noise.second_moment
    pairs = [response(2 * risk, c) for c in np.sqrt(square) * np.geomspace(0.01, 6, points)]
    return np.array([1 - mu for mu, _ in pairs]), np.array([mu**2 / nu * square for mu, nu in pairs])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="gaussian_noise.png", type=Path)
    parser.add_argument("--points", default=300, type=int)
    arguments = parser.parse_args()

    print(f"{'noise':<26}{'R':>8}{'largest CCC value':>20}{'at clipped fraction':>22}")
    with style():
        figure = Figure(figsize=(9.6, 4.4))
        for ax, (name, noise) in zip(figure.subplots(1, 2, sharey=True), LAWS.items(), strict=True):
            for number, risk in enumerate(RISKS):
                clipped, value = curve(noise, risk, arguments.points)
                best = int(value.argmax())
                print(f"{name:<26}{risk:>8g}{value[best]:>20.10f}{clipped[best]:>22.3g}")
                look = {"color": f"C{number}", "linestyle": ("-", "--", "-.", ":", (0, (1, 3)))[number]}
                ax.plot(100 * clipped, value, label=f"R = {risk:g}", **look)
            ax.axhline(1, color="0.4", linewidth=1)
            ax.set(title=name, xlabel="clipped steps (%)", ylim=(0.55, 1.35))
        figure.axes[0].set_ylabel("CCC value (descent over SGD's)")
        figure.axes[0].legend()
        figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
