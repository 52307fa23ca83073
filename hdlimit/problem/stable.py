"""Symmetric stable noise as a mixture of normal laws over its random scale.

eps = scale sqrt(2 A) N with N normal and A > 0 stable of index a = alpha/2, E exp(-q A) = exp(-q^a). The density of
w = a/(1 - a) log A comes from E A^s = Gamma(1 - s/a)/Gamma(1 - s): by Fourier inversion in the bulk, as the sum of the
residues at s = a k in the tail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem.noise_law import Components, NoiseLaw, _mixture
from hdlimit.problem.normal_mixtures import WIDEST

# Range of alpha below 2: the mixture needs 1300 normal laws at either end, and grows beyond.
SMALLEST, LARGEST = 0.3, 1.999
# Distance from the mode's lower end, in units of w, from which residues are summed; below, the density is inverted.
TAIL = 8.0
# Step in w at the mode and in log A beyond: exp(-pi^2/step) is the error of the trapezoid rule.
STEP, STEP_OF_LOG = 0.06, 0.2
# Distance in w over which the step grows in proportion: 4 e^-37 is left of the tail at its end.
STRETCH = 8.0


def _log_scale_density(a: float, low: float, x: FloatArray) -> FloatArray:
    """Return the density of w = a/(1 - a) log A at low + x, where low is about the least w that A takes."""
    from scipy.special import gammaln, loggamma

    result = np.empty(x.size)
    bulk, shift = x < TAIL, 0.5
    tau = np.arange(-30.0, 30.0, 2 * math.pi / 120)
    z = (1j * tau - shift) / (1 - a)
    transform = np.exp(loggamma(1 - z) - loggamma(1 - a * z) + shift * low - 1j * tau * low)
    waves = np.exp(x[bulk, None] * (shift - 1j * tau))
    result[bulk] = (waves @ transform).real * (tau[1] - tau[0]) / (2 * math.pi)
    k = np.arange(1, math.ceil(6 / (1 - a)) + 10)
    size = np.exp(gammaln(a * k + 1) - gammaln(k + 1) - (1 - a) * k * (low + x[~bulk, None]))
    result[~bulk] = size @ np.sin(math.pi * k * (1 - a)) * (1 - a) / (a * math.pi)
    return np.maximum(result, 0.0)


@lru_cache(maxsize=256)
def stable_components(alpha: float, scale: float, reach: float) -> Components:
    """Symmetric stable noise as a finite mixture of normal laws.

    Parameters
    ----------
    alpha, scale : float
        Index below 2, and scale of the noise.
    reach : float
        The |eps| up to which the mixture has to be right.

    Returns
    -------
    Components
        Read-only.
    """
    a = alpha / 2
    b = (1 - a) / a
    low = math.log(1 - a) + a / (1 - a) * math.log(a)
    farthest = (37 / a + 2 * math.log(max(reach / scale, 1.0))) / b - low
    stretch, step = (STRETCH, STEP) if b <= 1 else (30 * b, STEP_OF_LOG / b)
    s = np.arange(-stretch * math.asinh(4.5 / stretch), stretch * math.asinh(farthest / stretch) + step, step)
    x = stretch * np.sinh(s / stretch)
    weight = _log_scale_density(a, low, x) * np.cosh(s / stretch)
    keep = weight > 0
    parts = Components(
        weight[keep] / weight.sum(),
        np.zeros(int(keep.sum())),
        2 * scale**2 * np.exp(np.minimum(b * (low + x[keep]), 2 * WIDEST)),
    )
    for values in parts:
        values.setflags(write=False)
    return parts


@dataclass(frozen=True)
class _Mixed:
    """The distribution function, density and quantiles of a mixture of centred normal laws, as SciPy names them."""

    alpha: float
    scale: float

    def _parts(self, x: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
        x = np.asarray(x, dtype=np.float64)
        farthest = float(np.abs(x[np.isfinite(x)]).max(initial=self.scale))
        reach = self.scale * 4.0 ** math.ceil(math.log(farthest / self.scale, 4))
        parts = stable_components(self.alpha, self.scale, reach)
        return x, parts.weight, np.sqrt(parts.variance)

    def _summed(self, f: Any, x: Any) -> FloatArray:
        x, weight, spread = self._parts(x)
        blocks = np.array_split(x.ravel(), max(x.size // 2000, 1))
        return np.concatenate([f(block[:, None] / spread, spread) @ weight for block in blocks]).reshape(x.shape)

    def pdf(self, x: Any) -> FloatArray:
        """Return the density."""
        return self._summed(lambda z, s: np.exp(-z * z / 2) / (s * math.sqrt(2 * math.pi)), x)

    def logpdf(self, x: Any) -> FloatArray:
        """Return the logarithm of the density."""
        with np.errstate(divide="ignore"):
            return np.log(self.pdf(x))

    def cdf(self, x: Any) -> FloatArray:
        """Return P(eps <= x)."""
        from scipy.special import ndtr

        return self._summed(lambda z, s: ndtr(z), x)

    def sf(self, x: Any) -> FloatArray:
        """Return P(eps > x)."""
        return self.cdf(-np.asarray(x, dtype=np.float64))

    def ppf(self, q: Any) -> FloatArray:
        """Return the q-quantiles."""
        from scipy.optimize import brentq

        def quantile(q: float) -> float:
            if not 0 < q < 1:
                return math.copysign(math.inf, q - 0.5)
            if q == 0.5:
                return 0.0
            p = min(q, 1 - q)
            y = brentq(lambda y: math.log(float(self.sf(self.scale * math.exp(y))) / p), -40.0, 60 / self.alpha)
            return math.copysign(self.scale * math.exp(y), q - 0.5)

        found: FloatArray = np.vectorize(quantile, otypes=[np.float64])(q)
        return found

    def isf(self, q: Any) -> FloatArray:
        """Return the quantiles from above."""
        return -self.ppf(q)

    def median(self) -> float:
        """Return the median."""
        return 0.0

    def support(self) -> tuple[float, float]:
        """Return the ends of the support."""
        return -math.inf, math.inf


@dataclass(frozen=True, eq=False, repr=False)
class SymmetricStable(NoiseLaw):
    """Symmetric alpha-stable noise: E exp(i t eps) = exp(-|scale t|^alpha).

    Its variance is infinite for alpha < 2.

    Parameters
    ----------
    alpha : float
        Index, from 0.3 to 1.999, or 2.
    scale : float
        Scale > 0, in the units of y.

    Notes
    -----
    alpha = 1 is Cauchy noise of this scale, StudentT(df=1), and alpha = 2 is Gaussian noise of variance 2 scale^2. The
    responses are sums over a mixture of normal laws; SciPy's density is off by 4e-3.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.SymmetricStable(alpha=1.5, scale=0.5).variance, round(hd.SymmetricStable(alpha=2, scale=0.5).variance, 12)
    (inf, 0.5)
    """

    scale_mixture: ClassVar[bool] = True

    alpha: float
    scale: float

    def __post_init__(self) -> None:
        alpha = checks.number("alpha", self.alpha, expected := f"2, or a number from {SMALLEST:g} to {LARGEST:g}")
        if alpha != 2 and not SMALLEST <= alpha <= LARGEST:
            raise InvalidInput("alpha", expected, f"{alpha:g}")
        self._set(alpha=alpha, scale=checks.scale("scale", self.scale))

    @property
    def components(self) -> Components | None:
        """One normal law for alpha = 2, None below."""
        return _mixture(1, 0, 2 * self.scale**2) if self.alpha == 2 else None

    def mixture(self, reach: float) -> Components:
        """Return a quadrature over the scale of a normal law, right for |eps| up to `reach`; one a power of 4."""
        times = math.ceil(math.log(max(reach / self.scale, 1.0), 4)) if math.isfinite(reach) else 0
        return self.components or stable_components(self.alpha, self.scale, self.scale * 4.0**times)

    def information_reach(self, s: float) -> float:
        """|r| beyond which the law adds less than 1e-17 to the Fisher information."""
        # p_r score^2 falls like r^-(alpha + 3)
        return 14 * s + self.scale * math.sqrt(self.alpha + 3) * (14 + math.exp(39 / (self.alpha + 2)))

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,), by the method of Chambers, Mallows and Stuck."""
        angle = generator.uniform(-math.pi / 2, math.pi / 2, size)
        rest = np.cos((1 - self.alpha) * angle) / generator.standard_exponential(size)
        rest = rest ** ((1 - self.alpha) / self.alpha)
        drawn: FloatArray = self.scale * np.sin(self.alpha * angle) / np.cos(angle) ** (1 / self.alpha) * rest
        return drawn

    @cached_property
    def frozen(self) -> Any:
        """The law by its density, distribution function and quantiles; None for alpha = 2."""
        return None if self.alpha == 2 else _Mixed(self.alpha, self.scale)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """(E eps, E eps^2, E eps^4)."""
        if self.alpha == 2:
            return 0.0, 2 * self.scale**2, 12 * self.scale**4
        return (0.0 if self.alpha > 1 else math.nan), math.inf, math.inf

    @cached_property
    def width(self) -> float:
        """The scale, or the standard deviation for alpha = 2."""
        return self.scale * (math.sqrt(2) if self.alpha == 2 else 1.0)
