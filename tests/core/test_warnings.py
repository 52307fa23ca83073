"""Warnings point at the user's line, however deep in the package their cause lies, and each is told once."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from harness import heavy_rows

import hdlimit as hd
from hdlimit.cli.main import main

TINY = hd.Problem(hd.Isotropic(5), hd.Gaussian(0.3))
HEAVY = hd.Problem(hd.Isotropic(40), hd.StudentT(3, 0.3))
RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 10))
SWEEP = [0.2, 0.3]
CALLS: dict[str, Callable[[], Any]] = {
    "predict": lambda: hd.predict(TINY, hd.SGD(0.5), 2.0),
    "verify": lambda: hd.verify(TINY, hd.SGD(0.5), 2.0, runs=4),
    "scaling_study": lambda: hd.scaling_study(TINY, hd.ClippedSGD(0.5, 0.5, batch_size=8), 2.0, [8, 12, 16], runs=8),
    "simulate": lambda: hd.simulate(TINY, hd.SGD(4.0), 60.0, 4),
    "sweep": lambda: hd.sweep(TINY, hd.SGD(0.5), 2.0, lr=SWEEP),
    "sample_sde": lambda: hd.sample_sde(TINY, hd.SGD(0.5), 2.0, paths=4),
    "tune_lr": lambda: hd.tune_lr(TINY, hd.SGD, 2.0),
    "tune_clip": lambda: hd.tune_clip(TINY, 2.0),
    "landscape": lambda: hd.tune_clip(TINY, 2.0).landscape,
    "compare": lambda: hd.compare(TINY, 2.0),
    "greedy_lr": lambda: hd.tuning.greedy_lr(TINY, hd.SGD, 2.0),
    "from_data": lambda: hd.Problem.from_data(X, X[:, 0] + RNG.standard_normal(12)),
    "spread": lambda: hd.predict(TINY, hd.SGD(0.5), 2.0).spread,
}


def told(call: Callable[[], Any]) -> list[warnings.WarningMessage]:
    """The package's warnings of a call, under the filter that shows every one of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", hd.errors.HdlimitWarning)
        try:
            call()
        except hd.errors.HdlimitError:
            assert caught
    return caught


@pytest.mark.parametrize("name", CALLS)
def test_warnings_point_at_the_users_line_and_come_once(name: str) -> None:
    lines, first = inspect.getsourcelines(CALLS[name])
    caught = told(CALLS[name])
    assert caught
    for warning in caught:
        assert warning.filename == __file__
        assert first <= warning.lineno < first + len(lines)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == len(set(texts))


def test_runs_that_diverge_in_several_looks_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all the runs that were made, not with those of one look."""
    problem, optimizer, report = heavy_rows(), hd.SGD(0.5), list[Any]()
    monkeypatch.setattr(sys.modules["hdlimit.verification.verify"], "decided", lambda report: "")
    caught = told(lambda: report.append(hd.verify(problem, optimizer, 300.0, runs=2, max_runs=8)))
    diverged = [str(w.message) for w in caught if w.category is hd.errors.DivergenceWarning]
    assert diverged == [report[0].runs.outcome.sentence] and " of 8 runs diverged" in diverged[0]


def test_the_command_line_tells_a_warning_once_and_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "problem.toml"
    file.write_text(hd.to_toml(TINY, hd.SGD(0.5), 2.0, runs=2))
    done = CliRunner().invoke(main, ["verify", str(file), "--max-runs", "8"])
    lines = done.stderr.splitlines()
    assert lines and all(line.startswith("hdlimit: warning: ") for line in lines)
    assert len(lines) == len(set(lines)) and "warning" not in done.stdout


def test_a_user_function_inside_a_call_is_no_hiding_place() -> None:
    """The line is the innermost one outside the package: a user's function that predicts."""
    inner: list[int] = []

    def schedule(t: float) -> float:
        if not inner:
            inner.append(inspect.currentframe().f_lineno + 1)  # type: ignore[union-attr]
            hd.predict(TINY, hd.SGD(0.4), 1.0)
        return 0.5

    caught = told(lambda: hd.predict(TINY, hd.SGD(schedule), 2.0))
    assert inner[0] in [w.lineno for w in caught]
