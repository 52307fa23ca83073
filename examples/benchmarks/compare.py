"""Whether anything became slower: the ratios of two runs of solvers.py, side by side.

    python examples/benchmarks/compare.py OLD.json NEW.json [--partial]

A ratio that got worse by more than 25 % is flagged, as is one that NEW lacks (not with --partial: NEW measured fewer
cases). Exit code 0: nothing flagged, 1: something is, 2: a file that is not such a record.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any, NamedTuple

FORMAT = "hdlimit benchmark 1"
TOLERATED = 0.25


class BadFile(Exception):
    """A file that is not a record of solvers.py, with a sentence that says why."""


class Change(NamedTuple):
    """One ratio in both runs. factor: below 1 where NEW is worse; flagged: whether it lost more than 25 %."""

    name: str
    old: float
    new: float
    factor: float

    @property
    def flagged(self) -> bool:
        """Whether it got worse by more than 25 %, or is missing (factor 0)."""
        return self.factor < 1 - TOLERATED


def read(path: str) -> dict[str, Any]:
    """A record. Raises BadFile."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except ValueError:
        raise BadFile(f"{path}: not JSON, or cut short") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadFile(f"{path}: not a record written by solvers.py --json ({FORMAT!r})")
    ratios = data.get("ratios")
    if not isinstance(ratios, dict) or not ratios:
        raise BadFile(f"{path}: holds no ratios")
    for name, ratio in ratios.items():
        if not _is_ratio(ratio):
            raise BadFile(f"{path}: {name!r} is not a positive ratio with 'better': 'higher' or 'lower'")
    return data


def _is_ratio(ratio: Any) -> bool:
    if not isinstance(ratio, dict) or ratio.get("better") not in ("higher", "lower"):
        return False
    value = ratio.get("value")
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def changes(old: dict[str, Any], new: dict[str, Any], partial: bool = False) -> list[Change]:
    """Every ratio of OLD, those that got worst first. Raises BadFile where the two share none or differ in a sense."""
    if not old["ratios"].keys() & new["ratios"].keys():
        raise BadFile("the two files have no ratio in common")
    found = []
    for name, before in old["ratios"].items():
        after = new["ratios"].get(name)
        if after is None:
            if not partial:
                found.append(Change(name, before["value"], math.nan, 0.0))
            continue
        if after["better"] != before["better"]:
            raise BadFile(f"{name!r} is better {before['better']} in one file, {after['better']} in the other")
        factor = after["value"] / before["value"]
        found.append(
            Change(name, before["value"], after["value"], factor if before["better"] == "higher" else 1 / factor)
        )
    return sorted(found, key=lambda change: change.factor)


def lines(found: list[Change]) -> list[str]:
    """The comparison as text."""
    width = max(len(change.name) for change in found)
    text = [f"{'':<{width}}  {'old':>10}{'new':>10}{'new is better by':>18}"]
    for change in found:
        new, mark = (f"{change.new:>10.4g}", " FELL") if change.factor else (f"{'-':>10}", " MISSING")
        text.append(
            f"{change.name:<{width}}  {change.old:>10.4g}{new}{change.factor:>18.2f}{mark if change.flagged else ''}"
        )
    return text


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What else differs: versions, processor and settings, on which ratios depend too."""
    return [
        f"note: {part} differ: {old.get(part)} / {new.get(part)}"
        for part in ("settings", "versions")
        if old.get(part) != new.get(part)
    ] + [
        f"note: processors differ: {a} / {b}"
        for a, b in [(_processor(old), _processor(new))]
        if a != b
    ]  # fmt: skip


def _processor(record: dict[str, Any]) -> Any:
    machine = record.get("machine")
    return machine.get("processor") if isinstance(machine, dict) else None


def main(line: list[str] | None = None) -> int:
    """Compare two files; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare two records of solvers.py --json.")
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--partial", action="store_true", help="ratios that NEW lacks are not flagged")
    options = parser.parse_args(line)
    try:
        old, new = read(options.old), read(options.new)
        found = changes(old, new, options.partial)
    except BadFile as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    print("\n".join([*lines(found), *differences(old, new)]))
    flagged = sum(change.flagged for change in found)
    print(f"{flagged} of {len(found)} ratios got worse by more than {TOLERATED:.0%} or are missing")
    return 1 if flagged else 0


if __name__ == "__main__":
    sys.exit(main())
