"""Quadrature over the label noise: every law as a finite mixture of normal laws.

A scale mixture (Student t, Laplace) becomes normal laws of mean 0, right at both ends of v; any other density becomes
point masses whose spacing resolves the scale sqrt(v) wherever the integrand bends.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.problem.density import ORDER, density, gauss, panels
from hdlimit.problem.noise_law import Components, NoiseLaw


def density_components(
    noise: NoiseLaw, v: float, points: tuple[float, ...], reach: float, per_octave: int = 1
) -> Components:
    """Turn a continuous law into point masses: Gauss-Legendre panels that resolve its density and the integrand.

    Parameters
    ----------
    noise : NoiseLaw
        A law with a density.
    v : float
        The integrand bends at +-points on the scale sqrt(v).
    points : tuple of float
        Where the integrand bends, >= 0.
    reach : float
        The |eps| up to which the integrand grows, at most like eps^2.
    per_octave : int
        Panels for each doubling of the distance from a point.

    Returns
    -------
    Components
        Variances are 0.

    Raises
    ------
    NotAvailable
        When the weights miss the total mass 1 by more than 1e-9.
    """
    found = panels(noise, math.ceil(math.log(max(reach / noise.width, 1.0), 4)))
    low, high = found.edges[0], found.edges[-1]
    octaves = 2.0 ** np.arange(4, max(math.log2(max(high - low, 1e-300)) - math.log2(v) / 2, 4) + 1, 1 / per_octave)
    bends = math.sqrt(v) * np.concatenate([[0.0, 0.75, 1.5, 3.0, 4.5, 6.0, 8.0], octaves])
    edges = [found.edges, *(side * point + sign * bends for point in points for side in (-1, 1) for sign in (-1, 1))]
    ends = np.unique(np.concatenate(edges))
    ends = ends[(ends >= low) & (ends <= high)]
    half, (places, shares) = np.diff(ends)[:, None] / 2, gauss(ORDER)
    nodes = (ends[:-1, None] + half + half * places).ravel()
    inside = np.clip(np.searchsorted(found.edges, nodes, side="right") - 1, 0, found.factor.size - 1)
    weight = (half * shares).ravel() * density(noise, nodes) * found.factor[inside]
    missing = abs(float(weight.sum()) - 1)
    if not missing < 1e-9:
        raise NotAvailable(
            f"noise: the density of {noise!r} integrates to 1 with an error of {missing:.1e}, more than 1e-9"
        )
    keep = weight > 0
    return Components(weight[keep], nodes[keep], np.zeros(int(keep.sum())))


def flat(components: Components) -> FloatArray:
    """Components as the parameters of a kernel: weights, means, variances."""
    return np.ascontiguousarray(np.concatenate(components), dtype=np.float64)
