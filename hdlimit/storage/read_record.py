"""A result back from the file that `Record.save` wrote."""

from __future__ import annotations

import json
from os import PathLike

import numpy as np

from hdlimit.errors import InvalidInput, shown
from hdlimit.storage.arrays import read_archive
from hdlimit.storage.decoding import decode
from hdlimit.storage.reading import opened, place
from hdlimit.storage.records import FORMAT, METADATA, Record


def read(path: str | PathLike[str]) -> Record:
    """Return a result from a .npz file, equal to the saved one bit for bit; its class has to be imported.

    Parameters
    ----------
    path : str or path-like
        A .npz file written by `Record.save`.

    Returns
    -------
    Record
        The result.

    Raises
    ------
    InvalidInput
        For a file that is missing, truncated, changed, or not written by `Record.save`.
    """
    expected = "a .npz file written by save"
    with opened(path, expected) as file:
        arrays = {name: np.asarray(one, order="C") for name, one in read_archive(file, place(path)).items()}
        header = json.loads(str(arrays.pop(METADATA)))
        if header["format"] != FORMAT:
            raise InvalidInput("path", expected, f"'{place(path)}' (format {shown(header['format'], 40)})")
        result = decode(header["result"], arrays, place(path))
    if not isinstance(result, Record):
        raise InvalidInput("path", expected, f"'{place(path)}' (a {type(result).__name__})")
    return result
