"""Derivations of every formula that `hdlimit` computes with.

Each file states a theorem; its `prove()` is the proof in SymPy, its `check()` a comparison with quadrature or algebra
in numbers. `python -m derivations` proves all of them and writes `hdlimit/kernels/formulas.py`; with `--check` it
compares and writes nothing.
"""

MODULES = (
    "stein",
    "isserlis",
    "normal",
    "laplace",
    "uniform",
    "student",
    "batch",
    "correction",
    "fluctuation",
    "arcsine",
    "modes",
    "steady",
    "momentum",
    "threshold",
    "fisher",
    "tableau",
)
