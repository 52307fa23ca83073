"""Ctrl-C, and errors that end a study: nothing of it goes on, at whatever moment."""

from __future__ import annotations

import time
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.core.backend import Stopped, check_stop, flagged, stop_flag, symmetric_eigen, symmetric_eigenvalues
from hdlimit.execution.parallel import collect
from hdlimit.simulation.kernels import eigenspaces, steps

# ---- in threads


@pytest.mark.parametrize("own", [True, False])
def test_threads_see_that_a_study_has_ended(own: bool) -> None:
    """One run is interrupted; the others, which would last for 20 s, end before `collect` does."""
    ended = []

    def work(runs: Any) -> Any:
        if 0 in runs:
            raise KeyboardInterrupt
        limit = time.monotonic() + 20
        try:
            while time.monotonic() < limit:
                check_stop()
                time.sleep(0.001)
        except Stopped:
            ended.append(runs)
            raise
        return (np.array(runs),)

    executor: Executor | None = None if own else ThreadPoolExecutor(2)
    with pytest.raises(KeyboardInterrupt):
        collect(work, 2, 1.0, executor, False)
    assert len(ended) <= 1 and not stop_flag()[0]
    if executor is not None:
        assert executor.submit(int, 3).result() == 3


PROBLEMS = {
    "diagonal": (hd.Problem(hd.Isotropic(30), hd.Gaussian(0.5)), "direct"),
    "full": (hd.Problem(hd.Wishart(30, 0.5), hd.Gaussian(0.5)), "direct"),
    "rows": (hd.Problem.from_data(np.sin(np.arange(600.0).reshape(60, 10) ** 2), np.arange(60) % 7), "direct"),
    "blocks": (hd.Problem(hd.Isotropic(30), hd.Gaussian(0.5)), "blocks"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_run_looks_at_the_flag_once_a_block_of_steps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is raised by the first risk that is read: no further block of steps is taken."""
    problem, method = PROBLEMS[kind]
    flag, taken = np.zeros(1, dtype=np.int64), []
    runs = import_module("hdlimit.simulation.runs")

    def raised(task: Any, run: int) -> Any:
        def watched(*state: Any) -> float:
            flag[0] = 1
            taken.append(state)
            return 1.0

        monkeypatch.setattr(type(task.chain), "risk", watched)
        return original(task, run)

    original = runs._run
    monkeypatch.setattr(runs, "_run", lambda task, run: flagged(flag, lambda _: raised(task, run), None))
    with pytest.raises(Stopped):
        hd.simulate(problem, hd.SGD(0.1), 2000.0, 1, method=method, times=[2000.0])
    assert len(taken) == 1


def test_kernels_end_within_a_step_of_many_samples() -> None:
    """Each of the kernels that take steps, on a batch: told to stop it says so, and not told it does not."""
    rng = np.random.Generator(np.random.SFC64(1))
    d, batch = 3, 5
    for told in (0, 1):
        stop = np.array([told])
        none = np.empty(0)
        given = steps.Steps(np.zeros(batch), np.full(1, 0.1), np.full(1, 1.0), steps.GRADIENT, none, stop, none)
        state, deviation, room = np.ones(d), np.ones(d), np.empty((5, d))
        x, rows = rng.normal(size=(batch, d)), np.arange(batch)
        assert steps.advance_rows(state.copy(), x, rows, room[0], *given) == -told
        assert steps.advance_diagonal(state.copy(), rng, deviation, room[0], room[1], *given) == -told
        assert eigenspaces.advance_blocks(state.copy(), rng, deviation, np.zeros(d), room, *given[:-1]) == -told


def test_a_point_of_a_sweep_looks_too() -> None:
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    grid = import_module("hdlimit.prediction.grid")
    points = import_module("hdlimit.prediction.points").Points(problem, hd.SGD(0.1), {"lr": np.array([0.1, 0.2])})
    work = grid.Grid([column for column, _ in points.columns(True)], 1.0, np.array([1.0]), 1e-6)
    assert flagged(np.zeros(1, dtype=np.int64), work, [0, 1])[0].shape == (2, 1)
    with pytest.raises(Stopped):
        flagged(np.ones(1, dtype=np.int64), lambda runs: work(runs), [0, 1])


# ---- what is computed aside


@pytest.mark.parametrize("size", [4, 520])
def test_eigenvalues_are_those_of_scipy(size: int) -> None:
    from scipy.linalg import eigh

    half = np.random.default_rng(0).normal(size=(size, size))
    matrix = half @ half.T
    values, vectors = symmetric_eigen(matrix)
    scale = values[-1]
    assert np.abs(values - eigh(matrix, eigvals_only=True)).max() < 1e-12 * scale
    assert np.abs(values - symmetric_eigenvalues(matrix)).max() < 1e-12 * scale
    assert np.abs(vectors * values @ vectors.T - matrix).max() < 1e-12 * scale
    with pytest.raises(np.linalg.LinAlgError):
        symmetric_eigen(np.ones((size, size - 1)))
