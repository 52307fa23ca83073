"""Saving and loading results.

.npz holds everything, bit for bit: named arrays and one JSON string of metadata, never pickles. .csv and .json hold the
columns that a plot needs, with the metadata as comments or as an object.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hdlimit.declaration import FloatArray
from hdlimit.encoding import decode, encode
from hdlimit.errors import InvalidInput
from hdlimit.results import Curve, Ensemble

if TYPE_CHECKING:
    from os import PathLike

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


@contextmanager
def new_file(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name whole, at the end of the block, or not at all.

    path: of the file; an existing one is replaced. Raises InvalidInput where it cannot be written.
    """
    try:
        target = Path(path).resolve()
    except TypeError as error:
        raise InvalidInput("path", "a path", repr(path)[:80]) from error
    temporary = target.with_name(f".hdlimit-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise InvalidInput("path", "a path that can be written", f"{str(path)!r} ({error.strerror})") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def save(result: Curve | Ensemble, path: str | PathLike[str]) -> None:
    """Write a result, whole or not at all.

    result: a Curve or an Ensemble; path: ends in .npz (everything, exact; hd.load reads it back), .csv or .json
    (columns and metadata only; NaN and inf are null in .json).
    Raises InvalidInput for another ending, a path that cannot be written, and what cannot be saved (Python functions).
    """
    writers = {".npz": _npz, ".csv": _csv, ".json": _json}
    suffix = Path(path).suffix.lower() if isinstance(path, str | os.PathLike) else None
    if suffix not in writers:
        raise InvalidInput("path", "a file name ending in .npz, .csv or .json", repr(path)[:120])
    with new_file(path) as file:
        writers[suffix](result, file)


def load(path: str | PathLike[str]) -> Curve | Ensemble:
    """Read a result back from .npz, equal to the saved one bit for bit.

    Raises InvalidInput for a file that is missing, truncated, changed, or not written by `save`.
    """
    expected = "a .npz file written by save"
    try:
        with np.load(path, allow_pickle=False) as stored:
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
    if not isinstance(result, Curve | Ensemble):
        raise InvalidInput("path", expected, f"{str(path)!r} (a {type(result).__name__})")
    return result


def columns(result: Curve | Ensemble) -> dict[str, FloatArray]:
    """The columns of a result by name, each of shape (T,)."""
    names = ("risk", "distance", "gradient_norm") if isinstance(result, Curve) else ("mean", "spread", "stderr")
    return {name: getattr(result, name) for name in ("time", "samples", *names)}


def metadata(result: Curve | Ensemble) -> dict[str, Any]:
    """What a reader of the columns needs to know: version, problem, optimizer, horizon, outcome, and seeds or rtol."""
    shared = {
        "result": type(result).__name__,
        "version": result.version,
        "problem": repr(result.problem),
        "optimizer": repr(result.optimizer),
        "horizon": result.horizon,
        "outcome": str(result.outcome),
    }
    if isinstance(result, Curve):
        return shared | {"rtol": result.rtol}
    seeds = {"entropy": result.entropy, "spawn_key": list(result.spawn_key)}
    return shared | {"runs": result.runs, "rows": result.rows} | seeds


def finite_or_none(value: Any) -> Any:
    """The value for JSON, which has no NaN and no inf: null stands for them, also inside lists and dicts."""
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [finite_or_none(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _npz(result: Curve | Ensemble, file: IO[bytes]) -> None:
    arrays: dict[str, Any] = {}

    def reference(array: Any) -> dict[str, str]:
        name = f"array{len(arrays)}"
        arrays[name] = array
        return {"array": name}

    header = {"format": _FORMAT, "result": encode(result, reference)}
    arrays[_METADATA] = np.array(json.dumps(header))
    np.savez(file, **arrays)


def _csv(result: Curve | Ensemble, file: IO[bytes]) -> None:
    table = columns(result)
    lines = [f"# {key}: {json.dumps(value)}" for key, value in metadata(result).items()]
    lines.append(",".join(table))
    lines += [",".join(map(repr, row)) for row in zip(*(column.tolist() for column in table.values()))]
    file.write(("\n".join(lines) + "\n").encode())


def _json(result: Curve | Ensemble, file: IO[bytes]) -> None:
    content = {**metadata(result), **columns(result)}
    file.write((json.dumps(finite_or_none(content), allow_nan=False, indent=1) + "\n").encode())
