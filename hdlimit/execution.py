"""Independent runs on threads, processes or other machines: what is computed never depends on where.

A batch of runs is one task, long enough that handing it out costs nothing beside it. A task whose worker died is handed
out again.
"""

from __future__ import annotations

import math
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.errors import InvalidInput, WorkersLost

if TYPE_CHECKING:
    from hdlimit.checkpoint import Checkpoint, Store

Arrays = tuple[np.ndarray[Any, Any], ...]
Runs = Sequence[int]
Work = Callable[[Runs], Arrays]

_TASK_SECONDS = 0.5
_TASKS_A_THREAD = 16
_ROUNDS = 3


def collect(
    work: Work,
    runs: int,
    seconds: float,
    executor: Executor | None,
    progress: bool,
    checkpoint: Checkpoint | None = None,
) -> Arrays:
    """The results of runs 0, ..., runs - 1, joined along the first axis in the order of the runs.

    work: (run numbers) -> arrays with one row a run, picklable for process pools; seconds: estimated cost of a run;
    executor: a concurrent.futures.Executor, None for one thread a core; progress: show a progress bar over the runs;
    checkpoint: where finished runs are kept and taken from. Raises InvalidInput for an executor that takes no work or
    cannot be handed this one, and for a checkpoint that cannot be used; WorkersLost when workers die again and again;
    what `work` raises, as it is.
    """
    with nullcontext() if checkpoint is None else checkpoint.opened() as store:
        if executor is None:
            workers = os.cpu_count() or 1
            with ThreadPoolExecutor(workers) as threads:
                return _Study(work, runs, threads, store).run(_TASKS_A_THREAD * workers, progress)
        return _Study(work, runs, executor, store).run(math.floor(runs * seconds / _TASK_SECONDS), progress)


class _Study:
    """The runs of a study that are there, and the work to be done on the others."""

    def __init__(self, work: Work, runs: int, executor: Executor, store: Store | None) -> None:
        self.work, self.runs, self.executor, self.store = work, runs, executor, store
        self.parts = [] if store is None else list(store.parts)
        self.accepted = False
        stored = {run for numbers, _ in self.parts for run in numbers}
        self.missing = [run for run in range(runs) if run not in stored]

    def run(self, tasks: int, progress: bool) -> Arrays:
        """All results; tasks: into how many a study with no run stored would be cut."""
        todo = batches(self.missing, max(1, math.ceil(min(tasks, self.runs) * len(self.missing) / self.runs)))
        rounds = 0
        with _bar(self.runs, self.runs - len(self.missing), progress) as advance:
            while todo:
                left, reason = self._round(todo, advance)
                rounds = rounds + 1 if len(left) == len(todo) else 0
                if rounds == _ROUNDS:
                    raise self._lost(f"{_ROUNDS} times in a row ({reason})")
                todo = left
        return self._joined()

    def _round(self, todo: list[Runs], advance: Callable[[int], object]) -> tuple[list[Runs], str]:
        """Hand out batches once and keep what comes back; returns those whose worker died, and how it is called."""
        futures, refusal = self._submitted(todo)
        left, reason = todo[len(futures) :], ""
        try:
            for future in as_completed(futures):
                try:
                    arrays = future.result()
                except _deaths() as error:
                    left.append(futures[future])
                    reason = _described(error)
                else:
                    self._keep(futures[future], arrays)
                    advance(len(futures[future]))
        except BaseException as error:
            for future in futures:
                future.cancel()
            self._check_pickles(error)
            raise
        if refusal is not None:
            raise self._lost(f"and the executor takes no more work ({refusal})") from refusal
        return left, reason

    def _submitted(self, todo: list[Runs]) -> tuple[dict[Future[Arrays], Runs], RuntimeError | None]:
        futures: dict[Future[Arrays], Runs] = {}
        for batch in todo:
            try:
                futures[self.executor.submit(self.work, batch)] = batch
                self.accepted = True
            except RuntimeError as error:
                if not self.accepted:
                    raise InvalidInput("executor", "one that takes work", _described(error)) from error
                return futures, error
        return futures, None

    def _keep(self, runs: Runs, arrays: Arrays) -> None:
        if self.store is not None:
            self.store.add(runs, arrays)
        self.parts.append((runs, arrays))

    def _joined(self) -> Arrays:
        order = np.argsort([run for numbers, _ in self.parts for run in numbers])[: self.runs]
        return tuple(np.concatenate(rows)[order] for rows in zip(*(arrays for _, arrays in self.parts)))

    def _lost(self, what: str) -> WorkersLost:
        there = sum(run < self.runs for numbers, _ in self.parts for run in numbers)
        fate = "kept in the checkpoint" if self.store is not None else "lost (checkpoint=PATH would keep them)"
        return WorkersLost(f"executor: workers died {what}; {there} of {self.runs} runs had finished and are {fate}")

    def _check_pickles(self, error: BaseException) -> None:
        """Raise InvalidInput if the error is that the work cannot be sent to another process."""
        if not isinstance(error, pickle.PicklingError | AttributeError | TypeError):
            return
        try:
            pickle.dumps(self.work)
        except type(error) as again:
            if str(again) == str(error):
                expected = "threads, or schedules and noise that can be sent (functions of a module, no lambda)"
                raise InvalidInput("executor", expected, f"a process pool and {error}") from None


def batches(runs: Runs, count: int) -> list[Runs]:
    """The runs, in order, cut into `count` batches whose lengths differ by at most one."""
    ends = [len(runs) * k // count for k in range(count + 1)]
    return [runs[first:last] for first, last in zip(ends, ends[1:]) if first < last]


def _deaths() -> tuple[type[BaseException], ...]:
    """What a future raises when its worker died, not its work."""
    distributed = sys.modules.get("distributed")
    return BrokenExecutor, CancelledError, *(() if distributed is None else (distributed.KilledWorker,))


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


@contextmanager
def _bar(runs: int, done: int, shown: bool) -> Iterator[Callable[[int], object]]:
    """What to call with the number of runs that finished."""
    if not shown:
        yield lambda finished: None
        return
    from tqdm import tqdm

    with tqdm(total=runs, initial=done, unit="run") as bar:
        yield bar.update
