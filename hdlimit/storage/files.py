"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hdlimit.errors import InvalidInput, NotWritten, shown

if TYPE_CHECKING:
    from os import PathLike

# Files that are being written, under names that they do not keep.
unfinished: set[Path] = set()
_DISK = {errno.ENOSPC, errno.EIO, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC), None}


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
        For another ending, a missing folder, a path that is a folder, a device or a pipe, and one without permission
        to write.
    """
    target = Path(path) if isinstance(path, str | os.PathLike) and "\0" not in str(path) else None
    if target is None or target.suffix.lower() not in endings:
        expected = f"a file name ending in {', '.join(endings[:-1])} or {endings[-1]}"
        raise InvalidInput("path", expected, shown(path))
    if not os.path.isdir(target.parent):
        raise _not_writable(target, "no such folder")
    if not os.access(target.parent, os.W_OK):
        raise _not_writable(target, "no permission")
    _existing(target)
    return target


def _existing(path: Path) -> os.stat_result | None:
    """Return what is known of a file that would be replaced; InvalidInput for anything else of that name."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise _not_writable(path, "a folder" if stat.S_ISDIR(found.st_mode) else "a device, a pipe or a socket")
    if not os.access(path, os.W_OK):
        raise _not_writable(path, "no permission")
    return found


def _not_writable(path: str | PathLike[str], reason: object) -> InvalidInput:
    return InvalidInput("path", "a path that can be written", f"{str(path)[:120]!r} ({reason})")


@contextmanager
def new_file(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that appears under its name whole, at the end of the block, or not at all.

    Parameters
    ----------
    path : str or path-like
        Path of the file; an existing regular file is replaced, with its owner and mode where they can be kept and never
        readable to more than it was.

    Yields
    ------
    file
        Open for writing.

    Raises
    ------
    InvalidInput
        Where it cannot be written: NotWritten where the disk is full or fails.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".hdlimit-{os.urandom(8).hex()}.tmp")
    try:
        old = _existing(target)
        mode = 0o666 if old is None else 0o600
        unfinished.add(temporary)
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if old is not None:
                _keep_access(file.fileno(), old)
        os.replace(temporary, target)
    except OSError as error:
        found = _not_writable(path, error.strerror or error)
        if error.errno in _DISK:
            found = NotWritten(found.argument, "a disk that takes what is written", found.got)
        raise found from error
    finally:
        with suppress(OSError):
            temporary.unlink()
        unfinished.discard(temporary)


def _keep_access(number: int, old: os.stat_result) -> None:
    """Give an open file the owner and the mode of another; without its group, no rights for a group."""
    if not hasattr(os, "fchmod"):
        return
    mode = stat.S_IMODE(old.st_mode)
    new = os.fstat(number)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(number, old.st_uid, old.st_gid)
        except OSError:
            mode &= ~(stat.S_IRWXG | stat.S_ISUID | stat.S_ISGID)
    os.fchmod(number, mode)
