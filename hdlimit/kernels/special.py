"""Special functions of SciPy, callable from compiled kernels and from Python.

SciPy's C entry points are registered with LLVM by name, so that kernels that call them stay cacheable. Of a fused
function the variant in double precision is found by its C signature.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import scipy.special
from numba import config, float64, types
from numba.extending import get_cython_function_address
from scipy.special import cython_special

from hdlimit.kernels.jit import jit

__all__ = ["erfcx", "gammainc", "gammaincc", "log_ndtr"]


def _entry(name: str, arguments: int) -> str:
    """Exported name of the double-precision variant of `name`.

    Raises:
        ImportError: if this SciPy exports no variant with that C signature.
    """
    wanted = f'"double ({"double, " * arguments}int __pyx_skip_dispatch)"'
    for symbol, capsule in cython_special.__pyx_capi__.items():
        fused = symbol.startswith("__pyx_fuse_") and symbol.removeprefix("__pyx_fuse_").lstrip("0123456789_") == name
        if (symbol == name or fused) and wanted in repr(capsule):
            return str(symbol)
    raise ImportError(f"scipy.special.cython_special exports no {name} with the C signature {wanted}")


def _external(name: str, arguments: int) -> Any:
    """Register SciPy's function with LLVM and declare it to numba; its last argument, an int, is to be 0."""
    address = get_cython_function_address("scipy.special.cython_special", _entry(name, arguments))
    llvm.add_symbol(f"hdlimit_{name}", address)
    return types.ExternalFunction(f"hdlimit_{name}", float64(*[float64] * arguments, types.intc))


_erfcx = _external("erfcx", 1)
_log_ndtr = _external("log_ndtr", 1)
_gammainc = _external("gammainc", 2)
_gammaincc = _external("gammaincc", 2)


@jit("float64(float64)")
def erfcx(x: float) -> float:
    """Scaled complementary error function exp(x^2) erfc(x)."""
    return _erfcx(x, 0)  # type: ignore[no-any-return]


@jit("float64(float64)")
def log_ndtr(x: float) -> float:
    """Logarithm of the standard normal distribution function."""
    return _log_ndtr(x, 0)  # type: ignore[no-any-return]


@jit("float64(float64, float64)")
def gammainc(a: float, x: float) -> float:
    """Regularized lower incomplete gamma function P(a, x) = int_0^x t^(a-1) e^(-t) dt / Gamma(a)."""
    return _gammainc(a, x, 0)  # type: ignore[no-any-return]


@jit("float64(float64, float64)")
def gammaincc(a: float, x: float) -> float:
    """Regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
    return _gammaincc(a, x, 0)  # type: ignore[no-any-return]


if config.DISABLE_JIT:  # type: ignore[attr-defined] # external functions run only in compiled code
    erfcx, log_ndtr = scipy.special.erfcx, scipy.special.log_ndtr
    gammainc, gammaincc = scipy.special.gammainc, scipy.special.gammaincc
