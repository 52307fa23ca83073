"""Numbers of a trainer in the place of the package's are told, once and with the remedy; plausible ones are not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import hdlimit as hd
from hdlimit.limit import units
from hdlimit.optimizers.schedules import as_schedule
from hdlimit.schedules import Cosine, Power, Steps, Table

P = hd.Problem(hd.Isotropic(1000), hd.Gaussian(0.5))
Q = hd.Problem(hd.PowerLaw(1000, exponent=0.5), hd.StudentT(df=5, scale=0.5))
SMALL = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5))
SCALED = hd.Problem(hd.Covariance(np.full(200, 1e-3)), hd.Gaussian(0.01))
SCHEDULES = [
    Cosine(0.5, 0.0, 20_000),
    Cosine(0.5, 0.05, 15_000),
    Steps([10_000, 15_000], [0.5, 0.05, 0.005]),
    Table([0, 20_000], [0.5, 0.0]),
    Table([0, 1000, 20_000], [0.0, 0.5, 0.0]),
    Table(np.arange(0, 20_001, 10), 0.25 * (1 + np.cos(np.pi * np.arange(0, 20_001, 10) / 20_000))),
    Power(0.5, 1.0, time_scale=1000.0),
    lambda k: 0.5 * np.exp(-k / 5000),
    lambda k: 0.5 * (1 - k / 20_000),
]


def told(call: Callable[[], Any]) -> list[str]:
    """The UnitsWarnings of a call; each points at this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    found = [warning for warning in caught if issubclass(warning.category, hd.errors.UnitsWarning)]
    assert all(warning.filename == __file__ for warning in found)
    return [str(warning.message) for warning in found]


@pytest.mark.parametrize("problem", [P, Q])
@pytest.mark.parametrize("optimizer", [hd.SGD(1e-3), hd.ClippedSGD(1e-3, 0.6), hd.SignSGD(2e-4), hd.SGD(5e-4)])
def test_a_raw_step_is_told(problem: hd.Problem, optimizer: Any) -> None:
    (text,) = told(lambda: hd.predict(problem, optimizer, 20.0))
    assert (
        text.startswith(f"lr = {optimizer.lr:g} leaves") and f"from_step_size({optimizer.lr:g}, problem, loss=" in text
    )
    right = type(optimizer).from_step_size(
        optimizer.lr, problem, loss="half_squared", **{k: v for k, v in optimizer.to_plain().items() if k != "lr"}
    )
    assert right.lr == pytest.approx(1000 * optimizer.lr) and told(lambda: hd.predict(problem, right, 20.0)) == []


def test_a_raw_step_of_a_schedule_is_told() -> None:
    (text,) = told(lambda: hd.predict(P, hd.SGD(Cosine(1e-3, 1e-4, 20.0)), 20.0))
    assert text.startswith("lr = 0.001 leaves")


@pytest.mark.parametrize("problem", [P, Q])
@pytest.mark.parametrize(
    "optimizer", [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.6), hd.SignSGD(0.3), hd.SGD(0.25, batch_size=4)]
)
def test_a_number_of_steps_is_told(problem: hd.Problem, optimizer: Any) -> None:
    (text,) = told(lambda: hd.predict(problem, optimizer, 20_000))
    assert "horizon = 20000 is 2e+07 steps" in text and text.endswith("20000 steps are horizon = 20")
    assert told(lambda: hd.predict(problem, optimizer, 20.0)) == []


def test_a_raw_step_with_a_number_of_steps_is_told() -> None:
    (text,) = told(lambda: hd.predict(P, hd.SGD(1e-3), 20_000.0))
    assert text.startswith("lr = 0.001 and horizon = 20000 look like a trainer's") and text.endswith("steps/d are 20")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_over_step_numbers_are_told(schedule: Any) -> None:
    text = "the schedule of lr hardly changes up to t = 20 and much up to d times that: its times are t = steps/d"
    (found,) = told(lambda: hd.predict(P, hd.SGD(schedule), 20.0))
    assert found.startswith(text) and found.endswith("Schedule.in_steps(1000) divides step numbers by d")
    assert told(lambda: hd.predict(P, hd.SGD(as_schedule("lr", schedule).in_steps(1000)), 20.0)) == []
    (found,) = told(lambda: hd.predict(P, hd.ClippedSGD(0.5, schedule), 20.0))
    assert found.startswith(text.replace("lr", "threshold"))


