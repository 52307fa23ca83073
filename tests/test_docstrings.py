"""What docstrings and comments have to say: numpydoc sections, ruff's D rules, a reason for every constant."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import hdlimit as hd

PACKAGE = Path(hd.__file__).parent
ROOT = PACKAGE.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RULES = PYPROJECT["tool"]["ruff"]["lint"]
# Files of the package whose docstrings break a D rule. One that obeys has to leave the list (in pyproject.toml).
NOT_YET = {name for name in RULES["per-file-ignores"] if name.startswith("hdlimit/")}
# Public names whose docstrings lack sections, and files with constants that no comment explains. None may be added; one
# that is complete has to leave its list.
INCOMPLETE = tomllib.loads((ROOT / "tests/docstrings.toml").read_text(encoding="utf-8"))
LACKING, UNEXPLAINED = set(INCOMPLETE["lacking"]), set(INCOMPLETE["unexplained"])
# Numbers that explain themselves.
UNITS = {0, 1, -1}


def sections(doc: str | None) -> set[str]:
    """Titles of the numpydoc sections of a docstring: a line over a line of as many dashes."""
    lines = inspect.cleandoc(doc or "").splitlines()
    titles = zip(lines, lines[1:], strict=False)
    return {title for title, dashes in titles if title and re.fullmatch("-+", dashes) and len(title) == len(dashes)}


def raises_and_warns(function: Callable[..., Any]) -> set[str]:
    """Sections that a function's own statements ask for; what is called may raise too, which no text can tell."""
    (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(inspect.unwrap(function)))).body
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    warns = any(isinstance(f, ast.Name) and f.id in ("warn", "warn_caveats") for f in calls)
    raises = any(isinstance(node, ast.Raise) for node in ast.walk(tree))
    return ({"Raises"} if raises else set()) | ({"Warns"} if warns else set())


def needed(value: Any, top: bool) -> set[str]:
    """Sections that the docstring of a function or class needs; `top`: of a public name, not of a method."""
    examples = {"Examples"} if top else set()
    signature = inspect.signature(value)
    takes = {"Parameters"} if [name for name in signature.parameters if name not in ("self", "cls")] else set()
    if inspect.isclass(value):
        return examples | takes
    returns = signature.return_annotation not in (None, "None", inspect.Signature.empty)
    return examples | takes | ({"Returns"} if returns else set()) | raises_and_warns(value)


def lacking(value: Any, top: bool) -> set[str]:
    """Sections that are not there, or "summary" where there is no docstring."""
    doc = value.__doc__ or ""
    if not doc or (dataclasses.is_dataclass(value) and doc.startswith(f"{value.__name__}(")):  # dataclass writes one
        return {"summary"}
    have = sections(doc)
    if inspect.isclass(value) and "Attributes" in have:
        have = have | {"Parameters"}  # of a record, which users read and do not make
    return needed(value, top) - have


def members(cls: type) -> Iterator[tuple[str, FunctionType]]:
    """Public methods that a class of the package defines; one that redefines a documented method need not repeat its
    sections.
    """
    inherited = {name for base in cls.__mro__[1:] for name, value in vars(base).items() if value.__doc__}
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(function, FunctionType) and not name.startswith("_") and name not in inherited:
            yield name, function


def described(module: Any, prefix: str) -> Iterator[tuple[str, Any, bool]]:
    """Public names of a module with what they stand for, and the methods of the classes among them."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.ismodule(value):
            yield from described(value, f"{prefix}{name}.")
        elif inspect.isclass(value) and issubclass(value, BaseException):
            continue
        elif callable(value):
            yield f"{prefix}{name}", value, True
            if inspect.isclass(value):
                yield from ((f"{prefix}{name}.{m}", function, False) for m, function in members(value))


def numeric(node: ast.expr) -> bool:
    """Whether an expression is made of numbers alone, with arithmetic, brackets and calls; ranges number cases."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(numeric(e) for e in node.elts)
    if isinstance(node, ast.UnaryOp):
        return numeric(node.operand)
    if isinstance(node, ast.BinOp):
        return numeric(node.left) and numeric(node.right)
    calls = isinstance(node, ast.Call) and bool(node.args) and all(numeric(a) for a in node.args)
    return calls and ast.unparse(node.func) != "range"  # type: ignore[attr-defined]


def unit(node: ast.expr) -> bool:
    """Whether a number needs no reason."""
    try:
        return ast.literal_eval(node) in UNITS
    except (ValueError, TypeError):
        return False


def unexplained(source: str) -> list[str]:
    """Numeric constants of a module with a comment neither on their lines nor on the line above."""
    lines = source.splitlines()
    found = []
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or value is None or not numeric(value) or unit(value):
            continue
        own = lines[node.lineno - 1 : node.end_lineno]
        if not (lines[node.lineno - 2].startswith("#") or any("#" in line for line in own)):
            found.append(ast.unparse(target))
    return found


def test_sections_of_public_names() -> None:
    found = {name: lacking(value, top) for name, value, top in described(hd, "")}
    new = {name: missing for name, missing in found.items() if missing and name not in LACKING}
    assert not new and {name for name, missing in found.items() if missing} == LACKING


def test_constants_are_explained() -> None:
    files = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py") if path.name != "formulas.py"}
    found = {name for name, path in files.items() if unexplained(path.read_text(encoding="utf-8"))}
    assert found == UNEXPLAINED


def test_files_that_obey_the_rules_of_docstrings_leave_the_list() -> None:
    assert "D" in RULES["select"] and RULES["pydocstyle"]["convention"] == "numpy"
    if not NOT_YET:
        return
    options = "--isolated", "--select=D", f"--ignore={','.join(RULES['ignore'])}", "--exit-zero", "--output-format=json"
    command = [sys.executable, "-m", "ruff", "check", *options, "--config=lint.pydocstyle.convention='numpy'"]
    run = subprocess.run([*command, *sorted(NOT_YET)], cwd=ROOT, capture_output=True, text=True, check=True)
    broken = {str(Path(finding["filename"]).relative_to(ROOT)) for finding in json.loads(run.stdout)}
    assert broken == NOT_YET


def planted(x: float) -> float:
    """Give what the argument is not.

    Parameters
    ----------
    x : float
        Any number.
    """
    if x < 0:
        raise ValueError(x)
    return x


def test_a_docstring_without_sections_is_found() -> None:
    assert lacking(planted, top=True) == {"Returns", "Raises", "Examples"}
    assert lacking(planted, top=False) == {"Returns", "Raises"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("STEPS = 64\n", ["STEPS"]),
        ("# Why it is 64.\nSTEPS = 64\nNODES: int = 2**5\n", ["NODES"]),
        ("FLOOR = 1e-12  # why\nONE, NAME = 1.0, 'a'\nZERO = 0\n", []),
        ("WEIGHTS = np.array([0.5, 0.25])\n", ["WEIGHTS"]),
        ("FIRST, SECOND = range(2)\nROUGH, FINE = 1e-3, 1e-6\n", ["(ROUGH, FINE)"]),
    ],
)
def test_a_constant_without_a_reason_is_found(source: str, names: list[str]) -> None:
    assert unexplained(source) == names
