"""Rows of data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hdlimit.core.declaration import Declaration, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Declaration):
    """Centred data rows that the simulator can stream.

    Attributes
    ----------
    x : ndarray, shape (n, d)
        Features; columns of mean 0, unless made with intercept=False.
    noise : ndarray, shape (n,)
        y - <x, theta*>.
    columns : tuple of str
        Names of the d features kept.
    dropped : tuple of str
        Names of the constant columns that were left out.
    """

    shapes: ClassVar[dict[str, str]] = {"x": "n d", "noise": "n"}

    x: FloatArray
    noise: FloatArray
    columns: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
