"""One column of numbers from a log file: text (.csv, .txt), .npy or .npz."""

from __future__ import annotations

import csv
import os
import zipfile
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput

if TYPE_CHECKING:
    from os import PathLike

COLUMN_FILES = (".csv", ".txt", ".npy", ".npz")


def read_column(path: str | PathLike[str], column: str | None = None) -> FloatArray:
    """Read a column of numbers. NaN and inf are read as they are.

    Parameters
    ----------
    path : str or path-like
        A .csv or .txt file (separated by commas, with or without a header line), a .npy file of shape (n,), or a .npz
        file.
    column : str, optional
        Name of the column or array; may be omitted where there is only one.

    Returns
    -------
    ndarray, shape (n,)
        The numbers.

    Raises
    ------
    InvalidInput
        For a missing or unreadable file, a missing column, and cells that are not numbers, with their line.
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
    return np.array([_entry(cells, index, f"{file}, line {line}") for line, cells in rows])


def _numeric(cells: list[str]) -> bool:
    try:
        np.array(cells, dtype=np.float64)
    except ValueError:
        return False
    return True


def _entry(cells: list[str], index: int, place: str) -> float:
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
        raise InvalidInput("path", "a file of numeric arrays", f"{file}: {_reason(error)}") from error
    name = list(arrays)[_index(list(arrays), column, file)]
    values = arrays[name]
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        got = f"type {values.dtype} and shape {values.shape} in {file}"
        raise InvalidInput("column", "a numeric array with one dimension", got)
    return np.asarray(values, dtype=np.float64)


def _reason(error: Exception) -> str:
    """Say why NumPy read no arrays; its own advice, to allow objects that run code, is not passed on."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it holds Python objects" if "Object arrays" in str(error) else "it is damaged or of another format"


class Table(NamedTuple):
    """Features and response of a data set.

    Attributes
    ----------
    X : ndarray, shape (n, d)
        Features.
    y : ndarray, shape (n,)
        Response.
    columns : tuple of str
        Names of the d features.
    """

    X: FloatArray
    y: FloatArray
    columns: tuple[str, ...]


def read_table(path: str | PathLike[str], target: str | None = None) -> Table:
    """Read features and response from a .csv or .npz file.

    NaN and inf are read as they are; `Problem.from_data` refuses them.

    Parameters
    ----------
    path : str or path-like
        A .csv file with a header line and numbers, separated by commas, or an .npz file of arrays with n rows each, of
        shape (n, d) such as X or (n,).
    target : str, default "y"
        Name of the column or array of the response. All others are features, in the order of the file.

    Returns
    -------
    Table
        (X, y, columns), which `Problem.from_data` takes.

    Raises
    ------
    InvalidInput
        For a missing, empty or unreadable file, a missing column, text cells (with their line and column), and rows of
        different lengths.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidInput("path", "a .csv or .npz file", repr(path)[:120])
    file = Path(path)
    readers = {".csv": _read_csv, ".npz": _read_npz}
    if file.suffix.lower() not in readers:
        raise InvalidInput("path", "a .csv or .npz file", str(file))
    if not file.is_file():
        raise InvalidInput("path", "a file that exists", str(file))
    return readers[file.suffix.lower()](file, "y" if target is None else target)


def _split(columns: list[str], target: str, file: Path) -> int:
    if columns.count(target) != 1:
        known = ", ".join(columns[:30]) + (", ..." if len(columns) > 30 else "")
        got = f"{target!r}, which is there {columns.count(target)} times"
        raise InvalidInput("target", f"one column of {file} ({known})", got)
    if len(columns) == 1:
        raise InvalidInput("path", f"at least one column besides {target!r}", f"{file} with one column")
    return columns.index(target)


def _read_csv(file: Path, target: str) -> Table:
    values: list[list[float]] = []
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lines = csv.reader(stream)
            header = [name.strip() for name in next(lines, [])]
            _check_header(header, file)
            index = _split(header, target, file)
            values.extend(_line(cells, header, f"{file} line {lines.line_num}") for cells in lines if cells)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InvalidInput("path", "a readable CSV file in UTF-8", f"{file}: {error}") from error
    if not values:
        raise InvalidInput("path", "rows of numbers below the header", f"{file} with a header only")
    table = np.array(values)
    return Table(np.delete(table, index, axis=1), table[:, index].copy(), (*header[:index], *header[index + 1 :]))


def _check_header(header: list[str], file: Path) -> None:
    if not header:
        raise InvalidInput("path", "a CSV file with a header line", f"{file}, whose first line is empty")
    try:
        np.array(header, dtype=np.float64)
    except ValueError:
        return
    raise InvalidInput("path", "a header line of column names", f"{file}, whose first line holds numbers")


def _line(cells: list[str], header: list[str], place: str) -> list[float]:
    if len(cells) != len(header):
        raise InvalidInput("path", f"{len(header)} cells in every line, as in the header", f"{len(cells)} in {place}")
    return [_cell(cell, name, place) for cell, name in zip(cells, header, strict=True)]


def _cell(cell: str, name: str, place: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise InvalidInput("path", "numbers", f"{cell!r:.40} in {place}, column {name!r}") from None


def _read_npz(file: Path, target: str) -> Table:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InvalidInput("path", "an .npz file of numeric arrays", f"{file}: {_reason(error)}") from error
    _split(list(arrays), target, file)
    y = _numeric_array(target, arrays.pop(target), file)
    parts, columns = [], []
    for name, values in arrays.items():
        block = _numeric_array(name, values, file)
        columns += [name] if block.ndim == 1 else [f"{name}{i}" for i in range(block.shape[1])]
        parts.append(block.reshape(block.shape[0], -1))
    lengths = {y.shape[0], *(part.shape[0] for part in parts)}
    if y.ndim != 1 or len(lengths) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in {target: y, **arrays}.items())
        expected = f"{target!r} with one dimension and all other arrays with as many rows"
        raise InvalidInput("path", expected, f"{file} with {shapes}")
    return Table(np.concatenate(parts, axis=1), y, tuple(columns))


def _numeric_array(name: str, values: Any, file: Path) -> FloatArray:
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        got = f"{name!r} of type {values.dtype} and shape {values.shape} in {file}"
        raise InvalidInput("path", "numeric arrays with one or two dimensions", got)
    return np.asarray(values, dtype=np.float64)
