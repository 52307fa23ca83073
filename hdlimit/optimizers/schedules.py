"""Schedules of the step size and of the clip threshold: functions of the time t = k/d, read at the step's start."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

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
    degree : int or None
        Of the polynomial that it is between its knots, 0 or 1; None for another curve.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.schedules.Steps(times=[2.0], values=[0.5, 0.1])([0.0, 2.0, 3.0]).tolist()
    [0.5, 0.1, 0.1]
    """

    explicit: bool = False
    degree: int | None = None
    # The fields that are times.
    _times: ClassVar[tuple[str, ...]]

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

    @property
    def smooth(self) -> bool:
        """Whether the schedule is smooth between its knots."""
        return self.explicit

    def stops(self, tolerance: float) -> FloatArray:
        """Return the times at which an integration along the schedule must stop.

        Parameters
        ----------
        tolerance : float
            Share of its value by which the schedule may bend where it is not stopped at.

        Returns
        -------
        ndarray
            Times, ascending: all knots, or those that are needed.
        """
        return self.knots

    def in_steps(self, d: int) -> Self:
        """Return the schedule of t = k/d whose times here are step numbers k.

        Parameters
        ----------
        d : int
            The dimension of the problem: every time is divided by it. A Python function gets the step number k.

        Returns
        -------
        Schedule
            Of the same class. Step k finds what this schedule has at k.

        Raises
        ------
        InvalidInput
            For a d that is no integer >= 1, and for a class that does not say which of its arguments are times.

        Examples
        --------
        >>> import hdlimit as hd
        >>> hd.schedules.Cosine(initial=0.8, final=0.1, duration=20_000).in_steps(1000)
        Cosine(initial=0.8, final=0.1, duration=20)
        """
        d = checks.count("d", d)
        if not hasattr(self, "_times"):
            raise InvalidInput("schedule", "one of hdlimit.schedules", f"a {type(self).__name__}")
        return self._over(d)

    def _over(self, d: int) -> Self:
        return replace(self, **{name: getattr(self, name) / d for name in self._times})  # type: ignore[type-var]


def no_negative(argument: str, values: FloatArray) -> FloatArray:
    """Return values that are all >= 0; raises InvalidInput for others."""
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

    explicit, degree, _times = True, 0, ()
    value: float

    def __post_init__(self) -> None:
        value = math.inf if checks.is_inf(self.value) else checks.number("value", self.value, "a number >= 0")
        if value < 0:
            raise InvalidInput("value", "a number >= 0", f"{value:g}")
        self._set(value=value)

    def _values(self, t: FloatArray) -> FloatArray:
        return np.full(t.shape, self.value)


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

    explicit, degree, _times = True, 1, ("times",)
    times: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        times = checks.array("times", self.times, 1)
        if (np.diff(times) <= 0).any() or times[0] < 0:
            raise InvalidInput("times", "increasing times >= 0", shown(times.tolist()))
        self._set(times=times, values=no_negative("values", checks.array("values", self.values, 1, times.shape)))

    def _values(self, t: FloatArray) -> FloatArray:
        return np.interp(t, self.times, self.values)

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return self.times[self.times > 0]

    def stops(self, tolerance: float) -> FloatArray:
        """Return the first and last knot, and those off their neighbours' chord by more than this share."""
        t, v = self.times, self.values
        chord = v[:-2] + (v[2:] - v[:-2]) * (t[1:-1] - t[:-2]) / (t[2:] - t[:-2])
        bent = np.abs(v[1:-1] - chord) > tolerance * v[1:-1]
        knots: FloatArray = t[np.concatenate([[True], bent, [True]])[: t.size]]
        return knots

    @classmethod
    def from_steps(cls, values: Any, d: int) -> Table:
        """Return the table of one value for every step, the first for step 0.

        Parameters
        ----------
        values : array_like, shape (n,)
            At least 0; the last one holds from its step on.
        d : int
            The dimension of the problem: step k is at t = k/d.

        Returns
        -------
        Table
            Between two steps it is linear.

        Examples
        --------
        >>> import hdlimit as hd
        >>> float(hd.schedules.Table.from_steps([0.3, 0.2, 0.1], d=100)(0.01))
        0.2
        """
        numbers = checks.array("values", values, 1)
        return cls(np.arange(numbers.size, dtype=np.float64), numbers).in_steps(d)


@dataclass(frozen=True, eq=False, repr=False)
class Function(Schedule):
    """A schedule given as a Python function of t.

    Parameters
    ----------
    function : callable
        t -> value; it must be continuous, and cannot be written to a file. Theory reads it at every step t = k/d, of
        more than 131072 steps at that many times. `in_steps` makes a function of t of one of the step number k.

    Examples
    --------
    >>> import hdlimit as hd
    >>> float(hd.schedules.Function(lambda t: 0.5 / (1 + t))(1.0))
    0.25
    """

    _times = ("function",)
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

    def _over(self, d: int) -> Function:
        return Function(_OfSteps(self.function, d))


@dataclass(frozen=True)
class _OfSteps:
    """A function of the step number as one of t = k/d; at a step it gets the integer k."""

    function: Callable[[float], float]
    d: int

    def __call__(self, t: float) -> float:
        k = round(t * self.d)
        return self.function(k if k / self.d == t else t * self.d)


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
