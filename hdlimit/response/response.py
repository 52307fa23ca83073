"""Responses: what the noise does to the residual.

    mu(v) = E[psi(r) z]/v,   nu(v) = E psi(r)^2,   r = z - eps,   z ~ N(0, v)   (batches: see batch_law.py)

A response is evaluated by a closed form where derivations/ proves one, else by quadrature. The integrator takes short
closed forms as they are, sums over many normal laws (Student t, mixtures) as tables in log v that fill as v moves
(right to 1e-12 of mu and nu, see kernels/lazy_table.py), and everything slow as a table in log v that is built before
(right to 1e-9).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NoLimit, NotAvailable
from hdlimit.kernels import lazy_table
from hdlimit.kernels import responses as kernels
from hdlimit.kernels.responses import Response as Kernel
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response import tables
from hdlimit.response.expectation import quadrature_response
from hdlimit.response.mixtures import density_components, flat
from hdlimit.response.residual_maps import RESIDUALS, ResidualMap, residual_map
from hdlimit.response.surface import Cells, Surface
from hdlimit.response.tabulated_map import table_parameters, table_response

# Normal laws that are summed one by one; more become tables in log v. Chosen, not measured.
MOST_COMPONENTS = 400
# Normal laws that a scale mixture may have beyond MOST_COMPONENTS: Student t needs 1600 at small df.
MORE_OF_A_SCALE = 1200
# Half the range of log v that a lazy table covers around the squared width of the noise.
REACH = 60
# Normal laws up to which a single call stays in Python: QUICK where the kernel is compiled already, FEW where it would
# have to be compiled. Chosen, not measured.
QUICK, FEW = 30, 450


class Compiled(NamedTuple):
    """A response as the integrator takes it: a kernel, its parameters, and the range of v in which it may be used.

    cells: of a surface, which is filled where an integration comes to; None where all is there.
    """

    kernel: Kernel
    parameters: FloatArray
    low: float
    high: float
    cells: Cells | None = None

    def missed(self) -> bool:
        """Fill what an integration has asked for; whether there was anything, so that it has to be repeated."""
        return self.cells is not None and self.cells.asked()

    def whole(self) -> Compiled:
        """Return the response with all of its tables filled, for a use that cannot be repeated."""
        found, cells = self, self.cells
        while cells is not None:
            cells.ask_all()
            if not cells.asked():
                break
            cells = Cells(cells.surface, cells.panels, cells.c_range)
            found = found._replace(parameters=cells.parameters, cells=cells)
        return found


class Response(Protocol):
    """(mu, nu) as functions of v and of the control c, as the limit needs them.

    Attributes
    ----------
    noise : NoiseLaw
        The label noise of the problem.
    batch_size : int
        B of the optimizer.
    """

    noise: NoiseLaw
    batch_size: int

    def __hash__(self) -> int:
        """Responses are kept beside what was computed from them."""

    def __call__(self, v: float, c: float = math.inf) -> tuple[float, float]:
        """(mu, nu) at v >= 0 and control c >= 0."""

    def bounded(self, c: float) -> bool:
        """Whether nu stays bounded as v grows, so that no step size diverges."""

    def compiled(self, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
        """Return the response for an integrator that stays within v_range and reads controls within c_range.

        It may ask for more: `Compiled.missed`.
        """

    def lookup(self, c: float) -> Callable[[float], tuple[float, float]]:
        """(mu, nu) as a function of v > 0 at one control, for many calls."""


class MapResponse:
    """The response of a residual map.

    Parameters
    ----------
    residual : str or ResidualMap
        A residual map, or its name.
    noise : NoiseLaw
        The label noise.
    batch_size : int
        B.

    Raises
    ------
    NotAvailable
        For a residual map without a batch theory when B > 1.
    NoLimit
        When evaluated, where nu is infinite.
    """

    @classmethod
    def of(cls, optimizer: Optimizer, noise: NoiseLaw) -> MapResponse:
        """Return the response of an optimizer to a noise law."""
        return cls(residual_map(optimizer), noise, optimizer.batch_size)

    def __init__(self, residual: str | ResidualMap, noise: NoiseLaw, batch_size: int = 1) -> None:
        self.map: ResidualMap = RESIDUALS[residual] if isinstance(residual, str) else residual
        self.noise, self.batch_size = noise, batch_size
        known = self.map.linear or self.map.batch is not None or self.map.table is not None
        if batch_size > 1 and not known:
            raise NotAvailable(f"batch_size: no batch theory for the residual map {self.map.name!r}, use batch_size=1")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[ResidualMap, NoiseLaw, int]:
        return self.map, self.noise, self.batch_size

    def __repr__(self) -> str:
        return f"the response of {self.map.name} to {self.noise!r} at batch size {self.batch_size}"

    def __call__(self, v: float, c: float = math.inf) -> tuple[float, float]:
        """(mu, nu) at v >= 0 and control c >= 0, by the most exact route.

        mu of the sign map diverges at v = 0 without noise; v is taken as at least 1e-280.
        """
        v = max(v, kernels.SMALLEST)
        closed = self._closed(c)
        if closed is not None:
            few = closed[1].size <= (FEW if closed[0].deferred else QUICK)
            mu, nu = kernels.uncompiled(*closed)(v, c) if few else closed[0](v, c, closed[1])
            return float(mu), float(nu)
        return self._slow(v, c)

    def bounded(self, c: float) -> bool:
        """Whether psi is bounded at this control."""
        return self.map.bounded(c)

    def below(self, c: float) -> Callable[[float, float], tuple[float, float]]:
        """(mu, nu) as a function of v > 0 and of controls up to c, for many calls."""
        closed = self._closed(c)
        if closed is None:
            return lambda v, c: self._slow(max(v, kernels.SMALLEST), c)
        kernel, parameters = closed
        return lambda v, c: kernel(v, c, parameters)

    def lookup(self, c: float) -> Callable[[float], tuple[float, float]]:
        """(mu, nu) as a function of v > 0 at one control, for many calls."""
        exact = self.below(c)
        return lambda v: exact(v, c)

    def is_quick(self, c: float) -> bool:
        """Whether a closed form gives (mu, nu) at controls up to c, so that a table gains nothing."""
        return self._closed(c) is not None

    def _closed(self, c: float) -> tuple[Kernel, FloatArray] | None:
        """Return the kernel and its parameters for controls up to c, None when only a slow route exists."""
        if not self.map.bounded(c) and math.isinf(self.noise.second_moment):
            raise NoLimit(_infinite_variance(self.noise))
        if self.map.linear_at(c):
            return kernels.identity, np.array([self.noise.second_moment, float(self.batch_size)])
        if self.batch_size > 1:
            return self._closed_batch()
        form = self.noise.closed_form
        if form is not None and form[0] in self.map.closed:
            return self.map.closed[form[0]], form[1]
        parts = None if self.map.mixture is None else self.noise.mixture(c)
        if parts is None or parts.weight.size > MOST_COMPONENTS + MORE_OF_A_SCALE * self.noise.scale_mixture:
            return None
        assert self.map.mixture is not None
        return self.map.mixture, flat(parts)

    def _closed_batch(self) -> tuple[Kernel, FloatArray] | None:
        parts = self.noise.components
        if self.map.batch_normal is None or parts is None or parts.weight.size > 1 or parts.mean[0] != 0:
            return None
        return self.map.batch_normal, np.array([float(parts.variance[0]), float(self.batch_size)])

    def _slow(self, v: float, c: float) -> tuple[float, float]:
        if self.map.table is not None:
            mu, nu = table_response(self.map.table, self.noise, v, c)
            return mu, nu / self.batch_size
        if self.batch_size > 1:
            mu, nu = self.at_controls(v, np.array([c]))[:, 0].tolist()
            return mu, nu
        if self.map.mixture is not None:
            parts = self.noise.components or density_components(self.noise, v, self.map.kinks(c), self.map.reach(c))
            mu, nu = self.map.mixture(v, c, flat(parts))
            return float(mu), float(nu)
        return quadrature_response(self.map, self.noise, v, c)

    def at_controls(self, v: float, c: FloatArray) -> FloatArray:
        """(mu, nu) at v > 0 and many controls, shape (2, n): batches share between them what depends on v alone."""
        if self.batch_size > 1 and self.map.batch is not None and self._closed(float(c.max())) is None:
            return np.stack(self.map.batch(self.noise, self.batch_size, v, c))
        return np.array([self(v, x) for x in c.tolist()]).T

    def largest(self, c: float) -> tuple[float, float]:
        """Return bounds of mu and nu at the control c, inf where there are none."""
        return (1.0, c * c) if self.map.clips else (math.inf, math.inf)

    def compiled(self, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
        """Return the response for an integrator that stays within v_range and reads controls within c_range."""
        closed, fixed = self._closed(c_range[1]), c_range[0] == c_range[1] or not self.map.controlled
        if closed is not None:
            remembers = fixed and closed[0] is self.map.mixture and closed[1].size > 3
            return Compiled(*(_remembered(self, c_range[1]) if remembers else closed), 0.0, math.inf)
        low, high = v_range
        if self.map.table is not None:
            parameters = table_parameters(self.map.table, self.noise, self.batch_size, low, high)
            return Compiled(kernels.levels, parameters, low, high)
        panels = tables.panels_over(low, high)
        ends = tables.reach(panels)
        if fixed:
            return Compiled(kernels.table, tables.table(self, c_range[1], panels, tables.TABLE_ERROR), *ends)
        return self.on_surface(v_range, c_range)

    def on_surface(self, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
        """Return the response from the surface over v and the control that all curves of the law and batch share."""
        panels = tables.panels_over(*v_range)
        cells = Cells(surface(self), panels, c_range)
        return Compiled(kernels.surface, cells.parameters, *tables.reach(panels), cells)


@lru_cache(maxsize=32)
def surface(response: MapResponse) -> Surface:
    """Return the surface over v and the control of a response; kept, with its cells."""
    return Surface(response, response.noise.width**2, response.batch_size)


def _infinite_variance(noise: NoiseLaw) -> str:
    return (
        f"noise: {noise!r} has infinite variance, so that nu(v) = v + E eps^2 is infinite and SGD without clipping "
        "has no limit; clipped SGD and signSGD have one"
    )


@lru_cache(maxsize=256)
def _remembered(response: MapResponse, c: float) -> tuple[Kernel, FloatArray]:
    """Return the kernel that remembers a sum over normal laws at the control c.

    It has room for v around the squared width of the noise. What is remembered is shared by all responses that are
    equal.
    """
    closed = response._closed(c)
    assert closed is not None
    mixture = closed[1]
    first = 2 * math.floor(math.log(response.noise.width or 1.0)) - REACH
    head = [response.map.remembered, c, first, 2.0 * REACH, mixture.size // 3]
    memory = np.full(4 * REACH * lazy_table.WIDTH, math.nan)
    return lazy_table.remembered, np.concatenate([head, mixture, memory])
