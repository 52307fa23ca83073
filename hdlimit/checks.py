"""Validation of arguments: each function returns the value in its final type or raises InvalidInput naming the
argument.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hdlimit.declaration import FloatArray
from hdlimit.errors import InvalidInput


def number(argument: str, value: Any, expected: str = "a finite number") -> float:
    """A finite real number (bool and strings are refused)."""
    if isinstance(value, bool | str | bytes) or value is None:
        raise InvalidInput(argument, expected, repr(value))
    try:
        result = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(argument, expected, f"{type(value).__name__} {value!r}"[:120]) from error
    if not math.isfinite(result):
        raise InvalidInput(argument, expected, result)
    return result


def positive(argument: str, value: Any) -> float:
    """A finite number > 0."""
    expected = "a finite number > 0"
    result = number(argument, value, expected)
    if result <= 0:
        raise InvalidInput(argument, expected, f"{result:g}")
    return result


def non_negative(argument: str, value: Any) -> float:
    """A finite number >= 0."""
    expected = "a finite number >= 0"
    result = number(argument, value, expected)
    if result < 0:
        raise InvalidInput(argument, expected, f"{result:g}")
    return result


def integer(argument: str, value: Any, minimum: int = 1) -> int:
    """An integer >= minimum (integral floats such as 32.0 are accepted)."""
    expected = f"an integer >= {minimum}"
    result = number(argument, value, expected)
    if result != int(result) or result < minimum:
        raise InvalidInput(argument, expected, f"{result:g}")
    return int(value)


def fraction(argument: str, value: Any) -> float:
    """A number strictly between 0 and 1."""
    expected = "a number strictly between 0 and 1"
    result = number(argument, value, expected)
    if not 0 < result < 1:
        raise InvalidInput(argument, expected, f"{result:g}")
    return result


def one_of(argument: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of a few names."""
    if value not in choices:
        raise InvalidInput(argument, "one of " + ", ".join(map(repr, choices)), repr(value))
    return str(value)


def array(argument: str, value: Any, ndim: int, shape: tuple[int | None, ...] | None = None) -> FloatArray:
    """A read-only, finite float64 array with the given number of dimensions and shape (None: any length)."""
    wanted = (
        f"a finite array with {ndim} dimension{'s' if ndim > 1 else ''}"
        if shape is None
        else (
            "a finite array of shape ("
            + ", ".join("n" if n is None else str(n) for n in shape)
            + ("," if ndim == 1 else "")
            + ")"
        )
    )
    try:
        result = np.array(value, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidInput(argument, wanted, f"{type(value).__name__} that is not numeric") from error
    if result.ndim != ndim or (
        shape is not None and any(n not in (None, m) for n, m in zip(shape, result.shape, strict=True))
    ):
        raise InvalidInput(argument, wanted, f"shape {result.shape}")
    if result.size == 0:
        raise InvalidInput(argument, wanted, "an empty array")
    if not np.isfinite(result).all():
        raise InvalidInput(argument, wanted, f"{int((~np.isfinite(result)).sum())} entries that are NaN or inf")
    result.setflags(write=False)
    return result


def times(argument: str, value: Any, horizon: float) -> FloatArray:
    """Increasing times in [0, horizon]."""
    result = array(argument, value, 1)
    if (np.diff(result) < 0).any() or result[0] < 0 or result[-1] > horizon * (1 + 1e-12):
        raise InvalidInput(
            argument,
            f"non-decreasing times between 0 and the horizon {horizon:g}",
            f"{result[0]:g} to {result.max():g}",
        )
    return np.minimum(result, horizon)
