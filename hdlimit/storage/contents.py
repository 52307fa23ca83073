"""Whether what a file holds fits the class that it names: types of the fields, shapes of the arrays, order of times."""

from __future__ import annotations

from dataclasses import fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from hdlimit.core.declaration import array_type
from hdlimit.errors import InvalidInput, shown


def check_contents(value: Any, path: str) -> None:
    """Refuse a dataclass whose fields are not what their annotations and the class's tables say.

    Parameters
    ----------
    value : object
        An instance of a dataclass. Tables that its class may have: `kinds`, field to class, where the annotation is
        Any; `shapes`, field to the names of its axes ("runs times"; "s+1" is one longer than s, a number is a length);
        `ordered` and `rising`, fields of finite numbers that never fall, or that rise. Its method `_misfit`, if it has
        one, returns the name of another field that does not fit, or None.
    path : str
        Where it stands, for the message.

    Raises
    ------
    InvalidInput
        Naming the field.
    """
    cls = type(value)
    hints = get_type_hints(cls) | getattr(cls, "kinds", {})
    held = {f.name: getattr(value, f.name) for f in fields(value)}
    for name, one in held.items():
        if not _is(one, hints[name]):
            raise _wrong(path, name, f"what a {cls.__name__} holds there", one)
    lengths: dict[str, int] = {}
    for name, axes in getattr(cls, "shapes", {}).items():
        if not _has_shape(held[name], axes.split(), lengths):
            raise _wrong(path, name, f"an array of shape ({axes.replace(' ', ', ')}) that fits the others", held[name])
    rising = getattr(cls, "rising", ())
    for name in (*getattr(cls, "ordered", ()), *rising):
        values = held[name]
        back = values[1:] <= values[:-1] if name in rising else values[1:] < values[:-1]
        if not np.isfinite(values).all() or back.any():
            raise _wrong(path, name, "finite numbers in order", held[name])
    if hasattr(value, "_misfit") and (name := value._misfit()):
        raise _wrong(path, name, f"what a {cls.__name__} holds there", held[name])


def _wrong(path: str, name: str, expected: str, got: Any) -> InvalidInput:
    kind = f"{got.dtype} of shape {got.shape}" if isinstance(got, np.ndarray) else shown(got, 60)
    return InvalidInput(f"{path}.{name}", expected, f"{type(got).__name__} {kind}")


def _is(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says."""
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (UnionType, Union):
        return any(_is(value, one) for one in inside)
    if (number := array_type(hint)) is not None:
        return isinstance(value, np.ndarray) and value.dtype == number
    if origin is tuple:
        return isinstance(value, tuple) and all(_is(one, inside[0]) for one in value)
    if hint in (bool, int, float, str):
        return type(value) is hint or (hint is float and type(value) is int)
    return isinstance(value, hint)


def _has_shape(array: Any, axes: list[str], lengths: dict[str, int]) -> bool:
    if array.ndim != len(axes) or array.size == 0:
        return False
    for axis, length in zip(axes, array.shape, strict=True):
        name, _, longer = axis.partition("+")
        length -= int(longer or 0)
        if length != (int(name) if name.isdigit() else lengths.setdefault(name, length)):
            return False
    return True
