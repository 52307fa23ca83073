"""Schedules made of others: one after the other, or multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.schedules import Constant, Function, Schedule

# What a knot behind a beginning is brought forward by, relative: more than the rounding of the sum of both, so that the
# step whose time is the knot comes after it, and less than a step up to 1e12 steps.
EARLY = 1e-15


def as_part(argument: str, value: Any) -> Schedule:
    """Return a schedule from a finite number >= 0, a schedule or a function of t."""
    if isinstance(value, Schedule) and not isinstance(value, Constant):
        return value
    if callable(value) and not isinstance(value, Schedule | type):
        return Function(value)
    given = value.value if isinstance(value, Constant) else value
    try:
        return Constant(checks.non_negative(argument, given))
    except InvalidInput as error:
        raise InvalidInput(argument, "a finite number >= 0, a schedule or a function of t", error.got) from None


def _parts(argument: str, values: Any) -> tuple[Schedule, ...]:
    expected = "a list of two schedules or more"
    if isinstance(values, str | bytes | dict | Schedule) or not hasattr(values, "__iter__"):
        raise InvalidInput(argument, expected, shown(values))
    try:
        given = list(values)
    except Exception as error:  # of a stranger's __iter__
        raise InvalidInput(argument, expected, shown(values)) from error
    if len(given) < 2:
        raise InvalidInput(argument, expected, f"{len(given)}")
    return tuple(as_part(f"{argument}[{k}]", value) for k, value in enumerate(given))


def _degree(parts: tuple[Schedule, ...]) -> int | None:
    """Return the larger degree, None where one has none."""
    degrees = [one.degree for one in parts if one.degree is not None]
    return max(degrees) if len(degrees) == len(parts) else None


class _Phase(NamedTuple):
    """A schedule, when it begins and ends, its own knots, and the times at which they are passed."""

    schedule: Schedule
    begin: float
    end: float
    knots: FloatArray
    passed: FloatArray

    @property
    def inside(self) -> FloatArray:
        """The times in the phase at which knots are passed."""
        return self.passed[(self.passed > self.begin) & (self.passed < self.end)]

    def __call__(self, t: FloatArray) -> FloatArray:
        """Return the values at times of the phase; between two knots the time stays between them."""
        piece = np.searchsorted(self.passed, t, side="right")
        first = np.concatenate([[0.0], self.knots])[piece]
        last = np.concatenate([np.nextafter(self.knots, 0.0), [np.inf]])[piece]
        return self.schedule(np.clip(t - self.begin, first, last))


@dataclass(frozen=True, eq=False, repr=False)
class Sequential(Schedule):
    """Schedules one after the other, each with a clock of its own that starts when it does.

    Parameters
    ----------
    schedules : list of schedule, float or callable
        Two or more; numbers are constants >= 0.
    times : array_like, shape (n - 1,)
        When the second and every later one begins: increasing times > 0, in units of t = k/d.

    Notes
    -----
    As PyTorch's SequentialLR and optax's join_schedules. The value at a switch is that of the schedule that begins.

    Examples
    --------
    >>> import hdlimit as hd
    >>> two = hd.schedules.Sequential([0.5, hd.schedules.Linear(0.5, 0.0, duration=2.0)], times=[10.0])
    >>> two([9.0, 11.0, 12.0]).tolist()
    [0.5, 0.25, 0.0]
    """

    _times = ("schedules", "times")
    schedules: tuple[Any, ...]
    times: FloatArray

    def __post_init__(self) -> None:
        parts = _parts("schedules", self.schedules)
        times = checks.array("times", self.times, 1, (len(parts) - 1,))
        if (np.diff(times) <= 0).any() or times[0] <= 0:
            raise InvalidInput("times", "increasing times > 0", shown(times.tolist()))
        self._set(schedules=parts, times=times)
        self._set(explicit=all(one.explicit for one in parts), degree=_degree(parts))

    def _over(self, d: int) -> Self:
        return replace(self, schedules=tuple(one.in_steps(d) for one in self.schedules), times=self.times / d)

    def _phases(self, all_knots: list[FloatArray]) -> Iterator[_Phase]:
        begins, ends = [0.0, *self.times.tolist()], [*self.times.tolist(), np.inf]
        for schedule, begin, end, knots in zip(self.schedules, begins, ends, all_knots, strict=True):
            passed = knots if begin == 0 else (begin + knots) * (1 - EARLY)
            yield _Phase(schedule, begin, end, knots, passed)

    @cached_property
    def _running(self) -> tuple[_Phase, ...]:
        return tuple(self._phases([one.knots for one in self.schedules]))

    def _values(self, t: FloatArray) -> FloatArray:
        which, values = np.searchsorted(self.times, t, side="right"), np.empty(t.shape)
        for number, phase in enumerate(self._running):
            inside = which == number
            if inside.any():
                values[inside] = phase(t[inside])
        return values

    @property
    def smooth(self) -> bool:
        """Whether the schedule is smooth between its knots."""
        return all(one.smooth for one in self.schedules)

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return np.unique(np.concatenate([self.times, *(phase.inside for phase in self._running)]))

    def stops(self, tolerance: float) -> FloatArray:
        """Return the times at which an integration along the schedule must stop."""
        phases = self._phases([one.stops(tolerance) for one in self.schedules])
        return np.unique(np.concatenate([self.times, *(phase.inside for phase in phases)]))


@dataclass(frozen=True, eq=False, repr=False)
class Product(Schedule):
    """The product of schedules, all on the same clock.

    Parameters
    ----------
    schedules : list of schedule, float or callable
        Two or more; numbers are constants >= 0.

    Examples
    --------
    >>> import hdlimit as hd
    >>> lr = hd.schedules.Product([hd.schedules.Linear(0.0, 1.0, duration=2.0), hd.schedules.Power(0.5, 1.0)])
    >>> lr([0.0, 1.0, 4.0]).tolist()
    [0.0, 0.125, 0.1]
    """

    _times = ("schedules",)
    schedules: tuple[Any, ...]

    def __post_init__(self) -> None:
        parts = _parts("schedules", self.schedules)
        moving = [one for one in parts if one.degree != 0]
        # Between its knots a product is monotone where one factor alone moves.
        explicit = len(moving) < 2 and all(one.explicit for one in parts)
        self._set(schedules=parts, explicit=explicit, degree=_degree(parts) if explicit else None)

    def _over(self, d: int) -> Self:
        return replace(self, schedules=tuple(one.in_steps(d) for one in self.schedules))

    def _values(self, t: FloatArray) -> FloatArray:
        values = np.ones(t.shape)
        for one in self.schedules:
            values *= one(t)
        return values

    @property
    def smooth(self) -> bool:
        """Whether the schedule is smooth between its knots."""
        return all(one.smooth for one in self.schedules)

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return np.unique(np.concatenate([one.knots for one in self.schedules]))

    def stops(self, tolerance: float) -> FloatArray:
        """Return the times at which an integration along the schedule must stop."""
        return np.unique(np.concatenate([one.stops(tolerance) for one in self.schedules]))
