"""Streaming SGD, plain and clipped, with or without momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from hdlimit.core import checks
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.base import Loss, Memory, Optimizer, loss_factor
from hdlimit.optimizers.schedules import Constant, Schedule, as_schedule
from hdlimit.problem.least_squares import LeastSquares, checked_problem


class WithMomentum(Optimizer):
    """Base of the optimizers that may keep a buffer; see SGD for its parameters."""

    momentum: float
    dampening: float
    nesterov: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        momentum, dampening = _share("momentum", self.momentum), _share("dampening", self.dampening)
        nesterov = checks.flag("nesterov", self.nesterov)
        if nesterov and (momentum == 0 or dampening > 0):
            got = f"it with momentum {momentum:g} and dampening {dampening:g}"
            raise InvalidInput("nesterov", "True with momentum > 0 and without dampening only, as in PyTorch", got)
        self._set(momentum=momentum, dampening=dampening, nesterov=nesterov)

    @cached_property
    def memory(self) -> Memory | None:
        """The buffer, None without momentum."""
        return Memory(self.momentum, self.dampening, self.nesterov) if self.momentum > 0 else None


def _share(argument: str, value: Any) -> float:
    """Return a number of [0, 1)."""
    expected = "a number >= 0 and below 1"
    result = checks.number(argument, value, expected)
    if not 0 <= result < 1:
        raise InvalidInput(argument, expected, shown(value))
    return result


@dataclass(frozen=True, eq=False, repr=False)
class SGD(WithMomentum):
    """Streaming SGD: update = (1/B) sum_j r_j x_j.

    Parameters
    ----------
    lr : float or schedule
        eta > 0, a number or a schedule of t = k/d; the step is eta/d.
    batch_size : int
        B >= 1, fresh samples a step.
    momentum : float
        beta of [0, 1): the step follows buf <- beta buf + (1 - dampening) g, of which the first is g itself.
    dampening : float
        In [0, 1).
    nesterov : bool
        The step follows g + beta buf; needs momentum > 0 and no dampening.

    Notes
    -----
    Buffers are those of PyTorch. In the limit 1 - beta = zeta/d is of the order of 1/d: with the effective step
    eta = lr (1 - dampening)/(1 - beta), delta and the average y of gradients obey dy = zeta (g - y) dt,
    d delta = -eta y dt. At beta = 0.9 and d = 500 that is within 0.3 % of the exact mean of runs.

    Examples
    --------
    >>> import hdlimit as hd
    >>> round(hd.SGD(lr=0.05, momentum=0.9).effective_lr, 12)
    0.5
    >>> hd.SGD(lr=0.5).step_size(hd.Problem(hd.Isotropic(1000)), loss="half_squared")
    0.0005
    """

    residual: ClassVar[str] = "identity"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "gradient"
    name: ClassVar[str] = "sgd"

    lr: Any
    batch_size: int = 1
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class ClippedSGD(WithMomentum):
    """Clipped SGD: the mean gradient, scaled to norm c sqrt(tr K) where it is longer.

    Parameters
    ----------
    lr : float or schedule
        eta > 0, a number or a schedule of t = k/d; the step is eta/d.
    threshold : float or schedule
        c > 0 in units of the residual, a number or a schedule, which may touch 0; inf is SGD.
    batch_size : int
        B >= 1, fresh samples a step.
    momentum, dampening, nesterov
        As in SGD; gradients are clipped before they enter the buffer.

    Notes
    -----
    The gradient is g = (1/B) sum_j r_j x_j. A trainer's gradient-norm limit is max_norm = c sqrt(tr K),
    for the loss r^2/2.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.ClippedSGD(lr=0.5, threshold=0.6).max_norm(hd.Problem(hd.Isotropic(100)), loss="half_squared")
    6.0
    """

    residual: ClassVar[str] = "clip"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "clipped-gradient"
    name: ClassVar[str] = "clipped-sgd"

    lr: Any
    threshold: Any
    batch_size: int = 1
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        as_schedule("threshold", self.threshold, allow_infinite=True)
        c = self.threshold
        self._set(threshold=c if isinstance(c, Schedule) or callable(c) else float(c))
        super().__post_init__()

    @cached_property
    def control_schedule(self) -> Schedule:
        """The clip threshold in residual units as a function of t."""
        return as_schedule("threshold", self.threshold, allow_infinite=True)

    def max_norm(self, problem: LeastSquares, *, loss: Loss) -> float:
        """Return the trainer's gradient-norm limit.

        Parameters
        ----------
        problem : Problem
            Supplies tr K.
        loss : {"half_squared", "squared"}
            The trainer's: r^2/2 or r^2.

        Returns
        -------
        float
            c sqrt(tr K) for the loss r^2/2, twice that for r^2.

        Raises
        ------
        InvalidInput
            For a threshold that is a schedule.
        """
        if not isinstance(self.control_schedule, Constant):
            raise InvalidInput("threshold", "a constant threshold", shown(self.threshold))
        return self.control_schedule.value * math.sqrt(checked_problem(problem).covariance.trace) * loss_factor(loss)

    @classmethod
    def from_max_norm(
        cls, lr: Any, max_norm: float, problem: LeastSquares, *, loss: Loss, batch_size: int = 1, **momentum: Any
    ) -> ClippedSGD:
        """Return the clipped SGD of a trainer that clips gradient norms.

        Parameters
        ----------
        lr : float or schedule
            eta; `from_step_size` converts a trainer's step.
        max_norm : float
            Where gradient norms are clipped, > 0.
        problem : Problem
            Supplies tr K.
        loss : {"half_squared", "squared"}
            The trainer's: r^2/2 or r^2.
        batch_size : int
            B >= 1.
        **momentum
            momentum, dampening and nesterov.

        Returns
        -------
        ClippedSGD
            With the threshold in units of the residual.
        """
        scale = math.sqrt(checked_problem(problem).covariance.trace) * loss_factor(loss)
        threshold = checks.scale("max_norm", max_norm) / scale
        return cls(lr=lr, threshold=threshold, batch_size=batch_size, **momentum)
