"""The formulas as text, for people: one record for each pair of optimizer and noise law."""

from __future__ import annotations


def text() -> str:
    """The source of the table FORMULAS."""
    return '''
class Formula(NamedTuple):
    """One pair of responses as text: plain and LaTeX, where it comes from, and for what it is exact."""

    mu_pretty: str
    nu_pretty: str
    mu_latex: str
    nu_latex: str
    source: str
    derivation: str
    exact_for: str


FORMULAS: dict[tuple[str, str], Formula] = {}
'''.strip("\n")
