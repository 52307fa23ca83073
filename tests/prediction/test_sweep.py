"""Sweeps: every point is predict's curve, in every bit the same on any number of threads, labelled and kept exactly."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import COVARIANCES, FUNCTION_SCHEDULE, NOISES, OPTIMIZERS, SCHEDULES, name_of

import hdlimit as hd
from hdlimit.errors import Status
from hdlimit.prediction import grid

PROBLEM = hd.Problem(hd.PowerLaw(60, 0.3), hd.StudentT(df=3, scale=0.5))
CLIP = hd.ClippedSGD(lr=0.5, threshold=0.9)
pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")


def place_of(sweep: hd.results.Sweep, index: tuple[int, ...]) -> dict[str, Any]:
    return {name: values[k] for (name, values), k in zip(sweep.axes.items(), index)}


def assert_predicted(sweep: hd.results.Sweep, rtol: float) -> None:
    """Every point against predict, built here from the declarations and not by `sel`."""
    for index in np.ndindex(*sweep.status.shape):
        values = place_of(sweep, index)
        own = {n: v.item() for n, v in values.items() if n in ("lr", "threshold", "batch_size")}
        parameters = {n: v.item() for n, v in values.items() if n in ("std", "df", "scale", "half_width")}
        noise = values.get("noise", replace(sweep.problem.noise, **parameters))
        problem, optimizer = replace(sweep.problem, noise=noise), replace(sweep.optimizer, **own)
        curve = hd.predict(problem, optimizer, sweep.horizon, sweep.time, rtol=sweep.rtol)
        risk = sweep.risk[index]
        reached = curve.time.size
        np.testing.assert_allclose(risk[:reached], curve.risk, rtol=rtol, atol=1e-50, err_msg=repr(values))
        assert np.isinf(risk[reached:]).all()
        assert sweep.status[index] == curve.outcome.status.value
        assert sweep.end[index] == pytest.approx(curve.end, rel=1e-3)


# every point is predict's


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_every_law_over_lr_and_threshold(noise: Any) -> None:
    heavy = math.isinf(noise.second_moment)
    sweep = hd.sweep(
        replace(PROBLEM, noise=noise),
        CLIP,
        12.0,
        lr=[0.05, 2.5, 0.4],
        threshold=[0.02, 1.0, 30.0 if heavy else math.inf],
    )
    assert sweep.names == ("lr", "threshold") and sweep.risk.shape == (3, 3, 201)
    assert_predicted(sweep, 2e-6)


@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
@pytest.mark.parametrize("optimizer", [hd.SGD(0.5), hd.SignSGD(0.3), CLIP], ids=name_of)
def test_every_covariance(covariance: Any, optimizer: Any) -> None:
    problem = hd.Problem(covariance, hd.Laplace(0.4))
    assert_predicted(hd.sweep(problem, optimizer, 20.0, times=[0.0, 0.3, 5.0, 20.0], lr=[0.1, 0.7]), 2e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
def test_every_optimizer_along_the_noise(optimizer: Any) -> None:
    problem = hd.Problem(hd.PowerLaw(60, 0.3), hd.Gaussian(0.5))
    assert_predicted(hd.sweep(problem, optimizer, 6.0, std=[0.1, 1.3]), 2e-6)


@pytest.mark.parametrize("schedule", [*SCHEDULES, FUNCTION_SCHEDULE], ids=name_of)
def test_schedules_that_are_not_swept(schedule: Any) -> None:
    assert_predicted(hd.sweep(PROBLEM, hd.ClippedSGD(schedule, 0.3), 6.0, threshold=[0.2, 0.9]), 2e-6)
    assert_predicted(hd.sweep(PROBLEM, hd.ClippedSGD(0.1, schedule), 6.0, lr=[0.2, 0.9]), 2e-6)


def test_noise_parameters_laws_and_batches() -> None:
    sweep = hd.sweep(PROBLEM, CLIP, 5.0, df=[1.5, 6.0], lr=[0.2, 0.6], scale=[0.1, 1.0])
    assert sweep.names == ("df", "lr", "scale")
    assert_predicted(sweep, 2e-6)
    laws = [hd.NoNoise(), hd.Gaussian(0.3), hd.Uniform(1.0)]
    sweep = hd.sweep(PROBLEM, CLIP, 5.0, noise=laws, threshold=[0.4])
    assert sweep.values[0] == tuple(laws)
    assert_predicted(sweep, 2e-6)
    assert_predicted(hd.sweep(replace(PROBLEM, noise=laws[1]), CLIP, 5.0, batch_size=[1, 2, 7], lr=[0.3, 0.6]), 2e-6)
    assert_predicted(hd.sweep(PROBLEM, hd.SignSGD(0.2), 5.0, batch_size=[1, 3], lr=[0.1, 0.3]), 2e-6)


@pytest.mark.parametrize("rtol", [1e-3, 1e-7, 1e-9])
def test_rtol(rtol: float) -> None:
    """Against a curve at rtol 1e-10, below 3 rtol as predict itself; an lr 5 % off is told apart (the twin)."""
    sweep = hd.sweep(PROBLEM, CLIP, 30.0, rtol=rtol, lr=[0.2, 0.9], threshold=[0.3, 2.0])
    for index in np.ndindex(2, 2):
        optimizer = hd.ClippedSGD(*(values[k] for values, k in zip(sweep.values, index)))
        exact = hd.predict(PROBLEM, optimizer, 30.0, rtol=1e-10).risk
        assert np.abs(sweep.risk[index] / exact - 1).max() < 3 * rtol
        planted = hd.predict(PROBLEM, replace(optimizer, lr=1.05 * sweep.values[0][index[0]]), 30.0).risk
        assert np.abs(planted / exact - 1).max() > 3 * rtol


@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_many_eigenvalues(rtol: float) -> None:
    """Above 4096 eigenvalues the modes are few, as predict's."""
    problem = hd.Problem(hd.PowerLaw(6000, 0.4), hd.Gaussian(0.5))
    assert_predicted(hd.sweep(problem, CLIP, 200.0, rtol=rtol, lr=[0.2, 0.9]), 2 * rtol)
    billion = hd.Problem(hd.PowerLaw(10**9, 0.4), hd.Gaussian(0.5))
    assert_predicted(hd.sweep(billion, CLIP, 200.0, times=[0.0, 1.0, 200.0], lr=[0.2, 0.9]), 2e-6)


