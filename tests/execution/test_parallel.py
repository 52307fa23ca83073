"""Where runs are computed changes nothing: in threads, in processes, on a Dask cluster; and workers may die."""

from __future__ import annotations

import json
import multiprocessing
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from distributed import LocalCluster
from work import Failure, Runs, dies, fails, kill, leave, naps, squares

import hdlimit as hd
from hdlimit.cli import main
from hdlimit.errors import InvalidInput, WorkersLost
from hdlimit.execution import workers
from hdlimit.execution.checkpoint import Checkpoint
from hdlimit.execution.parallel import batches, collect
from hdlimit.execution.workers import Processes, dask_workers

SPAWN = multiprocessing.get_context("spawn")


class Serial(Executor):
    """Computes at once, in the caller; remembers what it was given."""

    def __init__(self) -> None:
        self.tasks: list[Runs] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        self.tasks.append(args[0])
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, SPAWN) as pool:
        yield pool


@pytest.fixture(scope="module")
def own() -> Iterator[Processes]:
    with Processes(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A real cluster: a scheduler, two worker processes, TCP between them."""
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dask(cluster: LocalCluster) -> Iterator[Executor]:
    with dask_workers(cluster.scheduler_address) as executor:
        yield executor


# ---- the same, bit for bit

D = 60
PROBLEM = hd.Problem(hd.PowerLaw(D, 0.3), hd.StudentT(df=5, scale=0.5))
STUDIES = {
    "clip": (PROBLEM, hd.ClippedSGD(0.4, 0.8), {"record": ("distance", "gradient_norm", "clipped_fraction")}),
    "blocks": (PROBLEM, hd.SGD(0.4, batch_size=2), {"method": "blocks"}),
    "sign": (hd.Problem(hd.Wishart(D, 0.5), hd.Laplace(0.5)), hd.SignSGD(hd.schedules.Cosine(0.4, 0.1, 4.0)), {}),
    "rows": (hd.Problem.from_data(np.sin(np.arange(300.0).reshape(60, 5) ** 2), np.arange(60) % 7), hd.SGD(0.3), {}),
}


@pytest.fixture(params=[None, "serial", "threads", "processes", "own", "dask"])
def executor(request: pytest.FixtureRequest) -> Executor | None:
    here = {None: None, "serial": Serial(), "threads": ThreadPoolExecutor(3)}
    found: Executor | None = here[request.param] if request.param in here else request.getfixturevalue(request.param)
    return found


def test_the_same_everywhere(executor: Executor | None) -> None:
    """Every run is the one that is computed alone, in this thread, whatever the executor and however many there are."""
    for problem, optimizer, options in STUDIES.values():
        runs = hd.simulate(problem, optimizer, 4.0, 7, seed=3, executor=executor, **options)
        alone = hd.simulate(problem, optimizer, 4.0, 7, seed=3, executor=Serial(), **options)
        assert np.array_equal(runs.risk, alone.risk) and len(np.unique(runs.risk[:, -1])) == 7
        for name in options.get("record", ()):
            assert np.array_equal(runs.observable(name).values, alone.observable(name).values)


# ---- how runs are handed out


def expected(runs: int) -> np.ndarray:
    return squares(range(runs))[0]


@pytest.mark.parametrize(
    ("runs", "seconds", "fewest", "most"),
    [
        (32, 0.02, 1, 2),
        (32, 10.0, 32, 32),
        (32, 0.5, 32, 32),
        (32, 0.4, 16, 32),
        (1000, 0.1, 190, 200),
        (3, 1e-9, 1, 1),
    ],
)
def test_tasks_of_half_a_second(runs: int, seconds: float, fewest: int, most: int) -> None:
    serial = Serial()
    values, numbers = collect(squares, runs, seconds, serial, False)
    assert np.array_equal(values, expected(runs)) and np.array_equal(numbers, np.arange(runs))
    assert fewest <= len(serial.tasks) <= most
    if len(serial.tasks) < runs:
        assert sum(map(len, serial.tasks)) * seconds / len(serial.tasks) >= 0.5 or len(serial.tasks) == 1


@pytest.mark.parametrize(("runs", "count"), [(1, 1), (7, 3), (32, 2), (5, 9), (100, 7)])
def test_batches(runs: int, count: int) -> None:
    parts = batches(range(runs), count)
    assert [run for part in parts for run in part] == list(range(runs))
    lengths = [len(part) for part in parts]
    assert len(parts) == min(runs, count) and max(lengths) - min(lengths) <= 1


def test_progress(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The bar begins at what the checkpoint holds."""
    checkpoint = Checkpoint(tmp_path / "x", {"study": 1})
    collect(squares, 4, 1.0, Serial(), True, checkpoint)
    assert "4/4" in capsys.readouterr().err
    collect(squares, 10, 1.0, Serial(), True, checkpoint)
    assert " 40%" in (shown := capsys.readouterr().err) and "10/10" in shown


# ---- work that fails


def test_what_the_work_raises_comes_back_as_it_is(executor: Executor | None) -> None:
    with pytest.raises(Failure, match="run [0-3]"):
        collect(fails, 5, 1.0, executor, False)


def test_it_ends_the_study_but_not_what_is_stored(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "x", {"study": 1})
    with pytest.raises(Failure):
        collect(fails, 6, 1.0, Serial(), False, checkpoint)
    with checkpoint.opened() as store:
        stored = {run for runs, _ in store.parts for run in runs}
    assert stored <= {0, 1, 2, 4, 5}
    assert np.array_equal(collect(squares, 6, 1.0, Serial(), False, checkpoint)[0], expected(6))


def test_what_a_serial_executor_computes_is_stored_at_once(tmp_path: Path) -> None:
    """Not only when everything has been handed out: here in the middle of a study."""
    path = tmp_path / "x"
    sizes: list[int] = []

    def watched(runs: Runs) -> tuple[np.ndarray, ...]:
        sizes.append(path.stat().st_size)
        return squares(runs)

    collect(watched, 5, 1.0, Serial(), False, Checkpoint(path, {"study": 1}))
    assert len(sizes) == 5 and np.all(np.diff(sizes) > 0)


# ---- workers that die


@pytest.mark.parametrize("end", [leave, kill])
def test_processes_that_die_are_replaced(tmp_path: Path, end: Callable[[], object]) -> None:
    with Processes(2) as pool:
        values, _ = collect(partial(dies, str(tmp_path), 2, end), 6, 1.0, pool, False)
        assert np.array_equal(values, expected(6)) and len(list(tmp_path.iterdir())) == 2
        assert np.array_equal(collect(squares, 4, 1.0, pool, False)[0], expected(4))


def test_not_for_ever(tmp_path: Path) -> None:
    """A run that ends every process that computes it: one error, and what had finished is kept."""
    (tmp_path / "flags").mkdir()
    checkpoint = Checkpoint(tmp_path / "x", {"study": 1})
    work = partial(dies, str(tmp_path / "flags"), 10**6, leave)
    with Processes(1) as pool, pytest.raises(WorkersLost, match="3 times in a row") as caught:
        collect(work, 5, 1.0, pool, False, checkpoint)
    assert "4 of 5 runs had finished and are kept in the checkpoint" in str(caught.value)
    assert "BrokenProcessPool" in str(caught.value) and "\n" not in str(caught.value)
    with checkpoint.opened() as store:
        assert sorted(run for runs, _ in store.parts for run in runs) == [0, 1, 3, 4]


def test_a_pool_of_somebody_else_cannot_be_replaced(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, SPAWN) as pool:
        message = "the executor takes no more work .*; [0-9] of 5 runs had finished and are lost"
        with pytest.raises(WorkersLost, match=message):
            collect(partial(dies, str(tmp_path), 1, leave), 5, 1.0, pool, False)
        with pytest.raises(InvalidInput, match="executor: expected one that takes work, got BrokenProcessPool"):
            hd.simulate(PROBLEM, hd.SGD(0.4), 1.0, 2, executor=pool)


def test_a_dask_worker_that_dies(tmp_path: Path, cluster: LocalCluster, dask: Executor) -> None:
    """With no second chance from Dask itself, whose KilledWorker then says what happened."""
    allowed, cluster.scheduler.allowed_failures = cluster.scheduler.allowed_failures, 0
    try:
        values, _ = collect(partial(dies, str(tmp_path), 1, leave), 4, 1.0, dask, False)
    finally:
        cluster.scheduler.allowed_failures = allowed
    assert np.array_equal(values, expected(4)) and len(list(tmp_path.iterdir())) == 1


class Cancels(Serial):
    """Cancels its first task."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        if self.tasks:
            return super().submit(work, *args, **options)
        self.tasks.append(args[0])
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_cancelled_tasks_are_handed_out_again() -> None:
    with pytest.raises(CancelledError):
        Cancels().submit(squares, range(2)).result()
    assert np.array_equal(collect(squares, 4, 1.0, Cancels(), False)[0], expected(4))


class Closes(Serial):
    """Takes two tasks and then raises what a Dask client raises that has lost its scheduler."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.error = error

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        if len(self.tasks) == 2:
            raise self.error("Client is closed.\nCan't send a message.")
        return super().submit(work, *args, **options)


@pytest.mark.parametrize(
    "error", [type("ClosedClientError", (Exception,), {"__module__": "distributed.client"}), Exception]
)
def test_an_executor_that_closes_halfway(tmp_path: Path, error: type[Exception]) -> None:
    """The class of this error in new releases of Dask, and in old ones."""
    checkpoint = Checkpoint(tmp_path / "x", {"study": 1})
    with pytest.raises(WorkersLost) as caught:
        collect(squares, 5, 1.0, Closes(error), False, checkpoint)
    assert str(caught.value) == (
        f"executor: workers died and the executor takes no more work ({error.__name__}: Client is closed. Can't send a "
        "message.); 2 of 5 runs had finished and are kept in the checkpoint"
    )
    again = Serial()
    assert np.array_equal(collect(squares, 5, 1.0, again, False, checkpoint)[0], expected(5)) and len(again.tasks) == 3


SCHEDULER = """
import sys, time
from distributed import LocalCluster
sys.path.insert(0, sys.argv[1])
options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "protocol": "tcp://"}
with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **options) as cluster:
    print(cluster.scheduler_address, flush=True)
    time.sleep(120)
"""


def test_a_scheduler_that_is_gone(tmp_path: Path) -> None:
    """Killed when a run is kept: the client gives up after its time-out, 1 s here, and one sentence follows."""
    checkpoint = Checkpoint(tmp_path / "x", {"study": 1})
    command = [sys.executable, "-c", SCHEDULER, str(Path(__file__).parents[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as scheduler:
        assert scheduler.stdout is not None
        address = scheduler.stdout.readline().strip()

        def kill() -> None:
            first = 0
            while not first or checkpoint.path.stat().st_size == first:
                time.sleep(0.01)
                first = first or (checkpoint.path.stat().st_size if checkpoint.path.exists() else 0)
            scheduler.kill()

        threading.Thread(target=kill, daemon=True).start()
        with (
            pytest.raises(WorkersLost, match="of 40 runs had finished and are kept"),
            dask_workers(address, 1.0) as far,
        ):
            collect(naps, 40, 1.0, far, False, checkpoint)
    with checkpoint.opened() as store:
        assert 0 < len(store.parts) < 40
    assert np.array_equal(collect(squares, 40, 1.0, Serial(), False, checkpoint)[0], expected(40))


ORPHANS = """
import os, sys, time
from hdlimit.execution.workers import Processes
def nap(seconds): time.sleep(seconds); return os.getpid()
if __name__ == "__main__":
    with Processes(2) as pool:
        print(*{f.result() for f in [pool.submit(nap, 0.3) for _ in range(4)]}, flush=True)
        pool.submit(nap, 120), pool.submit(nap, 120)
        time.sleep(120)
"""


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    """Killed, it cannot tell them; they notice, in the middle of their work too."""
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert pids and all(map(running, pids))
        parent.kill()
    end = time.monotonic() + 20
    while any(map(running, pids)):
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- executors that take nothing


def test_an_executor_that_is_shut_down(tmp_path: Path, cluster: LocalCluster) -> None:
    pools: list[Executor] = [ThreadPoolExecutor(1), ProcessPoolExecutor(1, SPAWN), Processes(1)]
    with dask_workers(cluster.scheduler_address) as executor:
        pools.append(executor)
        for pool in pools:
            pool.shutdown()
    hd.simulate(PROBLEM, hd.SGD(0.4), 1.0, 2, checkpoint=tmp_path / "x")
    for pool in pools:
        for checkpoint in (None, tmp_path / "x"):
            with pytest.raises(
                InvalidInput, match="executor: expected one that takes work, got RuntimeError: .*shutdown"
            ):
                hd.simulate(PROBLEM, hd.SGD(0.4), 1.0, 4, executor=pool, checkpoint=checkpoint)


def test_a_schedule_that_cannot_be_sent(processes: Executor) -> None:
    with pytest.raises(InvalidInput, match="executor: expected threads, or schedules .* got a process pool and"):
        hd.simulate(PROBLEM, hd.SGD(lambda t: 0.4), 1.0, 2, executor=processes)


# ---- Dask addresses


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def refusal(address: str, seconds: float = 0.3) -> str:
    with pytest.raises(InvalidInput) as caught, dask_workers(address, seconds):
        pass
    return str(caught.value)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "127.0.0.1:{port}", "nonsense", "", "foo://1:2"])
def test_an_address_where_no_scheduler_listens(address: str) -> None:
    message = refusal(address.format(port=free_port()))
    assert message.startswith("dask: expected the address of a Dask scheduler that answers within 0.3 s")
    assert ("nobody answers" in message) == ("port" in address)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nwhat?\n" * 9])
def test_an_address_where_something_else_listens(answer: bytes) -> None:
    """It says nothing, or something in another language."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                connection.settimeout(5)
                while connection.recv(1000):
                    pass

        thread = threading.Thread(target=talk)
        thread.start()
        message = refusal(f"tcp://127.0.0.1:{server.getsockname()[1]}", 0.5)
        thread.join()
    assert message.startswith("dask: expected the address of a Dask scheduler")


def test_the_address_of_a_worker(cluster: LocalCluster) -> None:
    assert "that of a Worker" in refusal(next(iter(cluster.scheduler.workers)))


def test_a_scheduler_without_workers() -> None:
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "protocol": "tcp://"}
    with LocalCluster(n_workers=0, processes=False, **options) as empty:
        assert refusal(empty.scheduler_address).startswith("dask: expected a Dask cluster with a worker within 0.3 s")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(InvalidInput, match=r"dask: expected .*pip install 'hdlimit\[dask\]'"),
        dask_workers("tcp://x:1"),
    ):
        pass


# ---- the command line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    problem = hd.Problem(hd.Isotropic(60), hd.Gaussian(0.5))
    path = tmp_path / "study.toml"
    path.write_text(hd.to_toml(problem, hd.ClippedSGD(0.4, 0.8), 5.0, runs=16, seed=3))
    return path


def verify(file: Path, *options: object) -> Any:
    arguments = ["verify", str(file), "--json", *map(str, options)]
    return CliRunner().invoke(main.main, arguments, prog_name="hdlimit", catch_exceptions=False)


def test_the_command_gives_the_same_everywhere(file: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    plain = verify(file)
    assert plain.exit_code == 0
    for options in (
        ("--workers", 2),
        ("--dask", cluster.scheduler_address),
        ("--checkpoint", tmp_path / "x.ckpt"),
        ("--checkpoint", tmp_path / "x.ckpt", "--workers", 1),
    ):
        result = verify(file, *options)
        assert result.exit_code == 0 and json.loads(result.stdout) == json.loads(plain.stdout)


def test_what_the_command_refuses(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "dask_workers", partial(dask_workers, seconds=0.3))
    (tmp_path / "foreign").write_text("t,risk\n")
    for options, message in (
        (("--dask", f"tcp://127.0.0.1:{free_port()}"), "dask: expected the address of a Dask scheduler"),
        (("--workers", 2, "--dask", "tcp://127.0.0.1:8786"), "give either --workers or --dask, not both"),
        (("--workers", 0), "--workers"),
        (("--checkpoint", tmp_path / "foreign"), "checkpoint: expected a whole checkpoint of hdlimit"),
        (("--checkpoint", tmp_path / "missing" / "x"), "checkpoint: expected a path that can be written"),
    ):
        result = verify(file, *options)
        assert result.exit_code == 2 and message in result.stderr and result.stdout == ""


def test_the_script_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The code for MPI as it stands, at a smaller size, on threads in place of MPI's processes."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```py\n(.*?)```", readme, flags=re.DOTALL)
    small = code.replace("2000", "60").replace("runs=256", "runs=4")
    assert small.count("60") == small.count("runs=4") == 1
    futures = ModuleType("mpi4py.futures")
    futures.MPIPoolExecutor = ThreadPoolExecutor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mpi4py", ModuleType("mpi4py"))
    monkeypatch.setitem(sys.modules, "mpi4py.futures", futures)
    monkeypatch.chdir(tmp_path)
    exec(small, {"__name__": "__main__"})
    assert "4 runs at d = 60" in capsys.readouterr().out and Path("runs.ckpt").exists()
