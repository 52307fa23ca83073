"""Types as numba writes them, without numba; functions that compiled code finds by address or by name."""

from __future__ import annotations

from functools import cached_property
from typing import Any


class Type(str):
    """A type as numba writes it."""

    def __call__(self, *arguments: str) -> Type:
        """Return the signature of a function of arguments of these types that returns this one."""
        return Type(f"{self}({', '.join(arguments)})")


void, boolean, int64, float64, npy_rng = map(Type, ("void", "boolean", "int64", "float64", "npy_rng"))
VECTOR, MATRIX, CUBE = Type("float64[::1]"), Type("float64[:, ::1]"), Type("float64[:, :, ::1]")
INTEGERS = Type("int64[::1]")
READ, READ_MATRIX, READ_INTEGERS = (
    Type(f"Array({number}, {axes}, 'C', readonly=True)") for number, axes in ((float64, 1), (float64, 2), (int64, 1))
)
TWO, THREE = Type("UniTuple(float64, 2)"), Type("UniTuple(float64, 3)")
RESPONSE = Type(f"FunctionType({TWO(float64, float64, VECTOR)})")


class Outside:
    """A function of another library that compiled code calls by a name."""

    def register(self) -> None:
        """Make the name known to the linker; called before machine code that uses it is made or loaded."""
        raise NotImplementedError


class _Called:
    """A response of the signature RESPONSE at an address, in a kernel; in Python the function given in its place.

    numba looks up an argument that is a function anew at every call, which takes longer than a small integration.
    """

    def __call__(self, function: Any) -> Any:
        return function

    @cached_property
    def _numba_type_(self) -> Any:
        from numba.core import cgutils, types
        from numba.core.registry import cpu_target
        from numba.core.sigutils import _parse_signature_string
        from numba.extending import intrinsic

        response: Any = _parse_signature_string(RESPONSE)  # type: ignore[no-untyped-call]

        @intrinsic
        def called(context: Any, address: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                struct: Any = cgutils.create_struct_proxy(signature.return_type)  # type: ignore[no-untyped-call]
                function = struct(context, builder)
                function.jit_addr = builder.inttoptr(arguments[0], function.jit_addr.type)
                return function._getvalue()

            return response(types.int64), generate

        cpu_target.typing_context.refresh()
        return cpu_target.typing_context.resolve_value_type(called)


called = _Called()
