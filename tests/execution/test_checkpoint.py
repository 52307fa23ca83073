"""Checkpoints: what is killed goes on and ends bit for bit the same; what does not belong together is refused."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import hdlimit as hd
from hdlimit.errors import InvalidInput
from hdlimit.execution.checkpoint import Checkpoint, Store
from hdlimit.execution.parallel import collect

PROBLEM = hd.Problem(hd.PowerLaw(40, 0.3), hd.StudentT(df=5, scale=0.5))
STUDY: dict[str, Any] = {"problem": PROBLEM, "optimizer": hd.ClippedSGD(0.4, 0.8), "horizon": 3.0, "runs": 6, "seed": 1}


def study(path: Path | None, **changed: Any) -> hd.results.Ensemble:
    return hd.simulate(**{**STUDY, "checkpoint": path, **changed})


def stored_runs(path: Path) -> list[int]:
    """The numbers of the runs in a file, read by its own layout: two slots of 32 bytes, records of 8 + 32 + n."""
    content, runs = path.read_bytes(), []
    place, magic = 0, b"hdlimit-checkpoint-1\n"
    assert content.startswith(magic)
    ends = [int.from_bytes(content[len(magic) + 32 * k + 8 :][:8], "little") for k in (0, 1)]
    place = len(magic) + 64
    place += 40 + int.from_bytes(content[place : place + 8], "little")
    while place < max(ends):
        length = int.from_bytes(content[place : place + 8], "little")
        data = content[place + 40 : place + 40 + length]
        header = 10 + int.from_bytes(data[8:10], "little")
        count = eval(data[10:header])["shape"][0]
        runs += np.frombuffer(data[header : header + 8 * count], dtype=np.int64).tolist()
        place += 40 + length
    return runs


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The run numbers that simulate computes, in the order in which they are begun."""
    module = import_module("hdlimit.simulation.runs")
    original, numbers = module._run, []

    def run(task: Any, number: int) -> Any:
        numbers.append(number)
        return original(task, number)

    monkeypatch.setattr(module, "_run", run)
    return numbers


# ---- the promise


def test_what_is_stored_is_not_computed_again(tmp_path: Path, computed: list[int]) -> None:
    plain = study(None).risk
    path = tmp_path / "x.ckpt"
    computed.clear()
    assert np.array_equal(study(path).risk, plain) and sorted(computed) == [0, 1, 2, 3, 4, 5]
    assert sorted(stored_runs(path)) == [0, 1, 2, 3, 4, 5]
    computed.clear()
    assert np.array_equal(study(path).risk, plain) and computed == []


def test_more_runs_extend_it_and_fewer_use_the_first(tmp_path: Path, computed: list[int]) -> None:
    path = tmp_path / "x.ckpt"
    study(path, runs=3)
    computed.clear()
    nine = study(path, runs=9).risk
    assert sorted(computed) == [3, 4, 5, 6, 7, 8]
    computed.clear()
    assert np.array_equal(study(path, runs=2).risk, nine[:2]) and computed == []
    assert np.array_equal(nine, study(None, runs=9).risk)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "blocks", "record": ("distance", "clipped_fraction")},
        {"optimizer": hd.SGD(50.0), "problem": hd.Problem(hd.Isotropic(40), hd.Gaussian(1.0)), "horizon": 20.0},
        {"problem": hd.Problem(hd.Wishart(12, 0.5), hd.Gaussian(0.5)), "optimizer": hd.SignSGD(0.3)},
        {"problem": hd.Problem.from_data(np.eye(9)[:, :3] + np.arange(9)[:, None] % 2, np.arange(9.0))},
        {"optimizer": hd.SGD(hd.schedules.Cosine(0.4, 0.1, 3.0), batch_size=2), "times": [0.0, 1.5, 1.5, 3.0]},
        {"seed": np.random.SeedSequence(7, spawn_key=(2, 3))},
    ],
    ids=["blocks", "diverged", "sign", "rows", "schedule", "spawned"],
)
@pytest.mark.filterwarnings("ignore::hdlimit.errors.DivergenceWarning")
def test_every_kind_of_study_is_kept_bit_for_bit(tmp_path: Path, changed: dict[str, Any]) -> None:
    plain = study(None, **changed)
    study(tmp_path / "x", **{**changed, "runs": 2})
    for again in (study(tmp_path / "x", **changed), study(tmp_path / "x", **changed)):
        assert np.array_equal(again.risk, plain.risk) and again.outcome == plain.outcome
        for name in changed.get("record", ()):
            assert np.array_equal(again.observable(name).values, plain.observable(name).values)


