"""Residual maps: what the optimizer makes of the residual r = <x, delta> - eps.

A new residual map is one entry here: with psi and its kinks it works at once by quadrature (batch size 1); a closed
form is one derivation and one line in response.py more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual_table import ScoreTable


@dataclass(frozen=True)
class ResidualMap:
    """A scalar map psi(r), possibly with a threshold c.

    psi: (r, c) -> psi(r), array in, array out; kinks: c -> the r >= 0 at which psi jumps or bends (-r too);
    bounded: c -> whether psi is bounded, so that nu exists for every noise law and no step size diverges; table: psi
    itself where it is a finished table (its threshold c is then the v at which the table is read). A table acts on
    every residual of a batch, the other maps on the mean gradient.
    """

    name: str
    psi: Callable[[FloatArray, float], FloatArray]
    kinks: Callable[[float], tuple[float, ...]]
    bounded: Callable[[float], bool]
    table: ScoreTable | None = None

    def __reduce__(self) -> str | tuple[Any, ...]:
        """The maps of this module go to other processes by their names."""
        if self.table is not None:
            return tabulated, (self.name, self.table)
        return (_known, (self.name,)) if RESIDUALS.get(self.name) is self else super().__reduce__()


RESIDUALS: dict[str, ResidualMap] = {
    m.name: m
    for m in (
        ResidualMap("identity", lambda r, c: r, lambda c: (), lambda c: False),
        ResidualMap("clip", lambda r, c: np.clip(r, -c, c), lambda c: (c,), lambda c: c < math.inf),
        ResidualMap("sign", lambda r, c: np.sign(r), lambda c: (0.0,), lambda c: True),
    )
}


def _known(name: str) -> ResidualMap:
    return RESIDUALS[name]


@lru_cache(maxsize=16)
def tabulated(name: str, table: ScoreTable) -> ResidualMap:
    """The residual map of a finished table."""
    nodes = tuple(np.unique(np.abs(table.residuals)).tolist())
    return ResidualMap(name, table, lambda c: nodes, lambda c: True, table)


def residual_map(optimizer: Optimizer) -> ResidualMap:
    """The residual map of an optimizer: the one that it names, or its own table."""
    table = optimizer.residual_table
    return RESIDUALS[optimizer.residual] if table is None else tabulated(optimizer.residual, table)
