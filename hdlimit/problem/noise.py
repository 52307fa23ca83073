"""Label-noise laws: what the problem adds to <x, theta*>.

A law knows how to sample itself, its moments (inf where they are infinite), and one of two descriptions from which
responses are computed: `components`, when it is a finite mixture of normal laws (a point mass is a normal law of
variance 0), or `frozen`, a scipy.stats distribution with density, cdf and quantiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput

MOST_ATOMS = 1_000_000


class Components(NamedTuple):
    """A finite mixture of normal laws: weights, means and variances, each of shape (k,)."""

    weight: FloatArray
    mean: FloatArray
    variance: FloatArray


class NoiseLaw(Declaration):
    """Base of the label-noise laws. Noise is in the units of y; scales are from 1e-70 to 1e70.

    A new law is a frozen dataclass with `sample`, `frozen` (or `components`) and, where SciPy's are slow or wrong,
    `moments`.
    """

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        raise NotImplementedError

    @property
    def components(self) -> Components | None:
        """The law as a finite mixture of normal laws, or None."""
        return None

    @cached_property
    def frozen(self) -> Any:
        """The law as a frozen scipy.stats distribution, or None for a law with atoms."""
        return None

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """(E eps, E eps^2, E eps^4), inf where infinite; the mean is nan where it does not exist."""
        parts = self.components
        if parts is None:
            return _frozen_moments(self.frozen)
        m, s2 = parts.mean, parts.variance
        fourth = m**4 + 6 * m**2 * s2 + 3 * s2**2
        return float(parts.weight @ m), float(parts.weight @ (m**2 + s2)), float(parts.weight @ fourth)

    @property
    def mean(self) -> float:
        """E eps (nan where it does not exist)."""
        return self.moments[0]

    @property
    def second_moment(self) -> float:
        """E eps^2, inf where infinite."""
        return self.moments[1]

    @property
    def fourth_moment(self) -> float:
        """E eps^4, inf where infinite."""
        return self.moments[2]

    @property
    def variance(self) -> float:
        """Var(eps), inf where infinite."""
        mean, second, _ = self.moments
        return second if math.isinf(second) else max(second - mean**2, 0.0)

    @cached_property
    def width(self) -> float:
        """A scale of |eps| that always exists (the root mean square of the components, or the median of |eps|)."""
        if self.components is not None:
            return math.sqrt(self.second_moment)
        lower, median, upper = (float(self.frozen.ppf(q)) for q in (0.25, 0.5, 0.75))
        return max(upper - lower, abs(median)) / 2 if upper > lower else abs(median)


def _frozen_moments(frozen: Any) -> tuple[float, float, float]:
    mean, variance, skewness, kurtosis = (float(m) for m in frozen.stats(moments="mvsk"))
    if not math.isfinite(variance):
        return mean, math.inf, math.inf
    second = variance + mean**2
    if not (math.isfinite(skewness) and math.isfinite(kurtosis)):
        return mean, second, math.inf
    fourth = (kurtosis + 3) * variance**2 + 4 * skewness * variance**1.5 * mean + 6 * mean**2 * variance + mean**4
    return mean, second, fourth


def _in_range(argument: str, values: FloatArray) -> FloatArray:
    largest = float(np.abs(values).max())
    if largest > checks.LARGEST_SCALE:
        raise InvalidInput(argument, f"values up to {checks.LARGEST_SCALE:g} in size", f"{largest:g}")
    return values


def _mixture(weight: Any, mean: Any, variance: Any) -> Components:
    return Components(*(np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (weight, mean, variance)))


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

    df: float
    scale: float

    def __post_init__(self) -> None:
        self._set(df=checks.positive("df", self.df), scale=checks.scale("scale", self.scale))

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

    scale: float

    def __post_init__(self) -> None:
        self._set(scale=checks.scale("scale", self.scale))

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


@dataclass(frozen=True, eq=False, repr=False)
class Empirical(NoiseLaw):
    """The law of a sample: every value of noise_values has the same probability.

    noise_values: shape (n,), values of eps (not of a residual r = <x, delta> - eps, which has another law).
    """

    noise_values: FloatArray

    def __post_init__(self) -> None:
        self._set(noise_values=_in_range("noise_values", checks.array("noise_values", self.noise_values, 1)))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return self.noise_values[generator.integers(0, self.noise_values.size, size)]

    @cached_property
    def components(self) -> Components:
        values, counts = np.unique(self.noise_values, return_counts=True)
        return _mixture(counts / self.noise_values.size, values, np.zeros(values.size))


@dataclass(frozen=True, eq=False, repr=False)
class ScipyNoise(NoiseLaw):
    """Any frozen scipy.stats distribution as label noise. Discrete laws are cut where 1e-15 of their mass is left.

    Its responses come as tables, right to 1e-9: under 0.2 s for the first curve of a clipped or signed optimizer (batch
    size 1), milliseconds for the next at the same threshold.

    distribution: a frozen scipy.stats distribution, for example scipy.stats.skewnorm(4).
    """

    distribution: Any

    def __post_init__(self) -> None:
        if not (hasattr(self.distribution, "rvs") and hasattr(self.distribution, "dist")):
            raise InvalidInput(
                "noise", "a noise law or a frozen scipy.stats distribution", repr(self.distribution)[:120]
            )
        if any(np.ndim(value) for value in self.parameters.values()):
            raise InvalidInput("noise", "a distribution with scalar parameters", repr(self.parameters)[:120])
        try:
            with np.errstate(all="ignore"):
                quartiles = np.asarray(self.distribution.ppf([0.25, 0.75]), dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInput("noise", "a distribution with valid parameters", repr(self.parameters)[:120]) from None
        if not np.isfinite(quartiles).all():
            raise InvalidInput("noise", "a distribution with valid parameters", repr(self))
        if self._discrete and self.distribution.sf(quartiles[1] + MOST_ATOMS) > 1e-15:
            raise InvalidInput("noise", f"a discrete law on at most {MOST_ATOMS:,} likely values", repr(self))
        _in_range("noise", quartiles)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The distribution's parameters by name, in the order of scipy.stats: shapes, loc, scale."""
        law = self.distribution
        names = [name.strip() for name in (law.dist.shapes or "").split(",") if name.strip()] + ["loc", "scale"]
        given = {**dict(zip(names, law.args)), **law.kwds}
        return {name: given[name] for name in names if name in given}

    @property
    def public_name(self) -> str | None:
        """The name under which scipy.stats has the distribution; None for one made by the user."""
        from scipy import stats

        law: Any = self.distribution.dist
        name: str | None = law.name
        return name if name is not None and type(getattr(stats, name, None)) is type(law) else None

    def _identity(self) -> tuple[Any, ...]:
        return self.public_name or self.distribution.dist, *self.parameters.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScipyNoise) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        name = self.distribution.dist.name
        return f"scipy.stats.{name}({', '.join(f'{k}={v:g}' for k, v in self.parameters.items())})"

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        if not self._discrete:
            return np.asarray(self.distribution.rvs(size=size, random_state=generator), dtype=np.float64)
        law, shift = self._unshifted
        return np.asarray(law.rvs(size=size, random_state=generator), dtype=np.float64) + shift

    @cached_property
    def _discrete(self) -> bool:
        return hasattr(self.distribution.dist, "_pmf") and hasattr(self.distribution, "pmf")

    @cached_property
    def _unshifted(self) -> tuple[Any, float]:
        """A discrete distribution at loc = 0, and loc, which SciPy rounds when it samples."""
        shapes = {name: value for name, value in self.parameters.items() if name != "loc"}
        return self.distribution.dist(**shapes), float(self.parameters.get("loc", 0.0))

    @cached_property
    def frozen(self) -> Any:
        return None if self._discrete else self.distribution

    @cached_property
    def components(self) -> Components | None:
        if not self._discrete:
            return None
        law, shift = self._unshifted
        values = np.unique(law.dist.xk) if hasattr(law.dist, "xk") else np.arange(law.ppf(1e-15), law.isf(1e-15) + 1)
        weight = law.pmf(values)
        if not abs(weight.sum() - 1) < 1e-9:
            raise InvalidInput("noise", "a discrete law on integers or with given values", repr(self))
        keep = weight > 0
        return _mixture(weight[keep] / weight.sum(), values[keep] + shift, np.zeros(int(keep.sum())))

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        return _frozen_moments(self.distribution)


def as_noise(noise: Any) -> NoiseLaw:
    """A noise law from a noise law, a frozen scipy.stats distribution, or None (no noise)."""
    if noise is None:
        return NoNoise()
    return noise if isinstance(noise, NoiseLaw) else ScipyNoise(noise)