def test_verify_keeps_runs_too(tmp_path: Path, computed: list[int]) -> None:
    problem = hd.Problem(hd.Isotropic(60), hd.Gaussian(0.5))
    first = hd.verify(problem, hd.SGD(0.4), 4.0, runs=4, checkpoint=tmp_path / "v")
    computed.clear()
    again = hd.verify(problem, hd.SGD(0.4), 4.0, runs=4, checkpoint=tmp_path / "v")
    assert computed == [] and again.summary() == first.summary()


# ---- killed

RUNS = 400
KILLED = """
import sys
import numpy as np
import hdlimit as hd
problem = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5))
runs = hd.simulate(problem, hd.SGD(0.4), 10.0, 400, seed=5, checkpoint=sys.argv[1])
np.save(sys.argv[2], runs.risk)
"""


def begin(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_more(path: Path, stored: int, child: subprocess.Popen[str]) -> None:
    """Until the file holds more runs than it did, or the child has ended."""
    end = time.monotonic() + 60
    while child.poll() is None and not (path.exists() and len(stored_runs(path)) > stored):
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path) -> None:
    """SIGKILL at moments drawn afresh in every run of the test (their seed is printed when it fails), each after some
    run was stored."""
    seed = int.from_bytes(os.urandom(4))
    print("seed of the moments:", seed)
    rng, path, out = np.random.default_rng(seed), tmp_path / "x.ckpt", tmp_path / "risk.npy"
    stored = [0]
    for _ in range(4):
        with begin(KILLED, path, out) as child:
            wait_for_more(path, stored[-1], child)
            time.sleep(rng.uniform(0.0, 0.1))
            child.kill()
        stored.append(len(stored_runs(path)))
        assert stored[-1] > stored[-2] or stored[-1] == RUNS
    print("runs stored when it was killed:", stored[1:])
    with begin(KILLED, path, out) as child:
        assert child.wait() == 0
    problem = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5))
    assert 0 < stored[1] < RUNS
    assert np.array_equal(np.load(out), hd.simulate(problem, hd.SGD(0.4), 10.0, RUNS, seed=5).risk)


def arrays(runs: list[int]) -> tuple[np.ndarray, ...]:
    return np.array([[r, r * r] for r in runs], dtype=np.float64), np.array(runs)


def flat(parts: Any) -> list[int]:
    return [run for runs, _ in parts for run in runs]


