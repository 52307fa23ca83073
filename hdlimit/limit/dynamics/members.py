"""The members of the family, by the feature map of their optimizers."""

from __future__ import annotations

from collections.abc import Callable

from hdlimit.limit.dynamics import sgd, sign
from hdlimit.limit.moments import MomentSystem
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.problem import Problem
from hdlimit.problem.spectral_measure import Compression

Moments = Callable[[Problem, Optimizer, bool | float], tuple[MomentSystem, Compression | None]]

# Names as in hdlimit.limit.feature_maps.FEATURES.
MEMBERS: dict[str, Moments] = {"identity": sgd.moments, "sign": sign.moments}
