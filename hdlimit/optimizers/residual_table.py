"""A residual map as a finished table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput


@dataclass(frozen=True, eq=False, repr=False)
class ResidualTable(Declaration):
    """A finished table of a residual map psi(r; s): linear in r between its residuals and in log s between its levels.

    Beyond the outermost residuals and levels it keeps its values there: it is bounded, and no step size diverges.
    levels: values of s, shape (m,), increasing, > 0, m >= 2; residuals: values of r, shape (n,), increasing, n >= 2;
    scores: psi, shape (m, n), in the units of r.
    """

    levels: FloatArray
    residuals: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        levels, residuals = checks.array("levels", self.levels, 1), checks.array("residuals", self.residuals, 1)
        if levels.size < 2 or (np.diff(levels) <= 0).any() or levels[0] <= 0:
            raise InvalidInput("levels", "at least 2 increasing numbers > 0", repr(levels.tolist())[:120])
        if residuals.size < 2 or (np.diff(residuals) <= 0).any():
            raise InvalidInput("residuals", "at least 2 increasing numbers", repr(residuals.tolist())[:120])
        scores = checks.array("scores", self.scores, 2, (levels.size, residuals.size))
        self._set(levels=levels, residuals=residuals, scores=scores)

    @property
    def flat(self) -> FloatArray:
        """m, n, log levels, residuals and scores in one array: what the kernels read."""
        sizes = np.array([self.levels.size, self.residuals.size], dtype=np.float64)
        return np.concatenate([sizes, np.log(self.levels), self.residuals, self.scores.ravel()])

    def at_levels(self, r: FloatArray) -> FloatArray:
        """psi at every level, shape (m, size of r)."""
        r = np.clip(r, self.residuals[0], self.residuals[-1])
        k = np.clip(np.searchsorted(self.residuals, r, side="right") - 1, 0, self.residuals.size - 2)
        share = (r - self.residuals[k]) / (self.residuals[k + 1] - self.residuals[k])
        values: FloatArray = (1 - share) * self.scores[:, k] + share * self.scores[:, k + 1]
        return values

    def slopes(self, r: FloatArray) -> FloatArray:
        """dpsi/dr at every level, shape (m, size of r)."""
        steps = np.diff(self.scores) / np.diff(self.residuals)
        k = np.searchsorted(self.residuals, r, side="right")
        values: FloatArray = np.pad(steps, ((0, 0), (1, 1)))[:, k]
        return values

    def place(self, s: float) -> tuple[int, float]:
        """The level below s and the share of the next one, in log s."""
        x, y = np.log(self.levels), math.log(min(max(s, self.levels[0]), self.levels[-1]))
        k = min(max(int(np.searchsorted(x, y, side="right")) - 1, 0), x.size - 2)
        return k, float((y - x[k]) / (x[k + 1] - x[k]))

    def __call__(self, r: Any, s: float) -> FloatArray:
        """psi(r; s) for r of any shape and one s >= 0."""
        r, (k, share) = np.asarray(r, dtype=np.float64), self.place(s)
        values = self.at_levels(r.ravel())
        blended: FloatArray = ((1 - share) * values[k] + share * values[k + 1]).reshape(r.shape)
        return blended
