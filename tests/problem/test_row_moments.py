"""Diagnostics on rows where every number is known by hand, and on Gaussian rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import name_of

import hdlimit as hd
from hdlimit.errors import InvalidInput
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.row_moments import NonGaussianity, non_gaussianity, row_effects


def problem_of(x: Any, noise: Any) -> hd.Problem:
    x = np.asarray(x, dtype=float)
    rows = Rows(x, np.asarray(noise, dtype=float))
    return hd.Problem(x.T @ x / len(x), hd.Empirical(rows.noise), rows=rows)


def test_corners_of_a_square_by_hand() -> None:
    """x = (+-1, +-1): norm(x)^2 = 2 always, kurtosis 1, signs uncorrelated as the arcsine law says of K = I."""
    report = non_gaussianity(problem_of([[1, 1], [1, -1], [-1, 1], [-1, -1]], [1, 2, 3, 4]))
    assert report.norm_spread == 0
    assert report.norm_spread_gaussian == pytest.approx(math.sqrt(2 * 2) / 2)
    assert report.noise_norm_correlation == 0
    assert report.sign_deviation == 0
    assert report.sign_sampling_error == pytest.approx(math.sqrt(2 * (1 - 4 / math.pi**2) / 4 / 2))
    assert report.kurtosis == 1
    assert report.rows == 4


def test_four_uneven_rows_by_hand() -> None:
    """x = +-(2, 1), +-(1, -1): norms^2 5 and 2, K = ((5, 1), (1, 2))/2, rho = 1/sqrt(10), E sign sign = 0."""
    report = non_gaussianity(problem_of([[2, 1], [1, -1], [-2, -1], [-1, 1]], [3, 1, -3, -1]))
    arcsine = 2 / math.pi * math.asin(1 / math.sqrt(10))
    assert report.norm_spread == pytest.approx(1.5 / 3.5)
    assert report.norm_spread_gaussian == pytest.approx(math.sqrt(2 * (25 + 4 + 2)) / 7)
    assert report.noise_norm_correlation == pytest.approx(1.0)
    assert report.sign_deviation == pytest.approx(math.sqrt(2 * arcsine**2 / (2 + 2 * arcsine**2)))
    assert report.kurtosis == pytest.approx(((16 + 1) / 2 / 2.5**2 + 1) / 2)


def test_large_residuals_on_short_rows() -> None:
    report = non_gaussianity(problem_of([[2, 1], [1, -1], [-2, -1], [-1, 1]], [1, 3, -1, -3]))
    assert report.noise_norm_correlation == pytest.approx(-1.0)


def test_noise_of_constant_size_is_uncorrelated() -> None:
    report = non_gaussianity(problem_of([[2, 1], [1, -1], [-2, -1], [-1, 1]], [1, 1, -1, -1]))
    assert report.noise_norm_correlation == 0


def gaussian_reports(make: Any) -> list[NonGaussianity]:
    mix = np.random.default_rng(3).standard_normal((8, 8))
    reports = []
    for k in range(120):
        rng = np.random.default_rng([11, k])
        x = make(rng.standard_normal((1500, 8)) @ mix)
        reports.append(non_gaussianity(problem_of(x - x.mean(axis=0), rng.standard_normal(1500))))
    return reports


def excess_of_sign_deviation(reports: list[NonGaussianity], error: float) -> float:
    """z of mean(deviation^2) against error^2, from the scatter of independent data sets."""
    squares = np.array([r.sign_deviation**2 for r in reports]) / error**2
    return float((squares.mean() - 1) / (squares.std(ddof=1) / math.sqrt(len(squares))))


def test_gaussian_rows_deviate_by_the_sampling_error() -> None:
    """120 sets of Gaussian rows; false alarm 1e-3 (abs(z) < 3.3). Twin: the error that takes K as known is refuted."""
    reports = gaussian_reports(lambda x: x)
    error = float(np.mean([r.sign_sampling_error for r in reports]))
    assert abs(excess_of_sign_deviation(reports, error)) < 3.3
    mix = np.random.default_rng(3).standard_normal((8, 8))
    k = mix.T @ mix
    arcsine = 2 / np.pi * np.arcsin(np.clip(k / np.sqrt(np.outer(k.diagonal(), k.diagonal())), -1, 1))
    known_k = math.sqrt((1 - arcsine**2).sum() / 1500) / np.linalg.norm(arcsine)
    assert excess_of_sign_deviation(reports, known_k) < -3.3


def test_gaussian_rows_have_the_gaussian_moments() -> None:
    """Means over 120 sets of 1500 rows, each tolerance at least 5 standard errors (false alarm below 1e-5)."""
    reports = gaussian_reports(lambda x: x)
    assert np.mean([r.norm_spread / r.norm_spread_gaussian for r in reports]) == pytest.approx(1, abs=0.012)
    assert np.mean([r.noise_norm_correlation for r in reports]) == pytest.approx(0, abs=0.013)
    assert np.mean([r.kurtosis for r in reports]) == pytest.approx(3, abs=0.03)


def test_skewed_rows_break_the_arcsine_law_and_common_scales_do_not() -> None:
    """exp(x) - mean has other signs; a random length per row keeps every sign but widens norms and tails."""
    skewed = gaussian_reports(lambda x: np.exp(x / 2))[0]
    assert skewed.sign_deviation > 3 * skewed.sign_sampling_error
    rng = np.random.default_rng(8)
    scaled = gaussian_reports(lambda x: x * rng.choice([0.2, 2.0], (len(x), 1)))
    assert all(r.norm_spread > 1.3 * r.norm_spread_gaussian and r.kurtosis > 4 for r in scaled)


def test_it_reads_as_a_table() -> None:
    text = str(non_gaussianity(problem_of([[2, 1], [1, -1], [-2, -1], [-1, 1]], [3, 1, -3, -1])))
    lines = text.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("4 rows") and "Gaussian" in lines[0]
    assert lines[1].split()[-2:] == ["0.429", "1.1"]
    assert "nan" not in text


@pytest.mark.parametrize("problem", [None, hd.Problem(hd.Isotropic(3)), "rows"])
def test_a_problem_without_rows_is_refused(problem: Any) -> None:
    with pytest.raises(InvalidInput, match="problem: expected a problem with rows"):
        non_gaussianity(problem)


@pytest.mark.parametrize("shape", [(400, 5), (30, 50)], ids=name_of)
def test_row_effects_are_the_moments_they_name(shape: tuple[int, int]) -> None:
    """Against plain loops over the rows; K is the covariance of the rows themselves."""
    rng = np.random.default_rng(2)
    x, eps = rng.standard_t(5, shape) * np.linspace(0.5, 2.0, shape[1]), rng.laplace(size=shape[0])
    x -= x.mean(axis=0)
    k, n = x.T @ x / shape[0], shape[0]
    effects = row_effects(Rows(x, eps))
    trace, squares = np.trace(k), np.trace(k @ k)
    fourth = sum(float(row @ row) ** 2 for row in x) / n
    assert effects.square == pytest.approx(fourth / (trace**2 + 2 * squares))
    mixed = sum(float(row @ row) * e**2 for row, e in zip(x, eps)) / n
    assert effects.noise == pytest.approx(mixed / (trace * float(np.mean(eps**2))))
    first = [np.mean(np.abs(column)) / np.sqrt(np.mean(column**2)) for column in x.T]
    assert effects.drift == pytest.approx(np.mean(first) / np.sqrt(2 / np.pi))
    norms = [np.sqrt(row @ row) for row in x]
    assert effects.norm_variance == pytest.approx(np.var(norms) / trace - squares / (2 * trace**2))


def test_row_effects_of_gaussian_rows_are_one() -> None:
    """Within five standard errors of 40 000 rows (.0007, .0034, .0003, .0002), and .0004 by which Var norm(x) is less
    than its large-D form at d = 20.
    """
    rng = np.random.default_rng(3)
    effects = row_effects(Rows(rng.standard_normal((40_000, 20)), rng.standard_normal(40_000)))
    assert effects.square == pytest.approx(1, abs=0.004)
    assert effects.noise == pytest.approx(1, abs=0.017)
    assert effects.drift == pytest.approx(1, abs=0.0015)
    assert effects.norm_variance == pytest.approx(0, abs=0.0014)
    assert row_effects(Rows(rng.standard_normal((50, 3)), np.zeros(50))).noise == 1
