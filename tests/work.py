"""Work for processes of their own: a module that a new process loads fast."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

import numpy as np

Runs = Sequence[int]
Arrays = tuple[np.ndarray, ...]


class Failure(Exception):
    """Of the work itself."""


def squares(runs: Runs) -> Arrays:
    return np.array([[r, r * r] for r in runs], dtype=np.float64), np.array(runs, dtype=np.int64)


def fails(runs: Runs) -> Arrays:
    if 3 in runs:
        raise Failure(f"run {runs[0]}")
    return squares(runs)


def dies(flags: str, times: int, end: Callable[[], object], runs: Runs) -> Arrays:
    """Ends its process the first `times` times that run 2 is computed, counted by files in a folder."""
    if 2 in runs:
        for k in range(times):
            try:
                os.close(os.open(os.path.join(flags, str(k)), os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            end()
    return squares(runs)


def naps(runs: Runs) -> Arrays:
    time.sleep(0.1)
    return squares(runs)


def leave() -> None:
    os._exit(1)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
