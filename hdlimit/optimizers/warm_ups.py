"""Schedules that begin with a warm-up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.optimizers.compositions import Sequential, as_part
from hdlimit.optimizers.schedule_shapes import Cosine, Linear
from hdlimit.optimizers.schedules import Constant, Schedule

# Rounding of a sum of two shares.
ROUNDING = 1e-15


class _Root(Schedule):
    """initial + (final - initial) sqrt(t/duration) up to t = duration, then final."""

    explicit = True

    def __init__(self, initial: float, final: float, duration: float) -> None:
        self.initial, self.final, self.duration = initial, final, duration

    def _values(self, t: FloatArray) -> FloatArray:
        done = np.sqrt(np.clip(t / self.duration, 0.0, 1.0))
        return self.initial * (1 - done) + self.final * done

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return np.array([self.duration])


_DECAYS = {"linear": Linear, "cosine": Cosine, "1-sqrt": _Root}


class _Phased(Schedule):
    """Base of schedules that are made of others: `_whole`."""

    @property
    def _whole(self) -> Schedule:
        raise NotImplementedError

    def _values(self, t: FloatArray) -> FloatArray:
        return self._whole(t)

    @property
    def smooth(self) -> bool:
        """Whether the schedule is smooth between its knots."""
        return self._whole.smooth

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return self._whole.knots

    def stops(self, tolerance: float) -> FloatArray:
        """Return the times at which an integration along the schedule must stop."""
        return self._whole.stops(tolerance)


@dataclass(frozen=True, eq=False, repr=False)
class WarmUp(_Phased):
    """A straight line to the beginning of a schedule, which starts, with its own clock, when the line ends.

    Parameters
    ----------
    schedule : schedule, float or callable
        What follows.
    duration : float
        Of the line, > 0, in units of t = k/d.
    initial : float
        The value at t = 0, at least 0.

    Notes
    -----
    The schedule's own times count from the end of the warm-up, as in Hugging Face's
    get_cosine_schedule_with_warmup. `Product` multiplies a schedule by a line without moving it.

    Examples
    --------
    >>> import hdlimit as hd
    >>> lr = hd.schedules.WarmUp(hd.schedules.Linear(0.5, 0.0, duration=8.0), duration=2.0)
    >>> lr([0.0, 1.0, 2.0, 6.0, 10.0]).tolist()
    [0.0, 0.25, 0.5, 0.25, 0.0]
    """

    _times = ("schedule", "duration")
    schedule: Any
    duration: float
    initial: float = 0.0

    def __post_init__(self) -> None:
        self._set(
            schedule=as_part("schedule", self.schedule),
            duration=checks.positive("duration", self.duration),
            initial=checks.non_negative("initial", self.initial),
        )
        self._set(explicit=self._whole.explicit, degree=self._whole.degree)

    def _over(self, d: int) -> Self:
        return replace(self, schedule=self.schedule.in_steps(d), duration=self.duration / d)

    @cached_property
    def _whole(self) -> Sequential:
        line = Linear(self.initial, float(self.schedule(0.0)), self.duration)
        return Sequential((line, self.schedule), np.array([self.duration]))


@dataclass(frozen=True, eq=False, repr=False)
class WSD(_Phased):
    """Warm-up, stable, decay: a line up to a peak, the peak, and a decay at the end of the duration.

    Parameters
    ----------
    peak : float
        The value in between, at least 0.
    duration : float
        Of all three, > 0, in units of t = k/d.
    warmup_share, decay_share : float
        Shares of the duration, from 0 to 1 together.
    initial, final : float
        The values at t = 0 and from t = duration on, at least 0.
    shape : {"linear", "cosine", "1-sqrt"}
        Of the decay; `Sequential` has others.

    Examples
    --------
    >>> import hdlimit as hd
    >>> lr = hd.schedules.WSD(peak=0.5, duration=10.0, warmup_share=0.1, decay_share=0.2)
    >>> lr([0.0, 1.0, 8.0, 9.0, 10.0]).tolist()
    [0.0, 0.5, 0.5, 0.25, 0.0]
    """

    _times = ("duration",)
    peak: float
    duration: float
    warmup_share: float
    decay_share: float
    initial: float = 0.0
    final: float = 0.0
    shape: str = "linear"

    def __post_init__(self) -> None:
        shares = {name: checks.non_negative(name, getattr(self, name)) for name in ("warmup_share", "decay_share")}
        if sum(shares.values()) > 1 + ROUNDING:
            got = " + ".join(f"{share:g}" for share in shares.values())
            raise InvalidInput("warmup_share", "a share that is at most 1 with decay_share", got)
        self._set(
            peak=checks.non_negative("peak", self.peak),
            duration=checks.positive("duration", self.duration),
            initial=checks.non_negative("initial", self.initial),
            final=checks.non_negative("final", self.final),
            shape=checks.one_of("shape", self.shape, tuple(_DECAYS)),
            **shares,
        )
        self._set(explicit=self._whole.explicit, degree=self._whole.degree)

    @cached_property
    def _whole(self) -> Schedule:
        rise, fall = self.duration * self.warmup_share, self.duration * self.decay_share
        begins, parts = (
            [0.0, rise, self.duration - fall],
            [
                Linear(self.initial, self.peak, rise) if rise > 0 else None,
                Constant(self.peak) if fall == 0 or rise < self.duration - fall else None,
                _DECAYS[self.shape](self.peak, self.final, fall) if fall > 0 else None,
            ],
        )
        there = [(begin, one) for begin, one in zip(begins, parts, strict=True) if one is not None]
        if len(there) == 1:
            return there[0][1]
        return Sequential(tuple(one for _, one in there), np.array([begin for begin, _ in there[1:]]))
