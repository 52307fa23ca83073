"""The parabola through the last responses: exact where it must be, never further off than it says, and forgotten."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hdlimit.core.jit import python
from hdlimit.kernels import quadratic_model as nearby
from hdlimit.kernels.lazy_table import clip_mixture
from hdlimit.kernels.responses import clip_laplace, sign_mixture

NORMAL = np.array([1.0, 0.0, 0.25])
RESPONSES = {"clip": (clip_mixture, NORMAL), "sign": (sign_mixture, NORMAL), "laplace": (clip_laplace, np.array([0.3]))}

evaluated, certain, expanded = (python(kernel) for kernel in (nearby.evaluated, nearby.certain, nearby.expanded))


def test_a_parabola_is_found_from_three_points() -> None:
    near = np.zeros(nearby.SIZE)

    def response(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
        return 2 + 0.3 * v - 0.1 * v * v, 1 + v

    for v in (1.0, 0.9, 0.95):
        assert not certain(near, v, 1.0)
        assert evaluated(near, v, 0.7, response, NORMAL) == response(v, 0.7, NORMAL)
    assert certain(near, 0.97, 1.0) and not certain(near, 0.97, 1e-6)
    np.testing.assert_allclose(expanded(near, 0.8), response(0.8, 0.7, NORMAL), rtol=1e-13)
    np.testing.assert_allclose(near[[nearby.MU_SLOPE, nearby.NU_SLOPE]], [0.3 - 0.2 * 0.95, 1.0], rtol=1e-13)


@pytest.mark.parametrize("name", RESPONSES)
def test_the_error_is_below_the_tolerance_where_it_is_certain(name: str) -> None:
    """Walks in v like those of a step, its stages out of order, far wider and narrower ones, over ten powers of e."""
    kernel, parameters = RESPONSES[name]
    worst, seen = 0.0, 0
    for width in (0.3, 0.1, 0.03, 1e-3, 1e-6):
        near, v = np.zeros(nearby.SIZE), 5.0
        while v > 5e-4:
            for node in (0.37, 0.63, 0.14, 0.7, 0.91, 1.0):
                guess = v * (1 - width * node)
                evaluated(near, guess, 0.9, kernel, parameters)
                for off in (1e-9, 1e-7, 1e-5, 1e-3):
                    if certain(near, guess * (1 + off * width), 1e-8):
                        found = np.array(expanded(near, guess * (1 + off * width)))
                        right = kernel(guess * (1 + off * width), 0.9, parameters)
                        worst, seen = max(worst, float(np.abs(found / right - 1).max())), seen + 1
            v *= (1 - width) if width > 0.01 else 0.5
    assert seen > 500 and worst < 1e-8


def test_another_threshold_begins_anew() -> None:
    near = np.zeros(nearby.SIZE)
    for v in (1.0, 0.9, 0.95):
        evaluated(near, v, 0.7, clip_mixture, NORMAL)
    assert certain(near, 0.95, 1e-6)
    evaluated(near, 0.94, 0.71, clip_mixture, NORMAL)
    assert not certain(near, 0.94, math.inf)
    evaluated(near, 0.93, 0.71, clip_mixture, NORMAL)
    assert not certain(near, 0.93, math.inf)
    evaluated(near, 0.92, 0.71, clip_mixture, NORMAL)
    assert certain(near, 0.92, 1e-6)


def test_points_that_fall_together_keep_the_slopes() -> None:
    """At a steady state v moves by rounding errors: their quotients say nothing."""
    near = np.zeros(nearby.SIZE)
    for v in (1.0, 0.9, 0.95):
        evaluated(near, v, 0.7, clip_mixture, NORMAL)
    slopes = near[[nearby.MU_SLOPE, nearby.NU_SLOPE, nearby.MU_BEND, nearby.NU_BEND]].copy()
    for _ in range(5):
        evaluated(near, near[nearby.V] * (1 + 2e-16), 0.7, clip_mixture, NORMAL)
    np.testing.assert_array_equal(near[[nearby.MU_SLOPE, nearby.NU_SLOPE, nearby.MU_BEND, nearby.NU_BEND]], slopes)
