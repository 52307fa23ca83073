"""How work is run: which code the kernels run, how long work is stopped, and what is said meanwhile.

Kernels run as machine code that numba makes, or as their Python text with NumPy. The two round differently: results
agree to about 1e-9 of themselves, not bit for bit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np

from hdlimit.errors import HdlimitWarning, InvalidInput, NotAvailable, shown, warn

BACKENDS = ("auto", "compiled", "numpy")
# Rows of a matrix from which its eigenvalues are computed aside from the main thread: 0.1 s of one core.
_LONG = 500
_here = threading.local()
# The flag of work that no study ends: it stays 0.
_NEVER = np.zeros(1, dtype=np.int64)
_NEVER.setflags(write=False)
_said: list[bool] = []
_flags: dict[str, np.ndarray[Any, Any]] = {}
T = TypeVar("T")


def tell(sentence: str) -> None:
    """Say on stderr what goes on, through the logger "hdlimit", whose level or handlers switch it off."""
    import logging

    logging.getLogger("hdlimit").warning("hdlimit: %s", sentence)


class Stopped(Exception):
    """The study that this thread computes for has ended early; nobody waits for what it computes."""


def stop_flag() -> np.ndarray[Any, Any]:
    """Return the flag of the study that this thread computes for, shape (1,): not 0 once the study has ended early."""
    flag: np.ndarray[Any, Any] = getattr(_here, "flag", _NEVER)
    return flag


def check_stop() -> None:
    """Raise Stopped where the study that this thread computes for has ended early, by Ctrl-C or by an error."""
    if stop_flag()[0]:
        raise Stopped


@contextmanager
def compiling(kept: bool) -> Iterator[None]:
    """Say so when a kernel is compiled in the block and not read from the disk, once, and end it with its study.

    kept: whether what is compiled is stored for later processes.
    """
    from numba.core import event

    class Begun(event.Listener):
        def on_start(self, event: Any) -> None:
            check_stop()
            if event.kind == "numba:compile" and not _said:
                _said.append(True)
                tell("compiling, once" if kept else "compiling, as no folder for compiled code can be written")

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Begun()), event.install_listener("numba:run_pass", Begun()):
        yield


def flagged(flag: np.ndarray[Any, Any], work: Callable[[Any], T], runs: Any) -> T:
    """Compute runs in this thread, which may read the flag meanwhile."""
    before, _here.flag = stop_flag(), flag
    try:
        check_stop()
        return work(runs)
    finally:
        _here.flag = before


def flagged_by_name(name: str, work: Callable[[Any], T], runs: Any) -> T:
    """Compute runs under the flag that a study has in this process."""
    return flagged(_flags.setdefault(name, np.zeros(1, dtype=np.int64)), work, runs)


def raise_flag(name: str) -> None:
    """Tell the threads of this process that compute for a study that it has ended early."""
    _flags.setdefault(name, np.zeros(1, dtype=np.int64))[0] = 1


def _aside(function: Callable[[Any], T], matrix: Any) -> T:
    """Compute in another thread what does not hold the interpreter, so that the main thread hears Ctrl-C meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        return function(matrix)
    found: list[T | BaseException] = []

    def run() -> None:
        try:
            found.append(function(matrix))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def symmetric_eigen(matrix: Any) -> tuple[Any, Any]:
    """Return the eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns.

    NumPy's routine lets other threads run meanwhile, SciPy's does not: with that, Ctrl-C waits for minutes.
    """
    compute = np.linalg.eigh if len(matrix) < _LONG else lambda given: _aside(np.linalg.eigh, given)
    values, vectors = compute(matrix)
    return values, vectors


def symmetric_eigenvalues(matrix: Any) -> Any:
    """Return the eigenvalues of a symmetric matrix, ascending, as `symmetric_eigen` does."""
    return np.linalg.eigvalsh(matrix) if len(matrix) < _LONG else _aside(np.linalg.eigvalsh, matrix)


class _State:
    """choice: of BACKENDS; plain: whether kernels are known to run as Python."""

    def __init__(self, choice: str) -> None:
        self.choice, self.plain = choice, choice == "numpy"


def _checked(choice: str, name: str) -> str:
    if choice not in BACKENDS:
        raise InvalidInput(name, f"one of {', '.join(map(repr, BACKENDS))}", shown(choice))
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
