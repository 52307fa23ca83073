"""Ctrl-C at random moments, as a terminal sends it: to every process of the command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import hdlimit as hd
from hdlimit.execution.workers import dask_workers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")]
# Moments of each kind: their seed is printed when one fails.
MOMENTS = 20
COMMAND = [sys.executable, "-m", "hdlimit.cli.entry"]
PROBLEM = hd.Problem(hd.PowerLaw(1000, 0.3), hd.StudentT(df=5, scale=0.5))
SCRIPT = """
import numpy as np
import hdlimit as hd
problem = hd.Problem(hd.PowerLaw(2000, 0.5), hd.Gaussian(0.5))
"""
SCRIPTS = {
    "simulate": "hd.simulate(problem, hd.ClippedSGD(0.4, 0.5), 2000.0, 64, times=[2000.0])",
    "sample_sde": "hd.sample_sde(problem, hd.ClippedSGD(0.4, 0.5), 2000.0, 1000)",
    "sweep": "hd.sweep(problem, hd.ClippedSGD(0.4, 0.5), 20.0, final=True, lr=np.linspace(0.1, 0.5, 1000), "
    "threshold=np.linspace(0.1, 1.0, 100))",
}
COMMANDS = {
    "threads": ["verify", "study.toml", "--runs", "2000", "--checkpoint", "runs.ckpt"],
    "workers": ["verify", "study.toml", "--runs", "2000", "--workers", "2", "--checkpoint", "runs.ckpt"],
    "dask": ["verify", "study.toml", "--runs", "2000", "--dask", "ADDRESS"],
    "tune": ["tune", "study.toml", "--schedule", "--plot", "landscape.png", "--out", "tuning.json"],
    "full": ["verify", "full.toml", "--runs", "2000"],
}
CLUSTER = """
import sys, time
from distributed import LocalCluster
if __name__ == "__main__":
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


class End(NamedTuple):
    """How a command ended: exit code, seconds after Ctrl-C, stderr, whether a process of it is left."""

    code: int
    seconds: float
    errors: str
    left: bool


def alive(group: int) -> list[int]:
    """The processes of a group that have not ended; a zombie has."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def heard() -> None:
    """What runs in the background of a shell ignores Ctrl-C, and so does what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(command: list[str], folder: Path, moment: float, again: float | None = None) -> End:
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, start_new_session=True, preexec_fn=heard, **streams) as child:
        try:
            child.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGINT)
        start = time.monotonic()
        if again is not None:
            time.sleep(again)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGINT)
        _, errors = child.communicate(timeout=60)
        seconds = time.monotonic() - start
    while (left := bool(alive(child.pid))) and time.monotonic() - start < 2.0:
        time.sleep(0.01)
    if left:
        os.killpg(child.pid, signal.SIGKILL)
    return End(child.returncode, seconds, errors, left)


@contextmanager
def place(folder: Path, kind: str) -> Iterator[list[str]]:
    """The command of a kind, with what it needs."""
    (folder / "study.toml").write_text(hd.to_toml(PROBLEM, hd.ClippedSGD(0.6, 0.6), 20.0, runs=32))
    full = hd.Problem(hd.Wishart(600, 0.5), hd.Gaussian(0.5))
    (folder / "full.toml").write_text(hd.to_toml(full, hd.SignSGD(0.2), 20.0, runs=32))
    if kind in SCRIPTS:
        yield [sys.executable, "-c", SCRIPT + SCRIPTS[kind]]
    elif kind != "dask":
        yield [*COMMAND, *COMMANDS[kind]]
    else:
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([sys.executable, "-c", CLUSTER], text=True, **streams) as cluster:
            assert cluster.stdout is not None and cluster.stdin is not None
            address = cluster.stdout.readline().strip()
            yield [*COMMAND, *(address if part == "ADDRESS" else part for part in COMMANDS[kind])]
            cluster.stdin.close()


