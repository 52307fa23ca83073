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
from hdlimit.problem.covariance import MANY, MOST_NUMBERS, SMALLEST_VARIANCE, CovarianceModel, _frozen, _unit_trace
from hdlimit.problem.spectral_measure import Indexed


class NamedModel(CovarianceModel):
    """Base of the diagonal models that are known without a list of their d eigenvalues."""

    d: int

    @property
    def dimension(self) -> int:
        """d, the number of parameters."""
        return self.d

    @property
    def trace(self) -> float:
        """tr K = d."""
        return float(self.d)


@dataclass(frozen=True, eq=False, repr=False)
class Isotropic(NamedModel):
    """K = identity. d: number of parameters."""

    d: int

    def __post_init__(self) -> None:
        self._set(d=checks.count("d", self.d))

    @cached_property
    def diagonal(self) -> FloatArray:
        self._fits("diagonal", self.d)
        return _frozen(np.ones(self.d))

    def nodes_within(self, tolerance: float) -> Indexed | None:
        return Indexed(np.ones(1), np.full(1, float(self.d)), 0.0) if self.d > MANY else None


@dataclass(frozen=True, eq=False, repr=False)
class PowerLaw(NamedModel):
    """Diagonal K with lambda_i proportional to i^-exponent, tr K = d.

    d: number of parameters; exponent: >= 0 (0 is Isotropic). The limit is good up to exponents of about 0.5.
    """

    d: int
    exponent: float

    def __post_init__(self) -> None:
        self._set(d=checks.count("d", self.d), exponent=checks.non_negative("exponent", self.exponent))

    @cached_property
    def diagonal(self) -> FloatArray:
        self._fits("diagonal", self.d)
        return _unit_trace(np.arange(1, self.d + 1, dtype=np.float64) ** -self.exponent)

    def nodes_within(self, tolerance: float) -> Indexed | None:
        representable = self.exponent * math.log10(self.d) < -math.log10(SMALLEST_VARIANCE)
        return spectra.power_law(self.d, self.exponent, tolerance) if self.d > MANY and representable else None


@dataclass(frozen=True, eq=False, repr=False)
class MarchenkoPastur(NamedModel):
    """Diagonal K whose eigenvalues are the quantiles (i - 1/2)/d of the Marchenko-Pastur law, tr K = d.

    d: number of parameters; ratio: d/n > 0, the aspect ratio of the sample covariance it stands for (> 1: a fraction
    1 - 1/ratio of the eigenvalues is 0).
    """

    d: int
    ratio: float

    def __post_init__(self) -> None:
        self._set(d=checks.count("d", self.d), ratio=checks.positive("ratio", self.ratio))
        if self.ratio > 2 * self.d:
            raise InvalidInput("ratio", f"at most 2 d = {2 * self.d}, where one eigenvalue is left", f"{self.ratio:g}")

    @cached_property
    def diagonal(self) -> FloatArray:
        self._fits("diagonal", self.d)
        return _unit_trace(spectra.marchenko_pastur_quantiles((np.arange(self.d) + 0.5) / self.d, self.ratio))

    def nodes_within(self, tolerance: float) -> Indexed | None:
        many = self.d / max(self.ratio, 1.0) > MANY
        return spectra.marchenko_pastur(self.d, self.ratio, tolerance) if many else None


@dataclass(frozen=True, eq=False, repr=False)
class Wishart(CovarianceModel):
    """Full sample covariance K = S^(1/2) (Z^T Z / n) S^(1/2), Z an n x d standard normal matrix, scaled to tr K = d.

    d: number of parameters; ratio: d/n > 0 (> 1: K is singular); row_scales: diagonal of S, shape (d,), > 0, or None
    for ones (uneven scales give features of uneven variance); seed: of Z.
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
        n = max(round(self.d / self.ratio), 1)
        self._fits("matrix", self.d * max(n, self.d), 20 * MOST_NUMBERS)
        z = np.random.default_rng(self.seed).standard_normal((n, self.d))
        if self.row_scales is not None:
            z *= np.sqrt(self.row_scales)
        return _unit_trace(z.T @ z / n)
