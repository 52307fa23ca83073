"""The benchmark suite: equal achieved error, the comparison of runs, and that every peer solves the package's limit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.limit.system import limit_of

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"

PROBLEMS = {
    "sgd": (hd.Problem(hd.PowerLaw(12, 1.0), hd.Gaussian(0.5)), hd.SGD(0.5)),
    "clip": (hd.Problem(hd.PowerLaw(12, 1.0), hd.Gaussian(0.5)), hd.ClippedSGD(0.5, 0.9)),
    "sign": (hd.Problem(hd.MarchenkoPastur(12, 0.5), hd.Gaussian(0.5)), hd.SignSGD(0.5)),
    "student": (hd.Problem(hd.PowerLaw(12, 0.5), hd.StudentT(df=5, scale=0.5)), hd.ClippedSGD(0.5, 0.9)),
}


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the suite by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    from importlib import import_module

    return import_module


# ---- equal achieved error


def rung(modules: Any, error: float, seconds: float, calls: int = 7) -> Any:
    return modules("precision").Rung(1e-6, error, seconds, calls)


def test_time_at_an_error_is_read_off_the_power_law_between_two_rungs(modules: Any) -> None:
    """A method of order 4, seconds = error^(-1/4) exactly, is met everywhere between the rungs."""
    precision = modules("precision")
    rungs = [rung(modules, e, e**-0.25, calls) for e, calls in ((1e-3, 7), (1e-5, 9), (1e-7, 7), (1e-10, 3))]
    for target in (1e-3, 3e-4, 1e-6, 1e-9, 1e-10):
        assert precision.seconds_at(rungs, target).seconds == pytest.approx(target**-0.25, rel=1e-12)
    assert precision.seconds_at(rungs, 1e-6).calls == 7 and precision.seconds_at(rungs, 1e-9).calls == 3


def test_what_is_not_reached_has_no_time_and_what_is_passed_has_that_of_the_cheapest(modules: Any) -> None:
    precision = modules("precision")
    rungs = [rung(modules, 1e-4, 1.0), rung(modules, 1e-6, 2.0)]
    assert math.isnan(precision.seconds_at(rungs, 9e-7).seconds)
    assert precision.seconds_at(rungs, 1e-2).seconds == 1.0
    assert math.isnan(precision.seconds_at([], 1e-2).seconds)
    assert math.isnan(precision.seconds_at([rung(modules, math.inf, 1.0)], 1e-2).seconds)


def test_rungs_that_others_beat_do_not_count(modules: Any) -> None:
    """A tighter tolerance that is slower and worse, or a rung that failed, changes no reading."""
    precision = modules("precision")
    good = [rung(modules, 1e-4, 1.0), rung(modules, 1e-8, 2.0)]
    spoilt = [*good, rung(modules, 1e-5, 3.0), rung(modules, math.inf, 0.1), rung(modules, 1e-3, 1.5)]
    assert precision.seconds_at(spoilt, 1e-6) == precision.seconds_at(good, 1e-6)
    assert precision.bracket(spoilt, 1e-6) == good


def test_rungs_called_once_do_not_spoil_a_reading_between_medians(modules: Any) -> None:
    precision = modules("precision")
    medians = [rung(modules, 1e-5, 1.0), rung(modules, 1e-7, 2.0)]
    lucky = [rung(modules, 1e-8, 1.5, calls=1), rung(modules, 1e-3, 0.2, calls=1)]
    assert precision.seconds_at([*medians, *lucky], 1e-6) == precision.seconds_at(medians, 1e-6)
    assert precision.seconds_at([*medians, *lucky], 1e-4).calls == 1


def test_the_ladder_of_a_slow_solver_brackets_the_target(modules: Any) -> None:
    """One whose error is 30 times its tolerance: only tolerances around 1e-6 are called."""
    precision = modules("precision")
    asked = []

    def solver(times: np.ndarray, rtol: float) -> np.ndarray:
        asked.append(rtol)
        return 1 + 30 * rtol * np.ones(times.size)

    effort = precision.Effort(repeats=1, slow=-1.0)
    rungs, note = precision.scout(solver, np.ones(3), np.ones(3), effort)
    assert note == "" and [r.rtol for r in rungs] == pytest.approx([1e-6, 1e-7, 1e-8])
    assert [r.error for r in rungs] == pytest.approx([3e-5, 3e-6, 3e-7])
    assert set(asked) == {r.rtol for r in rungs}
    assert [r.rtol for r in precision.worth_timing(rungs, effort)] == pytest.approx([1e-7, 1e-8])


def test_a_solver_that_takes_too_long_is_left(modules: Any) -> None:
    precision, peers = modules("precision"), modules("peers")

    def solver(times: np.ndarray, rtol: float) -> np.ndarray:
        if rtol < 1e-7:
            raise peers.TooLong
        return 1 + rtol * np.ones(times.size)

    rungs, note = precision.scout(solver, np.ones(3), np.ones(3), precision.Effort())
    assert min(r.rtol for r in rungs) == pytest.approx(1e-7) and "more than" in note


def test_errors_that_are_not_finite_are_infinite(modules: Any) -> None:
    achieved = modules("precision").achieved
    assert achieved(np.array([1.0, np.nan]), np.ones(2)) == math.inf
    assert achieved(np.array([1.0, 0.5]), np.ones(2)) == 0.5


# ---- the comparison of two runs


def record(**changed: float) -> dict[str, Any]:
    ratios = {
        "stiff: SciPy LSODA / hdlimit": {"value": 400.0, "better": "higher"},
        "T = 1e12 / T = 1e4": {"value": 1.2, "better": "lower"},
    }
    for name, value in changed.items():
        key = next(key for key in ratios if key.startswith(name))
        ratios[key] = {**ratios[key], "value": value}
    return {"format": "hdlimit benchmark 1", "ratios": ratios, "machine": {"processor": "a"}, "versions": {}}


def compared(modules: Any, folder: Path, old: Any, new: Any, *options: str) -> int:
    paths = [folder / "old.json", folder / "new.json"]
    for path, data in zip(paths, (old, new)):
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    code: int = modules("compare").main([*map(str, paths), *options])
    return code


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, 0),
        ({"stiff": 301.0}, 0),
        ({"stiff": 299.0}, 1),
        ({"stiff": 4000.0}, 0),
        ({"T": 1.59}, 0),
        ({"T": 1.61}, 1),
        ({"T": 0.1}, 0),
    ],
)
def test_a_fall_by_more_than_a_quarter_is_flagged(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, float], code: int
) -> None:
    """Whichever way is better; 300 is a quarter below 400, and 1.6 a quarter worse than 1.2."""
    assert compared(modules, tmp_path, record(), record(**changed)) == code
    text = capsys.readouterr().out
    assert text.count("FELL") == code and f"{code} of 2 ratios" in text


def test_a_missing_ratio_is_flagged_unless_the_run_is_partial(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = record()
    del new["ratios"]["T = 1e12 / T = 1e4"]
    assert compared(modules, tmp_path, record(), new) == 1
    assert "MISSING" in capsys.readouterr().out
    assert compared(modules, tmp_path, record(), new, "--partial") == 0
    assert compared(modules, tmp_path, new, record()) == 0


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("", "not JSON"),
        ('{"format": "hdlimit bench', "not JSON"),
        ("[1, 2]", "not a record"),
        ({"format": "another"}, "not a record"),
        ({**record(), "ratios": {}}, "no ratios"),
        ({**record(), "ratios": {"x": 3.0}}, "'x' is not a positive ratio"),
        ({**record(), "ratios": {"x": {"value": -1.0, "better": "higher"}}}, "'x' is not a positive ratio"),
        ({**record(), "ratios": {"x": {"value": 1.0, "better": "up"}}}, "'x' is not a positive ratio"),
        ({**record(), "ratios": {"x": {"value": 1.0, "better": "lower"}}}, "no ratio in common"),
        (json.dumps(record(T=2.0)).replace("lower", "higher"), "is better lower in one file"),
        (json.dumps(record()).replace("400.0", "NaN"), "is not a positive ratio"),
    ],
)
def test_bad_files_give_one_line_and_code_2(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: Any, sentence: str
) -> None:
    assert compared(modules, tmp_path, record(), bad) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_a_file_that_is_not_there(modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert modules("compare").main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_record_is_written_whole_or_not_at_all(modules: Any, tmp_path: Path) -> None:
    report = modules("report")
    target = tmp_path / "run.json"
    report.write(str(target), record())
    assert modules("compare").read(str(target)) == record()
    with pytest.raises(ValueError, match="JSON"):
        report.write(str(target), {"value": math.nan})
    assert json.loads(target.read_text(encoding="utf-8")) == record() and list(tmp_path.iterdir()) == [target]


# ---- every peer solves the package's limit


@pytest.fixture(params=PROBLEMS)
def system(request: pytest.FixtureRequest, modules: Any) -> Any:
    return modules("systems").system_of(limit_of(*PROBLEMS[request.param], False))


@pytest.fixture(params=PROBLEMS)
def case(request: pytest.FixtureRequest, modules: Any) -> Any:
    problem, optimizer = PROBLEMS[request.param]
    return modules("systems").Case(request.param, request.param, lambda: problem, optimizer, 6.0)


def states(system: Any) -> list[np.ndarray]:
    """The start, and states that are not on the way."""
    rng = np.random.default_rng(3)
    return [system.start, *(system.start * rng.uniform(0.1, 3.0, system.size) for _ in range(4))]


def limit_slope(problem: hd.Problem, optimizer: Any, m: np.ndarray) -> np.ndarray:
    """dm/dt as the package states it, by the exact response."""
    limit = limit_of(problem, optimizer, False)
    eta, c, modes = float(limit.lr(0.0)), float(limit.control(0.0)), limit.modes
    mu, nu = limit.response(float(modes.functionals[0] @ m), c)
    slope: np.ndarray = -2 * eta * mu * modes.rate * m + eta**2 * nu * modes.diffusion
    return slope


def test_right_hand_side_is_the_limit(modules: Any, case: Any) -> None:
    system = modules("systems").system_of(case.limit)
    for m in states(system):
        expected = limit_slope(case.problem, case.optimizer, m)
        np.testing.assert_allclose(system.rhs(0.0, m), expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())


def test_jacobian_is_the_derivative_of_the_right_hand_side(modules: Any, system: Any) -> None:
    """Against differences of fourth order, column by column; a slope of mu or nu that were left out would show."""
    for m in states(system):
        numeric = np.empty((m.size, m.size))
        for j in range(m.size):
            h = 1e-3 * m[j]
            e = np.eye(m.size)[j]
            far, near = (system.rhs(0.0, m + s * e) - system.rhs(0.0, m - s * e) for s in (2 * h, h))
            numeric[:, j] = (8 * near - far) / (12 * h)
        np.testing.assert_allclose(system.jacobian(0.0, m), numeric, rtol=1e-6, atol=1e-8 * np.abs(numeric).max())


def test_references_agree_with_another_method(modules: Any, case: Any) -> None:
    """SciPy's Radau at 1e-11 with the Jacobian against the reference: the Laplace transform, or DOP853."""
    systems, references, peers = modules("systems"), modules("references"), modules("peers")
    system = systems.system_of(case.limit)
    found = references.linear_reference if case.name == "sgd" else references.tight_reference
    known = found(case, system)
    radau = peers.scipy_solver(system, "Radau")(case.times, 1e-11)
    np.testing.assert_allclose(known.risk, radau, rtol=2e-9)


