"""The time grid that predict and simulate share: t = k/d."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput

# Longest horizon, in units of t = k/d: t d stays exact in float64 up to d = 9000. Chosen, not measured.
LONGEST_HORIZON = 1e12
# Seconds of work of one core above which a call is refused before it starts: a day.
DAY = 86400.0


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
