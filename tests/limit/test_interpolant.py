"""The first crossing of a level on a piecewise quartic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.polynomial import Polynomial

from hdlimit.errors import InvalidInput
from hdlimit.limit.interpolant import DenseOutput, first_crossing


def dense(knots: list[float], pieces: list[list[float]]) -> DenseOutput:
    """An interpolant from the power coefficients of every step."""
    table = np.array(pieces, dtype=float)[:, None, :]
    return DenseOutput(np.array(knots), table[:, :, 0], table[:, :, 1:])


def test_line() -> None:
    assert first_crossing(dense([0, 4], [[8, -6, 0, 0, 0]]), 5) == pytest.approx(2, rel=1e-14)


def test_at_the_start_and_never() -> None:
    curve = dense([0, 4], [[8, -6, 0, 0, 0]])
    assert first_crossing(curve, 8) == 0.0
    assert first_crossing(curve, 100) == 0.0
    assert first_crossing(curve, 1.999) == math.inf
    assert first_crossing(curve, -1) == math.inf
    assert first_crossing(curve, 2) == pytest.approx(4, rel=1e-15)


def test_constant_steps() -> None:
    curve = dense([0, 1, 2], [[3, 0, 0, 0, 0], [3, 0, 0, 0, 0]])
    assert first_crossing(curve, 3) == 0.0
    assert first_crossing(curve, 2.9) == math.inf


def test_dip_inside_a_step() -> None:
    """v = 1 + 100 (theta - .3)^2 (theta - .9)^2 is above 1.1 at both ends and dips to 1 twice between them."""
    p = 1 + 100 * Polynomial([-0.3, 1]) ** 2 * Polynomial([-0.9, 1]) ** 2
    curve = dense([2, 7], [list(p.coef)])
    # (theta - .3)(theta - .9) = +sqrt(.1/100) at the first crossing
    theta = 0.6 - math.sqrt(0.09 + math.sqrt(1e-3))
    assert first_crossing(curve, 1.1) == pytest.approx(2 + 5 * theta, rel=1e-12)
    assert first_crossing(curve, 1 - 1e-9) == math.inf


def test_touching_minimum_between_knots() -> None:
    """A minimum that stays above the level on the first step does not hide the crossing on the second."""
    p = 0.5 + Polynomial([-0.5, 1]) ** 2
    curve = dense([0, 1, 3], [[*p.coef, 0, 0], [0.75, -0.75, 0, 0, 0]])
    assert first_crossing(curve, 0.49) == pytest.approx(1 + 2 * 0.26 / 0.75, rel=1e-13)


@pytest.mark.parametrize("seed", range(20))
def test_against_a_fine_grid(seed: int) -> None:
    """Random continuous quartics: nothing on a fine grid before the crossing is at the level, and the crossing is."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(8, 4)) * 0.6
    start = 4 + np.concatenate([[0.0], np.cumsum(coefficients.sum(axis=1))[:-1]])
    knots = np.concatenate([[0.0], np.cumsum(rng.uniform(0.1, 3, 8))])
    curve = DenseOutput(knots, start[:, None], coefficients[:, None, :])
    grid = np.linspace(0, knots[-1], 200_001)
    values = curve(grid, 0)
    low, high = values.min(), values[0]
    for level in np.linspace(low, high, 7)[1:-1]:
        t = first_crossing(curve, float(level))
        expected = grid[np.argmax(values <= level)]
        assert t == pytest.approx(expected, abs=2e-4 * knots[-1])
        assert curve(np.array(t), 0) == pytest.approx(level, abs=1e-9)
        assert (values[grid < t - 1e-9] > level).all()


@pytest.mark.parametrize("level", [math.nan, math.inf, "low", None])
def test_bad_level(level: object) -> None:
    with pytest.raises(InvalidInput, match="level: expected a finite number"):
        first_crossing(dense([0, 1], [[1, 0, 0, 0, 0]]), level)  # type: ignore[arg-type]
