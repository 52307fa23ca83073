"""Measures on the positive line in few nodes: Gauss quadrature in bins.

A risk curve depends on a spectrum through sums over the eigenvalues, sum_i f(k_i) and sum_i delta_i^2 f(k_i), f a power
times e^(-s k). In a bin f is close to a polynomial, and the POINTS nodes of a Gauss rule sum polynomials of degree 2
POINTS - 1 exactly: two points a bin leave an error of the fourth power of the bin's width, four its eighth. Bins are
narrow against the eigenvalue and against the distance to the end of the spectrum; one with few atoms keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import Declaration, FloatArray, IntArray
from hdlimit.problem.covariance import Indexed

# Gauss nodes a bin of eigenvalues: the error falls with the eighth power of the width of the bins.
POINTS = 4
# Eigenvalues at each end of the spectrum that are kept as they are.
ENDS = 2
# Ratio of the gap below a bin to its width: bins grow with the distance from the smallest eigenvalue. Chosen.
GRADING = 46
DEPTH = 140.0  # e^-140 = 1e-60 of the start counts as 0
# Width of the bins in log k that reaches an error of 1e-8: measured, tests/problem/test_spectral_measure.py.
WIDTH, REACHED_AT = 0.5, 1e-8
# Factor by which bins are narrowed until the error is small enough; chosen.
SHRINK = 0.8
# Width at which narrowing ends.
NARROWEST = 0.02
# Eigenvalues that are summed at once: 256 kB an array.
CHUNK = 1 << 15


@dataclass(frozen=True, eq=False, repr=False)
class Compression(Declaration):
    """What was done to a spectrum.

    Attributes
    ----------
    modes : int
        Nodes left.
    eigenvalues : int
        How many eigenvalues there were.
    error : float
        The largest relative error of sum f(k) over f = e^(-s k) k^p, s >= 0 and p = 0, 1, 2, against one more node a
        bin.
    """

    modes: int
    eigenvalues: int
    error: float

    def __str__(self) -> str:
        return f"{self.eigenvalues} eigenvalues in {self.modes} modes, relative error {self.error:.1g}"


def width_for(tolerance: float) -> float:
    """Return the relative width of a bin to try first for an error of `tolerance`."""
    return WIDTH * math.pow(tolerance / REACHED_AT, 1 / (2 * POINTS))


class Nodes(NamedTuple):
    """Masses at values, both of shape (n,)."""

    value: FloatArray
    mass: FloatArray


def disagreement(rough: Nodes, fine: Nodes) -> float:
    """Compare sums of two sets of nodes.

    Parameters
    ----------
    rough, fine : Nodes
        The nodes.

    Returns
    -------
    float
        The largest relative difference of sum mass k^p e^(-s k), p = 0, 1, 2 and s >= 0, down to e^-140 of the start.
    """
    low, high = (float(end(fine.value)) for end in (np.min, np.max))
    s = np.append(0.0, np.exp(np.arange(np.log(0.05 / high), np.log(DEPTH / low), 0.35)))
    with np.errstate(under="ignore"):
        a, b = (_transforms(nodes, low, s) for nodes in (rough, fine))
        return float(np.abs(a / b - 1).max())


def _transforms(nodes: Nodes, low: float, s: FloatArray) -> FloatArray:
    decay = np.exp(-np.outer(nodes.value - low, s))
    values: FloatArray = np.stack([nodes.mass * nodes.value**p for p in (0, 1, 2)]) @ decay
    return values


# ---- eigenvalues given by a function of their number


def of_function(
    value: Callable[[FloatArray], FloatArray], size: int, slope: float, last: float, tolerance: float
) -> Indexed:
    """Put eigenvalues value(0), ..., value(size - 1) of a smooth monotone function into nodes at numbers in between.

    Every bin is a range of numbers and its nodes are those of the Gauss rule of equal masses at them.

    Parameters
    ----------
    value : callable
        Eigenvalues as a function of their numbers, an array.
    size : int
        How many there are.
    slope : float
        Bound of |d log value/d log number| of the numbers counted from 0; 1 if that is less.
    last : float
        How many numbers before the end the value may be taken as smooth in the number.
    tolerance : float
        Largest Compression.error.

    Returns
    -------
    Indexed
        The nodes and their error.
    """
    width = width_for(tolerance) / max(slope, 1.0)
    while True:
        edges = number_edges(size, width, last)
        rough, fine = (_numbers(edges, points) for points in (POINTS, POINTS + 1))
        error = disagreement(Nodes(value(rough.value), rough.mass), Nodes(value(fine.value), fine.mass))
        if error <= tolerance or width < NARROWEST:
            values = value(rough.value)
            order = np.argsort(values, kind="stable")
            return Indexed(values[order], rough.mass[order], error)
        width *= SHRINK


def number_edges(size: int, width: float, last: float) -> IntArray:
    """Return edges of ranges of 0, ..., size - 1 growing by e^width from the start, and from the end."""
    left = np.exp(np.arange(0.0, max(np.log(size / 2), width), width))
    right = size - last * np.expm1(np.arange(0.0, np.log1p(size / 2 / last) + width, width))
    right = right[right > size / 2]
    ends = np.arange(ENDS + 1)
    edges = np.concatenate([ends, left, right, size - ends])
    return np.unique(np.clip(np.rint(edges), 0, size).astype(np.int64))


def _numbers(edges: IntArray, points: int) -> Nodes:
    """Return Gauss nodes of unit masses at the integers of every range from an edge to the next.

    Their orthogonal polynomials are those of Gram, with coefficients k^2 (N^2 - k^2)/(4 (4 k^2 - 1)).
    """
    count = np.diff(edges)
    few = count <= points
    kept = np.concatenate([np.arange(a, b) for a, b in zip(edges[:-1][few], edges[1:][few], strict=True)])
    start, many = edges[:-1][~few], count[~few].astype(np.float64)
    k = np.arange(1, points)[:, None]
    off = np.sqrt(k**2 * (1 - (k / many) ** 2) / (4 * k**2 - 1.0))
    node, share = _rules(np.zeros((points, many.size)), off)
    value = start[:, None] + (many[:, None] - 1) / 2 + many[:, None] / 2 * node
    mass = many[:, None] * share
    return Nodes(np.concatenate([kept, value.ravel()]), np.concatenate([np.ones(kept.size), mass.ravel()]))


def _rules(diagonal: FloatArray, off: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return nodes and shares of Gauss rules from their Jacobi matrices, both of shape (bins, points)."""
    points, bins = diagonal.shape
    jacobi, k = np.zeros((bins, points, points)), np.arange(points)
    jacobi[:, k, k] = diagonal.T
    jacobi[:, k[1:], k[:-1]] = off.T
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, vectors[:, 0, :] ** 2


