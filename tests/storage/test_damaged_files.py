"""Files that are damaged, foreign, huge or no files: one line, no foreign exception, and no memory taken for them."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.errors import InvalidInput
from hdlimit.storage import arrays, text_table
from hdlimit.storage.tables import read_column, read_table

PROBLEM = hd.Problem(hd.PowerLaw(8, 0.5), hd.StudentT(df=5, scale=0.5))
CURVE = hd.predict(PROBLEM, hd.ClippedSGD(0.3, 0.9), 2.0, times=[0.0, 1.0, 2.0])
RUNS = hd.simulate(PROBLEM, hd.SGD(0.2), 2.0, 3, times=[0.0, 1.0, 2.0], record="distance")
SWEEP = hd.sweep(PROBLEM, hd.SGD(0.2), 1.0, lr=[0.1, 0.2], times=[0.0, 1.0])
pytestmark = pytest.mark.filterwarnings("error")


def refused(call: Callable[[], Any]) -> bool:
    """Whether a reader refuses, in one short line and without a warning; any other exception passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            call()
        except InvalidInput as error:
            message = str(error)
            assert len(message) < 400 and "\n" not in message and "pickle" not in message
            return True
    return False


# ---- random damage


def stored(path: Path, kind: str) -> Callable[[], Any]:
    """Write a good file of a kind; return the call that reads it."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    if kind == "stored npz":
        np.savez(path, X=x, y=y)
    elif kind == "compressed npz":
        np.savez_compressed(path, X=x, y=y)
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, y)
    elif kind == "csv":
        lines = [",".join(map(repr, row)) for row in np.column_stack([x, y]).tolist()]
        path.write_text("\n".join(["a,b,c,y", *lines]))
    elif kind == "toml":
        path.write_text(hd.to_toml(PROBLEM, hd.ClippedSGD(hd.schedules.Cosine(0.5, 0.1, 3), 0.9), 2.0))
        return lambda: hd.read_toml(path)
    else:
        {"curve": CURVE, "runs": RUNS, "sweep": SWEEP}[kind].save(path)
        return lambda: hd.load(path)
    return (lambda: read_column(path)) if kind == "npy" else (lambda: read_table(path))


ENDING = {"stored npz": "npz", "compressed npz": "npz", "curve": "npz", "runs": "npz", "sweep": "npz"}
KINDS = ["stored npz", "compressed npz", "npy", "csv", "toml", "curve", "runs", "sweep"]


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """Change a few bytes, cut, insert, repeat, or set two or four bytes to an extreme number."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 4))):
        at, size = int(rng.integers(len(data) + 1)), int(rng.integers(1, 40))
        how = rng.integers(6)
        if how == 0:
            data[at : at + 1] = bytes([int(rng.integers(256))])
        elif how == 1:
            del data[at : at + size]
        elif how == 2:
            data[at:at] = rng.bytes(size)
        elif how == 3:
            data[at:at] = data[at : at + size]
        elif how == 4:
            del data[at:]
        else:
            data[at : at + 4] = [b"\xff\xff\xff\x7f", b"\xff\xff", b"\0\0\0\0", b"9999"][int(rng.integers(4))]
    return bytes(data)


def damage(tmp_path: Path, kind: str, seed: int, times: int) -> int:
    path = tmp_path / f"file.{ENDING.get(kind, kind)}"
    read = stored(path, kind)
    assert not refused(read)
    whole, rng, count = path.read_bytes(), np.random.default_rng(seed), 0
    for _ in range(times):
        path.write_bytes(damaged(whole, rng))
        count += refused(read)
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage(tmp_path: Path, kind: str) -> None:
    assert damage(tmp_path, kind, 1, 100) > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_random_damages(tmp_path: Path, kind: str) -> None:
    assert damage(tmp_path, kind, 2, 10_000) > 2000


# ---- sizes


def peak(call: Callable[[], Any]) -> int:
    """Bytes that a refused call took at its worst."""
    tracemalloc.start()
    try:
        assert refused(call)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def test_a_header_takes_no_memory(tmp_path: Path) -> None:
    for shape in ("(1000000000,)", "(100000, 100000)", "(999999999999999,)", "(9999999999999999999999,)", "(-1,)"):
        (tmp_path / "a.npy").write_bytes(npy("<f8", shape, bytes(80)))
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("y.npy", npy("<f8", shape, bytes(80)))
        for name in ("a.npy", "a.npz"):
            assert peak(lambda name=name: read_column(tmp_path / name)) < 1e6


