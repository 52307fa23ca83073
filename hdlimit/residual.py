"""Residual maps: what the optimizer makes of the residual r = <x, delta> - eps.

A new residual map is one entry here: with psi and its kinks it works at once by quadrature (batch size 1); a closed
form is one derivation and one line in response.py more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hdlimit.declaration import FloatArray


@dataclass(frozen=True)
class ResidualMap:
    """A scalar map psi(r), possibly with a threshold c.

    psi: (r, c) -> psi(r), array in, array out; kinks: c -> the r >= 0 at which psi jumps or bends (-r too);
    bounded: c -> whether psi is bounded, so that nu exists for every noise law and no step size diverges.
    """

    name: str
    psi: Callable[[FloatArray, float], FloatArray]
    kinks: Callable[[float], tuple[float, ...]]
    bounded: Callable[[float], bool]


RESIDUALS: dict[str, ResidualMap] = {
    m.name: m
    for m in (
        ResidualMap("identity", lambda r, c: r, lambda c: (), lambda c: False),
        ResidualMap("clip", lambda r, c: np.clip(r, -c, c), lambda c: (c,), lambda c: c < math.inf),
        ResidualMap("sign", lambda r, c: np.sign(r), lambda c: (0.0,), lambda c: True),
    )
}
