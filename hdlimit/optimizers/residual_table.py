"""A residual map as a finished table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray, IntArray
from hdlimit.errors import InvalidInput, shown

# |psi| from which on a table stands for an unbounded map: no residual of a run that has not diverged is as large.
LARGEST = 1e100


def _increasing(residuals: FloatArray) -> bool:
    """Whether residuals increase, but for single pairs of equal ones between the ends."""
    steps = np.diff(residuals)
    return bool(
        (steps >= 0).all() and steps[0] > 0 and steps[-1] > 0 and not ((steps[1:] == 0) & (steps[:-1] == 0)).any()
    )


@dataclass(frozen=True, eq=False, repr=False)
class ResidualTable(Declaration):
    """A finished table of a residual map psi(r; s): linear in r between its residuals and in log s between its levels.

    Beyond the outermost residuals and levels it keeps its values there. A residual that stands twice is a jump.

    Parameters
    ----------
    levels : array_like, shape (m,)
        Values of the control s > 0, increasing, m >= 2.
    residuals : array_like, shape (n,)
        Values of r, increasing, n >= 2; inside, each may stand twice.
    scores : array_like, shape (m, n)
        psi at every level and residual, in the units of r.

    Examples
    --------
    >>> import hdlimit as hd
    >>> table = hd.tuning.ResidualTable(levels=[0.1, 1.0], residuals=[-1.0, 0.0, 0.0, 1.0], scores=[[-1, -1, 1, 1]] * 2)
    >>> table([-3.0, -0.2, 0.4], 0.5).tolist()
    [-1.0, -1.0, 1.0]
    """

    levels: FloatArray
    residuals: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        levels, residuals = checks.array("levels", self.levels, 1), checks.array("residuals", self.residuals, 1)
        if levels.size < 2 or (np.diff(levels) <= 0).any() or levels[0] <= 0:
            raise InvalidInput("levels", "at least 2 increasing numbers > 0", shown(levels.tolist()))
        if residuals.size < 2 or not _increasing(residuals):
            expected = "at least 2 increasing numbers (one inside may stand twice: a jump)"
            raise InvalidInput("residuals", expected, shown(residuals.tolist()))
        scores = checks.array("scores", self.scores, 2, (levels.size, residuals.size))
        self._set(levels=levels, residuals=residuals, scores=scores)

    @property
    def flat(self) -> FloatArray:
        """m, n, log levels, residuals and scores in one array: what the kernels read."""
        sizes = np.array([self.levels.size, self.residuals.size], dtype=np.float64)
        return np.concatenate([sizes, np.log(self.levels), self.residuals, self.scores.ravel()])

    def at_levels(self, r: FloatArray) -> FloatArray:
        """Return psi at every level.

        Parameters
        ----------
        r : array, shape (n,)
            Residuals.

        Returns
        -------
        array, shape (m, n)
            psi.
        """
        r = np.clip(r, self.residuals[0], self.residuals[-1])
        k = np.clip(np.searchsorted(self.residuals, r, side="right") - 1, 0, self.residuals.size - 2)
        share = (r - self.residuals[k]) / (self.residuals[k + 1] - self.residuals[k])
        values: FloatArray = (1 - share) * self.scores[:, k] + share * self.scores[:, k + 1]
        far = self.residuals[k] < -LARGEST  # the line through the end of the piece that is near
        values[:, far] = self.scores[:, 1:2] + self.slopes(r[far]) * (r[far] - self.residuals[1])
        return values

    def slopes(self, r: FloatArray) -> FloatArray:
        """Return dpsi/dr at every level.

        Parameters
        ----------
        r : array, shape (n,)
            Residuals.

        Returns
        -------
        array, shape (m, n)
            The slopes of the pieces in which the residuals are.
        """
        length = np.diff(self.residuals)
        steps = np.divide(np.diff(self.scores), length, out=np.zeros((self.levels.size, length.size)), where=length > 0)
        k = np.searchsorted(self.residuals, r, side="right")
        values: FloatArray = np.pad(steps, ((0, 0), (1, 1)))[:, k]
        return values

    @cached_property
    def jumps(self) -> IntArray:
        """Numbers of the residuals at which psi jumps: the left ones of two equal residuals."""
        return np.flatnonzero(np.diff(self.residuals) == 0)

    @cached_property
    def bounded(self) -> bool:
        """Whether psi is bounded; a table that reaches beyond LARGEST stands for a map that is not."""
        return bool(np.abs(self.scores).max() < LARGEST)

    @property
    def tails(self) -> FloatArray:
        """Slopes of the outermost pieces at every level, shape (m, 2); zeros for a bounded table."""
        if self.bounded:
            return np.zeros((self.levels.size, 2))
        ends = np.diff(self.scores)[:, [0, -1]] / np.diff(self.residuals)[[0, -1]]
        return np.where(np.abs(self.scores[:, [0, -1]]) < LARGEST, 0.0, ends)

    @cached_property
    def linear(self) -> bool:
        """Whether psi(r) = r at every residual and level, without end."""
        return not self.bounded and bool(np.allclose(self.scores, self.residuals, rtol=1e-12, atol=0.0))

    def place(self, s: float) -> tuple[int, float]:
        """Return the level below s and the share of the next one, in log s.

        Parameters
        ----------
        s : float
            A level, moved into the range of those of the table.

        Returns
        -------
        tuple of int and float
            Number of the level below, and the share in [0, 1].
        """
        x, y = np.log(self.levels), math.log(min(max(s, self.levels[0]), self.levels[-1]))
        k = min(max(int(np.searchsorted(x, y, side="right")) - 1, 0), x.size - 2)
        return k, float((y - x[k]) / (x[k + 1] - x[k]))

    def __call__(self, r: Any, s: float) -> FloatArray:
        """psi(r; s) for r of any shape and one s >= 0."""
        r, (k, share) = np.asarray(r, dtype=np.float64), self.place(s)
        values = self.at_levels(r.ravel())
        blended: FloatArray = ((1 - share) * values[k] + share * values[k + 1]).reshape(r.shape)
        return blended
