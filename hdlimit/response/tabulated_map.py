"""Responses of a residual map that is a finished table (optimizers.ResidualTable).

At a level s_j, psi is piecewise linear in r, so that mu_j(v) = E psi_j' (with the jumps of psi times the density there)
and nu_jk(v) = E psi_j psi_k are sums of closed forms for noise of few normal laws, and integrals over the density of r
for any other. Between two levels psi is a blend, hence mu is linear and nu quadratic in log s, exactly.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.kernels.responses import SMALLEST, TABLE_DEGREE
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.problem.noise_law import Components, NoiseLaw
from hdlimit.response.piecewise_moments import (
    MOST_COMPONENTS,
    SHORT,
    Nodes,
    lines,
    mixture_of,
    moments,
    on_panels,
    scale_nodes,
)
from hdlimit.response.residual_law import ResidualLaw

# Nodes of a panel of the residual. Chosen, not measured.
ORDER = 10
# Length in log v of what is tabulated at once. Chosen, not measured.
LONGEST = 1.25
# Error of a piece, relative to the largest moment of its kind (tests/tuning/test_score.py).
TOLERANCE = 1e-9
# Largest relative error of E r^2 by quadrature with which the response of an unbounded map is given.
REACHED = 1e-8
_NODES = chebyshev.roots(TABLE_DEGREE + 1)
_FIT = chebyshev.from_roots(TABLE_DEGREE + 1)
# Places between the Chebyshev nodes of a piece at which its error is measured.
_CHECKS = np.array([-0.985, -0.11, 0.6])
_AT_CHECKS = chebyshev.values_at(_CHECKS, TABLE_DEGREE)


@lru_cache(maxsize=512)
def level_moments(table: ResidualTable, noise: NoiseLaw, v: float) -> FloatArray:
    """Moments of all levels at v > 0, kept, as every level is read at the same v.

    Returns
    -------
    ndarray, shape (3 m - 1,)
        mu of the m levels, nu of the m levels, and E psi_j psi_(j+1) of the m - 1 pairs.
    """
    v = max(v, SMALLEST)
    parts = mixture_of(table, noise)
    if parts is not None and parts.weight.size <= MOST_COMPONENTS:
        found = _in_closed_form(table, noise, parts, v)
    else:
        found = _by_quadrature(table, noise, v)
    found.setflags(write=False)
    return found


def _nodes(table: ResidualTable, noise: NoiseLaw, v: float) -> tuple[Nodes, FloatArray]:
    """Return nodes of quadrature on panels that end at the knots, and the mass beyond the outermost on each side."""
    parts = mixture_of(table, noise)
    if parts is not None and np.ptp(parts.mean) == 0:
        return scale_nodes(table.residuals, parts, v), np.zeros(2)
    law = ResidualLaw(noise, v)
    inside = table.residuals[(table.residuals > law.edges[0]) & (table.residuals < law.edges[-1])]
    u, width = on_panels(np.union1d(law.edges, inside), SHORT * law.s, ORDER)
    mass = width * np.exp(law.log_density_and_score(u)[0])
    density = np.zeros(table.residuals.size)
    if table.jumps.size:
        density[table.jumps] = np.exp(law.log_density_and_score(table.residuals[table.jumps])[0])
    nodes = Nodes(u, mass, density, float(u**2 @ mass))
    if table.bounded:
        return nodes, np.full(2, max(1.0 - float(mass.sum()), 0.0) / 2)
    exact = v + noise.second_moment
    if not abs(nodes.variance - exact) <= REACHED * exact:
        raise NotAvailable(f"noise: the second moment of {noise!r} is not resolved, an unbounded map needs it")
    return nodes, np.zeros(2)


def _in_closed_form(table: ResidualTable, noise: NoiseLaw, parts: Components, v: float) -> FloatArray:
    integrals = moments(table.residuals, parts, v, 2)
    m, k = table.levels.size, table.jumps
    mu = (table.scores[:, k + 1] - table.scores[:, k]) @ integrals.density[k]
    nu, cross = np.zeros(m), np.zeros(m - 1)
    for places, (zeroth, first, second) in integrals.parts:
        psi, slope = lines(table, places)
        mu = mu + slope @ zeroth
        nu += psi**2 @ zeroth + 2 * (psi * slope) @ first + slope**2 @ second
        mixed = psi[:-1] * slope[1:] + slope[:-1] * psi[1:]
        cross += (psi[:-1] * psi[1:]) @ zeroth + mixed @ first + (slope[:-1] * slope[1:]) @ second
    beyond = _beyond(table, v + noise.second_moment, integrals.variance)
    tails = table.tails
    nu, cross = nu + tails**2 @ beyond, cross + (tails[:-1] * tails[1:]) @ beyond
    return np.concatenate([mu, nu, cross])


def _beyond(table: ResidualTable, exact: float, summed: float) -> FloatArray:
    """Return the moment of r that the mixture misses far out, half on each side, shape (2,); 0 for bounded tables."""
    return np.full(2, 0.0 if table.bounded or math.isinf(exact) else max(exact - summed, 0.0) / 2)


def _by_quadrature(table: ResidualTable, noise: NoiseLaw, v: float) -> FloatArray:
    nodes, tails = _nodes(table, noise, v)
    psi, slope = table.at_levels(nodes.u), table.slopes(nodes.u)
    ends = table.scores[:, [0, -1]]
    if not table.bounded:
        tails, ends = _beyond(table, v + noise.second_moment, nodes.variance), table.tails
    k = table.jumps
    return np.concatenate(
        [
            slope @ nodes.mass + (table.scores[:, k + 1] - table.scores[:, k]) @ nodes.density[k],
            psi**2 @ nodes.mass + ends**2 @ tails,
            (psi[:-1] * psi[1:]) @ nodes.mass + (ends[:-1] * ends[1:]) @ tails,
        ]
    )


def higher_moments(table: ResidualTable, noise: NoiseLaw, v: float, s: float) -> tuple[float, float]:
    """Return E psi^3 z/v and E psi^4 at level s, one sample; inf for unbounded psi where E eps^4 is."""
    if not table.bounded and math.isinf(noise.fourth_moment):
        return math.inf, math.inf
    k, share = table.place(s)
    row = (1 - share) * table.scores[k : k + 1] + share * table.scores[k + 1 : k + 2]
    level = ResidualTable(table.levels[:2], table.residuals, np.concatenate([row, row]))
    j = table.jumps
    heights = row[0, j + 1] ** 3 - row[0, j] ** 3
    parts = mixture_of(table, noise)
    if parts is not None and parts.weight.size <= MOST_COMPONENTS:
        integrals = moments(table.residuals, parts, v, 4)
        third, fourth = float(heights @ integrals.density[j]), 0.0
        for places, m in integrals.parts:
            psi, slope = (x[0] for x in lines(level, places))
            third += 3 * float((slope * (psi**2 * m[0] + 2 * psi * slope * m[1] + slope**2 * m[2])).sum())
            fourth += sum(math.comb(4, i) * float((psi ** (4 - i) * slope**i) @ m[i]) for i in range(5))
        return third, fourth
    nodes, tails = _nodes(table, noise, v)
    psi, slope = level.at_levels(nodes.u)[0], level.slopes(nodes.u)[0]
    third = float((3 * psi**2 * slope) @ nodes.mass) + float(heights @ nodes.density[j])
    fourth = float(psi**4 @ nodes.mass)
    if table.bounded:
        return third, fourth + float(row[0, [0, -1]] ** 4 @ tails)
    q = level.tails[0]
    exact = 3 * v * v + 6 * v * noise.second_moment + noise.fourth_moment
    missing = max(exact - float(nodes.u**4 @ nodes.mass), 0.0) / 2
    beyond = _beyond(table, v + noise.second_moment, float(nodes.u**2 @ nodes.mass))
    return third + float(3 * q**3 @ beyond), fourth + missing * float((q**4).sum())


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

    def sampled(x: FloatArray) -> FloatArray:
        return np.array([level_moments(table, noise, math.exp(y)) for y in x])

    while todo:
        a, b = todo.pop()
        middle, half = (a + b) / 2, (b - a) / 2
        fit = _FIT @ sampled(middle + half * _NODES)
        exact = sampled(middle + half * _CHECKS)
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
