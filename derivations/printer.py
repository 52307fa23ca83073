"""From proved expressions to the text of `hdlimit/kernels/formulas.py`.

A kernel's text is a template: the choice of region is written by hand, every formula in it stands as a line
`<<name>>` that is replaced by the assignments of that name, common subexpressions taken out, as SymPy prints them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sympy import Expr, Float, Function, cse, numbered_symbols, pycode
from sympy.functions.elementary.exponential import exp
from sympy.functions.special.error_functions import erfc

Assignments = Mapping[str, Expr]


class erfcx(Function):  # noqa: N801 - the name under which it is printed
    """exp(x^2) erfc(x)."""

    nargs = 1

    def _eval_rewrite_as_erfc(self, x: Expr, **_: object) -> Expr:
        return exp(x**2) * erfc(x)


class gammainc(Function):  # noqa: N801
    """Regularized lower incomplete gamma function P(a, x)."""

    nargs = 2


class gammaincc(Function):  # noqa: N801
    """Regularized upper incomplete gamma function Q(a, x)."""

    nargs = 2


SPECIAL = {name: name for name in ("erfcx", "gammainc", "gammaincc")}


def plain(expression: Expr) -> Expr:
    """The expression with erfcx written as exp(x^2) erfc(x), in which SymPy can differentiate and take limits."""
    return expression.rewrite(erfc) if expression.has(erfcx) else expression


def code(expression: Expr) -> str:
    """Python text of an expression in the functions of `math` and of `hdlimit.kernels.special`."""
    large = expression.replace(lambda e: e.is_Integer and abs(e) > 2**53, lambda e: Float(e, 17))
    return str(pycode(large, fully_qualified_modules=False, user_functions=SPECIAL))


def block(assignments: Assignments) -> list[str]:
    """Lines `target = expression`, common subexpressions first.

    Raises:
        ValueError: if an expression would read a target that an earlier line has overwritten.
    """
    overwritten: set[str] = set()
    for target, value in assignments.items():
        if overwritten & {symbol.name for symbol in value.free_symbols}:
            raise ValueError(f"the expression of {target} reads a name assigned before it")
        overwritten.add(target)
    shared, results = cse(list(assignments.values()), symbols=numbered_symbols("t"), order="canonical")
    lines = [f"{name} = {code(value)}" for name, value in shared]
    return lines + [f"{target} = {code(value)}" for target, value in zip(assignments, results)]


def fill(template: str, formulas: Mapping[str, Assignments]) -> str:
    """Replace each line `<<name>>` of a template by the block of that name, at its indentation.

    Raises:
        KeyError: if the template names a block that is not among the formulas.
    """

    def lines(match: re.Match[str]) -> str:
        return "\n".join(match[1] + line for line in block(formulas[match[2]]))

    return re.sub(r"^( *)<<(\w+)>>$", lines, template.strip("\n"), flags=re.MULTILINE)


def floats(name: str, values: Iterable[Expr]) -> str:
    """Text of a tuple of floats, each to 17 digits."""
    return f"{name}: tuple[float, ...] = ({', '.join(repr(float(value)) for value in values)})"