@pytest.mark.parametrize("name", ["sgd", "clip"])
def test_a_reference_that_does_not_agree_with_itself_is_refused(
    modules: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    systems, references = modules("systems"), modules("references")
    problem, optimizer = PROBLEMS[name]
    case = systems.Case(name, "", lambda: problem, optimizer, 6.0)
    system = systems.system_of(case.limit)
    references.reference(case, system)
    monkeypatch.setattr(references, "AGREE", -1.0)
    with pytest.raises(RuntimeError, match="reference is good to"):
        references.reference(case, system)


def test_a_contour_through_a_planted_error_is_seen(modules: Any) -> None:
    """An eigenvalue off by 1e-6 moves the reference of SGD by more than its claimed error."""
    systems, references = modules("systems"), modules("references")
    problem, optimizer = PROBLEMS["sgd"]
    eigenvalues = problem.covariance.diagonal.copy()
    eigenvalues[0] *= 1 + 1e-6
    curves = []
    for covariance in (problem.covariance, hd.Covariance(eigenvalues)):
        moved = hd.Problem(covariance, problem.noise)
        case = systems.Case("sgd", "", lambda moved=moved: moved, optimizer, 6.0)
        curves.append(references.linear_reference(case, systems.system_of(case.limit)).risk)
    assert np.abs(curves[0] / curves[1] - 1).max() > 100 * references.AGREE


@pytest.mark.parametrize("method", ["RK45", "DOP853", "LSODA", "BDF", "Radau"])
def test_scipy(modules: Any, case: Any, method: str) -> None:
    peers, references = modules("peers"), modules("references")
    system = modules("systems").system_of(case.limit)
    known = references.reference(case, system)
    risk = peers.scipy_solver(system, method)(case.times, 1e-8)
    np.testing.assert_allclose(risk, known.risk, rtol=1e-5)


def test_a_deadline_stops_scipy(modules: Any) -> None:
    peers, systems = modules("peers"), modules("systems")
    system = systems.system_of(limit_of(*PROBLEMS["sgd"], False))
    with pytest.raises(peers.TooLong):
        peers.scipy_solver(system, "RK45", limit_s=-1.0)(np.array([1e4]), 1e-6)


def test_cyrk_right_hand_side(modules: Any, system: Any) -> None:
    """The function that CyRK calls from C, called through its address."""
    import ctypes

    peers = modules("peers")
    slope, args = peers.cyrk_rhs(system.kernel), peers.cyrk_arguments(system)
    doubles = ctypes.POINTER(ctypes.c_double)
    call = ctypes.CFUNCTYPE(None, doubles, ctypes.c_double, doubles, doubles)(slope.address)
    for m in states(system):
        out = np.empty(m.size)
        call(*(x if isinstance(x, float) else x.ctypes.data_as(doubles) for x in (out, 0.0, m, args)))
        np.testing.assert_allclose(out, system.rhs(0.0, m), rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore")
def test_cyrk(modules: Any) -> None:
    pytest.importorskip("CyRK")
    systems, peers = modules("systems"), modules("peers")
    problem, optimizer = PROBLEMS["clip"]
    case = systems.Case("clip", "", lambda: problem, optimizer, 6.0)
    system = systems.system_of(case.limit)
    known = peers.scipy_solver(system, "DOP853")(case.times, 1e-12)
    for method in peers.CYRK:
        np.testing.assert_allclose(peers.cyrk_solver(system, method)(case.times, 1e-8), known, rtol=1e-5)
    assert np.isnan(peers.cyrk_solver(system, "RK45", steps=3)(case.times, 1e-8)).all()


@pytest.mark.filterwarnings("ignore")
def test_diffrax(modules: Any, case: Any) -> None:
    """dm/dt in JAX is that of everybody else, and Tsit5 finds the curve."""
    pytest.importorskip("diffrax")
    import jax

    jax.config.update("jax_enable_x64", True)
    systems, peers = modules("systems"), modules("peers")
    system = systems.system_of(case.limit)
    slope = peers.jax_slope(case, system)
    for m in states(system):
        expected = system.rhs(0.0, m)
        np.testing.assert_allclose(slope(0.0, m, None), expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())
    if case.name == "clip":
        known = peers.scipy_solver(system, "DOP853")(case.times, 1e-12)
        np.testing.assert_allclose(peers.diffrax_solver(case, system, "Tsit5")(case.times, 1e-8), known, rtol=1e-6)


def test_ours_and_euler(modules: Any, case: Any) -> None:
    """The package's two entries agree with the reference; Euler's error is of the order of its step 1/d."""
    systems, references, peers = modules("systems"), modules("references"), modules("peers")
    known = references.reference(case, systems.system_of(case.limit))
    for solver in (peers.ours(case), peers.predict(case)):
        np.testing.assert_allclose(solver(case.times, 1e-6), known.risk, rtol=3e-6)
    gap = np.abs(peers.euler_solver(case)(case.times, 1e-6) / known.risk - 1).max()
    assert 1e-4 < gap < 0.5


# ---- the suite


def test_a_case_without_peers_that_are_not_installed(
    modules: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each of them has a line that says so; the rest is measured, and the record can be compared with itself."""
    import sys

    for name in ("CyRK", "diffrax"):
        monkeypatch.setitem(sys.modules, name, None)
    suite, report, precision, rows = (modules(name) for name in ("suite", "report", "precision", "rows"))
    problem, optimizer = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5)), hd.SGD(0.5)
    case = modules("systems").Case("isotropic", "isotropic", lambda: problem, optimizer, 2.0)
    result = suite.run_case(case, True, precision.Effort(repeats=1))
    lines = report.case_lines(result)
    assert sum("left out: CyRK is not installed" in line for line in lines) == len(modules("peers").CYRK)
    assert sum("left out: diffrax is not installed" in line for line in lines) >= 1
    for name in ("hdlimit", "SciPy RK45", "SciPy Radau"):
        assert result.entry(name).at(1e-6).error < 1e-4
    modules("figure").draw([result], str(tmp_path / "work.png"))
    assert (tmp_path / "work.png").read_bytes().startswith(b"\x89PNG")
    ratios = report.ratios([result], rows.of_results([result]))
    assert all(ratio["value"] > 0 and math.isfinite(ratio["value"]) for ratio in ratios.values()) and len(ratios) >= 5


@pytest.mark.parametrize(
    "line",
    [["--json", "/nowhere/run.json"], ["--plot", "/nowhere/work.png"], ["--plot", "work.txt"], ["--case", "unheard"]],
)
def test_a_wrong_line_is_refused_before_anything_is_measured(
    modules: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    solvers = modules("solvers")
    monkeypatch.setattr(modules("machine"), "facts", lambda: pytest.fail("measured"))
    for name in solvers.ONE_THREAD:
        monkeypatch.setenv(name, "1")
    with pytest.raises(SystemExit) as stop:
        solvers.main(line)
    assert stop.value.code not in (0, None) and not capsys.readouterr().out


def test_rows_know_whether_they_hold(modules: Any) -> None:
    row = modules("rows").Row
    assert row("a", 2.0, "", most=2.0).holds and not row("a", 2.1, "", most=2.0).holds
    assert row("a", 2.0, "", least=2.0).holds and not row("a", 1.9, "", least=2.0).holds
    assert row("a", 2.0, "").holds is None and not row("a", math.nan, "", most=2.0).holds


def test_extrapolation_marks_itself(modules: Any) -> None:
    """An explicit method on a problem of 10^9 steps of stability is not run over its horizon."""
    suite, systems, peers = modules("suite"), modules("systems"), modules("peers")
    problem, optimizer = PROBLEMS["sgd"]
    case = systems.Case("sgd", "", lambda: problem, optimizer, 1e9)
    system = systems.system_of(case.limit)
    solver = peers.scipy_solver(system, "RK45")

    def brief(times: np.ndarray, rtol: float) -> np.ndarray:
        asked.append(times[-1])
        return solver(np.array([0.1]), rtol)

    asked: list[float] = []
    entry = suite.extrapolated("SciPy RK45", brief, case, system, 0.0)
    assert entry.extrapolated > 0 and "extrapolated" in entry.note and not entry.rungs
    assert max(asked) < 1e6
    assert suite.extrapolated("SciPy RK45", brief, case, system, math.inf) is None
    assert suite.extrapolated("SciPy Radau", brief, case, system, 0.0) is None
