"""Exit codes: 0, 1 and 3 are verdicts and nothing else, and every other end has its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import hdlimit as hd
from hdlimit.cli import exits, main

COMMAND = [sys.executable, "-m", "hdlimit.cli.entry"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, [str(a) for a in arguments], prog_name="hdlimit", catch_exceptions=False)


ENDS: list[tuple[BaseException, int, str]] = [
    (hd.errors.InvalidInput("lr", "a number > 0", -1), 2, "hdlimit: lr: expected a number > 0, got -1"),
    (hd.errors.NoLimit("noise: of infinite variance"), 2, "hdlimit: noise: of infinite variance"),
    (hd.errors.NotAvailable("no theory"), 2, "hdlimit: no theory"),
    (hd.errors.VerificationRefused("no variance"), 2, "hdlimit: no variance"),
    (click.UsageError("no such thing"), 2, "hdlimit: no such thing ('hdlimit formula -h' shows the usage)"),
    (ZeroDivisionError("float division"), 4, "hdlimit: a fault of hdlimit, not of the input: ZeroDivisionError"),
    (RuntimeError("two\nlines"), 4, "hdlimit: a fault of hdlimit, not of the input: RuntimeError: two lines"),
    (RecursionError("deep"), 4, "hdlimit: a fault of hdlimit, not of the input: RecursionError: deep"),
    (MemoryError(), 4, "hdlimit: out of memory"),
    (MemoryError("Unable to allocate 8 TiB"), 4, "hdlimit: out of memory: Unable to allocate 8 TiB"),
    (hd.errors.NotWritten("path", "a disk that takes what is written", "x"), 5, "hdlimit: path: expected a disk"),
    (OSError(28, "No space left on device"), 5, "hdlimit: output: [Errno 28] No space left on device"),
    (hd.errors.WorkersLost("executor: workers died"), 6, "hdlimit: executor: workers died"),
    (KeyboardInterrupt(), 130, "hdlimit: interrupted"),
    (BrokenPipeError(32, "Broken pipe"), 141, ""),
]


@pytest.mark.parametrize(("error", "code", "line"), ENDS, ids=[f"{type(e).__name__}-{c}" for e, c, _ in ENDS])
def test_every_end_has_its_code(error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line on stderr, after a traceback where it is a fault."""

    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(main.printing, "formula_list", fails)
    result = run("formula")
    *before, last = result.stderr.splitlines() or [""]
    fault = code == 4 and not isinstance(error, MemoryError)
    assert result.exit_code == code and last.startswith(line) and result.stdout == ""
    assert (before[:1] == ["Traceback (most recent call last):"]) if fault else before == []


def test_the_codes_are_documented() -> None:
    """In the help, all of them; verdicts have no other meaning."""
    listed = [line.split()[0] for line in run("--help").stdout.partition("Exit codes:")[2].splitlines()]
    assert listed == ["0", "1", "3", "2", "4", "5", "6", "130", "141"]
    named = (exits.WRONG_INPUT, exits.FAULT, exits.UNWRITTEN, exits.WORKERS_LOST, exits.INTERRUPTED, exits.UNREAD)
    assert named == (2, 4, 5, 6, 130, 141) and {code for _, code, _ in ENDS} == set(named)
    assert "hdlimit -h" in run("verify", "--help").stdout


# ---- streams of the process itself


def code_and_errors(arguments: list[str], **streams: Any) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, timeout=120, **streams)
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["formula"], ["--help"], ["--version"]])
def test_a_full_stdout(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        assert code_and_errors(arguments, stdout=full) == (5, "hdlimit: output: [Errno 28] No space left on device\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_nobody_reads_stdout() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert code_and_errors(["formula"], stdout=writer) == (141, "")
    finally:
        os.close(writer)


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
def test_a_closed_stdout(tmp_path: Path) -> None:
    """Said before anything is computed: the next file that is opened would get its number."""
    found = code_and_errors(["formula"], preexec_fn=lambda: os.close(1))
    assert found == (141, "hdlimit: stdout is closed\n")


def test_the_entry_does_what_the_group_does(tmp_path: Path) -> None:
    assert code_and_errors(["formula", "adam"], stdout=subprocess.DEVNULL)[0] == 2
    assert code_and_errors(["nothing"], stdout=subprocess.DEVNULL)[0] == 2
    done = subprocess.run([*COMMAND, "formula"], capture_output=True, text=True, check=True)
    assert done.stdout == run("formula").stdout and done.stderr == ""


FINALIZER = """
import os, signal, sys, time
from hdlimit.cli import entry, main

class Busy:
    def __del__(self):
        if {raises}:
            raise RuntimeError("lost")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
def work(**_):
    Busy()
    if not {raises}:
        time.sleep(30)

main.main = work
sys.argv = ["hdlimit"]
entry.run()
"""


@pytest.mark.parametrize("raises", [False, True])
def test_ctrl_c_in_a_finalizer_is_told_in_one_line(raises: bool) -> None:
    """Python cannot raise it there: the watching thread ends the command; other errors of finalizers are told."""
    script = FINALIZER.format(raises=raises)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    if raises:
        assert done.returncode == 0 and "RuntimeError: lost" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (130, "hdlimit: interrupted\n")
