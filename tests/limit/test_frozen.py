"""A step size of 0 over the whole horizon, and starts at the target: the risk stays, or rises from 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import name_of

import hdlimit as hd
from hdlimit.problem.conditions import exact_critical_batch
from hdlimit.schedules import Cosine, Function, Power, Schedule, Steps, Table

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

ZERO: list[Schedule] = [
    Function(lambda t: 0.0),
    Steps([1.0], [0.0, 0.0]),
    Steps([50.0], [0.0, 0.5]),
    Cosine(0.0, 0.0, 5.0),
    Power(0.0, 1.0),
    Table([0.0, 3.0], [0.0, 0.0]),
]
ROWS = np.random.default_rng(5).standard_t(5, (400, 12))
PROBLEMS = [
    hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5)),
    hd.Problem(hd.PowerLaw(50, 0.5)),
    hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5), target=np.zeros(50)),
    hd.Problem.from_data(ROWS, ROWS[:, 0] + np.random.default_rng(6).normal(size=400)),
]
MAKERS: list[Callable[[Any], Any]] = [
    hd.SGD,
    lambda lr: hd.SGD(lr, 3),
    lambda lr: hd.ClippedSGD(lr, 0.5),
    hd.SignSGD,
    lambda lr: hd.ResidualSGD(lr, np.tanh),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=["noise", "none", "target", "rows"])
@pytest.mark.parametrize("lr", ZERO, ids=name_of)
def test_the_risk_stays(problem: hd.Problem, lr: Schedule) -> None:
    for make in MAKERS:
        optimizer = make(lr)
        curve = hd.predict(problem, optimizer, 10.0)
        np.testing.assert_allclose(curve.risk, problem.initial_risk, rtol=1e-12)
        assert curve.outcome.finished
        judged = hd.stability(problem, optimizer, 10.0)
        assert judged.stable and judged.lr == 0 and judged.critical_batch == 1
        if problem.rows is None:
            np.testing.assert_allclose(curve.spread, 0.0, atol=0)
        np.testing.assert_allclose(curve.distance, curve.distance[0], rtol=1e-12)
        runs = hd.simulate(problem, optimizer, 1.0, runs=2)
        np.testing.assert_allclose(runs.risk, problem.initial_risk, rtol=1e-9)


@pytest.mark.parametrize("lr", ZERO[:2], ids=name_of)
def test_what_else_reads_the_step(lr: Schedule) -> None:
    for problem in PROBLEMS[:3]:
        sweep = hd.sweep(problem, hd.SGD(lr), 10.0, batch_size=[1, 2])
        np.testing.assert_allclose(sweep.risk, problem.initial_risk, rtol=1e-12)
        score = hd.tuning.score_sgd(problem, 10.0, lr)
        np.testing.assert_allclose(hd.predict(problem, score, 10.0).risk, problem.initial_risk, rtol=1e-12)
    for problem in PROBLEMS[:2]:
        with pytest.raises(hd.errors.InvalidInput, match="the best one lowers it by 0%"):
            hd.tune_clip(problem, 10.0, lr=lr)


def test_no_caveat_speaks_of_where_runs_settle_that_do_not_move(recwarn: pytest.WarningsRecorder) -> None:
    for problem in PROBLEMS:
        hd.predict(problem, hd.SGD(ZERO[1]), 10.0)
    assert not [w for w in recwarn if "settle" in str(w.message) or "lr" in str(w.message)]


@pytest.mark.parametrize("lr", [0.0, 5e-324, 1e-300, 1e-12, 0.3, 0.99, 1.5, 3.0])
def test_the_critical_batch_of_small_steps(lr: float) -> None:
    """The smallest B with sum_i g l_i/(2B - g l_i (B + 1)) < 1 and g l_i (B + 1) < 2 B, by trying them."""
    values = np.array([1.0, 0.5, 0.5, 0.1])
    g = lr / 4 * values

    def stable(b: int) -> bool:
        room = 2 * b - g * (b + 1)
        return bool(room.min() > 0 and (g / room).sum() < 1)

    first = next(b for b in range(1, 100) if stable(b))
    assert exact_critical_batch(hd.Covariance(values), lr) == first


@pytest.mark.parametrize("std", [1e-30, 1e-6, 1.0])
def test_the_steady_state_from_the_target_has_no_scale_of_its_own(std: float) -> None:
    """SGD on K = I settles at eta s^2/(4 - 2 eta); without noise nothing moves."""
    start = np.zeros(50)
    for lr in (1e-3, 0.5):
        found = hd.steady_state(hd.Problem(hd.Isotropic(50), hd.Gaussian(std), target=start), hd.SGD(lr))
        assert found.risk == pytest.approx(lr * std**2 / (4 - 2 * lr), rel=1e-9, abs=0)
    for lr in (0.5, 2.5):
        still = hd.steady_state(hd.Problem(hd.Isotropic(50), target=start), hd.SGD(lr))
        assert still.risk == 0 and still.time_scale == math.inf


@pytest.mark.parametrize("unit", [1.0, 1e-5])
def test_of_several_rest_points_the_lowest_is_next_to_the_target(unit: float) -> None:
    """psi is r near 0, pushes away further out and holds far out: noise of 0.1 holds v low, a far start ends higher.

    Where psi is r for every likely r, v = eta s^2/(2 - eta).
    """

    def psi(r: np.ndarray) -> np.ndarray:
        size = np.abs(r / unit)
        return unit * np.where(size < 2, r / unit, np.where(size < 10, -3.0, 3.0) * np.sign(r))

    lr, std = 0.1, 0.1
    v = lr * std**2 / (2 - lr)
    noise = hd.Gaussian(std * unit)
    found = hd.steady_state(hd.Problem(hd.Isotropic(50), noise, target=np.zeros(50)), hd.ResidualSGD(lr, psi))
    assert found.risk == pytest.approx(v / 2 * unit**2, rel=1e-4, abs=0)
    far = hd.steady_state(hd.Problem(hd.Isotropic(50), noise, target=np.full(50, 100 * unit)), hd.ResidualSGD(lr, psi))
    assert far.risk > 100 * found.risk
