"""Responses of v alone: a constant clip threshold, or one that follows v.

With the threshold c(v) and the step eta/mu_c the response becomes (1, nu_c/mu_c^2), and the limit of a schedule that
is computed along its own curve is an ordinary limit: no iteration between curve and schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.kernels import responses as kernels
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import Compiled, MapResponse, Response, surface
from hdlimit.response.surface import SURFACE_ERROR
from hdlimit.response.tables import Pieces, fitted

Rule = Callable[[float], tuple[float, float]]
# Length of a panel in log v, the least that is tabulated at once. Chosen, not measured.
PANEL = 2.0
# Relative error of the tables: far below what a schedule's own tables allow (3e-4, README).
ERROR = 1e-7
# Logarithms of the units of mu and nu in a table, and their bounds: none.
HEAD = 0.0, 0.0, math.inf, math.inf


class Feedback:
    """A response (mu, nu) = rule(v), tabulated panel by panel in log v as integrations ask for it.

    Panels are kept, so that many integrations share them. Kinks of the rule (a c(v) that jumps) are resolved to 0.04 in
    log v.

    Parameters
    ----------
    rule : callable
        v -> (mu, nu).
    noise : NoiseLaw
        The label noise of the problem.
    batch_size : int
        B.
    error : float
        Relative error of the tables.
    """

    def __init__(self, rule: Rule, noise: NoiseLaw, batch_size: int = 1, error: float = ERROR) -> None:
        self.rule, self.noise, self.batch_size, self.error = rule, noise, batch_size, error
        self._panels: dict[int, Pieces] = {}

    def __repr__(self) -> str:
        return f"a response to {self.noise!r} at batch size {self.batch_size} whose threshold follows v"

    def __call__(self, v: float, c: float = math.inf) -> tuple[float, float]:
        """(mu, nu) of the rule at v; c is not read."""
        return self.rule(max(v, kernels.SMALLEST))

    def bounded(self, c: float) -> bool:
        """Whether the threshold that the integrator passes on is finite."""
        return c < math.inf

    def compiled(self, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
        """Return the table over v_range; c_range is not read."""
        first = math.floor(math.log(v_range[0]) / PANEL)
        last = max(math.ceil(math.log(v_range[1]) / PANEL), first + 1)
        panels = [self._panel(k) for k in range(first, last)]
        ends = [end for panel in panels for end in panel.ends]
        coefficients = [c for panel in panels for c in panel.coefficients]
        table: FloatArray = np.concatenate([[len(ends), *HEAD], ends, [last * PANEL], *coefficients])
        return Compiled(kernels.table, table, math.exp(first * PANEL), math.exp(last * PANEL))

    def lookup(self, c: float) -> Rule:
        """(mu, nu) as a function of v, from the table; c is not read."""
        return self.looked_up

    def looked_up(self, v: float) -> tuple[float, float]:
        """(mu, nu) at v from the table."""
        k = math.floor(math.log(v) / PANEL)
        panel = self._panel(k)
        ends = [*panel.ends, (k + 1) * PANEL]
        return kernels.table(v, 0.0, np.concatenate([[len(panel.ends), *HEAD], ends, *panel.coefficients]))

    def _panel(self, k: int) -> Pieces:
        if k not in self._panels:
            self._panels[k] = fitted(self.rule, k * PANEL, (k + 1) * PANEL, self.error)
        return self._panels[k]


class ClipResponse:
    """(mu, nu) of the clip at any v > 0 and c, for many calls.

    Closed forms are prepared once for every power of 4, what has none is read from the surface of the law and batch.

    Attributes
    ----------
    error : float
        Relative error of mu and nu.
    """

    def __init__(self, noise: NoiseLaw, batch_size: int = 1) -> None:
        self.response = MapResponse(CLIP, noise, batch_size)
        self.error = ERROR if self.response.is_quick(noise.width or 1.0) else 2 * SURFACE_ERROR
        self._closed: dict[int, Callable[[float, float], tuple[float, float]] | None] = {}

    def __call__(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu) at v and c."""
        if math.isinf(c) or c == 0.0:
            return self.response(v, c)
        return (self._up_to(c) or surface(self.response).at)(v, c)

    def over(self, v: float, c: FloatArray) -> FloatArray:
        """(mu, nu) at v and many finite c in ascending order, shape (2, n)."""
        if c[0] > 0.0 and self._up_to(float(c[-1])) is None:
            return surface(self.response).over(v, c)
        return np.array([self(v, x) for x in c.tolist()]).T

    def _up_to(self, c: float) -> Callable[[float, float], tuple[float, float]] | None:
        """Return the closed form for controls up to c, None without one."""
        k = math.ceil(math.log(c, 4))
        if k not in self._closed:
            self._closed[k] = self.response.below(4.0**k) if self.response.is_quick(4.0**k) else None
        return self._closed[k]


class Thresholds:
    """The clip at constant thresholds below inf, all read from one surface: a response for searches over them."""

    def __init__(self, response: MapResponse) -> None:
        self.response, self.noise, self.batch_size = response, response.noise, response.batch_size
        self._read = ClipResponse(response.noise, response.batch_size)

    def __call__(self, v: float, c: float = math.inf) -> tuple[float, float]:
        """(mu, nu) at v > 0 and c > 0."""
        return self._read(v, c)

    def bounded(self, c: float) -> bool:
        """Whether psi is bounded at this threshold."""
        return self.response.bounded(c)

    def compiled(self, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
        """Return the cells over both ranges."""
        return self.response.on_surface(v_range, c_range)

    def lookup(self, c: float) -> Rule:
        """(mu, nu) as a function of v at one threshold."""
        return lambda v: self._read(v, c)


def compensated(rule: Rule) -> Rule:
    """Divide the step of a rule by mu: (1, nu/mu^2)."""

    def scaled(v: float) -> tuple[float, float]:
        mu, nu = rule(v)
        return 1.0, nu / mu**2

    return scaled


def at_threshold(response: MapResponse, c: float) -> Response:
    """Return the response at one threshold, as a table where the closed form has many terms or there is none."""
    if response.is_quick(c):
        return response
    exact = response.below(c)
    return Feedback(lambda v: exact(v, c), response.noise, response.batch_size)
