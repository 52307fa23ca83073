"""What all declarations share: equality by value, hashing, a short repr, and their plain values for files.

As plain values a dataclass is {"type": class name, field: value, ...}, whatever its fields: a new noise law,
covariance, schedule or optimizer needs nothing here. hdlimit.storage.decoding has the way back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Any, ClassVar, Self, TypeVar, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from hdlimit.errors import InvalidInput, Outcome, Status

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def array_type(hint: Any) -> Any:
    """Return the type of the numbers of an annotation as above, None for others. NumPy 2.5 has NDArray as an alias."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is NDArray:
        return inside[0]
    return get_args(inside[1])[0] if origin is np.ndarray else None


AnyType = TypeVar("AnyType", bound=type)
AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])
_REGISTERED: dict[str, type] = {}


def registered(cls: AnyType) -> AnyType:
    """Make a class that is no declaration known by its name, so that it can be read back from a file."""
    _REGISTERED[cls.__name__] = cls
    return cls


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.array_equal(a, b)
    return bool(a == b)


def _key(value: object) -> object:
    return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def _show(value: object) -> str:
    if isinstance(value, np.ndarray):
        if value.size <= 6:
            return repr(value.tolist())
        return f"<array {'x'.join(map(str, value.shape))}>"
    if isinstance(value, tuple) and len(value) > 6:
        return f"<{len(value)} values>"
    if isinstance(value, float) and float(short := f"{value:g}") == value:
        return short
    return repr(value)


# Other names that arguments go by.
OTHER_NAMES = {
    "d": ("dim", "dimension", "n_features", "p"),
    "exponent": ("alpha", "beta", "power"),
    "std": ("scale", "sigma", "stddev"),
    "scale": ("std", "sigma", "b"),
    "df": ("nu", "dof"),
    "lr": ("learning_rate", "step_size", "eta", "gamma", "stepsize"),
    "threshold": ("clip", "max_norm", "c"),
    "batch_size": ("batch", "B"),
    "target": ("theta_star", "optimum", "theta"),
    "start": ("theta_0", "theta0", "init", "x0"),
    "horizon": ("T", "t_max", "t_end", "duration"),
    "runs": ("n_runs", "repeats", "repetitions", "samples"),
    "seed": ("random_state", "rng"),
    "rtol": ("tol", "tolerance"),
}
# What is said of a keyword that is always asked for and that a call leaves out.
REQUIRED = {
    "loss": "'half_squared' where the trainer's loss is r^2/2, 'squared' where it is r^2 (PyTorch's MSELoss)",
}


def nearest(name: str, names: list[str]) -> str | None:
    """Return the argument that a name may stand for."""
    from difflib import get_close_matches

    same = [known for known in names if name in OTHER_NAMES.get(known, ())]
    return next(iter(same or get_close_matches(name, names, 1)), None)


def spelt(name: str, names: list[str]) -> str:
    """Return the arguments there are, and the nearest."""
    near = nearest(name, names)
    return ", ".join(names) + ("" if near is None else f" (is it {near}?)")


def known_names(called: AnyCallable) -> AnyCallable:
    """Answer a name that a function, or a public method of a class, does not have with those that it has.

    Python binds the arguments, and only where it cannot are they looked at: a call takes 0.5 microseconds longer.
    """
    if isinstance(called, type):
        for name, method in list(vars(called).items()):
            inner = getattr(method, "__func__", method)
            if isinstance(inner, FunctionType) and (name == "__call__" or not name.startswith("_")):
                setattr(called, name, known_names(inner) if inner is method else type(method)(known_names(inner)))
        return called
    refuse = _refuse_names

    def call(*args: Any, **given: Any) -> Any:
        try:
            return called(*args, **given)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                refuse(called, given)
            raise

    function: Any = called  # doctest finds functions by their globals
    found: Any = FunctionType(call.__code__, function.__globals__, function.__name__, None, call.__closure__)
    update_wrapper(found, called)
    return found  # type: ignore[no-any-return]


