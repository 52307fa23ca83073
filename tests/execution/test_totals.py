"""Work is estimated before it starts: what does not fit into memory is refused, what is long is announced."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from work import squares

import hdlimit as hd
from hdlimit.core import timegrid
from hdlimit.errors import InvalidInput
from hdlimit.execution import parallel
from hdlimit.execution.parallel import collect
from hdlimit.execution.workers import Processes

PROBLEM = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
SGD, CLIP = hd.SGD(0.4), hd.ClippedSGD(0.4, 0.5)
LINE = np.linspace(0.1, 0.5, 3000)

# What the issue names, and the same at a smaller size in a smaller memory.
TOTALS: dict[str, tuple[Callable[[], Any], float, str]] = {
    "runs": (lambda: hd.simulate(PROBLEM, SGD, 5.0, 10**9), 64e9, "runs: expected what fits .*1e\\+09 runs at 201"),
    "one time": (lambda: hd.simulate(PROBLEM, SGD, 5.0, 10**9, times=[5.0]), 30e9, "runs: expected what fits into"),
    "verify": (lambda: hd.verify(PROBLEM, SGD, 5.0, runs=10**9), 64e9, "runs: expected what fits into"),
    "paths": (lambda: hd.sample_sde(PROBLEM, SGD, 5.0, 10**9), 64e9, "paths: expected what fits into .*1e\\+09 paths"),
    "sweep": (lambda: hd.sweep(PROBLEM, SGD, 5.0, lr=LINE), 10e6, "axes: expected what fits .*3e\\+03 points"),
    "columns": (lambda: hd.sweep(PROBLEM, CLIP, 5.0, final=True, threshold=LINE), 10e6, "axes: expected what fits"),
    "landscape": (
        lambda: hd.tuning.landscape(PROBLEM, 5.0, LINE, LINE), 1e9, "threshold: expected what fits .*9e\\+06 points"
    ),
    "times": (lambda: hd.predict(PROBLEM, SGD, 5.0, np.linspace(0, 5, 10**6)), 50e6, "times: expected .*1e\\+06 times"),
}  # fmt: skip


@pytest.mark.parametrize("total", TOTALS)
def test_what_does_not_fit_into_memory_is_refused(total: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is computed; with ten times the memory it is not refused."""
    call, memory, message = TOTALS[total]
    monkeypatch.setattr(timegrid, "_free_memory", lambda: memory)
    monkeypatch.setattr(timegrid, "SMALL_SIZE", 0.0)
    for module in ("prediction.grid", "simulation.simulate", "finite_size.sde"):
        monkeypatch.setattr(import_module(f"hdlimit.{module}"), "collect", lambda *_: pytest.fail("was computed"))
    with pytest.raises(InvalidInput, match=message):
        call()


def test_what_fits_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timegrid, "_free_memory", lambda: 10e6)
    monkeypatch.setattr(timegrid, "SMALL_SIZE", 0.0)
    assert hd.simulate(PROBLEM, SGD, 0.1, 4).runs == 4 and hd.sample_sde(PROBLEM, SGD, 0.1, 4).runs == 4
    assert hd.predict(PROBLEM, SGD, 1.0).risk.size == 201


def test_what_is_small_does_not_ask_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking took a third of the time of a prediction."""
    monkeypatch.setattr(timegrid, "_free_memory", lambda: pytest.fail("was asked"))
    assert hd.predict(PROBLEM, SGD, 1.0).risk.size == 201


def test_the_memory_that_is_free_is_a_number_of_this_machine() -> None:
    assert 1e6 < timegrid._free_memory() < 1e15


# ---- announced


@pytest.mark.parametrize(
    ("seconds", "workers", "sentence"),
    [
        (59.0, 1, None),
        (240.0, 8, None),
        (61.0, 1, "hdlimit: this takes about 1 minutes on 1 core"),
        (1500.0, 2, "hdlimit: this takes about 12 minutes on 2 cores"),
        (9000.0, 1, "hdlimit: this takes about 2.5 hours on 1 core"),
        (86400.0 * 30, 3, "hdlimit: this takes about 10 days on 3 cores"),
        (365 * 86400.0 * 4, 2, "hdlimit: this takes about 2 years on 2 cores"),
    ],
)
def test_the_announcement(seconds: float, workers: int, sentence: str | None, caplog: Any) -> None:
    timegrid.announce(seconds, workers)
    assert caplog.messages == ([] if sentence is None else [sentence])


def test_work_of_more_than_a_minute_is_announced_before_it_starts(caplog: Any) -> None:
    """On the workers that the executor says it has, and only for the runs that are missing."""
    said: list[int] = []

    def watched(runs: Any) -> Any:
        said.append(len(caplog.messages))
        return squares(runs)

    with ThreadPoolExecutor(2) as threads, Processes(4) as processes:
        collect(watched, 4, 100.0, threads, False)
        collect(squares, 8, 100.0, processes, False)
        collect(squares, 4, 0.1, threads, False)
    assert caplog.messages == [f"hdlimit: this takes about 3.3 minutes on {workers} cores" for workers in (2, 4)]
    assert said and min(said) == 1


def test_a_large_landscape_is_announced(caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(Exception):
        pass

    def computes(*_: Any) -> None:
        raise Enough

    monkeypatch.setattr(timegrid, "_free_memory", lambda: 64e9)
    monkeypatch.setattr(parallel._Study, "_round", computes)
    with pytest.raises(Enough):
        hd.tuning.landscape(PROBLEM, 5.0, LINE, LINE)
    assert len(caplog.messages) == 1 and "this takes about" in caplog.messages[0]


def test_it_can_be_switched_off(caplog: Any) -> None:
    logger = logging.getLogger("hdlimit")
    logger.setLevel("ERROR")
    try:
        timegrid.announce(1e9, 1)
    finally:
        logger.setLevel("NOTSET")
    assert caplog.messages == []


# ---- progress bars


class Terminal(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "progress", "shown"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_a_progress_bar_appears_by_default_on_a_terminal(
    terminal: bool, progress: bool | None, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal(terminal))
    hd.simulate(PROBLEM, SGD, 0.1, 3, progress=progress)
    assert ("3/3" in sys.stderr.getvalue()) == shown  # type: ignore[attr-defined]


def test_short_work_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal(True))
    collect(squares, 2, 0.1, ThreadPoolExecutor(1), None)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
