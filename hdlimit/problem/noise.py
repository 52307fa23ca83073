"""Label-noise laws with one parameter or two: what the problem adds to <x, theta*>.

A law states its samples, its moments (inf where they are infinite), and one of two descriptions from which responses
are computed: `components`, when it is a finite mixture of normal laws (a point mass is a normal law of variance 0), or
`frozen`, a scipy.stats distribution with density, cdf and quantiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.problem.laplace_transform import laplace_transform, uniform_transform
from hdlimit.problem.noise_law import Components, NoiseLaw, Transform, _mixture
from hdlimit.problem.normal_mixtures import laplace_components, student_components
from hdlimit.problem.scipy_noise import ScipyNoise


@dataclass(frozen=True, eq=False, repr=False)
class NoNoise(NoiseLaw):
    """No label noise: eps = 0.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Problem(hd.Isotropic(100)).noise == hd.NoNoise()
    True
    """

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        return np.zeros(size)

    @property
    def components(self) -> Components:
        """The law as a finite mixture of normal laws."""
        return _mixture(1, 0, 0)


@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(NoiseLaw):
    """Normal noise, eps ~ N(0, std^2).

    Parameters
    ----------
    std : float
        Standard deviation > 0, in the units of y.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Gaussian(0.5).variance
    0.25
    """

    std: float

    def __post_init__(self) -> None:
        self._set(std=checks.scale("std", self.std))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        return self.std * generator.standard_normal(size)

    @property
    def components(self) -> Components:
        """The law as a finite mixture of normal laws."""
        return _mixture(1, 0, self.std**2)


@dataclass(frozen=True, eq=False, repr=False)
class StudentT(NoiseLaw):
    """Student-t noise, eps = scale * t_df.

    The variance is infinite for df <= 2, E eps^4 for df <= 4.

    Parameters
    ----------
    df : float
        Degrees of freedom > 0, not only integers.
    scale : float
        Scale > 0, in the units of y.

    Notes
    -----
    E eps^2 = scale^2 df/(df - 2). SGD without clipping has no limit for df <= 2, clipped SGD and signSGD have one.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.StudentT(df=4, scale=0.5).variance, hd.StudentT(df=2, scale=0.5).variance
    (0.5, inf)
    """

    scale_mixture: ClassVar[bool] = True

    df: float
    scale: float

    def __post_init__(self) -> None:
        self._set(df=checks.positive("df", self.df), scale=checks.scale("scale", self.scale))

    def mixture(self, reach: float) -> Components:
        """Return a quadrature over the scale of a normal law, right for |eps| up to `reach`."""
        return student_components(self.df, self.scale, reach if math.isfinite(reach) else self.scale)

    @property
    def closed_form(self) -> tuple[str, FloatArray] | None:
        """The key of the closed forms for df = 1 and 3, and their parameters."""
        return (f"student{self.df:g}", np.array([self.scale])) if self.df in (1.0, 3.0) else None

    def information_reach(self, s: float) -> float:
        """|r| beyond which the law adds less than 1e-17 to the Fisher information."""
        # p_r score^2 falls like r^-(df + 3)
        return 14 * s + self.scale * math.sqrt(self.df + 3) * (14 + math.exp(39 / (self.df + 2)))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        return self.scale * generator.standard_t(self.df, size)

    @cached_property
    def frozen(self) -> Any:
        """The law as a frozen scipy.stats distribution."""
        from scipy import stats

        return stats.t(self.df, scale=self.scale)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """(E eps, E eps^2, E eps^4)."""
        df, s2 = self.df, self.scale**2
        second = s2 * df / (df - 2) if df > 2 else math.inf
        fourth = s2**2 * 3 * df**2 / ((df - 2) * (df - 4)) if df > 4 else math.inf
        return (0.0 if df > 1 else math.nan), second, fourth

    @cached_property
    def width(self) -> float:
        """The scale, which always exists."""
        return self.scale


@dataclass(frozen=True, eq=False, repr=False)
class Laplace(NoiseLaw):
    """Laplace noise with density exp(-|eps|/scale)/(2 scale); variance 2 scale^2.

    Parameters
    ----------
    scale : float
        Scale > 0, in the units of y.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Laplace(0.5).variance
    0.5
    """

    scale_mixture: ClassVar[bool] = True

    scale: float

    def __post_init__(self) -> None:
        self._set(scale=checks.scale("scale", self.scale))

    def mixture(self, reach: float) -> Components:
        """Return a quadrature over the scale of a normal law, right for |eps| up to `reach`."""
        return laplace_components(self.scale)

    def laplace_transform(self, v: float) -> Transform:
        """E exp(-q r^2) in closed form."""
        return laplace_transform(v, self.scale)

    @property
    def closed_form(self) -> tuple[str, FloatArray]:
        """The key of the closed forms, and their parameters."""
        return "laplace", np.array([self.scale])

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        return generator.laplace(0.0, self.scale, size)

    @cached_property
    def frozen(self) -> Any:
        """The law as a frozen scipy.stats distribution."""
        from scipy import stats

        return stats.laplace(scale=self.scale)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """(E eps, E eps^2, E eps^4)."""
        return 0.0, 2 * self.scale**2, 24 * self.scale**4


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(NoiseLaw):
    """Uniform noise on [-half_width, half_width]; variance half_width^2/3.

    Parameters
    ----------
    half_width : float
        Half the width > 0, in the units of y.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Uniform(3.0).variance
    3.0
    """

    half_width: float

    def __post_init__(self) -> None:
        self._set(half_width=checks.scale("half_width", self.half_width))

    def laplace_transform(self, v: float) -> Transform:
        """E exp(-q r^2) in closed form."""
        return uniform_transform(v, self.half_width)

    @property
    def closed_form(self) -> tuple[str, FloatArray]:
        """The key of the closed forms, and their parameters."""
        return "uniform", np.array([self.half_width])

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        return generator.uniform(-self.half_width, self.half_width, size)

    @cached_property
    def frozen(self) -> Any:
        """The law as a frozen scipy.stats distribution."""
        from scipy import stats

        return stats.uniform(-self.half_width, 2 * self.half_width)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """(E eps, E eps^2, E eps^4)."""
        return 0.0, self.half_width**2 / 3, self.half_width**4 / 5


@dataclass(frozen=True, eq=False, repr=False)
class Rademacher(NoiseLaw):
    """Two-point noise, eps = +scale or -scale with probability 1/2 each; variance scale^2.

    Parameters
    ----------
    scale : float
        Scale > 0, in the units of y.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Rademacher(0.5).variance
    0.25
    """

    scale: float

    def __post_init__(self) -> None:
        self._set(scale=checks.scale("scale", self.scale))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        signs: FloatArray = 2.0 * generator.integers(0, 2, size).astype(np.float64) - 1.0
        return self.scale * signs

    @property
    def components(self) -> Components:
        """The law as a finite mixture of normal laws."""
        return _mixture([0.5, 0.5], [-self.scale, self.scale], [0, 0])


def as_noise(noise: Any) -> NoiseLaw:
    """Return the noise law that an argument stands for.

    Parameters
    ----------
    noise : NoiseLaw, frozen scipy.stats distribution or None
        None stands for no noise.

    Returns
    -------
    NoiseLaw
        The law itself, or the distribution as one.

    Raises
    ------
    InvalidInput
        For anything else.
    """
    if noise is None:
        return NoNoise()
    return noise if isinstance(noise, NoiseLaw) else ScipyNoise(noise)
