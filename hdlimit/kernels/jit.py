"""The one decorator through which every kernel of the package is compiled.

It closes two traps of numba's disk cache: an entry depends on the source file of its own function only, so that
an edited callee in another file leaves stale machine code behind; and importing fails where no cache directory can
be written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from numba import config, njit
from numba.core.typing.templates import Signature

__all__ = ["jit"]

P = ParamSpec("P")
T = TypeVar("T")
Signatures = str | Signature | tuple[Any, ...] | Sequence[str | Signature | tuple[Any, ...]] | None


@cache
def _sources_hash() -> str:
    """Hash of the text of every kernel source, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _stamp(dispatcher: Any) -> bool:
    """Add the hash of all kernel sources to the cache stamp; False where this numba keeps its stamp elsewhere."""
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if not hasattr(cache_file, "_source_stamp"):
        return False
    cache_file._source_stamp = (cache_file._source_stamp, _sources_hash())
    return True


def _dispatcher(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """A numba dispatcher, cached where a stamped cache can be had."""
    if options.get("cache"):
        try:
            dispatcher = njit(**options)(function)
        except RuntimeError:  # numba: no locator available, i.e. no cache directory is writable
            dispatcher = None
        if dispatcher is not None and _stamp(dispatcher):
            return dispatcher
    return njit(**{**options, "cache": False})(function)


def _as_list(signature: Signatures) -> list[Any]:
    if signature is None:
        return []
    return list(signature) if isinstance(signature, list) else [signature]


def jit(signature: Signatures = None, **options: Any) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Compile a kernel in nopython mode, cached on disk, without the interpreter lock, with NumPy's division rules.

    Args:
        signature: one explicit numba signature, a list of them, or None to compile at the first call.
        options: options of `numba.njit` that replace the defaults cache=True, nogil=True, error_model="numpy".

    Returns:
        A decorator. The decorated kernel keeps its Python type; it is a numba dispatcher that other kernels may call.
        The disk cache of a kernel is valid only for the present text of all files of `hdlimit/kernels`; without a
        writable cache directory the kernel is compiled anew in each process.

    Raises:
        numba.core.errors.TypingError: if the kernel does not compile for the signature.
    """
    settings = {"cache": True, "nogil": True, "error_model": "numpy", **options}

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        if config.DISABLE_JIT:  # type: ignore[attr-defined]
            return function
        dispatcher = _dispatcher(function, settings)
        for one in _as_list(signature):
            dispatcher.compile(one)
        if signature is not None:
            dispatcher.disable_compile()
        return cast(Callable[P, T], dispatcher)

    return decorate
