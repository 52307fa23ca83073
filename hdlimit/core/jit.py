"""The one decorator of every kernel of the package: a Python function that is compiled at its first call, not before.

Importing a module of kernels loads neither numba nor machine code. A kernel is read from the disk cache, or compiled,
when it is first called from Python or handed to a kernel that is; kernels that only other kernels call come with those.
`python` gives the same kernel, and what it calls, as Python functions, without numba; `backend` chooses of the two.

The decorator closes two traps of numba's disk cache: an entry depends on the source file of its own function only, so
that an edited callee in another file leaves stale machine code behind; and a kernel fails where no cache directory can
be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from hdlimit.core.backend import backend, compiled, compiling, may_start_in_numpy, state
from hdlimit.core.signatures import (
    CUBE,
    INTEGERS,
    MATRIX,
    READ,
    READ_INTEGERS,
    READ_MATRIX,
    RESPONSE,
    THREE,
    TWO,
    VECTOR,
    Outside,
    Type,
    boolean,
    called,
    float64,
    int64,
    npy_rng,
    void,
)
from hdlimit.errors import NotAvailable

# fmt: off
__all__ = [
    "Kernel", "Outside", "Type", "backend", "called", "jit", "python",
    "void", "boolean", "int64", "float64", "npy_rng",
    "VECTOR", "MATRIX", "CUBE", "INTEGERS", "READ", "READ_MATRIX", "READ_INTEGERS",
    "TWO", "THREE", "RESPONSE",
]
# fmt: on

P = ParamSpec("P")
T = TypeVar("T")


class Kernel(Generic[P, T]):
    """A Python function that runs compiled.

    py_func: the function as written, whose calls of other kernels run compiled; signature, options: as in `jit`.
    Calls from several threads are safe, the first one too. Other kernels may call it, and it may be handed to kernels
    that take functions. It is pickled by its name. With NUMBA_DISABLE_JIT=1 the Python function runs.
    """

    def __init__(self, function: Callable[P, T], signature: Any, options: dict[str, Any]) -> None:
        self.py_func, self.signature, self.options = function, signature, options
        self._compiled: Any = None
        self._run: Callable[P, T] = self._first
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run compiled, from the first call on, or in Python where the backend is NumPy."""
        return self.plain(*args, **kwargs) if state.plain else self._run(*args, **kwargs)

    def _first(self, *args: P.args, **kwargs: P.kwargs) -> T:
        if not compiled():
            return self.plain(*args, **kwargs)
        found = self.compiled
        self._run = _taking_kernels(found) if "FunctionType" in str(self.signature) else found
        return self._run(*args, **kwargs)

    @cached_property
    def plain(self) -> Callable[P, T]:
        """The kernel in Python with NumPy's numbers, as the backend "numpy" runs it."""
        return by_numpy_rules(python(self))

    @property
    def compiled(self) -> Any:
        """The numba dispatcher, compiled for the signature; with NUMBA_DISABLE_JIT=1 the Python function."""
        if self._compiled is None:
            from numba.core.compiler_lock import global_compiler_lock

            with global_compiler_lock:
                if self._compiled is None:
                    self._compiled = _compile(self)
        return self._compiled

    @property
    def ready(self) -> bool:
        """Whether it has been compiled, or read from the cache, in this process."""
        return self._compiled is not None

    @property
    def deferred(self) -> bool:
        """Whether Python is to run in its place where it is quick: by the backend, or at the start of a process."""
        return not compiled() or (not self.ready and may_start_in_numpy())

    @cached_property
    def address(self) -> int:
        """Where the compiled function is, for `called`; 0 with NUMBA_DISABLE_JIT=1."""
        compiled = self.compiled
        if compiled is self.py_func:
            return 0
        found = compiled.get_compile_result(compiled.nopython_signatures[0])
        return int(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))

    @property
    def _numba_type_(self) -> Any:
        return self.compiled._numba_type_

    @property
    def targetoptions(self) -> dict[str, Any]:
        """What numba asks a function that might be inlined."""
        return self.options

    def __reduce__(self) -> str:
        return self.__qualname__  # type: ignore[attr-defined, no-any-return]

    def __repr__(self) -> str:
        return f"<kernel {self.py_func.__module__}.{self.py_func.__qualname__}>"


