"""Covariance models of the features x. The named ones are scaled so that tr K = d.

A model is diagonal (`diagonal` is an array of shape (d,)) or full (`diagonal` is None and `matrix` is (d, d)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.backend import symmetric_eigenvalues
from hdlimit.core.declaration import Declaration, FloatArray
from hdlimit.errors import InvalidInput, NotAvailable, shown

# Range of the largest variance: the square of a risk stays within double precision.
SMALLEST_VARIANCE, LARGEST_VARIANCE = 1e-140, 1e140
# Eigenvalues from which a spectrum becomes a few hundred modes: below, every eigenvalue costs no more than these.
MANY = 4096
# Numbers of an array that is written down without being asked for: 0.8 GB.
MOST_NUMBERS = 10**8
# Default error of a compressed spectrum: a tenth of the default rtol of predict.
TOLERANCE = 1e-7


class Indexed(NamedTuple):
    """Nodes in ascending order and the error of Compression."""

    value: FloatArray
    mass: FloatArray
    error: float


class CovarianceModel(Declaration):
    """Base of the covariance models: a d x d symmetric positive semi-definite K, not zero."""

    @cached_property
    def diagonal(self) -> FloatArray | None:
        """The diagonal of a diagonal K, shape (d,); None when K is full."""
        return None

    @cached_property
    def matrix(self) -> FloatArray:
        """K as a dense matrix, shape (d, d)."""
        self._fits("matrix", self.dimension**2, 20 * MOST_NUMBERS)
        assert self.diagonal is not None
        return np.diag(self.diagonal)

    def _fits(self, name: str, numbers: int, most: int = MOST_NUMBERS) -> None:
        """Raise NotAvailable rather than fill the memory."""
        if numbers > most:
            raise NotAvailable(
                f"{name} of {self!r}: would be an array of {numbers:.3g} numbers, more than {most:g}; simulation "
                "needs it; predict, stability, steady_state and summary of a named diagonal covariance do not under "
                "the default target and start"
            )

    @property
    def nodes(self) -> Indexed | None:
        """nodes_within(1e-7)."""
        return self.nodes_within(TOLERANCE)

    def nodes_within(self, tolerance: float) -> Indexed | None:
        """Return nodes and masses that stand for the eigenvalues > 0 of a named diagonal model with many of them.

        Parameters
        ----------
        tolerance : float
            Largest error, as measured by hdlimit.problem.spectral_measure.Compression.

        Returns
        -------
        Indexed or None
            Nodes in ascending order; None for models with at most 4096 eigenvalues > 0 and for those that are not
            named diagonal ones.
        """
        return None

    @property
    def dimension(self) -> int:
        """d, the number of parameters."""
        return self.variances.size

    @property
    def variances(self) -> FloatArray:
        """K_ii, the variance of every feature, shape (d,)."""
        return self.diagonal if self.diagonal is not None else np.diagonal(self.matrix)

    @cached_property
    def eigenvalues(self) -> FloatArray:
        """Eigenvalues of K in ascending order, shape (d,), negative rounding errors set to 0."""
        if self.diagonal is not None:
            return np.sort(self.diagonal)
        values = symmetric_eigenvalues(self.matrix)
        return np.where(values > 1e-13 * values[-1] * values.size, values, 0.0)

    @property
    def trace(self) -> float:
        """Trace of K."""
        return float(self.variances.sum())

    @property
    def squares(self) -> float:
        """Trace of K^2."""
        if self.nodes is not None:
            return float(self.nodes.mass @ self.nodes.value**2)
        return float(self.eigenvalues @ self.eigenvalues)

    @property
    def counted(self) -> tuple[FloatArray, FloatArray]:
        """Values and how many eigenvalues each stands for: nodes of a named model of many, else every eigenvalue."""
        if self.nodes is not None:
            return self.nodes.value, self.nodes.mass
        return self.eigenvalues, np.ones(self.dimension)

    @property
    def smooth_dimension(self) -> float:
        """D = (tr K)^2/tr(K^2), between 1 and d: an effective dimension that, unlike tr(K)/norm(K), is smooth in K."""
        return self.trace**2 / self.squares

    @property
    def norm(self) -> float:
        """The largest eigenvalue of K."""
        return float(self.nodes.value[-1] if self.nodes is not None else self.eigenvalues[-1])

    @property
    def intrinsic_dimension(self) -> float:
        """tr(K)/norm(K), between 1 and d."""
        return self.trace / self.norm

    def apply(self, vector: FloatArray) -> FloatArray:
        """Multiply a vector of shape (d,) by K."""
        return self.diagonal * vector if self.diagonal is not None else self.matrix @ vector

    def rotated(self, seed: int = 0) -> Rotated:
        """Put the spectrum into a uniformly random orthonormal basis, which matters for sign features.

        Parameters
        ----------
        seed : int, default 0
            Seed of the basis, >= 0.

        Returns
        -------
        Rotated
            A full model with the same eigenvalues.
        """
        return Rotated(self, seed)

    def binned(self, blocks: int) -> Covariance:
        """Return a model close to this one with few distinct eigenvalues, for simulate(..., method="blocks").

        The nonzero eigenvalues are sorted into bins of equal ratio from the smallest to the largest, and those of a bin
        are replaced by their mean. Trace, dimension and rank are kept; an eigenvalue moves by a factor of at most
        (largest/smallest)^(1/blocks), so that norm(K) and the intrinsic dimension change a little. The result is
        diagonal, in descending order: the basis of a full model is given up.

        Parameters
        ----------
        blocks : int
            Number of bins, from 1 to d; empty ones give no block.

        Returns
        -------
        Covariance
            A diagonal model with at most `blocks` distinct eigenvalues > 0.

        Raises
        ------
        InvalidInput
            For another number of blocks.
        """
        if (bins := checks.count("blocks", blocks)) > self.dimension:
            raise InvalidInput("blocks", f"at most as many blocks as dimensions, {self.dimension}", bins)
        values = self.eigenvalues[::-1]
        positive = values[values > 0]
        share = np.log(positive / positive[0]) / min(np.log(positive[-1] / positive[0]), -1e-300)
        group = np.minimum((bins * share).astype(np.int64), bins - 1)
        means = np.bincount(group, positive) / np.maximum(np.bincount(group), 1)
        return Covariance(np.concatenate([means[group], values[positive.size :]]))


def _frozen(values: FloatArray) -> FloatArray:
    values.setflags(write=False)
    return values


@dataclass(frozen=True, eq=False, repr=False)
class Rotated(CovarianceModel):
    """Another model's spectrum in a uniformly random orthonormal basis.

    Parameters
    ----------
    base : CovarianceModel
        The model whose spectrum it has.
    seed : int, default 0
        Seed of the basis, >= 0.
    """

    base: CovarianceModel
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.base, CovarianceModel):
            raise InvalidInput("base", "a covariance model", shown(self.base))
        self._set(seed=checks.integer("seed", self.seed, 0))

    @cached_property
    def matrix(self) -> FloatArray:
        """K as a dense matrix, shape (d, d)."""
        d = self.base.dimension
        self._fits("matrix", d * d, 20 * MOST_NUMBERS)
        q, r = np.linalg.qr(np.random.default_rng(self.seed).standard_normal((d, d)))
        q *= np.sign(np.diagonal(r))
        k = (q * self.base.diagonal) @ q.T if self.base.diagonal is not None else q @ self.base.matrix @ q.T
        return _frozen((k + k.T) / 2)


@dataclass(frozen=True, eq=False, repr=False)
class Covariance(CovarianceModel):
    """A covariance as it is given, not rescaled.

    Parameters
    ----------
    K : array_like, shape (d, d) or (d,)
        A symmetric positive semi-definite matrix, or the diagonal of a diagonal one. Its largest variance is between
        1e-140 and 1e140. A matrix may miss symmetry and positivity by rounding in its own type of numbers.

    Raises
    ------
    InvalidInput
        For an array that is none of this.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.Covariance([4.0, 1.0, 1.0]).trace
    6.0
    """

    K: FloatArray

    def __post_init__(self) -> None:
        k = checks.array("K", self.K, None)
        if k.ndim not in (1, 2):
            raise InvalidInput("K", "an array of shape (d, d) or (d,)", f"shape {k.shape}")
        largest = float(np.abs(k).max())
        if not largest:
            raise InvalidInput("K", "a covariance that is not zero", "zeros only")
        if not SMALLEST_VARIANCE <= largest <= LARGEST_VARIANCE:
            expected = f"a largest variance from {SMALLEST_VARIANCE:g} to {LARGEST_VARIANCE:g}"
            raise InvalidInput("K", expected, f"{largest:g}")
        if k.ndim == 2:
            k = _symmetric(k, np.asarray(self.K).dtype)
        elif (k < 0).any():
            raise InvalidInput("K", "variances >= 0", f"a smallest variance of {k.min():g}")
        self._set(K=k)

    @cached_property
    def diagonal(self) -> FloatArray | None:
        """The diagonal of a diagonal K, shape (d,); None when K is full."""
        if self.K.ndim == 1:
            return self.K
        diagonal = np.diagonal(self.K)
        off_diagonal = np.count_nonzero(self.K) - np.count_nonzero(diagonal)
        return None if off_diagonal else diagonal.copy()

    @cached_property
    def matrix(self) -> FloatArray:
        """K as a dense matrix, shape (d, d)."""
        return self.K if self.K.ndim == 2 else np.diag(self.K)


def _symmetric(k: FloatArray, given: np.dtype[Any]) -> FloatArray:
    rounding = max(1e-10, 8 * float(np.finfo(given).eps)) if given.kind == "f" else 1e-10
    if k.shape[0] != k.shape[1]:
        raise InvalidInput("K", "a square matrix", f"shape {k.shape}")
    scale, skew = float(np.abs(k).max()), float(np.abs(k - k.T).max())
    if skew > rounding * scale:
        raise InvalidInput("K", "a symmetric matrix", f"entries that differ from their mirror image by {skew:.2g}")
    smallest = float(np.linalg.eigvalsh(k)[0])
    if smallest < -rounding * scale * k.shape[0]:
        raise InvalidInput("K", "a positive semi-definite matrix", f"an eigenvalue of {smallest:.3g}")
    return _frozen((k + k.T) / 2)
