"""Independent runs on threads, processes or other machines: what is computed never depends on where.

A batch of runs is one task, long enough that handing it out costs nothing beside it.
"""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np

from hdlimit.errors import InvalidInput

Arrays = tuple[np.ndarray[Any, Any], ...]
Work = Callable[[range], Arrays]

_TASK_SECONDS = 0.5
_TASKS_A_THREAD = 16


def collect(work: Work, runs: int, seconds: float, executor: Executor | None, progress: bool) -> Arrays:
    """The results of runs 0, ..., runs - 1, joined along the first axis in the order of the runs.

    work: (range of runs) -> arrays with one row a run, picklable for process pools; seconds: estimated cost of a run;
    executor: a concurrent.futures.Executor, None for one thread a core; progress: show a progress bar over the runs.
    """
    if executor is None:
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as threads:
            return _gather(work, _batches(runs, math.ceil(runs / (_TASKS_A_THREAD * workers))), threads, progress)
    if isinstance(executor, ProcessPoolExecutor):
        _check_pickles(work)
    return _gather(work, _batches(runs, math.ceil(_TASK_SECONDS / seconds)), executor, progress)


def _check_pickles(work: Work) -> None:
    try:
        pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        expected = "threads, or schedules and noise that another process can read (functions of a module, no lambda)"
        raise InvalidInput("executor", expected, f"a process pool and {error}") from None


def _batches(runs: int, size: int) -> list[range]:
    return [range(first, min(first + size, runs)) for first in range(0, runs, size)]


def _gather(work: Work, batches: list[range], executor: Executor, progress: bool) -> Arrays:
    results: dict[int, Arrays] = {}
    futures = {executor.submit(work, batch): batch for batch in batches}
    try:
        for future, batch in _completed(futures, batches[-1].stop, progress):
            results[batch.start] = future.result()
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    ordered = [results[batch.start] for batch in batches]
    return tuple(np.concatenate(parts) for parts in zip(*ordered))


def _completed(futures: dict[Future[Any], range], runs: int, progress: bool) -> Iterator[tuple[Future[Any], range]]:
    if not progress:
        yield from ((future, futures[future]) for future in as_completed(futures))
        return
    from tqdm import tqdm

    with tqdm(total=runs, unit="run") as bar:
        for future in as_completed(futures):
            yield future, futures[future]
            bar.update(len(futures[future]))
