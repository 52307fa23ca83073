"""Declarations and results as plain values (numbers, strings, lists, dicts) and back.

A dataclass becomes {"type": class name, field: value, ...}, whatever its fields: a new noise law, covariance, schedule
or optimizer needs nothing here. A frozen scipy.stats law becomes {"type": "scipy", "name": ..., "parameters": {...}}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any

import numpy as np

import hdlimit
import hdlimit.optimizers.base  # declares the optimizers; results and schedules declare the rest
from hdlimit.core.declaration import Declaration
from hdlimit.errors import InvalidInput
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.optimizers.schedules import Function
from hdlimit.problem.scipy_noise import ScipyNoise

SCIPY = "scipy"


def classes(base: type = Declaration) -> dict[str, type]:
    """Every declared class below `base` (itself included), by name; those of the user too, once they are imported."""
    found = {base.__name__: base} if "__dataclass_fields__" in vars(base) else {}
    children: list[type] = base.__subclasses__()
    for child in children:
        for name, cls in classes(child).items():
            found.setdefault(name, cls)
    return found


def _class_named(name: str) -> type | None:
    known: dict[str, type] = {"DenseOutput": DenseOutput, **classes()}
    cls = known.get(name) or getattr(hdlimit, name, None)
    return cls if isinstance(cls, type) else None


def encode(value: Any, array: Callable[[Any], Any]) -> Any:
    """A value as plain values; `array` says what stands for a numpy array.

    Raises InvalidInput for a Python function (a schedule given as one) and for anything that is not a declaration.
    """
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [encode(item, array) for item in value]
    if isinstance(value, StrEnum):
        return {"type": type(value).__name__, "value": value.value}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, ScipyNoise):
        return _encode_scipy(value)
    name = type(value).__name__
    known = _class_named(name) is type(value)
    if isinstance(value, Function) or (callable(value) and not known):
        raise InvalidInput("schedule", "one that can be saved (for example a Table)", "a Python function")
    if not known:
        raise InvalidInput("value", "a declaration or a result of hdlimit", f"a {name}, which cannot be saved")
    return {"type": name} | _encode_fields(value, array)


def _encode_fields(declared: Any, array: Callable[[Any], Any]) -> dict[str, Any]:
    return {f.name: encode(getattr(declared, f.name), array) for f in fields(declared)}


def _encode_scipy(noise: ScipyNoise) -> dict[str, Any]:
    if noise.public_name is None:
        raise InvalidInput("noise", "a distribution of scipy.stats (only these can be saved)", repr(noise))
    return {"type": SCIPY, "name": noise.public_name, "parameters": {k: float(v) for k, v in noise.parameters.items()}}


def decode(node: Any, arrays: Mapping[str, Any], path: str) -> Any:
    """The declaration or result that `encode` wrote; lists come back as tuples, {"array": name} as arrays[name].

    path: where the node stands, for messages. Raises InvalidInput where a constructor refuses its arguments.
    """
    if isinstance(node, list):
        return tuple(decode(item, arrays, f"{path}[{i}]") for i, item in enumerate(node))
    if not isinstance(node, dict):
        return node
    if "array" in node:
        return arrays[node["array"]]
    if node["type"] == SCIPY:
        return _decode_scipy(node["name"], node.get("parameters", {}), path)
    if (cls := _class_named(node["type"])) is None:
        expected = "a known class (import the module that defines it first)"
        raise InvalidInput(f"{path}.type", expected, repr(node["type"]))
    values = {key: decode(value, arrays, f"{path}.{key}") for key, value in node.items() if key != "type"}
    try:
        return cls(**values)
    except InvalidInput as error:
        raise InvalidInput(f"{path}.{error.argument}", error.expected, error.got) from None


def _decode_scipy(name: str, parameters: dict[str, float], path: str) -> ScipyNoise:
    from scipy import stats

    law = getattr(stats, name, None)
    if not isinstance(law, stats.rv_continuous | stats.rv_discrete):
        raise InvalidInput(f"{path}.name", "the name of a scipy.stats distribution", repr(name))
    try:
        return ScipyNoise(law(**parameters))
    except InvalidInput as error:
        raise InvalidInput(f"{path}.parameters", error.expected, error.got) from None
    except TypeError as error:
        names = [law.shapes, "loc", "scale" if isinstance(law, stats.rv_continuous) else None]
        expected = f"parameters of {name}: {', '.join(filter(None, names))}"
        raise InvalidInput(f"{path}.parameters", expected, repr(parameters)) from error
