"""Covariances given by a few numbers, whose spectra need not be written down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem import spectra
from hdlimit.problem.covariance import MANY, MOST_NUMBERS, SMALLEST_VARIANCE, CovarianceModel, Indexed, _frozen


def _unit_trace(values: FloatArray) -> FloatArray:
    return _frozen(values * (values.shape[0] / (values.sum() if values.ndim == 1 else np.trace(values))))


class NamedModel(CovarianceModel):
    """Base of the diagonal models that are known without a list of their d eigenvalues."""

    d: int

    @property
    def dimension(self) -> int:
        """d, the number of parameters."""
        return self.d

    @property
    def trace(self) -> float:
        """Trace of K, which is d."""
        return float(self.d)


@dataclass(frozen=True, eq=False, repr=False)
class Isotropic(NamedModel):
    """The identity, K = I.

    Parameters
    ----------
    d : int
        Number of parameters.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Isotropic(100).intrinsic_dimension
    100.0
    """

    d: int

    def __post_init__(self) -> None:
        self._set(d=checks.count("d", self.d))

    @cached_property
    def diagonal(self) -> FloatArray:
        """The diagonal of K, shape (d,)."""
        self._fits("diagonal", self.d)
        return _frozen(np.ones(self.d))

    def nodes_within(self, tolerance: float) -> Indexed | None:
        """Return nodes and masses in place of more than 4096 eigenvalues > 0, else None.

        Parameters
        ----------
        tolerance : float
            Largest error, as measured by hdlimit.problem.spectral_measure.Compression.

        Returns
        -------
        Indexed or None
            Nodes in ascending order.
        """
        return Indexed(np.ones(1), np.full(1, float(self.d)), 0.0) if self.d > MANY else None


@dataclass(frozen=True, eq=False, repr=False)
class PowerLaw(NamedModel):
    """A diagonal covariance with eigenvalues lambda_i proportional to i^-exponent and tr K = d.

    Parameters
    ----------
    d : int
        Number of parameters. The eigenvalues are not written down where more than 4096 of them are asked for.
    exponent : float
        At least 0; 0 is `Isotropic`.

    Notes
    -----
    The limit is good where the intrinsic dimension tr K/norm(K) is large: up to exponents of about 0.5.

    Examples
    --------
    >>> import hdlimit as hd
    >>> round(hd.PowerLaw(1000, exponent=0.5).intrinsic_dimension, 1)
    61.8
    """

    d: int
    exponent: float

    def __post_init__(self) -> None:
        self._set(d=checks.count("d", self.d), exponent=checks.non_negative("exponent", self.exponent))

    @cached_property
    def diagonal(self) -> FloatArray:
        """The diagonal of K, shape (d,)."""
        self._fits("diagonal", self.d)
        return _unit_trace(np.arange(1, self.d + 1, dtype=np.float64) ** -self.exponent)

    def nodes_within(self, tolerance: float) -> Indexed | None:
        """Return nodes and masses in place of more than 4096 eigenvalues > 0, else None.

        Parameters
        ----------
        tolerance : float
            Largest error, as measured by hdlimit.problem.spectral_measure.Compression.

        Returns
        -------
        Indexed or None
            Nodes in ascending order.
        """
        representable = self.exponent * math.log10(self.d) < -math.log10(SMALLEST_VARIANCE)
        return spectra.power_law(self.d, self.exponent, tolerance) if self.d > MANY and representable else None


@dataclass(frozen=True, eq=False, repr=False)
class MarchenkoPastur(NamedModel):
    """A diagonal covariance whose eigenvalues are quantiles of the Marchenko-Pastur law, with tr K = d.

    Parameters
    ----------
    d : int
        Number of parameters.
    ratio : float
        d/n > 0, the aspect ratio of the sample covariance that it stands for. Above 1 a share 1 - 1/ratio of the
        eigenvalues is 0.

    Notes
    -----
    The quantiles are those at (i - 1/2)/d, i = 1, ..., d.

    References
    ----------
    .. [1] V. A. Marchenko and L. A. Pastur, "Distribution of eigenvalues for some sets of random matrices", 1967.

    Examples
    --------
    >>> import hdlimit as hd
    >>> round(hd.MarchenkoPastur(400, ratio=0.5).norm, 2)
    2.87
    """

    d: int
    ratio: float

    def __post_init__(self) -> None:
        self._set(d=checks.count("d", self.d), ratio=checks.positive("ratio", self.ratio))
        if self.ratio > 2 * self.d:
            raise InvalidInput("ratio", f"at most 2 d = {2 * self.d}, where one eigenvalue is left", f"{self.ratio:g}")

    @cached_property
    def diagonal(self) -> FloatArray:
        """The diagonal of K, shape (d,)."""
        self._fits("diagonal", self.d)
        return _unit_trace(spectra.marchenko_pastur_quantiles((np.arange(self.d) + 0.5) / self.d, self.ratio))

    def nodes_within(self, tolerance: float) -> Indexed | None:
        """Return nodes and masses in place of more than 4096 eigenvalues > 0, else None.

        Parameters
        ----------
        tolerance : float
            Largest error, as measured by hdlimit.problem.spectral_measure.Compression.

        Returns
        -------
        Indexed or None
            Nodes in ascending order.
        """
        many = self.d / max(self.ratio, 1.0) > MANY
        return spectra.marchenko_pastur(self.d, self.ratio, tolerance) if many else None


@dataclass(frozen=True, eq=False, repr=False)
class Wishart(CovarianceModel):
    """A full sample covariance K = S^(1/2) (Z^T Z/n) S^(1/2), scaled to tr K = d.

    Parameters
    ----------
    d : int
        Number of parameters.
    ratio : float
        d/n > 0; above 1 K is singular.
    row_scales : array_like, shape (d,), optional
        The diagonal of S, numbers > 0; ones by default. Uneven scales give features of uneven variance.
    seed : int
        Of Z, an n x d matrix of independent standard normal numbers.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Wishart(50, ratio=0.5, seed=1).matrix.shape
    (50, 50)
    """

    d: int
    ratio: float
    row_scales: FloatArray | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._set(
            d=checks.count("d", self.d),
            ratio=checks.positive("ratio", self.ratio),
            seed=checks.integer("seed", self.seed, 0),
        )
        if self.d / self.ratio > checks.MOST:
            raise InvalidInput("ratio", f"d/n with at most n = {checks.MOST:g} rows", f"{self.ratio:g}")
        if self.row_scales is not None:
            scales = checks.array("row_scales", self.row_scales, 1, (self.d,))
            if (scales <= 0).any():
                raise InvalidInput("row_scales", "numbers > 0", f"a smallest value of {scales.min():g}")
            self._set(row_scales=scales)

    @cached_property
    def matrix(self) -> FloatArray:
        """K as a dense matrix, shape (d, d)."""
        n = max(round(self.d / self.ratio), 1)
        self._fits("matrix", self.d * max(n, self.d), 20 * MOST_NUMBERS)
        z = np.random.default_rng(self.seed).standard_normal((n, self.d))
        if self.row_scales is not None:
            z *= np.sqrt(self.row_scales)
        return _unit_trace(z.T @ z / n)
