"""The real algorithm at finite d, run many times. No theory: declarations, samplers and updates only.

    delta <- delta - (eta(t)/d) update(g),   g = (1/B) sum_j r_j x_j,   r_j = <x_j, delta> - eps_j,   t = k/d

with delta = theta - theta* and B fresh samples a step, or a chain of the same law (method="blocks"). Recorded are the
excess risk R = delta^T K delta / 2 and, on request, norm(delta)^2, norm(K delta) and the share of clipped steps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.backend import require_numba
from hdlimit.core.declaration import IntArray, known_names
from hdlimit.core.observable import Observable
from hdlimit.core.seeds import Seed, as_int, seed_sequence
from hdlimit.core.timegrid import check_duration, check_horizon, check_memory, default_times, steps_at
from hdlimit.core.version import __version__
from hdlimit.errors import DivergenceWarning, InvalidInput, Outcome, Status, UnitsWarning, shown, warn
from hdlimit.execution.checkpoint import Checkpoint
from hdlimit.execution.parallel import collect
from hdlimit.optimizers.base import Optimizer, check_types, over_steps
from hdlimit.problem.least_squares import DIVERGED, LeastSquares
from hdlimit.simulation import samplers, updates
from hdlimit.simulation.eigenspaces import block_chain
from hdlimit.simulation.ensemble import RECORDABLE, Ensemble
from hdlimit.simulation.runs import Chain, Task, direct_chain, excess_risk, readable, simulate_runs

METHODS = ("direct", "blocks")


@known_names
def simulate(
    problem: LeastSquares,
    optimizer: Optimizer,
    horizon: float,
    runs: int = 32,
    seed: Seed = 0,
    *,
    times: Any = None,
    rows: str | None = None,
    method: str = "direct",
    record: Iterable[str] = (),
    executor: Executor | None = None,
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    first: int = 0,
) -> Ensemble:
    """Run the optimizer on fresh samples of the problem, several times, and record the excess risk.

    Each run takes floor(horizon * d) steps of batch_size fresh samples from the problem's start. Run k depends on the
    seed and on k alone, bit for bit: not on the number of runs, of workers, or on the executor.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        The optimizer; its schedules are read at t = k/d, k the steps already taken.
    horizon : float
        The last time, in units of t = k/d, at least one step; refused where one run would take more than a day.
    runs : int
        Number of independent runs, at least 1.
    seed : int, SeedSequence or Generator
        A SeedSequence is not changed; from a Generator one SeedSequence is spawned.
    times : array_like, shape (T,), optional
        When to record, non-decreasing in [0, horizon], taken down to whole steps; by default 0 and 200 geometric points
        from 1/d to the horizon, taken to the nearest step.
    rows : {"data", "gaussian"}, optional
        Sample the problem's own rows with replacement, or Gaussian x with the problem's K and noise from its law; by
        default the rows, where the problem has some.
    method : {"direct", "blocks"}
        The algorithm itself, O(d) a sample; or the same law of everything recorded from one number a distinct
        eigenvalue of K, O(their number) a sample, for Gaussian x and any optimizer without sign features. Its runs are
        others than those of "direct" with the same seed.
    record : iterable of str
        What to record beside the risk, any of "distance" (norm(delta)^2), "gradient_norm" (norm(K delta), of the
        population gradient) and "clipped_fraction" (share of the steps since the recorded time before, or since the
        start, whose gradient was clipped; 0 at time 0; only where the optimizer clips).
    executor : concurrent.futures.Executor, optional
        By default threads, one a core.
    progress : bool, optional
        Show a progress bar over the runs; by default on a terminal, for work of more than a second.
    checkpoint : str or path-like, optional
        A file in which finished runs are stored as they finish, and from which they are taken when the same study is
        asked for again, with the same or another number of runs.
    first : int
        Number of the first run: those made are first, ..., first + runs - 1 of the same seed, which continue a smaller
        ensemble. Not together with a checkpoint, which continues by itself.

    Returns
    -------
    Ensemble
        Times k/d of shape (T,), the risk and what else is recorded of shape (runs, T), and an outcome.

    Raises
    ------
    InvalidInput
        For an argument that is not as above, or a schedule with a value that is negative or not finite.
    NotAvailable
        Where numba is not installed.

    Warns
    -----
    DivergenceWarning
        If a run diverged.
    UnitsWarning
        If a schedule looks like one over step numbers.

    Notes
    -----
    With delta = theta - theta* and r_j = <x_j, delta> - eps_j a step is delta <- delta - (eta(t)/d) update(g) with
    g = (1/B) sum_j r_j x_j. A run has diverged once its risk is not finite or exceeds 1e12 times the larger of the
    initial risk and E eps^2 (the squared width of the noise where that is infinite); it stops, and what is recorded is
    inf from then on. Where the update is of bounded length (sign, a finite clip threshold, a table) only a risk that is
    not finite counts.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(std=0.5))
    >>> runs = hd.simulate(problem, hd.SGD(lr=0.5), horizon=2.0, runs=4, seed=0)
    >>> runs.risk.shape, runs.outcome.sentence
    ((4, 201), 'all 4 runs took 100 steps, up to t = 2')
    """
    _check(problem, optimizer, executor)
    require_numba("simulate")
    horizon = check_horizon(horizon, problem.dimension)
    runs = checks.count("runs", runs)
    sequence = seed_sequence(seed)
    rows = samplers.choose_rows(problem, rows)
    record = checked_record(record, optimizer)
    chain = _chain(problem, optimizer, rows, method)
    steps = steps_at(horizon, problem.dimension)
    cost = steps * chain.sampler.step_seconds
    drawn = f"{steps:.3g} steps and {steps * optimizer.batch_size * chain.sampler.width:.3g} random coordinates a run"
    check_duration("horizon", horizon, drawn, cost)
    recorded = _recorded_steps(times, horizon, problem.dimension)
    marks, place = np.unique(recorded, return_inverse=True)
    held = (1 + len(record)) * (2 * marks.size + 2 * recorded.size)
    check_memory("runs", f"{runs:.3g} runs at {recorded.size} times", runs * held * 8.0)
    task = Task(
        chain=chain,
        optimizer=optimizer,
        dimension=problem.dimension,
        steps=steps,
        marks=marks,
        record=record,
        largest_risk=_largest_risk(problem, chain),
        entropy=as_int(sequence.entropy),
        spawn_key=tuple(sequence.spawn_key),
        first=checks.integer("first", first, 0),
    )
    if first and checkpoint is not None:
        raise InvalidInput("first", "0 with a checkpoint, which continues by itself", first)
    store = None if checkpoint is None else _checkpoint(checkpoint, task, problem, rows, method)
    if told := over_steps(optimizer, horizon, problem.dimension):
        warn(UnitsWarning(told))
    values, ends = collect(partial(simulate_runs, task), runs, cost, executor, progress, store)
    outcome = _outcome(ends, task)
    if outcome.status is Status.DIVERGED:
        warn(DivergenceWarning(outcome.sentence))
    risk, *others = (values[:, k, place] for k in range(1 + len(record)))
    return Ensemble(
        problem=problem,
        optimizer=optimizer,
        horizon=horizon,
        time=recorded / problem.dimension,
        risk=risk,
        entropy=task.entropy,
        spawn_key=task.spawn_key,
        rows=rows,
        outcome=outcome,
        version=__version__,
        method=method,
        recorded=tuple(map(Observable, record, others)),
    )


def _check(problem: Any, optimizer: Any, executor: Any) -> None:
    check_types(problem, optimizer)
    updates.update_of(optimizer)
    if math.isinf(excess_risk(readable(problem), problem.initial_error)):
        raise InvalidInput("problem", "a start and a target with a finite initial risk", "a risk that overflows")
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidInput("executor", "a concurrent.futures.Executor or None", shown(executor))


def checked_record(record: Any, optimizer: Optimizer) -> tuple[str, ...]:
    """Return the names of what is recorded beside the risk, each once; raises InvalidInput for others."""
    if not isinstance(record, Iterable):
        raise InvalidInput("record", "names out of " + ", ".join(map(repr, RECORDABLE)), shown(record))
    given = (record,) if isinstance(record, str) else record
    try:
        listed = list(given)
    except Exception as error:  # of a stranger's __iter__
        raise InvalidInput("record", "names out of " + ", ".join(map(repr, RECORDABLE)), shown(record)) from error
    names = tuple(dict.fromkeys(checks.one_of("record", name, RECORDABLE) for name in listed))
    if "clipped_fraction" in names and not updates.update_of(optimizer).clips:
        raise InvalidInput("record", "'clipped_fraction' for an optimizer that clips only", f"it for {optimizer!r}")
    return names


def _chain(problem: LeastSquares, optimizer: Optimizer, rows: str, method: str) -> Chain:
    rotates = updates.update_of(optimizer).rotates
    if checks.one_of("method", method, METHODS) == "direct":
        return direct_chain(problem, optimizer.batch_size, rows, rotates)
    if not rotates:
        expected = "'direct' for sign features, as their law depends on the coordinates and not on eigenspaces alone"
        raise InvalidInput("method", expected, f"'blocks' for {optimizer!r}")
    if optimizer.memory is not None:
        expected = "'direct' with momentum, as buffers add angles to the norms that the reduced chain keeps"
        raise InvalidInput("method", expected, f"'blocks' for {optimizer!r}")
    if rows == "data":
        expected = "'direct' for actual rows, as the reduced chain needs Gaussian x (rows='gaussian' has it)"
        raise InvalidInput("method", expected, "'blocks'")
    return block_chain(problem, optimizer.batch_size)


def _checkpoint(path: Any, task: Task, problem: LeastSquares, rows: str, method: str) -> Checkpoint:
    shared = ("optimizer", "steps", "marks", "record", "entropy", "spawn_key")
    study = {"problem": problem, "rows": rows, "method": method} | {name: getattr(task, name) for name in shared}
    computed = (task.chain.start, task.chain.covariance, getattr(task.chain.sampler, "factor", np.empty(0)))
    return Checkpoint(path, study | {"linear_algebra": np.concatenate([array.ravel() for array in computed])})


def _largest_risk(problem: LeastSquares, chain: Chain) -> float:
    return DIVERGED * max(chain.risk(chain.start), problem.noise.scale_squared, 1e-300)


def _recorded_steps(times: Any, horizon: float, dimension: int) -> IntArray:
    if times is None:
        nearest = np.rint(default_times(horizon, dimension) * dimension).astype(np.int64)
        return np.minimum(nearest, steps_at(horizon, dimension))
    return np.array([steps_at(t, dimension) for t in checks.times("times", times, horizon)], dtype=np.int64)


def _outcome(ends: IntArray, task: Task) -> Outcome:
    runs, d = ends.size, task.dimension
    diverged = ends[ends >= 0]
    if diverged.size:
        sentence = f"{diverged.size} of {runs} runs diverged, the first at t = {diverged.min() / d:g}"
        return Outcome(Status.DIVERGED, sentence)
    return Outcome(Status.FINISHED, f"all {runs} runs took {task.steps} steps, up to t = {task.steps / d:g}")