# ---- eigenvalues given one by one


def value_edges(values: FloatArray, width: float) -> IntArray:
    """Cut ascending values > 0 into bins of relative width at most `width`, narrower at the lowest value.

    The values at both ends are bins of their own.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Ascending values > 0.
    width : float
        Largest relative width.

    Returns
    -------
    ndarray of int
        Positions of the edges, from 0 to n.
    """
    low, high = float(values[0]), float(values[-1])
    gap = low / GRADING
    steps = np.arange(0.0, np.log1p((high - low) / gap) + width, width)
    inner = np.searchsorted(values, low + gap * np.expm1(steps), side="left")
    ends = np.minimum(np.arange(ENDS + 1), values.size)
    return np.unique(np.concatenate([ends, inner, values.size - ends])).astype(np.int64)


def of_values(
    values: FloatArray, masses: FloatArray | None, edges: IntArray, points: int = POINTS
) -> tuple[Nodes, Nodes]:
    """Put masses at ascending values into Gauss nodes, bin by bin.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Ascending values > 0.
    masses : ndarray, shape (n,), or None
        Their masses; None for ones.
    edges : ndarray of int
        Positions of the edges of the bins, as from value_edges.
    points : int, default 4
        Nodes a bin. A bin with at most one value more keeps them.

    Returns
    -------
    tuple of Nodes
        With `points` nodes a bin, and with one more.
    """
    count = np.diff(edges)
    few = count <= points + 1
    kept = np.repeat(few, count)
    atoms = Nodes(values[kept], np.ones(int(kept.sum())) if masses is None else masses[kept])
    many = np.flatnonzero(~few)
    first, last = values[edges[many]], values[edges[many + 1] - 1]
    middle, half = (first + last) / 2, np.maximum((last - first) / 2, 1e-300)
    moments = _moments(values, masses, edges, many, middle, half, 2 * points + 2)
    used = moments[0] > 0
    both = [_gauss(moments[:, used], n, middle[used], half[used]) for n in (points, points + 1)]
    rough, fine = (Nodes(*map(np.concatenate, zip(atoms, found, strict=True))) for found in both)
    return _present(rough), _present(fine)


def _present(nodes: Nodes) -> Nodes:
    return Nodes(nodes.value[nodes.mass > 0], nodes.mass[nodes.mass > 0])


def _moments(
    values: FloatArray,
    masses: FloatArray | None,
    edges: IntArray,
    many: IntArray,
    middle: FloatArray,
    half: FloatArray,
    count: int,
) -> FloatArray:
    """Sum mass times monic Legendre polynomials of the local coordinate in the bins `many`, shape (count, bins)."""
    moments = np.zeros((count, many.size))
    slot = np.full(edges.size, -1)
    slot[many] = np.arange(many.size)
    for start in range(0, values.size, CHUNK):
        stop = min(start + CHUNK, values.size)
        b = slot[np.searchsorted(edges, np.arange(start, stop), side="right") - 1]
        inside = b >= 0
        b = b[inside]
        x = (values[start:stop][inside] - middle[b]) / half[b]
        before, p = np.zeros(b.size), np.ones(b.size) if masses is None else masses[start:stop][inside]
        for k in range(count):
            moments[k] += np.bincount(b, p, many.size)
            before, p = p, x * p - (k * k / (4.0 * k * k - 1) if k else 0.0) * before
    return moments


def _gauss(moments: FloatArray, points: int, middle: FloatArray, half: FloatArray) -> Nodes:
    """Compute Gauss rules from modified moments by Chebyshev's algorithm; masses on few points give fewer nodes."""
    k = np.arange(2.0 * points)
    b = k**2 / np.maximum(4 * k**2 - 1, 1.0)
    diagonal, square = np.zeros((points, moments.shape[1])), np.zeros((points, moments.shape[1]))
    older, old = np.zeros_like(moments), moments
    diagonal[0] = moments[1] / moments[0]
    live = np.ones(moments.shape[1], dtype=np.bool_)
    for n in range(1, points):
        new = np.ones_like(moments)
        for j in range(n, 2 * points - n):
            new[j] = old[j + 1] - diagonal[n - 1] * old[j] - square[n - 1] * older[j] + b[j] * old[j - 1]
        live &= new[n] > 1e-12 * moments[0]
        new[:, ~live] = 1.0
        square[n] = np.where(live, new[n] / old[n - 1], 0.0)
        diagonal[n] = np.where(live, new[n + 1] / new[n] - old[n] / old[n - 1], 0.0)
        older, old = old, new
    node, share = _rules(diagonal, np.sqrt(square[1:]))
    value = middle[:, None] + half[:, None] * np.clip(node, -1.0, 1.0)
    return Nodes(value.ravel(), (moments[0][:, None] * share).ravel())
