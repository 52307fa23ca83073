"""Schedules as the integrator reads them, and curves under schedules against piecewise constant ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from cases import FUNCTION_SCHEDULE, SCHEDULES, name_of

import hdlimit as hd
from hdlimit.kernels.piecewise import piecewise
from hdlimit.limit.piecewise import Piecewise, stops, tabulate
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Schedule

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

PROBLEM = hd.Problem(hd.PowerLaw(30, 0.7), hd.Laplace(0.3))
MORE: list[Schedule] = [
    FUNCTION_SCHEDULE,
    hd.schedules.Cosine(0.5, 0.0, 10.0),
    hd.schedules.Power(0.9, 1.0, 0.01),
    hd.schedules.Power(0.01, -0.7, 1.0),
    hd.schedules.Function(lambda t: abs(t - 1.7) / 3),  # a kink that touches 0
    hd.schedules.Function(lambda t: 0.3 + 0.2 * math.sin(20 * t)),
    hd.schedules.Function(lambda t: math.exp(-3 * t)),
    hd.schedules.Function(lambda t: 1.0 - math.tanh(t)),  # from t = 10 on mostly rounding errors
]


def value(table: Piecewise, t: float) -> float:
    """The table at t, away from its ends."""
    return float(piecewise(t, math.inf, *table))


FINITE = [(s, h) for s in [*SCHEDULES, *MORE] for h in (1e-3, 5.0, 30.0)]
ENDLESS = [(s, 1e12) for s in [*SCHEDULES, *MORE] if not isinstance(s, hd.schedules.Function)]


@pytest.mark.parametrize(("schedule", "horizon"), [*FINITE, *ENDLESS], ids=name_of)
def test_tables_are_the_schedule(schedule: Schedule, horizon: float) -> None:
    """To 1e-10 of the largest value on a piece (fitted to 1e-11 at 8 of its points), at 40 points of every piece."""
    table = tabulate(schedule, horizon)
    assert set(schedule.knots[schedule.knots < horizon]) <= set(table.breaks)
    assert table.breaks[0] == 0 and table.breaks[-1] == horizon
    largest = 0.0
    for left, right in zip(table.breaks[:-1], table.breaks[1:]):
        inside = np.linspace(left, right, 42)[1:-1]
        true = schedule(inside)
        largest = max(largest, float(true.max()))
        if right - left > 1e-12 * right:  # a shorter piece holds a kink
            found = np.array([value(table, t) for t in inside])
            assert (np.abs(found - true) <= 1e-10 * true.max() + 1e-14 * largest * (right - left < 0.01 * right)).all()


def test_a_decay_keeps_its_relative_accuracy() -> None:
    """1/t falls by 14 decades up to 1e12."""
    schedule = hd.schedules.Power(0.9, 1.0, 0.01)
    table = tabulate(schedule, 1e12)
    times = np.geomspace(1e-4, 9e11, 1000)
    np.testing.assert_allclose([value(table, t) for t in times], schedule(times), rtol=1e-10)


def test_pieces_are_read_from_the_side_of_the_step() -> None:
    """Beyond the end of a step's stretch its last piece is extrapolated; at its start the new piece holds."""
    steps = tabulate(hd.schedules.Steps([1.0, 2.0], [0.5, 0.2, 0.9]), 3.0)
    assert [piecewise(t, end, *steps) for t, end in ((1.0, 1.0), (1.1, 1.0), (1.0, 2.0), (2.0, 3.0))] == [
        0.5,
        0.5,
        0.2,
        0.9,
    ]
    ramp = tabulate(hd.schedules.Table([0.0, 1.0, 2.0], [0.0, 1.0, 0.0]), 2.0)
    assert piecewise(1.25, 1.0, *ramp) == pytest.approx(1.25)
    assert piecewise(1.25, 2.0, *ramp) == pytest.approx(0.75)
    assert piecewise(2.5, 2.0, *ramp) == 0.0


@pytest.mark.parametrize(
    "jumps",
    [
        lambda t: 0.5 if t < 3.3 else 0.1,
        lambda t: 0.5 if t < 1e-3 else 0.4999,
        lambda t: 0.5 - 0.001 * math.floor(t),
        lambda t: float(round(t)) / 10,
    ],
)
def test_functions_that_jump_are_refused(jumps: Callable[[float], float]) -> None:
    for optimizer in (hd.SGD(jumps), hd.ClippedSGD(0.5, jumps)):
        with pytest.raises(hd.errors.InvalidInput, match="^schedule: expected a smooth schedule .*near t ="):
            hd.predict(PROBLEM, optimizer, 10.0)