def _refuse_names(called: Callable[..., Any], given: dict[str, Any]) -> None:
    """Raise InvalidInput for a name that a function does not have, and where a keyword that it asks for is missing."""
    parameters = inspect.signature(called).parameters
    names = [name for name, one in parameters.items() if one.kind != one.VAR_KEYWORD and name not in ("self", "cls")]
    required = [name for name in names if parameters[name].default is inspect.Parameter.empty]
    takes_any = any(one.kind == one.VAR_KEYWORD for one in parameters.values())
    for name in given:
        if name not in names and (not takes_any or nearest(name, required)):
            expected = f"an argument of {called.__name__}: {spelt(name, names)}"
            raise InvalidInput(name, expected, "an unknown name") from None
    for name, meaning in REQUIRED.items():
        if name in required and name not in given:
            raise InvalidInput(name, meaning, "nothing") from None


class Declaration:
    """Base of the frozen dataclasses that describe problems and optimizers.

    Two declarations are equal when they have the same type and equal fields (arrays by value).

    Attributes
    ----------
    written_as : str
        The name of the class in files, where it is not its own; `to_plain` and `from_plain` are its contents there.
    """

    written_as: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        known_names(cls)

    def __new__(cls, *_: Any, **given: Any) -> Self:
        """Make an instance; an argument that the class does not have is answered with those that it has."""
        if is_dataclass(cls) and given.keys() - {f.name for f in fields(cls)}:
            _refuse_names(cls, given)
        return super().__new__(cls)

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What was computed from the declaration, by what was asked; no part of its value, and not pickled."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "kept"}

    def to_plain(self) -> dict[str, Any]:
        """Return what a file holds of the declaration, by name: its fields."""
        return self._fields()

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Any:
        """Return the declaration from what `to_plain` gave."""
        return cls(**values)

    def _fields(self) -> dict[str, Any]:
        return _fields(self)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Declaration)
        mine, theirs = self._fields(), other._fields()
        return all(_same(mine[name], theirs[name]) for name in mine)

    def __hash__(self) -> int:
        return hash((type(self), *(_key(value) for value in self._fields().values())))

    def __repr__(self) -> str:
        assert is_dataclass(self)
        shown = [
            f"{f.name}={_show(getattr(self, f.name))}"
            for f in fields(self)
            if f.default is MISSING or not _same(getattr(self, f.name), f.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _set(self, **values: object) -> None:
        """Store validated values into the frozen instance (only from __post_init__)."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


registered(Outcome)
registered(Status)


def classes(base: type = Declaration) -> dict[str, type]:
    """Return every declared class below `base`, itself included, by the name that it has in files.

    Classes outside the package are among them once they are imported.
    """
    name = getattr(base, "written_as", None) or base.__name__
    found = {name: base} if "__dataclass_fields__" in vars(base) else {}
    children: list[type] = base.__subclasses__()
    for child in children:
        for name, cls in classes(child).items():
            found.setdefault(name, cls)
    return found


def class_named(name: str) -> type | None:
    """Return the declared or registered class that has this name in files, None if there is none."""
    return classes().get(name) or _REGISTERED.get(name)


def name_of(cls: type) -> str:
    """Return the name of a class in files."""
    return getattr(cls, "written_as", None) or cls.__name__


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


def differences(there: Any, here: Any, path: str = "") -> Iterator[str]:
    """Say in words where two encoded values differ; path: where they stand, with a dot before each name."""
    if isinstance(there, dict) and isinstance(here, dict) and there.get("type") == here.get("type"):
        for key in dict.fromkeys([*here, *there]):
            yield from differences(there.get(key), here.get(key), f"{path}.{key}")
    elif there != here:
        yield f"{path[1:]} is {_short(there)} there and {_short(here)} here"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("type"))
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
