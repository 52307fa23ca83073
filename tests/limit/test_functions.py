"""Schedules given as Python functions, with features that are short against the horizon.

Expected values: for SGD on K = I, v' = -eta (2 - eta) v + eta^2 s^2 by quadrature between the kinks; with a threshold
by a Runge-Kutta method of four stages whose steps end at the kinks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.special import erf

import hdlimit as hd
from hdlimit.limit import piecewise
from hdlimit.limit.piecewise import resolved, tabulate
from hdlimit.optimizers import reading
from hdlimit.schedules import Function, Table

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

D, STD = 1000, 0.5
PROBLEM = hd.Problem(hd.Isotropic(D), hd.Gaussian(STD))
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


def hat(at: float, half: float, height: float = 1.0, base: float = 0.05) -> Callable[[float], float]:
    """A triangle of this half-width on a constant."""
    return lambda t: base + height * max(0.0, 1 - abs(t - at) / half)


def exact(eta: Callable[[float], float], kinks: Sequence[float], end: float, parts: int = 20) -> float:
    """R of SGD at a time that may be a kink: Gauss' rule on this many parts between two kinks."""
    v = 1.0
    edges = np.unique([0.0, *(k for k in kinks if k < end), end])
    for left, right in zip(edges[:-1], edges[1:]):
        small = np.linspace(left, right, parts + 1)
        for a, b in zip(small[:-1], small[1:]):
            t = (a + b) / 2 + (b - a) / 2 * NODES
            lr = np.array([eta(float(s)) for s in t])
            weight = (b - a) / 2 * WEIGHTS
            pull = lr * (2 - lr)
            # What is left of the pull after every node, by the polynomial through the nodes.
            fit = np.polynomial.Legendre.fit(t, pull, NODES.size - 1, domain=[a, b]).integ()
            v = v * math.exp(-float(weight @ pull)) + float(weight @ (lr**2 * STD**2 * np.exp(fit(t) - fit(b))))
    return v / 2


@pytest.mark.parametrize("horizon", [100.0, 1000.0, 1e5])
def test_a_triangle_far_from_the_start(horizon: float) -> None:
    lr = hat(60.77, 1.0)
    curve = hd.predict(PROBLEM, hd.SGD(lr), horizon)
    assert curve.at(61.77) == pytest.approx(0.05059335, abs=6e-8)
    assert curve.at(61.77) == pytest.approx(exact(lr, [59.77, 60.77, 61.77], 61.77), rel=3e-6)


def test_a_triangle_of_a_third_of_a_unit() -> None:
    lr = hat(3.21, 0.3)
    curve = hd.predict(PROBLEM, hd.SGD(Function(lr)), 6.0)
    for end in (3.0, 3.21, 3.4, 3.51, 6.0):
        assert curve.at(end) == pytest.approx(exact(lr, [2.91, 3.21, 3.51], end), rel=3e-6)


