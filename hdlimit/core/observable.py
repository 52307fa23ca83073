"""One quantity of several runs: mean, spread and standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hdlimit.core.declaration import Declaration, FloatArray

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False, repr=False)
class Observable(Declaration):
    """One quantity of several runs. name: of the quantity; values: shape (runs, T), inf after a run diverged."""

    name: str
    values: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Mean over the runs, shape (T,)."""
        mean: FloatArray = self.values.mean(axis=0)
        return mean

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of one run (n - 1 in the denominator), shape (T,); inf with a single run or diverged
        runs.
        """
        runs, times = self.values.shape
        spread = np.full(times, math.inf)
        if runs > 1:
            finite = np.isfinite(self.values).all(axis=0)
            spread[finite] = self.values[:, finite].std(axis=0, ddof=1)
        return spread

    @property
    def stderr(self) -> FloatArray:
        """Standard error of the mean, spread/sqrt(runs), shape (T,)."""
        return self.spread / math.sqrt(self.values.shape[0])
