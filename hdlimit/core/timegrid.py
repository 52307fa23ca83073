"""The time grid that predict and simulate share, t = k/d, and what a call costs, told or refused before it starts."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.backend import tell
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput

# Longest horizon, in units of t = k/d: t d stays exact in float64 up to d = 9000. Chosen, not measured.
LONGEST_HORIZON = 1e12
# Bytes below which the system is not asked what is free: asking takes 0.1 ms, a third of a prediction.
SMALL_SIZE = 1e8
# Seconds of work of one core above which a call is refused before it starts: a day.
DAY = 86400.0
# Seconds after which work that has no known end shows how far it is.
PATIENCE = 1.0
# Seconds above which work is announced before it starts.
MINUTE = 60.0


def check_horizon(horizon: Any, dimension: int) -> float:
    """Return a horizon of at least one step and at most 1e12.

    Parameters
    ----------
    horizon : object
        What was given, in units of t = k/d.
    dimension : int
        d.

    Returns
    -------
    float
        The horizon.

    Raises
    ------
    InvalidInput
        If it is anything else.
    """
    expected = f"a time from 1/d = {1 / dimension:g} (one step) to {LONGEST_HORIZON:g}"
    try:
        value = checks.positive("horizon", horizon)
    except InvalidInput as error:
        raise InvalidInput("horizon", expected, error.got) from None
    if value * dimension < 1 - 1e-9 or value > LONGEST_HORIZON:
        raise InvalidInput("horizon", expected, f"{value:g}")
    return value


def check_duration(argument: str, value: float, work: str, seconds: float) -> None:
    """Refuse what would keep one core busy for more than a day, before it starts.

    Parameters
    ----------
    argument : str
        Name of the argument that the time is proportional to.
    value : float
        Its value.
    work : str
        What has to be done, in words.
    seconds : float
        Estimate of the time that it takes.

    Raises
    ------
    InvalidInput
        If `seconds` is more than a day.
    """
    if seconds > DAY:
        expected = f"at most {value * DAY / seconds:.1g}, about a day's work of one core (predict has no such bound)"
        raise InvalidInput(argument, expected, f"{value:g}: {work}, about {seconds / 3600:.2g} hours")


def announce(seconds: float, workers: int) -> None:
    """Say how long work takes, before it starts, where that is more than a minute.

    Parameters
    ----------
    seconds : float
        Estimate of the time on one core.
    workers : int
        Cores that share it.
    """
    duration = seconds / workers
    if duration > MINUTE:
        units = (("years", 365 * DAY), ("days", DAY), ("hours", 3600.0), ("minutes", 60.0))
        name, unit = next((name, unit) for name, unit in units if duration >= unit)
        tell(f"this takes about {duration / unit:.2g} {name} on {workers} core{'s' if workers > 1 else ''}")


class _Counted(threading.local):
    """What a thread counts: since when, so far, and the bar where it is shown."""

    since: float | None = None
    count = 0
    bar: Any = None


_counted = _Counted()


@contextmanager
def counting() -> Iterator[None]:
    """Show what `count_table` counts inside, on a terminal and after a second of work; an inner one joins the outer."""
    if _counted.since is not None:
        yield
        return
    _counted.since = time.perf_counter()
    try:
        yield
    finally:
        if _counted.bar is not None:
            _counted.bar.close()
        _counted.since, _counted.count, _counted.bar = None, 0, None


def count_table() -> None:
    """Count a piece of a table that has been made."""
    if _counted.since is None or sys.stderr is None or not sys.stderr.isatty():
        return
    _counted.count += 1
    if _counted.bar is not None:
        _counted.bar.update(1)
    elif time.perf_counter() - _counted.since > PATIENCE:
        from tqdm import tqdm

        _counted.bar = tqdm(initial=_counted.count, desc="tables of responses", unit="piece")


def check_memory(argument: str, work: str, size: float) -> None:
    """Refuse what does not fit into memory, before it is computed.

    Parameters
    ----------
    argument : str
        Name of the argument that the memory is proportional to.
    work : str
        What has to be held, in words.
    size : float
        Estimate of the bytes that it takes.

    Raises
    ------
    InvalidInput
        If `size` is more than what is free.
    """
    if size < SMALL_SIZE:
        return
    free = _free_memory()
    if size > free:
        raise InvalidInput(
            argument, f"what fits into {free / 1e9:.2g} GB of free memory", f"{work}: {size / 1e9:.2g} GB"
        )


def _free_memory() -> float:
    """Return the bytes that this process can still take, inf where the system does not say."""
    found = [math.inf]
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        found.append(float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    with suppress(OSError, ValueError, AttributeError):
        found.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    return min(found)


def steps_at(time: float, dimension: int) -> int:
    """Return the number of steps taken at a time: floor(t d), forgiving rounding errors of t d."""
    return math.floor(time * dimension * (1 + 1e-12) + 1e-9)


def steps_taken(time: FloatArray, dimension: int, each: int = 1) -> FloatArray:
    """Count the steps taken at several times.

    Parameters
    ----------
    time : ndarray, shape (T,)
        Times t = k/d.
    dimension : int
        d.
    each : int, default 1
        What one step counts for: the batch size counts samples.

    Returns
    -------
    ndarray, shape (T,)
        `each` times floor(t d), forgiving rounding errors of t d.
    """
    return np.array([float(each * steps_at(t, dimension)) for t in time])


@lru_cache(maxsize=64)
def default_times(horizon: float, dimension: int) -> FloatArray:
    """Return 0 and 200 geometric points from 1/d to the horizon, shape (201,), read-only."""
    times = np.concatenate([[0.0], np.geomspace(1 / dimension, max(horizon, 1 / dimension), 200)])
    times[-1] = horizon
    times = np.maximum.accumulate(np.minimum(times, horizon))
    times.setflags(write=False)
    return times