def test_killed_between_any_two_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state that the file goes through, byte by byte, opens, with all runs whose `add` had returned."""
    path, written = tmp_path / "x", []
    original = Store._write
    monkeypatch.setattr(Store, "_write", lambda self, *args: (written.append(args), original(self, *args))[1])
    checkpoint = Checkpoint(path, {"study": 1})
    with checkpoint.opened() as store:
        content = bytearray(path.read_bytes())
        for run in range(4):
            store.add([run], arrays([run]))
    assert len(written) == 8
    monkeypatch.undo()
    for k, (place, data) in enumerate(written):
        for length in range(len(data) + 1):
            torn = content.copy()
            torn[place : place + length] = data[:length]
            path.write_bytes(torn)
            with checkpoint.opened() as store:
                whole = k // 2 + (k % 2 == 1 and length == len(data))
                assert flat(store.parts) == list(range(whole))
                if length in (0, 1, len(data) // 2):
                    store.add([9], arrays([9]))
            if length in (0, 1, len(data) // 2):
                with checkpoint.opened() as store:
                    assert flat(store.parts) == [*range(whole), 9]
        content[place : place + len(data)] = data


# ---- files that do not belong here

OTHERS = [
    ({"optimizer": hd.ClippedSGD(0.4, 0.9)}, "optimizer.threshold is 0.8 there and 0.9 here"),
    ({"optimizer": hd.SGD(0.4)}, "optimizer is ClippedSGD there and SGD here"),
    ({"problem": hd.Problem(hd.PowerLaw(40, 0.4), PROBLEM.noise)}, "problem.covariance.exponent is 0.3 there"),
    ({"problem": hd.Problem(PROBLEM.covariance, hd.Gaussian(0.5))}, "problem.noise is StudentT there"),
    ({"problem": hd.Problem(PROBLEM.covariance, PROBLEM.noise, start=np.ones(40))}, "problem.start is None there"),
    ({"horizon": 4.0}, "steps is 120 there and 160 here"),
    ({"times": [0.0, 3.0]}, "marks is <i8 array"),
    ({"seed": 2}, "entropy is 1 there and 2 here"),
    ({"seed": np.random.SeedSequence(1, spawn_key=(0,))}, "spawn_key is"),
    ({"method": "blocks"}, "method is direct there and blocks here"),
    ({"record": ("distance",)}, "record is"),
]


@pytest.mark.parametrize(("changed", "difference"), OTHERS, ids=[message[:24] for _, message in OTHERS])
def test_another_study_is_refused_and_nothing_changed(tmp_path: Path, changed: dict[str, Any], difference: str) -> None:
    path = tmp_path / "x"
    study(path)
    before = path.read_bytes()
    with pytest.raises(
        InvalidInput, match=r"checkpoint: expected the checkpoint of this study .*of another study: "
    ) as caught:
        study(path, **changed)
    assert difference in str(caught.value) and path.read_bytes() == before


def test_tables_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    def problem(value: float) -> hd.Problem:
        return hd.Problem(PROBLEM.covariance, hd.Empirical([-1.0, 0.0, value]))

    study(tmp_path / "x", problem=problem(1.0))
    study(tmp_path / "x", problem=problem(1.0))
    with pytest.raises(InvalidInput, match="problem.noise.noise_values is <f8 array 3"):
        study(tmp_path / "x", problem=problem(np.nextafter(1.0, 2.0)))


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study(tmp_path / "x")
    monkeypatch.setattr(import_module("hdlimit.execution.checkpoint"), "__version__", "99.0")
    with pytest.raises(InvalidInput, match=r"version is .* there and 99.0 here"):
        study(tmp_path / "x")


FOREIGN: list[tuple[str, Callable[[Path], Any], str]] = [
    ("empty", lambda p: p.write_bytes(b""), "an empty file"),
    ("text", lambda p: p.write_text("t,risk\n0,1\n"), "a foreign file"),
    ("result", lambda p: p.write_bytes(b"PK\x03\x04" + bytes(200)), "a foreign file"),
    ("only the magic", lambda p: p.write_bytes(b"hdlimit-checkpoint-1\n"), "truncated"),
    ("zeros after the magic", lambda p: p.write_bytes(b"hdlimit-checkpoint-1\n" + bytes(500)), "changed"),
    ("folder", lambda p: p.mkdir(), "a folder or a device"),
]


@pytest.mark.parametrize(("make", "reason"), [case[1:] for case in FOREIGN], ids=[case[0] for case in FOREIGN])
def test_foreign_files_are_refused_and_left(tmp_path: Path, make: Callable[[Path], Any], reason: str) -> None:
    path = tmp_path / "x"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InvalidInput, match=rf"checkpoint: expected .*{reason}"):
        study(path)
    assert before is None or path.read_bytes() == before


def test_truncated_anywhere_it_is_refused_and_left(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "x", Checkpoint(tmp_path / "x", {"study": 1})
    with checkpoint.opened() as store:
        for run in range(3):
            store.add([run], arrays([run]))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with (
            pytest.raises(InvalidInput, match=r"\((truncated|an empty file|a foreign file)\)"),
            checkpoint.opened(),
        ):
            pass
        assert path.read_bytes() == whole[:length]


def test_with_any_byte_changed_it_is_refused_or_still_right(tmp_path: Path) -> None:
    """Bytes of a commit slot may change without harm: the slot before it is whole, and its runs are as they were."""
    path, checkpoint = tmp_path / "x", Checkpoint(tmp_path / "x", {"study": 1})
    with checkpoint.opened() as store:
        for run in range(3):
            store.add([run], arrays([run]))
    whole, refused = path.read_bytes(), 0
    slots = range(21, 21 + 64)
    for k in range(len(whole)):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        try:
            with checkpoint.opened() as store:
                assert k in slots and len(store.parts) >= 2
                for runs, (values, numbers) in store.parts:
                    assert np.array_equal(values, arrays(runs)[0]) and np.array_equal(numbers, arrays(runs)[1])
        except InvalidInput:
            refused += 1
            assert k not in slots
    assert refused == len(whole) - len(slots)


class Odd(stats.rv_continuous):
    """A law made by a user, who may change it."""

    def _pdf(self, x: Any) -> Any:
        return 0.5 * np.ones_like(x)


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": hd.SGD(lambda t: 0.4)},
        {"optimizer": hd.ClippedSGD(0.4, lambda t: 0.8)},
        {"problem": hd.Problem(PROBLEM.covariance, Odd(a=-1.0, b=1.0, name="odd")())},
    ],
    ids=["lr", "threshold", "noise"],
)
def test_what_cannot_be_described_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="checkpoint: expected None, as what a study computes must be told"):
        study(tmp_path / "x", **changed)
    assert not list(tmp_path.iterdir())
    assert study(None, **{**changed, "runs": 1}).runs == 1


@pytest.mark.parametrize("path", [3, "", "a\0b", b"x"])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(InvalidInput, match="checkpoint: expected a file name or None"):
        study(path)


@pytest.mark.parametrize("path", ["missing/x.ckpt", "file/x.ckpt", "x" * 300])
def test_what_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path, path: str, computed: list[int]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="checkpoint: expected a path that can be written"):
        study(tmp_path / path)
    assert computed == []


FORBIDDEN = """
import os, tempfile
from hdlimit.execution.checkpoint import Checkpoint, InvalidInput
with tempfile.TemporaryDirectory() as folder:
    old, new = os.path.join(folder, "old"), os.path.join(folder, "new")
    with Checkpoint(old, {"study": 1}).opened():
        pass
    os.chmod(old, 0o444)
    os.chmod(folder, 0o555)
    if root := os.geteuid() == 0:
        os.seteuid(65534)
    for path in (old, new):
        try:
            with Checkpoint(path, {"study": 1}).opened():
                print("opened")
        except InvalidInput as error:
            print(error)
    if root:
        os.seteuid(0)
    os.chmod(folder, 0o755)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="other permissions")
