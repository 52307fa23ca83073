"""The list of all optimizers: what is imported here is known by its name in files."""

from typing import Any

from hdlimit.errors import InvalidInput
from hdlimit.optimizers.residual import ResidualSGD
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD

OPTIMIZERS = (SGD, ClippedSGD, SignSGD, ScoreSGD, ResidualSGD)


def check_optimizer(optimizer: Any) -> None:
    """Raise InvalidInput unless this is one of the listed optimizers, of which a test ties the limit to the update.

    A subclass is refused too: what it overrides is not known to the limit, nor to the simulator.
    """
    if type(optimizer) not in OPTIMIZERS:
        names = ", ".join(cls.__name__ for cls in OPTIMIZERS)
        parents = [cls.__name__ for cls in OPTIMIZERS if isinstance(optimizer, cls)]
        got = f"a {type(optimizer).__name__}" + (f", a subclass of {parents[0]}" if parents else "")
        raise InvalidInput("optimizer", f"one of {names}", got)
