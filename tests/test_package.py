"""The package's front: lazy names, and functions that keep their name beside modules of the same name."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hdlimit as hd


def fresh(code: str) -> str:
    """What a fresh interpreter prints for the code."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    heavy = "numpy", "scipy", "numba", "matplotlib", "sympy", "click", "msgspec"
    assert fresh(f"import sys, hdlimit; print([m for m in {heavy} if m in sys.modules])") == "[]"
    assert fresh(f"import sys, hdlimit; hdlimit.SGD; print([m for m in {heavy} if m in sys.modules])") == "['numpy']"


@pytest.mark.parametrize("name", sorted(set(hd.__all__) - {"__version__"}))
def test_every_public_name(name: str) -> None:
    assert callable(getattr(hd, name)) and name in dir(hd)


@pytest.mark.parametrize("name", ["predict", "simulate", "verify", "stability"])
def test_functions_beside_modules(name: str) -> None:
    """In any order of imports hd.predict is the function, and `from hdlimit.predict import predict` finds it too."""
    after = f"import hdlimit as hd, hdlimit.{name}; print(type(hd.{name}).__name__)"
    others = f"import hdlimit as hd; hd.verify; print(type(hd.{name}).__name__)"
    inside = f"from hdlimit.{name} import {name} as f; import hdlimit as hd; print(f is hd.{name})"
    assert [fresh(after), fresh(others), fresh(inside)] == ["function", "function", "True"]


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'hdlimit' has no attribute 'Adam'"):
        hd.Adam  # noqa: B018
