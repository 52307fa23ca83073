"""What a log says about clipping: clip, do not clip, or that it cannot be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable

# Gain that "do not clip" may miss: against the logs for which nothing can be told. Chosen, not measured.
SMALLEST_GAIN = 0.05
# Share of the sum of squares in one row above which the gain is called a lower bound. Chosen, not measured.
HEAVY_SHARE = 0.1
_LOSSES = {"half_squared": "r^2/2", "squared": "r^2 (PyTorch's MSELoss)"}


@dataclass(frozen=True)
class LogTuning:
    """A clip threshold from a log.

    Parameters
    ----------
    answer : {"clip", "do not clip", "cannot tell"}
        "clip" where the interval of the gain lies above 1, "do not clip" where it reaches 1 and stays below 1.05.
    threshold : float or None
        In residual units, inf for "do not clip", None for "cannot tell".
    interval : tuple of float or None
        Its bootstrap interval, None where there are too few rows for one.
    clipped_fraction : float or None
        Share of the rows above the threshold, None for "cannot tell".
    rate_gain : float or None
        Factor by which the best decrease of the risk exceeds SGD's, each half of the rows judged at the other half's
        threshold; None where there are too few rows.
    rate_gain_interval : tuple of float or None
        Its bootstrap interval, None where there are too few rows.
    max_norm : float or None
        The threshold in units of the gradient norms, None without them and for "cannot tell".
    rows : int
        Number of rows of the log.
    used : int
        Number of rows at its end that were used: all, unless the size of the residuals changes along the log.
    loss : str or None
        What the losses are, "half_squared" or "squared"; None for residuals.
    sentence : str
        All of it in words.

    Examples
    --------
    >>> import numpy as np
    >>> import hdlimit as hd
    >>> log = np.random.default_rng(0).standard_t(2, size=2000)
    >>> tuning = hd.tune_clip_from_residuals(log, bootstrap=50)
    >>> tuning.helps, tuning.rows
    (True, 2000)
    """

    answer: str
    threshold: float | None
    interval: tuple[float, float] | None
    clipped_fraction: float | None
    rate_gain: float | None
    rate_gain_interval: tuple[float, float] | None
    max_norm: float | None
    rows: int
    used: int
    loss: str | None
    sentence: str

    @property
    def helps(self) -> bool:
        """Whether the answer is "clip"."""
        return self.answer == "clip"

    def __str__(self) -> str:
        return self.sentence

    def trainer(self) -> dict[str, float]:
        """Return the trainer's setting {"max_norm": ...}, inf for "do not clip".

        Returns
        -------
        dict
            With the key `max_norm`.

        Raises
        ------
        NotAvailable
            When the log came without gradient norms, from which the unit of max_norm is read, and when the answer is
            "cannot tell".
        """
        if self.threshold is None:
            raise NotAvailable(f"max_norm: {self.sentence}")
        if self.max_norm is None:
            raise NotAvailable("max_norm: the log has no gradient norms; max_norm is the threshold times sqrt(tr K)")
        return {"max_norm": self.max_norm}


class Log(NamedTuple):
    """A log: its rows, how many at its end are used, what the losses are, the first size over the last."""

    rows: int
    used: int
    loss: str | None
    fall: float


class Found(NamedTuple):
    """What the rows give: threshold and gain, each with its interval, and the percentage of both."""

    threshold: float
    interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]
    percent: float


def too_few(log: Log, positive: int, fewest: int) -> LogTuning:
    """Return "cannot tell", for want of rows.

    Parameters
    ----------
    log : Log
        The log.
    positive : int
        Its rows that are not zero.
    fewest : int
        How many of steady size are needed.

    Returns
    -------
    LogTuning
        The answer.
    """
    reason = f"{positive} rows that are not zero are too few"
    if not log.used and log.rows >= fewest:
        reason = f"the size of the residuals changes too fast along the log ({log.fall:.3g}-fold)"
    sentence = f"cannot tell: {reason}; at least {fewest} rows of steady size are needed" + _unit(log)
    return LogTuning("cannot tell", None, None, None, None, None, None, log.rows, log.used, log.loss, sentence)


def answered(log: Log, size: FloatArray, found: Found, unit: float | None) -> LogTuning:
    """Return the answer that the intervals give.

    Parameters
    ----------
    log : Log
        The log.
    size : ndarray, shape (n,)
        Sizes of the rows used.
    found : Found
        Threshold and gain with their intervals.
    unit : float or None
        max_norm over the threshold.

    Returns
    -------
    LogTuning
        The answer.
    """
    c, (low, high) = found.threshold, found.gain_interval
    told = f"rate gain {found.gain:.4g} ({found.percent:g} %: {low:.4g} to {high:.4g})"
    threshold: float | None = c
    if low > 1 and c < math.inf:
        answer, clipped = "clip", float((size > c).mean())
        least, most = found.interval
        sentence = (
            f"clip at {c:.4g} in residual units ({found.percent:g} %: {least:.4g} to {most:.4g}), "
            f"{100 * clipped:.3g} % of the rows; {told}"
        )
        if (share := float(size.max() ** 2 / (size**2).sum())) > HEAVY_SHARE:
            sentence += f"; one row carries {100 * share:.0f} % of the sum of squares: the gain is a lower bound"
    elif high < 1 + SMALLEST_GAIN:
        answer, threshold, clipped = "do not clip", math.inf, 0.0
        sentence = f"do not clip: no gain can be told from these {size.size} rows, {told}"
    else:
        answer, threshold = "cannot tell", None
        sentence = f"cannot tell: {size.size} rows are too few for the interval, {told}"
    max_norm = None if unit is None or threshold is None else threshold * unit
    share_clipped = None if threshold is None else clipped
    return LogTuning(
        answer, threshold, found.interval, share_clipped, found.gain, found.gain_interval, max_norm, log.rows, log.used,
        log.loss, sentence + _unit(log) + _part(log),
    )  # fmt: skip


def _unit(log: Log) -> str:
    return "" if log.loss is None else f"; losses read as {_LOSSES[log.loss]}"


def _part(log: Log) -> str:
    if log.used == log.rows:
        return ""
    return f"; the size of the residuals changes along the log ({log.fall:.3g}-fold): its last {log.used} rows are used"
