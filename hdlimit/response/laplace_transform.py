"""The Laplace transform of a squared residual, L(q) = E exp(-q r^2) for r = z - eps, z ~ N(0, v)."""

from __future__ import annotations

import math

import numpy as np

from hdlimit.kernels import laplace_transform as kernels
from hdlimit.problem.noise_law import Components, Points, Transform


def mixture_transform(v: float, parts: Components) -> Transform:
    """L(q) for eps a mixture of normal laws; its singularities are real where all means are 0."""
    laws = tuple(np.array(a) for a in (parts.weight, parts.mean**2, parts.variance))

    def value(q: Points) -> Points:
        if np.isrealobj(q):
            return kernels.mixture_transform_real(np.ravel(q), v, *laws).reshape(q.shape)
        return kernels.mixture_transform(np.ravel(q), v, *laws).reshape(q.shape)

    def deficit(q: Points) -> Points:
        return kernels.mixture_deficit(np.ravel(q).astype(np.complex128), v, *laws).reshape(q.shape)

    typical = math.exp(float(parts.weight @ np.log(v + parts.mean**2 + parts.variance)))
    return Transform(value, deficit, typical, real_singularities=not parts.mean.any())
