"""Schedules of the step size and of the clip threshold: functions of the time t = k/d, read at the step's start."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput, shown


class Schedule(Declaration):
    """Base of the schedules: called with times of any shape, a schedule gives its values; smooth between its knots.

    Attributes
    ----------
    explicit : bool
        Whether knots and ends are all there is to see: the schedule is monotone and smooth between them.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.schedules.Steps(times=[2.0], values=[0.5, 0.1])([0.0, 2.0, 3.0]).tolist()
    [0.5, 0.1, 0.1]
    """

    explicit: ClassVar[bool] = False

    def __call__(self, t: Any) -> FloatArray:
        """Return the values at times t of any shape."""
        times = checks.real("t", t, "finite times")
        if not np.isfinite(times).all():
            raise InvalidInput("t", "finite times", shown(t))
        return self._values(times)

    def _values(self, t: FloatArray) -> FloatArray:
        raise NotImplementedError

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return np.empty(0)


def _no_negative(argument: str, values: FloatArray) -> FloatArray:
    if (values < 0).any():
        raise InvalidInput(argument, "values >= 0", f"a smallest value of {values.min():g}")
    return values


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Schedule):
    """The same value at every time.

    Parameters
    ----------
    value : float
        At least 0; inf is allowed for a clip threshold.

    Examples
    --------
    >>> import hdlimit as hd
    >>> float(hd.schedules.Constant(0.5)(3.0))
    0.5
    """

    explicit: ClassVar[bool] = True
    value: float

    def __post_init__(self) -> None:
        value = math.inf if checks.is_inf(self.value) else checks.number("value", self.value, "a number >= 0")
        if value < 0:
            raise InvalidInput("value", "a number >= 0", f"{value:g}")
        self._set(value=value)

    def _values(self, t: FloatArray) -> FloatArray:
        return np.full(t.shape, self.value)


@dataclass(frozen=True, eq=False, repr=False)
class Steps(Schedule):
    """Piecewise constant: values[0] before times[0], values[k] from times[k - 1] on.

    Parameters
    ----------
    times : array_like, shape (n,)
        Increasing times > 0, in units of t = k/d.
    values : array_like, shape (n + 1,)
        At least 0.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.schedules.Steps(times=[1.0, 3.0], values=[0.6, 0.3, 0.1])([0.5, 1.0, 5.0]).tolist()
    [0.6, 0.3, 0.1]
    """

    explicit: ClassVar[bool] = True
    times: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        times = checks.array("times", self.times, 1)
        if (np.diff(times) <= 0).any() or times[0] <= 0:
            raise InvalidInput("times", "increasing times > 0", shown(times.tolist()))
        values = _no_negative("values", checks.array("values", self.values, 1, (times.size + 1,)))
        self._set(times=times, values=values)

    def _values(self, t: FloatArray) -> FloatArray:
        return self.values[np.searchsorted(self.times, t, side="right")]

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return self.times


@dataclass(frozen=True, eq=False, repr=False)
class Cosine(Schedule):
    """Cosine decay: final + (initial - final)(1 + cos(pi t/duration))/2 up to t = duration, then final.

    Parameters
    ----------
    initial, final : float
        Values at the ends, at least 0.
    duration : float
        Of the decay, > 0, in units of t = k/d.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.schedules.Cosine(initial=0.8, final=0.0, duration=10.0)([0.0, 10.0, 20.0]).tolist()
    [0.8, 0.0, 0.0]
    """

    explicit: ClassVar[bool] = True
    initial: float
    final: float
    duration: float

    def __post_init__(self) -> None:
        self._set(
            initial=checks.non_negative("initial", self.initial),
            final=checks.non_negative("final", self.final),
            duration=checks.positive("duration", self.duration),
        )

    def _values(self, t: FloatArray) -> FloatArray:
        left = 1 - np.minimum(t / self.duration, 1.0)
        return self.final + (self.initial - self.final) * np.sin(np.pi / 2 * left) ** 2

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return np.array([self.duration])


@dataclass(frozen=True, eq=False, repr=False)
class Power(Schedule):
    """Power law: initial (1 + t/time_scale)^-exponent.

    Parameters
    ----------
    initial : float
        The value at t = 0, at least 0.
    exponent : float
        Any finite number.
    time_scale : float
        > 0, in units of t = k/d.

    Examples
    --------
    >>> import hdlimit as hd
    >>> float(hd.schedules.Power(initial=0.6, exponent=1.0, time_scale=2.0)(2.0))
    0.3
    """

    explicit: ClassVar[bool] = True
    initial: float
    exponent: float
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        self._set(
            initial=checks.non_negative("initial", self.initial),
            exponent=checks.number("exponent", self.exponent),
            time_scale=checks.positive("time_scale", self.time_scale),
        )

    def _values(self, t: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            return self.initial * (1 + t / self.time_scale) ** -self.exponent


@dataclass(frozen=True, eq=False, repr=False)
class Table(Schedule):
    """Linear interpolation between given points, constant outside them.

    Parameters
    ----------
    times : array_like, shape (n,)
        Increasing times >= 0, in units of t = k/d.
    values : array_like, shape (n,)
        At least 0.

    Examples
    --------
    >>> import hdlimit as hd
    >>> float(hd.schedules.Table(times=[0.0, 4.0], values=[0.5, 0.1])(2.0))
    0.3
    """

    explicit: ClassVar[bool] = True
    times: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        times = checks.array("times", self.times, 1)
        if (np.diff(times) <= 0).any() or times[0] < 0:
            raise InvalidInput("times", "increasing times >= 0", shown(times.tolist()))
        self._set(times=times, values=_no_negative("values", checks.array("values", self.values, 1, times.shape)))

    def _values(self, t: FloatArray) -> FloatArray:
        return np.interp(t, self.times, self.values)

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return self.times[self.times > 0]


@dataclass(frozen=True, eq=False, repr=False)
class Function(Schedule):
    """A schedule given as a Python function of t.

    Parameters
    ----------
    function : callable
        t -> value; it must be continuous, and cannot be written to a file. Theory reads it at every step t = k/d, of
        more than 131072 steps at that many times.

    Examples
    --------
    >>> import hdlimit as hd
    >>> float(hd.schedules.Function(lambda t: 0.5 / (1 + t))(1.0))
    0.25
    """

    function: Callable[[float], float]

    def to_plain(self) -> dict[str, Any]:
        """Raise InvalidInput: a Python function is not written to a file."""
        raise InvalidInput("schedule", "one that can be saved (for example a Table)", "a Python function")

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise InvalidInput("function", "a function of t", shown(self.function))

    def _values(self, t: FloatArray) -> FloatArray:
        times = t.ravel().tolist()
        values = np.empty(0, dtype=object)
        with contextlib.suppress(Exception):
            values = np.array([self.function(s) for s in times])
        usable = values.shape == (t.size,) and values.dtype.kind in "fiu"
        if not (usable and ((values >= 0) & (values < math.inf)).all()):
            values = np.array([_returned(self.function, s) for s in times], dtype=np.float64)
        return values.astype(np.float64).reshape(t.shape)


def _returned(function: Callable[[float], float], t: float) -> float:
    try:
        return checks.non_negative("schedule", function(t))
    except Exception as error:
        reason = str(getattr(error, "got", f"{type(error).__name__}: {error}"))[:120]
        got = f"{reason} from {getattr(function, '__name__', 'it')} at t = {t:g}"
        raise InvalidInput("schedule", "a function with finite values >= 0", got) from error


def as_schedule(argument: str, value: Any, allow_infinite: bool = False) -> Schedule:
    """Return a schedule from a number > 0, a schedule or a function of t. allow_infinite: accept the number inf."""
    if isinstance(value, Schedule) and not isinstance(value, Constant):
        return value
    if callable(value) and not isinstance(value, Schedule | type):
        return Function(value)
    given = value.value if isinstance(value, Constant) else value
    if allow_infinite and checks.is_inf(given):
        return Constant(math.inf)
    expected = "a number > 0" + (" (inf is allowed)" if allow_infinite else "") + ", a schedule or a function of t"
    try:
        return Constant(checks.positive(argument, given))
    except InvalidInput as error:
        raise InvalidInput(argument, expected, error.got) from None
