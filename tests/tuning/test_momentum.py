"""Tuning, sweeps and the command line with momentum: every point and every minimum is that of `predict`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import hdlimit as hd
from hdlimit.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
NOISE = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
PROBLEM = hd.Problem(hd.PowerLaw(200, 0.5), NOISE)
BUFFERS: list[dict[str, Any]] = [
    {"momentum": 0.9},
    {"momentum": 0.99, "nesterov": True},
    {"momentum": 0.95, "dampening": 0.95},
]


def at_end(optimizer: Any, horizon: float = 5.0, problem: hd.Problem = PROBLEM) -> float:
    return float(hd.predict(problem, optimizer, horizon).risk[-1])


@pytest.mark.parametrize("buffer", BUFFERS, ids=str)
def test_a_sweep_is_made_of_predictions(buffer: dict[str, Any]) -> None:
    optimizer = hd.ClippedSGD(1.0, 1.0, **buffer)
    lrs, clips, times = [0.02, 0.3], [0.4, math.inf], [0.05, 1.0, 5.0]
    noises = [NOISE, hd.Gaussian(1.5)]
    found = hd.sweep(PROBLEM, optimizer, 5.0, times=times, lr=lrs, threshold=clips, batch_size=[1, 3], noise=noises)
    for i, lr in enumerate(lrs):
        for j, c in enumerate(clips):
            for k, batch in enumerate([1, 3]):
                for n, noise in enumerate(noises):
                    problem = hd.Problem(PROBLEM.covariance, noise)
                    one = hd.predict(problem, hd.ClippedSGD(lr, c, batch, **buffer), 5.0, times=times)
                    np.testing.assert_allclose(found.risk[i, j, k, n][: one.risk.size], one.risk, rtol=3e-6)
                    assert found.status[i, j, k, n] == one.outcome.status.value


def test_a_sweep_over_schedules() -> None:
    schedules = [0.05, hd.schedules.Cosine(0.1, 0.01, 5.0)]
    found = hd.sweep(PROBLEM, hd.SGD(0.1, momentum=0.9), 5.0, final=True, lr=schedules)
    expected = [at_end(hd.SGD(lr, momentum=0.9)) for lr in schedules]
    np.testing.assert_allclose(found.risk, expected, rtol=3e-6)


@pytest.mark.parametrize("buffer", BUFFERS, ids=str)
def test_the_best_step(buffer: dict[str, Any]) -> None:
    for optimizer in (hd.SGD(1.0, **buffer), hd.ClippedSGD(1.0, 0.8, 2, **buffer)):
        best = hd.tune_lr(PROBLEM, optimizer, 5.0)
        assert replace(best.optimizer, lr=1.0) == optimizer
        assert best.risk == pytest.approx(at_end(best.optimizer), rel=1e-9)
        everywhere = [at_end(replace(optimizer, lr=best.lr * f)) for f in np.geomspace(0.02, 5.0, 60)]
        assert best.risk <= min(everywhere) * (1 + 1e-5)
        assert abs(everywhere.index(min(everywhere)) - 42) <= 1  # near f = 1


def test_the_fastest_step_to_a_target() -> None:
    optimizer = hd.SGD(1.0, momentum=0.95)
    target = 1.5 * hd.tune_lr(PROBLEM, optimizer, 5.0).risk
    best = hd.tune_lr(PROBLEM, optimizer, 5.0, target=target)
    assert best.time is not None
    assert best.time == pytest.approx(hd.predict(PROBLEM, best.optimizer, 5.0).time_to(target), rel=1e-4)
    for f in (0.5, 0.8, 1.25, 2.0):
        other = hd.predict(PROBLEM, replace(optimizer, lr=best.lr * f), 5.0).time_to(target)
        assert other >= best.time * (1 - 1e-4)


@pytest.mark.parametrize("buffer", BUFFERS, ids=str)
def test_the_best_clip(buffer: dict[str, Any]) -> None:
    best = hd.tune_clip(PROBLEM, 5.0, **buffer)
    assert best.optimizer == hd.ClippedSGD(best.lr, best.threshold, 1, **buffer)
    assert best.risk == pytest.approx(at_end(best.optimizer), rel=1e-9)
    for f in (0.7, 0.9, 1.1, 1.4):
        for g in (0.6, 0.85, 1.0, 1.15, 1.6):
            assert at_end(replace(best.optimizer, lr=best.lr * f, threshold=best.threshold * g)) > best.risk * 0.99999
    assert best.sgd == hd.tune_lr(PROBLEM, hd.SGD(1.0, **buffer), 5.0).optimizer
    assert best.gain == pytest.approx(at_end(best.sgd) / best.risk, rel=1e-4)
    facts = best.facts()
    assert facts["momentum"] == buffer["momentum"] and facts["nesterov"] == buffer.get("nesterov", False)
    scape = hd.tuning.landscape(PROBLEM, 5.0, [best.lr / 2, best.lr], [best.threshold, math.inf], **buffer)
    points = [[at_end(hd.ClippedSGD(lr, c, 1, **buffer)) for c in scape.threshold] for lr in scape.lr]
    np.testing.assert_allclose(scape.risk, points, rtol=3e-6)
    assert scape.best == best.optimizer
    assert best.landscape.best.memory == best.optimizer.memory and best.landscape.risk.min() >= best.risk * 0.99999


def test_momentum_is_not_taken_for_none() -> None:
    """The twin: the best constants of plain SGD at the same effective step are another answer."""
    with_, without = hd.tune_clip(PROBLEM, 5.0, momentum=0.99), hd.tune_clip(PROBLEM, 5.0)
    assert abs(with_.optimizer.effective_lr / without.lr - 1) > 0.01 and with_.risk > 1.02 * without.risk
    assert "momentum" not in without.facts()


def test_a_given_lr_is_kept() -> None:
    found = hd.tune_clip(PROBLEM, 5.0, lr=0.1, momentum=0.9)
    assert found.lr == 0.1 and found.sgd == hd.tune_lr(PROBLEM, hd.SGD(1.0, momentum=0.9), 5.0).optimizer
    others = [at_end(hd.ClippedSGD(0.1, c, momentum=0.9)) for c in (*np.geomspace(0.1, 5.0, 20), math.inf)]
    assert found.risk <= min(others) * (1 + 1e-5)


def test_the_command_line_reads_it(tmp_path: Path) -> None:
    optimizer = hd.ClippedSGD(0.05, 0.7, momentum=0.9, nesterov=True)
    file = tmp_path / "problem.toml"
    file.write_text(hd.to_toml(PROBLEM, optimizer, 2.0))
    shown = CliRunner().invoke(main, ["predict", str(file), "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["risk"][-1] == pytest.approx(at_end(optimizer, 2.0), rel=1e-6)
    tuned = CliRunner().invoke(main, ["tune", str(file), "--json"])
    facts = json.loads(tuned.stdout)
    expected = hd.tune_clip(PROBLEM, 2.0, momentum=0.9, nesterov=True)
    assert (facts["momentum"], facts["nesterov"]) == (0.9, True) and facts["lr"] == pytest.approx(expected.lr)
    refused = CliRunner().invoke(main, ["tune", str(file), "--schedule"])
    assert refused.exit_code == 2 and "schedule: expected False with momentum" in refused.stderr
