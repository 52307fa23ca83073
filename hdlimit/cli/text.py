"""What the commands print: a result as text or as one JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdlimit.kernels.formulas import Formula
    from hdlimit.prediction.curve import Curve
    from hdlimit.storage.records import Record
    from hdlimit.tuning.log_answer import LogTuning

# Lines of a printed curve: it fits a screen.
_SHOWN_TIMES = 9
_RESPONSE = "mu(v) = E[psi(r) z]/v, nu(v) = E[psi(r)^2], r = z - eps, z ~ N(0, v), v = 2R"


def json_line(facts: Any) -> str:
    """Return facts as one JSON object, with null for NaN and inf."""
    from hdlimit.storage.records import finite_or_none

    return json.dumps(finite_or_none(facts), allow_nan=False)


def json_text(result: Record) -> str:
    """Return metadata and columns of a result as one JSON object."""
    return json_line({**result.metadata(), **result.columns()})


def curve_text(curve: Curve) -> str:
    """Return the problem, how the curve ended, and its risk at a few times, with the spread where it is known."""
    import numpy as np

    lines = [curve.problem.summary(), f"optimizer: {curve.optimizer!r}", f"outcome: {curve.outcome}", ""]
    spread = curve.columns().get("spread")
    lines.append(f"{'t':>12}{'samples':>14}{'R':>14}" + (f"{'sd of one run':>16}" if spread is not None else ""))
    for i in np.unique(np.linspace(0, curve.time.size - 1, _SHOWN_TIMES).round().astype(int)):
        line = f"{curve.time[i]:>12.4g}{curve.samples[i]:>14.0f}{curve.risk[i]:>14.6g}"
        lines.append(line + (f"{spread[i]:>16.3g}" if spread is not None else ""))
    return "\n".join(lines)


def formula_list(names: list[tuple[str, str]]) -> str:
    """Return optimizers with the noise laws that have formulas, out of (optimizer, law)."""
    optimizers = dict.fromkeys(optimizer for optimizer, _ in names)
    lines = [f"{of}:  {', '.join(law for other, law in names if other == of)}" for of in optimizers]
    return "\n".join([*lines, "", "hdlimit formula OPTIMIZER LAW prints one of them."])


def formula_text(title: str, entry: Formula, latex: bool) -> str:
    """Return a title, the formulas of a response, and where they hold and come from."""
    mu, nu = (entry.mu_latex, entry.nu_latex) if latex else (entry.mu_pretty, entry.nu_pretty)
    facts = [f"exact for: {entry.exact_for}", f"source: {entry.source}", f"derivation: {entry.derivation}"]
    return "\n".join([title, _RESPONSE, "", mu, "", nu, "", *facts])


def log_text(tuning: LogTuning) -> str:
    """Return a table of what the log says, the sentence, and the line for a trainer."""
    rows = f"{tuning.rows}" + ("" if tuning.used == tuning.rows else f", the last {tuning.used} used")
    lines = [f"{'rows':<18}{rows}"]
    if tuning.threshold is not None and tuning.interval is not None:
        low, high = tuning.interval
        lines.append(f"{'threshold':<18}{tuning.threshold:.5g}   ({low:.4g} to {high:.4g})")
        lines.append(f"{'clipped fraction':<18}{tuning.clipped_fraction:.1%}")
    if tuning.rate_gain_interval is not None:
        least, most = tuning.rate_gain_interval
        lines.append(f"{'rate gain':<18}{tuning.rate_gain:.4g}   ({least:.4g} to {most:.4g})")
    lines.append(tuning.sentence)
    return "\n".join([*lines, f"max_norm = {tuning.max_norm:.6g}"] if tuning.max_norm is not None else lines)
