"""Problems from data: K, theta* and the label noise estimated from rows, and the reading of data files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.errors import InvalidInput, ValidityWarning, shown, warn
from hdlimit.problem.covariance import LARGEST_VARIANCE, MOST_NUMBERS, SMALLEST_VARIANCE, Covariance
from hdlimit.problem.empirical import Empirical
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.row_moments import lag_correlation

# Half a range over a size below which a column counts as constant: rounding of its values.
ROUNDING = 8 * float(np.finfo(np.float64).eps)
# Share of tr K that the mean of the rows may have before uncentred rows are told; chosen.
LARGEST_MEAN_SHARE = 0.05
# Lag-1 correlation of rows from which it is told, chosen; its square times n below which it is chance: above 20 with
# probability 5e-6 for independent rows in one dimension (chi^2 of one degree), less in more.
LARGEST_DEPENDENCE, CHANCE = 0.2, 20.0
# Ridges tried by cross-validation, in units of norm(K): 6 a decade.
RIDGE_GRID = np.geomspace(1e-8, 1e2, 61)


class Estimate(NamedTuple):
    """A problem estimated from rows: K, the law of the residuals, theta*, and the rows as they are streamed."""

    covariance: Covariance
    noise: Empirical
    target: FloatArray
    rows: Rows


@known_names
def from_data(
    X: Any,
    y: Any,
    *,
    intercept: bool = True,
    scale: bool = False,
    ridge: float | str | None = None,
    columns: Sequence[str] | None = None,
) -> Estimate:
    """Estimate a problem whose population is the given rows: streaming them with replacement has exactly this K.

    Columns that are constant (with intercept=False: zero) are dropped and named in rows.dropped. A constant y (with
    intercept=False: a y of zeros) is refused, because nothing is left to learn.

    Parameters
    ----------
    X : array_like or data frame, shape (n, d0)
        Features, n >= 2.
    y : array_like, shape (n,) or (n, 1)
        Labels. Where X and y have an index, as data frames do, it has to be the same.
    intercept : bool, default True
        Subtract the means of X and y, as fitting an intercept does. False: both are used as they are.
    scale : bool, default False
        Multiply X by one factor, so that tr K = d.
    ridge : float or "cv", optional
        A number >= 0 (in units of the eigenvalues of K, after scaling), or "cv": the value between 1e-8 and 100 times
        norm(K) with the smallest leave-one-out error (closed form, the intercept refitted).
    columns : sequence of str, optional
        d0 names; None: those of a data frame, or x0, x1, ...

    Returns
    -------
    Estimate
        K, the law of the residuals, theta* and the rows.

    Raises
    ------
    InvalidInput
        For wrong shapes, text, NaN or inf, and values whose variances leave [1e-140, 1e140].

    Warns
    -----
    ValidityWarning
        With intercept=False when norm(mean x)^2 is above 5 % of tr K, because the theory takes x as centred. When the
        fit uses more than half of the rows' degrees of freedom: the residuals then have less than half of the noise
        variance that unseen rows would show; nothing is rescaled for it. When rows that follow each other are
        correlated (`hdlimit.problem.row_moments.lag_correlation`).

    Notes
    -----
        K = X^T X / n,   theta* = the least-squares solution,   eps = y - X theta*

    theta* comes from the singular values of X above max(n, d) * 2.2e-16 times the largest (minimum norm where X is
    rank deficient), or minimizes mean((y - X theta)^2) + ridge * norm(theta)^2. The noise law is that of the n
    residuals, which are uncorrelated with x on these rows but not independent of it:
    hdlimit.problem.row_moments.non_gaussianity measures what the assumptions of the theory miss. With ridge they are
    correlated with x too, E[x eps] = ridge * theta*, and theta* is not the minimizer that streamed rows approach.
    """
    for name, flag in (("intercept", intercept), ("scale", scale)):
        if not isinstance(flag, bool | np.bool_):
            raise InvalidInput(name, "True or False", shown(flag))
    names = _names(X, columns)
    x, labels = _checked(X, y, names)
    x, kept, dropped = _features(x, _column_names(names, x.shape[1]), intercept)
    labels = _response(labels, intercept)
    if scale:
        x *= np.sqrt(x.size / np.sum(x * x))
    fit = _least_squares(x, labels, ridge, intercept)
    for doubt in (*_doubts(x, fit, intercept), *_dependence(x)):
        warn(ValidityWarning(doubt))
    noise = labels - x @ fit.theta
    for values in (x, noise):
        values.setflags(write=False)
    rows = Rows(x, noise, columns=kept, dropped=dropped)
    return Estimate(Covariance(x.T @ x / x.shape[0]), Empirical(noise), fit.theta, rows)


def _checked(X: Any, y: Any, names: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    x, labels = _numeric("X", X, 2, names), _numeric("y", y, 1, ())
    _same_index(X, y)
    n = x.shape[0]
    if n < 2:
        raise InvalidInput("X", "at least 2 rows", n)
    if (d := x.shape[1]) ** 2 > MOST_NUMBERS:
        expected = f"at most {math.isqrt(MOST_NUMBERS)} columns, whose K takes {MOST_NUMBERS * 8 / 1e9:g} GB"
        raise InvalidInput("X", expected, f"{d} columns")
    if labels.size != n:
        raise InvalidInput("y", f"one value for each of the {n} rows of X", f"shape {labels.shape}")
    return x, labels


def _same_index(X: Any, y: Any) -> None:
    """Raise InvalidInput where both have an index, as data frames and series do, and these differ."""
    mine, other = getattr(y, "index", None), getattr(X, "index", None)
    if mine is None or other is None or not (hasattr(mine, "equals") and hasattr(other, "equals")):
        return
    if len(mine) == len(other) and not mine.equals(other):
        at = next((i for i, (a, b) in enumerate(zip(other, mine, strict=True)) if a != b), 0)
        got = f"{other[at]!s:.40} in X and {mine[at]!s:.40} in y at row {at}"
        raise InvalidInput("y", "the index of X (y.loc[X.index] has its order, y.to_numpy() goes by position)", got)


def _features(
    x: FloatArray, names: tuple[str, ...], intercept: bool
) -> tuple[FloatArray, tuple[str, ...], tuple[str, ...]]:
    """Return the centred columns that vary, their names, and the names of the others."""
    varying = _varying(x, intercept)
    if not varying.any():
        raise InvalidInput("X", "at least one column that varies", f"{x.shape[1]} constant columns")
    kept = tuple(name for name, keep in zip(names, varying, strict=True) if keep)
    dropped = tuple(name for name, keep in zip(names, varying, strict=True) if not keep)
    return _centred("X", x[:, varying], intercept), kept, dropped


def _response(y: FloatArray, intercept: bool) -> FloatArray:
    column = y[:, None]
    if not _varying(column, intercept).all():
        expected = "values that vary" if intercept else "values that are not all zero"
        raise InvalidInput("y", expected, f"{y[0]:g} in every row")
    return _centred("y", column, intercept)[:, 0].copy()


def _names(X: Any, columns: Sequence[str] | None) -> tuple[str, ...]:
    """Return the given names, or those of a data frame, or none."""
    if columns is not None and (isinstance(columns, str) or not isinstance(columns, Iterable)):
        raise InvalidInput("columns", "a sequence of names", shown(columns))
    given = columns if columns is not None else getattr(X, "columns", ())
    try:
        return tuple(map(str, given))
    except Exception as error:  # of a stranger's __str__ or __iter__, and for an integer of more than 4300 digits
        raise InvalidInput("columns", "a sequence of names", shown(given)) from error


def _column_names(names: tuple[str, ...], width: int) -> tuple[str, ...]:
    if not names:
        return tuple(f"x{i}" for i in range(width))
    if len(names) != width:
        raise InvalidInput("columns", f"{width} names, one for each column of X", len(names))
    return names


def _numeric(argument: str, value: Any, ndim: int, names: tuple[str, ...]) -> FloatArray:
    """Return a finite float64 copy; masked entries count as missing."""
    wanted = "a numeric array of shape (n, d)" if ndim == 2 else "a numeric array of shape (n,)"
    checks.foreign_array(argument, value, wanted)
    if checks.is_masked(value):
        value = value.astype(np.float64).filled(np.nan)
    if isinstance(value, np.ndarray) and np.iscomplexobj(value):
        raise InvalidInput(argument, wanted, "complex numbers")
    try:
        result = np.array(value, dtype=np.float64, order="C")
    except Exception as error:  # whatever the __array__ or __float__ of a stranger raises
        raise InvalidInput(argument, wanted, _first_text(value, names)) from error
    if ndim == 1 and result.ndim == 2 and result.shape[1] == 1:
        result = result[:, 0]  # a column, as scikit-learn takes it
    if result.ndim != ndim or result.size == 0:
        raise InvalidInput(argument, wanted, f"shape {result.shape}")
    missing = ~np.isfinite(result)
    if missing.any():
        where = "" if ndim == 1 else ", in " + _where(missing, _column_names(names, result.shape[1]))
        raise InvalidInput(argument, "finite numbers", f"{int(missing.sum())} entries that are NaN or inf{where}")
    return result


def _first_text(value: Any, names: tuple[str, ...]) -> str:
    """Describe a value that is no numeric array: its first cell that is no number, where there is one."""
    try:
        cells = np.array(value, dtype=object)
    except Exception:  # of a stranger's __array__
        return f"a {type(value).__name__}"
    if cells.ndim not in (1, 2):
        return f"a {type(value).__name__}"
    for position, cell in np.ndenumerate(cells):
        if isinstance(cell, list | tuple | np.ndarray):
            return "rows of different lengths"
        try:
            float(cell)
        except Exception:  # of a stranger's __float__
            place = f"column {_column_names(names, cells.shape[1])[position[1]]!r}, " if cells.ndim == 2 else ""
            return f"{shown(cell, 40)} ({place}row {position[0]})"
    return f"a {type(value).__name__}"


def _where(missing: Any, names: tuple[str, ...]) -> str:
    counts = missing.sum(axis=0)
    bad = [f"{names[i]!r} ({counts[i]})" for i in np.flatnonzero(counts)]
    more = f" and {len(bad) - 5} more columns" if len(bad) > 5 else ""
    return ("column " if len(bad) == 1 else "columns ") + ", ".join(bad[:5]) + more


def _varying(x: FloatArray, intercept: bool) -> Any:
    """Tell which columns are not constant up to rounding (intercept=False: not zero), shape (d,)."""
    size = np.abs(x).max(axis=0)
    return x.max(axis=0) / 2 - x.min(axis=0) / 2 > ROUNDING * size / 2 if intercept else size > 0


def _centred(argument: str, x: FloatArray, intercept: bool) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result: FloatArray = x - x.mean(axis=0) if intercept else x.copy()
        variance = np.mean(result * result, axis=0)
    bad = ~((variance >= SMALLEST_VARIANCE) & (variance <= LARGEST_VARIANCE))
    if bad.any():
        expected = f"variances between {SMALLEST_VARIANCE:g} and {LARGEST_VARIANCE:g}"
        raise InvalidInput(argument, expected, f"values up to {np.abs(x[:, bad]).max():.3g} in size")
    return result


class _Fit(NamedTuple):
    """theta, shape (d,); freedom: trace of the hat matrix, without the intercept."""

    theta: FloatArray
    freedom: float


def _least_squares(x: FloatArray, y: FloatArray, ridge: float | str | None, intercept: bool) -> _Fit:
    n = x.shape[0]
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    rank = int(np.sum(s > max(x.shape) * np.finfo(np.float64).eps * s[0]))
    u, s, vt = u[:, :rank], s[:rank], vt[:rank]
    if isinstance(ridge, str):
        checks.one_of("ridge", ridge, ("cv",))
        penalty = min((RIDGE_GRID * s[0] ** 2 / n).tolist(), key=lambda p: _leave_one_out(u, s, y, p, intercept))
    else:
        penalty = 0.0 if ridge is None else checks.non_negative("ridge", ridge)
    shrink = s**2 / (s**2 + n * penalty)
    return _Fit(vt.T @ (shrink * (u.T @ y) / s), float(shrink.sum()))


def _leave_one_out(u: FloatArray, s: FloatArray, y: FloatArray, penalty: float, intercept: bool) -> float:
    """Return mean((e_i/(1 - h_ii))^2), the leave-one-out error of ridge regression; h_ii has the intercept's 1/n."""
    n = y.size
    shrink = s**2 / (s**2 + n * penalty)
    leverage = (u**2) @ shrink + (1 / n if intercept else 0.0)
    left = np.maximum(1 - leverage, np.finfo(np.float64).eps)
    return float(np.mean(((y - u @ (shrink * (u.T @ y))) / left) ** 2))


def _doubts(x: FloatArray, fit: _Fit, intercept: bool) -> Iterator[str]:
    n = x.shape[0]
    used = (fit.freedom + intercept) / n
    if used > 0.5:
        yield (
            f"the fit of theta* uses {fit.freedom + intercept:.0f} of {n} degrees of freedom: the residuals have only "
            f"about {max(1 - used, 0.0):.0%} of the noise variance of unseen rows; more rows or ridge would help"
        )
    mean = x.mean(axis=0)
    share = float(mean @ mean) * n / float(np.sum(x * x))
    if not intercept and share > LARGEST_MEAN_SHARE:
        yield (
            f"the features are not centred: norm(mean x)^2 is {share:.0%} of tr K, and the theory takes x as centred; "
            "use intercept=True or centre them"
        )


def _dependence(x: FloatArray) -> Iterator[str]:
    if (found := lag_correlation(x)) > max(LARGEST_DEPENDENCE, math.sqrt(CHANCE / x.shape[0])):
        yield (
            f"rows that follow each other are correlated, by {found:.2g} (0 if they were independent): the theory and "
            "simulate draw rows independently, and a trainer that reads them in this order can diverge far below the "
            "critical step, for the rows of a delay line at 35 % of it; let it shuffle them"
        )
