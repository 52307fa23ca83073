"""Arrays from .npy and .npz files, with every size known before its memory is taken; never pickles.

NumPy's own reader takes the memory that the header of a file asks for, and evaluates the header as Python.
"""

from __future__ import annotations

import math
import re
import zipfile
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdlimit.errors import InvalidInput
from hdlimit.storage.reading import MOST_BYTES

# The three keys of the header of a .npy file, a Python dict; no objects, dates or records.
_TYPE = re.compile(r"'descr'\s*:\s*'([<>|=]?[biufcSU]\d{1,6})'")
_ORDER = re.compile(r"'fortran_order'\s*:\s*(True|False)")
_SHAPE = re.compile(r"'shape'\s*:\s*\(((?:\s*\d{1,15}L?\s*,?)*)\s*\)")
# Bytes of the header: NumPy writes 64 to 128.
_LONGEST_HEADER = 10_000
# Bytes read at once.
_BLOCK = 1 << 20


def read_array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """Return the array of a .npy file.

    Parameters
    ----------
    stream : file
        Open for reading bytes.
    size : int
        Bytes of the file, all of which the array must use.

    Returns
    -------
    ndarray
        Numbers, booleans or text, never objects.

    Raises
    ------
    ValueError
        For anything else.
    """
    dtype, order, shape, start = _header(stream)
    if math.prod(shape) * dtype.itemsize != size - start:
        raise ValueError("the header tells another size")
    array = np.empty(math.prod(shape), dtype)
    numbers = array.view(np.uint8)
    for begin in range(0, array.nbytes, _BLOCK):
        part = numbers[begin : begin + _BLOCK]
        if len(block := stream.read(part.size)) != part.size:
            raise EOFError
        part[:] = np.frombuffer(block, np.uint8)
    return array.reshape(shape, order=order)


def read_archive(stream: BinaryIO, place: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz file by name.

    Parameters
    ----------
    stream : file
        Open for reading bytes.
    place : str
        The file, for messages.

    Returns
    -------
    dict of str to ndarray
        In the order of the file.

    Raises
    ------
    InvalidInput
        For an encrypted archive, and one that unpacks to more than 2 GB.
    Exception
        Any of `UNREADABLE` for a file that is no .npz file.
    """
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        if (total := sum(member.file_size for member in members)) > MOST_BYTES:
            expected = f"arrays of at most {MOST_BYTES / 1e9:g} GB"
            raise InvalidInput("path", expected, f"{place}, which unpacks to {total / 1e9:.4g} GB")
        if any(member.flag_bits & 1 for member in members):
            raise InvalidInput("path", "a file that is not encrypted", place)
        arrays: dict[str, NDArray[Any]] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays or name == member.filename:
                raise ValueError("a member that is no array, or is there twice")
            with archive.open(member) as part:
                arrays[name] = read_array(part, member.file_size)
    return arrays


def _header(stream: IO[bytes]) -> tuple[np.dtype[Any], Any, tuple[int, ...], int]:
    """Return the type, the order, the shape, and the number of bytes before the numbers."""
    magic = stream.read(8)
    if magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise ValueError("no .npy file")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        raise ValueError("a header that is too long")
    header = stream.read(length).decode("latin1")
    descr, order, shape = (_only(key, header) for key in (_TYPE, _ORDER, _SHAPE))
    lengths = tuple(int(n.strip("L ")) for n in shape.split(",") if n.strip())
    return np.dtype(descr), "F" if order == "True" else "C", lengths, 8 + width + length


def _only(key: re.Pattern[str], header: str) -> str:
    found = key.findall(header)
    if len(found) != 1:
        raise ValueError("a header without its keys")
    return str(found[0])
