"""Independent runs on threads, processes or other machines: what is computed never depends on where.

A batch of runs is one task, long enough that handing it out costs nothing beside it. A task whose worker died is handed
out again.
"""

from __future__ import annotations

import math
import os
import pickle
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.backend import flagged, flagged_by_name, raise_flag, tell
from hdlimit.core.timegrid import announce
from hdlimit.errors import InvalidInput, WorkersLost
from hdlimit.execution.checkpoint import Checkpoint, Store

Arrays = tuple[np.ndarray[Any, Any], ...]
Runs = Sequence[int]
Work = Callable[[Runs], Arrays]

# Work of a task for another process: shorter ones spend their time on being sent. Chosen, not measured.
_TASK_SECONDS = 0.5
# Tasks a thread: more keep threads busy to the end, fewer cost less to begin. Chosen, not measured.
_TASKS_A_THREAD = 16
# Times in a row that work is sent again after its workers died, before it is given up; chosen.
_ROUNDS = 3
# Seconds before work is sent again, for workers to come back.
_PAUSE = 0.5
# Seconds between two looks at whether workers and the checkpoint are still there.
_WATCH = 1.0
# Seconds without a Dask worker after which a sentence says so, and after which the study ends.
_SENTENCE, _PATIENCE = 5.0, 25.0
# Seconds after which a progress bar appears on a terminal: shorter work needs none.
_DELAY = 1.0
# Seconds in which the threads of a study that ends early may see its flag: they look once a block of steps.
_GRACE = 1.0


def collect(
    work: Work,
    runs: int,
    seconds: float,
    executor: Executor | None,
    progress: bool | None,
    checkpoint: Checkpoint | None = None,
) -> Arrays:
    """Compute runs 0, ..., runs - 1 and join the results along the first axis in the order of the runs.

    Parameters
    ----------
    work : callable
        Takes run numbers and returns arrays with one row a run; picklable for process pools. What it raises is raised.
    runs : int
        Number of runs.
    seconds : float
        Estimated cost of a run.
    executor : concurrent.futures.Executor or None
        Where runs are computed; None for one thread a core.
    progress : bool or None
        Show a progress bar over the runs; None: on a terminal, after a second.
    checkpoint : Checkpoint, optional
        Where finished runs are kept and taken from.

    Returns
    -------
    tuple of ndarray
        The arrays of `work`, with one row a run.

    Raises
    ------
    InvalidInput
        For an executor that takes no work or cannot be sent this one, and for a checkpoint that cannot be used.
    WorkersLost
        When workers die several times in a row.
    """
    if progress is not None:
        checks.flag("progress", progress)
    with nullcontext() if checkpoint is None else checkpoint.opened() as store:
        own = ThreadPoolExecutor(os.cpu_count() or 1) if executor is None else None
        try:
            return _Study(work, runs, own or executor, store).run(seconds, progress)
        finally:
            if own is not None:
                own.shutdown(wait=False, cancel_futures=True)


