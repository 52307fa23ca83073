"""Every script of examples/ runs at a small size, and the rungs that the data examples share are what they say."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "examples").glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
SMALL = {
    "digits.py": ["--runs", "2", "--d", "40", "--horizon", "2"],
    "diabetes.py": ["--runs", "2", "--horizon", "2"],
    "gaussian_noise.py": ["--points", "20"],
    "matched_schedules.py": ["--runs", "2", "--d", "40"],
    "momentum.py": ["--runs", "2", "--d", "40"],
    "noise_scale.py": ["--runs", "2", "--d", "40"],
    "noise_compression.py": ["--points", "8", "--samples", "5000"],
    "schedules.py": ["--runs", "2", "--d", "40", "--points", "6"],
    "sde_spread.py": ["--runs", "8", "--d", "40"],
    "scalar_maps.py": ["--runs", "2", "--d", "40"],
    "sign_bias.py": ["--runs", "4", "--dimensions", "30"],
    "steady_sign.py": ["--runs", "2", "--d", "40"],
    "tail_heaviness.py": ["--points", "5", "--steps", "2000"],
    "where_it_ends.py": ["--runs", "8", "--d", "30"],
}


def run_alone(script: Path, *arguments: str) -> str:
    """What a script prints in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "error::RuntimeWarning", str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a script prints in this process, which has loaded and compiled already what every script needs."""

    def run(script: Path, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(script), *arguments])
        monkeypatch.syspath_prepend(str(script.parent))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run


def numbers(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"(?<![\w.])-?(?:\d+\.?\d*(?:e[+-]?\d+)?|nan|inf)\b", text)]


# Figures of 12 and 15 s.
LONG = {"where_it_ends.py", "scalar_maps.py"}


@pytest.mark.parametrize(
    "script", [pytest.param(s, marks=pytest.mark.slow if s.name in LONG else (), id=s.name) for s in SCRIPTS]
)
def test_example_makes_a_figure_and_finite_numbers(script: Path, tmp_path: Path, run_here: Callable[..., str]) -> None:
    figure = tmp_path / "figure.png"
    text = run_here(script, "--out", str(figure), *SMALL[script.name])
    assert figure.read_bytes().startswith(b"\x89PNG")
    found = numbers(text)
    assert len(found) > 20
    assert np.isfinite(found).all(), text


def test_example_alone_prints_the_same(tmp_path: Path, run_here: Callable[..., str]) -> None:
    script = ROOT / "examples" / "gaussian_noise.py"
    here, alone = (run(script, "--out", str(tmp_path / "f.png"), *SMALL[script.name]) for run in (run_here, run_alone))
    assert here == alone


def test_numbers_finds_what_is_not_finite() -> None:
    assert numbers("a 1.5 +- 2e-3, t=20 x2") == [1.5, 2e-3, 20]
    assert np.isnan(numbers("ratio nan +-inf")[0]) and np.isinf(numbers("ratio nan +-inf")[1])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_example_says_what_it_shows(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert f"python examples/{script.name}" in text.split('"""')[1]


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import ladder

    return ladder


def table() -> tuple[Any, Any]:
    rng = np.random.default_rng(4)
    x = np.maximum(rng.standard_normal((200, 6)) @ rng.standard_normal((6, 9)), 0)
    return x, x @ rng.standard_normal(9) + (1 + x[:, 0]) * rng.laplace(size=200)


def test_split_streams_three_quarters_and_estimates_from_them_only(ladder: Any) -> None:
    x, y = table()
    data = ladder.split(x, y)
    assert (len(data.problem.rows.x), len(data.y)) == (150, 50)
    order = np.random.default_rng(0).permutation(200)
    unseen, streamed = order[:50], order[50:]
    expected = (x - x[streamed].mean(axis=0)) / np.sqrt(x[streamed].var(axis=0).mean())
    np.testing.assert_allclose(data.problem.rows.x, expected[streamed], atol=1e-12)
    np.testing.assert_allclose(data.x, expected[unseen], atol=1e-12)
    np.testing.assert_allclose(data.y, (y[unseen] - y[streamed].mean()) / y[streamed].std())


def test_whitened_features_have_unit_covariance_and_the_share_asked_for(ladder: Any) -> None:
    x, y = table()
    data = ladder.split(x, y, whiten=0.9)
    d = data.problem.dimension
    np.testing.assert_allclose(data.problem.covariance.matrix, np.eye(d), atol=1e-12)
    streamed = np.random.default_rng(0).permutation(200)[50:]
    spectrum = np.linalg.eigvalsh(np.cov(x[streamed].T))[::-1]
    assert spectrum[: d - 1].sum() < 0.9 * spectrum.sum() <= spectrum[:d].sum()
    assert data.x.shape == (50, d)


def test_permuted_residuals_keep_theta_and_variance_and_lose_the_dependence(ladder: Any) -> None:
    """The rows' noise grows with x0, corr(eps^2, norm^2) is clear; after permuting it is within 5/sqrt(copies * n).

    The law moves little: taking off x @ shift removes 9/(copies * n) of the variance, .055 standard deviations.
    """
    from hdlimit.problem.row_moments import non_gaussianity

    problem = ladder.split(*table()).problem
    shuffled = ladder.permuted(problem, copies=20)
    assert np.abs(shuffled.rows.x.T @ shuffled.rows.noise).max() < 1e-9
    assert np.mean(shuffled.rows.noise**2) == pytest.approx(problem.noise.second_moment)
    assert non_gaussianity(problem).noise_norm_correlation > 0.2
    assert abs(non_gaussianity(shuffled).noise_norm_correlation) < 5 / np.sqrt(20 * 150)
    moved = np.sort(shuffled.rows.noise) - np.repeat(np.sort(problem.rows.noise), 20)
    assert np.sqrt(np.mean(moved**2)) < 0.12 * problem.rows.noise.std()


def test_held_out_risk_is_the_mean_over_unseen_rows(ladder: Any) -> None:
    """For any theta, the held-out problem's excess risk plus its least risk is the mean of r^2/2 on unseen rows."""
    data = ladder.split(*table())
    problem, least = ladder.held_out(data)
    theta = np.random.default_rng(2).standard_normal(problem.dimension)
    delta = theta - problem.target
    risk = delta @ problem.covariance.matrix @ delta / 2 + least
    assert risk == pytest.approx(np.mean((data.y - data.x @ theta) ** 2) / 2)
    streamed = data.problem.rows
    residual = problem.rows.x @ delta - problem.rows.noise
    np.testing.assert_allclose(residual, streamed.x @ (theta - data.problem.target) - streamed.noise, atol=1e-12)
