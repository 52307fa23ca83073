"""Rows whose norms vary: the size that the warning states, against plain loops of clipped SGD on such rows."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.errors import NonGaussianWarning
from hdlimit.limit import row_average
from hdlimit.limit.system import limit_of

N, D, LR, C, T = 3000, 100, 0.5, 0.5, 6.0


def table(spread: float) -> tuple[Any, Any]:
    """Gaussian x times exp(spread N), whitened on the whole, and labels with Gaussian noise."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((N, D)) * np.exp(spread * rng.standard_normal(N))[:, None]
    x *= math.sqrt(D / (x**2).sum(axis=1).mean())
    return x, x @ np.full(D, D**-0.5) + 0.3 * rng.standard_normal(N)


def run(x: Any, y: Any, batch: int, runs: int = 60) -> Any:
    """Mean risk at t = 1, .., T of plain loops over random rows, without the package."""
    rng = np.random.default_rng(7)
    k, theta = x.T @ x / N, np.zeros((runs, D))
    target = np.linalg.lstsq(x, y, rcond=None)[0]
    limit, risks = C * math.sqrt(float(np.trace(k))), []
    for step in range(1, int(T * D) + 1):
        rows = rng.integers(0, N, (runs, batch))
        residual = np.einsum("rbd,rd->rb", x[rows], theta) - y[rows]
        g = np.einsum("rb,rbd->rd", residual, x[rows]) / batch
        theta -= LR / D * g * np.minimum(1.0, limit / np.linalg.norm(g, axis=1))[:, None]
        if step % D == 0:
            delta = theta - target
            risks.append(float(np.einsum("rd,de,re->r", delta, k, delta).mean() / 2))
    return np.array(risks)


@pytest.mark.parametrize("batch", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_warning_has_the_size_of_runs(batch: int) -> None:
    """The stated ratio at the horizon is right to 15 % (60 runs: 4 %); half of its excess is not, as was stated."""
    x, y = table(0.9)
    problem = hd.Problem.from_data(x, y, intercept=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curve = hd.predict(problem, hd.ClippedSGD(LR, C, batch_size=batch), horizon=T)
    text = next(str(w.message) for w in caught if w.category is NonGaussianWarning)
    last, largest = (float(number) for number in re.findall(r"([\d.]+) times", text))
    ratios = run(x, y, batch) / curve.at(np.arange(1.0, T + 1))
    assert ratios[-1] > 1.5
    assert last == pytest.approx(ratios[-1], rel=0.15)
    assert largest >= 0.85 * ratios.max()
    assert abs((1 + last) / 2 / ratios[-1] - 1) > 0.15


def test_gaussian_rows_are_not_warned_of() -> None:
    x, y = table(0.0)
    problem = hd.Problem.from_data(x, y, intercept=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hd.predict(problem, hd.ClippedSGD(LR, C), horizon=T)


def test_the_way_is_seen_however_long_the_horizon_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest ratio, early, is that of a horizon of 20; twice the steps move ratios by less than 1 %."""
    problem = hd.Problem.from_data(*table(0.9), intercept=False)
    limit, rows = limit_of(problem, hd.ClippedSGD(LR, C)), problem.rows
    assert rows is not None
    found = row_average.risk_ratios(limit, rows, 20.0)
    assert found[1] > 1.5
    for horizon in (1e3, 1e6):
        assert row_average.risk_ratios(limit, rows, horizon)[1] == pytest.approx(found[1], rel=0.01)
    monkeypatch.setattr(row_average, "STEPS", 2 * row_average.STEPS)
    rows.kept.clear()
    assert row_average.risk_ratios(limit, rows, 20.0) == pytest.approx(found, rel=0.01)


def test_the_way_is_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every prediction makes a limit of its own; equal ones share the ratios."""
    followed = []

    def counted(*arguments: Any) -> Any:
        followed.append(arguments)
        return path(*arguments)

    path = row_average._path
    monkeypatch.setattr(row_average, "_path", counted)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 5)) * np.exp(0.9 * rng.standard_normal(500))[:, None]
    problem = hd.Problem.from_data(x, x.sum(axis=1) + rng.standard_normal(500))
    for _ in range(3):
        with pytest.warns(hd.errors.NonGaussianWarning, match="the norms of the rows vary"):
            hd.predict(problem, hd.ClippedSGD(0.1, 1.0), 5.0)
    assert len(followed) == 2
