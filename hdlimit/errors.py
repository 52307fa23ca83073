"""Every exception, warning class and outcome of the package, each with its sentence."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from dataclasses import dataclass
from enum import StrEnum

_INSIDE = os.path.join(os.path.dirname(__file__), ""), functools.__file__, contextlib.__file__
# Characters of a message, and of what came where what is expected is long too: a few lines of a terminal. Chosen.
LONGEST_MESSAGE, SHOWN = 399, 120


def shown(value: object, most: int = SHOWN) -> str:
    """Return the repr of what came, on one line and of at most so many characters, whatever it is."""
    try:
        text = repr(value[: most + 1] if isinstance(value, str | bytes) else value)
    except Exception:  # whatever a repr raises, among them ValueError for an integer of more than 4300 digits
        text = f"a {type(value).__name__} that cannot be shown"
    return _short(text, most)


def _short(text: str, most: int) -> str:
    text = " ".join(text[: 4 * most].splitlines())
    return text if len(text) <= most else text[: most - 3] + "..."


class HdlimitError(ValueError):
    """Base of the errors that the package raises on purpose; a ValueError.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.HdlimitError, ValueError)
    True
    """


class InvalidInput(HdlimitError):
    """An argument is not what the function expects.

    The message, one line of less than 400 characters, names the argument, what is expected and what came.

    Parameters
    ----------
    argument : str
        Name of the argument.
    expected : str
        What is expected, in words.
    got : object
        What came; its text stands in the message.

    Examples
    --------
    >>> import hdlimit as hd
    >>> print(hd.errors.InvalidInput("lr", "a number > 0", -1))
    lr: expected a number > 0, got -1
    """

    def __init__(self, argument: str, expected: str, got: object) -> None:
        text = got if isinstance(got, str) else shown(got)
        named = _short(argument, SHOWN)
        left = LONGEST_MESSAGE - len(f"{named}: expected , got ")
        asked = _short(expected, max(left - len(text), left - SHOWN))
        super().__init__(f"{named}: expected {asked}, got {_short(text, left - len(asked))}")
        self.argument, self.expected, self.got = argument, expected, got

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, str, object]]:
        return type(self), (self.argument, self.expected, self.got)


class NotWritten(InvalidInput):
    """A file cannot be written for a reason of the disk: it is full or fails.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.NotWritten, hd.errors.InvalidInput)
    True
    """


class NoLimit(HdlimitError):
    """The high-dimensional limit does not exist for this problem and optimizer.

    The message gives the reason, for example noise of infinite variance under SGD.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.NoLimit, hd.errors.HdlimitError)
    True
    """


class NotAvailable(HdlimitError):
    """The quantity has no implemented theory, or none that can be trusted here.

    The message names the quantity.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.NotAvailable, hd.errors.HdlimitError)
    True
    """


class VerificationRefused(HdlimitError):
    """Runs of this problem have no finite variance, or there is no curve to verify.

    A comparison of means with a standard error would mean nothing.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.VerificationRefused, hd.errors.HdlimitError)
    True
    """


class WorkersLost(HdlimitError):
    """Workers died again and again, or took no more work, before all runs had finished.

    The message says which runs are kept.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.WorkersLost, hd.errors.HdlimitError)
    True
    """


class HdlimitWarning(UserWarning):
    """Base of the warnings of the package.

    Examples
    --------
    Silence them all:

    >>> import warnings
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(20), hd.Gaussian(1.0))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", hd.errors.HdlimitWarning)
    ...     curve = hd.predict(problem, hd.SGD(lr=0.5), horizon=1.0)
    """


def warn(warning: Warning) -> None:
    """Issue a warning at the innermost line outside the package, which is the user's however deep the cause lies."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(warning, stacklevel=level)


class LowDimensionWarning(HdlimitWarning):
    """The intrinsic dimension is below 30: the limit is a rough guide only.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.LowDimensionWarning, hd.errors.HdlimitWarning)
    True
    """


class HeavyTailWarning(HdlimitWarning):
    """A moment that error bars rely on is infinite.

    The mean curve exists, the spread of runs does not.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.HeavyTailWarning, hd.errors.HdlimitWarning)
    True
    """


class ValidityWarning(HdlimitWarning):
    """A condition under which the limit was derived does not hold for this problem.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.ValidityWarning, hd.errors.HdlimitWarning)
    True
    """


class NearCriticalWarning(HdlimitWarning):
    """Runs settle 10 % or more above the limit at this d and batch size.

    The step size is near the critical one. A larger d or batch size, or a smaller step, brings the runs to the limit.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.NearCriticalWarning, hd.errors.HdlimitWarning)
    True
    """


class NonGaussianWarning(HdlimitWarning):
    """The rows of the problem are not Gaussian in a way that changes the risk of this optimizer.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.NonGaussianWarning, hd.errors.HdlimitWarning)
    True
    """


class UnitsWarning(HdlimitWarning):
    """A step size, a horizon or a schedule looks like a trainer's: a raw step, or numbers of steps for times.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.UnitsWarning, hd.errors.HdlimitWarning)
    True
    """


class DivergenceWarning(HdlimitWarning):
    """Some simulated runs diverged; their risk is recorded as inf from then on.

    Examples
    --------
    >>> import hdlimit as hd
    >>> issubclass(hd.errors.DivergenceWarning, hd.errors.HdlimitWarning)
    True
    """


class Status(StrEnum):
    """How an integration or a simulation ended.

    Attributes
    ----------
    FINISHED
        The whole horizon was reached by a stable optimizer.
    UNSTABLE
        The whole horizon was reached; the step size exceeds the critical one, so that the risk grows in the end.
    DIVERGED
        The risk exceeded the bound of the computation before the horizon.
    STOPPED
        The computation ended before the horizon for another reason.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.errors.Status.FINISHED == "finished"
    True
    """

    FINISHED = "finished"
    UNSTABLE = "unstable"
    DIVERGED = "diverged"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Outcome:
    """How a computation ended: a status and the sentence that explains it.

    Parameters
    ----------
    status : Status
        How it ended.
    sentence : str
        The same in words; the text of the outcome.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> hd.predict(problem, hd.SGD(lr=0.5), horizon=1.0).outcome.finished
    True
    """

    status: Status
    sentence: str

    @property
    def finished(self) -> bool:
        """True when the whole horizon was reached by a stable optimizer."""
        return self.status is Status.FINISHED

    def __str__(self) -> str:
        return self.sentence
