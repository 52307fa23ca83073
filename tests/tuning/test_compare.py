"""SGD, clipping or sign: nothing on a grid of constants does better, and runs come out in the predicted order."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import hdlimit as hd

HEAVY = hd.Problem(hd.PowerLaw(300, 0.3), hd.StudentT(3, 0.7))
LIGHT = hd.Problem(hd.PowerLaw(300, 0.3), hd.Gaussian(0.5))
WILD = hd.Problem(hd.PowerLaw(300, 0.3), hd.StudentT(1.5, 0.5))
UNEVEN = hd.Problem(
    hd.Covariance(np.geomspace(0.01, 10, 300)), hd.StudentT(1.2, 0.3), target=np.geomspace(0.01, 10, 300) ** -0.5 / 17
)
PROBLEMS = {"heavy": HEAVY, "light": LIGHT, "wild": WILD, "uneven": UNEVEN}


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found() -> dict[str, hd.results.Comparison]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hd.errors.HdlimitWarning)
        return {name: hd.compare(problem, 15.0) for name, problem in PROBLEMS.items()}


def risks(comparison: hd.results.Comparison) -> dict[str, float]:
    return {entry.name: entry.risk for entry in comparison.entries}


def end_risk(problem: hd.Problem, optimizer: Any) -> float:
    curve = hd.predict(problem, optimizer, 15.0, times=[0.0, 15.0], rtol=1e-4)
    return float(curve.risk[-1]) if curve.outcome.status != hd.errors.Status.DIVERGED else math.inf


@pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
@pytest.mark.parametrize("name", PROBLEMS)
def test_no_grid_point_does_better(name: str, found: dict[str, hd.results.Comparison]) -> None:
    """A grid of 10 x 10 constants, a factor 1.5 apart around the answers; a risk 2 % too high must be caught."""
    problem, comparison = PROBLEMS[name], found[name]
    factors = 1.5 ** np.arange(-5.0, 5.0)
    for entry in comparison.entries:
        if entry.optimizer is None:
            continue
        lr = float(entry.optimizer.lr)
        if isinstance(entry.optimizer, hd.ClippedSGD):
            middle = entry.optimizer.threshold if math.isfinite(entry.optimizer.threshold) else 1.0
            tried = [hd.ClippedSGD(lr * f, middle * g) for f in factors for g in factors]
        else:
            tried = [type(entry.optimizer)(lr * f) for f in 1.5 ** np.arange(-5.0, 5.0, 0.25)]
        least = min(end_risk(problem, optimizer) for optimizer in tried)
        assert least >= entry.risk * (1 - 3e-4)
        assert least < entry.risk * 1.02
        assert entry.risk == pytest.approx(entry.curve.risk[-1], rel=1e-4)


def test_answers(found: dict[str, hd.results.Comparison]) -> None:
    assert found["light"].best.name == "SGD" and "clipping does not help" in found["light"].sentence
    assert found["light"].entries[1].optimizer.threshold == math.inf
    assert found["heavy"].best.name == "clipped SGD" and "SGD's is" in found["heavy"].sentence
    wild = found["wild"].entries[0]
    assert (
        wild.optimizer is None and wild.curve is None and wild.risk == math.inf and "infinite variance" in wild.reason
    )
    assert wild.reason in found["wild"].sentence and wild.reason in found["wild"].summary()
    assert found["uneven"].best.name == "signSGD"  # preconditioning: the error lies where features are small


@pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
@pytest.mark.parametrize("name", ["light", "wild", "uneven"])
def test_runs_come_out_in_the_predicted_order(name: str, found: dict[str, hd.results.Comparison]) -> None:
    """Every pair of risks that is predicted to differ by over 10 % differs in the same direction by over 4 standard
    errors of 12 runs (a wrong order is accepted with probability below 4e-5); equal optimizers are skipped.
    """
    measured = {}
    for entry in found[name].entries:
        if entry.optimizer is not None:
            runs = hd.simulate(PROBLEMS[name], entry.optimizer, 15.0, runs=12, seed=21, times=[15.0])
            measured[entry.name] = entry.risk, float(runs.mean[-1]), float(runs.stderr[-1])
    compared = 0
    for risk, mean, error in measured.values():
        for other_risk, other_mean, other_error in measured.values():
            if other_risk > 1.1 * risk:
                assert other_mean - mean > 4 * math.hypot(error, other_error)
                compared += 1
    assert compared >= 1


def test_table_and_figure_are_the_numbers(found: dict[str, hd.results.Comparison]) -> None:
    comparison = found["heavy"]
    lines = str(comparison).splitlines()
    assert len(lines) == 5 and lines[-1] == comparison.sentence
    for line, entry in zip(lines[1:4], comparison.entries, strict=True):
        assert line.startswith(entry.name)
        assert float(line.split()[-2]) == pytest.approx(entry.risk, rel=1e-3)
        assert float(line.split()[-1]) == pytest.approx(entry.risk / comparison.best.risk, abs=1e-3)
    ax = comparison.plot()
    curves = [line for line in ax.lines if not str(line.get_label()).startswith("_")]
    assert len(curves) == 3 and ax.get_legend() is not None
    for drawn, entry in zip(curves, comparison.entries, strict=True):
        assert drawn.get_ydata()[-1] == entry.curve.risk[-1] and entry.constants in str(drawn.get_label())
    assert "clipped SGD" in ax.get_title()
    wild = found["wild"].plot(plt.subplots()[1]).lines
    assert sum(not str(line.get_label()).startswith("_") for line in wild) == 2


def test_of_equals_the_simpler_one(found: dict[str, hd.results.Comparison]) -> None:
    assert risks(found["light"])["clipped SGD"] == pytest.approx(risks(found["light"])["SGD"], rel=1e-3)
    assert found["light"].best is found["light"].entries[0]


def test_batches() -> None:
    problem = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5))
    four = hd.compare(problem, 5.0, batch_size=4)
    assert all(entry.optimizer.batch_size == 4 for entry in four.entries)
    assert four.best.name == "SGD" and four.best.risk < hd.compare(problem, 5.0).best.risk


def test_caveats_are_told_once() -> None:
    problem = hd.Problem(hd.Covariance(np.arange(1.0, 11) ** -2.0), hd.StudentT(3, 0.5))
    with pytest.warns(hd.errors.HdlimitWarning) as caught:
        hd.compare(problem, 2.0)
    messages = [str(w.message) for w in caught]
    assert len(messages) == len(set(messages)) >= 3
    assert {type(w.message) for w in caught} == {
        hd.errors.LowDimensionWarning,
        hd.errors.HeavyTailWarning,
        hd.errors.ValidityWarning,
    }


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("problem", {"problem": "isotropic"}),
        ("problem", {"problem": hd.Problem(hd.Isotropic(30), hd.Gaussian(1), start=np.full(30, 30**-0.5))}),
        ("horizon", {"horizon": -1.0}),
        ("horizon", {"horizon": math.nan}),
        ("horizon", {"horizon": 1e-3}),
        ("batch_size", {"batch_size": 2.5}),
    ],
)
def test_refusals(argument: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(hd.errors.InvalidInput) as caught:
        hd.compare(**{"problem": LIGHT, "horizon": 15.0, **wrong})
    assert caught.value.argument == argument
