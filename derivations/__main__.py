"""Prove every theorem and write `hdlimit/kernels/formulas.py`; with `--check`, compare and write nothing."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from derivations import MODULES
from derivations.generate import text

TARGET = Path(__file__).parent.parent / "hdlimit" / "kernels" / "formulas.py"


def main() -> int:
    """Run as a program; 1 if a proof fails or, with `--check`, if the file is not what the derivations give."""
    parser = argparse.ArgumentParser(prog="python -m derivations", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed file, write nothing")
    check = parser.parse_args().check
    generated = text()
    if check:
        if not TARGET.exists() or TARGET.read_text() != generated:
            print(f"{TARGET.name} differs from what the derivations give: run `python -m derivations`", file=sys.stderr)
            return 1
        return 0
    for name in MODULES:
        module = import_module(f"derivations.{name}")
        try:
            module.prove()
            module.check()
        except AssertionError as failure:
            print(f"{module.__name__}: {failure}", file=sys.stderr)
            return 1
    TARGET.write_text(generated)
    return 0


if __name__ == "__main__":
    sys.exit(main())
