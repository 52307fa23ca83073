"""What simulate records beside the risk: against twins, through divergence, and in files."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, name_of
from harness import PROBLEMS
from naive import simulated_errors

import hdlimit as hd
from hdlimit.simulation.ensemble import RECORDABLE, Ensemble
from hdlimit.simulation.kernels import steps as stream
from hdlimit.simulation.runs import Chain
from hdlimit.simulation.samplers import factor

PLAIN = ("distance", "gradient_norm")
PROBLEM = hd.Problem(hd.PowerLaw(12, 0.5), hd.StudentT(5, 0.4))
CLIP = hd.ClippedSGD(0.6, 0.6)


def fraction(clipped: Any, marks: np.ndarray) -> np.ndarray:
    """Mean of `clipped` over the steps between a mark and the one before it (or the start); 0 at mark 0."""
    edges = np.concatenate([[0], marks])
    return np.array([np.mean(clipped[a:b]) if b > a else 0.0 for a, b in zip(edges[:-1], edges[1:])])


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_naive_twin(name: str, optimizer: Any) -> None:
    problem, marks = PROBLEMS[name], np.array([0, 1, 2, 7, 20, 21, 45])
    clips = isinstance(optimizer, hd.ClippedSGD)
    k, d = problem.covariance.matrix, problem.dimension
    f = factor(k) if problem.covariance.diagonal is None and problem.rows is None else None
    record = RECORDABLE if clips else PLAIN
    runs = hd.simulate(problem, optimizer, 60 / d, 2, seed=4, times=marks / d, record=record)
    for run in range(2):
        errors, clipped = simulated_errors(problem, optimizer, 45, 4, run, f)
        distance, gradient = (errors**2).sum(axis=1), np.linalg.norm(errors @ k, axis=1)
        for values, twin in ((runs.distance[run], distance), (runs.gradient_norm[run], gradient)):
            np.testing.assert_allclose(values, twin[marks], rtol=1e-10, atol=1e-13 * twin[0])
        if clips:
            np.testing.assert_allclose(runs.clipped_fraction[run], fraction(clipped, marks), rtol=1e-14)


@pytest.mark.parametrize("method", ["direct", "blocks"])
def test_recording_changes_nothing(method: str) -> None:
    plain = hd.simulate(PROBLEM, CLIP, 3.0, 3, method=method)
    full = hd.simulate(PROBLEM, CLIP, 3.0, 3, method=method, record=RECORDABLE)
    assert np.array_equal(plain.risk, full.risk) and plain.recorded == ()
    assert [observable.name for observable in full.recorded] == list(RECORDABLE)
    for name in RECORDABLE:
        alone = hd.simulate(PROBLEM, CLIP, 3.0, 3, method=method, record=name)
        assert np.array_equal(alone.observable(name).values, full.observable(name).values)


def test_in_any_basis_the_same_distance() -> None:
    """Clipped SGD is computed in the eigenbasis of K: norm(delta) and norm(K delta) at the start know nothing of it."""
    problem = hd.Problem(hd.Wishart(15, 0.5), start=np.linspace(-1, 2, 15))
    delta = problem.initial_error
    runs = hd.simulate(problem, CLIP, 1.0, 2, times=[0.0], record=PLAIN)
    np.testing.assert_allclose(runs.distance[:, 0], delta @ delta, rtol=1e-12)
    np.testing.assert_allclose(runs.gradient_norm[:, 0], np.linalg.norm(problem.covariance.matrix @ delta), rtol=1e-12)


@pytest.mark.parametrize("method", ["direct", "blocks"])
def test_a_time_listed_twice(method: str) -> None:
    times = [0.0, 0.0, 0.5, 0.51, 2.0, 2.0]
    runs = hd.simulate(PROBLEM, CLIP, 2.0, 3, times=times, record=RECORDABLE, method=method)
    once = hd.simulate(PROBLEM, CLIP, 2.0, 3, times=[0.0, 0.5, 2.0], record=RECORDABLE, method=method)
    assert (runs.clipped_fraction[:, :2] == 0).all()
    for name in RECORDABLE:
        assert np.array_equal(runs.observable(name).values, once.observable(name).values[:, [0, 0, 1, 1, 2, 2]])


def test_fractions_add_up() -> None:
    """Whatever the recorded times, the same steps are clipped; without time 0 the first share counts from the start."""
    coarse = hd.simulate(PROBLEM, CLIP, 4.0, 3, times=[4.0], record=("clipped_fraction",))
    fine = hd.simulate(PROBLEM, CLIP, 4.0, 3, record=("clipped_fraction",))
    steps = np.rint(fine.time * 12)
    weight = np.diff(steps, prepend=0.0)
    np.testing.assert_allclose(fine.clipped_fraction @ weight / 48, coarse.clipped_fraction[:, 0], rtol=1e-12)
    assert (coarse.clipped_fraction > 0).all() and (coarse.clipped_fraction < 1).all()


def test_statistics_are_those_of_the_values() -> None:
    runs = hd.simulate(PROBLEM, CLIP, 2.0, 7, times=[0.5, 2.0], record=RECORDABLE)
    for name in ("risk", *RECORDABLE):
        observable = runs.observable(name)
        values = getattr(runs, name)
        assert observable.name == name and np.array_equal(observable.values, values) and values.shape == (7, 2)
        np.testing.assert_allclose(observable.mean, values.sum(axis=0) / 7, rtol=1e-13)
        deviation = np.sqrt(((values - values.mean(axis=0)) ** 2).sum(axis=0) / 6)
        np.testing.assert_allclose(observable.spread, deviation, rtol=1e-12)
        np.testing.assert_allclose(observable.stderr, deviation / math.sqrt(7), rtol=1e-12)
    assert np.array_equal(runs.mean, runs.observable("risk").mean)
    assert np.isinf(hd.simulate(PROBLEM, CLIP, 2.0, 1, record="distance").observable("distance").stderr).all()


def test_after_divergence_everything_is_infinite() -> None:
    problem = hd.Problem(hd.Isotropic(20), hd.Gaussian(0.5))
    with pytest.warns(hd.errors.DivergenceWarning):
        runs = hd.simulate(problem, hd.ClippedSGD(6.0, math.inf), 20.0, 3, record=RECORDABLE)
    gone = np.isinf(runs.risk)
    assert gone.any() and not gone.all()
    for name in RECORDABLE:
        values = runs.observable(name).values
        assert np.array_equal(np.isinf(values), gone) and not np.isnan(values).any()
        assert np.isinf(runs.observable(name).spread[-1]) and np.isfinite(runs.observable(name).spread[1])


@pytest.mark.parametrize("scale", [1e-160, 1e-100, 1.0, 1e100])
def test_lengths_neither_overflow_nor_vanish(scale: float) -> None:
    v = scale * np.array([3.0, -4.0, 0.0])
    assert stream.norm(v) == pytest.approx(5 * scale, rel=1e-15)
    diagonal = Chain(v, np.array([2.0, 1.0, 5.0]), 8.0, None)  # type: ignore[arg-type]
    assert diagonal.gradient_norm(v) == pytest.approx(math.sqrt(52) * scale, rel=1e-14)
    k = np.array([[2.0, 1.0, 0.5], [1.0, 3.0, 0.0], [0.5, 0.0, 1.0]])
    full = Chain(v, k, 6.0, None)  # type: ignore[arg-type]
    assert full.gradient_norm(v) == pytest.approx(np.linalg.norm(k @ [3.0, -4.0, 0.0]) * scale, rel=1e-14)
    assert stream.norm(np.zeros(3)) == 0 and stream.norm(np.array([1.0, math.inf])) == math.inf


# ---- refusals


def test_what_was_not_recorded_says_how_to_record_it() -> None:
    runs = hd.simulate(PROBLEM, CLIP, 1.0, 2, record=("distance",))
    message = r"gradient_norm: was not recorded; simulate\(..., record=\('gradient_norm',\)\) records it"
    with pytest.raises(hd.errors.NotAvailable, match=message):
        _ = runs.gradient_norm
    with pytest.raises(hd.errors.NotAvailable, match="clipped_fraction: was not recorded"):
        runs.observable("clipped_fraction")
    with pytest.raises(hd.errors.InvalidInput, match="name: expected one of 'risk', 'distance', .* got 'speed'"):
        runs.observable("speed")


@pytest.mark.parametrize(
    ("optimizer", "record", "message"),
    [
        (CLIP, ("distance", "speed"), "record: expected one of 'distance', .* got 'speed'"),
        (CLIP, "risk", "record: expected one of 'distance', .* got 'risk'"),
        (CLIP, None, "record: expected names out of 'distance', .* got None"),
        (CLIP, 3, "record: expected names out of 'distance', .* got 3"),
        (hd.SGD(0.5), ("clipped_fraction",), "record: expected 'clipped_fraction' for an optimizer that clips only"),
        (hd.SignSGD(0.5), ("clipped_fraction",), "record: expected 'clipped_fraction' for an optimizer that clips"),
    ],
)
def test_bad_records_are_refused(optimizer: Any, record: Any, message: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=message):
        hd.simulate(PROBLEM, optimizer, 1.0, 2, record=record)


# ---- files


def test_saved_and_loaded_bit_for_bit(tmp_path: Path) -> None:
    runs = hd.simulate(PROBLEM, CLIP, 2.0, 3, record=RECORDABLE, method="blocks")
    runs.save(tmp_path / "runs.npz")
    back = hd.load(tmp_path / "runs.npz")
    assert isinstance(back, Ensemble) and back.method == "blocks"
    assert back.recorded == runs.recorded and np.array_equal(back.risk, runs.risk)


def test_columns_of_what_was_recorded(tmp_path: Path) -> None:
    runs = hd.simulate(PROBLEM, CLIP, 2.0, 3, times=[0.0, 1.0, 2.0], record=RECORDABLE)
    runs.save(tmp_path / "runs.csv")
    lines = [line for line in (tmp_path / "runs.csv").read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    runs.save(tmp_path / "runs.json")
    content = json.loads((tmp_path / "runs.json").read_text())
    assert content["method"] == "direct"
    for name in RECORDABLE:
        for column, values in ((name, "mean"), (f"{name}_spread", "spread"), (f"{name}_stderr", "stderr")):
            expected = getattr(runs.observable(name), values).tolist()
            assert [float(row[column]) for row in rows] == expected == content[column]


def test_files_without_observables_still_load(tmp_path: Path) -> None:
    """As written before simulate had methods and records: the two fields are not in the header."""
    runs = hd.simulate(PROBLEM, CLIP, 1.0, 2)
    runs.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as stored:
        content = dict(stored)
    header = json.loads(str(content["metadata"]))
    assert header["result"].pop("method") == "direct" and header["result"].pop("recorded") == []
    np.savez(tmp_path / "old.npz", **(content | {"metadata": np.array(json.dumps(header))}))
    back = hd.load(tmp_path / "old.npz")
    assert isinstance(back, Ensemble)
    assert (back.method, back.recorded) == ("direct", ()) and np.array_equal(back.risk, runs.risk)
