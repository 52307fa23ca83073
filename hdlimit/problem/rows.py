"""Rows of data."""

from __future__ import annotations

from dataclasses import dataclass

from hdlimit.core.declaration import Declaration, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Declaration):
    """Centred data rows that the simulator can stream.

    x: features, shape (n, d), columns of mean 0 (unless made with intercept=False); noise: y - <x, theta*>, shape (n,);
    columns: names of the d features kept; dropped: names of the constant columns that were left out.
    """

    x: FloatArray
    noise: FloatArray
    columns: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
