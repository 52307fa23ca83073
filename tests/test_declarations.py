"""Every declaration: repr, equality, pickling, and its way through a TOML file and back."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from cases import COVARIANCES, FUNCTION_SCHEDULE, NOISES, OPTIMIZERS, SCHEDULES, name_of

import hdlimit as hd
from hdlimit.core.declaration import BoolArray, FloatArray, IntArray, array_type
from hdlimit.core.declaration import classes as declared
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw

EVERYTHING = [*NOISES, *COVARIANCES, *SCHEDULES, *OPTIMIZERS, FUNCTION_SCHEDULE]


@pytest.mark.parametrize("case", EVERYTHING, ids=name_of)
def test_pickle_and_hash(case: Any) -> None:
    copy = pickle.loads(pickle.dumps(case))
    assert copy == case and hash(copy) == hash(case) and repr(copy) == repr(case)


def test_no_two_cases_are_equal() -> None:
    for i, a in enumerate(EVERYTHING):
        assert [b for b in EVERYTHING if a == b] == [EVERYTHING[i]]


@pytest.mark.parametrize("case", [c for c in EVERYTHING if "<" not in repr(c)], ids=name_of)
def test_repr_is_the_call(case: Any) -> None:
    name = repr(case).split("(")[0]
    names = {name, "PowerLaw"} | {type(schedule).__name__ for schedule in SCHEDULES}
    classes = {known: cls for known, cls in declared().items() if known in names}
    value = eval(repr(case), {"scipy": scipy, "inf": float("inf"), **classes})
    assert (as_noise(value) if isinstance(case, NoiseLaw) else value) == case


def round_trip(tmp_path: Path, problem: Any, optimizer: Any, **run: Any) -> Any:
    file = tmp_path / "problem.toml"
    file.write_text(hd.to_toml(problem, optimizer, 20.0, **run), encoding="utf-8")
    study = hd.read_toml(file)
    assert study.problem == problem and study.optimizer == optimizer and study.run.horizon == 20.0
    return study


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_toml_noise(tmp_path: Path, noise: Any) -> None:
    round_trip(tmp_path, hd.Problem(hd.Isotropic(3), noise), hd.SGD(0.1))


@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_toml_covariance(tmp_path: Path, covariance: Any) -> None:
    round_trip(tmp_path, hd.Problem(covariance), hd.SGD(0.1))


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *(hd.SGD(lr=s) for s in SCHEDULES)], ids=name_of)
def test_toml_optimizer(tmp_path: Path, optimizer: Any) -> None:
    round_trip(tmp_path, hd.Problem(hd.Isotropic(3)), optimizer)


def test_toml_run_and_vectors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    problem = hd.Problem(hd.Isotropic(4), target=rng.normal(size=4), start=rng.normal(size=4) * 1e-300)
    options = {"runs": 5, "seed": 7, "rtol": 1e-8, "false_alarm": 0.05, "times": [0, 1, 2.5]}
    run = round_trip(tmp_path, problem, hd.SGD(0.1 + 0.2), **options).run
    assert (run.runs, run.seed, run.rtol, run.false_alarm, run.times.tolist()) == (5, 7, 1e-8, 0.05, [0, 1, 2.5])


def test_toml_defaults(tmp_path: Path) -> None:
    run = round_trip(tmp_path, hd.Problem(hd.Isotropic(4)), hd.SGD(0.1)).run
    assert (run.runs, run.seed, run.rtol, run.false_alarm, run.times) == (32, 0, 1e-6, 0.01, None)


@dataclass(frozen=True, eq=False, repr=False)
class TwoSided(NoiseLaw):
    """A noise law that the package does not know."""

    low: float
    high: float
    steps: int = 3
    table: FloatArray | None = None


def test_a_new_law_needs_no_code(tmp_path: Path) -> None:
    """A class defined outside the package goes through TOML, arrays and defaults included."""
    round_trip(tmp_path, hd.Problem(hd.Isotropic(3), TwoSided(-0.1, 0.3)), hd.SGD(0.1))
    noise = TwoSided(-0.1, 0.3, steps=5, table=np.array([1.5, 2.0]))
    study = round_trip(tmp_path, hd.Problem(hd.Isotropic(3), noise), hd.SGD(0.1))
    assert study.problem.noise.table.tolist() == [1.5, 2.0]


GOOD = """\
[problem]
target = [1.0, 0.5]
[problem.covariance]
type = "Rotated"
base = { type = "PowerLaw", d = 2, exponent = 0.5 }
[problem.noise]
type = "scipy"
name = "skewnorm"
parameters = { a = 4, loc = -0.6 }
[optimizer]
type = "ClippedSGD"
lr = { type = "Cosine", initial = 0.8, final = 0.05, duration = 4 }
threshold = inf
[run]
horizon = 20
times = [0, 1, 20]
"""

BAD = [
    ("horizon = 20", "horizont = 20", "run: expected only the keys horizon, runs, seed.*unknown key 'horizont'"),
    ("horizon = 20", "", r"run\.horizon: expected a number, got nothing \(the key is missing\)"),
    ("horizon = 20", "horizon = 'long'", r"run\.horizon: expected a number, got 'long'"),
    ("horizon = 20", "horizon = true", r"run\.horizon: expected a number, got True"),
    ("horizon = 20", "horizon = -1", r"run\.horizon: expected a finite number > 0, got -1"),
    ("horizon = 20", "horizon = 20\nruns = 2.5", r"run\.runs: expected an integer, got 2\.5"),
    ("horizon = 20", "horizon = 20\nruns = 0", r"run\.runs: expected an integer >= 1, got 0"),
    ("horizon = 20", "horizon = 20\nfalse_alarm = 2", r"run\.false_alarm: expected a number strictly between 0 and 1"),
    ("[0, 1, 20]", "[0, 1, 30]", r"run\.times: expected non-decreasing times between 0 and the horizon 20"),
    ("[0, 1, 20]", "[0, 'one', 20]", r"run\.times\[1\]: expected a number"),
    ("[0, 1, 20]", "3", r"run\.times: expected an array of numbers, got 3"),
    ("[1.0, 0.5]", "[1.0]", r"problem\.target: expected a finite array of shape \(2,\), got shape \(1,\)"),
    ("[1.0, 0.5]", "[[1.0], [1.0, 0.5]]", r"problem\.target: expected an array with rows of equal length"),
    ("[1.0, 0.5]", "[nan, 0.5]", r"problem\.target: expected a finite array .* got 1 entries that are NaN or inf"),
    ('"Rotated"', '"Rotate"', r"problem\.covariance\.type: expected one of Covariance, Isotropic, .*got 'Rotate'"),
    ('"Rotated"', "3", r"problem\.covariance\.type: expected one of .*got 3"),
    ("d = 2, ", "", r"problem\.covariance\.base\.d: expected an integer, got nothing"),
    ("d = 2", "d = 2.5", r"problem\.covariance\.base\.d: expected an integer, got 2\.5"),
    ("d = 2", "d = 0", r"problem\.covariance\.base\.d: expected an integer >= 1, got 0"),
    ('"PowerLaw"', '"Laplace"', r"problem\.covariance\.base\.type: expected one of Covariance"),
    ("skewnorm", "skew", r"problem\.noise\.name: expected the name of a scipy\.stats distribution, got 'skew'"),
    ("a = 4", "b = 4", r"problem\.noise\.parameters: expected parameters of skewnorm: a, loc, scale, got"),
    ("a = 4", "a = 'x'", r"problem\.noise\.parameters\.a: expected a number, got 'x'"),
    ("loc = -0.6", "scale = -1", r"problem\.noise\.parameters: expected a distribution with valid parameters"),
    ("{ a = 4, loc = -0.6 }", "4", r"problem\.noise\.parameters: expected a table of numbers, got 4"),
    ("final = 0.05", "final = -1", r"optimizer\.lr\.final: expected a finite number >= 0, got -1"),
    (
        '"Cosine"',
        '"Cosin"',
        r"optimizer\.lr\.type: expected one of Constant, Cosine, Linear, .*got 'Cosin'",
    ),
    ("threshold = inf", "threshold = '1'", r"optimizer\.threshold: expected a number or a table .*, got '1'"),
    ("threshold = inf", "threshold = 0", r"optimizer\.threshold: expected a number > 0 \(inf is allowed\)"),
    ("threshold = inf", "", r"optimizer\.threshold: expected a number or a table \(a schedule\), got nothing"),
    (
        "threshold = inf",
        "threshold = 1\nbeta = 0.9",
        "optimizer: expected only the keys lr, threshold, batch_size, momentum, ",
    ),
    (
        'type = "ClippedSGD"',
        "",
        r"optimizer\.type: expected one of ClippedSGD, .*ResidualSGD, ScoreSGD, SGD, SignSGD, got nothing",
    ),
    ("[run]", "[runs]", "expected only the keys problem, optimizer, run, got an unknown key 'runs'"),
    ("[run]", "[run", r"expected valid TOML, got an error: .*line 14"),
    ("[problem]", "[[problem]]", "problem: expected a table|valid TOML"),
]


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(GOOD)
    study = hd.read_toml(tmp_path / "good.toml")
    assert study.problem.noise == as_noise(scipy.stats.skewnorm(4, -0.6))
    assert study.optimizer == hd.ClippedSGD(hd.schedules.Cosine(0.8, 0.05, 4), np.inf)


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[f"{new or 'no ' + old}" for old, new, _ in BAD])
def test_bad_toml(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(hd.errors.InvalidInput, match=f"^{file}: (?:{message})"):
        hd.read_toml(file)


def test_data_rows_are_refused_in_toml(tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_text(GOOD.replace("[problem]", "[problem]\nrows = { x = [[1.0]] }"))
    with pytest.raises(hd.errors.InvalidInput, match="only the keys covariance, noise, target, start"):
        hd.read_toml(tmp_path / "rows.toml")
    rng = np.random.default_rng(0)
    problem = hd.Problem.from_data(rng.normal(size=(20, 2)), rng.normal(size=20))
    with pytest.raises(hd.errors.InvalidInput, match="without data rows"):
        hd.to_toml(problem, hd.SGD(0.1), 20.0)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_unreadable_toml(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(hd.errors.InvalidInput, match="path: expected a readable TOML file, got '.*file.toml'"):
        hd.read_toml(file)


class _Custom(scipy.stats.rv_continuous):
    def _pdf(self, x: Any) -> Any:
        return np.exp(-np.abs(x)) / 2


@pytest.mark.parametrize(
    ("problem", "optimizer", "message"),
    [
        (hd.Problem(hd.Isotropic(2)), hd.SGD(FUNCTION_SCHEDULE), "schedule: .*Table.*got a Python function"),
        (hd.Problem(hd.Isotropic(2)), hd.SGD(abs), "schedule: .*Table.*got a Python function"),
        (hd.Problem(hd.Isotropic(2), _Custom(name="norm")()), hd.SGD(0.1), "noise: .* a distribution of scipy.stats"),
    ],
)
def test_what_toml_cannot_hold(problem: Any, optimizer: Any, message: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=message):
        hd.to_toml(problem, optimizer, 20.0)


@pytest.mark.parametrize(("hint", "number"), [(FloatArray, np.float64), (IntArray, np.int64), (BoolArray, np.bool_)])
def test_annotations_of_arrays(hint: object, number: type) -> None:
    """Whether NumPy has NDArray as a class of its own or as an alias (2.5)."""
    assert array_type(hint) is number
    assert array_type(float) is None and array_type(tuple[int, ...]) is None
