"""Clip thresholds from logged residuals or losses alone: no problem, no noise law.

    mu_c = P(|r| <= c),   nu_c = E min(r^2, c^2),   gain = (mu_c^2/nu_c) E r^2

with means over the rows. The log must hold values from before the update, in a window in which the risk is about
constant, one row a step. Batches of B: q = sqrt(r_1^2 + ... + r_B^2)/B takes the place of |r|, and

    mu_c = P(q <= c) + (1 - 1/B) E[c/q; q > c].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.errors import InvalidInput, NotAvailable
from hdlimit.optimizers.base import loss_factor

FEWEST_ROWS = 200
GRID = 240
SMOOTHING = 0.7
CAUTION = 3.0
HEAVY_SHARE = 0.1


@dataclass(frozen=True)
class LogTuning:
    """A clip threshold from a log.

    threshold: in residual units, inf for "do not clip"; interval: its bootstrap interval; clipped_fraction: share of
    the rows above it; rate_gain: factor by which the best decrease of the risk exceeds SGD's, each half of the rows
    judged at the other half's threshold; rate_gain_interval: its bootstrap interval; max_norm: the threshold in
    units of the gradient norms, None without them; rows: their number; helps: whether the interval of the gain lies
    above 1; sentence: all of it in words, or why no threshold is recommended.
    """

    threshold: float
    interval: tuple[float, float]
    clipped_fraction: float
    rate_gain: float
    rate_gain_interval: tuple[float, float]
    max_norm: float | None
    rows: int
    helps: bool
    sentence: str

    def __str__(self) -> str:
        return self.sentence

    def trainer(self) -> dict[str, float]:
        """The trainer's setting {"max_norm": ...}, inf for "do not clip".

        Raises: NotAvailable when the log came without gradient norms, from which the unit of max_norm is read.
        """
        if self.max_norm is None:
            raise NotAvailable("max_norm: the log has no gradient norms; max_norm is the threshold times sqrt(tr K)")
        return {"max_norm": self.max_norm}


def tune_clip_from_residuals(
    residuals: Any = None,
    *,
    losses: Any = None,
    loss: str = "half_squared",
    batch_size: int = 1,
    gradient_norms: Any = None,
    confidence: float = 0.9,
    bootstrap: int = 400,
    seed: int = 0,
) -> LogTuning:
    """The clip threshold that maximizes mu_c^2/nu_c over a log of residuals, with what it gains and how sure that is.

    The sample's objective is smoothed over log c and lowered by three of its standard errors, so that a threshold
    needs rows on both sides. The gain is cross-fitted (thresholds from one half of the rows, judged on the other), so
    that it is not raised by the choice. Below 200 rows, or when the gain's interval reaches 1, the result says so and
    its threshold is inf. Measured on 60 logs of 10 000 rows (t 1.5, t 3, a mixture), intervals of 90 % cover c* in
    50 to 54 and the gain in 50 for the mixture, but in 42 for t 3: where E r^4 is infinite the mean square is not known
    as well as the bootstrap says.

    residuals: r = <x, theta> - y before the update, with the risk about constant, shape (n,), or (n, B) for batches; or
    losses: shape (n,), r^2/2 (loss="half_squared") or r^2 (loss="squared"), their mean for batches; batch_size: B,
    where the mean gradient is clipped; gradient_norms: norms of the gradients of the same rows, shape (n,), from which
    the unit of max_norm is read; confidence: of both intervals; bootstrap: number of resamples; seed: of the resamples.
    Returns: a LogTuning. Raises: InvalidInput. Source: Marshall, Xiao, Agarwala, Paquette (2025), the CCC.
    """
    batch = checks.integer("batch_size", batch_size)
    size = _sizes(residuals, losses, loss, batch)
    confidence = checks.fraction("confidence", confidence)
    resamples = checks.integer("bootstrap", bootstrap, 20)
    unit = _norm_unit(gradient_norms, size)
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    n = size.size
    if (used := int((size > 0).sum())) < FEWEST_ROWS:
        reason = f"{used} rows that are not zero are too few to tell a threshold: at least {FEWEST_ROWS} are needed"
        return _refusal(reason, n, unit)
    # a random half, so that a drift in the log does not separate the halves
    halves = [_Sample(part, batch) for part in np.array_split(generator.permutation(size), 2)]
    whole = _Sample(size, batch)
    c = whole.best(whole.ones)
    chosen = [half.best(half.ones) for half in halves]
    gain = _crossed(halves, chosen, [half.ones for half in halves])
    thresholds = [whole.best(whole.resample(generator)) for _ in range(resamples)]
    gains = [_crossed(halves, chosen, [half.resample(generator) for half in halves]) for _ in range(resamples)]
    ends = ((1 - confidence) / 2, (1 + confidence) / 2)
    interval = _quantiles(thresholds, ends)
    gain_interval = _quantiles(gains, ends)
    clipped = float((size > c).mean())
    shown = f"{100 * confidence:g} %: {gain_interval[0]:.4g} to {gain_interval[1]:.4g}"
    if not gain_interval[0] > 1 or math.isinf(c):
        reason = f"no gain from clipping can be told from these {n} rows: the rate gain is {gain:.4g} ({shown})"
        return _refusal(reason, n, unit, interval, gain, gain_interval)
    sentence = (
        f"clip at {c:.4g} in residual units ({100 * confidence:g} %: {interval[0]:.4g} to {interval[1]:.4g}), "
        f"{100 * clipped:.3g} % of the rows; rate gain {gain:.4g} ({shown})"
    )
    if (share := float(size.max() ** 2 / (size**2).sum())) > HEAVY_SHARE:
        sentence += f"; one row carries {100 * share:.0f} % of the sum of squares: the gain is a lower bound"
    max_norm = None if unit is None else c * unit
    return LogTuning(c, interval, clipped, gain, gain_interval, max_norm, n, True, sentence)


def _refusal(
    reason: str,
    rows: int,
    unit: float | None,
    interval: tuple[float, float] = (0.0, math.inf),
    gain: float = 1.0,
    gain_interval: tuple[float, float] = (0.0, math.inf),
) -> LogTuning:
    max_norm = None if unit is None else math.inf
    return LogTuning(math.inf, interval, 0.0, gain, gain_interval, max_norm, rows, False, "do not clip: " + reason)


def _sizes(residuals: Any, losses: Any, loss: str, batch: int) -> FloatArray:
    """q = norm(r_1, ..., r_B)/B of every row, |r| for B = 1."""
    factor = 2 / loss_factor(loss)
    if (residuals is None) == (losses is None):
        raise InvalidInput("residuals", "either residuals or losses", "neither" if residuals is None else "both")
    name = "residuals" if losses is None else "losses"
    if losses is None and batch > 1:
        values = checks.array(name, residuals, 2, (None, batch))
    else:
        values = checks.array(name, residuals if losses is None else losses, 1)
    if losses is not None and (values < 0).any():
        raise InvalidInput("losses", "numbers >= 0", f"a smallest loss of {values.min():g}")
    if values.shape[0] < 2:
        raise InvalidInput(name, "at least 2 rows", "1 row")
    largest = float(np.abs(values).max())
    if largest == 0:
        raise InvalidInput(name, "rows that are not all zero", f"{values.size} zeros")
    if losses is not None:
        return np.sqrt(values) * math.sqrt(factor / batch)
    if batch > 1:
        norms: FloatArray = np.linalg.norm(values / largest, axis=1) * (largest / batch)
        return norms
    return np.abs(values)


def _norm_unit(gradient_norms: Any, size: FloatArray) -> float | None:
    """Gradient norm over |r|, the median over the rows: sqrt(tr K) times the loss's factor."""
    if gradient_norms is None:
        return None
    norms = checks.array("gradient_norms", gradient_norms, 1, size.shape)
    if (norms < 0).any() or not (norms[size > 0] > 0).any():
        raise InvalidInput("gradient_norms", "numbers >= 0, not all zero", f"a smallest norm of {norms.min():g}")
    return float(np.median(norms[size > 0] / size[size > 0]))


