"""Files that a user names, opened for reading: regular files of bounded size, and one error for what readers raise.

Every reader of the package opens its file here, so that there is one list of the exceptions of damaged files.
"""

from __future__ import annotations

import csv
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NoReturn

from hdlimit.errors import InvalidInput, shown

# Bytes of a file, and of the numbers in it once unpacked: 1 million rows of 250 columns in float64 against the memory
# of a laptop, in which estimating a covariance needs several copies. Chosen, not measured.
MOST_BYTES = 2 * 10**9
# What the readers of the standard library and NumPy raise for damaged and foreign files, found by random changes
# (tests/storage/test_damaged_files.py); an InvalidInput of this package passes.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    csv.Error,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def opened(path: str | PathLike[str], expected: str, most: int = MOST_BYTES) -> Iterator[BinaryIO]:
    """Open a regular file for reading; what fails in the block because of its contents is an InvalidInput.

    Parameters
    ----------
    path : str or path-like
        The path.
    expected : str
        What the file should be, for the message.
    most : int
        Bytes that it may have.

    Yields
    ------
    file
        Open for reading bytes, at its start.

    Raises
    ------
    InvalidInput
        For what is no path, a missing file, a folder, a device or a pipe, a file that is too large, and any error of a
        reader in the block.
    """
    try:
        file = _regular(path, expected, most)
    except (OSError, ValueError, TypeError) as error:
        _refuse(path, expected, error)
    with file:
        try:
            yield file
        except UNREADABLE as error:
            _refuse(path, expected, error)


def file_name(path: str | PathLike[str], endings: tuple[str, ...]) -> Path:
    """Return a path with one of these endings (in lower case, with their dot). Raises InvalidInput for another."""
    expected = f"a file ending in {', '.join(endings[:-1])} or {endings[-1]}"
    try:
        name = Path(path)
    except TypeError:
        raise InvalidInput("path", expected, shown(path)) from None
    if name.suffix.lower() not in endings:
        raise InvalidInput("path", expected, shown(str(name)))
    return name


def place(path: str | PathLike[str]) -> str:
    """Return a path as a message shows it: its end, where it is long."""
    text = str(path)
    return repr(text if len(text) < 100 else "..." + text[-90:])[1:-1]


def _regular(path: str | PathLike[str], expected: str, most: int) -> BinaryIO:
    if not isinstance(path, str | os.PathLike):
        raise InvalidInput("path", expected, shown(path))
    # a pipe without a writer would wait for one
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise InvalidInput("path", expected, f"'{place(path)}' (Is a directory)")
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput("path", expected, f"'{place(path)}' (a device or a pipe, not a regular file)")
        if status.st_size > most:
            size = f"{status.st_size / 1e6:.4g} MB, more than {most / 1e6:g}"
            raise InvalidInput("path", expected, f"'{place(path)}' ({size})")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse(path: object, expected: str, error: BaseException) -> NoReturn:
    if isinstance(error, InvalidInput):
        raise error
    raise InvalidInput("path", expected, f"'{place(str(path))}' ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    """Return why a file cannot be read, in words of this package."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = {
        UnicodeDecodeError: "no text in UTF-8",
        MemoryError: "more than the memory holds",
        RecursionError: "nested too deeply",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), "foreign, truncated or changed")
