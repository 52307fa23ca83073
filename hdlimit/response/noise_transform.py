"""The Laplace transform of the squared noise, Lambda(w) = E exp(-w eps^2), as batches need it.

The squared residual has E exp(-q r^2) = Lambda(w)/sqrt(1 + 2 q v) at w = q/(1 + 2 q v): one function of the noise
serves every v, every batch size and every threshold. It is analytic and at most 1 in Re w > 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.declaration import BoolArray, FloatArray
from hdlimit.kernels import laplace_transform as kernels
from hdlimit.problem.density import ORDER, density, gauss, panels
from hdlimit.problem.noise_law import ComplexArray, Components, NoiseLaw, Points, Transform
from hdlimit.response.contours import PANEL, log1p, panel
from hdlimit.response.moment_cells import PHASE, Cells, Masses, cells_of

# Length in log w of what is tabulated of log Lambda on the real axis at once, and its Chebyshev nodes: the nearest
# singularity is pi/2 away, which makes an error of 1e-13.
LONGEST, NODES = 2.0, 24
# Panels of lines that are kept: 20 MB.
MOST_PANELS = 40_000
# Normal laws times points up to which atoms are summed one by one. Chosen, not measured.
MOST_TERMS = 2000
# |1 - Lambda| below which it is not taken as a difference, which loses two digits there.
SMALL = 0.05
# Chebyshev nodes in the angle of w from 0 to pi/2 of what is tabulated of log Lambda for scale mixtures:
# the nearest singularity is at pi, which makes an error of 1e-13.
ANGLES = 18
_X, _FIT = chebyshev.roots(NODES), chebyshev.from_roots(NODES)
_ANGLE, _FIT_ANGLE = chebyshev.roots(ANGLES), chebyshev.from_roots(ANGLES)
# What stands for a Lambda that is 0 in double precision.
SMALLEST = 1e-300
# Exponent beyond which exp(-w eps^2) is 0 in double precision.
GONE = 37.0


class Parts(NamedTuple):
    """Lambda(w) and 1 - Lambda(w) at the same points, each to full precision."""

    value: Points
    deficit: Points


class Line(NamedTuple):
    """The first panels of a line in w, in units of 1/x0.

    Attributes
    ----------
    w, share, log : ndarray
        Nodes, weights, and log Lambda(w/x0) up to a multiple of 2 pi i.
    largest : ndarray
        The largest Re log Lambda of every panel.
    """

    w: ComplexArray
    share: FloatArray
    log: ComplexArray
    largest: FloatArray

    def chosen(self, keep: BoolArray) -> Line:
        """Return some of its panels."""
        if keep.all():
            return self
        nodes = np.repeat(keep, PANEL)
        return Line(self.w[nodes], self.share[nodes], self.log[nodes], self.largest[keep])


_EMPTY = Line(np.zeros(0, np.complex128), np.zeros(0), np.zeros(0, np.complex128), np.zeros(0))


def _grown(
    rows: tuple[FloatArray, int], first: int, last: int, made: Callable[[int], FloatArray]
) -> tuple[FloatArray, int]:
    """Return rows, and the number of the first, that hold the numbers from first to last."""
    table, start = rows
    if first >= start and last < start + table.shape[0]:
        return rows
    old = dict(enumerate(table, start))
    end = max(last, *old) + 1 if old else last + 1
    start = min(first, start) if old else first
    return np.stack([old[k] if k in old else made(k) for k in range(start, end)]), start


class NoiseTransform:
    """Log Lambda of a noise law; a normal part that all of eps has is left to z.

    Parameters
    ----------
    noise : NoiseLaw
        The law of eps.
    reach : float
        The |eps| up to which a mixture of normal laws has to be right.

    Attributes
    ----------
    shared : float
        Variance of the normal part that was taken off eps: r = z' - eps' with E z'^2 = v + shared.
    typical : float
        A typical size of eps'^2.
    together : bool
        Whether many w are as well evaluated at once.
    recurs : bool
        Whether |Lambda| may come back near 1 however far out: point masses.
    finest : float
        x0/v up to which batches resolve the law of S at x0: beyond, on the scale of sqrt(finest).
    """

    def __init__(self, noise: NoiseLaw, reach: float) -> None:
        self.noise, self.shared, self.together = noise, 0.0, False
        # Rows of log Lambda at real w and the number of the first: one object, which other threads see whole.
        self._real: tuple[FloatArray, int] = np.zeros((0, NODES)), 0
        self._polar: tuple[FloatArray, int] = np.zeros((0, 2 * ANGLES, NODES)), 0
        self._cells: dict[tuple[int, int], Cells] = {}
        self._lines: dict[float, Line] = {}
        self._made = 0
        closed, parts = noise.laplace_transform(0.0), noise.mixture(reach)
        self.recurs = closed is None and parts is not None and not noise.scale_mixture
        self.typical, self.finest = noise.width**2, 3e4
        self._parts: Callable[[Points], Parts] = self._by_cells
        if closed is not None:
            self._parts, self.finest, self.together = lambda w: _in_closed_form(closed, w), 1e5, True
        elif parts is not None:
            self.shared = float(parts.variance.min())
            rest = Components(parts.weight.copy(), parts.mean, parts.variance - self.shared)
            square = rest.mean**2 + rest.variance
            self.typical = math.exp(float(rest.weight @ np.log(np.maximum(square, 1e-30 * noise.width**2 + 1e-300))))
            self.finest = float(np.clip(3e8 / parts.weight.size, 1e4, 1e6))
            if rest.variance.any():
                self._parts, self.together = lambda w: _summed(rest, w), True
            else:
                self._parts = lambda w: self._by_atoms(rest, w)

    def log(self, w: Points) -> Points:
        """Log Lambda(w) at Re w > 0, up to a multiple of 2 pi i, w of shape (n,)."""
        if self.noise.scale_mixture and np.iscomplexobj(w):
            return self._from_polar(np.asarray(w, dtype=np.complex128))
        return self.exact_log(w)

    def exact_log(self, w: Points) -> Points:
        """Return the same without a table."""
        value, deficit = self._parts(w)
        near = np.abs(deficit) < 0.5
        result: Points = np.log(np.where(value == 0, SMALLEST, value))
        result[near] = log1p(-deficit[near])
        return result

    def by_rows(self, w: ComplexArray) -> ComplexArray:
        """Log Lambda(w), w of shape (n, m): row by row where the range of w decides what is summed."""
        if self.together:
            return np.asarray(self.log(w.ravel()).reshape(w.shape), dtype=np.complex128)
        return np.stack([np.asarray(self.log(row), dtype=np.complex128) for row in w])

    def on_line(self, x0: float, count: int, more: bool = False) -> Line:
        """Log Lambda at the first panels of the line Re w = START/x0 (contours.py), kept: neither v nor B enters.

        more: whether all panels that are known are returned where they are more.
        """
        line = self._lines.get(x0, _EMPTY)
        if line.largest.size < count:
            if self._made > MOST_PANELS:
                self._lines.clear()
                line, self._made = _EMPTY, 0
            added = [panel(k) for k in range(line.largest.size, count)]
            logs = [self.log(w / x0) for w, _ in added]
            w = np.concatenate([line.w, *(w for w, _ in added)])
            share = np.concatenate([line.share, *(share for _, share in added)])
            log = np.concatenate([line.log, *logs])
            largest = np.append(line.largest, [float(x.real.max()) for x in logs])
            line = self._lines[x0] = Line(w, share, log, largest)
            self._made += len(added)
        if more or line.largest.size == count:
            return line
        end = count * PANEL
        return Line(line.w[:end], line.share[:end], line.log[:end], line.largest[:count])

    def largest(self, x0: float, count: int) -> float:
        """Return the largest Re log Lambda of the last of the first panels of the line."""
        line = self._lines.get(x0, _EMPTY)
        return float((line if line.largest.size >= count else self.on_line(x0, count)).largest[count - 1])

    def real_power(self, log_q: FloatArray, v: float, size: int) -> FloatArray:
        """[Lambda(w)/sqrt(1 + 2 q v)]^B at real log q from tables that are kept; the shape of log_q."""
        twice = math.log(2 * v)
        ends = [
            y - max(twice + y, 0.0) - math.log1p(math.exp(-abs(twice + y)))
            for y in (float(log_q.min()), float(log_q.max()))
        ]
        first, last = (math.floor(end / LONGEST) for end in ends)
        table, start = self._real = _grown(self._real, first, last, self._fitted)
        power = np.empty(log_q.size)
        kernels.real_power(log_q, v, float(size), table, start, LONGEST, power)
        return power

    def _fitted(self, k: int) -> FloatArray:
        """Return the Chebyshev coefficients of log Lambda over log w in [k, k + 1] LONGEST."""
        log = np.asarray(self.log(np.exp(LONGEST * (k + (1 + _X) / 2))), dtype=np.float64)
        found: FloatArray = _FIT @ log
        return found

    def _from_polar(self, w: ComplexArray) -> ComplexArray:
        """Log Lambda at complex w, from tables in log |w| and arg w that are kept."""
        size = np.abs(w)
        first, last = (math.floor(math.log(end) / LONGEST) for end in (float(size.min()), float(size.max())))
        table, start = self._polar = _grown(self._polar, first, last, self._polar_row)
        result = np.empty_like(w)
        kernels.polar_log(w, table, start, LONGEST, result)
        return result

    def _polar_row(self, k: int) -> FloatArray:
        w = np.exp(LONGEST * (k + (1 + _X) / 2) + 1j * math.pi / 4 * (1 + _ANGLE[:, None]))
        fit = _FIT_ANGLE @ self.exact_log(w.ravel()).reshape(w.shape) @ _FIT.T
        return np.ascontiguousarray(np.concatenate([fit.real, fit.imag]))

    def _by_atoms(self, atoms: Components, w: Points) -> Parts:
        return _summed(atoms, w) if atoms.weight.size * w.size <= MOST_TERMS else self._by_cells(w)

    def _by_cells(self, w: Points) -> Parts:
        """Sum local moments of eps^2 over cells as long as the largest |w| allows, up to where exp(-w eps^2) is 0."""
        reach = math.ceil(2 * math.log2(GONE / float(w.real.min())))
        length = math.floor(2 * math.log2(PHASE / float(np.abs(w).max())))
        cells = self._cells.get((reach, length))
        if cells is None:
            if len(self._cells) > 200:
                self._cells.clear()
            far, step = 2.0 ** (reach / 2), 2.0 ** (length / 2)
            cells = self._cells[reach, length] = cells_of(self._masses(far, step), step)
        return Parts(*cells.transform(w))

    def _masses(self, far: float, step: float) -> Masses:
        """Return eps^2 <= far as point masses, right where integrands turn by at most a few radians over `step`."""
        parts = self.noise.components
        if parts is not None:
            square = parts.mean**2
            near = square <= far
            return Masses(square[near], parts.weight[near], float(parts.weight[~near].sum()))
        return _of_density(self.noise, far, step)


def _of_density(noise: NoiseLaw, far: float, step: float) -> Masses:
    """Gauss-Legendre nodes between the edges of the law's panels, of the cells and of `far`."""
    bounds = panels(noise, 0)
    low, high = bounds.edges[0], bounds.edges[-1]
    far = math.sqrt(min(far, max(low**2, high**2)))
    ends = np.sqrt(step * np.arange(math.ceil(far * far / step)))
    edges = np.unique(np.concatenate([-ends, ends, bounds.edges, [far, -far]]))
    edges = edges[(edges >= low) & (edges <= high)]
    half, (x, w) = np.diff(edges)[:, None] / 2, gauss(ORDER)
    nodes = edges[:-1, None] + half * (1 + x)
    inside = np.clip(np.searchsorted(bounds.edges, nodes, side="right") - 1, 0, bounds.factor.size - 1)
    weight = half * w * density(noise, nodes) * bounds.factor[inside]
    near = (np.abs(nodes) < far) & (weight > 0)
    return Masses(nodes[near] ** 2, weight[near], float(weight[np.abs(nodes) >= far].sum()))


def _both(value: Points, deficit: Callable[[Points], Points], w: Points) -> Parts:
    """Lambda(w), and 1 - Lambda(w) by its own route where it is small."""
    rest: Points = 1 - value
    near = np.abs(rest) < SMALL
    if near.any():
        rest[near] = deficit(w[near])
    return Parts(value, rest)


def _in_closed_form(transform: Transform, w: Points) -> Parts:
    return _both(transform.value(w), transform.deficit, w)


def _summed(parts: Components, w: Points) -> Parts:
    laws = parts.weight, parts.mean**2, parts.variance

    def deficit(w: Points) -> Points:
        found = kernels.mixture_deficit(w.astype(np.complex128), 0.0, *laws)
        return found.real if np.isrealobj(w) else found

    value = kernels.mixture_transform_real if np.isrealobj(w) else kernels.mixture_transform
    return _both(value(w, 0.0, *laws), deficit, w)


@lru_cache(maxsize=64)
def noise_transform(noise: NoiseLaw, octaves: int) -> NoiseTransform:
    """Return the transform of a law, right for |eps| up to 2^octaves of its width; kept, with its tables."""
    return NoiseTransform(noise, noise.width * 2.0**octaves)
