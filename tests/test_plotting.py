"""What is drawn: the right numbers, on the right axes, in a file that is whole."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import hdlimit as hd
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.plotting.figure import style, write_figure
from hdlimit.plotting.risk import plot_curve, plot_ensemble
from hdlimit.prediction.curve import Curve
from hdlimit.simulation.ensemble import Ensemble

PROBLEM = hd.Problem(hd.PowerLaw(50, 0.3), hd.Gaussian(0.5))
DONE = hd.errors.Outcome(hd.errors.Status.FINISHED, "reached the horizon")


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    plt.close("all")


def curve_of(risk: Any = None) -> Curve:
    time = np.concatenate([[0.0], np.geomspace(0.02, 20, 200)])
    dense = DenseOutput(np.array([0.0, 20.0]), np.ones((1, 3)), np.zeros((1, 3, 4)))
    risk = 1 / (1 + time) if risk is None else np.full(time.size, risk)
    return Curve(PROBLEM, hd.SGD(0.5), 20.0, 1e-6, time, risk, DONE, dense, "0.1.0")


def ensemble_of(runs: int = 8, times: int = 201) -> Ensemble:
    time = np.concatenate([[0.0], np.geomspace(0.02, 20, times - 1)])
    risk = np.geomspace(10, 0.01, runs)[:, None] / (1 + time)
    return Ensemble(PROBLEM, hd.SGD(0.5), 20.0, time, risk, 0, (), "gaussian", DONE, "0.1.0")


def test_curve_is_the_numbers() -> None:
    curve = curve_of()
    ax = curve.plot()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time t = steps / d", "excess risk R")
    line, low, high = ax.lines
    assert np.array_equal(line.get_xdata(), curve.time[1:]) and np.array_equal(line.get_ydata(), curve.risk[1:])
    assert line.get_label() == "SGD(lr=0.5)"
    inside = curve.spread_trusted[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hd.errors.ValidityWarning)
        spread = curve.spread[1:]
    np.testing.assert_allclose((high.get_ydata() - low.get_ydata())[inside] / 2, spread[inside])
    assert np.isnan(low.get_ydata()[~inside]).all()


def test_linear_axes_keep_time_zero() -> None:
    ax = plot_curve(curve_of(), plt.subplots()[1], color="k", label="mine")
    assert ax.lines[0].get_xdata()[0] == 0 and ax.lines[0].get_color() == "k" and ax.lines[0].get_label() == "mine"
    runs = ensemble_of()
    plot_ensemble(runs, ax)
    assert ax.lines[-1].get_xdata()[0] == 0


@pytest.mark.parametrize("log", [True, False])
def test_markers_are_thinned_means(log: bool) -> None:
    runs = ensemble_of()
    ax = runs.plot(None if log else plt.subplots()[1])
    x, y = (np.asarray(data) for data in ax.lines[0].get_data())
    assert 15 <= x.size <= 25 and x[-1] == 20 and x[0] == (runs.time[1] if log else 0)
    assert np.array_equal(y, runs.mean[np.searchsorted(runs.time, x)])
    assert ax.lines[0].get_linestyle() == "None" and ax.lines[0].get_marker() == "o"
    gaps = np.diff(np.log(x) if log else x)
    assert gaps.max() < 3 * np.median(gaps)


def test_few_times_are_all_drawn() -> None:
    assert len(ensemble_of(times=12).plot().lines[0].get_xdata()) == 11


def test_band_is_one_run_and_stays_above_zero() -> None:
    runs = ensemble_of()
    assert (runs.mean - runs.spread < 0).all(), "the case must need clipping"
    band = runs.plot().collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(runs.risk.min(), rel=1e-12)
    upper = dict(zip(runs.time[1:], (runs.mean + runs.spread)[1:]))
    assert {y for _, y in band} >= set(upper.values())


def test_single_run_has_no_band() -> None:
    ax = ensemble_of(runs=1).plot()
    assert not ax.collections and ax.lines[0].get_label() == "SGD(lr=0.5), 1 run"


def test_diverged_times_are_left_out() -> None:
    runs = ensemble_of()
    risk = runs.risk.copy()
    risk[2, runs.time > 1] = math.inf
    ax = replace(runs, risk=risk).plot()
    assert max(ax.lines[0].get_xdata()) <= 1
    ax.figure.canvas.draw()


def test_zero_risk_can_be_drawn(tmp_path: Path) -> None:
    write_figure(tmp_path / "zero.png", curve_of(risk=0.0).plot)
    assert (tmp_path / "zero.png").stat().st_size > 5000


def test_rcparams_are_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    curve_of().plot()
    assert dict(matplotlib.rcParams) == before
    with style():
        assert matplotlib.rcParams["axes.spines.top"] is False


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")]
)
def test_figures(tmp_path: Path, suffix: str, magic: bytes) -> None:
    """No pyplot figure is opened, so no display and no closing is needed."""
    path = tmp_path / f"figure{suffix}"
    write_figure(path, curve_of().plot)
    assert path.read_bytes().startswith(magic) and not plt.get_fignums()


@pytest.mark.parametrize("name", ["figure", "figure.txt", "figure.npz", "missing/figure.png"])
def test_bad_figure_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="path: expected a (file name ending in|path that can be written)"):
        write_figure(tmp_path / name, curve_of().plot)
    assert not list(tmp_path.iterdir())


def test_a_failed_drawing_leaves_no_file(tmp_path: Path) -> None:
    def fail(ax: Any) -> None:
        raise RuntimeError("no drawing")

    with pytest.raises(RuntimeError, match="no drawing"):
        write_figure(tmp_path / "figure.png", fail)
    assert not list(tmp_path.iterdir())


# ---- several results in one figure


def test_overlay_is_lines_markers_and_a_band_of_quantiles() -> None:
    curve, runs = curve_of(), ensemble_of()
    ax = hd.plot([curve, runs], band=0.5)
    line, markers = ax.lines
    assert np.array_equal(line.get_ydata(), curve.risk[1:]) and np.array_equal(line.get_xdata(), curve.time[1:])
    x, y = (np.asarray(data) for data in markers.get_data())
    assert markers.get_linestyle() == "None" and np.array_equal(y, runs.mean[np.searchsorted(runs.time, x)])
    assert line.get_color() == markers.get_color(), "the same optimizer on the same problem"
    band = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices}
    for level in (0.25, 0.75):
        assert set(zip(runs.time[1:], np.quantile(runs.risk, level, axis=0)[1:].round(12))) <= {
            (t, float(np.round(r, 12))) for t, r in band
        }
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SGD(lr=0.5)", "SGD(lr=0.5), 8 runs"]


@pytest.mark.parametrize(
    ("x", "each", "label"), [("t", 1, "time t = steps / d"), ("steps", 50, "steps"), ("samples", 200, "samples")]
)
def test_overlay_counts_steps_and_samples(x: str, each: int, label: str) -> None:
    curve = replace(curve_of(), optimizer=hd.SGD(0.5, batch_size=4))
    ax = hd.plot(curve, x=x)
    assert ax.get_xlabel() == label and ax.lines[0].get_xdata()[-1] == pytest.approx(20 * each)
    assert {"steps": curve.steps, "samples": curve.samples}.get(x, curve.time)[-1] == 20 * each


def test_overlay_names_what_differs() -> None:
    curve = curve_of()
    other = replace(curve, problem=hd.Problem(hd.PowerLaw(50, 0.3), hd.Laplace(0.5)))
    labels = [line.get_label() for line in hd.plot([curve, other]).lines]
    assert labels == ["SGD(lr=0.5), Gaussian(std=0.5)", "SGD(lr=0.5), Laplace(scale=0.5)"]
    ax = hd.plot({"mine": curve, "theirs": other}, ax=plt.subplots()[1])
    assert [line.get_label() for line in ax.lines] == ["mine", "theirs"]
    assert ax.lines[0].get_color() != ax.lines[1].get_color() and ax.lines[0].get_xdata()[0] == 0


def test_overlay_without_band() -> None:
    assert not hd.plot([ensemble_of(), ensemble_of(runs=1)], band=None).collections
    assert not hd.plot(ensemble_of(runs=1)).collections


def test_overlay_leaves_diverged_times_out() -> None:
    runs = ensemble_of()
    risk = runs.risk.copy()
    risk[2, runs.time > 1] = math.inf
    ax = hd.plot(replace(runs, risk=risk))
    assert max(ax.lines[0].get_xdata()) <= 1
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [(([],), "results"), (("curve",), "results"), (([1.0],), "results"), ((ensemble_of(), 1.5), "band")]
    + [((ensemble_of(), 0.8, "hours"), "x")],
    ids=["nothing", "text", "number", "band", "axis"],
)
def test_overlay_refuses(arguments: Any, argument: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=f"^{argument}: expected"):
        hd.plot(*arguments)
