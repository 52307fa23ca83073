"""Saved results: exact, whole or absent, and refused when they are not ours."""

from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import COVARIANCES, FUNCTION_SCHEDULE, NOISES, OPTIMIZERS, name_of

import hdlimit as hd
from hdlimit.core.declaration import encode
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.prediction.curve import Curve
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.verification.report import Report


def curve_of(problem: Any, optimizer: Any) -> Curve:
    """A curve with arbitrary numbers in every array."""
    rng = np.random.default_rng(3)
    knots = np.array([0.0, 1e-3, 0.7, 20.0])
    dense = DenseOutput(knots, rng.uniform(1, 2, (3, 3)), rng.uniform(0, 0.1, (3, 3, 4)) * 1e-7)
    time = np.array([0.0, 1e-300, 1 / 3, 20.0])
    outcome = hd.errors.Outcome(hd.errors.Status.UNSTABLE, 'a sentence with "quotes", a µ and a\nnew line')
    return Curve(problem, optimizer, 20.0, 1e-6, time, dense(time, 0) / 2, outcome, dense, "0.1.0")


def ensemble_of(problem: Any, optimizer: Any) -> Ensemble:
    """Three runs, one of them diverged, and an entropy of 128 bits."""
    rng = np.random.default_rng(4)
    risk = rng.uniform(1, 2, (3, 4))
    risk[1, 2:] = math.inf
    outcome = hd.errors.Outcome(hd.errors.Status.DIVERGED, "one run diverged")
    time = np.array([0.0, 0.5, 1.0, 20.0])
    return Ensemble(problem, optimizer, 20.0, time, risk, 2**127 + 1, (5, 0), "gaussian", outcome, "0.1.0")


def report_of(problem: Any, optimizer: Any) -> Report:
    """A report with arbitrary numbers at two test times."""
    numbers = np.random.default_rng(5).uniform(1, 2, (5, 2))
    return Report(curve_of(problem, optimizer), ensemble_of(problem, optimizer), *numbers, 0.01, 3.5)


def assert_identical(a: Any, b: Any, where: str = "result") -> None:
    """Same types and the same bits, through all fields."""
    assert type(a) is type(b), where
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), where
    elif is_dataclass(a) and not isinstance(a, ScipyNoise):
        for f in fields(a):
            assert_identical(getattr(a, f.name), getattr(b, f.name), f"{where}.{f.name}")
    elif isinstance(a, tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            assert_identical(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def assert_round_trip(result: Any, tmp_path: Path) -> None:
    result.save(tmp_path / "result.npz")
    assert_identical(hd.load(tmp_path / "result.npz"), result)


PROBLEM = hd.Problem(hd.PowerLaw(8, 0.5), hd.StudentT(df=5, scale=0.5))


@pytest.mark.parametrize("make", [curve_of, ensemble_of, report_of])
def test_exact(tmp_path: Path, make: Any) -> None:
    assert_round_trip(make(PROBLEM, hd.SGD(0.1 + 0.2)), tmp_path)


def test_the_comparison_sees_one_bit() -> None:
    """The twin of the round trips: a difference in the last bit is rejected."""
    curve = curve_of(PROBLEM, hd.SGD(0.3))
    risk = curve.risk.copy()
    risk[2] = np.nextafter(risk[2], 2)
    with pytest.raises(AssertionError, match="result.risk"):
        assert_identical(replace(curve, risk=risk), curve)
    with pytest.raises(AssertionError, match="result.optimizer.lr"):
        assert_identical(curve_of(PROBLEM, hd.SGD(0.1 + 0.2)), curve)


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_exact_noise(tmp_path: Path, noise: Any) -> None:
    assert_round_trip(curve_of(hd.Problem(hd.Isotropic(3), noise), hd.SGD(0.1)), tmp_path)


@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_exact_covariance(tmp_path: Path, covariance: Any) -> None:
    d = covariance.dimension
    problem = hd.Problem(covariance, target=np.arange(d) / 7, start=np.full(d, 1e-308))
    assert_round_trip(ensemble_of(problem, hd.SGD(0.1)), tmp_path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
def test_exact_optimizer(tmp_path: Path, optimizer: Any) -> None:
    assert_round_trip(curve_of(PROBLEM, optimizer), tmp_path)


def test_exact_with_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(30, 3)), np.ones(30)])
    problem = hd.Problem.from_data(x, rng.normal(size=30), columns=["a", "b, c", "µ", "constant"])
    assert problem.rows is not None and problem.rows.dropped
    assert_round_trip(ensemble_of(problem, hd.SGD(0.1)), tmp_path)


