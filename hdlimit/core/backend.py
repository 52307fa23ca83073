"""Which code the kernels run: machine code that numba makes, or their Python text with NumPy.

The two round differently: results agree to about 1e-9 of themselves, not bit for bit.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from importlib.util import find_spec

from hdlimit.errors import HdlimitWarning, InvalidInput, NotAvailable, warn

BACKENDS = ("auto", "compiled", "numpy")


class _State:
    """choice: of BACKENDS; plain: whether kernels are known to run as Python."""

    def __init__(self, choice: str) -> None:
        self.choice, self.plain = choice, choice == "numpy"


def _checked(choice: str, name: str) -> str:
    if choice not in BACKENDS:
        raise InvalidInput(name, f"one of {', '.join(map(repr, BACKENDS))}", repr(choice))
    return choice


state = _State(_checked(os.environ.get("HDLIMIT_BACKEND", "auto"), "HDLIMIT_BACKEND"))


def backend(choice: str | None = None) -> str:
    """Return the backend of the process, after setting it where a choice is given.

    The environment variable HDLIMIT_BACKEND sets it for new processes, worker processes included.

    Parameters
    ----------
    choice : {"auto", "compiled", "numpy"}, optional
        "auto", the default: compiled code, but for the start of a process. Loading numba takes a few tenths of a
        second, so that the main thread computes its first curves in NumPy, until they have taken 400 steps or until
        the integrator has been compiled for something else. The last bits of these curves depend on what the process
        computed before; calls from other threads are always compiled. Where numba is not installed everything is
        computed in NumPy.
        "compiled": compiled code from the first call on; equal calls have equal bits in every process of a machine.
        "numpy": NumPy and Python alone; equal calls have equal bits as well. Some 20 to 200 times slower.

    Returns
    -------
    str
        The choice in force.

    Raises
    ------
    InvalidInput
        If there is no such backend.
    NotAvailable
        If "compiled" is chosen and numba is not installed.

    Examples
    --------
    >>> from hdlimit.core.jit import backend
    >>> before = backend()
    >>> backend("compiled")
    'compiled'
    >>> backend(before) == before
    True
    """
    if choice is not None:
        _checked(choice, "backend")
        if choice == "compiled" and not _numba_found():
            raise NotAvailable("backend: 'compiled' needs numba, which is not installed")
        state.choice, state.plain = choice, choice == "numpy"
    return state.choice


def compiled() -> bool:
    """Return whether kernels run compiled; where numba is missing, warn once that they do not."""
    if not state.plain and not _numba_found():
        if state.choice == "compiled":
            raise NotAvailable("HDLIMIT_BACKEND: 'compiled' needs numba, which is not installed")
        state.plain = True
        sentence = "numba is not installed: hdlimit computes in NumPy, which is slower, and does not simulate"
        warn(HdlimitWarning(sentence))
    return not state.plain


def may_start_in_numpy() -> bool:
    """Return whether this call may avoid loading numba: "auto", in the main thread."""
    return state.choice == "auto" and threading.current_thread() is threading.main_thread()


def require_numba(what: str) -> None:
    """Raise NotAvailable, naming what needs numba, where kernels do not run compiled."""
    if state.choice == "numpy":
        raise NotAvailable(f"{what} needs numba, which the backend 'numpy' does without")
    if not _numba_found():
        raise NotAvailable(f"{what} needs numba, which is not installed")


@cache
def _numba_found() -> bool:
    return find_spec("numba") is not None
