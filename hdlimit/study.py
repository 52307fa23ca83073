"""Problem files: a problem, an optimizer and a run, written in TOML.

The file mirrors the constructors: `type` names a class, the other keys are its arguments.

    [problem.covariance]              [problem.noise]            [optimizer]               [run]
    type = "PowerLaw"                 type = "StudentT"          type = "ClippedSGD"       horizon = 20.0
    d = 2000                          df = 5                     lr = 0.5                  runs = 32
    exponent = 0.5                    scale = 0.5                threshold = 0.9           seed = 0

A schedule stands in place of a number: lr = { type = "Cosine", initial = 0.5, final = 0.05, duration = 20 }.
A scipy.stats law is type = "scipy", name = "skewnorm", parameters = { a = 4 }.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from os import PathLike
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray, array_type, classes, encode, known_names, name_of
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.optimizers.declared import OPTIMIZERS, SCHEDULES
from hdlimit.optimizers.schedules import Function, Schedule
from hdlimit.problem.declared import COVARIANCES, NOISES
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.problem import Problem
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.storage.decoding import decode
from hdlimit.storage.reading import opened, place

# Bytes of a problem file: a target of a million numbers takes 20 MB. Chosen.
_MOST_TEXT = 10**8
_NAMED_NUMBERS = dict[str, float]

# What a file may name; a class is known by its name once its module is imported.
KNOWN = (*COVARIANCES, *NOISES, *OPTIMIZERS, *SCHEDULES)


@dataclass(frozen=True, eq=False, repr=False)
class Run(Declaration):
    """How a study is run: the arguments of predict and verify.

    Parameters
    ----------
    horizon : float
        Length of the run in units of t = k/d.
    runs, seed, false_alarm, must_detect
        Of `verify`.
    rtol : float
        Relative tolerance of `predict`.
    times : array_like, shape (T,), optional
        Output times of `predict`.
    """

    horizon: float
    runs: int = 32
    seed: int = 0
    rtol: float = 1e-6
    false_alarm: float = 0.01
    times: FloatArray | None = None
    must_detect: float = 0.2

    def __post_init__(self) -> None:
        self._set(
            horizon=checks.positive("horizon", self.horizon),
            runs=checks.count("runs", self.runs),
            seed=checks.integer("seed", self.seed, 0),
            rtol=checks.fraction("rtol", self.rtol),
            false_alarm=checks.fraction("false_alarm", self.false_alarm),
            must_detect=checks.positive("must_detect", self.must_detect),
        )
        if self.times is not None:
            self._set(times=checks.times("times", self.times, self.horizon))


@dataclass(frozen=True, eq=False, repr=False)
class Study(Declaration):
    """What a problem file holds.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        The optimizer.
    run : Run
        How it is run.
    """

    problem: Problem
    optimizer: Optimizer
    run: Run


@known_names
def read_toml(path: str | PathLike[str]) -> Study:
    """Read a problem file.

    Parameters
    ----------
    path : str or path-like
        Path of a TOML file. Tables are named as in the Notes; `type` names a class, the other keys are its arguments.

    Returns
    -------
    Study
        With the attributes `problem`, `optimizer` and `run`.

    Raises
    ------
    InvalidInput
        For a missing file, broken TOML, an unknown or missing key, a value of the wrong type, and whatever the
        constructors refuse. The message names the file and the key.

    Notes
    -----
    The tables are `[problem.covariance]`, `[problem.noise]`, `[optimizer]`, `[run]` and, for the arrays `target` and
    `start`, `[problem]`. A schedule stands in place of a number:
    `lr = { type = "Cosine", initial = 0.5, final = 0.05, duration = 20 }`.

    Examples
    --------
    >>> from pathlib import Path
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> _ = Path("problem.toml").write_text(hd.to_toml(problem, hd.SGD(lr=0.5), horizon=5.0))
    >>> study = hd.read_toml("problem.toml")
    >>> study.problem == problem, study.optimizer, study.run.horizon
    (True, SGD(lr=0.5), 5.0)
    """
    with opened(path, "a readable TOML file", _MOST_TEXT) as file:
        text = file.read().decode("utf-8-sig")
    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise InvalidInput(place(path), "valid TOML", "tables or arrays nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and a number of more than 4300 digits
        raise InvalidInput(place(path), "valid TOML", f"an error: {error}") from error
    try:
        study = decode(_checked(tree, Study, ""), {}, "")
    except InvalidInput as error:
        key = error.argument.removeprefix(".")
        raise InvalidInput(f"{place(path)}: {key}" if key else place(path), error.expected, error.got) from None
    assert isinstance(study, Study)
    return study


@known_names
def to_toml(problem: Problem, optimizer: Optimizer, horizon: float, **run: Any) -> str:
    """Write a problem, an optimizer and a run as the text of a problem file.

    `read_toml` of the text gives equal declarations.

    Parameters
    ----------
    problem : Problem
        Without data rows.
    optimizer : Optimizer
        The optimizer.
    horizon : float
        Length of the run in units of t = k/d.
    **run
        runs, seed, rtol, false_alarm, must_detect, times: as in `predict` and `verify`.

    Returns
    -------
    str
        TOML.

    Raises
    ------
    InvalidInput
        For what TOML cannot hold: Python functions, data rows, distributions that are not from scipy.stats.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> print(hd.to_toml(problem, hd.SGD(lr=0.5), horizon=5.0))
    [problem.covariance]
    type = "Isotropic"
    d = 100
    ...
    """
    check_types(problem, optimizer)
    if problem.rows is not None:
        raise InvalidInput("problem", "one without data rows (save a result as .npz to keep them)", shown(problem))
    tree = encode(Study(problem, optimizer, Run(horizon, **run)), np.ndarray.tolist)
    sections = {
        "problem": {k: v for k, v in tree["problem"].items() if k in ("target", "start")},
        "problem.covariance": tree["problem"]["covariance"],
        "problem.noise": tree["problem"]["noise"],
        "optimizer": tree["optimizer"],
        "run": {k: v for k, v in tree["run"].items() if k != "type"},
    }
    return "\n".join(filter(None, (_section(name, table) for name, table in sections.items())))


def _section(name: str, table: dict[str, Any]) -> str:
    """Write one table of the file; nothing for a table without values."""
    lines = [f"{key} = {_literal(value)}\n" for key, value in table.items() if value is not None]
    return "".join([f"[{name}]\n", *lines]) if lines else ""


def _literal(value: Any) -> str:
    """Write one value as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_literal(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value) if isinstance(value, bool | str) else repr(value)


