"""Moments of one step: what the spread of runs needs of a response beside (mu, nu).

A step along a batch has the random coefficients H, with which it pulls delta towards 0, and N, with which it adds
noise: H = (1/B) sum psi_j z_j and N = (1/B^2) sum psi_j^2 (sign of the mean gradient: H = <r, z>/sqrt(S), N = 1), E H =
mu v, E N = nu. Gaussian z turn their second moments into

    E H^2 = v nu + v^2 nu_2,   E H N = v chi,   E N^2 = kappa.

For one sample nu_2 = E (psi^2)'' = 2 dnu/dv, chi = E (psi^3)', kappa = E psi^4. Batches: Stein's lemma on functions of
S = r_1^2 + ... + r_B^2, with a jump of the derivative at S = (c B)^2. Proofs: derivations/fluctuation.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.errors import NotAvailable
from hdlimit.kernels.responses import SMALLEST, clip_fourth_mixture
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.response.batch_law import octaves_over, squared_norm
from hdlimit.response.expectation import expectation
from hdlimit.response.mixtures import density_components, flat
from hdlimit.response.residual_maps import SIGN
from hdlimit.response.response import MapResponse, Response
from hdlimit.response.tabulated_map import higher_moments

# Relative step of v in the central difference of nu: the error is of the order of its square. Chosen, not measured.
STEP = 1e-3
# x0 over E S beyond which hardly a step is clipped and the moments are those of SGD. Chosen, not measured.
HARDLY = 1e6


def of_map(response: Response) -> MapResponse:
    """Return the response as that of a residual map; NotAvailable where it is none (a threshold that follows v)."""
    if not isinstance(response, MapResponse):
        raise NotAvailable(f"spread: known for responses of residual maps, not for a {type(response).__name__}")
    return response


class StepMoments(NamedTuple):
    """nu_2 = (E H^2 - v nu)/v^2, chi = E H N/v and kappa = E N^2."""

    nu_2: float
    chi: float
    kappa: float


def step_moments(response: Response, v: float, c: float) -> StepMoments:
    """Compute the moments of a step.

    Parameters
    ----------
    response : Response
        Of the optimizer's residual map, the noise and the batch size.
    v : float
        E z^2 > 0.
    c : float
        Clip threshold >= 0.

    Returns
    -------
    StepMoments
        kappa is inf where E eps^4 is.

    Raises
    ------
    NoLimit
        Where nu is infinite.
    NotAvailable
        For a residual map without a batch theory, and a threshold that follows v.
    """
    v, response = max(v, SMALLEST), of_map(response)
    if response.map.table is not None:
        return _of_table(response, response.map.table, v, c)
    if response.map.linear_at(c):
        return _of_identity(response, v)
    if response.map.scale_free:
        return StepMoments(overlap(response, v), response(v, c)[0], 1.0)
    if response.batch_size > 1:
        return _of_clipped_batch(response, v, c)
    return _of_sample(response, v, c)


def _of_identity(response: MapResponse, v: float) -> StepMoments:
    size, noise = response.batch_size, response.noise
    nu = response(v)[1]
    square = v + noise.second_moment
    variance = 2 * v * v + 4 * v * noise.second_moment + noise.fourth_moment - noise.second_moment**2
    return StepMoments(1 + 1 / size, nu + 2 * square / size**2, nu * nu + variance / size**3)


def overlap(response: Response, v: float) -> float:
    """(E <r, z>^2/S - v)/v^2 of a batch: (B - 1)(B - 2) E 1/S, for B = 2 its limit 2 pi p_r(0)^2 (Stein twice)."""
    size = response.batch_size
    if size == 1:
        return 0.0
    if size == 2:
        return math.pi / 2 * MapResponse(SIGN, response.noise)(v)[0] ** 2
    return (size - 1) * (size - 2) * squared_norm(response.noise, size, v).inverse


def _of_clipped_batch(response: MapResponse, v: float, c: float) -> StepMoments:
    """g(S) = min(1, x0/S) and its like, x0 = (c B)^2: see derivations/fluctuation.py.

    Where x0 is a million times E S the differences below are rounding errors, and hardly anything is clipped.
    """
    if c == 0.0:
        return StepMoments(0.0, 0.0, 0.0)
    size, noise = response.batch_size, response.noise
    x0 = (c * size) ** 2
    if math.isfinite(noise.fourth_moment) and x0 > HARDLY * size * (v + noise.second_moment):
        return _of_identity(response, v)
    law = squared_norm(noise, size, v, int(octaves_over(noise, np.array(c * size))))
    s, inverse_above = law.moments(x0), law.inverse_above(x0) if size > 2 else 0.0
    inside = s.minimum - x0 * (1 - s.below)
    nu_2 = (size**2 + size) * s.below + (size - 1) * (size - 2) * x0 * inverse_above - 4 * x0 * s.density
    chi = (size + 2) * inside + (size - 1) * x0 * (s.root_ratio - s.below)
    return StepMoments(nu_2 / size**2, chi / size**3, s.square * (c * c) * (c * c))


def _slope(response: MapResponse, v: float, c: float) -> float:
    """dnu/dv by a central difference."""
    return (response(v * (1 + STEP), c)[1] - response(v * (1 - STEP), c)[1]) / (2 * STEP * v)


def _of_sample(response: MapResponse, v: float, c: float) -> StepMoments:
    nu_2 = 2 * _slope(response, v, c)
    psi, noise = response.map, response.noise
    if not psi.clips:
        chi = expectation(noise, v, c, psi, lambda r, z: psi.psi(r, c) ** 3 * z) / v
        return StepMoments(nu_2, chi, expectation(noise, v, c, psi, lambda r, z: psi.psi(r, c) ** 4))
    mu, nu = response(v, c)
    parts = noise.mixture(c) or density_components(noise, v, psi.kinks(c), c)
    return StepMoments(nu_2, 3 * (nu - (c * c * (1 - mu) if mu < 1 else 0.0)), clip_fourth_mixture(v, c, flat(parts)))


def _of_table(response: MapResponse, table: ResidualTable, v: float, s: float) -> StepMoments:
    """Return the moments of a table, which acts on every residual of the batch."""
    size = response.batch_size
    mu, nu = response(v, s)
    nu_2 = 2 * _slope(response, v, s) + (1 - 1 / size) * mu * mu
    third, fourth = higher_moments(table, response.noise, v, s)
    one = size * nu
    return StepMoments(nu_2, mu * nu + (third - mu * one) / size**2, nu * nu + (fourth - one * one) / size**3)
