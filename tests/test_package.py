"""The package's front: lazy names, and functions that keep their name beside modules of the same name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

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
    assert (callable(getattr(hd, name)) or isinstance(getattr(hd, name), ModuleType)) and name in dir(hd)


def test_at_most_forty_names() -> None:
    """40, and SymmetricStable: no name of SciPy stands for it, whose density is wrong."""
    assert len(set(hd.__all__) - {"__version__"}) <= 41


def test_every_folder_is_a_package() -> None:
    """Packages are found, not listed: a folder of modules without __init__.py would be left out of a wheel."""
    package = Path(hd.__file__).parent
    folders = {path.parent for path in package.rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'hdlimit' has no attribute 'Adam'"):
        hd.Adam  # noqa: B018
