"""How long modules, functions and argument lists may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hdlimit

PACKAGE = Path(hdlimit.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "formulas.py")
LINES, BODY, KERNEL, POSITIONAL = 300, 60, 80, 8
# What is still too long. An entry that obeys has to leave the list.
LONG_MODULES: set[str] = set()
LONG_BODIES: set[str] = set()
MANY_ARGUMENTS: set[str] = set()


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of a body without its docstring, blank lines and comments between statements included."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    body = function.body[1:] if documented else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def positional(function: ast.FunctionDef) -> int:
    """Arguments that can be given by position, self and cls aside."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def too_long(path: Path) -> tuple[set[str], set[str]]:
    """Functions with a long body, and with many arguments; those of a kernel have their order defined beside it."""
    name, limit = str(path.relative_to(PACKAGE)), KERNEL if path.parent.name == "kernels" else BODY
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bodies = {f"{name}:{f.name}" for f in functions(tree) if body_lines(f) > limit}
    many = {f"{name}:{f.name}" for f in functions(tree) if positional(f) > POSITIONAL}
    return bodies, set() if path.parent.name == "kernels" else many


def test_modules() -> None:
    long = {str(p.relative_to(PACKAGE)) for p in FILES if len(p.read_text(encoding="utf-8").splitlines()) > LINES}
    assert long == LONG_MODULES


def test_functions() -> None:
    found = [too_long(path) for path in FILES]
    assert set().union(*(bodies for bodies, _ in found)) == LONG_BODIES
    assert set().union(*(many for _, many in found)) == MANY_ARGUMENTS


@pytest.mark.parametrize(
    ("code", "lines", "arguments"),
    [
        ("def f(self, a, b):\n    '''Doc.'''\n    x = 1\n\n    return x", 3, 2),
        ("def f(a, b, *, c):\n" + "    a\n" * 70, 70, 2),
    ],
)
def test_they_are_counted(code: str, lines: int, arguments: int) -> None:
    (function,) = functions(ast.parse(code))
    assert (body_lines(function), positional(function)) == (lines, arguments)