@pytest.mark.parametrize("bad", [lambda t: 1.0 - t, lambda t: math.nan, lambda t: math.inf, lambda t: 0.1 / (2.5 - t)])
def test_functions_with_wrong_values_are_refused(bad: Callable[[float], float]) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="^schedule: expected a function with finite values >= 0"):
        hd.predict(PROBLEM, hd.SGD(bad), 5.0)


def extrapolated(make: Callable[[Schedule], Optimizer], schedule: Schedule, horizon: float) -> float:
    """R at the horizon under piecewise constant schedules of midpoint values, Richardson-extrapolated in the step^2."""

    def final(pieces: int) -> float:
        edges = np.linspace(0.0, horizon, pieces + 1)
        steps = hd.schedules.Steps(edges[1:-1], schedule((edges[1:] + edges[:-1]) / 2))
        return float(hd.predict(PROBLEM, make(steps), horizon, times=[horizon], rtol=1e-9).risk[-1])

    return (4 * final(400) - final(200)) / 3


@pytest.mark.parametrize(
    "make",
    [hd.SGD, hd.SignSGD, lambda lr: hd.ClippedSGD(lr, 0.5), lambda c: hd.ClippedSGD(0.4, c)],
    ids=["sgd", "sign", "clip", "threshold"],
)
@pytest.mark.parametrize("schedule", [s for s in [*SCHEDULES, *MORE[:2], MORE[3]]], ids=name_of)
def test_curves_under_a_schedule_are_those_under_many_constants(
    schedule: Schedule, make: Callable[[Schedule], Optimizer]
) -> None:
    """Every knot of the schedules lies on the grid of 200 pieces."""
    curve = hd.predict(PROBLEM, make(schedule), 5.0, times=[5.0])
    assert curve.risk[-1] == pytest.approx(extrapolated(make, schedule, 5.0), rel=3e-6)


@pytest.mark.parametrize("knots", [100, 390, 410, 1000])
def test_rough_tables(knots: int) -> None:
    """Isotropic SGD with unit noise: v' = -eta (2 - eta) v + eta^2 is solved exactly between the knots."""
    times = np.linspace(0.0, 20.0, knots)
    values = 0.3 + 0.2 * np.sin(7.0 * np.arange(knots) ** 1.1)
    risk = 0.5
    for left, right, a, b in zip(times[:-1], times[1:], values[:-1], values[1:]):
        risk = _one_piece(risk, right - left, a, b)
    for rtol in (1e-4, 1e-6, 1e-8):
        problem = hd.Problem(hd.Isotropic(30), hd.Gaussian(1.0))
        curve = hd.predict(problem, hd.SGD(hd.schedules.Table(times, values)), 20.0, times=[20.0], rtol=rtol)
        assert curve.risk[-1] == pytest.approx(risk, rel=3 * rtol)


def _one_piece(risk: float, span: float, a: float, b: float) -> float:
    """R after a time `span` of isotropic SGD with unit noise, lr going linearly from a to b, by the exact integral."""
    x, w = np.polynomial.legendre.leggauss(12)
    s = (1 + x) / 2

    def decay(u: np.ndarray) -> np.ndarray:
        """Integral of eta (2 - eta) from 0 to u (in parts of the span)."""
        c = b - a
        return span * (2 * (a * u + c * u**2 / 2) - (a**2 * u + a * c * u**2 + c**2 * u**3 / 3))

    whole = decay(np.ones(1))[0]
    source = span / 2 * np.sum(w * (a + (b - a) * s) ** 2 * np.exp(decay(s) - whole))
    return float(risk * np.exp(-whole) + source / 2)