def test_runs_and_verdicts_tell_it_once() -> None:
    optimizer = hd.SGD(Cosine(0.5, 0.0, 2000.0))
    assert len(told(lambda: hd.simulate(SMALL, optimizer, 10.0, runs=2))) == 1
    assert len(told(lambda: hd.verify(SMALL, optimizer, 10.0, runs=2, max_runs=4))) == 1
    assert len(told(lambda: hd.verify(SMALL, hd.SGD(5e-3), 10.0, runs=2))) == 1


@pytest.mark.parametrize(
    ("problem", "optimizer", "horizon"),
    [
        (P, hd.SGD(0.5), 1e12),
        (P, hd.ClippedSGD(0.5, 0.6), 1e12),
        (P, hd.SGD(0.5), 1e6),
        (P, hd.SGD(0.5), 1000.0),
        (SMALL, hd.SGD(0.5), 1000.0),
        (hd.Problem(hd.Isotropic(60), hd.Gaussian(0.5)), hd.SGD(0.5), 20_000.0),
        (hd.Problem(hd.PowerLaw(1000, exponent=1.5)), hd.SGD(0.5), 20_000.0),
        (P, hd.SGD(1e-3), 1000.0),
        (P, hd.SGD(1e-3), 5000.0),
        (P, hd.SGD(1e-6), 20.0),
        (P, hd.SGD(0.05), 1.0),
        (SMALL, hd.ClippedSGD(0.02, 0.03), 15.0),
        (SMALL, hd.ClippedSGD(0.01, 0.03), 15.0),
        (P, hd.SGD(0.5), 0.1),
        (hd.Problem(hd.Isotropic(1000), hd.Gaussian(10.0)), hd.SGD(1e-3), 20.0),
        (hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5), start=np.full(200, 200**-0.5)), hd.SGD(0.01), 20.0),
        (SCALED, hd.SGD(500.0), 20.0),
        (P, hd.SGD(Cosine(0.5, 0.0, 20.0)), 1.0),
        (P, hd.SGD(Cosine(0.5, 0.0, 100.0)), 1.0),
        (P, hd.SGD(Cosine(0.5, 0.0, 20.0)), 20.0),
        (P, hd.SGD(Steps([10.0, 15.0], [0.5, 0.05, 0.005])), 5.0),
        (P, hd.SGD(Power(0.5, 0.5)), 20.0),
        (P, hd.SGD(Table([0.0, 1.0, 20.0], [0.0, 0.5, 0.0])), 20.0),
        (P, hd.SGD(lambda t: 0.5 / (1 + t)), 20.0),
        (P, hd.SGD(lambda t: 0.5), 20.0),
        (P, hd.ClippedSGD(0.5, lambda t: 1.0 + (0.0 if t <= 20.0 else 1 / 0)), 20.0),
    ],
)
def test_plausible_numbers_are_not_told(problem: hd.Problem, optimizer: Any, horizon: float) -> None:
    assert told(lambda: hd.predict(problem, optimizer, horizon)) == []


def test_what_was_tuned_is_not_told() -> None:
    """Constants of long horizons are as small as raw steps, but not typed."""
    for horizon in (20.0, 20_000.0):
        tuned = hd.tune_lr(P, hd.SGD, horizon)
        assert told(lambda: hd.predict(P, tuned.optimizer, horizon)) == []  # noqa: B023


def test_an_ordinary_call_pays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a trial nor a schedule is looked at where lr and threshold are constants and the risk halves."""
    monkeypatch.setattr(units, "over_steps", None)
    monkeypatch.setattr(units, "solve", None)
    law = hd.Problem(hd.Isotropic(500), stats.logistic(scale=0.3))
    for optimizer in (hd.SGD(0.5), hd.ClippedSGD(0.5, 0.6), hd.SignSGD(0.3)):
        assert told(lambda: hd.predict(law, optimizer, 20.0)) == []  # noqa: B023
