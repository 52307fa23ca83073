"""Compiled recursion of the corrected mean: the mode system of one step at finite d, without sampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import boolean, float64, int64, types

from hdlimit.kernels.esdirk import RESPONSE, VECTOR, Response
from hdlimit.kernels.jit import jit

FIVE: Any = types.UniTuple(float64, 5)  # type: ignore[no-untyped-call]


@jit(float64(float64))
def difference(variance: float) -> float:
    """The step in q of central differences."""
    return min(max(math.sqrt(variance), 1e-3), 0.3)


@jit(FIVE(RESPONSE, VECTOR, float64, float64, float64))
def _of_samples(
    response: Response, parameters: np.ndarray, v: float, c: float, batch: float
) -> tuple[float, float, float, float, float]:
    """(mu, nu, 0, 0, nu_2) of a map of every residual of the batch, which takes no notice of norm(x).

    d/dv E psi^2 = (1/2) E (psi^2)'' by the heat equation, and B (B - 1) pairs of samples add mu^2: nu_2 = 2 dnu/dv +
    (1 - 1/B) mu^2.
    """
    mu, nu = response(v, c, parameters)
    h = 1e-3 * v
    _, more = response(v + h, c, parameters)
    _, less = response(v - h, c, parameters)
    return mu, nu, 0.0, 0.0, (more - less) / h + (1 - 1 / batch) * mu * mu


@jit(FIVE(RESPONSE, VECTOR, RESPONSE, VECTOR, RESPONSE, VECTOR, float64, float64, float64, float64))
def _averaged(
    plain: Response,
    plain_parameters: np.ndarray,
    short: Response,
    short_parameters: np.ndarray,
    long: Response,
    long_parameters: np.ndarray,
    v: float,
    c: float,
    batch: float,
    variance: float,
) -> tuple[float, float, float, float, float]:
    """(mu, nu) averaged over q = norm(x)^2/tr K, a number of mean 1 and given variance; their q-derivatives; nu_2.

    Clipping the true norm is clipping the residual at c/sqrt(q). Derivatives are central differences in q.
    """
    mu, nu = plain(v, c, plain_parameters)
    if c == math.inf:
        return mu, nu, 0.0, 0.0, 1.0 + 1.0 / batch
    h = difference(variance)
    mu_short, nu_short = short(v, c / math.sqrt(1 - h), short_parameters)
    mu_long, nu_long = long(v, c / math.sqrt(1 + h), long_parameters)
    mu_q, nu_q = (mu_long - mu_short) / (2 * h), (nu_long - nu_short) / (2 * h)
    if batch == 1.0:
        second = 2 * mu + 4 * mu_q
    else:
        below = 1 + nu_q / c**2 if c > 0.0 else 0.0
        root = (batch * mu - below) / (batch - 1)
        density = -batch * mu_q - (batch - 1) * (root - below) / 2
        above = max(root - below, 0.0)
        inverse = min(above * above / max(1 - below, 1e-300), above)
        second = ((batch**2 + batch) * below + (batch - 1) * (batch - 2) * inverse - 4 * density) / batch**2
    bend = variance / (2 * h * h)
    return mu + bend * (mu_short + mu_long - 2 * mu), nu + bend * (nu_short + nu_long - 2 * nu), mu_q, nu_q, second


@jit(
    types.void(
        VECTOR, VECTOR, VECTOR, int64, float64, float64, boolean, VECTOR, VECTOR, VECTOR, VECTOR,
        RESPONSE, VECTOR, RESPONSE, VECTOR, RESPONSE, VECTOR, types.Array(int64, 1, "C"), VECTOR,
    )
)  # fmt: skip
def corrected_mean(
    rate: np.ndarray,
    diffusion: np.ndarray,
    m: np.ndarray,
    dimension: int,
    batch: float,
    trace: float,
    of_samples: bool,
    lr: np.ndarray,
    threshold: np.ndarray,
    log_v: np.ndarray,
    overlap: np.ndarray,
    plain: Response,
    plain_parameters: np.ndarray,
    short: Response,
    short_parameters: np.ndarray,
    long: Response,
    long_parameters: np.ndarray,
    steps: np.ndarray,
    v_out: np.ndarray,
) -> None:
    """Overwrite v_out with v after the given (non-decreasing) numbers of steps, and m with the modes after the last.

    lr, threshold: at the start of every step; overlap: E <r, z>^2/(v S) - 1 of a batch at log_v; of_samples: whether
    the residual map acts on every residual of a batch, whatever norm(x); diffusion: c_i/d with c_i = multiplicity times
    lambda_i; trace: tr K.
    """
    variance = 2 * dimension * (diffusion * rate).sum() / trace**2
    wider = 1.001
    done = 0
    for j in range(steps.size):
        while done < steps[j]:
            eta, c = lr[done], threshold[done]
            v, second_moment = 0.0, 0.0
            for i in range(m.size):
                v += rate[i] * m[i]
                second_moment += rate[i] * rate[i] * m[i]
            if of_samples:
                mu, nu, mu_q, nu_q, nu_2 = _of_samples(plain, plain_parameters, v, c, batch)
            else:
                mu, nu, mu_q, nu_q, nu_2 = _averaged(
                    plain, plain_parameters, short, short_parameters, long, long_parameters, v, c, batch, variance
                )
            cross, tilt = 0.0, 0.0
            if v > 0.0 and c < math.inf and not of_samples:
                _, _, mu_q_wider, nu_q_wider, _ = _averaged(
                    plain,
                    plain_parameters,
                    short,
                    short_parameters,
                    long,
                    long_parameters,
                    v * wider,
                    c,
                    batch,
                    variance,
                )
                tilt = second_moment / (v * trace)
                shift = np.interp(math.log(v), log_v, overlap)
                mu += tilt * (shift * mu_q + 2 * (mu_q + (mu_q_wider - mu_q) / (wider - 1)))
                nu += tilt * (shift * nu_q + 2 * (nu_q_wider - nu_q) / (wider - 1))
                cross = 2 * mu_q / trace
            g = eta / dimension
            for i in range(m.size):
                drift = mu * m[i] + cross * (rate[i] - tilt * trace) * m[i]
                noise = nu * diffusion[i] * dimension + rate[i] * (
                    2 * nu_q * diffusion[i] * dimension / trace + nu_2 * rate[i] * m[i]
                )
                m[i] += -2 * g * rate[i] * drift + g * g * noise
            done += 1
        v_out[j] = 0.0
        for i in range(m.size):
            v_out[j] += rate[i] * m[i]
