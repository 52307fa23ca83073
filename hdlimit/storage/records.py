"""Saving and loading results.

.npz holds everything, bit for bit: named arrays and one JSON string of metadata, never pickles. .csv and .json hold the
columns that a plot needs, with the metadata as comments or as an object.
"""

from __future__ import annotations

import json
import math
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

import hdlimit
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, NotAvailable, ValidityWarning
from hdlimit.storage.encoding import decode, encode
from hdlimit.storage.files import checked_path, new_file

if TYPE_CHECKING:
    from os import PathLike

    from hdlimit.finite_size.sde import SdePaths
    from hdlimit.prediction.curve import Curve
    from hdlimit.prediction.sweep import Sweep
    from hdlimit.simulation.ensemble import Ensemble
    from hdlimit.verification.scaling import ScalingStudy
    from hdlimit.verification.verify import Report

Result: TypeAlias = "Curve | Ensemble | SdePaths | Report | ScalingStudy | Sweep"

RESULT_FILES = (".npz", ".csv", ".json")
_COLUMNS = {
    "Curve": ("time", "samples", "risk", "distance", "gradient_norm"),
    "Ensemble": ("time", "samples", "mean", "spread", "stderr"),
    "SdePaths": ("time", "mean", "spread", "stderr"),
    "Report": ("time", "predicted", "mean", "stderr", "allowance", "relative_error"),
    "ScalingStudy": (
        *("dimensions", "size", "bias", "bias_stderr"),
        *("spread", "spread_stderr", "predicted_spread"),
    ),
    "Sweep": ("time", "risk"),
}
_FACTS = {
    "Curve": ("rtol",),
    "Ensemble": ("runs", "rows", "method", "entropy", "spawn_key"),
    "SdePaths": ("runs", "diffusion", "steps", "entropy", "spawn_key"),
    "Report": ("verdict", "passed", "detectable", "z_max", "critical", "false_alarm", "stopped"),
    "ScalingStudy": ("verdict", "reason", "detectable", "slopes", "confidence", "false_alarm", "stopped"),
    "Sweep": ("rtol", "names"),
}
_FORMAT = "hdlimit-result-1"
_METADATA = "metadata"
_BROKEN = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def save(result: Result, path: str | PathLike[str]) -> None:
    """Write a result, whole or not at all.

    result: a Curve, an Ensemble, SdePaths, a Report, a ScalingStudy or a Sweep; path: ends in .npz (everything, exact;
    hd.load reads it back), .csv or .json (columns and metadata only; NaN and inf are null in .json).
    Raises InvalidInput for another ending, a path that cannot be written, and what cannot be saved (Python functions).
    """
    if not _is_result(result):
        expected = "a Curve, an Ensemble, SdePaths, a Report, a ScalingStudy or a Sweep"
        raise InvalidInput("result", expected, f"a {type(result).__name__}")
    writers = {".npz": _npz, ".csv": _csv, ".json": _json}
    target = checked_path(path, RESULT_FILES)
    with new_file(target) as file:
        writers[target.suffix.lower()](result, file)


def _is_result(value: object) -> bool:
    name = type(value).__name__
    return name in _COLUMNS and type(value) is getattr(hdlimit, name)


def load(path: str | PathLike[str]) -> Result:
    """Read a result back from .npz, equal to the saved one bit for bit.

    Raises InvalidInput for a file that is missing, truncated, changed, or not written by `save`.
    """
    expected = "a .npz file written by save"
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            header = json.loads(str(stored[_METADATA]))
            arrays = {name: stored[name] for name in stored.files if name != _METADATA}
        if header["format"] != _FORMAT:
            raise InvalidInput("path", expected, f"{str(path)!r} (format {header['format']!r})")
        result = decode(header["result"], arrays, str(path))
    except InvalidInput:
        raise
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or "foreign, truncated or changed"
        raise InvalidInput("path", expected, f"{str(path)!r} ({reason})") from error
    if not _is_result(result):
        raise InvalidInput("path", expected, f"{str(path)!r} (a {type(result).__name__})")
    return cast("Result", result)


def columns(result: Result) -> dict[str, FloatArray]:
    """The columns of a result by name, each of shape (T,); of a sweep (points * T,)."""
    if type(result).__name__ == "Sweep":
        return cast("Sweep", result).columns()
    table = {name: getattr(result, name) for name in _COLUMNS[type(result).__name__]}
    whole: Any = result
    for observable in getattr(whole, "recorded", ()):
        name = observable.name
        table |= {name: observable.mean, f"{name}_spread": observable.spread, f"{name}_stderr": observable.stderr}
    for other in getattr(whole, "others", ()):
        named = _COLUMNS["Report"][1:]
        table |= {f"{other.quantity}_{column}": getattr(other, column) for column in named}
    return table | _spread(whole) if type(result).__name__ == "Curve" else table


def _spread(curve: Curve) -> dict[str, FloatArray]:
    """The column of the predicted spread, where there is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ValidityWarning)
            return {"spread": curve.spread}
    except NotAvailable:
        return {}


def metadata(result: Result) -> dict[str, Any]:
    """What a reader of the columns needs to know: version, problem, optimizer, horizon, outcomes, seeds, verdict; of a
    study those of its largest dimension.
    """
    kind = type(result).__name__
    whole: Any = result
    judged = whole.reports[-1] if kind == "ScalingStudy" else whole
    parts = (judged.curve, judged.runs) if judged is not whole or kind == "Report" else (whole,)
    facts = {"result": kind, "version": parts[0].version}
    facts |= {"problem": repr(parts[0].problem), "optimizer": repr(parts[0].optimizer), "horizon": parts[0].horizon}
    for part in parts:
        name = type(part).__name__
        facts |= {f"{name.lower()}_outcome": str(part.outcome)} | {fact: getattr(part, fact) for fact in _FACTS[name]}
    return facts | {fact: getattr(whole, fact) for fact in _FACTS[kind]}


def finite_or_none(value: Any) -> Any:
    """The value for JSON, which has no NaN and no inf: null stands for them, also inside lists and dicts."""
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [finite_or_none(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _npz(result: Result, file: IO[bytes]) -> None:
    arrays: dict[str, Any] = {}

    def reference(array: Any) -> dict[str, str]:
        name = f"array{len(arrays)}"
        arrays[name] = array
        return {"array": name}

    header = {"format": _FORMAT, "result": encode(result, reference)}
    arrays[_METADATA] = np.array(json.dumps(header))
    np.savez(file, **arrays)


def _csv(result: Result, file: IO[bytes]) -> None:
    table = columns(result)
    lines = [f"# {key}: {json.dumps(value)}" for key, value in metadata(result).items()]
    lines.append(",".join(table))
    lines += [",".join(map(_cell, row)) for row in zip(*(column.tolist() for column in table.values()))]
    file.write(("\n".join(lines) + "\n").encode())


def _cell(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _json(result: Result, file: IO[bytes]) -> None:
    content = {**metadata(result), **columns(result)}
    file.write((json.dumps(finite_or_none(content), allow_nan=False, indent=1) + "\n").encode())
