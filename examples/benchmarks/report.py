"""The table and the JSON of the suite."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from precision import MAIN, TARGETS, Entry, Reading, Rung, seconds_at
from rows import Row
from suite import OURS, PREDICT, Result

PACKAGES = ("hdlimit", "numpy", "scipy", "numba", "CyRK", "diffrax", "jax")
MARKS = {True: "holds", False: "MISSED", None: ""}
FEW = 7


def duration(seconds: float) -> str:
    """A time with three digits and its unit."""
    if not math.isfinite(seconds):
        return "-"
    for unit, size in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _cell(reading: Reading) -> str:
    """A reading; ' where fewer than 7 calls stand behind it."""
    mark = "'" if 0 < reading.calls < FEW else ""
    return duration(reading.seconds) + mark


def ratio_to_ours(result: Result, entry: Entry) -> float:
    """Time over that of the integration alone, both at an achieved error of 1e-6."""
    ours = result.entry(OURS)
    base = seconds_at(ours.rungs, MAIN).seconds if ours else math.nan
    return seconds_at(entry.rungs, MAIN).seconds / base


def case_lines(result: Result) -> list[str]:
    """The table of one case."""
    title = f"{result.case.name}: {result.case.title}"
    lines = [f"{title}; {result.system.size} modes; reference: {result.reference.how}"]
    heads = "".join(f"{f'{target:g}':>12}" for target in TARGETS)
    lines.append(f"  {'time at an achieved error of':<28}{heads}{'ratio at 1e-06':>16}{'error at rtol 1e-6':>20}")
    for entry in result.entries:
        if not entry.rungs:
            time = f"~{duration(entry.extrapolated)}, " if math.isfinite(entry.extrapolated) else ""
            lines.append(f"  {entry.name:<28}{time}{entry.note}")
            continue
        cells = "".join(f"{_cell(seconds_at(entry.rungs, target)):>12}" for target in TARGETS)
        lines.append(
            f"  {entry.name:<28}{cells}{_number(ratio_to_ours(result, entry), '.4g'):>16}{_error(entry.at(MAIN)):>20}"
            + (f"  {entry.note}" if entry.note else "")
        )
    return lines


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _error(rung: Rung | None) -> str:
    return f"{rung.error:.1e}" if rung else "-"


def row_lines(rows: Sequence[Row]) -> list[str]:
    """What must hold."""
    return [f"  {row.name:<58} {_bound(row):>10} {MARKS[row.holds]:<8}{row.text}" for row in rows]


def _bound(row: Row) -> str:
    if row.least is not None:
        return f">= {row.least:g}"
    return f"<= {row.most:g}" if row.most is not None else ""


def versions() -> dict[str, str]:
    """Of the packages that were measured; 'source' for one that runs without being installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name == "hdlimit":
                from hdlimit import __version__

                found[name] = __version__
    return found


def ratios(results: Sequence[Result], rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Every ratio that the guard compares: {name: {"value", "better": "higher" or "lower"}}."""
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        for entry in result.entries:
            value = ratio_to_ours(result, entry)
            if entry.name == OURS or not math.isfinite(value):
                continue
            better = "lower" if entry.name == PREDICT else "higher"
            found[f"{result.case.name}: {entry.name} / {OURS}"] = {"value": value, "better": better}
    for row in rows:
        if row.ratio and math.isfinite(row.value):
            found[row.name] = {"value": row.value, "better": row.better}
    return found


def record(
    results: Sequence[Result], rows: Sequence[Row], machine: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """Everything that was measured, for a file."""
    return {
        "format": "hdlimit benchmark 1",
        "settings": settings,
        "versions": versions(),
        "machine": machine,
        "ratios": ratios(results, rows),
        "rows": {row.name: {"value": _finite(row.value), "text": row.text, "holds": row.holds} for row in rows},
        "cases": {
            result.case.name: {
                "reference": result.reference.how,
                "solvers": {
                    entry.name: {
                        "note": entry.note,
                        "extrapolated": _finite(entry.extrapolated),
                        "rungs": [{**rung._asdict(), "error": _finite(rung.error)} for rung in entry.rungs],
                    }
                    for entry in result.entries
                },
            }
            for result in results
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write(path: str, data: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, allow_nan=False)
            file.write("\n")
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
