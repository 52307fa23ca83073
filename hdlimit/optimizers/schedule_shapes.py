"""Schedules by their shape: steps, lines, cosines, powers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.schedules import Schedule, no_negative


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

    explicit, degree, _times = True, 0, ("times",)
    times: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        times = checks.array("times", self.times, 1)
        if (np.diff(times) <= 0).any() or times[0] <= 0:
            raise InvalidInput("times", "increasing times > 0", shown(times.tolist()))
        values = no_negative("values", checks.array("values", self.values, 1, (times.size + 1,)))
        self._set(times=times, values=values)

    def _values(self, t: FloatArray) -> FloatArray:
        return self.values[np.searchsorted(self.times, t, side="right")]

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return self.times


class _Change(Schedule):
    """From an initial to a final value up to t = duration, then the final value."""

    explicit, _times = True, ("duration",)
    initial: float
    final: float
    duration: float

    def __post_init__(self) -> None:
        self._set(
            initial=checks.non_negative("initial", self.initial),
            final=checks.non_negative("final", self.final),
            duration=checks.positive("duration", self.duration),
        )

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return np.array([self.duration])


@dataclass(frozen=True, eq=False, repr=False)
class Linear(_Change):
    """A straight line from one value to another up to t = duration, then the last value.

    Parameters
    ----------
    initial, final : float
        Values at the ends, at least 0.
    duration : float
        Of the change, > 0, in units of t = k/d.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.schedules.Linear(initial=0.75, final=0.25, duration=10.0)([0.0, 5.0, 20.0]).tolist()
    [0.75, 0.5, 0.25]
    """

    degree = 1
    initial: float
    final: float
    duration: float

    def _values(self, t: FloatArray) -> FloatArray:
        done = np.clip(t / self.duration, 0.0, 1.0)
        return self.initial * (1 - done) + self.final * done


@dataclass(frozen=True, eq=False, repr=False)
class Polynomial(_Change):
    """Polynomial decay: final + (initial - final)(1 - t/duration)^power up to t = duration, then final.

    Parameters
    ----------
    initial, final : float
        Values at the ends, at least 0.
    duration : float
        Of the decay, > 0, in units of t = k/d.
    power : float
        > 0; 1 is a straight line.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.schedules.Polynomial(initial=0.8, final=0.0, duration=10.0, power=2.0)([0.0, 5.0, 20.0]).tolist()
    [0.8, 0.2, 0.0]
    """

    initial: float
    final: float
    duration: float
    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        power = checks.positive("power", self.power)
        self._set(power=power, degree=1 if power == 1 else None)

    def _values(self, t: FloatArray) -> FloatArray:
        done = np.clip(t / self.duration, 0.0, 1.0)
        with np.errstate(divide="ignore"):  # as Cosine without cancellation
            risen = -np.expm1(self.power * np.log1p(-done))
        return self.initial * (1 - done) ** self.power + self.final * risen


@dataclass(frozen=True, eq=False, repr=False)
class Cosine(_Change):
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

    initial: float
    final: float
    duration: float

    def _values(self, t: FloatArray) -> FloatArray:
        done = np.minimum(t / self.duration, 1.0)
        fallen, risen = (np.sin(np.pi / 2 * part) ** 2 for part in (1 - done, done))
        return self.initial * fallen + self.final * risen  # without cancellation where it rises from 0


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

    explicit, _times = True, ("time_scale",)
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
