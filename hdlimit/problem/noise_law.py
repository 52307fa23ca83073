"""What a label-noise law is: how it is sampled, its moments, and the descriptions from which responses are computed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdlimit.core import checks
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem.density import Moments, moments_of_density

ComplexArray = NDArray[np.complex128]
Points = ComplexArray | FloatArray


class Components(NamedTuple):
    """A finite mixture of normal laws.

    Attributes
    ----------
    weight, mean, variance : ndarray, shape (k,)
        Probabilities, means and variances; a variance of 0 is a point mass.
    """

    weight: FloatArray
    mean: FloatArray
    variance: FloatArray


class Transform(NamedTuple):
    """The Laplace transform of r^2 at real or complex q.

    Attributes
    ----------
    value, deficit : callable
        q -> L(q) and q -> 1 - L(q), both to full precision.
    typical : float
        A typical size of r^2.
    """

    value: Callable[[Points], Points]
    deficit: Callable[[Points], Points]
    typical: float


# Error of the total mass up to which a sum is trusted: that of the quadrature of responses.
LARGEST_MASS_ERROR = 1e-9
# Relative difference of a sum and of SciPy's value up to which they agree; sums were right to 1e-9 for 100 of its laws.
AGREEMENT = 1e-6


class NoiseLaw(Declaration):
    """Base of the label-noise laws. Noise is in the units of y; scales are from 1e-70 to 1e70.

    A new law is a frozen dataclass with `sample`, `frozen` (or `components`) and, where SciPy's are slow or wrong,
    `moments`. What else it knows of itself (`mixture`, `laplace_transform`, `closed_form`) makes its responses faster.

    Attributes
    ----------
    scale_mixture : bool
        Whether `mixture` is a quadrature over the scale of a normal law: hundreds of terms, smooth in v.
    """

    scale_mixture: ClassVar[bool] = False

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw independent values.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of the random numbers.
        size : int
            Number of values.

        Returns
        -------
        ndarray, shape (size,)
            Values in the units of y.
        """
        raise NotImplementedError

    @property
    def components(self) -> Components | None:
        """The law as a finite mixture of normal laws, or None."""
        return None

    def mixture(self, reach: float) -> Components | None:
        """Return the law as a finite mixture of normal laws that is right for every v.

        Parameters
        ----------
        reach : float
            The |eps| up to which the mixture has to be right, inf allowed.

        Returns
        -------
        Components or None
            None where the law is no such mixture.
        """
        return self.components

    def laplace_transform(self, v: float) -> Transform | None:
        """E exp(-q r^2) for r = z - eps, z ~ N(0, v), where it is known in closed form.

        Parameters
        ----------
        v : float
            E z^2 > 0, in the units of y^2.

        Returns
        -------
        Transform or None
            None where it is not known.
        """
        return None

    @property
    def closed_form(self) -> tuple[str, FloatArray] | None:
        """The key under which a residual map lists its closed form for this law, and the form's parameters; or None."""
        return None

    def information_reach(self, s: float) -> float:
        """|r| beyond which the law adds less than 1e-17 to the Fisher information of r = z - eps.

        Parameters
        ----------
        s : float
            Standard deviation of z, > 0.

        Returns
        -------
        float
            In the units of y; inf by default.
        """
        return math.inf

    @cached_property
    def frozen(self) -> Any:
        """The law as a frozen scipy.stats distribution, or None for a law with atoms."""
        return None

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """(E eps, E eps^2, E eps^4), inf where infinite; the mean is nan where it does not exist."""
        parts = self.components
        if parts is None:
            return settled(repr(self), self.frozen, moments_of_density(self))
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

    @property
    def scale_squared(self) -> float:
        """E eps^2, or the squared width where that is infinite: the size of eps^2 that always exists."""
        return self.second_moment if math.isfinite(self.second_moment) else self.width**2

    @cached_property
    def width(self) -> float:
        """A scale of |eps| that always exists (the root mean square of the components, or the median of |eps|)."""
        if self.components is not None:
            return math.sqrt(self.second_moment)
        lower, median, upper = (float(self.frozen.ppf(q)) for q in (0.25, 0.5, 0.75))
        return max(upper - lower, abs(median)) / 2 if upper > lower else abs(median)


def settled(name: str, law: Any, found: Moments) -> tuple[float, float, float]:
    """Settle what SciPy states of a law and what a sum finds.

    Parameters
    ----------
    name : str
        The law, for the message.
    law : frozen scipy.stats distribution
        SciPy's, or one of the user's.
    found : Moments
        The sum's.

    Returns
    -------
    (mean, second, fourth) : tuple of float
        SciPy's value where the sum confirms it or does not tell, else the sum's where its mass is 1 to 1e-9.

    Raises
    ------
    InvalidInput
        Where neither can be trusted.
    """
    error = abs(found.mass - 1)
    trusted = error <= LARGEST_MASS_ERROR
    stated = Moments(math.nan, math.nan, math.nan) if _is_integrated(law) else _stated(law)
    scale = math.sqrt(found.second) if math.isfinite(found.second) else abs(found.mean)
    result = []
    for k, label in enumerate(("E eps", "E eps^2", "E eps^4")):
        mine, theirs = found[k], stated[k]
        near = (AGREEMENT + min(error, 1e-3)) * (abs(mine) if k else scale)
        agree = mine == theirs or (math.isfinite(mine) and abs(mine - theirs) <= near)
        if agree or (k == 0 and math.isnan(mine) and math.isnan(theirs)):
            result.append(theirs)
        elif trusted and (k == 0 or not math.isnan(mine)):
            result.append(mine)
        elif theirs == math.inf or (trusted and k > 0 and theirs >= result[-1] ** 2):
            result.append(theirs)  # the sum does not tell; Jensen's inequality holds
        else:
            has = "has no formula" if math.isnan(theirs) else f"has {label} = {theirs:g}"
            sums = f"sum to {found.mass:.9g} in place of 1, {label} to {mine:.6g}"
            got = f"{name:.120}: SciPy {has}, its density or probabilities {sums}"
            raise InvalidInput("noise", "a law with known moments", got)
    mean, second, fourth = result
    return mean, second, fourth


def _is_integrated(law: Any) -> bool:
    """Whether SciPy has no formula for the moments and would integrate, with less care."""
    from scipy import stats

    base, own = stats.rv_continuous, type(law.dist)
    return own._stats is base._stats and own._munp is base._munp


def _stated(law: Any) -> Moments:
    """Return the moments that SciPy states; nan where it fails, and inf for it and what follows where it has nan."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mean, variance, skewness, kurtosis = (float(m) for m in law.stats(moments="mvsk"))
    except Exception:  # what a distribution of the user's raises may be anything
        return Moments(math.nan, math.nan, math.nan)
    if not math.isfinite(variance):
        return Moments(mean, math.inf, math.inf)
    second = variance + mean**2
    if not (math.isfinite(skewness) and math.isfinite(kurtosis)):
        return Moments(mean, second, math.inf)
    fourth = (kurtosis + 3) * variance**2 + 4 * skewness * variance**1.5 * mean + 6 * mean**2 * variance + mean**4
    return Moments(mean, second, fourth)


def _in_range(argument: str, values: FloatArray) -> FloatArray:
    largest = float(np.abs(values).max())
    if largest > checks.LARGEST_SCALE:
        raise InvalidInput(argument, f"values up to {checks.LARGEST_SCALE:g} in size", f"{largest:g}")
    return values


def _mixture(weight: Any, mean: Any, variance: Any) -> Components:
    return Components(*(np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (weight, mean, variance)))
