"""A finite mixture of normal laws as label noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem.noise_law import Components, NoiseLaw, _in_range, _mixture


@dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture(NoiseLaw):
    """Mixture of normal laws: eps ~ N(means[k], scales[k]^2) with probability weights[k].

    Parameters
    ----------
    weights : array_like, shape (k,)
        Probabilities > 0, normalized to sum 1.
    scales : array_like, shape (k,)
        Standard deviations >= 0 in the units of y; 0 is a point mass.
    means : array_like, shape (k,), optional
        Means in the units of y, zeros by default.

    Raises
    ------
    InvalidInput
        For shapes that differ, weights <= 0 or scales < 0.

    Examples
    --------
    Noise of standard deviation 0.3 with a tenth of outliers:

    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> round(noise.variance, 12)
    0.481
    """

    weights: FloatArray
    scales: FloatArray
    means: FloatArray | None = None

    def __post_init__(self) -> None:
        weights = _in_range("weights", checks.array("weights", self.weights, 1))
        if (weights <= 0).any():
            raise InvalidInput("weights", "numbers > 0", f"a smallest weight of {weights.min():g}")
        scales = _in_range("scales", checks.array("scales", self.scales, 1, weights.shape))
        if (scales < 0).any():
            raise InvalidInput("scales", "numbers >= 0", f"a smallest scale of {scales.min():g}")
        means = np.zeros(weights.size) if self.means is None else self.means
        means = _in_range("means", checks.array("means", means, 1, weights.shape))
        total = weights.sum()
        if abs(total - 1) > 1e-12:
            weights = checks.array("weights", weights / total, 1)
        self._set(weights=weights, scales=scales, means=means)

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        assert self.means is not None
        k = np.minimum(
            np.searchsorted(np.cumsum(self.weights), generator.random(size), side="right"), self.weights.size - 1
        )
        return self.means[k] + self.scales[k] * generator.standard_normal(size)

    @property
    def components(self) -> Components:
        """The law as a finite mixture of normal laws."""
        return _mixture(self.weights, self.means, self.scales**2)
