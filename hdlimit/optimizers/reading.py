"""What is read of a schedule that does not say where it bends."""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.optimizers.schedules import Constant, Schedule

# Times at which a schedule is read that does not say where it bends: a call of a Python function takes 0.1 to 1
# microsecond, against the horizon of which every step is read. Chosen.
MOST_READ = 2**17
# Share of them in geometric progression where there are more steps, for what happens early.
EARLY = 0.25


def reading(horizon: float, step: float) -> FloatArray:
    """Return the times at which a schedule is read that does not say where it bends.

    Parameters
    ----------
    horizon : float
        Up to which it is read, in units of t = k/d.
    step : float
        1/d; 0 for steps without end.

    Returns
    -------
    ndarray
        Every step, or MOST_READ times, three quarters of them in equal and one in geometric distances.
    """
    if horizon <= MOST_READ * step:
        return np.append(np.arange(math.floor(horizon / step * (1 + 1e-12)) + 1) * step, horizon)
    early = int(EARLY * MOST_READ)
    return np.union1d(
        np.linspace(0.0, horizon, MOST_READ - early), np.geomspace(max(step, 1e-9 * horizon), horizon, early)
    )


def unread(schedule: Schedule, horizon: float, step: float) -> float:
    """Return the length of a feature of a schedule that `reading` may miss, beyond a step of the optimizer."""
    missed = not schedule.smooth and horizon > MOST_READ * step
    return 2 * horizon / ((1 - EARLY) * MOST_READ) if missed else 0.0


def largest_lr(schedule: Schedule, horizon: float, step: float) -> float:
    """Return the largest value of a step-size schedule up to a horizon; step is 1/d."""
    if isinstance(schedule, Constant):
        return schedule.value
    if not schedule.explicit:
        return float(schedule(reading(horizon, step)).max())
    times = np.concatenate([[0.0], schedule.knots, np.nextafter(schedule.knots, 0.0), [horizon]])
    return float(schedule(times[times <= horizon]).max())
