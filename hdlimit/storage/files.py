"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hdlimit.errors import InvalidInput

if TYPE_CHECKING:
    from os import PathLike


def checked_path(path: str | PathLike[str], endings: tuple[str, ...]) -> Path:
    """Return the path of a file that can be created.

    Parameters
    ----------
    path : str or path-like
        The path.
    endings : tuple of str
        Endings allowed, in lower case, with their dot.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    InvalidInput
        For another ending, a missing folder, a path that is a folder, and a folder without permission to write.
    """
    target = Path(path) if isinstance(path, str | os.PathLike) and "\0" not in str(path) else None
    if target is None or target.suffix.lower() not in endings:
        expected = f"a file name ending in {', '.join(endings[:-1])} or {endings[-1]}"
        raise InvalidInput("path", expected, repr(path)[:120])
    if not os.path.isdir(target.parent):
        raise _not_writable(target, "no such folder")
    if os.path.isdir(target):
        raise _not_writable(target, "a folder")
    if not os.access(target.parent, os.W_OK):
        raise _not_writable(target, "no permission")
    return target


def _not_writable(path: str | PathLike[str], reason: object) -> InvalidInput:
    return InvalidInput("path", "a path that can be written", f"{str(path)[:120]!r} ({reason})")


@contextmanager
def new_file(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that appears under its name whole, at the end of the block, or not at all.

    Parameters
    ----------
    path : str or path-like
        Path of the file; an existing one is replaced.

    Yields
    ------
    file
        Open for writing.

    Raises
    ------
    InvalidInput
        Where it cannot be written.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".hdlimit-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise _not_writable(path, error.strerror) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
