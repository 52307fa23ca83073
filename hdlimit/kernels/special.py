"""Special functions of SciPy, callable from compiled kernels and from Python.

SciPy's C entry points are registered with LLVM by name, so that kernels that call them stay cacheable. Of a fused
function the variant in double precision is found by its C signature. SciPy is imported where one of them is used.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hdlimit.core.jit import Outside, jit

__all__ = ["erfcx", "gammainc", "gammaincc", "log_ndtr"]

_HOME = "scipy.special.cython_special"


class _Entry(Outside):
    """A function of SciPy: in compiled code by its C entry point, in Python by its ufunc.

    The last argument of the entry point, an int, is to be 0.

    name: in scipy.special; arguments: how many floats it takes.
    """

    def __init__(self, name: str, arguments: int) -> None:
        self.name, self.arguments = name, arguments

    def __call__(self, *arguments: float) -> float:
        import scipy.special

        return float(getattr(scipy.special, self.name)(*arguments[:-1]))

    @cache  # noqa: B019 - there are four
    def register(self) -> None:
        """Give LLVM the address.

        Raises
        ------
        ImportError
            If this SciPy exports no variant with the wanted C signature.
        """
        import llvmlite.binding as llvm  # type: ignore[import-untyped]
        from numba.extending import get_cython_function_address

        llvm.add_symbol(self._symbol, get_cython_function_address(_HOME, self._exported()))

    @property
    def _symbol(self) -> str:
        return f"hdlimit_{self.name}"

    @property
    def _numba_type_(self) -> Any:
        from numba import float64, types

        return types.ExternalFunction(self._symbol, float64(*[float64] * self.arguments, types.intc))

    def _exported(self) -> str:
        """Return the exported name of the double-precision variant."""
        from scipy.special import cython_special

        wanted = f'"double ({"double, " * self.arguments}int __pyx_skip_dispatch)"'
        for symbol, capsule in cython_special.__pyx_capi__.items():
            plain = symbol.removeprefix("__pyx_fuse_").lstrip("0123456789_") if "__pyx_fuse_" in symbol else symbol
            if plain == self.name and wanted in repr(capsule):
                return str(symbol)
        raise ImportError(f"{_HOME} exports no {self.name} with the C signature {wanted}")


_erfcx, _log_ndtr = _Entry("erfcx", 1), _Entry("log_ndtr", 1)
_gammainc, _gammaincc = _Entry("gammainc", 2), _Entry("gammaincc", 2)


@jit("float64(float64)")
def erfcx(x: float) -> float:
    """Scaled complementary error function exp(x^2) erfc(x)."""
    return _erfcx(x, 0)


@jit("float64(float64)")
def log_ndtr(x: float) -> float:
    """Logarithm of the standard normal distribution function."""
    return _log_ndtr(x, 0)


@jit("float64(float64, float64)")
def gammainc(a: float, x: float) -> float:
    """Regularized lower incomplete gamma function P(a, x) = int_0^x t^(a-1) e^(-t) dt / Gamma(a)."""
    return _gammainc(a, x, 0)


@jit("float64(float64, float64)")
def gammaincc(a: float, x: float) -> float:
    """Regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
    return _gammaincc(a, x, 0)