def test_falls_below_every_scale_and_starts_at_rest() -> None:
    """Noiseless curves fall to 0 as predict's do; at the target nothing moves without noise, and it rises with it."""
    quiet = hd.Problem(hd.Isotropic(50))
    assert_predicted(hd.sweep(quiet, hd.SGD(0.5), 400.0, lr=[0.5, 1.0]), 3e-6)
    assert_predicted(hd.sweep(quiet, CLIP, 400.0, lr=[0.5, 1.0]), 3e-6)
    rest = hd.Problem(hd.Isotropic(50), target=np.ones(50), start=np.ones(50))
    sweep = hd.sweep(rest, CLIP, 4.0, lr=[0.5, 1.0])
    assert (sweep.risk == 0).all() and (sweep.status == "finished").all() and (sweep.end == 4.0).all()
    assert_predicted(hd.sweep(rest, CLIP, 4.0, noise=[hd.Gaussian(0.3), hd.StudentT(df=2.5, scale=0.3)]), 2e-6)


def test_small_units_are_as_good() -> None:
    """y in units of 1e-30: the same curves times 1e-60."""
    unit = 1e-30
    axes = {"lr": [0.2, 0.9]}
    plain = hd.sweep(PROBLEM, CLIP, 10.0, **axes, threshold=[0.3, 2.0])
    target = np.full(60, 60**-0.5) * unit
    problem = replace(PROBLEM, noise=hd.StudentT(df=3, scale=0.5 * unit), target=target)
    small = hd.sweep(problem, hd.ClippedSGD(0.5, unit), 10.0, **axes, threshold=[0.3 * unit, 2.0 * unit])
    np.testing.assert_allclose(small.risk / unit**2, plain.risk, rtol=2e-6)


