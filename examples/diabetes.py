"""Diabetes progression from ten measurements: a problem too small for the limit, and what the tool says of it.

scikit-learn's 442 patients, d = 10 features scaled to tr K = d, intrinsic dimension about 2.5: predict warns. Panels:
SGD, clipped SGD (threshold: the root mean square of the noise), signSGD.

Solid line: predicted excess risk. Circles: simulated with Gaussian features of the same K. Squares: real features, with
the residuals dealt out anew. Triangles: real rows as they are. Dashed line and crosses: the risk on the quarter of the
rows that is held out, predicted (excess risk plus half the noise variance) and measured. Bands: the spread of a run.
ladder.py explains the rungs.

What to see, simulated over predicted at t = 1, 5, 20: Gaussian features 0.96 to 1.05 (the warning allows for 39 %),
real rows 0.89 to 1.20. The mean is close; a single run is not, its spread reaches more than half of its mean.

    python examples/diabetes.py [--out PNG] [--runs N] [--horizon T]
"""

from __future__ import annotations

import argparse

import numpy as np
from ladder import climb, describe, draw, print_table, split
from sklearn.datasets import load_diabetes

import hdlimit as hd


def main() -> None:
    parser = argparse.ArgumentParser(description="Predicted and simulated risk on the diabetes data, d = 10.")
    parser.add_argument("--out", default="diabetes.png", help="the figure (diabetes.png)")
    parser.add_argument("--runs", type=int, default=1000, help="simulated runs (1000)")
    parser.add_argument("--horizon", type=float, default=20.0, help="last time t = steps/d (20)")
    arguments = parser.parse_args()

    data = split(*load_diabetes(return_X_y=True))
    describe("diabetes", data)
    at = np.array([1, 5, 20]) * arguments.horizon / 20
    threshold = data.problem.noise.width
    panels = [
        climb(optimizer.name, data, optimizer, arguments.horizon, arguments.runs, at)
        for optimizer in (hd.SGD(lr=0.2), hd.ClippedSGD(lr=0.2, threshold=threshold), hd.SignSGD(lr=0.2))
    ]
    print_table(panels, at)
    draw(panels, 3, arguments.out)


if __name__ == "__main__":
    main()
