"""Finished runs in a file: a study that was killed continues where it stopped and ends bit for bit the same.

    magic | two commit slots | record of the study | records of runs ...

A record is its length, its SHA-256 and its bytes. A slot holds the number of a commit, the end of what is committed and
a checksum; commits take the two slots in turn, each written after its record is on the disk. At whatever moment a
process is killed, one slot is whole and everything before its end is there: bytes after it are a record that was not
finished, bytes missing before it mean that the file was truncated.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.core.declaration import differences, encode
from hdlimit.core.version import __version__
from hdlimit.errors import HdlimitWarning, InvalidInput, NotWritten, shown, warn
from hdlimit.storage.files import new_file

if TYPE_CHECKING:
    from os import PathLike

Arrays = tuple[np.ndarray[Any, Any], ...]
Part = tuple[Sequence[int], Arrays]

_MAGIC = b"hdlimit-checkpoint-1\n"
_SLOT = struct.Struct("<QQ16s")
_RECORD = struct.Struct("<Q32s")
_FIRST = len(_MAGIC) + 2 * _SLOT.size
# Differences that an error names: more do not fit on a line.
_SHOWN = 3
_in_use: dict[Path, object] = {}


class _Broken(Exception):
    """The bytes of a file are not those of a whole checkpoint; the message says why."""


class Checkpoint:
    """A file of finished runs of one study, which it refuses to mix with those of another.

    Parameters
    ----------
    path : str or PathLike
        The file, made when it is first opened.
    study : mapping
        Everything that the results depend on, by name: numbers, strings, arrays (of which a hash is kept) and
        declarations.

    Raises
    ------
    InvalidInput
        For a study with a Python function in it, which cannot be compared with that of another process.
    """

    def __init__(self, path: str | PathLike[str], study: Mapping[str, Any]) -> None:
        if not isinstance(path, str | os.PathLike) or "\0" in str(path) or not str(path):
            raise InvalidInput("checkpoint", "a file name or None", shown(path))
        self.path = Path(path)
        try:
            facts = {name: encode(value, _hashed) for name, value in study.items()}
        except InvalidInput as error:
            expected = "None, as what a study computes must be told from its description"
            raise InvalidInput("checkpoint", expected, f"{self.path.name!r} and {error.got}") from None
        self.study: dict[str, Any] = json.loads(json.dumps({"version": __version__, **facts}))

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """Open the store of the runs, for this process alone.

        Yields
        ------
        Store
            The finished runs; further ones can be added.

        Raises
        ------
        InvalidInput
            Where the file is not a whole checkpoint of this study that can be written to; the file is left as it is.
        """
        place, token = Path(os.path.realpath(self.path)), object()
        if _in_use.setdefault(place, token) is not token:
            raise self._refused("a file that no other study uses", "in use by this process")
        try:
            with self._file(place) as file:
                self._lock(file)
                store = self._read(file)
                try:
                    yield store
                finally:
                    store.close()
        finally:
            del _in_use[place]

    def _create(self, parts: Sequence[Part] = ()) -> None:
        records = _record(json.dumps(self.study).encode())
        for runs, arrays in parts:
            records += _record(_packed(runs, arrays))
        try:
            with new_file(self.path) as file:
                file.write(_MAGIC + _slot(0, _FIRST + len(records)) + bytes(_SLOT.size) + records)
        except InvalidInput as error:
            raise type(error)("checkpoint", error.expected, error.got) from error

    def _file(self, place: Path) -> FileIO:
        try:
            if not place.exists():
                self._create()
            if not place.is_file():
                raise self._refused("a file or a path that can be written", "a folder or a device")
            return FileIO(place, "r+")
        except OSError as error:
            raise self._refused("a path that can be written", error.strerror) from error

    def _lock(self, file: FileIO) -> None:
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise self._refused("a file that no other study uses", "in use by another process") from None
        except OSError:
            return

    def _read(self, file: FileIO) -> Store:
        try:
            commits, end, records = _parse(file.read())
            study = json.loads(records[0])
            parts = [_unpacked(record) for record in records[1:]]
        except OSError as error:
            raise self._refused("a file that can be read", error.strerror) from error
        except (_Broken, ValueError, IndexError, EOFError) as error:
            reason = str(error) if isinstance(error, _Broken) else "changed"
            raise self._refused("a whole checkpoint of hdlimit (the file is left as it is)", reason) from None
        if study != self.study:
            others = list(differences(study, self.study))
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            expected = "the checkpoint of this study (the file is left as it is)"
            raise self._refused(expected, f"of another study: {', '.join(others[:_SHOWN])}{more}")
        return Store(self, file, commits, end, parts)

    def _refused(self, expected: str, reason: object) -> InvalidInput:
        return InvalidInput("checkpoint", expected, f"{str(self.path)[:120]!r} ({reason})")


class Store:
    """An opened checkpoint.

    Attributes
    ----------
    parts : list of tuple
        The (run numbers, arrays with one row a run) that are in it.
    """

    def __init__(self, checkpoint: Checkpoint, file: FileIO, commits: int, end: int, parts: list[Part]) -> None:
        self.parts = parts
        self._checkpoint, self._file, self._commits, self._end = checkpoint, file, commits, end

    def add(self, runs: Sequence[int], arrays: Arrays) -> None:
        """Store finished runs; on return they are on the disk.

        Parameters
        ----------
        runs : sequence of int
            Run numbers.
        arrays : tuple of ndarray
            Results with one row a run.

        Raises
        ------
        InvalidInput
            Where the disk is full or fails (NotWritten); what was stored before is kept. And as `check` does.
        """
        self.check()
        record = _record(_packed(runs, arrays))
        commits, end = self._commits + 1, self._end + len(record)
        try:
            self._write(self._end, record)
            self._write(len(_MAGIC) + commits % 2 * _SLOT.size, _slot(commits, end))
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            kept = f"{error.strerror}; the {sum(len(runs) for runs, _ in self.parts)} runs stored before are kept"
            refused = self._checkpoint._refused("a disk that takes what is written", kept)
            raise NotWritten(refused.argument, refused.expected, refused.got) from error
        self._commits, self._end = commits, end
        self.parts.append((runs, arrays))

    def check(self) -> None:
        """Write the file anew, from memory, where it was deleted or cut meanwhile, and say so.

        Raises
        ------
        InvalidInput
            Where another file has its name now, or it cannot be written.

        Warns
        -----
        HdlimitWarning
            Where it was deleted or cut.
        """
        here = os.fstat(self._file.fileno())
        try:
            there = os.stat(self._checkpoint.path)
        except OSError:
            fate = "deleted"
        else:
            if not os.path.samestat(here, there):
                raise self._checkpoint._refused("the file with which the study began", "replaced while the study ran")
            if here.st_size >= self._end:
                return
            fate = "cut" if here.st_size else "emptied"
        self.close()
        self._checkpoint._create(self.parts)
        self._file = self._checkpoint._file(self._checkpoint.path)
        self._checkpoint._lock(self._file)
        self._commits, self._end, _ = _parse(self._file.read())
        runs = sum(len(runs) for runs, _ in self.parts)
        sentence = f"checkpoint: {str(self._checkpoint.path)[:120]!r} was {fate} while the study ran"
        warn(HdlimitWarning(f"{sentence}; it is written anew, with the {runs} finished runs"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, place: int, data: bytes) -> None:
        self._file.seek(place)
        while data:
            data = data[self._file.write(data) :]
        os.fsync(self._file.fileno())


def _slot(commits: int, end: int) -> bytes:
    return _SLOT.pack(commits, end, _slot_checksum(commits, end))


def _slot_checksum(commits: int, end: int) -> bytes:
    return hashlib.sha256(struct.pack("<QQ", commits, end)).digest()[:16]


def _record(data: bytes) -> bytes:
    return _RECORD.pack(len(data), hashlib.sha256(data).digest()) + data


def _parse(content: bytes) -> tuple[int, int, list[bytes]]:
    """Return the number of commits, the end of what is committed, and the records up to it."""
    if not content.startswith(_MAGIC):
        raise _Broken("a foreign file" if content else "an empty file")
    slots = [_SLOT.unpack_from(content, len(_MAGIC) + k * _SLOT.size) for k in (0, 1)] if len(content) > _FIRST else []
    whole = [(commits, end) for commits, end, check in slots if check == _slot_checksum(commits, end)]
    if not whole:
        raise _Broken("truncated" if not slots else "changed")
    commits, end = max(whole)
    if len(content) < end:
        raise _Broken("truncated")
    records, place = [], _FIRST
    while place < end:
        length, digest = _RECORD.unpack_from(content, place)
        data = content[place + _RECORD.size : place + _RECORD.size + length]
        if place + _RECORD.size + length > end or hashlib.sha256(data).digest() != digest:
            raise _Broken("changed")
        records.append(data)
        place += _RECORD.size + length
    return commits, end, records


def _packed(runs: Sequence[int], arrays: Arrays) -> bytes:
    buffer = BytesIO()
    for array in (np.array(runs, dtype=np.int64), *arrays):
        np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _unpacked(record: bytes) -> Part:
    buffer, arrays = BytesIO(record), []
    while buffer.tell() < len(record):
        arrays.append(np.load(buffer, allow_pickle=False))
    return arrays[0].tolist(), tuple(arrays[1:])


def _hashed(array: Any) -> str:
    data = np.ascontiguousarray(array)
    shape = "x".join(map(str, data.shape))
    return f"{data.dtype.str} array {shape} {hashlib.sha256(data.data).hexdigest()}"
