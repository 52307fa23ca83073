"""Numbers from text: which separator, which decimal sign, and a refusal where a file could mean two things.

The separator is a semicolon, a tab, a comma or blanks, the first of these in the second line. The decimal sign is a
point, or a comma in every number that has one. "0,53" alone in its line is one number below a header of one name, two
columns below a header of two, and refused without a header.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.storage.reading import MOST_BYTES

# Bytes of a line: numbers of 20 000 columns take 400 000. Chosen.
_LONGEST_LINE = 10_000_000
# The separator of a file of one column: no line holds it.
_NONE = "\x1f"
_QUOTED = re.compile(r'"[^"]*"')
_DECIMAL = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_WHOLE = re.compile(r"[+-]?\d+")
_REMEDY = "with decimal points, or with semicolons between the columns"


class TextTable:
    """The lines of a text file as cells.

    Parameters
    ----------
    stream : file
        Open for reading bytes: UTF-8, with or without a byte-order mark. Lines that begin with # are comments.
    place : str
        The file, for messages.

    Attributes
    ----------
    header : tuple of str or None
        Names of the columns, None for a file whose first line holds numbers.
    width : int
        Number of columns, 0 for a file without lines.
    """

    def __init__(self, stream: BinaryIO, place: str) -> None:
        self._place, self._line = place, 0
        self._commas = self._points = self._certain = False
        lines = _numbered(stream, place)
        begin = list(islice(lines, 2))
        self._separator = _separator([line for _, line in begin])
        self._rows = self._cells(chain(begin, lines))
        first = next(self._rows, [])
        self.width = len(first)
        numbers = bool(first) and all(map(_is_number, first))
        self.header = None if numbers or not first else tuple(first)
        self._first = [first] if numbers else []

    def numbers(self, wanted: list[int]) -> FloatArray:
        """Return the numbers in some columns, of all lines; every line must have as many cells as the first.

        Parameters
        ----------
        wanted : list of int
            The columns.

        Returns
        -------
        ndarray, shape (n, len(wanted))
            The numbers; NaN and inf as they are written.

        Raises
        ------
        InvalidInput
            For a line of another length, a cell that is no number, and numbers that can be read in two ways.
        """
        values, whole = array("d"), self.header is None and self._separator == ","
        names = self.header or tuple(map(str, range(self.width)))
        for cells in chain(self._first, self._rows):
            if len(cells) != self.width:
                self._refuse_length(cells)
            values.extend([self._number(cells[k], names[k]) for k in wanted])
            whole = whole and all(map(_WHOLE.fullmatch, cells))
            if len(values) > MOST_BYTES // 8:
                raise InvalidInput("path", f"at most {MOST_BYTES // 8:g} numbers", self._place)
        table = np.array(values).reshape(-1, len(wanted))
        self._check_reading(table, whole)
        return table

    def _cells(self, lines: Iterator[tuple[int, str]]) -> Iterator[list[str]]:
        def text() -> Iterator[str]:
            for self._line, line in lines:
                yield " ".join(line.split()) if self._separator == " " else line

        for cells in csv.reader(text(), delimiter=self._separator, skipinitialspace=True, strict=True):
            yield [cell.strip() for cell in cells]

    def _number(self, cell: str, name: str) -> float:
        """Return the number in a cell, and note its decimal sign."""
        self._points |= "." in cell
        if "," in cell:
            self._commas = True
            self._certain |= not _THOUSANDS.fullmatch(cell)
        comma = _DECIMAL.fullmatch(cell)
        try:
            if "_" in cell or ("," in cell and not comma):
                raise ValueError
            number = float(cell.replace(",", "."))
        except ValueError:
            got = f"{shown(cell, 40)} in {self._place} line {self._line}, column {shown(name, 40)}"
            raise InvalidInput("path", "numbers", got) from None
        if self._commas and self._points:
            got = f"both 0.5 and 0,5 up to {self._place} line {self._line}"
            raise InvalidInput("path", "one decimal sign, a point or a comma", got)
        return number

    def _refuse_length(self, cells: list[str]) -> None:
        expected = f"{self.width} cells in every line, as in the {'header' if self.header else 'first'}"
        got = f"{len(cells)} in {self._place} line {self._line}"
        if self._separator == "," and len(cells) > self.width and all(map(_WHOLE.fullmatch, cells)):
            got += f"; write decimal commas {_REMEDY}"
        raise InvalidInput("path", expected, got)

    def _check_reading(self, table: FloatArray, whole: bool) -> None:
        """Refuse numbers that can be read in two ways."""
        expected = f"numbers of one meaning, {_REMEDY}"
        if self._commas and not self._certain:
            raise InvalidInput("path", expected, f"{self._place}, whose commas may stand between thousands")
        parts = np.trunc(table[:, 0])
        if self._commas and self._separator == _NONE and parts.size > 1 and (np.diff(parts) == 1).all():
            raise InvalidInput("path", expected, f"{self._place}, whose lines may be a row number and a whole number")
        if whole and self.width % 2 == 0 and len(table):
            got = f"whole numbers between commas in {self._place}, which may be numbers with decimal commas"
            raise InvalidInput("path", f"a header line, or numbers {_REMEDY}", got)


def _numbered(stream: BinaryIO, place: str) -> Iterator[tuple[int, str]]:
    """Return the lines that are neither empty nor comments, with their numbers in the file."""
    number = 0
    while line := stream.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise InvalidInput("path", f"lines of at most {_LONGEST_LINE:g} bytes", f"{place} line {number}")
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        if text.strip() and not text.startswith("#"):
            yield number, text


def _separator(lines: list[str]) -> str:
    """Return what stands between the cells of the second line, or of the only one."""
    bare = [_QUOTED.sub("", line).strip() for line in lines] or [""]
    for separator in ";\t":
        if separator in bare[-1]:
            return separator
    cells = bare[-1].split()
    numbers = len(cells) > 1 and all(map(_is_number, cells))
    if "," in bare[-1]:
        if numbers and len(bare[0].split()) == len(cells):
            return " "
        one_name = len(bare) == 2 and not set(",;\t") & set(bare[0])
        return _NONE if one_name and _DECIMAL.fullmatch(bare[-1]) else ","
    return " " if numbers or (len(cells) > 1 and len(bare) == 2) else _NONE


def _is_number(cell: str) -> bool:
    if _DECIMAL.fullmatch(cell) or _THOUSANDS.fullmatch(cell):
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True