def test_no_permission() -> None:
    """A file that may not be written, and a folder that takes no new one (root steps down, who may write anywhere)."""
    with begin(FORBIDDEN) as child:
        assert child.stdout is not None
        lines = child.stdout.read().splitlines()
    assert len(lines) == 2 and all("a path that can be written, got" in line for line in lines)
    assert lines[0].endswith("old' (Permission denied)") and lines[1].endswith("new' (Permission denied)")


def test_one_study_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    code = """
    import sys, hdlimit.execution.checkpoint as c
    try:
        with c.Checkpoint(sys.argv[1], {"study": 1}).opened():
            print("opened")
    except c.InvalidInput as error:
        print(error)
    """
    with Checkpoint(path, {"study": 1}).opened():
        with begin(code, path) as other:
            assert other.stdout is not None and "in use by another process" in other.stdout.read()
        with pytest.raises(InvalidInput, match="in use by this process"), Checkpoint(path, {"study": 1}).opened():
            pass
    with begin(code, path) as other:
        assert other.stdout is not None and other.stdout.read() == "opened\n"


# ---- a disk that is full

FULL = """
import resource, sys
import hdlimit as hd
problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
def study(runs):
    return hd.simulate(problem, hd.SGD(0.4), 4.0, runs, seed=5, checkpoint=sys.argv[1])
study(4)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    study(64)
except hd.errors.InvalidInput as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    """A file-size limit stands for the disk: a write is cut in the middle of a record, then refused."""
    path = tmp_path / "x"
    with begin(FULL, path, 40_000) as child:
        assert child.stdout is not None
        said = child.stdout.read()
    assert said.startswith("checkpoint: expected a disk that takes what is written") and "are kept" in said
    kept = stored_runs(path)
    assert path.stat().st_size <= 40_000 and {0, 1, 2, 3} <= set(kept) and 4 < len(kept) < 64
    assert f"the {len(kept)} runs stored before are kept" in said
    problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
    resumed = hd.simulate(problem, hd.SGD(0.4), 4.0, 64, seed=5, checkpoint=path)
    assert np.array_equal(resumed.risk, hd.simulate(problem, hd.SGD(0.4), 4.0, 64, seed=5).risk)


def test_a_disk_that_is_full_when_it_is_synchronized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    study(path, runs=2)
    before = path.read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InvalidInput, match="No space left on device; the 2 runs stored before are kept"):
            study(path)
        with pytest.raises(InvalidInput, match=r"checkpoint: .*\(No space left on device\)"):
            study(tmp_path / "new")
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["x"]
    assert np.array_equal(study(path).risk, study(None).risk)


# ---- lost while a study runs


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize(("lose", "word"), [(Path.unlink, "deleted"), (emptied, "emptied"), (cut, "cut")])
def test_a_file_that_is_lost_is_told_and_written_anew(lose: Callable[[Path], Any], word: str, tmp_path: Path) -> None:
    """Before the next run is stored, and once a second while none finishes."""
    path, checkpoint = tmp_path / "x", Checkpoint(tmp_path / "x", {"study": 1})
    with checkpoint.opened() as store:
        for run in range(3):
            store.add([run], arrays([run]))
        for again in (lambda: store.add([3], arrays([3])), store.check):
            lose(path)
            with pytest.warns(hd.errors.HdlimitWarning, match=rf"was {word} while the study ran; it is written anew"):
                again()
            assert stored_runs(path)[:3] == [0, 1, 2]
        store.check()
        store.add([4], arrays([4]))
    with checkpoint.opened() as store:
        assert flat(store.parts) == [0, 1, 2, 3, 4]
        for runs, (values, numbers) in store.parts:
            assert np.array_equal(values, arrays(runs)[0]) and np.array_equal(numbers, arrays(runs)[1])


def test_it_is_noticed_while_no_run_finishes(tmp_path: Path) -> None:
    path = tmp_path / "x"

    def work(runs: Any) -> Any:
        if runs[0] == 1:
            path.unlink()
            end = time.monotonic() + 20
            while not path.exists() and time.monotonic() < end:
                time.sleep(0.01)
            assert stored_runs(path) == [0]
        return arrays(list(runs))

    with ThreadPoolExecutor(1) as pool, pytest.warns(hd.errors.HdlimitWarning, match="was deleted while the study ran"):
        collect(work, 2, 1.0, pool, False, Checkpoint(path, {"study": 1}))
    assert stored_runs(path) == [0, 1]


def test_another_file_in_its_place_is_left(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "x", Checkpoint(tmp_path / "x", {"study": 1})
    with checkpoint.opened() as store:
        store.add([0], arrays([0]))
        (tmp_path / "other").write_text("other")
        os.replace(tmp_path / "other", path)
        with pytest.raises(InvalidInput, match=r"the file with which the study began, got .* \(replaced while"):
            store.add([1], arrays([1]))
    assert path.read_text() == "other"
