"""Integrals of piecewise linear maps over a mixture of normal laws, in closed form.

On a piece from a to b and under a normal law of r with mean m and deviation s, E (r - c)^k is a sum of the normal
distribution function and density at both ends. The reference c is the place of the piece that is nearest to m, so that
nothing cancels where most of the mass lies.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.declaration import FloatArray
from hdlimit.optimizers.residual_table import LARGEST, ResidualTable
from hdlimit.problem.density import gauss
from hdlimit.problem.noise_law import Components, NoiseLaw

# Normal laws up to which closed forms are summed: 64 take about 5 ms. More of one mean take quadrature (below), more of
# many means that of ResidualLaw.
MOST_COMPONENTS = 64
# Ratio of consecutive panels away from the mean of a scale mixture, as in residual_law, and their nodes.
_RATIO, _WIDE = 1.6, 10
# Panels shorter than SHORT of the width of what has mass there (a ninth of the distance, or sqrt(v)) take _FEW nodes:
# the error is below 1e-10 of the panel.
SHORT, _FEW = 0.15, 3
# Pieces shorter than this share of the deviation of r take six nodes (error 1e-13); the closed form of E (r - c)^4 has
# lost 1e-11 of itself there.
_NARROW_PIECE = 0.2
# Chebyshev nodes of a panel, from which the density is interpolated: its error, summed over |r|^k, is below 1e-13 of E
# |r|^k for k = 0, 4e-12 for k = 2, 6e-11 for k = 4 (8 laws, v from 1e-12 to 1e9; tests/optimizers/test_residual.py).
_PLACES = chebyshev.roots(16)
_FIT = chebyshev.from_roots(_PLACES.size)
# Normal laws times knots held at once: 1.6 MB an array.
_CHUNK = 200_000
# Components of a mean whose variance is below this share of v count as one with their average: the error is of second
# order, 1e-14.
_NARROW = 1e-7


class Parts(NamedTuple):
    """Moments of the pieces under the components of one mean.

    places: c, shape (n + 1,); moments: E (r - c)^k of order and piece, shape (orders, n + 1). The first and the last
    piece reach to infinity.
    """

    places: FloatArray
    moments: FloatArray


class Moments(NamedTuple):
    """parts: of every mean; density: p_r at the knots, shape (n,); variance: E r^2 of the mixture as it is summed."""

    parts: list[Parts]
    density: FloatArray
    variance: float


def mixture_of(table: ResidualTable, noise: NoiseLaw) -> Components | None:
    """Return the noise as a mixture of normal laws that serves residuals up to the outermost knot, if it is one."""
    finite = np.abs(table.residuals[np.abs(table.residuals) < LARGEST])
    return noise.mixture(float(finite.max(initial=1.0)))


class Nodes(NamedTuple):
    """Places u, shape (k,), the mass p_r(u) du of each, p_r at the knots, and E r^2 as the nodes have it."""

    u: FloatArray
    mass: FloatArray
    density: FloatArray
    variance: float


def scale_nodes(knots: FloatArray, parts: Components, v: float) -> Nodes:
    """Quadrature over a mixture of many normal laws of one mean, on panels that end at the knots."""
    centre = -float(parts.mean[0])
    weight, s = _merged(parts, parts.mean[0], v)
    far = 40.0 * float(s.max())
    steps = float(s.min()) * _RATIO ** np.arange(-1, math.ceil(math.log(far / float(s.min()), _RATIO)) + 1)
    edges = np.union1d(centre + np.concatenate([-steps, [0.0], steps]), knots[np.abs(knots - centre) < far])
    middle = (edges[:-1] + edges[1:]) / 2
    places, widths = on_panels(edges, SHORT * np.maximum(np.abs(middle - centre) / 9, float(s.min())), _WIDE)
    density = _interpolated(np.concatenate([places, knots]) - centre, np.append(0.0, steps), weight, s)
    mass = widths * density[: places.size]
    return Nodes(places, mass, density[places.size :], float(places**2 @ mass))


def on_panels(edges: FloatArray, short: FloatArray | float, order: int) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes and weights: of this order, and fewer on panels that are shorter than `short`."""
    half = np.diff(edges)[:, None] / 2
    middle, few = edges[:-1, None] + half, 2 * half[:, 0] < short
    u, w = [], []
    for kind, nodes in ((few, _FEW), (~few, order)):
        x, share = gauss(nodes)
        u.append((middle[kind] + half[kind] * x).ravel())
        w.append((half[kind] * share).ravel())
    return np.concatenate(u), np.concatenate(w)


def _interpolated(x: FloatArray, edges: FloatArray, weight: FloatArray, s: FloatArray) -> FloatArray:
    """p_r at the distances x from the mean, by a polynomial on every panel between edges >= 0; 0 beyond the last."""
    half = np.diff(edges) / 2
    middle = edges[:-1] + half
    coefficients = _FIT @ _density((middle + half * _PLACES[:, None]).ravel(), weight, s).reshape(_PLACES.size, -1)
    distance = np.abs(x)
    panel = np.minimum(np.searchsorted(edges, distance, side="right") - 1, half.size - 1)
    y = np.minimum((distance - middle[panel]) / half[panel], 1.0)
    density = np.polynomial.chebyshev.chebval(y, coefficients[:, panel], tensor=False)
    return np.where(distance <= edges[-1], np.maximum(density, 0.0), 0.0)


