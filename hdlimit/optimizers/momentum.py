"""Momentum: the buffer of gradients that SGD and clipped SGD may keep."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from hdlimit.core import checks
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.base import Memory, Optimizer


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
