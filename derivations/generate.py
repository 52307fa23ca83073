"""The text of `hdlimit/kernels/formulas.py`, put together from the templates and proved formulas of the derivations."""

from __future__ import annotations

from sympy import Expr, Rational
from sympy.integrals.quadrature import gauss_legendre

from derivations import batch, catalogue, laplace, normal, student, tableau, uniform
from derivations.printer import fill, floats

POINTS = 10

HEADER = '''
"""Closed responses, the integrator's tableau, and the formulas as text. GENERATED: never edit, run `python -m
derivations`.

Kernels are compiled for float64 arguments and callable from Python. r = z - eps is the residual, z ~ N(0, v);
mu = P(|r| <= c) and nu = E min(r^2, c^2) for the clip at c, mu = 2 p_r(0) for the sign.
"""
# ruff: noqa: E501, SIM108

from __future__ import annotations

from math import erf, erfc, exp, expm1, gamma, inf, pi, sinh, sqrt
from typing import NamedTuple

import numpy as np

from hdlimit.core.jit import jit
from hdlimit.kernels.special import erfcx, gammainc, gammaincc
'''

KERNELS = (normal, laplace, uniform, student, batch)


def nodes() -> str:
    """Gauss-Legendre nodes and weights on [0, 1]."""

    def array(name: str, values: list[Expr]) -> str:
        return f"{name} = np.array([{', '.join(repr(float(v)) for v in values)}])"

    points, weights = gauss_legendre(POINTS, 30)
    lines = [
        f"NODES = {POINTS}",
        array("NODE", [(1 + p) * Rational(1, 2) for p in points]),
        array("WEIGHT", [w * Rational(1, 2) for w in weights]),
    ]
    return "# Gauss-Legendre on [0, 1]\n" + "\n".join(lines)


def tables() -> str:
    """The tableau as tuples of floats."""

    def rows(name: str, matrix: tuple[tuple[float, ...], ...], size: str) -> str:
        body = "\n".join(f"    ({', '.join(repr(q) for q in row)})," for row in matrix)
        return f"{name}: tuple[tuple[float, ...], ...] = (  # {size}\n{body}\n)"

    a, b, hat, c, dense = tableau.tables()
    vectors = [floats(name, values) for name, values in (("B", b), ("B_HAT", hat), ("C", c))]
    vectors.append(floats("SECOND", [float(q.evalf(30)) for q in tableau.second()]))
    heading = (
        "# ESDIRK5(4)7L[2]SA2: A, weights B, embedded weights B_HAT, nodes C; a SECOND error estimate; continuous\n"
        "# weights b_i(theta) = sum_k DENSE[i][k] theta^(k+1), of order 4 on [0, 1] (derivations/tableau.py)"
    )
    return "\n".join([heading, rows("A", a, "(7, 7)"), *vectors, rows("DENSE", dense, "(7, 4)")])


def text() -> str:
    """The whole file."""
    kernels = [fill(module.KERNELS, module.FORMULAS) for module in KERNELS]
    head = "\n\n".join([HEADER.strip("\n"), nodes(), tables()])
    return "\n\n\n".join([head, *kernels, catalogue.text()]) + "\n"