def _checked(table: Any, base: type, path: str) -> dict[str, Any]:
    """Check a table of the file: every key known, every type right, `type` filled in; ready for decode."""
    cls = _class_of(table, base, path)
    hints = _hints(cls)
    if unknown := [key for key in table if key not in hints and key != "type"]:
        raise InvalidInput(path, f"only the keys {', '.join(hints)}", f"an unknown key {unknown[0]!r}")
    if missing := [key for key, (_, required) in hints.items() if required and key not in table]:
        raise InvalidInput(f"{path}.{missing[0]}", _describe(hints[missing[0]][0]), "nothing (the key is missing)")
    values = {key: _value(table[key], hint, f"{path}.{key}") for key, (hint, _) in hints.items() if key in table}
    return {"type": name_of(cls), **values}


def _class_of(table: Any, base: type, path: str) -> type:
    """Find the class that a table names."""
    if not isinstance(table, dict):
        raise InvalidInput(path, "a table", shown(table, 80))
    choices = {name: cls for name, cls in classes(base).items() if cls is not Function}
    name = table.get("type", base.__name__ if base.__name__ in choices else None)
    if not isinstance(name, str) or name not in choices:
        got = "nothing (the key is missing)" if name is None else repr(name)
        raise InvalidInput(f"{path}.type", f"one of {', '.join(sorted(choices, key=str.lower))}", got)
    return choices[name]


def _hints(cls: type) -> dict[str, tuple[Any, bool]]:
    """List the keys of a class in a file: their types, and whether they are required."""
    if cls is ScipyNoise:
        return {"name": (str, True), "parameters": (_NAMED_NUMBERS, False)}
    types = get_type_hints(cls)
    return {
        f.name: (_without_none(types[f.name]), f.default is MISSING)
        for f in fields(cls)
        if _without_none(types[f.name]) is not Rows
    }


def _without_none(hint: Any) -> Any:
    """Take None out of an optional type."""
    return get_args(hint)[0] if get_origin(hint) in (UnionType, Union) else hint


def _describe(hint: Any) -> str:
    """Describe a type in words."""
    if hint is Any:
        return "a number or a table (a schedule)"
    if isinstance(hint, type) and issubclass(hint, Declaration):
        return "a table"
    names = {float: "a number", int: "an integer", str: "a string", tuple[Any, ...]: "a list of schedules"}
    return (names | {_NAMED_NUMBERS: "a table of numbers"}).get(hint, "an array of numbers")


def _value(value: Any, hint: Any, path: str) -> Any:
    """Convert a value of the file to the constructor's annotation (Any stands for a number or a schedule)."""
    if hint is Any and isinstance(value, dict):
        return _checked(value, Schedule, path)
    if isinstance(hint, type) and issubclass(hint, Declaration):
        return _checked(value, hint, path)
    if get_origin(hint) is tuple and isinstance(value, list):
        return [_value(item, Any, f"{path}[{k}]") for k, item in enumerate(value)]
    if hint is _NAMED_NUMBERS and isinstance(value, dict):
        return {key: _value(item, float, f"{path}.{key}") for key, item in value.items()}
    return _converted(value, hint, path)


def _converted(value: Any, hint: Any, path: str) -> Any:
    """Convert a number, a string or an array."""
    import msgspec

    is_array = array_type(hint) is not None
    wire = list[float | list[float]] if is_array else float if hint is Any else hint
    try:
        converted = msgspec.convert(value, wire)
        return np.array(converted, dtype=np.float64) if is_array else converted
    except msgspec.ValidationError as error:
        where = re.search(r" - at `\$(.*)`$", str(error))
        expected = "a number" if where else _describe(hint)
        raise InvalidInput(path + (where[1] if where else ""), expected, shown(value, 100)) from error
    except ValueError as error:
        raise InvalidInput(path, "an array with rows of equal length", shown(value, 100)) from error
