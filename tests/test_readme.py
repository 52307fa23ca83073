"""The README says what is true: its code runs, its commands exist, its test line is what .ci/run runs."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import hdlimit as hd
from hdlimit.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
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
        "runs=500": "runs=8",
        "[16, 32, 64, 128]": "[8, 12, 16]",
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


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_named_files_exist(text: str) -> None:
    named = re.findall(r"(?:examples|hdlimit|tests|derivations)/[\w./]+\.\w+", text)
    assert named and all((ROOT / name).is_file() for name in named)


def test_figure_is_small() -> None:
    assert (ROOT / "examples/demo.png").stat().st_size < 200_000


def unknown(text: str) -> list[str]:
    """Dotted names of the package that a text mentions in backticks or code and that do not exist."""
    missing = []
    for name in sorted(set(re.findall(r"(?<![\w./])(?:hd|hdlimit)((?:\.[A-Za-z_]\w*)+)", text))):
        value = import_module("hdlimit")
        for part in name.split(".")[1:]:
            try:
                value = getattr(value, part, None) or import_module(f"{value.__name__}.{part}")
            except (AttributeError, ImportError):
                missing.append(name)
                break
    return missing


def test_names_exist() -> None:
    assert unknown(README + CONTRIBUTING + CHANGELOG.split("## [0.1.0]")[0]) == []


def test_a_name_that_does_not_exist_is_found() -> None:
    assert unknown("`hdlimit.diagnostics.non_gaussianity`, `hd.SGD`, `hd.schedules.Cosin(`") == [
        ".diagnostics.non_gaussianity",
        ".schedules.Cosin",
    ]


def test_ci_runs_the_test_line() -> None:
    (line,) = [line for line in blocks("sh")[0].splitlines() if line.endswith("pytest")]
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == line


def test_changelog_names_the_version() -> None:
    assert hd.__version__ in CHANGELOG
