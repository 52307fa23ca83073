"""What commands share: the options --plot, --out and --json, and the files behind them."""

from __future__ import annotations

from typing import Any

import click


def plot_option(command: Any) -> Any:
    """Add --plot FIGURE to a command."""
    return click.option("--plot", metavar="FIGURE", help="Draw a figure (.png, .pdf or .svg).")(command)


def out_option(command: Any) -> Any:
    """Add --out FILE to a command."""
    text = "Save the result: .npz (everything, exact), .csv or .json (columns)."
    return click.option("--out", metavar="FILE", help=text)(command)


def json_option(command: Any) -> Any:
    """Add --json to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(command)


def check_targets(plot: str | None, out: str | None) -> None:
    """Refuse a path that cannot be written before anything is computed."""
    from hdlimit.plotting.figure import FIGURE_FILES
    from hdlimit.storage.files import checked_path
    from hdlimit.storage.records import RESULT_FILES

    if plot is not None:
        checked_path(plot, FIGURE_FILES)
    if out is not None:
        checked_path(out, RESULT_FILES)


def write(result: Any, plot: str | None, out: str | None) -> None:
    """Write the files that were asked for."""
    from hdlimit.plotting.figure import write_figure

    if out is not None:
        result.save(out)
    if plot is not None:
        write_figure(plot, result.plot)
