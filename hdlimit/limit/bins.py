"""Fewer modes with about the same risk curve, for searches that integrate hundreds of times.

The curve depends on two measures on the rates: lambda_i m_i(0) and lambda_i c_i/d. Each gets two Gauss nodes a bin
(hdlimit.problem.spectral_measure); the error of R falls like the fourth power of the bins' width.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.limit.modes import ModeSystem
from hdlimit.problem import spectral_measure

BINS = 64
POINTS = 2


def binned(modes: ModeSystem, bins: int = BINS) -> ModeSystem:
    """A mode system of at most 2 bins modes with v as its only functional; modes of rate 0 do not enter v and go.

    Small systems are returned with their own rates.
    """
    moving = modes.rate > 0
    rate = modes.rate[moving]
    start, forcing = rate * modes.start[moving], rate * modes.diffusion[moving]
    if rate.size <= 2 * bins:
        return _system(rate, start, forcing)
    ends = 2 * spectral_measure.ENDS + 1
    width = math.log1p(spectral_measure.GRADING * (rate[-1] / rate[0] - 1)) / (bins / POINTS - ends)
    edges = spectral_measure.value_edges(rate, width)
    started, forced = (spectral_measure.of_values(rate, mass, edges, POINTS)[0] for mass in (start, forcing))
    return _system(
        np.concatenate([started.value, forced.value]),
        np.concatenate([started.mass, np.zeros(forced.value.size)]),
        np.concatenate([np.zeros(started.value.size), forced.mass]),
    )


def _system(rate: FloatArray, start: FloatArray, forcing: FloatArray) -> ModeSystem:
    """Modes with v-weight 1: m is replaced by lambda m, which obeys the same equation with forcing lambda c/d."""
    return ModeSystem(rate, forcing, start, np.ones((1, rate.size)))