def by_numpy_rules(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function where division and overflow give inf or nan; NotAvailable where Python's math refuses a number."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        values: Any = [np.float64(value) if type(value) is float else value for value in args]
        try:
            with np.errstate(all="ignore"):
                return function(*values, **kwargs)
        except ArithmeticError as error:
            raise NotAvailable(f"a number left the range of Python's math ({error}): install numba") from error

    return run


def _taking_kernels(compiled: Callable[P, T]) -> Callable[P, T]:
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        values: Any = [value.compiled if isinstance(value, Kernel) else value for value in args]
        return compiled(*values, **kwargs)

    return run


def _compile(kernel: Kernel[..., Any]) -> Any:
    from numba import config

    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return kernel.py_func
    for name in set(_named(kernel, set())):
        name.register()
    dispatcher = _dispatcher(kernel.py_func, kernel.options)
    if kernel.signature is not None:
        with compiling(hasattr(dispatcher._cache, "_cache_file")):
            for one in kernel.signature if isinstance(kernel.signature, list) else [kernel.signature]:
                dispatcher.compile(one)
        dispatcher.disable_compile()
    return dispatcher


def _named(value: Any, seen: set[int]) -> Iterator[Outside]:
    """Return the outside functions that a kernel names, itself or through the kernels and modules that it names."""
    if isinstance(value, Outside):
        yield value
    if not isinstance(value, Kernel) or id(value) in seen:
        return
    seen.add(id(value))
    names, space = value.py_func.__code__.co_names, value.py_func.__globals__
    for found in (space[name] for name in names if name in space):
        inside = [getattr(found, name, None) for name in names] if isinstance(found, ModuleType) else [found]
        for each in inside:
            yield from _named(each, seen)


def _dispatcher(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Return a numba dispatcher, cached where a stamped cache can be had."""
    from numba import njit

    if options.get("cache"):
        try:
            dispatcher = njit(**options)(function)
        except RuntimeError:  # numba: no locator available, i.e. no cache directory is writable
            dispatcher = None
        if dispatcher is not None and _stamp(dispatcher):
            return dispatcher
    return njit(**{**options, "cache": False})(function)


def _stamp(dispatcher: Any) -> bool:
    """Add the hash of all kernel sources to the cache stamp; False where this numba keeps its stamp elsewhere."""
    from hashlib import sha256

    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if not hasattr(cache_file, "_source_stamp"):
        return False
    cache_file._source_stamp = (cache_file._source_stamp, sha256(_sources()).hexdigest())
    return True


@cache
def _sources() -> bytes:
    """Return the text of this file, of signatures.py and of all files in folders named kernels, with their names."""
    here = Path(__file__)
    package, files = here.parents[1], [here, here.with_name("signatures.py")]
    paths = sorted([*files, *package.glob("kernels/*.py"), *package.glob("*/kernels/*.py")])
    return b"".join(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() for path in paths)


def jit(signature: Any = None, borrows: bool = False, **options: Any) -> Callable[[Callable[P, T]], Kernel[P, T]]:
    """Compile a kernel in nopython mode, cached on disk, without the interpreter lock, with NumPy's division rules.

    Parameters
    ----------
    signature : str, list or None
        One explicit numba signature, as text or as numba's object, a list of them, or None to compile for what the
        kernel is called with.
    borrows : bool
        Whether the kernel makes no array and gets none from a kernel that it calls: then it counts no references,
        whose atomic operations take a third of the time of a small integration.
    **options
        Options of `numba.njit` that replace the defaults cache=True, nogil=True, error_model="numpy". A kernel with
        `fastmath` is inlined where others call it: of a copy that is called, a process that compiles runs the one
        optimized alone, a process that reads the cache the one optimized again with its caller, and the two may sum in
        another order. What contains such kernels and is called by others needs forceinline=True.

    Returns
    -------
    callable
        A decorator that makes a Kernel of a function; nothing is compiled before the kernel is used. The disk cache of
        a kernel is valid only for the text that this file and all files in folders named kernels had when the first of
        them was imported; without a writable cache directory the kernel is compiled anew in each process.

    Raises
    ------
    numba.core.errors.TypingError
        At the first call, if the kernel does not compile for the signature.
    """
    _sources()
    settings = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": not borrows}
    settings |= {"forceinline": "fastmath" in options, **options}

    def decorate(function: Callable[P, T]) -> Kernel[P, T]:
        return Kernel(function, signature, settings)

    return decorate


def python(
    kernel: Kernel[P, T], replaced: Mapping[Kernel[..., Any], Callable[..., Any]] | None = None
) -> Callable[P, T]:
    """Make a kernel a Python function, with every kernel that it calls, directly or not, as Python too; without numba.

    Parameters
    ----------
    kernel : Kernel
        The kernel.
    replaced : mapping, optional
        Python functions to be called in place of some kernels, by kernel.

    Returns
    -------
    callable
        Where compiled code, by NumPy's rules, gives inf or nan, Python's floats may raise ZeroDivisionError,
        OverflowError or ValueError.
    """
    made: dict[Kernel[..., Any], Callable[..., Any]] = dict(replaced or {})
    spaces: dict[int, dict[str, Any]] = {}

    def space_of(names: dict[str, Any]) -> dict[str, Any]:
        if id(names) not in spaces:
            spaces[id(names)] = space = {}
            space.update({name: twin(value) for name, value in names.items()})
        return spaces[id(names)]

    def twin(value: Any) -> Any:
        if isinstance(value, ModuleType) and value is not np and Kernel in map(type, vars(value).values()):
            return SimpleNamespace(**space_of(vars(value)))
        if not isinstance(value, Kernel):
            return value
        if value not in made:
            function: Any = value.py_func
            space = space_of(function.__globals__)
            name, defaults, cells = function.__name__, function.__defaults__, function.__closure__
            made.setdefault(value, FunctionType(function.__code__, space, name, defaults, cells))
        return made[value]

    result: Callable[P, T] = twin(kernel)
    return result
