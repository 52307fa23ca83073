"""One quantity of several runs: mean, spread, standard error and quantiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput, shown


@dataclass(frozen=True, eq=False, repr=False)
class Observable(Declaration):
    """One quantity of several runs.

    Attributes
    ----------
    name : str
        Name of the quantity: "risk", "distance", "gradient_norm" or "clipped_fraction".
    values : ndarray, shape (runs, T)
        Its values; inf after a run diverged.

    Examples
    --------
    >>> import numpy as np
    >>> import hdlimit as hd
    >>> risk = hd.results.Observable("risk", np.array([[1.0, 0.5], [3.0, 1.5]]))
    >>> risk.mean.tolist(), risk.quantile(0.25).tolist()
    ([2.0, 1.0], [1.5, 0.75])
    """

    shapes: ClassVar[dict[str, str]] = {"values": "runs T"}

    name: str
    values: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Mean over the runs, shape (T,)."""
        mean: FloatArray = self.values.mean(axis=0)
        return mean

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of one run, shape (T,).

        The denominator is runs - 1. It is inf for a single run and where a run has diverged.
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

    def quantile(self, q: Any) -> FloatArray:
        """Return quantiles over the runs, linear between order statistics.

        Parameters
        ----------
        q : float or array_like
            Probabilities in [0, 1].

        Returns
        -------
        ndarray, shape (T,) or q.shape + (T,)
            The quantiles at every time; inf where diverged runs enter them.

        Raises
        ------
        InvalidInput
            If a probability is outside [0, 1].
        """
        levels = checks.array("q", q, None)
        if not ((levels >= 0) & (levels <= 1)).all():
            raise InvalidInput("q", "probabilities between 0 and 1", shown(q))
        ordered = np.sort(self.values, axis=0)
        place = levels[..., None] * (ordered.shape[0] - 1)
        low = np.floor(place).astype(int)[..., 0]
        below, above = ordered[low], ordered[np.minimum(low + 1, ordered.shape[0] - 1)]
        share = np.broadcast_to(place - low[..., None], below.shape)
        gap = np.subtract(above, below, out=np.zeros(below.shape), where=above > below)
        quantiles: FloatArray = below + np.multiply(share, gap, out=np.zeros(below.shape), where=share > 0)
        return quantiles
