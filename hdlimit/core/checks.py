"""Validation of arguments: each function takes the name of an argument, for messages, and what was given.

It returns the value in its final type, or raises InvalidInput with the name of the argument.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown

# Things held in memory or computed one by one: 8 GB of float64. Chosen, not measured.
MOST = 10**9
# Scales whose fourth powers are normal floating-point numbers (1e-280 and 1e280, with room for factors).
SMALLEST_SCALE, LARGEST_SCALE = 1e-70, 1e70
_NOT_REAL = bool, np.bool_, str, bytes, bytearray, memoryview, complex, np.complexfloating, type(None)
_KINDS = {"c": "complex numbers", "U": "text", "S": "text", "M": "dates", "m": "time differences", "V": "records"}


def number(argument: str, value: Any, expected: str = "a finite number") -> float:
    """Return a finite real number; bool and strings are refused.

    Parameters
    ----------
    argument : str
        Name of the argument, for messages.
    value : object
        What was given.
    expected : str, default "a finite number"
        What the message says is expected.

    Returns
    -------
    float
        The number.

    Raises
    ------
    InvalidInput
        If the value is anything else.
    """
    if isinstance(value, _NOT_REAL):
        raise InvalidInput(argument, expected, shown(value))
    try:
        result = float(value)
    except Exception as error:  # whatever the __float__ of a stranger raises
        raise InvalidInput(argument, expected, f"{type(value).__name__} {shown(value, 100)}") from error
    if not math.isfinite(result):
        raise InvalidInput(argument, expected, result)
    return result


def positive(argument: str, value: Any) -> float:
    """Return a finite number > 0."""
    expected = "a finite number > 0"
    result = number(argument, value, expected)
    if result <= 0:
        raise InvalidInput(argument, expected, f"{result:g}")
    return result


def non_negative(argument: str, value: Any) -> float:
    """Return a finite number >= 0."""
    expected = "a finite number >= 0"
    result = number(argument, value, expected)
    if result < 0:
        raise InvalidInput(argument, expected, f"{result:g}")
    return result


def flag(argument: str, value: Any) -> bool:
    """Return True or False; nothing else is taken for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(argument, "True or False", shown(value))
    return bool(value)


def risk(argument: str, value: Any) -> float:
    """Return a number from 1e-140 to 1e140, whose square neither overflows nor vanishes."""
    result, low, high = positive(argument, value), SMALLEST_SCALE**2, LARGEST_SCALE**2
    if not low <= result <= high:
        raise InvalidInput(argument, f"a number from {low:g} to {high:g}", f"{result:g}")
    return result


def is_inf(value: Any) -> bool:
    """Whether a value is the float inf, of Python or NumPy."""
    return isinstance(value, float | np.floating) and bool(value == math.inf)


def is_scalar(value: Any) -> bool:
    """Whether NumPy takes a value for one thing, not for an array."""
    with contextlib.suppress(Exception):  # of rows of different lengths, and of a stranger's __array__
        return np.ndim(value) == 0
    return False


def scale(argument: str, value: Any) -> float:
    """Return a number from 1e-70 to 1e70, whose fourth power neither overflows nor vanishes."""
    result = positive(argument, value)
    if not SMALLEST_SCALE <= result <= LARGEST_SCALE:
        raise InvalidInput(argument, f"a number from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}", f"{result:g}")
    return result


def integer(argument: str, value: Any, minimum: int = 1) -> int:
    """Return an integer >= minimum; integral floats such as 32.0 are accepted.

    Parameters
    ----------
    argument : str
        Name of the argument, for messages.
    value : object
        What was given.
    minimum : int, default 1
        The smallest integer allowed.

    Returns
    -------
    int
        The integer.

    Raises
    ------
    InvalidInput
        If the value is anything else.
    """
    expected = f"an integer >= {minimum}"
    result = number(argument, value, expected)
    if result != int(result) or result < minimum:
        raise InvalidInput(argument, expected, f"{result:g}")
    return int(value)


def count(argument: str, value: Any, minimum: int = 1) -> int:
    """Return an integer from minimum to 1e9: how many things are held in memory or computed one by one."""
    result = integer(argument, value, minimum)
    if result > MOST:
        raise InvalidInput(argument, f"an integer from {minimum} to {MOST:g}", f"{float(result):g}")
    return result


def fraction(argument: str, value: Any) -> float:
    """Return a number strictly between 0 and 1."""
    expected = "a number strictly between 0 and 1"
    result = number(argument, value, expected)
    if not 0 < result < 1:
        raise InvalidInput(argument, expected, f"{result:g}")
    return result


