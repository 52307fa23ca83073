"""The law of S = r_1^2 + ... + r_B^2 for a noise law."""

from __future__ import annotations

from functools import lru_cache

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.batch_law import InvertedLaw
from hdlimit.response.noise_transform import noise_transform
from hdlimit.response.noncentral_law import NoncentralLaw, sums_of_squares


@lru_cache(maxsize=1024)
def squared_norm(noise: NoiseLaw, size: int, v: float, octaves: int = 0) -> InvertedLaw:
    """Return the law of S under a noise law, for sqrt(S) up to 2^octaves of the noise's width.

    Where it is inverted from its Laplace transform, v is taken as at least 1e-30 of the squared width of the noise.
    """
    few, parts = None, noise.components
    if parts is not None and (parts.variance == parts.variance[0]).all():
        sums = _sums(noise, size)
        few = None if sums is None else NoncentralLaw(*sums, size, v + float(parts.variance[0]))
    return InvertedLaw(noise_transform(noise, max(octaves, 10)), size, max(v, 1e-30 * noise.width**2), few)


@lru_cache(maxsize=64)
def _sums(noise: NoiseLaw, size: int) -> tuple[FloatArray, FloatArray] | None:
    assert noise.components is not None
    return sums_of_squares(noise.components, size)