def test_divergence_is_an_outcome() -> None:
    """Diverged points are inf from their end on, without NaN; best never picks one."""
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.3))
    sweep = hd.sweep(problem, hd.SGD(0.5), 60.0, lr=[0.5, 2.1, 4.0])
    assert sweep.status.tolist() == ["finished", "unstable", "diverged"]
    assert_predicted(sweep, 2e-6)
    assert np.isinf(sweep.risk[2, -1]) and sweep.end[2] < 60.0 and not np.isnan(sweep.risk).any()
    assert sweep.best == {"lr": 0.5}
    assert (
        sweep.outcome.status is Status.DIVERGED and sweep.outcome.sentence == "1 finished, 1 unstable, 1 diverged of 3"
    )
    assert "critical lr" in sweep.sel(lr=4.0).outcome.sentence
    with pytest.raises(hd.errors.NotAvailable, match="best: 1 diverged of 1"):
        hd.sweep(problem, hd.SGD(0.5), 60.0, lr=[4.0], final=True).best  # noqa: B018


def test_a_wrong_point_is_seen() -> None:
    """The twin of the comparisons above: two points swapped, a risk off by 5e-6, a status that is another."""
    sweep = hd.sweep(PROBLEM, CLIP, 5.0, lr=[0.2, 0.21])
    wrong = (
        replace(sweep, risk=sweep.risk[::-1]),
        replace(sweep, risk=sweep.risk * (1 + np.array([[0.0], [5e-6]]))),
        replace(sweep, status=np.array(["finished", "unstable"])),
    )
    assert_predicted(sweep, 2e-6)
    for one in wrong:
        with pytest.raises(AssertionError):
            assert_predicted(one, 2e-6)


# the grid


