"""The law of a sample as label noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import Components, NoiseLaw, _in_range, _mixture


@dataclass(frozen=True, eq=False, repr=False)
class Empirical(NoiseLaw):
    """The law of a sample: every value of noise_values has the same probability.

    Parameters
    ----------
    noise_values : array_like, shape (n,)
        Values of eps in the units of y (not of a residual r = <x, delta> - eps, which has another law).

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Empirical([-1.0, 0.0, 0.0, 1.0]).variance
    0.5
    """

    noise_values: FloatArray

    def __post_init__(self) -> None:
        self._set(noise_values=_in_range("noise_values", checks.array("noise_values", self.noise_values, 1)))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        return self.noise_values[generator.integers(0, self.noise_values.size, size)]

    @cached_property
    def components(self) -> Components:
        """The law as a finite mixture of normal laws."""
        values, counts = np.unique(self.noise_values, return_counts=True)
        return _mixture(counts / self.noise_values.size, values, np.zeros(values.size))
