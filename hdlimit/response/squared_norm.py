"""The law of S = r_1^2 + ... + r_B^2 for a noise law, by the most exact route that the law allows."""

from __future__ import annotations

from functools import lru_cache

from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response import batch_law as laws
from hdlimit.response.batch_law import InvertedLaw
from hdlimit.response.compressed_noise import compress
from hdlimit.response.contours import euler, parabola
from hdlimit.response.mixtures import density_components
from hdlimit.response.noncentral_law import NoncentralLaw

# More normal laws than this are not summed one by one: responses become tables in log v, batches see fewer point
# masses. Chosen, not measured.
MOST_COMPONENTS = 400


def compressed(noise: NoiseLaw) -> bool:
    """Whether batches see the noise as fewer point masses than it has values."""
    if noise.scale_mixture or noise.laplace_transform(1.0) is not None:
        return False
    parts = noise.components
    return parts is None or (parts.weight.size > MOST_COMPONENTS and not parts.variance.any())


@lru_cache(maxsize=1024)
def squared_norm(noise: NoiseLaw, size: int, v: float, octaves: int = 0) -> InvertedLaw | NoncentralLaw:
    """Return the law of S under a noise law, for sqrt(S) up to 2^octaves of the noise's width.

    Where it is inverted from its Laplace transform, v is taken as at least 1e-30 of the squared width of the noise.
    """
    reach = noise.width * 2.0 ** max(octaves, 10)
    parts = noise.components
    if parts is not None and (parts.variance == parts.variance[0]).all():
        few = laws.batch_law(parts, size, v)
        if isinstance(few, NoncentralLaw):
            return few
    v = max(v, 1e-30 * noise.width**2)
    transform = noise.laplace_transform(v)
    if transform is not None:
        return InvertedLaw(transform, size, v, parabola if transform.real_singularities else euler)
    parts = noise.mixture(reach)
    if parts is None:
        parts = compress(density_components(noise, v, (0.0,), reach, per_octave=4))
    elif compressed(noise):
        parts = compress(parts)
    return laws.batch_law(parts, size, v)
