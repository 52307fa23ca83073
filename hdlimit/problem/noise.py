"""Label-noise laws: what the problem adds to <x, theta*>.

A law knows how to sample itself, its moments (inf where they are infinite), and one of two descriptions from which
responses are computed: `components`, when it is a finite mixture of normal laws (a point mass is a normal law of
variance 0), or `frozen`, a scipy.stats distribution with density, cdf and quantiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem.laplace_transform import Transform, laplace_transform, uniform_transform
from hdlimit.problem.noise_law import NoiseLaw, _in_range, _mixture
from hdlimit.problem.normal_mixtures import Components, laplace_components, student_components
from hdlimit.problem.scipy_noise import ScipyNoise


@dataclass(frozen=True, eq=False, repr=False)
class NoNoise(NoiseLaw):
    """No label noise: eps = 0."""

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return np.zeros(size)

    @property
    def components(self) -> Components:
        return _mixture(1, 0, 0)


@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(NoiseLaw):
    """Normal noise, eps ~ N(0, std^2).

    std: standard deviation > 0, in the units of y.
    """

    std: float

    def __post_init__(self) -> None:
        self._set(std=checks.scale("std", self.std))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return self.std * generator.standard_normal(size)

    @property
    def components(self) -> Components:
        return _mixture(1, 0, self.std**2)


@dataclass(frozen=True, eq=False, repr=False)
class StudentT(NoiseLaw):
    """Student-t noise, eps = scale * t_df. The variance is infinite for df <= 2, E eps^4 for df <= 4.

    df: degrees of freedom > 0 (not only integers); scale: > 0, in the units of y.
    """

    scale_mixture: ClassVar[bool] = True

    df: float
    scale: float

    def __post_init__(self) -> None:
        self._set(df=checks.positive("df", self.df), scale=checks.scale("scale", self.scale))

    def mixture(self, reach: float) -> Components:
        return student_components(self.df, self.scale, reach if math.isfinite(reach) else self.scale)

    @property
    def closed_form(self) -> tuple[str, FloatArray] | None:
        return (f"student{self.df:g}", np.array([self.scale])) if self.df in (1.0, 3.0) else None

    def information_reach(self, s: float) -> float:
        # p_r score^2 falls like r^-(df + 3)
        return 14 * s + self.scale * math.sqrt(self.df + 3) * (14 + math.exp(39 / (self.df + 2)))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return self.scale * generator.standard_t(self.df, size)

    @cached_property
    def frozen(self) -> Any:
        from scipy import stats

        return stats.t(self.df, scale=self.scale)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        df, s2 = self.df, self.scale**2
        second = s2 * df / (df - 2) if df > 2 else math.inf
        fourth = s2**2 * 3 * df**2 / ((df - 2) * (df - 4)) if df > 4 else math.inf
        return (0.0 if df > 1 else math.nan), second, fourth

    @cached_property
    def width(self) -> float:
        return self.scale


@dataclass(frozen=True, eq=False, repr=False)
class Laplace(NoiseLaw):
    """Laplace noise with density exp(-|eps|/scale)/(2 scale); variance 2 scale^2.

    scale: > 0, in the units of y.
    """

    scale_mixture: ClassVar[bool] = True

    scale: float

    def __post_init__(self) -> None:
        self._set(scale=checks.scale("scale", self.scale))

    def mixture(self, reach: float) -> Components:
        return laplace_components(self.scale)

    def laplace_transform(self, v: float) -> Transform:
        return laplace_transform(v, self.scale)

    @property
    def closed_form(self) -> tuple[str, FloatArray]:
        return "laplace", np.array([self.scale])

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return generator.laplace(0.0, self.scale, size)

    @cached_property
    def frozen(self) -> Any:
        from scipy import stats

        return stats.laplace(scale=self.scale)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        return 0.0, 2 * self.scale**2, 24 * self.scale**4


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(NoiseLaw):
    """Uniform noise on [-half_width, half_width]; variance half_width^2 / 3.

    half_width: > 0, in the units of y.
    """

    half_width: float

    def __post_init__(self) -> None:
        self._set(half_width=checks.scale("half_width", self.half_width))

    def laplace_transform(self, v: float) -> Transform:
        return uniform_transform(v, self.half_width)

    @property
    def closed_form(self) -> tuple[str, FloatArray]:
        return "uniform", np.array([self.half_width])

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return generator.uniform(-self.half_width, self.half_width, size)

    @cached_property
    def frozen(self) -> Any:
        from scipy import stats

        return stats.uniform(-self.half_width, 2 * self.half_width)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        return 0.0, self.half_width**2 / 3, self.half_width**4 / 5


@dataclass(frozen=True, eq=False, repr=False)
class Rademacher(NoiseLaw):
    """Two-point noise, eps = +scale or -scale with probability 1/2 each; variance scale^2.

    scale: > 0, in the units of y.
    """

    scale: float

    def __post_init__(self) -> None:
        self._set(scale=checks.scale("scale", self.scale))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        signs: FloatArray = 2.0 * generator.integers(0, 2, size).astype(np.float64) - 1.0
        return self.scale * signs

    @property
    def components(self) -> Components:
        return _mixture([0.5, 0.5], [-self.scale, self.scale], [0, 0])


@dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture(NoiseLaw):
    """Mixture of normal laws: eps ~ N(means[k], scales[k]^2) with probability weights[k].

    weights: shape (k,), > 0, normalized to sum 1; scales: shape (k,), >= 0 (0: a point mass); means: shape (k,) or
    None for zeros.
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
        assert self.means is not None
        k = np.minimum(
            np.searchsorted(np.cumsum(self.weights), generator.random(size), side="right"), self.weights.size - 1
        )
        return self.means[k] + self.scales[k] * generator.standard_normal(size)

    @property
    def components(self) -> Components:
        return _mixture(self.weights, self.means, self.scales**2)


def as_noise(noise: Any) -> NoiseLaw:
    """A noise law from a noise law, a frozen scipy.stats distribution, or None (no noise)."""
    if noise is None:
        return NoNoise()
    return noise if isinstance(noise, NoiseLaw) else ScipyNoise(noise)
