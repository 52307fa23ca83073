"""signSGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hdlimit.optimizers.base import Optimizer


@dataclass(frozen=True, eq=False, repr=False)
class SignSGD(Optimizer):
    """signSGD: update = sign of the mean gradient (1/B) sum_j r_j x_j, coordinate by coordinate.

    Parameters
    ----------
    lr : float or schedule
        eta > 0, a number or a schedule of t = k/d; the step is eta/d, for the loss r^2 as for r^2/2.
    batch_size : int
        B >= 1, fresh samples a step.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.SignSGD(lr=0.3, batch_size=4)
    SignSGD(lr=0.3, batch_size=4)
    """

    residual: ClassVar[str] = "sign"
    features: ClassVar[str] = "sign"
    update: ClassVar[str] = "signed-gradient"
    name: ClassVar[str] = "sign-sgd"
    follows_loss: ClassVar[bool] = False

    lr: Any
    batch_size: int = 1
