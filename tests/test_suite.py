"""The suite itself, and what stands beside it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "tests").rglob("*.py"))
CLOCKS = {"perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "timeit"}
ALLOWED = {
    *("setup.cfg", "pyproject.toml", "README.md", "hdlimit", "tests", "derivations", "examples"),
    *("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "SECURITY.md"),
    *("build", "dist", "hdlimit.egg-info", "uv.lock", "hdlimit-demo.png"),  # made by tools, ignored by git
}


def clocks(tree: ast.AST) -> set[str]:
    """Clocks that code reads; a machine's speed is no property of the code."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    return names & CLOCKS


def test_files_of(tree: ast.AST) -> set[str]:
    """Test files that code imports."""
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return {name for name in modules if name.split(".")[-1].startswith("test_")}


test_files_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_reads_a_clock_or_imports_a_test_file(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not clocks(tree) and not test_files_of(tree)


def test_planted_clocks_and_imports_are_found() -> None:
    assert clocks(ast.parse("import time\nstart = time.perf_counter()\nassert time.perf_counter() - start < 1"))
    assert clocks(ast.parse("from time import process_time"))
    assert test_files_of(ast.parse("from test_verify import Planted"))


def test_nothing_else_at_the_top() -> None:
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} <= ALLOWED
