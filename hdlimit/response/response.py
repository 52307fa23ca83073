"""Responses: what the noise does to the residual.

    mu(v) = E[psi(r) z]/v,   nu(v) = E psi(r)^2,   r = z - eps,   z ~ N(0, v)   (batches: see batch.py)

A response is evaluated by a closed form where derivations/ proves one, else by quadrature. The integrator takes short
closed forms as they are, sums over many normal laws (Student t, mixtures) as tables in log v that fill as v moves
(right to 1e-12 of mu and nu, see kernels/memory.py), and everything slow as a table in log v that is built before
(right to 1e-9).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NoLimit, NotAvailable
from hdlimit.kernels import lazy_table as memory
from hdlimit.kernels import responses as kernels
from hdlimit.problem import noise as laws
from hdlimit.response import batch_law as batch
from hdlimit.response import chebyshev
from hdlimit.response.expectation import quadrature_response
from hdlimit.response.laplace_transform import laplace_transform, uniform_transform
from hdlimit.response.mixtures import density_components, flat, student_components
from hdlimit.response.residual_maps import RESIDUALS, ResidualMap
from hdlimit.response.tabulated_map import table_parameters, table_response

Kernel = kernels.Response
MOST_COMPONENTS = 400
REACH = 60
QUICK, FEW = 30, 450


class Compiled(NamedTuple):
    """A response as the integrator takes it: a kernel, its parameters, and the range of v in which it may be used."""

    kernel: Kernel
    parameters: FloatArray
    low: float
    high: float


class Response:
    """(mu, nu) as functions of v and of the clip threshold c.

    residual: a residual map, or its name; noise: the label-noise law; batch_size: B.

    Raises: NotAvailable for a residual map without a batch theory when B > 1; NoLimit, when evaluated, where nu is
    infinite.
    """

    def __init__(self, residual: str | ResidualMap, noise: laws.NoiseLaw, batch_size: int = 1) -> None:
        self.map: ResidualMap = RESIDUALS[residual] if isinstance(residual, str) else residual
        self.noise, self.batch_size = noise, batch_size
        if batch_size > 1 and self.map.name not in ("identity", "clip", "sign") and self.map.table is None:
            raise NotAvailable(f"batch_size: no batch theory for the residual map {self.map.name!r}, use batch_size=1")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[ResidualMap, laws.NoiseLaw, int]:
        return self.map, self.noise, self.batch_size

    def __call__(self, v: float, c: float = math.inf) -> tuple[float, float]:
        """(mu, nu) at v >= 0 and threshold c >= 0, by the most exact route.

        mu of the sign map diverges at v = 0 without noise; v is taken as at least 1e-280.
        """
        v = max(v, kernels.SMALLEST)
        closed = self._closed(c)
        if closed is not None:
            few = closed[1].size <= (FEW if closed[0].deferred else QUICK)
            mu, nu = kernels.uncompiled(*closed)(v, c) if few else closed[0](v, c, closed[1])
            return float(mu), float(nu)
        return self._slow(v, c)

    def below(self, c: float) -> Callable[[float, float], tuple[float, float]]:
        """(mu, nu) as a function of v > 0 and of thresholds up to c, for many calls."""
        closed = self._closed(c)
        if closed is None:
            return lambda v, c: self._slow(max(v, kernels.SMALLEST), c)
        kernel, parameters = closed
        return lambda v, c: kernel(v, c, parameters)

    def is_quick(self, c: float) -> bool:
        """Whether a closed form gives (mu, nu) at thresholds up to c, so that a table gains nothing."""
        return self._closed(c) is not None

    def _closed(self, c: float) -> tuple[Kernel, FloatArray] | None:
        """The kernel and its parameters for thresholds up to c, None when only a slow route exists."""
        if not self.map.bounded(c) and math.isinf(self.noise.second_moment):
            raise NoLimit(_infinite_variance(self.noise))
        if self.map.name == "identity" or (self.map.name == "clip" and c == math.inf):
            return kernels.identity, np.array([self.noise.second_moment, float(self.batch_size)])
        if self.map.name not in ("clip", "sign"):
            return None
        if self.batch_size > 1:
            return self._closed_batch()
        special = _SPECIAL.get((self.map.name, type(self.noise)))
        if special is not None and (found := special(self.noise)) is not None:
            return found
        parts = mixture_components(self.noise, c)
        if parts is None or parts.weight.size > MOST_COMPONENTS + 1200 * isinstance(self.noise, laws.StudentT):
            return None
        return _MIXTURE[self.map.name], flat(parts)

    def _closed_batch(self) -> tuple[Kernel, FloatArray] | None:
        parts = self.noise.components
        if parts is None or parts.weight.size > 1 or parts.mean[0] != 0:
            return None
        kernel = kernels.clip_batch_normal if self.map.name == "clip" else kernels.sign_batch_normal
        return kernel, np.array([float(parts.variance[0]), float(self.batch_size)])

    def _slow(self, v: float, c: float) -> tuple[float, float]:
        if self.map.table is not None:
            mu, nu = table_response(self.map.table, self.noise, v, c)
            return mu, nu / self.batch_size
        if self.batch_size > 1:
            return self._batch(v, c)
        if self.map.name in _MIXTURE:
            parts = self.noise.components or density_components(
                self.noise, v, self.map.kinks(c), c if self.map.name == "clip" else 0.0
            )
            mu, nu = _MIXTURE[self.map.name](v, c, flat(parts))
            return float(mu), float(nu)
        return quadrature_response(self.map, self.noise, v, c)

    def _batch(self, v: float, c: float) -> tuple[float, float]:
        size = self.batch_size
        if self.map.name == "sign":
            return (size - 1) * batch_law(self.noise, size, v).inverse_root, 1.0
        linear = 1e-10 * max(math.sqrt(v), 1e-15 * self.noise.width)
        if c < linear:  # mu is c E r'z/(v sqrt(S)) there, nu is c^2
            return self._batch(v, linear)[0] * (c / linear), c * c
        octaves = max(math.ceil(math.log2(c * size / self.noise.width)), 0) if self.noise.width > 0 else 0
        s = batch_law(self.noise, size, v, octaves).moments((c * size) ** 2)
        return ((size - 1) * s.root_ratio + s.below) / size, s.minimum / size**2

    @property
    def precision(self) -> float:
        """The relative error to which a table of this response is built: that of its slowest route."""
        rough = self.batch_size > 1 and _compressed(self.noise)
        return 1e-5 if rough else 1e-9

    def __repr__(self) -> str:
        return f"the response of {self.map.name} to {self.noise!r} at batch size {self.batch_size}"

    def compiled(self, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
        """The response for an integrator that stays within v_range (low, high) and reads thresholds within c_range."""
        closed = self._closed(c_range[1])
        if closed is not None:
            fixed = c_range[0] == c_range[1] or self.map.name == "sign"
            remembers = fixed and closed[0] in _KINDS and closed[1].size > 3
            return Compiled(*(_remembered(self, c_range[1]) if remembers else closed), 0.0, math.inf)
        low, high = v_range
        if self.map.table is not None:
            parameters = table_parameters(self.map.table, self.noise, self.batch_size, low, high)
            return Compiled(kernels.levels, parameters, low, high)
        if c_range[0] == c_range[1] or self.map.name != "clip":
            return Compiled(kernels.table, chebyshev.table(self, c_range[1], low, high), low, high)
        return Compiled(kernels.surface, chebyshev.surface(self, *c_range, low, high), low, high)


def _infinite_variance(noise: laws.NoiseLaw) -> str:
    return (
        f"noise: {noise!r} has infinite variance, so that nu(v) = v + E eps^2 is infinite and SGD without clipping "
        "has no limit; clipped SGD and signSGD have one"
    )


_MIXTURE: dict[str, Kernel] = {"clip": memory.clip_mixture, "sign": kernels.sign_mixture}
_KINDS: dict[Kernel, float] = {memory.clip_mixture: memory.CLIP, kernels.sign_mixture: memory.SIGN}


@lru_cache(maxsize=256)
def _remembered(response: Response, c: float) -> tuple[Kernel, FloatArray]:
    """The kernel that remembers a sum over normal laws at the threshold c, with room for v around the squared width of
    the noise; what is remembered is shared by all who ask.
    """
    closed = response._closed(c)
    assert closed is not None
    kernel, mixture = closed
    first = 2 * math.floor(math.log(response.noise.width or 1.0)) - REACH
    head = [_KINDS[kernel], c, first, 2.0 * REACH, mixture.size // 3]
    return memory.remembered, np.concatenate([head, mixture, np.full(4 * REACH * memory.WIDTH, math.nan)])


def _student_sign(noise: laws.StudentT) -> tuple[Kernel, FloatArray] | None:
    kernel = {1.0: kernels.sign_student1, 3.0: kernels.sign_student3}.get(noise.df)
    return None if kernel is None else (kernel, np.array([noise.scale]))


_SPECIAL: dict[tuple[str, type], Callable[[Any], tuple[Kernel, FloatArray] | None]] = {
    ("clip", laws.Laplace): lambda noise: (kernels.clip_laplace, np.array([noise.scale])),
    ("sign", laws.Laplace): lambda noise: (kernels.sign_laplace, np.array([noise.scale])),
    ("clip", laws.Uniform): lambda noise: (kernels.clip_uniform, np.array([noise.half_width])),
    ("sign", laws.Uniform): lambda noise: (kernels.sign_uniform, np.array([noise.half_width])),
    ("sign", laws.StudentT): _student_sign,
}


def mixture_components(noise: laws.NoiseLaw, threshold: float) -> laws.Components | None:
    """The noise as a finite mixture of normal laws that is right for every v, for thresholds up to `threshold`; else
    None.
    """
    if isinstance(noise, laws.StudentT):
        return student_components(noise.df, noise.scale, threshold if math.isfinite(threshold) else noise.scale)
    return noise.components


def _compressed(noise: laws.NoiseLaw) -> bool:
    """Whether batches see the noise as fewer point masses than it has values."""
    if isinstance(noise, laws.StudentT | laws.Laplace | laws.Uniform):
        return False
    parts = noise.components
    return parts is None or (parts.weight.size > MOST_COMPONENTS and not parts.variance.any())


@lru_cache(maxsize=1024)
def batch_law(noise: laws.NoiseLaw, size: int, v: float, octaves: int = 0) -> batch.InvertedLaw | batch.NoncentralLaw:
    """The law of S = r_1^2 + ... + r_B^2 under a noise law, for sqrt(S) up to 2^octaves of the noise's width.

    Where it is inverted from its Laplace transform, v is taken as at least 1e-30 of the squared width of the noise.
    """
    reach = noise.width * 2.0 ** max(octaves, 10)
    parts = noise.components
    if parts is not None and (parts.variance == parts.variance[0]).all():
        few = batch.batch_law(parts, size, v)
        if isinstance(few, batch.NoncentralLaw):
            return few
    v = max(v, 1e-30 * noise.width**2)
    if isinstance(noise, laws.Uniform):
        h = noise.half_width
        return batch.InvertedLaw(uniform_transform(v, h), size, v, v + h * h, batch.euler)
    if isinstance(noise, laws.Laplace):
        b = noise.scale
        return batch.InvertedLaw(laplace_transform(v, b), size, v, v + b * b, batch.parabola)
    parts = mixture_components(noise, reach)
    if parts is None:
        parts = batch.compress(density_components(noise, v, (0.0,), reach, per_octave=4))
    elif _compressed(noise):
        parts = batch.compress(parts)
    return batch.batch_law(parts, size, v)
