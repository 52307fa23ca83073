"""The modes of a problem, from its spectrum as a measure where it has many eigenvalues.

For a diagonal covariance every mode is a function of its eigenvalue k, but for its start delta^2: the curve depends on
the measures sum delta(k_i) (the noise) and sum delta_i^2 delta(k_i) (the start). More than 4096 eigenvalues are put
into the nodes of hdlimit.problem.spectral_measure; under the default target and start both measures have the same
nodes, and a named
covariance is never written down.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.errors import InvalidInput
from hdlimit.limit.modes import mode_system, modes_of_nodes
from hdlimit.limit.moments import MomentSystem
from hdlimit.problem import spectral_measure
from hdlimit.problem.covariance import MANY, TOLERANCE
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.problem.spectral_measure import Compression

# Bins for rough searches, with two points each: v of the tuning problems stays within 2e-3
# (tests/tuning/test_threshold_tuning.py).
BINS = 64
# Gauss nodes a bin.
POINTS = 2
# Range of the error that a user may allow: below it rounding of sums shows, above it a curve is a sketch.
TIGHTEST, LOOSEST = 1e-11, 1e-2


def compressed(problem: LeastSquares, features: str, compress: bool | float) -> tuple[MomentSystem, Compression | None]:
    """Return the modes of a problem, and what was done to its spectrum (None: every eigenvalue is there).

    compress: True (an error of 1e-7), False (every eigenvalue) or the error allowed, from 1e-11 to 1e-2; see
    spectral_measure.Compression. A covariance that is not diagonal, or has at most 4096 eigenvalues > 0, is never
    compressed.
    """
    tolerance = tolerance_of(compress)
    if (kept := problem.kept.get(("modes", features, tolerance))) is not None:
        return kept  # type: ignore[no-any-return]
    found = _compressed(problem, features, tolerance)
    if found[0].size <= MANY:
        problem.kept["modes", features, tolerance] = found
    return found


def _compressed(
    problem: LeastSquares, features: str, tolerance: float | None
) -> tuple[MomentSystem, Compression | None]:
    if tolerance is not None:
        if problem.uniform and (nodes := problem.covariance.nodes_within(tolerance)) is not None:
            d = problem.dimension
            positive = float(nodes.mass.sum())
            modes = modes_of_nodes(nodes.value, nodes.mass, nodes.mass / d, features, d, max(1 - positive / d, 0.0))
            return modes, Compression(modes.size, round(positive), nodes.error)
        if problem.covariance.diagonal is not None and np.count_nonzero(problem.covariance.diagonal) > MANY:
            return _of_list(problem, features, tolerance)
    return mode_system(problem.covariance, features, problem.initial_error), None


def tolerance_of(compress: bool | float) -> float | None:
    """Return the error allowed, None for no compression."""
    if isinstance(compress, bool | np.bool_):
        return TOLERANCE if compress else None
    expected = f"True, False or a number from {TIGHTEST:g} to {LOOSEST:g}"
    tolerance = checks.number("compress", compress, expected)
    if not TIGHTEST <= tolerance <= LOOSEST:
        raise InvalidInput("compress", expected, f"{tolerance:g}")
    return tolerance


def _of_list(problem: LeastSquares, features: str, tolerance: float) -> tuple[MomentSystem, Compression]:
    d, diagonal = problem.dimension, problem.covariance.diagonal
    assert diagonal is not None
    if problem.uniform:
        values, squares = np.sort(diagonal[diagonal > 0]), None
        rest = 1 - values.size / d
    else:
        order = np.argsort(diagonal)
        order = order[d - np.count_nonzero(diagonal) :]
        values, squares = diagonal[order], problem.initial_error[order] ** 2
        rest = max(float(problem.initial_error @ problem.initial_error) - float(squares.sum()), 0.0)
        rest = rest if values.size < d else 0.0
    width = spectral_measure.width_for(tolerance)
    while True:
        edges = spectral_measure.value_edges(values, width)
        value, count, square, error = _nodes(values, squares, edges)
        if error <= tolerance or width < spectral_measure.NARROWEST:
            break
        width *= spectral_measure.SHRINK
    if squares is None:
        square = count / d
    modes = modes_of_nodes(value, count, square, features, d, rest)
    return modes, Compression(modes.size, values.size, error)


def _nodes(
    values: FloatArray, squares: FloatArray | None, edges: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Values, counts, squared start errors (0 where they were not asked for), error."""
    rough, fine = spectral_measure.of_values(values, None, edges)
    error = spectral_measure.disagreement(rough, fine)
    if squares is None or not squares.any():
        return rough.value, rough.mass, np.zeros(rough.value.size), error
    first, better = spectral_measure.of_values(values, squares, edges)
    return (
        np.concatenate([rough.value, first.value]),
        np.concatenate([rough.mass, np.zeros(first.value.size)]),
        np.concatenate([np.zeros(rough.value.size), first.mass]),
        max(error, spectral_measure.disagreement(first, better)),
    )


def binned(modes: MomentSystem, bins: int = BINS) -> MomentSystem:
    """Return at most 2 bins modes with v as their only functional; modes of rate 0 do not enter v and go.

    Small systems are returned with their own rates.
    """
    moving = modes.rate > 0
    rate = modes.rate[moving]
    start, forcing = rate * modes.start[moving], rate * modes.diffusion[moving]
    if rate.size <= 2 * bins:
        return _system(rate, start, forcing)
    ends = 2 * spectral_measure.ENDS + 1
    width = math.log1p(spectral_measure.GRADING * (rate[-1] / rate[0] - 1)) / (bins / POINTS - ends)
    edges = spectral_measure.value_edges(rate, width)
    started, forced = (spectral_measure.of_values(rate, mass, edges, POINTS)[0] for mass in (start, forcing))
    return _system(
        np.concatenate([started.value, forced.value]),
        np.concatenate([started.mass, np.zeros(forced.value.size)]),
        np.concatenate([np.zeros(started.value.size), forced.mass]),
    )


def _system(rate: FloatArray, start: FloatArray, forcing: FloatArray) -> MomentSystem:
    """Modes with v-weight 1: m is replaced by lambda m, which obeys the same equation with forcing lambda c/d."""
    return MomentSystem(rate, forcing, start, np.ones((1, rate.size)))
