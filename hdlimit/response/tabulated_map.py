"""Responses of a residual map that is a finished table (optimizers.ResidualTable).

At a level s_j, psi is piecewise linear in r, so that mu_j(v) = E psi_j' and nu_jk(v) = E psi_j psi_k are integrals over
the density of r. Between two levels psi is a blend, hence mu is linear and nu quadratic in log s, exactly.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.kernels.responses import SMALLEST, TABLE_DEGREE
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.residual_law import ResidualLaw

# Nodes of a panel of the residual. Chosen, not measured.
ORDER = 10
# Length in log v of what is tabulated at once. Chosen, not measured.
LONGEST = 1.25
# Error of a piece, relative to the largest moment of its kind (tests/tuning/test_score.py).
TOLERANCE = 1e-9
_NODES = np.cos(np.pi * (np.arange(TABLE_DEGREE + 1) + 0.5) / (TABLE_DEGREE + 1))
_FIT = np.linalg.inv(np.polynomial.chebyshev.chebvander(_NODES, TABLE_DEGREE))
# Places between the Chebyshev nodes of a piece at which its error is measured.
_CHECKS = np.array([-0.985, -0.11, 0.6])
_AT_CHECKS = np.polynomial.chebyshev.chebvander(_CHECKS, TABLE_DEGREE)


@lru_cache(maxsize=512)
def level_moments(table: ResidualTable, noise: NoiseLaw, v: float) -> FloatArray:
    """Moments of all levels at v > 0, kept, as every level is read at the same v.

    Returns
    -------
    ndarray, shape (3 m - 1,)
        mu of the m levels, nu of the m levels, and E psi_j psi_(j+1) of the m - 1 pairs.
    """
    law = ResidualLaw(noise, max(v, SMALLEST))
    inside = table.residuals[(table.residuals > law.edges[0]) & (table.residuals < law.edges[-1])]
    u, mass, _ = law.nodes(np.union1d(law.edges, inside), ORDER)
    psi, slope = table.at_levels(u), table.slopes(u)
    tails = max(1.0 - float(mass.sum()), 0.0) / 2 * np.ones(2)
    ends = table.scores[:, [0, -1]]
    moments = np.concatenate(
        [
            slope @ mass,
            psi**2 @ mass + ends**2 @ tails,
            (psi[:-1] * psi[1:]) @ mass + (ends[:-1] * ends[1:]) @ tails,
        ]
    )
    moments.setflags(write=False)
    return moments


def table_response(table: ResidualTable, noise: NoiseLaw, v: float, s: float) -> tuple[float, float]:
    """(mu, nu) of the table read at level s, for batch size 1."""
    m, (k, b) = table.levels.size, table.place(s)
    mu, nu, cross = np.split(level_moments(table, noise, v), [m, 2 * m])
    a = 1 - b
    return float(a * mu[k] + b * mu[k + 1]), float(a**2 * nu[k] + 2 * a * b * cross[k] + b**2 * nu[k + 1])


@lru_cache(maxsize=32)
def table_parameters(table: ResidualTable, noise: NoiseLaw, batch_size: int, low: float, high: float) -> FloatArray:
    """Parameters of kernels.responses.levels over at least v in [low, high].

    Raises: NotAvailable where a response cannot be tabulated to 1e-6.
    """
    first, last = math.floor(math.log(low) / LONGEST), math.ceil(math.log(high) / LONGEST)
    pieces = [piece for k in range(first, max(last, first + 1)) for piece in _pieces(table, noise, k)]
    head = [float(len(pieces)), float(table.levels.size), float(batch_size)]
    ends = [piece.left for piece in pieces] + [pieces[-1].right]
    return np.concatenate([head, ends, np.log(table.levels), *(piece.coefficients for piece in pieces)])


class Piece(NamedTuple):
    """Moments as Chebyshev sums in log v from left to right: coefficients moment after moment."""

    left: float
    right: float
    coefficients: FloatArray


@lru_cache(maxsize=512)
def _pieces(table: ResidualTable, noise: NoiseLaw, k: int) -> list[Piece]:
    """Tabulate the moments over log v in [k, k + 1] LONGEST.

    Pieces are halved until the error between the nodes is below 1e-9 of the largest moment of its kind.
    """
    m = table.levels.size
    todo, done = [(k * LONGEST, (k + 1) * LONGEST)], []

    def moments(x: FloatArray) -> FloatArray:
        return np.array([level_moments(table, noise, math.exp(y)) for y in x])

    while todo:
        a, b = todo.pop()
        middle, half = (a + b) / 2, (b - a) / 2
        fit = _FIT @ moments(middle + half * _NODES)
        exact = moments(middle + half * _CHECKS)
        error = max(
            float(np.abs(e).max() / np.abs(x).max())
            for e, x in zip(np.split(_AT_CHECKS @ fit - exact, [m], 1), np.split(exact, [m], 1), strict=True)
        )
        if error > TOLERANCE and half > 0.05:
            todo += [(middle, b), (a, middle)]
            continue
        if not error < 1000 * TOLERANCE:
            raise NotAvailable(f"table: its response to {noise!r} cannot be tabulated (error {error:.0e})")
        done.append(Piece(a, b, fit.T.ravel()))
    return done
