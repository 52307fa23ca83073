"""Rows of data, and how far they are from what the theory takes them for: Gaussian features, independent noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.problem.least_squares import Rows


@dataclass(frozen=True)
class NonGaussianity:
    """Measured moments of rows beside their values for Gaussian x and independent eps.

    Attributes
    ----------
    rows : int
        n, the number of rows.
    norm_spread, norm_spread_gaussian : float
        sd/mean of norm(x)^2, and sqrt(2 tr K^2)/tr K.
    noise_norm_correlation : float
        corr(eps^2, norm(x)^2), 0 for independent noise.
    sign_deviation : float
        Frobenius distance, off the diagonal, of mean(sign(x) sign(x)^T) from A = (2/pi) arcsin(K_ij/sqrt(K_ii K_jj)),
        over the norm of A.
    sign_sampling_error : float
        The same for n Gaussian rows (root mean square).
    kurtosis : float
        Median over the features of mean(x^4)/mean(x^2)^2, 3 for Gaussian x.
    """

    rows: int
    norm_spread: float
    norm_spread_gaussian: float
    noise_norm_correlation: float
    sign_deviation: float
    sign_sampling_error: float
    kurtosis: float

    def __str__(self) -> str:
        correlation_error, kurtosis_error = 1 / math.sqrt(self.rows), math.sqrt(24 / self.rows)
        lines = [
            f"{f'{self.rows} rows':37}measured   Gaussian",
            f"spread of norm(x)^2, sd/mean         {self.norm_spread:8.3g}   {self.norm_spread_gaussian:.2g}",
            f"correlation of eps^2 and norm(x)^2   {self.noise_norm_correlation:8.3g}   0 +- {correlation_error:.2g}",
            f"sign covariance off the arcsine law  {self.sign_deviation:8.3g}   0 +- {self.sign_sampling_error:.2g}",
            f"kurtosis of a feature (median)       {self.kurtosis:8.3g}   3 +- {kurtosis_error:.2g}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class RowEffects:
    """Moments of rows, over their values for Gaussian x and independent eps; 1 where these hold.

    Attributes
    ----------
    square : float
        E norm(x)^4, to which the noise of SGD is proportional where the residual is not eps.
    noise : float
        E eps^2 norm(x)^2, to which it is proportional where the residual is eps; 1 for eps = 0.
    drift : float
        Mean of E|x_i|/sqrt(K_ii), the drift of sign features.
    norm_variance : float
        Var norm(x)/E norm(x)^2 less its Gaussian value; 0 for Gaussian x.
    """

    square: float
    noise: float
    drift: float
    norm_variance: float


def row_effects(rows: Rows) -> RowEffects:
    """Measure the moments through which rows that are not Gaussian act on optimizers.

    Parameters
    ----------
    rows : Rows
        Features and label noise of a problem from data.

    Returns
    -------
    RowEffects
        The moments, in O(n d) and, if d > n, O(n^2 d) operations.
    """
    x, eps = rows.x, rows.noise
    norm, n = np.sqrt(np.einsum("ij,ij->i", x, x)), x.shape[0]
    square, level = norm**2, float((norm**2).mean())
    gram = x @ x.T if x.shape[1] > n else x.T @ x
    gaussian = float((gram**2).sum()) / (n * level) ** 2  # tr(K^2)/(tr K)^2
    variance = float((eps**2).mean())
    deviation = np.sqrt((x**2).mean(axis=0))
    return RowEffects(
        square=float((square**2).mean()) / level**2 / (1 + 2 * gaussian),
        noise=float((eps**2 * square).mean()) / (variance * level) if variance > 0 else 1.0,
        drift=float((np.abs(x).mean(axis=0) / deviation).mean() * math.sqrt(math.pi / 2)),
        norm_variance=1 - float(norm.mean()) ** 2 / level - gaussian / 2,
    )


def non_gaussianity(problem: Any) -> NonGaussianity:
    """Compare the rows of a problem with Gaussian features of the same K and noise independent of them.

    SGD feels norm_spread (its noise term is E[r^2 x x^T]) and the correlation of eps^2 with norm(x)^2, signSGD the sign
    covariance. The sampling error of the latter counts that K itself is estimated from the rows: entry ij has variance
    [1 - A_ij^2 - (4/pi^2)(1 - rho_ij^2)]/n for Gaussian x with correlation rho_ij (delta method).

    Parameters
    ----------
    problem : Problem
        From Problem.from_data.

    Returns
    -------
    NonGaussianity
        Measured moments beside their Gaussian values.

    Raises
    ------
    InvalidInput
        For a problem without rows.
    """
    rows = getattr(problem, "rows", None)
    if not isinstance(rows, Rows):
        raise InvalidInput("problem", "a problem with rows, made by Problem.from_data", shown(problem))
    x, noise = rows.x, rows.noise
    square = np.einsum("ij,ij->i", x, x)
    k = x.T @ x / x.shape[0]
    deviation, sampling = _sign_deviation(rows, k)
    return NonGaussianity(
        rows=x.shape[0],
        norm_spread=float(square.std() / square.mean()),
        norm_spread_gaussian=math.sqrt(2) * float(np.linalg.norm(k)) / float(np.trace(k)),
        noise_norm_correlation=_correlation(noise**2, square),
        sign_deviation=deviation,
        sign_sampling_error=sampling,
        kurtosis=float(np.median(np.mean(x**4, axis=0) / np.diagonal(k) ** 2)),
    )


def lag_correlation(x: FloatArray) -> float:
    """Measure how far each row depends on the one before, as the size of their cross-covariance over that of K.

    It is norm(E u_k u_{k+1}^T)/norm(E u_k u_k^T) in Frobenius norms, with rows u_k of length 1, centred, and both
    squares estimated from pairs of different rows: 0 for independent rows, 1 for a delay line, rho for rows that keep a
    share rho of the one before (more where d > n).

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Centred rows, n >= 2.

    Returns
    -------
    float
        Between 0 and 1; 0 for fewer than 4 rows.
    """
    norm = np.sqrt(np.einsum("ij,ij->i", x, x))
    u = x / np.where(norm > 0, norm, 1.0)[:, None]
    u = u - u.mean(axis=0)
    before, after, square = u[:-1], u[1:], np.einsum("ij,ij->i", u, u)
    if x.shape[0] < 4:
        return 0.0
    if x.shape[1] > x.shape[0]:
        gram = u @ u.T
        crossed, own = float((gram[:-1, :-1] * gram[1:, 1:]).sum()), float((gram[:-1, :-1] ** 2).sum())
    else:
        crossed, own = float(((before.T @ after) ** 2).sum()), float(((before.T @ before) ** 2).sum())
    crossed, own = crossed - float(square[:-1] @ square[1:]), own - float(square[:-1] @ square[:-1])
    return math.sqrt(min(max(crossed, 0.0) / own, 1.0)) if own > 0 else 0.0


def _correlation(a: FloatArray, b: FloatArray) -> float:
    """Correlation of two samples, 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0


def _sign_deviation(rows: Rows, k: FloatArray) -> tuple[float, float]:
    deviation = np.sqrt(np.diagonal(k))
    rho = np.clip(k / np.outer(deviation, deviation), -1.0, 1.0)
    np.fill_diagonal(rho, 1.0)
    arcsine = 2 / np.pi * np.arcsin(rho)
    signs = np.sign(rows.x)
    n, scale = signs.shape[0], float(np.linalg.norm(arcsine))
    difference = signs.T @ signs / n - arcsine
    np.fill_diagonal(difference, 0.0)
    variance = 1 - arcsine**2 - 4 / np.pi**2 * (1 - rho**2)
    return float(np.linalg.norm(difference)) / scale, math.sqrt(max(float(variance.sum()), 0.0) / n) / scale