def one_of(argument: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return one of a few names.

    Parameters
    ----------
    argument : str
        Name of the argument, for messages.
    value : object
        What was given.
    choices : tuple of str
        The names allowed.

    Returns
    -------
    str
        The name.

    Raises
    ------
    InvalidInput
        If the value is anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise InvalidInput(argument, "one of " + ", ".join(map(repr, choices)), shown(value))
    return value


def array(argument: str, value: Any, ndim: int | None, shape: tuple[int | None, ...] | None = None) -> FloatArray:
    """Return a read-only, finite float64 array that is not empty.

    Parameters
    ----------
    argument : str
        Name of the argument, for messages.
    value : object
        What was given.
    ndim : int or None
        Number of dimensions; None allows any.
    shape : tuple of int or None, optional
        Lengths of the axes; None in place of a length allows any.

    Returns
    -------
    ndarray
        A copy.

    Raises
    ------
    InvalidInput
        If the value is anything else.
    """
    if shape is not None:
        lengths = ", ".join("n" if n is None else str(n) for n in shape)
        wanted = f"a finite array of shape ({lengths}{',' if ndim == 1 else ''})"
    else:
        wanted = "a finite array" + ("" if ndim is None else f" with {ndim} dimension{'s' if ndim > 1 else ''}")
    result = real(argument, value, wanted)
    wrong = ndim is not None and result.ndim != ndim
    if wrong or (shape is not None and any(n not in (None, m) for n, m in zip(shape, result.shape, strict=True))):
        raise InvalidInput(argument, wanted, f"shape {result.shape}")
    if result.size == 0:
        raise InvalidInput(argument, wanted, "an empty array")
    if not np.isfinite(result).all():
        raise InvalidInput(argument, wanted, f"{int((~np.isfinite(result)).sum())} entries that are NaN or inf")
    result.setflags(write=False)
    return result


def foreign_array(argument: str, value: Any, wanted: str) -> None:
    """Raise InvalidInput, with the remedy, for what holds numbers that NumPy does not read."""
    got = f"a {type(value).__name__}"
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise InvalidInput(argument, wanted, f"{got}, which is sparse; its toarray() is an array")
    if getattr(value, "requires_grad", False):
        raise InvalidInput(argument, wanted, f"{got} that requires grad; its detach().cpu() has the numbers alone")
    if getattr(getattr(value, "device", None), "type", "cpu") != "cpu":
        raise InvalidInput(argument, wanted, f"{got} on the device {value.device}; its cpu() has the numbers here")


def is_masked(value: Any) -> bool:
    """Tell whether an array hides entries; asked of the array, because importing numpy.ma costs 10 ms of start-up."""
    return isinstance(value, np.ndarray) and bool(np.any(getattr(value, "mask", False)))


def real(argument: str, value: Any, wanted: str) -> FloatArray:
    """Return a float64 array, whatever its shape; raises InvalidInput for what is not numeric."""
    foreign_array(argument, value, wanted)
    if isinstance(value, bytearray | memoryview) or is_masked(value):
        raise InvalidInput(argument, wanted, f"a {type(value).__name__}, whose bytes or masked entries are no numbers")
    try:
        given = np.asarray(value)
        if given.dtype.kind in _KINDS:
            raise InvalidInput(argument, wanted, _KINDS[given.dtype.kind])
        return np.array(given, dtype=np.float64, order="C")
    except InvalidInput:
        raise
    except Exception as error:  # whatever the __array__ or __float__ of a stranger raises
        raise InvalidInput(argument, wanted, f"{type(value).__name__} that is not numeric") from error


def times(argument: str, value: Any, horizon: float) -> FloatArray:
    """Return non-decreasing times in [0, horizon].

    Parameters
    ----------
    argument : str
        Name of the argument, for messages.
    value : object
        What was given.
    horizon : float
        The last time allowed.

    Returns
    -------
    ndarray, shape (T,)
        The times.

    Raises
    ------
    InvalidInput
        If the value is anything else.
    """
    result = array(argument, value, 1)
    expected = f"non-decreasing times between 0 and the horizon {horizon:g}"
    if (falls := np.flatnonzero(np.diff(result) < 0)).size:
        raise InvalidInput(argument, expected, f"{result[falls[0]]:g} followed by {result[falls[0] + 1]:g}")
    if result[0] < 0 or result[-1] > horizon * (1 + 1e-12):
        raise InvalidInput(argument, expected, f"{result[0]:g} to {result[-1]:g}")
    return np.minimum(result, horizon)
