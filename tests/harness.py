"""What several test files share: problems, limits, and responses with a planted error."""

from __future__ import annotations

import math

import numpy as np

import hdlimit as hd
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.covariance import Covariance
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.named_covariances import Isotropic, PowerLaw, Wishart
from hdlimit.problem.noise import Gaussian, StudentT
from hdlimit.problem.problem import Problem
from hdlimit.response.response import MapResponse


def start_of(d: int) -> np.ndarray:
    return np.cos(np.arange(d)) / math.sqrt(d)


def problem_with_rows(n: int = 30, d: int = 7) -> Problem:
    x = np.random.default_rng(11).standard_normal((n, d)) * np.linspace(0.5, 1.5, d)
    x -= x.mean(axis=0)
    noise = np.random.default_rng(12).standard_t(4, n)
    return Problem(x.T @ x / n, Gaussian(0.4), start=start_of(d), rows=Rows(x, noise))


PROBLEMS = {
    "diagonal": Problem(PowerLaw(23, 0.7), StudentT(df=3, scale=0.4), start=start_of(23)),
    "zero-variances": Problem(Covariance([0.0, 1.0, 0.0, 3.0]), Gaussian(0.4)),
    "full": Problem(Wishart(21, 0.5), Gaussian(0.4), target=start_of(21)),
    "singular": Problem(Wishart(18, 2.0), StudentT(df=5, scale=0.4)),
    "rows": problem_with_rows(),
    "d=1": Problem(Isotropic(1), Gaussian(0.4)),
}

LIMITS: list[tuple[hd.Problem, Optimizer]] = [
    (hd.Problem(hd.PowerLaw(30, 0.8), hd.Gaussian(0.3)), hd.SGD(0.5)),
    (hd.Problem(hd.PowerLaw(30, 0.8)), hd.SGD(0.5)),
    (hd.Problem(hd.PowerLaw(30, 0.8), hd.Gaussian(0.1)), hd.SGD(2.5)),
    (hd.Problem(hd.PowerLaw(30, 0.8), hd.StudentT(3, 0.3)), hd.SignSGD(0.5)),
    (hd.Problem(hd.Wishart(20, 2.0), hd.Rademacher(0.3)), hd.ClippedSGD(hd.schedules.Cosine(0.5, 0.0, 10), 0.5)),
    (hd.Problem(hd.PowerLaw(30, 0.8), hd.Laplace(0.3)), hd.SignSGD(hd.schedules.Steps([2.0], [0.5, 0.1]))),
]


def heavy_rows() -> Problem:
    """Rows with norms of log-width 1.5: SGD diverges on them where it converges on Gaussian ones."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3)) * np.exp(1.5 * rng.standard_normal(400))[:, None]
    return Problem.from_data(x, x.sum(axis=1) + 0.1 * rng.standard_normal(400), scale=True)


class Planted(MapResponse):
    """A response whose mu is 5 % too large."""

    def _closed(self, c: float) -> None:
        return None

    def _slow(self, v: float, c: float) -> tuple[float, float]:
        mu, nu = MapResponse(self.map.name, self.noise, self.batch_size)(v, c)
        return 1.05 * mu, nu
