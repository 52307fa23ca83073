"""The time grid that predict and simulate share: t = k/d."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput

# The longest horizon: beyond it t = k/d loses single steps at d = 1000.
LONGEST_HORIZON = 1e12
# Seconds that one run of a simulation may take.
DAY = 86400.0


def check_horizon(horizon: Any, dimension: int) -> float:
    """A horizon of at least one step, at most 1e12."""
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

    argument, value: what the time is proportional to; work: what has to be done, in words; seconds: its estimate.
    """
    if seconds > DAY:
        expected = f"at most {value * DAY / seconds:.1g}, about a day's work of one core (predict has no such bound)"
        raise InvalidInput(argument, expected, f"{value:g}: {work}, about {seconds / 3600:.2g} hours")


def steps_at(time: float, dimension: int) -> int:
    """Number of steps taken at a time: floor(t d), forgiving rounding errors of t d."""
    return math.floor(time * dimension * (1 + 1e-12) + 1e-9)


@lru_cache(maxsize=64)
def default_times(horizon: float, dimension: int) -> FloatArray:
    """0 and 200 geometric points from 1/d to the horizon, shape (201,)."""
    times = np.concatenate([[0.0], np.geomspace(1 / dimension, max(horizon, 1 / dimension), 200)])
    times[-1] = horizon
    times = np.maximum.accumulate(np.minimum(times, horizon))
    times.setflags(write=False)
    return times