def _density(x: FloatArray, weight: FloatArray, s: FloatArray) -> FloatArray:
    """p_r at the distances x from the mean."""
    rate, height = -1 / (2 * s**2), weight / (s * math.sqrt(2 * math.pi))
    square = np.minimum(x**2, 1e280)
    blocks = np.array_split(square, max(x.size * s.size // _CHUNK, 1))
    return np.concatenate([np.exp(block[:, None] * rate) @ height for block in blocks])


def moments(knots: FloatArray, parts: Components, v: float, order: int) -> Moments:
    """Integrate the pieces between knots up to an order, for r = z - eps, z ~ N(0, v)."""
    found, density = [], np.zeros(knots.size)
    length = np.diff(knots, prepend=-np.inf, append=np.inf)
    for mean in np.unique(parts.mean):
        places = np.clip(-mean, np.append(-np.inf, knots), np.append(knots, np.inf))
        total = np.zeros((order + 1, knots.size + 1))
        for w, s in zip(*_merged(parts, mean, v), strict=True):
            normal, central = _central(((knots + mean) / s)[None], order)
            density += w * normal[0] / s
            moved = _moved(np.stack([s**k * central[k][0] for k in range(order + 1)]), -mean - places)
            narrow = np.flatnonzero(length < _NARROW_PIECE * s)
            left = knots[narrow - 1]
            moved[:, narrow] = _on_narrow(left, length[narrow], places[narrow], (-float(mean), float(s)), order)
            total += w * moved
        found.append(Parts(places, total))
    return Moments(found, density, float(parts.weight @ (parts.variance + parts.mean**2)) + v)


def _on_narrow(
    left: FloatArray, length: FloatArray, places: FloatArray, normal: tuple[float, float], order: int
) -> FloatArray:
    """E (r - c)^k on short pieces by quadrature, where the closed form is a difference of nearly equal numbers."""
    x, w = gauss(6)
    mean, s = normal
    r = left + np.outer((1 + x) / 2, length)
    mass = w[:, None] / 2 * length * np.exp(-(((r - mean) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
    return np.stack([((r - places) ** k * mass).sum(axis=0) for k in range(order + 1)])


def _merged(parts: Components, mean: float, v: float) -> tuple[FloatArray, FloatArray]:
    """Weights and deviations of r of the components of one mean, narrow ones as one."""
    mine = (parts.mean == mean) & (parts.weight > 0)
    weight, variance = parts.weight[mine], parts.variance[mine]
    narrow = variance < _NARROW * v
    if narrow.sum() > 1:
        share = float(weight[narrow].sum())
        average = float(weight[narrow] @ variance[narrow]) / share
        weight, variance = np.append(weight[~narrow], share), np.append(variance[~narrow], average)
    return weight, np.sqrt(variance + v)


def _central(t: FloatArray, order: int) -> tuple[FloatArray, list[FloatArray]]:
    """phi(t), and int t^k phi(t) dt between consecutive t, with pieces to both infinities."""
    from scipy.special import ndtr

    t = np.clip(t, -60.0, 60.0)
    normal = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    edge = np.zeros((t.shape[0], 1))
    tail = ndtr(-np.abs(t))
    tail, right = np.hstack([edge, tail, edge]), np.hstack([edge < 0, t > 0, edge == 0])
    both, split = right[:, 1:] & right[:, :-1], right[:, 1:] & ~right[:, :-1]
    mass = np.where(both, tail[:, :-1] - tail[:, 1:], tail[:, 1:] - tail[:, :-1])
    mass = np.where(split, 1 - tail[:, :-1] - tail[:, 1:], mass)

    def fall(values: FloatArray) -> FloatArray:
        return -np.diff(np.hstack([edge, values, edge]), axis=1)

    found = [mass, fall(normal)]
    for k in range(2, order + 1):
        found.append((k - 1) * found[k - 2] + fall(t ** (k - 1) * normal))
    return normal, found


def _moved(central: FloatArray, shift: FloatArray) -> FloatArray:
    """E (y + shift)^k from E y^k."""
    orders, shift = range(central.shape[0]), np.clip(shift, -1e70, 1e70)  # no mass is as far away
    return np.stack([sum(math.comb(k, j) * shift ** (k - j) * central[j] for j in range(k + 1)) for k in orders])


def lines(table: ResidualTable, places: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Psi at a place of every piece and its slope there, shape (m, n + 1), with the constant ends."""
    values = np.empty((table.levels.size, places.size))
    ends = table.scores[:, [0, -1]]
    values[:, [0, -1]] = np.where(
        np.abs(ends) < LARGEST, ends, 0.0
    )  # no mass is beyond an end that stands for infinity
    length, inner = np.diff(table.residuals), places[1:-1]
    rise = np.diff(table.scores)
    slopes = np.divide(rise, length, out=np.zeros_like(rise), where=length > 0)
    far = table.residuals[:-1] < -LARGEST  # the line through the end of the piece that is near
    near = np.where(far, table.residuals[1:], table.residuals[:-1])
    values[:, 1:-1] = np.where(far, table.scores[:, 1:], table.scores[:, :-1]) + slopes * (inner - near)
    return values, np.pad(slopes, ((0, 0), (1, 1)))
