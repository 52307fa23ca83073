"""The response near the last v at which it was computed, as a parabola through the last three.

A stage of the integrator needs (mu, nu) at a v that is guessed well: from the guess to the root the parabola is as good
as the response, its slope makes Newton's method of the search, and the response is computed once a stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from hdlimit.core.jit import RESPONSE, TWO, VECTOR, boolean, float64, jit

DEGREE, C, V, BEFORE, MU, NU, MU_LINE, NU_LINE, MU_BEND, NU_BEND, MU_SLOPE, NU_SLOPE, SIZE = range(13)
# Points closer than this fraction of v give no slope: rounding of mu over a distance of 1e-9 v is 1e-7 of the slope.
CLOSE = 1e-9

Response: TypeAlias = Callable[[float, float, np.ndarray], tuple[float, float]]


@jit(TWO(VECTOR, float64, float64, RESPONSE, VECTOR), forceinline=True, borrows=True)
def evaluated(near: np.ndarray, v: float, c: float, response: Response, parameters: np.ndarray) -> tuple[float, float]:
    """Return the response at v, taken into the parabola.

    near: DEGREE, up to which the coefficients are of this threshold C; the last two points V and BEFORE, the response
    at V, its divided differences of first and second order and its slope at V. All 0 at first.
    """
    mu, nu = response(v, c, parameters)
    step, wide = v - near[V], v - near[BEFORE]
    if c != near[C]:
        near[DEGREE] = 0.0
    elif abs(step) > CLOSE * v:
        inverse = 1.0 / step
        mu_line, nu_line = (mu - near[MU]) * inverse, (nu - near[NU]) * inverse
        if near[DEGREE] == 0.0:
            near[DEGREE] = 1.0
        elif abs(wide) > CLOSE * v:
            inverse = 1.0 / wide
            near[MU_BEND], near[NU_BEND] = (mu_line - near[MU_LINE]) * inverse, (nu_line - near[NU_LINE]) * inverse
            near[DEGREE] = 2.0
        near[MU_SLOPE], near[NU_SLOPE] = mu_line + step * near[MU_BEND], nu_line + step * near[NU_BEND]
        near[MU_LINE], near[NU_LINE], near[BEFORE] = mu_line, nu_line, near[V]
    near[C], near[V], near[MU], near[NU] = c, v, mu, nu
    return mu, nu


@jit(boolean(VECTOR, float64, float64), forceinline=True, borrows=True)
def certain(near: np.ndarray, v: float, tolerance: float) -> bool:
    """Whether at v the terms of second order, and so what the parabola leaves out, are below a relative tolerance."""
    far = abs((v - near[V]) * (v - near[BEFORE]))
    inside: bool = (
        near[DEGREE] == 2.0
        and abs(near[MU_BEND]) * far <= tolerance * near[MU]
        and abs(near[NU_BEND]) * far <= tolerance * near[NU]
    )
    return inside


@jit(TWO(VECTOR, float64), forceinline=True, borrows=True)
def expanded(near: np.ndarray, v: float) -> tuple[float, float]:
    """Return the parabola at v."""
    step = v - near[V]
    return (
        near[MU] + step * (near[MU_SLOPE] + step * near[MU_BEND]),
        near[NU] + step * (near[NU_SLOPE] + step * near[NU_BEND]),
    )
