"""Residual maps: what the optimizer makes of the residual r = <x, delta> - eps.

A map states facts; what uses it asks for these and for no name. With psi, its kinks and whether it is bounded a new map
works at once, by quadrature (batch size 1). What else it states makes it faster, or gives it larger batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.kernels import lazy_table, responses
from hdlimit.kernels.responses import Response as Kernel
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual_table import LARGEST, ResidualTable
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response.batch_law import octaves_over, squared_norm

Pairs = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class ResidualMap:
    """A scalar map psi(r), possibly with a control, such as a clip threshold.

    Parameters
    ----------
    name : str
        Name of the map, which an optimizer gives.
    psi : callable
        (r, control) -> psi(r), array in, array out.
    kinks : callable
        control -> the r >= 0 at which psi jumps or bends (at -r too).
    bounded : callable
        control -> whether psi is bounded, so that nu exists for every noise law and no step size diverges.
    linear, clips, scale_free, controlled : bool
        Whether psi(r) = r; whether psi(r) = r up to the control and is constant beyond; whether psi(a r) = psi(r) for
        a > 0; whether psi depends on the control.
    tail : float
        mu v/nu as v grows, for a map that is not bounded: its critical step size is that of SGD times this number.
    table : ResidualTable, optional
        psi itself where it is a finished table; its control is the v at which the table is read. A table acts on every
        residual of a batch, the other maps on the mean gradient.
    closed : mapping
        Kernels of closed forms for batch size 1, by the key of `NoiseLaw.closed_form`.
    mixture : kernel, optional
        The response, at batch size 1, to noise that is a mixture of normal laws.
    remembered : float, optional
        The number under which `kernels.lazy_table` sums the response to a mixture, for maps that have one.
    batch_normal : kernel, optional
        The response to centred normal noise at any batch size.
    batch : callable, optional
        (noise, batch size, v, controls) -> (mu, nu) of the mapped mean gradient of a batch, of the shape (n,) of the
        controls.
    """

    name: str
    psi: Callable[[FloatArray, float], FloatArray]
    kinks: Callable[[float], tuple[float, ...]]
    bounded: Callable[[float], bool]
    linear: bool = False
    clips: bool = False
    scale_free: bool = False
    controlled: bool = False
    tail: float = 1.0
    table: ResidualTable | None = None
    closed: Mapping[str, Kernel] = field(default_factory=dict)
    mixture: Kernel | None = None
    remembered: float | None = None
    batch_normal: Kernel | None = None
    batch: Callable[[NoiseLaw, int, float, FloatArray], Pairs] | None = None

    @property
    def per_sample(self) -> bool:
        """Whether the mean over a batch is that of mapped residuals, and not the map of the mean gradient."""
        return self.linear or self.table is not None

    def linear_at(self, control: float) -> bool:
        """Whether psi(r) = r at this control: always for a linear map, at control inf for one that clips."""
        return self.linear or (self.clips and control == math.inf)

    def reach(self, control: float) -> float:
        """|r| up to which psi grows at this control, 0 for maps that do not clip."""
        return control if self.clips else 0.0

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Send the listed maps to other processes by their names."""
        if self.table is not None:
            return tabulated, (self.name, self.table)
        return (_known, (self.name,)) if RESIDUALS.get(self.name) is self else super().__reduce__()


def _clipped_batch(noise: NoiseLaw, size: int, v: float, c: FloatArray) -> Pairs:
    linear = 1e-10 * max(math.sqrt(v), 1e-15 * noise.width)
    known = np.maximum(c, linear)  # below, mu is c E r'z/(v sqrt(S)) and nu is c^2
    octaves = octaves_over(noise, known * size)
    mu, nu = np.empty(c.size), np.empty(c.size)
    for each in np.unique(octaves).tolist():
        chosen = octaves == each
        found = squared_norm(noise, size, v, each).moments_at((known[chosen] * size) ** 2)
        root_ratio, below, minimum = found[:3]
        mu[chosen], nu[chosen] = ((size - 1) * root_ratio + below) / size, minimum / size**2
    return np.where(c < linear, mu * (c / linear), mu), np.where(c < linear, c * c, nu)


def _signed_batch(noise: NoiseLaw, size: int, v: float, control: FloatArray) -> Pairs:
    mu = (size - 1) * squared_norm(noise, size, v).inverse_root
    return np.full(control.size, mu), np.ones(control.size)


IDENTITY = ResidualMap("identity", lambda r, control: r, lambda control: (), lambda control: False, linear=True)
CLIP = ResidualMap(
    "clip",
    lambda r, control: np.clip(r, -control, control),
    lambda control: (control,),
    lambda control: control < math.inf,
    clips=True,
    controlled=True,
    closed={"laplace": responses.clip_laplace, "uniform": responses.clip_uniform},
    mixture=lazy_table.clip_mixture,
    remembered=lazy_table.CLIP,
    batch_normal=responses.clip_batch_normal,
    batch=_clipped_batch,
)
SIGN = ResidualMap(
    "sign",
    lambda r, control: np.sign(r),
    lambda control: (0.0,),
    lambda control: True,
    scale_free=True,
    closed={
        "laplace": responses.sign_laplace,
        "uniform": responses.sign_uniform,
        "student1": responses.sign_student1,
        "student3": responses.sign_student3,
    },
    mixture=responses.sign_mixture,
    remembered=lazy_table.SIGN,
    batch_normal=responses.sign_batch_normal,
    batch=_signed_batch,
)
RESIDUALS: dict[str, ResidualMap] = {m.name: m for m in (IDENTITY, CLIP, SIGN)}


def _known(name: str) -> ResidualMap:
    return RESIDUALS[name]


@lru_cache(maxsize=16)
def tabulated(name: str, table: ResidualTable) -> ResidualMap:
    """Return the residual map of a finished table, the identity where it is that."""
    if table.linear:
        return IDENTITY
    nodes = np.unique(np.abs(table.residuals))
    finite = tuple(nodes[nodes < LARGEST].tolist())
    squares = (table.tails**2).sum(axis=1)
    tail = 1.0 if table.bounded else float(np.min(table.tails.sum(axis=1)[squares > 0] / squares[squares > 0]))
    return ResidualMap(
        name,
        table,
        lambda control: finite,
        lambda control: table.bounded,
        controlled=True,
        tail=max(tail, 0.0),
        table=table,
    )


def residual_map(optimizer: Optimizer) -> ResidualMap:
    """Return the residual map of an optimizer: the one that it names, or its own table."""
    table: ResidualTable | None = getattr(optimizer, "residual_table", None)
    return RESIDUALS[optimizer.residual] if table is None else tabulated(optimizer.residual, table)