@pytest.mark.parametrize("case", ["remembered", "tables", pytest.param("surface", marks=pytest.mark.slow)])
def test_threads_and_executors_change_no_bit(case: str) -> None:
    """Sums that are remembered, tables of batches that v leaves, and a threshold that moves."""
    axes: dict[str, Any] = {"lr": np.geomspace(0.05, 2, 11), "df": [1.5, 5.0]}
    optimizer = replace(CLIP, batch_size=1 if case == "remembered" else 3)
    if case == "surface":
        axes, optimizer = {"lr": axes["lr"]}, replace(optimizer, threshold=hd.schedules.Cosine(1.0, 0.5, 5.0))
    problem = replace(PROBLEM, noise=hd.Laplace(0.02)) if case == "surface" else PROBLEM
    one = hd.sweep(problem, optimizer, 8.0, threads=1, **axes)
    others = [hd.sweep(problem, optimizer, 8.0, threads=threads, **axes) for threads in (2, 5)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        others.append(hd.sweep(problem, optimizer, 8.0, executor=pool, **axes))
    for other in others:
        assert other.risk.tobytes() == one.risk.tobytes() and other.end.tobytes() == one.end.tobytes()


def test_ranges_that_are_left_are_widened() -> None:
    """A table over too short a range of v is built anew for the points that leave it, by powers of 16."""
    assert grid.widened((1.0, 20.0), 0.5, 10.0) == (1 / 16, 20.0 * 16)
    assert grid.widened((1.0, 20.0), 5.0, 400.0) == (1.0, 20.0 * 256)
    low, high = grid.widened((1.0, 20.0), 3e-7, 21.0)
    assert low <= 3e-7 / 4 and high >= 84.0


class Interrupted(ThreadPoolExecutor):
    """Ctrl-C while the third task is handed out."""

    tasks = 0

    def submit(self, *args: Any, **options: Any) -> Any:
        self.tasks += 1
        if self.tasks == 3:
            raise KeyboardInterrupt
        return super().submit(*args, **options)


def test_an_interrupt_ends_a_sweep() -> None:
    with Interrupted(1) as pool, pytest.raises(KeyboardInterrupt):
        hd.sweep(hd.Problem(hd.PowerLaw(3000, 0.3)), CLIP, 20.0, final=True, executor=pool, lr=np.linspace(0.1, 1, 600))
    assert pool.tasks == 3


def test_schedules_as_an_axis(tmp_path: Path) -> None:
    """Schedules and numbers among them on the axes of lr and of the threshold: predict's curves, found by value."""
    rates = [0.3, hd.schedules.Cosine(0.6, 0.1, 4.0), hd.schedules.Steps([2.0], [0.5, 0.1])]
    clips = (1.0, hd.schedules.Power(2.0, 0.3, 1.0), math.inf)
    sweep = hd.sweep(PROBLEM, CLIP, 6.0, lr=rates, threshold=clips)
    assert sweep.names == ("lr", "threshold") and sweep.values == (tuple(rates), clips)
    for i, lr in enumerate(rates):
        for j, clip in enumerate(clips):
            exact = hd.predict(PROBLEM, hd.ClippedSGD(lr, clip), 6.0, sweep.time)
            np.testing.assert_allclose(sweep.risk[i, j], exact.risk, rtol=2e-6)
            assert sweep.sel(lr=lr, threshold=clip).optimizer == hd.ClippedSGD(lr, clip)
            assert sweep.status[i, j] == exact.outcome.status.value
    assert not np.allclose(sweep.risk[0, 0], sweep.risk[1, 0], rtol=1e-3)
    best = sweep.best
    assert sweep.sel(**best).final_risk == sweep.final_risk.min()
    sweep.save(tmp_path / "sweep.npz")
    assert hd.load(tmp_path / "sweep.npz").values == sweep.values  # type: ignore[union-attr]
    assert set(sweep.columns()["lr"]) == {"0.3", *map(repr, rates[1:])}
    with pytest.raises(hd.errors.NotAvailable, match="plot: needs axes of numbers"):
        sweep.plot()
    assert len(sweep.sel(threshold=1.0).plot().lines) == 3


def test_compression_is_passed_on() -> None:
    """No compression and a coarse one, against predict with the same, which tells them apart; curve keeps it."""
    problem = hd.Problem(hd.PowerLaw(5000, 0.8), hd.Gaussian(0.3))
    curves = {}
    for compress in (False, 1e-2):
        sweep = hd.sweep(problem, CLIP, 5.0, times=[0.0, 5.0], compress=compress, lr=[0.3], rtol=1e-8)
        exact = hd.predict(problem, replace(CLIP, lr=0.3), 5.0, [0.0, 5.0], rtol=1e-8, compress=compress)
        np.testing.assert_allclose(sweep.risk[0], exact.risk, rtol=3e-8)
        assert sweep.compress == compress
        np.testing.assert_array_equal(sweep.sel(lr=0.3).curve.risk, exact.risk)
        curves[compress] = sweep.risk[0, -1]
    assert abs(curves[1e-2] / curves[False] - 1) > 1e-7


def test_final_risks_are_the_last_of_the_curves() -> None:
    axes = {"threshold": [0.3, 1.0], "lr": [0.2, 0.5, 0.9]}
    curves, final = (hd.sweep(PROBLEM, CLIP, 8.0, final=kind, **axes) for kind in (False, True))
    np.testing.assert_array_equal(final.risk, curves.risk[..., -1])
    np.testing.assert_array_equal(final.final_risk, curves.final_risk)
    assert final.final and not curves.final and final.time.tolist() == [8.0] and final.best == curves.best
    i, j = np.unravel_index(final.risk.argmin(), final.risk.shape)
    assert final.best == {"threshold": axes["threshold"][i], "lr": axes["lr"][j]}
    assert type(final.best["lr"]) is float
    assert repr(final).startswith("Sweep(2 threshold x 3 lr: risks to t=8, 6 finished of 6)")


def test_lookup_by_value() -> None:
    sweep = hd.sweep(PROBLEM, CLIP, 8.0, lr=[0.2, 0.5], threshold=[0.3, math.inf], df=[2.5, 4.0])
    part = sweep.sel(threshold=math.inf, df=4.0)
    assert part.names == ("lr",) and part.optimizer.threshold == math.inf and part.problem.noise.df == 4.0
    np.testing.assert_array_equal(part.risk, sweep.risk[:, 1, 1])
    point = sweep.sel(lr=0.5).sel(threshold=0.3, df=2.5)
    assert point.optimizer == hd.ClippedSGD(0.5, 0.3) and point.problem.noise == hd.StudentT(df=2.5, scale=0.5)
    np.testing.assert_allclose(point.curve.risk, point.risk, rtol=2e-6)
    assert point.outcome == point.curve.outcome and "one point" in repr(point)
    laws = hd.sweep(PROBLEM, CLIP, 8.0, noise=[hd.NoNoise(), hd.Gaussian(0.3)])
    np.testing.assert_array_equal(laws.sel(noise=hd.Gaussian(0.3)).risk, laws.risk[1])
    with pytest.raises(
        hd.errors.InvalidInput, match=r"lr: expected one of the values on the axis \(0.2, 0.5\), got 0.3"
    ):
        sweep.sel(lr=0.3)
    with pytest.raises(hd.errors.InvalidInput, match="std: expected an axis of the sweep: lr, threshold, df, got"):
        sweep.sel(std=0.3)
    with pytest.raises(hd.errors.InvalidInput, match="curve: expected one point: sel"):
        part.curve  # noqa: B018


def test_warnings_come_once_each() -> None:
    problem = hd.Problem(hd.Isotropic(10), hd.StudentT(df=3, scale=0.5))
    with pytest.warns(hd.errors.HdlimitWarning) as caught:
        hd.sweep(problem, CLIP, 2.0, df=[2.5, 3.5], lr=[0.1, 0.2], threshold=[1.0, math.inf])
    assert sorted(w.category.__name__ for w in caught) == ["HeavyTailWarning", "LowDimensionWarning"]
    assert all(w.filename == __file__ for w in caught)


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    hd.sweep(PROBLEM, CLIP, 2.0, lr=np.linspace(0.1, 0.5, 40), progress=True)
    assert "40/40" in capsys.readouterr().err
    hd.sweep(PROBLEM, CLIP, 2.0, lr=[0.1])
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "optimizer, axes, match",
    [
        (CLIP, {}, "axes: expected values for at least one of lr, threshold, batch_size, noise, df, scale"),
        (CLIP, {"lr": []}, "lr: .* empty"),
        (CLIP, {"noise": []}, "noise: expected a list of distinct noise laws"),
        (CLIP, {"momentum": [0.9]}, "momentum: expected an axis or an option of sweep: lr, .* unknown name"),
        (CLIP, {"std": [0.9]}, r"std: expected an axis .*df, scale, times, .*\(is it scale\?\)"),
        (hd.SGD(0.5), {"threshold": [1.0]}, r"threshold: expected an optimizer that clips, got SGD\(lr=0.5\)"),
        (CLIP, {"lr": [0.1, -0.2]}, "lr: expected values > 0, got a smallest value of -0.2"),
        (CLIP, {"lr": [0.1, math.inf]}, "lr"),
        (CLIP, {"lr": [0.1, math.nan]}, "lr"),
        (CLIP, {"lr": [[0.1], [0.2]]}, "lr: expected a finite array with 1 dimension"),
        (CLIP, {"lr": "fast"}, "lr"),
        (
            CLIP,
            {"lr": [hd.schedules.Cosine(0.5, 0.1, 2.0), "fast"]},
            "lr: expected a number > 0, a schedule or a function of t",
        ),
        (CLIP, {"lr": [hd.schedules.Cosine(0.5, 0.1, 2.0), -0.1]}, "lr: expected a number > 0, a schedule"),
        (
            CLIP,
            {"lr": [hd.schedules.Cosine(0.5, 0.1, 2.0), hd.schedules.Cosine(0.5, 0.1, 2.0)]},
            "lr: expected distinct schedules",
        ),
        (CLIP, {"lr": [hd.schedules.Cosine(0.5, 0.1, 2.0), math.inf]}, "lr"),
        (CLIP, {"batch_size": [hd.schedules.Cosine(0.5, 0.1, 2.0)]}, "batch_size"),
        (CLIP, {"lr": [0.1, 0.1]}, "lr: expected distinct values"),
        (CLIP, {"threshold": [0.0, 1.0]}, "threshold: expected values > 0"),
        (CLIP, {"threshold": [math.inf, math.nan]}, "threshold"),
        (CLIP, {"batch_size": [1.5]}, "batch_size: expected an integer"),
        (CLIP, {"df": [-1.0]}, "df"),
        (CLIP, {"scale": [1e99]}, "scale"),
        (CLIP, {"noise": ["loud"]}, "noise"),
        (CLIP, {"noise": [hd.NoNoise()], "df": [2.0]}, "noise: expected an axis of laws or one of df, not both"),
        (CLIP, {"lr": [0.1], "rtol": 1.0}, "rtol"),
        (CLIP, {"lr": [0.1], "times": [9.0]}, "times"),
        (CLIP, {"lr": [0.1], "times": [1.0], "final": True}, "times: expected None with final=True"),
        (CLIP, {"lr": [0.1], "threads": 0}, "threads"),
        (CLIP, {"lr": [0.1], "executor": 4}, "executor: expected a concurrent.futures.Executor or None, got 4"),
        (
            CLIP,
            {"lr": [0.1], "executor": ThreadPoolExecutor(1), "threads": 2},
            "threads: expected None with an executor",
        ),
        (CLIP, {"lr": [0.1], "compress": 0.5}, "compress"),
        ("adam", {"lr": [0.1]}, "optimizer"),
    ],
)
def test_bad_input(optimizer: Any, axes: dict[str, Any], match: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=match):
        hd.sweep(PROBLEM, optimizer, 2.0, **axes)