@pytest.mark.parametrize(
    "law", [hd.Laplace(0.5), hd.NoNoise(), hd.StudentT(1.5, 0.5), hd.Empirical([-1.0, 0.2, 0.5])], ids=name_of
)
@pytest.mark.parametrize(
    "threshold",
    [
        hd.schedules.Cosine(0.5, 0.0, 10.0),
        hd.schedules.Table([0, 1, 2, 3], [0, 1, 0, 1]),
        hd.schedules.Steps([1, 2], [0.0, 1.0, 0.0]),
    ],
    ids=name_of,
)
def test_a_threshold_of_zero_stops_the_risk(law: object, threshold: Schedule) -> None:
    curve = hd.predict(hd.Problem(hd.PowerLaw(30, 0.5), law), hd.ClippedSGD(0.5, threshold), 20.0)
    assert np.isfinite(curve.risk).all() and (curve.risk >= 0).all() and curve.outcome.finished
    assert curve.risk[-1] < curve.risk[0]
    for left, right in ((0.0, 0.99), (2.01, 20.0), (11.0, 20.0)):
        if not threshold(np.linspace(left, right, 99)).any():
            np.testing.assert_allclose(curve.at(np.linspace(left, right, 99)), curve.at(left), rtol=1e-12)


@pytest.mark.parametrize("make", [hd.SGD, hd.SignSGD, lambda lr: hd.ClippedSGD(lr, 0.5)], ids=["sgd", "sign", "clip"])
def test_a_step_size_that_falls_to_zero_freezes_the_curve(make: Callable[[Schedule], Optimizer]) -> None:
    for lr in (
        hd.schedules.Steps([3.0], [0.5, 0.0]),
        hd.schedules.Cosine(0.5, 0.0, 3.0),
        hd.schedules.Table([0, 3], [0.5, 0.0]),
    ):
        curve = hd.predict(PROBLEM, make(lr), 1e9)
        assert curve.outcome.finished
        np.testing.assert_allclose(curve.at([4.0, 1e3, 1e9]), curve.at(3.0), rtol=1e-12)


def test_stops() -> None:
    steps, table = (
        hd.schedules.Steps([1.0, 2.0, 9.0], [1.0, 2.0, 3.0, 4.0]),
        hd.schedules.Table([0.0, 1.5, 2.0], [1.0, 2.0, 0.5]),
    )
    assert stops((steps, table), 5.0, 1e-6).tolist() == [0.0, 1.0, 1.5, 2.0, 5.0]
    assert stops((hd.schedules.Constant(1.0), hd.schedules.Power(1.0, 1.0)), 5.0, 1e-6).tolist() == [0.0, 5.0]
    straight = hd.schedules.Table([0.0, 1.0, 2.0, 4.0], [1.0, 2.0, 3.0, 5.0])
    assert stops((straight,), 5.0, 1e-6).tolist() == [0.0, 4.0, 5.0]
    fine = np.linspace(0.0, 5.0, 20_001)
    assert stops((hd.schedules.Table(fine, np.cos(fine) + 1.5),), 5.0, 1e-5).tolist() == [0.0, 5.0]  # bends by 3e-8
    assert stops((hd.schedules.Table(fine, np.cos(fine) + 1.5),), 5.0, 1e-10).size > 19_000
    assert stops((hd.schedules.Table([1.0], [0.3]),), 5.0, 1e-6).tolist() == [0.0, 1.0, 5.0]


def test_fine_tables_are_the_function() -> None:
    """A table of 100 001 points of a smooth schedule, not stopped at, is the schedule."""
    fine = np.linspace(0.0, 5.0, 100_001)
    smooth = hd.schedules.Cosine(0.8, 0.05, 5.0)
    table = hd.predict(PROBLEM, hd.SGD(hd.schedules.Table(fine, smooth(fine))), 5.0)
    np.testing.assert_allclose(table.risk, hd.predict(PROBLEM, hd.SGD(smooth), 5.0).risk, rtol=3e-6)
    assert len(table.dense.knots) < 200


def test_knots_one_rounding_apart() -> None:
    """A jump written as two knots of a table that differ by one rounding error is a jump: Steps give the same curve."""
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.3))
    after = float(np.nextafter(2.0, 3.0))
    table = hd.predict(problem, hd.SGD(hd.schedules.Table([0.0, 2.0, after, 9.0], [0.8, 0.8, 0.2, 0.2])), 5.0)
    steps = hd.predict(problem, hd.SGD(hd.schedules.Steps([2.0], [0.8, 0.2])), 5.0)
    assert table.outcome.finished
    np.testing.assert_allclose(table.risk, steps.risk, rtol=3e-6)
