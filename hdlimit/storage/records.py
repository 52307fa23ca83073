"""Results in files.

.npz holds everything, bit for bit: named arrays and one JSON string of metadata, never pickles. .csv and .json hold the
columns that a plot needs, with the metadata as comments or as an object.
"""

from __future__ import annotations

import math
from os import PathLike
from typing import IO, Any, ClassVar

import numpy as np

from hdlimit.core.declaration import encode, known_names, registered
from hdlimit.storage.files import checked_path, new_file

RESULT_FILES = (".npz", ".csv", ".json")
FORMAT = "hdlimit-result-1"
METADATA = "metadata"


@known_names
class Record:
    """Base of the results that can be saved: frozen dataclasses of named arrays.

    Attributes
    ----------
    table : tuple of str
        Names of the attributes that are columns of a .csv or .json file.
    facts : tuple of str
        Names of the attributes that are metadata there.
    kinds : dict of str to type
        Classes of the fields whose annotation is Any; `storage.contents` has the meaning of this and the next two.
    shapes : dict of str to str
        Names of the axes of the arrays.
    ordered : tuple of str
        Names of the arrays that never fall.
    """

    table: ClassVar[tuple[str, ...]] = ()
    facts: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[dict[str, type]] = {}
    shapes: ClassVar[dict[str, str]] = {}
    ordered: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        registered(known_names(cls))

    def parts(self) -> tuple[Any, ...]:
        """Return the results of which this one is made, each with a problem, an optimizer, an outcome and a version."""
        return (self,)

    def columns(self) -> dict[str, Any]:
        """Return the columns of a .csv or .json file by name, each of shape (T,)."""
        return {name: getattr(self, name) for name in self.table}

    def metadata(self) -> dict[str, Any]:
        """Return what a reader of the columns needs to know: version, problem, optimizer, outcomes, seeds, verdict."""
        parts = self.parts()
        facts = {"result": type(self).__name__, "version": parts[0].version}
        facts |= {"problem": repr(parts[0].problem), "optimizer": repr(parts[0].optimizer), "horizon": parts[0].horizon}
        for part in parts:
            facts |= {f"{type(part).__name__.lower()}_outcome": str(part.outcome)}
            facts |= {fact: getattr(part, fact) for fact in part.facts}
        return facts | {fact: getattr(self, fact) for fact in self.facts}

    def save(self, path: str | PathLike[str]) -> None:
        """Write to a file, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            Ends in .npz (everything, exact; `hdlimit.load` reads it back), .csv or .json (columns and metadata; NaN and
            inf are null in .json).

        Raises
        ------
        InvalidInput
            For another ending, a path that cannot be written, and what cannot be saved (Python functions).
        """
        writers = {".npz": _npz, ".csv": _csv, ".json": _json}
        target = checked_path(path, RESULT_FILES)
        with new_file(target) as file:
            writers[target.suffix.lower()](self, file)


def finite_or_none(value: Any) -> Any:
    """Return a value for JSON, with None in place of NaN and inf.

    Parameters
    ----------
    value : object
        A number, an array, or a list, tuple or dict of them.

    Returns
    -------
    object
        The value, arrays and tuples as lists.
    """
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [finite_or_none(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _npz(result: Record, file: IO[bytes]) -> None:
    import json

    arrays: dict[str, Any] = {}

    def reference(array: Any) -> dict[str, str]:
        name = f"array{len(arrays)}"
        arrays[name] = array
        return {"array": name}

    header = {"format": FORMAT, "result": encode(result, reference)}
    arrays[METADATA] = np.array(json.dumps(header))
    np.savez(file, **arrays)


def _csv(result: Record, file: IO[bytes]) -> None:
    import json

    table = result.columns()
    lines = [f"# {key}: {json.dumps(value)}" for key, value in result.metadata().items()]
    lines.append(",".join(table))
    lines += [",".join(map(_cell, row)) for row in zip(*(column.tolist() for column in table.values()))]
    file.write(("\n".join(lines) + "\n").encode())


def _cell(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _json(result: Record, file: IO[bytes]) -> None:
    import json

    content = {**result.metadata(), **result.columns()}
    file.write((json.dumps(finite_or_none(content), allow_nan=False, indent=1) + "\n").encode())
