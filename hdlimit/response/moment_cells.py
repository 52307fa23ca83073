"""Point masses of a squared variable as local moments, so that its Laplace transform is a short sum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.kernels.laplace_transform import cells_transform
from hdlimit.problem.noise_law import Points

# |w| times the length of a cell up to which its transform is right, and the moments of a cell:
# (PHASE/2)^ORDER/ORDER! = 1e-15.
PHASE, ORDER = 6.0, 27


class Masses(NamedTuple):
    """Point masses of s >= 0.

    Attributes
    ----------
    place, weight : ndarray, shape (n,)
        Values of s and their probabilities.
    beyond : float
        Probability of all s that are so large that exp(-w s) is 0.
    """

    place: FloatArray
    weight: FloatArray
    beyond: float


class Cells(NamedTuple):
    """Moments of (s/length - k)^m over the cells |s/length - k| <= 1/2.

    Attributes
    ----------
    length : float
        Of a cell, in s.
    moments : ndarray, shape (cells, ORDER)
        Of order 0, 1, ... in every cell.
    beyond : float
        As of Masses.
    """

    length: float
    moments: FloatArray
    beyond: float

    def transform(self, w: Points) -> tuple[Points, Points]:
        """E exp(-w s) and 1 - E exp(-w s), both to full precision, for |w| length <= PHASE; the shape of w."""
        step = np.ravel(w).astype(np.complex128) * -self.length
        value, deficit = np.empty_like(step), np.empty_like(step)
        cells_transform(step, self.moments, self.beyond, value, deficit)
        real = np.isrealobj(w)
        return (value.real if real else value).reshape(w.shape), (deficit.real if real else deficit).reshape(w.shape)


def cells_of(masses: Masses, length: float) -> Cells:
    """Sort point masses into cells of one length."""
    cell = np.floor(masses.place / length + 0.5).astype(np.int64)
    count = int(cell.max(initial=0)) + 1
    local, power = masses.place / length - cell, masses.weight.copy()
    moments = np.empty((count, ORDER))
    for order in range(ORDER):
        moments[:, order] = np.bincount(cell, power, count)
        power = power * local
    return Cells(length, moments, masses.beyond)
