"""One column of numbers from a log file: text (.csv, .txt), .npy or .npz."""

from __future__ import annotations

import csv
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput

COLUMN_FILES = (".csv", ".txt", ".npy", ".npz")


def read_column(path: str | PathLike[str], column: str | None = None) -> FloatArray:
    """A column of numbers, shape (n,).

    path: .csv or .txt (separated by commas, with or without a header line), .npy (shape (n,)) or .npz; column: name of
    the column or array, None where there is only one. NaN and inf are read as they are.
    Raises InvalidInput for a missing or unreadable file, a missing column, and cells that are not numbers, with their
    line.
    """
    file = Path(path)
    if file.suffix.lower() not in COLUMN_FILES:
        raise InvalidInput("path", f"a file ending in {', '.join(COLUMN_FILES)}", str(file))
    if not file.is_file():
        raise InvalidInput("path", "a file that exists", str(file))
    return _text(file, column) if file.suffix.lower() in (".csv", ".txt") else _arrays(file, column)


def _text(file: Path, column: str | None) -> FloatArray:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lines = csv.reader(line for line in stream if not line.startswith("#"))
            rows = [(i, [cell.strip() for cell in cells]) for i, cells in enumerate(lines, 1) if cells]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InvalidInput("path", "a readable text file in UTF-8", f"{file}: {error}") from error
    header = rows.pop(0)[1] if rows and not _numeric(rows[0][1]) else None
    if not rows:
        raise InvalidInput("path", "lines of numbers", f"{file} without any")
    index = _index(header or [str(i) for i in range(len(rows[0][1]))], column, file)
    return np.array([_cell(cells, index, f"{file}, line {line}") for line, cells in rows])


def _numeric(cells: list[str]) -> bool:
    try:
        np.array(cells, dtype=np.float64)
    except ValueError:
        return False
    return True


def _cell(cells: list[str], index: int, place: str) -> float:
    try:
        return float(cells[index])
    except (ValueError, IndexError):
        got = repr(cells[index])[:40] if index < len(cells) else "a line that is too short"
        raise InvalidInput("path", "numbers", f"{got} in {place}") from None


def _index(names: list[str], column: str | None, file: Path) -> int:
    if column is None and len(names) == 1:
        return 0
    if column is None or names.count(column) != 1:
        known = ", ".join(names[:30])
        raise InvalidInput("column", f"one column of {file} ({known})", repr(column))
    return names.index(column)


def _arrays(file: Path, column: str | None) -> FloatArray:
    try:
        with file.open("rb") as stream:
            loaded: Any = np.load(stream, allow_pickle=False)
            arrays = {"0": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InvalidInput("path", "a file of numeric arrays", f"{file}: {error}") from error
    name = list(arrays)[_index(list(arrays), column, file)]
    values = arrays[name]
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        got = f"type {values.dtype} and shape {values.shape} in {file}"
        raise InvalidInput("column", "a numeric array with one dimension", got)
    return np.asarray(values, dtype=np.float64)
