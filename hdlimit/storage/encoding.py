"""Declarations and results as plain values: numbers, strings, lists, dicts; `decoding` has the way back.

A dataclass becomes {"type": class name, field: value, ...}, whatever its fields: a new noise law, covariance, schedule
or optimizer needs nothing here. A frozen scipy.stats law becomes {"type": "scipy", "name": ..., "parameters": {...}}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from typing import Any

import numpy as np

from hdlimit.core.declaration import Declaration, class_named, name_of
from hdlimit.errors import InvalidInput


def encode(value: Any, array: Callable[[Any], Any]) -> Any:
    """Return a value as numbers, strings, lists and dicts.

    Parameters
    ----------
    value : object
        A declaration, a result, or a container of them.
    array : callable
        Returns what stands for a NumPy array.

    Returns
    -------
    object
        The plain value.

    Raises
    ------
    InvalidInput
        For a Python function (a schedule given as one) and for anything that is not a declaration or a result.
    """
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [encode(item, array) for item in value]
    if isinstance(value, dict):
        return {key: encode(item, array) for key, item in value.items()}
    if isinstance(value, StrEnum):
        return {"type": type(value).__name__, "value": value.value}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    name = name_of(type(value))
    if class_named(name) is type(value):
        plain = value.to_plain() if isinstance(value, Declaration) else _fields(value)
        return {"type": name} | {key: encode(item, array) for key, item in plain.items()}
    if callable(value):
        raise InvalidInput("schedule", "one that can be saved (for example a Table)", "a Python function")
    raise InvalidInput("value", "a declaration or a result of hdlimit", f"a {name}, which cannot be saved")


def _fields(record: Any) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in fields(record)}
