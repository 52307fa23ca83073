"""The README says what is true: its code runs, its commands exist, its test line is what .ci/run runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from hdlimit.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code as it stands, at a smaller size."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    (code,) = blocks("python")
    smaller = {
        "PowerLaw(1000": "PowerLaw(60",
        "runs=32": "runs=4",
        "paths=32": "paths=4",
        "runs=64": "runs=8",
        "[64, 128, 256]": "[32, 48, 64]",
    }
    small = code
    for size, less in smaller.items():
        assert size in small
        small = small.replace(size, less)
    rng = np.random.default_rng(0)
    names = {"X": rng.normal(size=(100, 5)), "y": rng.normal(size=100), "residuals": rng.standard_t(2, 500)}
    exec(small, names)
    assert (tmp_path / "curve.npz").exists()


def test_commands_exist() -> None:
    """Every hdlimit command of the README is parsed: the command, its arguments and its options are known."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("hdlimit ")]
    assert len(lines) >= 4
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)[1:]
        command = main.main.commands[name]
        with command.make_context(name, arguments) as context:
            assert context.params
    assert set(main.main.commands) == {"predict", "tune", "verify", "formula", "demo"}


def test_named_files_exist() -> None:
    named = re.findall(r"(?:examples|hdlimit|tests)/[\w./]+\.\w+", README)
    assert named and all((ROOT / name).is_file() for name in named)
    assert (ROOT / "examples/demo.png").stat().st_size < 200_000


def test_ci_runs_the_test_line() -> None:
    (line,) = [line for line in blocks("sh")[0].splitlines() if line.endswith("pytest")]
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == line


def test_changelog_names_the_version() -> None:
    import hdlimit

    assert hdlimit.__version__ in CHANGELOG
