"""Handwritten digits through random ReLU features: how far real rows are from the prediction.

scikit-learn's 1797 digits (8 x 8 pixels), labelled with the standardized digit, pass through d random ReLU features.
Upper panels: the features centred and scaled to tr K = d (intrinsic dimension about 7, so a warning is due). Lower
panels: their principal components that hold 99 % of the variance, whitened (intrinsic dimension about 180). Columns:
SGD, clipped SGD (threshold: the root mean square of the noise), signSGD.

Solid line: predicted excess risk. Circles: simulated with Gaussian features of the same K. Squares: real features, with
the residuals dealt out anew. Triangles: real rows as they are. Dashed line and crosses: the risk on the quarter of the
rows that is held out, predicted (excess risk plus half the noise variance) and measured. Bands: the spread of a run.
ladder.py explains the rungs.

What to see at t = 20, simulated over predicted (standard errors 0.01 to 0.05):

    Gaussian features    0.98 to 1.05 in all six panels, although d_int = 7 in the upper ones
    permuted residuals   0.99 to 1.05, but signSGD on the ReLU features 1.44: their signs are far from the arcsine law
    real rows            SGD and clipped SGD 1.02 and 1.01 above, 1.12 and 1.20 below; signSGD 1.77 above, 1.13 below:
                         the residuals of these rows depend on x
    held out             1.2 to 2.0: 500 and 173 parameters fitted to 1348 rows leave residuals with 36 % and 71 % of
                         the mean square on unseen rows

    python examples/digits.py [--out PNG] [--runs N] [--d D] [--horizon T]
"""

from __future__ import annotations

import argparse

import numpy as np
from ladder import climb, describe, draw, print_table, split
from sklearn.datasets import load_digits

import hdlimit as hd


def main() -> None:
    parser = argparse.ArgumentParser(description="Predicted and simulated risk on digits through random ReLU features.")
    parser.add_argument("--out", default="digits.png", help="the figure (digits.png)")
    parser.add_argument("--runs", type=int, default=32, help="simulated runs (32)")
    parser.add_argument("--d", type=int, default=512, help="random features (512)")
    parser.add_argument("--horizon", type=float, default=20.0, help="last time t = steps/d (20)")
    arguments = parser.parse_args()

    pixels, digit = load_digits(return_X_y=True)
    weights = np.random.default_rng(0).standard_normal((pixels.shape[1], arguments.d))
    features = np.maximum(pixels @ weights, 0)
    at = np.array([1, 5, 20]) * arguments.horizon / 20
    panels = []
    for name, whiten in (("ReLU features", None), ("whitened", 0.99)):
        data = split(features, digit, whiten)
        describe(name, data)
        threshold = data.problem.noise.width
        for optimizer in (hd.SGD(lr=0.5), hd.ClippedSGD(lr=0.5, threshold=threshold), hd.SignSGD(lr=0.5)):
            panels.append(climb(f"{name}, {optimizer.name}", data, optimizer, arguments.horizon, arguments.runs, at))
    print_table(panels, at)
    draw(panels, 3, arguments.out)


if __name__ == "__main__":
    main()
