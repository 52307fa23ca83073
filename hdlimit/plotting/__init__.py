"""Figures: theory as a line, simulated runs as markers with the band of one run.

Functions read attributes of what they draw and know no class of results. matplotlib is imported on first use.
"""

from hdlimit.plotting.figure import FIGURE_FILES, label_axes, style, write_figure
from hdlimit.plotting.grids import plot_landscape, plot_sweep
from hdlimit.plotting.overlay import plot
from hdlimit.plotting.risk import plot_comparison, plot_curve, plot_ensemble, plot_exact, plot_report
from hdlimit.plotting.scaling import plot_scaling

__all__ = [
    "FIGURE_FILES",
    "label_axes",
    "plot",
    "plot_comparison",
    "plot_curve",
    "plot_ensemble",
    "plot_exact",
    "plot_landscape",
    "plot_report",
    "plot_scaling",
    "plot_sweep",
    "style",
    "write_figure",
]
