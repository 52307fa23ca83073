"""The updates: what an optimizer does with the mean gradient g of a step.

g = (1/B) sum_j psi(r_j) x_j, where psi is the optimizer's table, and psi(r) = r for an optimizer without one; the
update "signed-features" takes sign(x_j), coordinate by coordinate, in place of x_j.

    delta <- delta - (eta/d) * update(g),     delta = theta - theta*

An optimizer names its update (`optimizer.update`). A new one is a kernel in `kernels.steps`, numbered there, and one
entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hdlimit.errors import InvalidInput
from hdlimit.optimizers.base import Optimizer
from hdlimit.simulation.kernels import steps as stream


@dataclass(frozen=True)
class Update:
    """An update of the simulator.

    number: of its kernel in `kernels.steps.apply_update`; rotates: whether update(Q g) = Q update(g) for every
    orthogonal Q, so that it may be computed in the eigenbasis of K; clips: whether it shortens long gradients;
    unbounded: whether its length grows with that of the gradient, given max_norm; ties: the (residual map, feature map)
    that it is one sample at a time, which tests/test_architecture.py ties to it.
    """

    number: int
    rotates: bool
    clips: bool
    unbounded: Callable[[float], bool]
    ties: frozenset[tuple[str, str]]


_SIGN = frozenset({("sign", "sign")})
_SIGNED_FEATURES = frozenset({("table", "sign")})
_GRADIENT = frozenset({("identity", "identity"), ("score", "identity"), ("table", "identity")})
UPDATES = {
    "gradient": Update(stream.GRADIENT, True, False, lambda max_norm: True, _GRADIENT),
    "clipped-gradient": Update(stream.CLIPPED_GRADIENT, True, True, math.isinf, frozenset({("clip", "identity")})),
    "signed-gradient": Update(stream.SIGNED_GRADIENT, False, False, lambda max_norm: False, _SIGN),
    "signed-features": Update(stream.SIGNED_FEATURES, False, False, lambda max_norm: True, _SIGNED_FEATURES),
}


def update_of(optimizer: Optimizer) -> Update:
    """Return the update that an optimizer names.

    Raises
    ------
    InvalidInput
        If the simulator has no update of that name, or it is not tied to the maps that the optimizer names.
    """
    if optimizer.update not in UPDATES:
        expected = "an optimizer with one of the updates " + ", ".join(map(repr, UPDATES))
        raise InvalidInput("optimizer", expected, f"{optimizer!r} with the update {optimizer.update!r}")
    update, maps = UPDATES[optimizer.update], (optimizer.residual, optimizer.features)
    if maps not in update.ties:
        expected = f"an optimizer whose update {optimizer.update!r} is tied to its maps: {sorted(update.ties)}"
        raise InvalidInput("optimizer", expected, f"{optimizer!r} with the maps {maps}")
    return update