def test_without_reading_every_step_the_triangle_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: the fit alone, as it looks at its few points."""
    monkeypatch.setattr(piecewise, "reading", lambda horizon, step: np.empty(0))
    curve = hd.predict(PROBLEM, hd.SGD(hat(60.77, 1.0)), 100.0)
    assert curve.at(61.77) < 0.01


GENERATOR = np.random.default_rng(13)
BUMPS = [(float(GENERATOR.uniform(1, 79)), float(10 ** GENERATOR.uniform(-2.3, 0.3))) for _ in range(8)]


@pytest.mark.parametrize(("at", "half"), BUMPS)
def test_triangles_of_any_width_of_a_few_steps_and_more(at: float, half: float) -> None:
    height = 0.9 * min(1.0, 0.5 + 0.05 / half)
    lr, end = hat(at, half, height), at + half
    curve = hd.predict(PROBLEM, hd.SGD(lr), 80.0)
    right = exact(lr, [at - half, at, end], end)
    assert curve.at(end) == pytest.approx(right, rel=3e-6)
    assert abs(exact(lambda t: 0.05, [], end) / right - 1) > 1e-3, "the triangle would not be missed"


@pytest.mark.parametrize("width", [0.005, 0.05, 2.0])
def test_smooth_bumps(width: float) -> None:
    def lr(t: float) -> float:
        return 0.05 + 0.8 * math.exp(-(((t - 70.3) / width) ** 2))

    edges = [70.3 + k * width for k in range(-8, 9)]
    curve = hd.predict(PROBLEM, hd.SGD(lr), 100.0)
    assert curve.at(edges[-2]) == pytest.approx(exact(lr, edges, edges[-2]), rel=3e-6)


def clipped(control: Callable[[float], float], lr: float, kinks: Sequence[float], end: float) -> float:
    """R of clipped SGD under normal noise by Runge and Kutta, 400 steps between two kinks."""

    def slope(v: float, t: float) -> float:
        s, c = math.sqrt(v + STD**2), control(t)
        mu = float(erf(c / s / math.sqrt(2)))
        inside = s**2 * (mu - math.sqrt(2 / math.pi) * c / s * math.exp(-((c / s) ** 2) / 2))
        return -2 * lr * mu * v + lr**2 * (inside + c**2 * (1 - mu))

    v = 1.0
    edges = np.unique([0.0, *(k for k in kinks if k < end), end])
    for left, right in zip(edges[:-1], edges[1:]):
        h = (right - left) / 400
        for t in left + h * np.arange(400):
            a = slope(v, t)
            b = slope(v + h / 2 * a, t + h / 2)
            c = slope(v + h / 2 * b, t + h / 2)
            v += h / 6 * (a + 2 * b + 2 * c + slope(v + h * c, t + h))
    return v / 2


@pytest.mark.parametrize("half", [0.5, 0.05])
def test_a_threshold_that_opens_for_a_while(half: float) -> None:
    control = hat(30.4, half, 3.0, 0.02)
    kinks = [10.0, 20.0, 30.4 - half, 30.4, 30.4 + half]
    curve = hd.predict(PROBLEM, hd.ClippedSGD(0.5, control), 60.0)
    right = clipped(control, 0.5, kinks, kinks[-1])
    assert curve.at(kinks[-1]) == pytest.approx(right, rel=3e-6)
    assert abs(clipped(lambda t: 0.02, 0.5, kinks, kinks[-1]) / right - 1) > 0.01


def test_many_kinks_are_found_where_they_are() -> None:
    times, values = np.linspace(0.0, 20.0, 101), 0.3 + 0.2 * np.sin(7.0 * np.arange(101) ** 1.1)

    def lr(t: float) -> float:
        return float(np.interp(t, times, values))

    read = resolved(Function(lr), 20.0, 1 / D)
    bends = np.abs(np.diff(values, 2)) > 1e-3
    distance = np.abs(read.bends[:, None] - times[1:-1][bends]).min(axis=0)
    assert distance.max() < 1e-9
    assert read.pieces.breaks.size < 2 * times.size
    curve = hd.predict(PROBLEM, hd.SGD(lr), 20.0)
    assert curve.risk[-1] == pytest.approx(exact(lr, times.tolist(), 20.0, 1), rel=3e-6)


def test_what_is_read_is_the_schedule_between_the_steps_too() -> None:
    for lr in (hat(60.77, 1.0), hat(3.21, 0.004), lambda t: max(0.0, 1 - t / 50), lambda t: abs(math.sin(t)) + 0.01):
        read = resolved(Function(lr), 80.0, 1 / D)
        t = np.random.default_rng(0).uniform(0.0, 80.0, 20_000)
        right = np.array([lr(float(s)) for s in t])
        np.testing.assert_allclose(read(t), right, rtol=1e-9, atol=1e-13)


def test_every_step_is_read_up_to_a_bound_and_beyond_it_the_length_that_may_be_missed_is_told() -> None:
    np.testing.assert_allclose(reading.reading(3.0, 0.01), np.append(np.arange(301) / 100, 3.0), rtol=1e-15)
    lr = hat(3e4, 0.001)
    for horizon, told in ((100.0, False), (1000.0, False), (5e4, True)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            hd.predict(PROBLEM, hd.SGD(lr), horizon)
        found = [str(w.message) for w in caught if "can be missed" in str(w.message)]
        assert bool(found) is told
    missed = float(found[0].split("within a time of ")[1].split()[0])
    assert missed < 2.5 * 5e4 / reading.MOST_READ * 1.4
    wide = hat(3e4 + 0.123, missed)
    curve = hd.predict(PROBLEM, hd.SGD(wide), 5e4)
    assert curve.at(3e4 + 0.123 + missed) == pytest.approx(
        exact(wide, [3e4 - 500, *(3e4 + 0.123 + k * missed for k in (-1, 0, 1))], 3e4 + 0.123 + missed), rel=1e-5
    )


def test_the_largest_step_is_that_of_a_short_feature() -> None:
    lr = Function(hat(60.77, 0.003, 2.5))
    assert hd.stability(PROBLEM, hd.SGD(lr), 100.0).lr == pytest.approx(2.55, rel=1e-12)
    assert not hd.stability(PROBLEM, hd.SGD(lr), 100.0).stable
    assert hd.stability(PROBLEM, hd.SGD(lr), 60.0).stable
    assert reading.largest_lr(hd.schedules.Cosine(0.1, 0.7, 5.0), 3.0, 0.01) == pytest.approx(
        0.1 + 0.6 * math.sin(0.3 * math.pi) ** 2
    )


def test_spread_sweeps_and_tables_see_what_predictions_see() -> None:
    """A Table stops at its knots, so that it never missed anything."""
    function, table = Function(hat(60.77, 1.0)), Table([0.0, 59.77, 60.77, 61.77], [0.05, 0.05, 1.05, 0.05])
    curves = [hd.predict(PROBLEM, hd.SGD(lr), 100.0, times=[61.77]) for lr in (function, table)]
    assert curves[0].spread[0] == pytest.approx(curves[1].spread[0], rel=1e-3)
    sweep = hd.sweep(PROBLEM, hd.SGD(function), 100.0, batch_size=[1, 2], times=[61.77])
    assert sweep.risk[0, 0] == pytest.approx(0.05059335, abs=6e-8)
    tuned = hd.tune_clip(PROBLEM, 61.77, lr=function)
    assert tuned.risk <= 0.05059335 * (1 + 1e-5)


@pytest.mark.parametrize(
    "wrong", [lambda t: "a", lambda t: None, lambda t: 1 / (t - t), lambda t: [1.0, 2.0], lambda t: math.log(-1 - t)]
)
def test_what_a_function_raises_is_named(wrong: Callable[[float], float]) -> None:
    for call in (
        lambda: hd.predict(PROBLEM, hd.SGD(wrong), 5.0),
        lambda: tabulate(Function(wrong), 5.0),
        lambda: hd.stability(PROBLEM, hd.SGD(wrong), 5.0),
    ):
        with pytest.raises(hd.errors.InvalidInput, match="^schedule: expected a function with finite values >= 0"):
            call()