def test_simulated_runs_are_exact(tmp_path: Path) -> None:
    assert_round_trip(hd.simulate(PROBLEM, hd.SignSGD(0.1), horizon=2.0, runs=3, seed=9), tmp_path)


NAMES = {
    curve_of: ["time", "samples", "risk", "distance", "gradient_norm", "spread"],
    ensemble_of: ["time", "samples", "mean", "spread", "stderr"],
    report_of: ["time", "predicted", "mean", "stderr", "allowance", "relative_error"],
}


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize("make", NAMES)
def test_columns(tmp_path: Path, make: Any, suffix: str) -> None:
    result = make(PROBLEM, hd.SGD(0.25))
    path = tmp_path / f"result{suffix}"
    result.save(path)
    header, table = _read(path)
    assert list(table) == NAMES[make]
    for name, column in table.items():
        expected = getattr(result, name)
        if suffix == ".json":
            assert column == [x if math.isfinite(x) else None for x in expected.tolist()]
        else:
            assert [float(cell) for cell in column] == expected.tolist()
    assert header["version"] == "0.1.0" and header["horizon"] == 20.0
    assert header["problem"] == repr(PROBLEM) and header["optimizer"] == "SGD(lr=0.25)"
    if make is not ensemble_of:
        assert (header["curve_outcome"], header["rtol"]) == (curve_of(PROBLEM, hd.SGD(0.25)).outcome.sentence, 1e-6)
    if make is not curve_of:
        assert header["ensemble_outcome"] == "one run diverged"
        assert (header["entropy"], header["spawn_key"], header["runs"]) == (2**127 + 1, [5, 0], 3)
    if make is report_of:
        assert (header["verdict"], header["critical"], header["false_alarm"]) == (result.verdict, 3.5, 0.01)


def test_columns_of_every_quantity_verified(tmp_path: Path) -> None:
    report = hd.verify(PROBLEM, hd.SGD(0.25), 2.0, runs=4, record=("distance",))
    report.save(tmp_path / "r.csv")
    _, table = _read(tmp_path / "r.csv")
    assert [float(cell) for cell in table["distance_mean"]] == report.others[0].mean.tolist()
    assert_round_trip(report, tmp_path)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        content = json.loads(text, parse_constant=refuse)
        arrays = {name for names in NAMES.values() for name in names}
        return content, {name: content[name] for name in content if name in arrays}
    lines = text.splitlines()
    comments = [line[2:].split(": ", 1) for line in lines if line.startswith("# ")]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return {k: json.loads(v) for k, v in comments}, {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("optimizer", [hd.SGD(FUNCTION_SCHEDULE), hd.SGD(abs), hd.ClippedSGD(0.1, FUNCTION_SCHEDULE)])
def test_functions_cannot_be_saved(tmp_path: Path, optimizer: Any) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="schedule: .*for example a Table.*got a Python function"):
        curve_of(PROBLEM, optimizer).save(tmp_path / "result.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["result", "result.npy", "result.npz.gz", ".npz", ""])
def test_unknown_ending(tmp_path: Path, name: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=r"path: expected a file name ending in \.npz, \.csv or \.json"):
        curve_of(PROBLEM, hd.SGD(0.1)).save(tmp_path / name if name else "")


@pytest.mark.parametrize("path", [3, None, b"result.npz", ["result.npz"]])
def test_not_a_path(path: Any) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="path: expected a "):
        curve_of(PROBLEM, hd.SGD(0.1)).save(path)
    with pytest.raises(hd.errors.InvalidInput, match="path: expected a "):
        hd.load(path)


