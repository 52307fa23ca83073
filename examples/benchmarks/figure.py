"""The work-precision figure: time against achieved error, one panel a case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from precision import front
from suite import EULER, OURS, PREDICT, Result

import hdlimit

STYLE = Path(hdlimit.__file__).parent / "plotting" / "hdlimit.mplstyle"
COLOURS = {"hdlimit": "#000000", "SciPy": "#0072B2", "CyRK": "#D55E00", "diffrax": "#009E73", "Euler": "#CC79A7"}
MARKERS = {
    **{"RK45": "o", "DOP853": "s", "LSODA": "^", "BDF": "v", "Radau": "D", "RADAU": "D"},
    **{"TSIT5": "P", "Tsit5": "P", "VERN8": "X", "Kvaerno5": "*"},
}


def look(name: str) -> dict[str, Any]:
    """Colour by library, marker by method, so that both can be read without colour."""
    first, _, method = name.partition(" ")
    bold = name == OURS
    return {
        "color": COLOURS[first],
        "marker": "o" if first == "hdlimit" else MARKERS.get(method, "h"),
        "linewidth": 2.8 if bold else 1.2,
        "linestyle": "--" if name == PREDICT else "-",
        "markersize": 9.0 if method in ("TSIT5", "Tsit5", "VERN8", "Kvaerno5") else 6.0,
        "markeredgewidth": 0.4,
        "zorder": 4 if first == "hdlimit" else 3,
    }


def draw(results: Sequence[Result], path: str) -> None:
    """Write the figure (PNG, PDF or SVG). Lines join the points that nothing beats in both; others are left out."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(len(results), 3)
    rows = math.ceil(len(results) / columns)
    with plt.style.context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, 3.7 * rows + 1.6), squeeze=False)
        for ax in axes.flat[len(results) :]:
            ax.axis("off")
        lines: dict[str, Any] = {}
        for ax, result in zip(axes.flat, results):
            for entry in result.entries:
                points = front(entry.rungs)
                if points:
                    errors, seconds = [p.error for p in points], [p.seconds for p in points]
                    lines[entry.name] = ax.plot(errors, seconds, label=entry.name, **look(entry.name))[0]
            ax.axvline(1e-6, color="#777777", linewidth=0.8, linestyle=":")
            ax.set(xscale="log", yscale="log", title=result.case.title)
            ax.set_xlim(3e-2, 1e-12)
            ax.set(xlabel="achieved error, max |R/R_ref - 1|", ylabel="processor time (s)")
        order = sorted(lines, key=lambda name: (list(COLOURS).index(name.split()[0]), name == EULER))
        across = max(round(5.2 * columns / 3.1), 1)
        figure.set_size_inches(5.2 * columns, 3.7 * rows + 0.27 * math.ceil(len(order) / across) + 0.3)
        figure.legend(
            [lines[name] for name in order], order, loc="outside lower center", ncols=across, fontsize=10,
            handlelength=2.4,
        )  # fmt: skip
        figure.savefig(path)
        plt.close(figure)
