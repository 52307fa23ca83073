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


@pytest.mark.parametrize("first", ["import hdlimit.predict, hdlimit.stability", "hd.verify", "hd.simulate"])
def test_functions_beside_modules(first: str) -> None:
    """Whatever is imported first, hd.predict is the function, and `from hdlimit.predict import predict` is the same."""
    names = "predict", "simulate", "stability", "verify"
    same = f"[getattr(import_module('hdlimit.' + n), n) is getattr(hd, n) for n in {names}]"
    code = f"import hdlimit as hd; {first}; from importlib import import_module; print({same}, hd.predict)"
    assert fresh(code).startswith("[True, True, True, True] <function predict")


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'hdlimit' has no attribute 'Adam'"):
        hd.Adam  # noqa: B018