def check(kind: str, end: End, folder: Path) -> None:
    said = ("hdlimit: compiling", "hdlimit: this takes", "hdlimit: warning")
    lines = [line for line in end.errors.splitlines() if line and not line.startswith(said)]
    assert not end.left and end.seconds < 2.0 and not list(folder.glob(".hdlimit-*"))
    if kind in SCRIPTS:
        assert end.code == -signal.SIGINT and end.errors.count("Traceback") == 1
        assert end.errors.splitlines()[-1] == "KeyboardInterrupt"
    else:
        assert (end.code, lines) == (130, ["hdlimit: interrupted"])


@pytest.mark.parametrize("kind", [*COMMANDS, *SCRIPTS])
def test_at_random_moments(kind: str, tmp_path: Path) -> None:
    """From half a second on, by when Python itself has begun, until what lasts longest is in full swing."""
    seed = int.from_bytes(os.urandom(4))
    print("seed of the moments:", seed)
    moments = random.Random(seed)
    with place(tmp_path, kind) as command:
        for _ in range(MOMENTS):
            check(kind, interrupted(command, tmp_path, moments.uniform(0.5, 6.0)), tmp_path)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_second_one_ends_it_at_once(kind: str, tmp_path: Path) -> None:
    with place(tmp_path, kind) as command:
        for moment in (1.0, 2.0, 4.0):
            check(kind, interrupted(command, tmp_path, moment, again=0.1), tmp_path)


def test_what_a_checkpoint_has_is_kept(tmp_path: Path) -> None:
    """Interrupted again and again, the study ends with the runs of one that was not."""
    problem, optimizer = hd.Problem(hd.Isotropic(300), hd.Gaussian(0.5)), hd.SGD(0.4)
    (tmp_path / "study.toml").write_text(hd.to_toml(problem, optimizer, 20.0, runs=400, seed=3))
    command = [*COMMAND, "verify", "study.toml", "--checkpoint", "runs.ckpt", "--workers", "2"]
    sizes = []
    for moment in (4.0, 4.5, 5.0):
        interrupted(command, tmp_path, moment)
        path = tmp_path / "runs.ckpt"
        sizes.append(path.stat().st_size if path.exists() else 0)
    assert sizes == sorted(sizes)
    found = hd.simulate(problem, optimizer, 20.0, 400, seed=3)
    report = hd.verify(problem, optimizer, 20.0, runs=400, seed=3, checkpoint=tmp_path / "runs.ckpt")
    assert (report.runs.risk[:, -1] == found.risk[:, -1]).all()


LONELY = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 50, "protocol": "tcp://"}
    with LocalCluster(n_workers=0, processes=True, **options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def test_dask_without_workers_is_told_and_ends(tmp_path: Path) -> None:
    """Both workers killed, with nobody who starts them again: a sentence within 30 s, then exit code 6."""
    (tmp_path / "study.toml").write_text(hd.to_toml(PROBLEM, hd.ClippedSGD(0.6, 0.6), 200.0, runs=2000))
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", LONELY], text=True, **streams) as cluster:
        assert cluster.stdout is not None and cluster.stdin is not None
        address = cluster.stdout.readline().strip()
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        workers = [subprocess.Popen(command, cwd=tmp_path, **quiet) for _ in range(2)]
        with dask_workers(address, 60.0):
            pass
        verify = [*COMMAND, "verify", "study.toml", "--dask", address, "--checkpoint", "runs.ckpt"]
        with subprocess.Popen(
            verify, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as child:
            path, first, end = tmp_path / "runs.ckpt", 0, time.monotonic() + 60
            while (not first or path.stat().st_size == first) and time.monotonic() < end:
                time.sleep(0.05)
                first = first or (path.stat().st_size if path.exists() else 0)
            for worker in workers:
                worker.kill()
                worker.wait()
            start = time.monotonic()
            assert child.stderr is not None
            lines = []
            while (line := child.stderr.readline()) and "no Dask worker is left" not in line:
                lines.append(line)
            said = time.monotonic() - start
            rest = child.stderr.read()
            print(lines, said, rest)
            assert "no Dask worker is left" in line and said < 30 and child.wait(60) == 6
            assert "executor: workers died and none came back within 25 s" in rest
        cluster.stdin.close()
