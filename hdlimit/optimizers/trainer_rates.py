"""The learning rates of a trainer's scheduler, step by step."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.errors import InvalidInput, shown


@known_names
def rates(scheduler: Any, steps: int) -> FloatArray:
    """Return the learning rates that a scheduler of PyTorch gives to its next steps.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        It is read on a copy and stays as it is. Make it for a small model: the copy has the parameters too.
    steps : int
        How many steps, >= 1.

    Returns
    -------
    ndarray, shape (steps,)
        For `from_step_size`, or, times d, for `Table.from_steps`.

    Raises
    ------
    InvalidInput
        For what is no scheduler that follows the step number alone, and for several rates at a time.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(1000), hd.Gaussian(0.5))
    >>> hd.SGD.from_step_size([4e-4, 2e-4], problem, loss="half_squared").lr.values.tolist()
    [0.4, 0.2]
    """
    expected = "a torch.optim.lr_scheduler that follows the step number alone"
    if not (hasattr(scheduler, "get_last_lr") and hasattr(scheduler, "step")) or isinstance(scheduler, type):
        raise InvalidInput("scheduler", expected, shown(scheduler))
    found = np.empty(checks.count("steps", steps))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no optimizer takes the steps
            copied = copy.deepcopy(scheduler)
            for k in range(found.size):
                now = {float(rate) for rate in copied.get_last_lr()}
                if len(now) != 1:
                    break
                (found[k],) = now
                copied.step()
    except Exception as error:  # of a stranger's step
        raise InvalidInput("scheduler", expected, f"{type(error).__name__}: {str(error)[:120]}") from error
    if len(now) != 1:
        raise InvalidInput("scheduler", "one learning rate for all parameters", shown(sorted(now)))
    return found