class _Study:
    """The runs of a study that are there, and the work to be done on the others."""

    def __init__(self, work: Work, runs: int, executor: Any, store: Store | None) -> None:
        self.work, self.runs, self.executor, self.store = work, runs, executor, store
        self._client: Any = getattr(executor, "_client", None)
        self.flag, self.name = np.zeros(1, dtype=np.int64), secrets.token_hex(8)
        self.sent = work
        if isinstance(executor, ThreadPoolExecutor):
            self.sent = partial(flagged, self.flag, work)
        elif self._client is not None:
            self.sent = partial(flagged_by_name, self.name, work)
        self.parts = [] if store is None else list(store.parts)
        self.done = {run for numbers, _ in self.parts for run in numbers}
        self.advance: Callable[[int], object] = _nothing
        self.death: BaseException | None = None
        self.accepted = self.told = False

    def run(self, seconds: float, progress: bool | None) -> Arrays:
        """All results; seconds: a run takes about so long."""
        missing = [run for run in range(self.runs) if run not in self.done]
        workers = self._workers()
        announce(len(missing) * seconds, workers)
        in_threads = isinstance(self.executor, ThreadPoolExecutor)
        tasks = _TASKS_A_THREAD * workers if in_threads else math.floor(self.runs * seconds / _TASK_SECONDS)
        todo = batches(missing, max(1, math.ceil(min(tasks, self.runs) * len(missing) / self.runs)))
        rounds = 0
        with _bar(self.runs, self.runs - len(missing), progress) as self.advance:
            while todo:
                self._round(todo)
                left = [batch for batch in todo if batch[0] not in self.done]
                rounds = rounds + 1 if len(left) == len(todo) else 0
                if rounds == _ROUNDS:
                    raise self._lost(f"{_ROUNDS} times in a row")
                if todo := left:
                    time.sleep(_PAUSE)
        return self._joined()

    def _workers(self) -> int:
        """Return how many workers the executor has, where it says so, else 1."""
        found = getattr(self.executor, "_max_workers", None)
        if self._client is not None and self._client.status == "running":
            found = sum(self._client.nthreads().values())
        return max(1, found) if isinstance(found, int) else 1

    def _round(self, todo: list[Runs]) -> None:
        """Hand out batches once, and keep what comes back."""
        waiting: dict[Future[Arrays], Runs] = {}
        refusal = None
        try:
            for batch in todo:
                try:
                    future = self.executor.submit(self.sent, batch)
                except Exception as error:
                    refusal = self._refusal(error)
                    break
                self.accepted = True
                if future.done():
                    self._take(future, batch)
                else:
                    waiting[future] = batch
            for future in self._finished(waiting):
                self._take(future, waiting[future])
        except BaseException as error:
            self._abandon(waiting)
            self._check_pickles(error)
            raise
        if refusal is not None:
            self.death = refusal
            raise self._lost("and the executor takes no more work") from refusal

    def _abandon(self, waiting: Iterable[Future[Arrays]]) -> None:
        """Let nothing of the study go on: what waits is cancelled, threads see the flag, processes are ended."""
        self.flag[0] = 1
        running = [future for future in waiting if not future.cancel()]
        if isinstance(self.executor, ThreadPoolExecutor):
            wait(running, _GRACE)
        elif running and self._client is not None and self._client.status == "running":
            self._client.run(raise_flag, self.name)
        elif running and hasattr(self.executor, "end_running"):
            self.executor.end_running()

    def _finished(self, waiting: Iterable[Future[Arrays]]) -> Iterator[Future[Arrays]]:
        """Futures as they finish; those of a Dask client that has closed, or has no workers, never do."""
        left, since = set(waiting), math.inf
        while left:
            try:
                for future in as_completed(left.copy(), _WATCH):
                    left.remove(future)
                    yield future
            except TimeoutError:
                if self.store is not None:
                    self.store.check()
                if self._client is None:
                    continue
                if self._client.status == "closed":
                    return
                since = self._without_workers(since)

    def _without_workers(self, since: float) -> float:
        """Return since when Dask has no workers, inf where it has some; WorkersLost where none came back for long."""
        if self._client.scheduler_info()["workers"]:
            return math.inf
        since = min(since, time.monotonic())
        lost = time.monotonic() - since
        if lost > _PATIENCE:
            raise self._lost(f"and none came back within {_PATIENCE:g} s")
        if lost > _SENTENCE and not self.told:
            tell(f"executor: no Dask worker is left; it is given {_PATIENCE - _SENTENCE:g} s to come back")
            self.told = True
        return since

    def _take(self, future: Future[Arrays], runs: Runs) -> None:
        try:
            arrays = future.result()
        except _deaths() as error:
            self.death = error
            return
        if self.store is not None:
            self.store.add(runs, arrays)
        self.parts.append((runs, arrays))
        self.done.update(runs)
        self.advance(len(runs))

    def _refusal(self, error: Exception) -> Exception:
        """Return the error of a submission if the executor raised it: shut down, broken, or without its scheduler."""
        home = type(error).__module__.partition(".")[0]
        if not (isinstance(error, RuntimeError) or type(error) is Exception or home == "distributed"):
            raise error
        if not self.accepted:
            raise InvalidInput("executor", "one that takes work", _described(error)) from error
        return error

    def _joined(self) -> Arrays:
        order = np.argsort([run for numbers, _ in self.parts for run in numbers])[: self.runs]
        return tuple(np.concatenate(rows)[order] for rows in zip(*(arrays for _, arrays in self.parts)))

    def _lost(self, what: str) -> WorkersLost:
        there = sum(run < self.runs for run in self.done)
        fate = "kept in the checkpoint" if self.store is not None else "lost (checkpoint=PATH would keep them)"
        why = "" if self.death is None else f" ({_described(self.death)})"
        finished = f"{there} of {self.runs} runs had finished and are {fate}"
        return WorkersLost(f"executor: workers died {what}{why}; {finished}")

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
    """Cut runs, in order, into batches whose lengths differ by at most one.

    Parameters
    ----------
    runs : sequence of int
        Run numbers.
    count : int
        Number of batches; empty ones are left out.

    Returns
    -------
    list
        The batches.
    """
    ends = [len(runs) * k // count for k in range(count + 1)]
    return [runs[first:last] for first, last in zip(ends, ends[1:]) if first < last]


def _deaths() -> tuple[type[BaseException], ...]:
    """Return the errors that a future raises when its worker died, not its work."""
    distributed = sys.modules.get("distributed")
    return BrokenExecutor, CancelledError, *(() if distributed is None else (distributed.KilledWorker,))


def _described(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].removesuffix(":")


def _nothing(finished: int) -> None:
    pass


@contextmanager
def _bar(runs: int, done: int, shown: bool | None) -> Iterator[Callable[[int], object]]:
    """Give what to call with the number of runs that finished."""
    delay = _DELAY if shown is None else 0.0
    if shown is None:
        shown = sys.stderr is not None and sys.stderr.isatty()
    if not shown:
        yield _nothing
        return
    from tqdm import tqdm

    with tqdm(total=runs, initial=done, unit="run", delay=delay) as bar:
        yield bar.update