@pytest.mark.parametrize("place", ["missing/result.npz", "file/result.npz", "folder.npz", "x" * 300 + ".npz"])
def test_path_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder.npz").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(hd.errors.InvalidInput, match="path: expected a path that can be written, got .* \\("):
        curve_of(PROBLEM, hd.SGD(0.1)).save(tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".json"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, failure: BaseException
) -> None:
    path = tmp_path / f"result{suffix}"
    curve = curve_of(PROBLEM, hd.SGD(0.1))
    curve.save(path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(hd.errors.InvalidInput if isinstance(failure, OSError) else KeyboardInterrupt):
        curve_of(PROBLEM, hd.SGD(0.2)).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "result.npz"
    curve_of(PROBLEM, hd.SGD(0.1)).save(path)
    curve_of(PROBLEM, hd.SGD(0.2)).save(path)
    assert hd.load(path).optimizer == hd.SGD(0.2)


def test_truncated_and_changed(tmp_path: Path) -> None:
    """Cut or changed in one byte, a file is refused, or (a change in unused bytes of the zip) loads as it was."""
    path = tmp_path / "result.npz"
    curve = curve_of(PROBLEM, hd.ClippedSGD(0.1, 0.5))
    curve.save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(hd.errors.InvalidInput, match="path: expected a .npz file written by save"):
            hd.load(path)
    refused = 0
    for position in range(0, len(whole), 29):
        changed = bytearray(whole)
        changed[position] ^= 0x15
        path.write_bytes(bytes(changed))
        try:
            result = hd.load(path)
        except hd.errors.InvalidInput:
            refused += 1
        else:
            assert_identical(result, curve)
    assert refused > 0.5 * len(range(0, len(whole), 29))


def _foreign(path: Path, kind: str) -> None:
    header: dict[str, Any] = {"format": "hdlimit-result-1", "result": None}
    if kind == "csv":
        curve_of(PROBLEM, hd.SGD(0.1)).save(path.with_suffix(".csv"))
        path.with_suffix(".csv").rename(path)
    elif kind == "pickle":
        np.savez(path, metadata=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == "arrays":
        np.savez(path, X=np.ones(3))
    elif kind == "array":
        with open(path, "wb") as file:
            np.save(file, np.ones(3))
    elif kind == "future":
        np.savez(path, metadata=np.array(json.dumps(header | {"format": "hdlimit-result-2"})))
    elif kind == "unknown class":
        np.savez(path, metadata=np.array(json.dumps(header | {"result": {"type": "Momentum", "lr": 1}})))
    elif kind == "not a result":
        np.savez(path, metadata=np.array(json.dumps(header | {"result": {"type": "SGD", "lr": 1}})))
    elif kind == "bad argument":
        np.savez(path, metadata=np.array(json.dumps(header | {"result": {"type": "SGD", "lr": -1}})))
    elif kind == "missing fields":
        np.savez(path, metadata=np.array(json.dumps(header | {"result": {"type": "Curve"}})))
    elif kind == "empty":
        path.touch()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "No such file"),
        ("empty", "foreign"),
        ("csv", "foreign"),
        ("pickle", "foreign"),
        ("arrays", "foreign"),
        ("array", "foreign"),
        ("future", "format 'hdlimit-result-2'"),
        ("unknown class", "known class .*'Momentum'"),
        ("not a result", "a SGD"),
        ("bad argument", "lr: expected a number > 0"),
        ("missing fields", "foreign"),
    ],
)
def test_foreign_files(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "result.npz"
    _foreign(path, kind)
    with pytest.raises(hd.errors.InvalidInput, match=message):
        hd.load(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """A declaration is no result, though it can be encoded."""
    path = tmp_path / "problem.npz"
    header = {"format": "hdlimit-result-1", "result": encode(hd.Gaussian(0.5), np.ndarray.tolist)}
    np.savez(path, metadata=np.array(json.dumps(header)))
    with pytest.raises(hd.errors.InvalidInput, match="a .npz file written by save, got .* \\(a Gaussian\\)"):
        hd.load(path)