def test_points_without_a_limit_are_refused() -> None:
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        hd.sweep(PROBLEM, hd.SGD(0.5), 2.0, df=[3.0, 1.5], lr=[0.1])
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        hd.sweep(replace(PROBLEM, noise=hd.StudentT(df=2, scale=1)), CLIP, 2.0, threshold=[1.0, math.inf])


# files, labels, figures


@pytest.mark.parametrize("final", [False, True])
def test_files(tmp_path: Path, final: bool) -> None:
    laws = [hd.StudentT(df=5, scale=0.5), hd.Gaussian(0.3)]
    sweep = hd.sweep(PROBLEM, hd.SGD(0.5), 40.0, final=final, noise=laws, lr=[0.2, 6.0])
    sweep.save(tmp_path / "sweep.npz")
    loaded = hd.load(tmp_path / "sweep.npz")
    assert isinstance(loaded, hd.results.Sweep) and loaded.names == sweep.names and loaded.values[0] == tuple(laws)
    for name in ("time", "risk", "status", "end"):
        a, b = getattr(loaded, name), getattr(sweep, name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    assert loaded.problem == sweep.problem and loaded.optimizer == sweep.optimizer
    sweep.save(tmp_path / "sweep.csv")
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == sweep.risk.size and any(line.startswith("# version") for line in lines)
    for row in rows[:: max(len(rows) // 7, 1)]:
        k = next(k for k, law in enumerate(laws) if repr(law) == row["noise"])
        part = sweep.sel(noise=laws[k], lr=float(row["lr"]))
        assert float(row["risk"]) == float(np.atleast_1d(part.risk)[part.time.tolist().index(float(row["time"]))])
    sweep.save(tmp_path / "sweep.json")
    stored = json.loads((tmp_path / "sweep.json").read_text())
    assert stored["result"] == "Sweep" and "diverged" in stored["sweep_outcome"] and None in stored["risk"]
    assert pickle.loads(pickle.dumps(sweep)).risk.tobytes() == sweep.risk.tobytes()


def test_labels_for_xarray() -> None:
    pytest.importorskip("xarray")
    sweep = hd.sweep(PROBLEM, CLIP, 4.0, noise=[hd.NoNoise(), hd.Gaussian(0.3)], lr=[0.2, 0.5])
    data = sweep.to_xarray()
    assert data.risk.dims == ("noise", "lr", "time") and data.status.dims == ("noise", "lr")
    np.testing.assert_array_equal(data.risk.sel(noise="Gaussian(std=0.3)", lr=0.5), sweep.risk[1, 1])
    final = hd.sweep(PROBLEM, CLIP, 4.0, final=True, lr=[0.2, 0.5]).to_xarray()
    assert final.risk.dims == ("lr",) and final.attrs["horizon"] == 4.0


def test_without_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(
        hd.errors.NotAvailable, match=r"to_xarray: xarray is not installed, pip install 'hdlimit\[labels\]'"
    ):
        hd.sweep(PROBLEM, CLIP, 4.0, lr=[0.2]).to_xarray()


def test_figures() -> None:
    import matplotlib.pyplot as plt

    lr = [0.5, 0.2, 0.9]
    curves = hd.sweep(PROBLEM, CLIP, 4.0, lr=lr)
    assert [line.get_label() for line in curves.plot().lines] == ["lr=0.5", "lr=0.2", "lr=0.9"]
    assert len(curves.sel(lr=0.2).plot().lines) == 1
    (line,) = hd.sweep(PROBLEM, CLIP, 4.0, final=True, lr=lr).plot().lines
    np.testing.assert_array_equal(line.get_xdata(), sorted(lr))
    np.testing.assert_array_equal(line.get_ydata(), curves.final_risk[[1, 0, 2]])
    both = hd.sweep(PROBLEM, CLIP, 4.0, lr=lr, threshold=[1.0, math.inf, 0.3])
    ax = both.plot()
    assert ax.get_xlabel() == "step size lr" and ax.get_ylabel().startswith("clip threshold")
    assert ax.lines[0].get_xdata() == [both.best["lr"]] and ax.lines[0].get_ydata() == [
        min(both.best["threshold"], 1.0)
    ]
    with pytest.raises(hd.errors.NotAvailable, match="plot: needs two axes of numbers"):
        hd.sweep(PROBLEM, CLIP, 4.0, lr=lr, threshold=[1.0], df=[3.0]).plot()
    plt.close("all")


def test_a_value_is_found_within_rounding():
    """0.1 + 0.2, single precision and six printed digits; the twin, a part in a thousand off, is refused."""
    axis = np.geomspace(0.05, 1.0, 7)
    sweep = hd.sweep(hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5)), hd.SGD(1.0), 1.0, final=True, lr=[*axis, 0.3])
    for value, held in [(0.1 + 0.2, 0.3), (np.float32(0.3), 0.3), *((float(f"{x:.6g}"), x) for x in axis)]:
        assert sweep.sel(lr=value).optimizer == hd.SGD(held)
        assert sweep.sel(lr=value).risk == sweep.risk[list(sweep.values[0]).index(held)]
        with pytest.raises(hd.errors.InvalidInput, match="lr: expected one of the values on the axis"):
            sweep.sel(lr=1.001 * value)


def test_best_is_never_over_problems():
    """The least risk over laws of noise is that of the least noise: nobody can choose it."""
    problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
    for axes in ({"std": [0.1, 1.0]}, {"noise": [hd.Gaussian(0.1), hd.Laplace(1.0)]}):
        sweep = hd.sweep(problem, hd.SGD(1.0), 20.0, final=True, lr=[0.1, 0.4, 1.2], **axes)
        ((name, values),) = axes.items()
        with pytest.raises(hd.errors.NotAvailable, match=rf"best: .* sel\(\.\.\.\) of {name} first"):
            sweep.best  # noqa: B018
        for k, value in enumerate(values):
            part = sweep.sel(**{name: value})
            assert part.best == {"lr": [0.1, 0.4, 1.2][int(sweep.risk[:, k].argmin())]}
    numbers = hd.sweep(problem, hd.SGD(1.0), 20.0, final=True, lr=[0.1, 0.4, 1.2], std=[0.1, 1.0])
    assert not numbers.plot().lines  # no cross at a best point


def test_caveats_are_looked_for_once_a_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for every pair of two schedules on the axis."""
    seen: list[Any] = []

    def counted(limit: Any, problem: Any, horizon: float) -> list[Warning]:
        seen.append(limit.lr)
        return []

    monkeypatch.setattr("hdlimit.prediction.points.caveats", counted)
    schedules = [hd.schedules.Linear(0.1 * k, 0.0, 3.0) for k in range(1, 6)]
    hd.sweep(hd.Problem(hd.Isotropic(40), hd.Gaussian(0.5)), hd.SGD(0.1), 2.0, lr=schedules, batch_size=[1, 2])
    assert len(seen) == 10 and set(seen) == set(schedules)