def _quantiles(values: list[float], ends: tuple[float, float]) -> tuple[float, float]:
    low, high = np.quantile(np.array(values), ends, method="inverted_cdf")
    return float(low), float(high)


def _crossed(halves: list[_Sample], chosen: list[float], counts: list[FloatArray]) -> float:
    """Geometric mean of the gains of each half at the other's threshold."""
    logs = [half.log_gain(c, count) for half, c, count in zip(halves, chosen[::-1], counts, strict=True)]
    return math.exp(sum(logs) / len(logs))


@lru_cache(maxsize=32)
def _smoother(window: int) -> FloatArray:
    """Local quadratic regression over a window of the grid, as a matrix."""
    from scipy.signal import savgol_filter

    matrix: FloatArray = savgol_filter(np.eye(GRID), window, 2, axis=0)
    return matrix


class _Sample:
    """Rows in order of q, on a grid of thresholds; a resample is the number of times that each row was drawn."""

    def __init__(self, size: FloatArray, batch: int = 1) -> None:
        scale = float(size.max())
        self.scale, self.size = scale, np.sort(size / scale)
        positive = self.size[self.size > 0]
        low, high = np.quantile(positive, [0.01, 1 - 1 / positive.size])
        self.grid: FloatArray = np.geomspace(low, max(high, 1.01 * low), GRID)
        self.above: IntArray = np.searchsorted(self.size, self.grid, side="right")
        self.ones: FloatArray = np.ones(self.size.size)
        self.square, self.fourth = self.size**2, self.size**4
        self.inverse: FloatArray = np.where(self.size > 0, 1 / np.maximum(self.size, 1e-300), 0.0)
        self.radial = 1 - 1 / batch
        width = math.log(self.grid[-1] / self.grid[0]) / (GRID - 1)
        self.window = min(max(2 * round(SMOOTHING / width) + 1, 5), GRID - 1 - GRID % 2)

    def resample(self, generator: np.random.Generator) -> FloatArray:
        n = self.size.size
        return np.bincount(generator.integers(0, n, n), minlength=n).astype(np.float64)

    def _below(self, values: FloatArray) -> FloatArray:
        """Means over all rows of values on q <= c, at every threshold of the grid."""
        total = np.cumsum(values)
        sums: FloatArray = np.where(self.above > 0, total[self.above - 1], 0.0) / self.size.size
        return sums

    def objective(self, count: FloatArray) -> tuple[FloatArray, FloatArray]:
        """log(mu^2/nu) and its standard error (delta method), at every threshold of the grid."""
        n, c2 = self.size.size, self.grid**2
        share, inside = self._below(count), self._below(count * self.square)
        nu, fourth = inside + c2 * (1 - share), self._below(count * self.fourth) + c2**2 * (1 - share)
        once, twice = self._scaled(count, share)
        mu = np.maximum(share + once, 0.5 / n)
        variance = 4 * ((share + twice) / mu**2 - 1) + (fourth / nu**2 - 1) - 4 * ((inside + c2 * once) / (mu * nu) - 1)
        return 2 * np.log(mu) - np.log(nu), np.sqrt(np.maximum(variance, 0.0) / n)

    def best(self, count: FloatArray) -> float:
        """Threshold with the best smoothed lower bound of log(mu^2/nu), by a parabola on the grid; inf at its end."""
        value, error = self.objective(count)
        bound = _smoother(self.window) @ (value - CAUTION * error)
        top = int(np.argmax(bound))
        if top in (0, GRID - 1):
            return math.inf if top else float(self.grid[0]) * self.scale
        left, middle, right = bound[top - 1 : top + 2].tolist()
        vertex = (right - left) / (2 * (2 * middle - left - right)) if 2 * middle > left + right else 0.0
        return float(self.grid[top] * (self.grid[1] / self.grid[0]) ** vertex) * self.scale

    def _scaled(self, count: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """E[m; q > c] and E[m^2; q > c], m = (1 - 1/B) c/q: what clipped batches add to mu, zero for B = 1."""
        if self.radial == 0:
            return np.zeros_like(share), np.zeros_like(share)
        m = self.radial * self.grid
        once, twice = (
            (float(values.sum()) / values.size - self._below(values)) * m**power
            for power, values in ((1, count * self.inverse), (2, count * self.inverse**2))
        )
        return np.maximum(once, 0.0), np.maximum(twice, 0.0)

    def log_gain(self, c: float, count: FloatArray) -> float:
        """log((mu^2/nu) E r^2) of a resample at threshold c."""
        c = c / self.scale
        k = int(np.searchsorted(self.size, c, side="right"))
        n = self.size.size
        mu = share = float(count[:k].sum()) / n
        nu = float(count[:k] @ self.square[:k]) / n
        if c < math.inf:
            nu += c**2 * (1 - share)
            mu += self.radial * c * float(count[k:] @ self.inverse[k:]) / n
        square = float(count @ self.square) / n
        if mu == 0 or nu == 0:
            return -math.inf
        return 2 * math.log(mu) + math.log(square / nu)
