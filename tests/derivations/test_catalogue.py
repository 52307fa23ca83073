"""Every theorem is proved, every result checked in numbers, the committed formulas are what the derivations give."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from derivations import MODULES  # noqa: E402

# Proofs of 5 to 12 s each.
LONG = {"fisher", "batch", "laplace", "uniform"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in MODULES])
def test_derivation(name):
    module = import_module(f"derivations.{name}")
    assert module.__doc__ and "Theorem" in module.__doc__
    module.prove()
    module.check()


def test_formulas_are_generated_from_the_derivations():
    result = subprocess.run(
        [sys.executable, "-m", "derivations", "--check"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_block_never_reads_what_it_overwrote():
    from sympy import symbols

    from derivations.printer import block

    x, y = symbols("x y")
    with pytest.raises(ValueError, match="assigned before"):
        block({"x": x + y, "y": x * y})
