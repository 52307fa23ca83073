"""Numbers from files: one column of a log, or features and response of a data set."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.storage.arrays import read_archive, read_array
from hdlimit.storage.reading import file_name, opened, place
from hdlimit.storage.text_table import TextTable

COLUMN_FILES = (".csv", ".txt", ".npy", ".npz")
TABLE_FILES = (".csv", ".txt", ".npz")
_TEXT = (".csv", ".txt")
# Names of columns that a message lists. Chosen.
_LISTED = 12


def read_column(path: str | PathLike[str], column: str | None = None) -> FloatArray:
    """Read a column of numbers. NaN and inf are read as they are.

    Parameters
    ----------
    path : str or path-like
        A .csv or .txt file (columns separated by commas, semicolons, tabs or blanks, with or without a header line,
        decimal points or decimal commas), a .npy file of shape (n,), or a .npz file.
    column : str, optional
        Name of the column or array; may be omitted where there is only one.

    Returns
    -------
    ndarray, shape (n,)
        The numbers.

    Raises
    ------
    InvalidInput
        For a file that is missing, damaged, larger than 2 GB or no regular file, a missing column, cells that are not
        numbers, with their line, lines of different lengths, and numbers that can be read in two ways.
    """
    file = file_name(path, COLUMN_FILES)
    if file.suffix.lower() in _TEXT:
        return _text_column(file, column)
    with opened(path, "a file of numeric arrays") as stream:
        if file.suffix.lower() == ".npy":
            arrays = {"0": read_array(stream, os.fstat(stream.fileno()).st_size)}
        else:
            arrays = read_archive(stream, place(file))
    values = arrays[list(arrays)[_index(tuple(arrays), column, file)]]
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        got = f"type {values.dtype} and shape {values.shape} in {place(file)}"
        raise InvalidInput("column", "a numeric array with one dimension", got)
    return np.asarray(values, dtype=np.float64)


def _text_column(file: Path, column: str | None) -> FloatArray:
    with opened(file, "a readable text file in UTF-8") as stream:
        text = TextTable(stream, place(file))
        if text.width:
            names = text.header or tuple(map(str, range(text.width)))
            values = text.numbers([_index(names, column, file)])[:, 0]
            if values.size:
                return values.copy()
        raise InvalidInput("path", "lines of numbers", f"{place(file)} without any")


def _index(names: tuple[str, ...], column: str | None, file: Path) -> int:
    if column is None and len(names) == 1:
        return 0
    if column is None or names.count(column) != 1:
        raise InvalidInput("column", f"one column of {place(file)} ({_listed(names)})", shown(column))
    return names.index(column)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(shown(name, 20)[1:-1] for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


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
    """Read features and response from a text file or a .npz file.

    NaN and inf are read as they are; `Problem.from_data` refuses them.

    Parameters
    ----------
    path : str or path-like
        A .csv or .txt file with a header line (columns separated by commas, semicolons, tabs or blanks, decimal points
        or decimal commas), or a .npz file of arrays with n rows each, of shape (n, d) such as X or (n,).
    target : str, default "y"
        Name of the column or array of the response. All others are features, in the order of the file.

    Returns
    -------
    Table
        (X, y, columns), which `Problem.from_data` takes.

    Raises
    ------
    InvalidInput
        For a file that is missing, empty, damaged, larger than 2 GB or no regular file, a missing column, text cells
        (with their line and column), lines of different lengths, and numbers that can be read in two ways.
    """
    file = file_name(path, TABLE_FILES)
    wanted = "y" if target is None else target
    if file.suffix.lower() in _TEXT:
        with opened(path, "a readable CSV file in UTF-8") as stream:
            return _text_table(stream, wanted, file)
    with opened(path, "an .npz file of numeric arrays") as stream:
        arrays = read_archive(stream, place(file))
    return _array_table(arrays, wanted, file)


def _split(columns: tuple[str, ...], target: str, file: Path) -> int:
    if columns.count(target) != 1:
        got = f"{shown(target, 40)}, which is there {columns.count(target)} times"
        raise InvalidInput("target", f"one column of {place(file)} ({_listed(columns)})", got)
    if len(columns) == 1:
        raise InvalidInput("path", f"at least one column besides {target!r}", f"{place(file)} with one column")
    return columns.index(target)


def _text_table(stream: BinaryIO, target: str, file: Path) -> Table:
    text = TextTable(stream, place(file))
    if not text.width:
        raise InvalidInput("path", "a CSV file with a header line", f"{place(file)} without any lines")
    if (header := text.header) is None:
        raise InvalidInput("path", "a header line of column names", f"{place(file)}, whose first line holds numbers")
    index = _split(header, target, file)
    table = text.numbers(list(range(text.width)))
    if not len(table):
        raise InvalidInput("path", "rows of numbers below the header", f"{place(file)} with a header only")
    return Table(np.delete(table, index, axis=1), table[:, index].copy(), (*header[:index], *header[index + 1 :]))


def _array_table(arrays: dict[str, NDArray[Any]], target: str, file: Path) -> Table:
    _split(tuple(arrays), target, file)
    y = _numeric(target, arrays.pop(target), file)
    parts, columns = [], []
    for name, values in arrays.items():
        block = _numeric(name, values, file)
        columns += [name] if block.ndim == 1 else [f"{name}{i}" for i in range(block.shape[1])]
        parts.append(block.reshape(block.shape[0], -1))
    lengths = {y.shape[0], *(part.shape[0] for part in parts)}
    if y.ndim != 1 or len(lengths) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in list({target: y, **arrays}.items())[:_LISTED])
        expected = f"{target!r} with one dimension and all other arrays with as many rows"
        raise InvalidInput("path", expected, f"{place(file)} with {shapes}")
    return Table(np.concatenate(parts, axis=1), y, tuple(columns))


def _numeric(name: str, values: NDArray[Any], file: Path) -> FloatArray:
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        got = f"{name!r} of type {values.dtype} and shape {values.shape} in {place(file)}"
        raise InvalidInput("path", "numeric arrays with one or two dimensions", got)
    return np.asarray(values, dtype=np.float64)
