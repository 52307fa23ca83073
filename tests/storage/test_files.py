"""Outputs replace regular files only, whole or not at all, and nobody can read more than before."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hdlimit as hd
from hdlimit.errors import InvalidInput, NotWritten
from hdlimit.plotting.figure import write_figure
from hdlimit.storage import files
from hdlimit.storage.files import checked_path, new_file

CURVE = hd.predict(hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5)), hd.SGD(0.5), 1.0)
WRITERS: dict[str, Callable[[Path], Any]] = {
    "npz": CURVE.save,
    "csv": CURVE.save,
    "json": CURVE.save,
    "png": lambda path: write_figure(path, CURVE.plot),
}


def socket_file(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


SPECIAL: dict[str, Callable[[Path], Any]] = {
    "a device": lambda path: path.symlink_to("/dev/null"),
    "a pipe": os.mkfifo,
    "a socket": socket_file,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files")
@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused_and_left(kind: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    SPECIAL[kind](path)
    before = path.lstat().st_ino, path.lstat().st_mode
    with pytest.raises(InvalidInput, match=r"path: expected a path that can be written, got .*\(a device, a pipe or"):
        WRITERS[ending](path)
    with pytest.raises(InvalidInput, match="a device, a pipe or a socket"), new_file(path):
        pass
    assert (path.lstat().st_ino, path.lstat().st_mode) == before and os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, "fchmod"), reason="no modes")
@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o400 | 0o200])
def test_an_existing_file_keeps_its_mode(mode: int, ending: str, tmp_path: Path) -> None:
    """While it is written, too; a new file has that of the process."""
    path = tmp_path / f"x.{ending}"
    path.write_text("old")
    path.chmod(mode)
    WRITERS[ending](path)
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() != b"old"
    with new_file(path) as file:
        assert not stat.S_IMODE(os.fstat(file.fileno()).st_mode) & ~0o600
    path.unlink()
    before = os.umask(0o027)
    try:
        WRITERS[ending](path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "fchown") or os.geteuid() != 0, reason="needs to be root")
def test_an_existing_file_keeps_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    os.chown(path, 12, 34)
    path.chmod(0o660)
    CURVE.save(path)
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (12, 34, 0o660)

    def forbidden(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "fchown", forbidden)
    CURVE.save(path)
    assert path.stat().st_uid == os.geteuid() and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_must_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda name, how: Path(name) != path)
    with pytest.raises(InvalidInput, match="no permission"):
        checked_path(path, (".csv",))
    with pytest.raises(InvalidInput, match="no permission"), new_file(path):
        pass
    assert path.read_text() == "old"


def test_through_a_link_the_file_behind_it_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    link.symlink_to(target)
    for _ in range(2):
        CURVE.save(link)
        assert link.is_symlink() and target.read_text().startswith("# result")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_disk_that_is_full_or_fails_is_told_apart(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotWritten, match=rf"path: expected a disk that takes .*\({os.strerror(number)}\)"):
        CURVE.save(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.csv"] and not files.unfinished
    with pytest.raises(InvalidInput) as caught:
        CURVE.save(tmp_path / "missing" / "x.csv")
    assert type(caught.value) is InvalidInput
