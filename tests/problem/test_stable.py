"""Symmetric stable noise: against its characteristic function, against Cauchy and Gaussian noise, and by simulation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

import hdlimit as hd
from hdlimit.errors import InvalidInput, NoLimit
from hdlimit.problem.stable import stable_components
from hdlimit.response.response import MapResponse

ALPHAS = [0.3, 0.5, 0.9, 1.0, 1.2, 1.5, 1.8, 1.95, 1.99, 1.999]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_characteristic_function(alpha: float) -> None:
    parts = stable_components(alpha, 0.5, 0.5)
    for t in (1e-6, 1e-3, 0.1, 1.0, 5.0):
        found = float(parts.weight @ np.exp(-parts.variance * t * t / 2))
        assert found == pytest.approx(math.exp(-((0.5 * t) ** alpha)), rel=1e-13, abs=3e-15)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_far_tail(alpha: float) -> None:
    """P(eps > x) = (1/pi) sum_k (-1)^(k + 1) Gamma(alpha k)/k! sin(pi alpha k/2) x^(-alpha k), asymptotic."""
    law = hd.SymmetricStable(alpha, 1.0).frozen
    x = 1e5 if alpha > 0.9 else 1e25 if alpha > 0.4 else 1e50
    total = 0.0
    for k in range(1, 6):
        sign = (-1) ** (k + 1) * math.sin(math.pi * alpha * k / 2)
        total += sign * math.gamma(alpha * k) / math.factorial(k) * x ** (-alpha * k) / math.pi
    assert float(law.sf(x)) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.8, 1.5, 1.9])
def test_distribution_function_and_density(alpha: float) -> None:
    """F(x) = 1/2 + (1/pi) int_0^inf sin(t x)/t exp(-t^alpha) dt, by mpmath."""
    law = hd.SymmetricStable(alpha, 1.0).frozen
    with mp.workdps(20):
        for x in (0.3, 2.0):
            ends = [0, 0.01, 0.1, 0.5, 1, 2, *range(4, 104 if alpha < 1 else 40, 4)]
            cdf = 0.5 + mp.quad(lambda t, x=x: mp.sin(t * x) / t * mp.exp(-(t**alpha)), ends) / mp.pi
            pdf = mp.quad(lambda t, x=x: mp.cos(t * x) * mp.exp(-(t**alpha)), ends) / mp.pi
            assert float(law.cdf(x)) == pytest.approx(float(cdf), rel=1e-11)
            assert float(law.pdf(x)) == pytest.approx(float(pdf), rel=1e-11)
            assert float(law.ppf(float(cdf))) == pytest.approx(x, rel=1e-9)


@pytest.mark.parametrize("kind", ["clip", "sign"])
@pytest.mark.parametrize("batch", [1, 3])
def test_cauchy_and_gaussian(kind: str, batch: int) -> None:
    pairs = [
        (hd.SymmetricStable(1.0, 0.7), hd.StudentT(1.0, 0.7)),
        (hd.SymmetricStable(2.0, 0.5), hd.Gaussian(0.5 * math.sqrt(2))),
    ]
    for noise, other in pairs:
        for v, c in ((1e-8, 0.3), (0.5, 1.2), (1e6, 30.0), (0.5, 1e5), (0.5, 0.0)):
            found, expected = MapResponse(kind, noise, batch)(v, c), MapResponse(kind, other, batch)(v, c)
            assert found == pytest.approx(expected, rel=1e-11)
    assert hd.SymmetricStable(2.0, 0.5).moments == pytest.approx(hd.Gaussian(0.5 * math.sqrt(2)).moments)


def test_near_thresholds_share_a_mixture() -> None:
    """A mixture takes 20 ms: schedules and searches ask for one at hundreds of thresholds."""
    noise = hd.SymmetricStable(1.5, 0.5)
    found = {id(noise.mixture(reach)) for reach in np.geomspace(1e-6, 0.5 * 4.0**3, 100).tolist()}
    assert len(found) == 4
    assert noise.mixture(0.5 * 4.0**3 * 1.01).variance.max() > noise.mixture(0.5 * 4.0**3).variance.max()


def test_sgd_has_no_limit() -> None:
    problem = hd.Problem(hd.Isotropic(100), hd.SymmetricStable(1.99, 0.5))
    with pytest.raises(NoLimit, match="infinite variance"):
        hd.predict(problem, hd.SGD(0.3), horizon=1.0)
    assert hd.tuning.best_threshold(problem.noise, 0.5).threshold < math.inf
    assert hd.tuning.fisher_information(problem.noise, 0.5) > 0


def run(draw: Any, lr: float, c: float, steps: int) -> tuple[float, float]:
    """Mean risk of 300 plain loops of clipped SGD, d = 80, and its standard error."""
    rng, d, runs = np.random.default_rng(8), 80, 300
    delta = np.full((runs, d), -(d**-0.5))
    for _ in range(steps):
        x = rng.standard_normal((runs, d))
        g = (np.einsum("ij,ij->i", x, delta) - draw(rng, runs))[:, None] * x
        delta -= lr / d * g * np.minimum(1.0, c * math.sqrt(d) / np.linalg.norm(g, axis=1))[:, None]
    risk = (delta**2).sum(axis=1) / 2
    return float(risk.mean()), float(risk.std() / math.sqrt(runs))


def test_curve_against_a_plain_simulation() -> None:
    """SciPy's sampler, no code of the package. Bias at d = 80 below 2 %; 4 standard errors: false alarms 6e-5.

    The twin, noise with 1.3 times the scale, is rejected.
    """
    curves = [
        hd.predict(hd.Problem(hd.Isotropic(80), hd.SymmetricStable(1.3, s)), hd.ClippedSGD(0.5, 0.8), horizon=4.0)
        for s in (0.5, 0.65)
    ]
    mean, error = run(lambda rng, n: stats.levy_stable.rvs(1.3, 0, scale=0.5, size=n, random_state=rng), 0.5, 0.8, 320)
    allowed = 4 * error + 0.02 * mean
    assert abs(curves[0].risk[-1] - mean) < allowed < abs(curves[1].risk[-1] - mean)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.9995, 2.1, -1.0])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(InvalidInput, match="alpha: expected 2, or a number from 0.3 to 1.999, got"):
        hd.SymmetricStable(alpha, 1.0)


def test_in_a_file(tmp_path: Path) -> None:
    problem, path = hd.Problem(hd.Isotropic(10), hd.SymmetricStable(1.5, 0.5)), tmp_path / "problem.toml"
    path.write_text(hd.to_toml(problem, hd.ClippedSGD(0.5, 1.0), 1.0), encoding="utf-8")
    assert "SymmetricStable" in path.read_text(encoding="utf-8") and hd.read_toml(path).problem == problem
