"""The axes of a sweep: checked values by name, and what a problem and an optimizer are at a point of the grid."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, spelt
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.schedules import Constant, Schedule, as_schedule
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem

Values = Any  # FloatArray, IntArray, tuple[NoiseLaw, ...] or tuple[Schedule | float, ...]
OPTIMIZER_AXES = ("lr", "threshold", "batch_size")
_SCHEDULES = ("lr", "threshold")
_OPTIONS = ("times", "final", "rtol", "compress", "threads", "executor", "progress")


def checked_axes(problem: Problem, optimizer: Any, given: dict[str, Any]) -> dict[str, Values]:
    """Return the values on the axes. Raises InvalidInput."""
    tunable = tuple(name for name in OPTIMIZER_AXES if name in {f.name for f in fields(optimizer)})
    parameters = _parameters(problem.noise)
    known = (*tunable, "noise", *parameters)
    if not given:
        raise InvalidInput("axes", f"values for at least one of {', '.join(known)}", "none")
    for name in given:
        if name not in known:
            if name == "threshold":
                raise InvalidInput(name, "an optimizer that clips", shown(optimizer))
            what = f"an axis or an option of sweep: {spelt(name, [*known, *_OPTIONS])}"
            raise InvalidInput(name, what, "an unknown name")
    if "noise" in given and (both := [name for name in given if name in parameters]):
        raise InvalidInput("noise", f"an axis of laws or one of {both[0]}, not both", "both")
    axes = {name: _values(name, value, problem.noise) for name, value in given.items()}
    points = math.prod(len(values) for values in axes.values())
    if points > checks.MOST:
        raise InvalidInput("axes", f"at most {checks.MOST:g} points", f"{points:g}")
    return axes


def _parameters(noise: NoiseLaw) -> tuple[str, ...]:
    """Return the names of a law's parameters that are numbers."""
    law: Any = noise
    return tuple(f.name for f in fields(law) if type(getattr(law, f.name)) in (int, float))


def _values(name: str, value: Any, noise: NoiseLaw) -> Values:
    if name == "noise":
        laws = tuple(as_noise(law) for law in (value if isinstance(value, list | tuple) else (value,)))
        if not laws or len(set(laws)) < len(laws):
            raise InvalidInput("noise", "a list of distinct noise laws", shown(value))
        return laws
    if name in _SCHEDULES and isinstance(value, list | tuple) and any(map(_moves, value)):
        return _schedules(name, value)
    numbers = _numbers(name, value, infinite=name == "threshold")
    if name == "batch_size":
        return np.array([checks.count(name, number) for number in numbers.tolist()])
    if name not in OPTIMIZER_AXES:
        changed: Any = noise
        for number in numbers.tolist():
            replace(changed, **{name: number})
    return numbers


def are_axes(problem: Problem, optimizer: Any, axes: dict[str, Any]) -> bool:
    """Whether these are values on axes as `checked_axes` returns them."""
    try:
        checked = checked_axes(problem, optimizer, axes) if axes else {}
    except (InvalidInput, TypeError, ValueError):
        return False
    kinds = [[(type(values), getattr(values, "dtype", None)) for values in one.values()] for one in (checked, axes)]
    return kinds[0] == kinds[1]


def _moves(value: Any) -> bool:
    return isinstance(value, Schedule) or callable(value)


def _schedules(name: str, given: Any) -> tuple[Schedule | float, ...]:
    """Schedules and numbers among them. Raises InvalidInput."""
    found = [as_schedule(name, value, allow_infinite=name == "threshold") for value in given]
    values = tuple(one.value if isinstance(one, Constant) else one for one in found)
    if len(set(values)) < len(values):
        raise InvalidInput(name, "distinct schedules", shown(given))
    return values


def at_start(threshold: Any) -> float:
    """Return the threshold at t = 0."""
    return float(threshold(0.0)) if isinstance(threshold, Schedule) else float(threshold)


def _numbers(name: str, value: Any, infinite: bool) -> FloatArray:
    values = numbers(name, value, infinite)
    if (values <= 0).any():
        raise InvalidInput(name, "values > 0", f"a smallest value of {values.min():g}")
    if np.unique(values).size < values.size:
        raise InvalidInput(name, "distinct values", shown(values.tolist()))
    return values


def numbers(argument: str, value: Any, infinite: bool) -> FloatArray:
    """Return one number or several as an array of shape (n,).

    Parameters
    ----------
    argument : str
        Name of the argument, for messages.
    value : object
        What was given.
    infinite : bool
        Whether inf may be among them.

    Returns
    -------
    ndarray, shape (n,)
        The numbers.

    Raises
    ------
    InvalidInput
        If the value is anything else.
    """
    given = [value] if checks.is_scalar(value) else value
    read = checks.real(argument, given, "numbers")
    if not infinite or not (read == math.inf).any():
        return checks.array(argument, given, 1)
    checks.array(argument, np.where(read == math.inf, 1.0, read), 1)
    return read


def at(problem: Problem, optimizer: Any, values: dict[str, Any]) -> tuple[Problem, Any]:
    """Return the problem and the optimizer with other parameters."""
    values = {name: plain(value) for name, value in values.items()}
    own = {name: value for name, value in values.items() if name in OPTIMIZER_AXES}
    law: Any = values.pop("noise", problem.noise)
    parameters = {name: value for name, value in values.items() if name not in own}
    if parameters:
        law = replace(law, **parameters)
    if law is not problem.noise:
        problem = replace(problem, noise=law)
    return problem, replace(optimizer, **own) if own else optimizer


def first(problem: Problem, optimizer: Any, axes: dict[str, Values]) -> tuple[Problem, Any]:
    """Return the problem and the optimizer at the first point."""
    return at(problem, optimizer, {name: values[0] for name, values in axes.items()})


def plain(value: Any) -> Any:
    """Return a number of Python from one of NumPy."""
    return value.item() if isinstance(value, np.generic) else value


def labels(values: Values) -> Any:
    """Return the numbers on an axis, or the reprs of laws and schedules."""
    return values if isinstance(values, np.ndarray) else np.array([repr(law) for law in values])