def bomb(path: Path, size: int) -> None:
    """A few kB that unpack to `size` bytes of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as member:
        member.write(npy("<f8", f"({size // 80}, 10)"))
        for _ in range(size // 80 * 80 // 4_000_000):
            member.write(bytes(4_000_000))


def test_a_zip_bomb_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_BYTES", 10**6)
    path = tmp_path / "a.npz"
    bomb(path, 40_000_000)
    assert path.stat().st_size < 1e5
    for read in (read_table, read_column, hd.load):
        assert peak(lambda read=read: read(path)) < 1e6


def test_a_zip_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    """The directory says 100 bytes, and 6 GB; 40 MB come out."""
    path = tmp_path / "a.npz"
    bomb(path, 40_000_000)
    whole = path.read_bytes()
    for size in (100, 6 * 10**9 % 2**32, 2**32 - 2):
        data = bytearray(whole)
        at = data.rindex(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<I", size)
        path.write_bytes(bytes(data))
        assert peak(lambda: read_column(path)) < 1e6 + (2e9 if size < 2e9 and size > 1e6 else 0)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.csv", "a.toml"])
def test_a_file_of_three_gigabytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(3 * 10**9)  # takes no room on the disk
    reader = {"a.toml": hd.read_toml}.get(name, read_column)
    for read in (reader, hd.load):
        assert peak(lambda read=read: read(path)) < 1e6


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_table, "_LONGEST_LINE", 10**5)
    (tmp_path / "a.csv").write_bytes(b"r\n" + b"1" * 10**7)
    assert peak(lambda: read_column(tmp_path / "a.csv")) < 2e6


def test_too_many_columns(tmp_path: Path) -> None:
    """K of 20 000 columns would take 3.2 GB, and its eigenvalues hours."""
    columns = 20_000
    rows = "\n".join(",".join([str(i % 7 + j) for i in range(columns)] + [str(j)]) for j in range(2))
    (tmp_path / "a.csv").write_text(",".join([f"x{i}" for i in range(columns)] + ["y"]) + "\n" + rows)
    table = read_table(tmp_path / "a.csv")
    assert table.X.shape == (2, columns)
    with pytest.raises(InvalidInput, match="X: expected at most 10000 columns, .* got 20000"):
        hd.Problem.from_data(table.X, table.y)


# ---- what is no file

READERS = [read_column, read_table, hd.load, hd.read_toml]


@pytest.mark.parametrize("read", READERS)
def test_devices_pipes_and_folders(tmp_path: Path, read: Any) -> None:
    """A pipe without a writer does not wait for one."""
    for ending in ("csv", "npz", "npy", "toml"):
        os.mkfifo(tmp_path / f"pipe.{ending}")
        (tmp_path / f"folder.{ending}").mkdir()
        (tmp_path / f"zero.{ending}").symlink_to("/dev/zero")
        for name in ("pipe", "folder", "zero"):
            assert refused(lambda ending=ending, name=name: read(tmp_path / f"{name}.{ending}"))
    for path in (
        "x" * 300 + ".csv",
        "x" * 300 + ".npz",
        "a\0.csv",
        "/dev/zero",
        "",
        "a/b/c.npz",
        3,
        None,
        b"a.npz",
        [],
    ):
        assert refused(lambda path=path: read(path))


@pytest.mark.parametrize("read", READERS)
def test_a_folder_without_permission(tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    for ending in ("csv", "npz", "npy", "toml"):
        with pytest.raises(InvalidInput, match=f"path: expected a.*({ending}|Permission denied)"):
            read(tmp_path / f"a.{ending}")


def test_wrongly_named_and_encrypted(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", X=np.eye(3), y=np.ones(3))
    np.save(tmp_path / "good.npy", np.ones(3))
    (tmp_path / "good.csv").write_text("a,y\n1,2\n")
    contents = {path.suffix: path.read_bytes() for path in tmp_path.iterdir()}
    for ending in contents:
        for other, content in contents.items():
            path = tmp_path / f"named{ending}"
            path.write_bytes(content)
            assert refused(lambda path=path: read_column(path, "y")) == (other != ending or ending == ".npy")
    encrypted = bytearray(contents[".npz"])
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = encrypted.index(signature)
        encrypted[at + offset] |= 1
    path = tmp_path / "locked.npz"
    path.write_bytes(bytes(encrypted))
    for read in (read_table, read_column, hd.load):
        with pytest.raises(InvalidInput, match="encrypted"):
            read(path)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "{b = " * 5000,
        ".".join("a" * 5000) + " = 1",
        "[run]\nhorizon = " + "9" * 5001,
        "[problem.noise]\ntype = 'Gaussian'\nstd = 0x" + "f" * 5001,
        "[" + "x" * 100_000 + "]",
    ],
    ids=["open", "lists", "tables", "keys", "digits", "hexadecimal", "long name"],
)
def test_toml_beyond_measure(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    assert refused(lambda: hd.read_toml(tmp_path / "a.toml"))


def test_toml_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = hd.to_toml(PROBLEM, hd.SGD(0.5), 5.0)
    (tmp_path / "a.toml").write_text(text, encoding="utf-8-sig")
    assert hd.read_toml(tmp_path / "a.toml").problem == PROBLEM


def test_numpys_own_files_come_back(tmp_path: Path) -> None:
    """Every type, order and version of header that NumPy writes, against its own reader; the twin has a bit changed."""
    rng = np.random.default_rng(3)
    for dtype in ("<f8", ">f8", "<f4", "f2", "<i8", ">i2", "u1", "?", "g"):
        for shape in ((), (5,), (3, 4), (0, 2), (2, 3, 2)):
            for order in "CF":
                array = np.array(rng.integers(0, 2, shape) * 3, dtype=dtype, order=order)
                for version in ((1, 0), (2, 0), (3, 0)):
                    stream = io.BytesIO()
                    np.lib.format.write_array(stream, array, version)
                    data = stream.getvalue()
                    read = arrays.read_array(io.BytesIO(data), len(data))
                    expected = np.load(io.BytesIO(data))
                    assert read.dtype == expected.dtype and np.array_equal(read, expected)
                    if array.size and dtype != "g":
                        changed = bytearray(data)
                        changed[-1] ^= 1
                        assert not np.array_equal(arrays.read_array(io.BytesIO(bytes(changed)), len(data)), expected)


# ---- hd.load: a file says what it holds, and holds it

WRONG = [
    3, -1.5, "x", None, True, [], [1.0], {}, {"type": "SGD", "lr": 0.1}, {"type": "Curve"}, {"type": "Study"},
    {"type": "Gaussian", "std": 1.0}, {"array": "array0"}, {"array": "none"}, {"type": "os.system"}, {"type": ["a"]},
    {"type": "Status", "value": "finished"}, {"type": "Problem", "covariance": {"type": "Isotropic", "d": 3}},
]  # fmt: skip
# Fields of which any text, or any number, is as good as another.
FREE = {"version", "optimizer", "problem", "horizon", "rtol", "entropy", "spawn_key", "compress", "recorded"}


def parts(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(path) as stored_arrays:
        held = {name: stored_arrays[name] for name in stored_arrays.files}
    return json.loads(str(held.pop("metadata"))), held


@pytest.mark.parametrize("result", [CURVE, RUNS, SWEEP], ids=lambda result: type(result).__name__)
def test_a_field_of_another_kind(tmp_path: Path, result: Any) -> None:
    """Whatever is put in place of a field: refused, or a result that holds what its class says."""
    path = tmp_path / "a.npz"
    result.save(path)
    header, held = parts(path)
    count = 0
    for name in set(header["result"]) - {"type"}:
        for value in WRONG:
            changed = json.loads(json.dumps(header))
            changed["result"][name] = value
            np.savez(path, metadata=np.array(json.dumps(changed)), **held)
            if refused(lambda: hd.load(path)):
                count += 1
                continue
            loaded = hd.load(path)
            assert repr(loaded) and loaded.metadata()
            assert name in FREE or type(getattr(loaded, name)) is type(getattr(result, name)), (name, value)
    assert count > 0.75 * len(WRONG) * (len(header["result"]) - 1)


ARRAYS: dict[str, Callable[[Any], Any]] = {
    "single precision": lambda a: a.astype(np.float32),
    "complex": lambda a: a + 0j,
    "integers": lambda a: np.ones(a.shape, np.int64),
    "text": lambda a: a.astype(str),
    "big-endian": lambda a: a.astype(">f8"),
    "another dimension": lambda a: a[None],
    "flat": lambda a: np.float64(1.0),
    "one longer": lambda a: np.concatenate([a, a[-1:]]),
    "empty": lambda a: a[:0],
}


@pytest.mark.parametrize("result", [CURVE, RUNS, SWEEP], ids=lambda result: type(result).__name__)
@pytest.mark.parametrize("change", ARRAYS)
def test_arrays_of_another_kind(tmp_path: Path, result: Any, change: str) -> None:
    path = tmp_path / "a.npz"
    result.save(path)
    header, held = parts(path)
    for name, array in held.items():
        if array.dtype.kind != "f":
            continue
        np.savez(path, metadata=np.array(json.dumps(header)), **{**held, name: ARRAYS[change](array)})
        assert refused(lambda: hd.load(path)) or (change == "one longer" and result is SWEEP), name


@pytest.mark.parametrize("result", [CURVE, RUNS, SWEEP], ids=lambda result: type(result).__name__)
def test_times_out_of_order(tmp_path: Path, result: Any) -> None:
    path = tmp_path / "a.npz"
    result.save(path)
    header, held = parts(path)
    name = header["result"]["time"]["array"]
    for time in (held[name][::-1], np.full_like(held[name], np.nan), np.full_like(held[name], np.inf)):
        np.savez(path, metadata=np.array(json.dumps(header)), **{**held, name: time})
        with pytest.raises(InvalidInput, match="time: expected finite numbers in order"):
            hd.load(path)
    np.savez(path, metadata=np.array(json.dumps(header)), **{name: np.asfortranarray(a) for name, a in held.items()})
    assert np.array_equal(hd.load(path).risk, result.risk) and hd.load(path).risk.flags.c_contiguous
