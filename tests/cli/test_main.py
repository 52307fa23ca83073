"""The command line: what it prints, its exit codes, and what a stranger reads after a mistake."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import hdlimit as hd
from hdlimit import verify as verify_function
from hdlimit.cli import demo, main
from hdlimit.kernels.formulas import FORMULAS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "problem.toml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, [str(a) for a in arguments], prog_name="hdlimit", catch_exceptions=False)


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def write(path: Path, problem: hd.Problem, optimizer: Any, horizon: float = 5.0, **options: Any) -> Path:
    path.write_text(hd.to_toml(problem, optimizer, horizon, **options))
    return path


def test_demo_refuses_a_bad_path_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "run", lambda *_: pytest.fail("the simulation was started"))
    assert run("demo", "--out", "demo.gif").exit_code == 2


SMALL = hd.Problem(hd.Isotropic(60), hd.Gaussian(0.5))
TINY = hd.Problem(hd.Isotropic(10), hd.Gaussian(0.5))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write(tmp_path / "study.toml", SMALL, hd.ClippedSGD(0.4, 0.8), runs=16, seed=3)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hdlimit.cli.main import main; main(['--help'], standalone_mode=False); "
        "print([m for m in ('numpy', 'scipy', 'numba', 'matplotlib', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [(), ("predict",), ("tune",), ("verify",), ("formula",), ("demo",)])
def test_help(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0 and result.stdout.startswith("Usage: hdlimit")


def test_version() -> None:
    assert run("--version").stdout == f"hdlimit, version {hd.__version__}\n"


def test_predict_text(study: Path) -> None:
    result = run("predict", study)
    assert result.exit_code == 0 and result.stderr == ""
    curve = hd.predict(SMALL, hd.ClippedSGD(0.4, 0.8), 5.0)
    last = result.stdout.splitlines()[-1].split()
    expected = [5.0, 300.0, pytest.approx(curve.risk[-1], rel=1e-5), pytest.approx(curve.spread[-1], rel=1e-2)]
    assert [float(x) for x in last] == expected
    assert SMALL.summary() in result.stdout and repr(curve.optimizer) in result.stdout


def test_predict_json_and_files(study: Path, tmp_path: Path) -> None:
    result = run("predict", study, "--json", "--out", tmp_path / "c.npz", "--plot", tmp_path / "c.png")
    content = strict_json(result.stdout)
    curve = hd.predict(SMALL, hd.ClippedSGD(0.4, 0.8), 5.0)
    assert content["time"] == curve.time.tolist() and content["risk"] == curve.risk.tolist()
    assert content["version"] == hd.__version__ and content["optimizer"] == repr(curve.optimizer)
    assert np.array_equal(hd.load(tmp_path / "c.npz").risk, curve.risk)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_predict_reads_times_and_tolerance(tmp_path: Path) -> None:
    path = write(tmp_path / "s.toml", SMALL, hd.SGD(0.4), times=[0, 1, 2.5], rtol=1e-4)
    content = strict_json(run("predict", path, "--json").stdout)
    assert content["time"] == [0, 1, 2.5] and content["rtol"] == 1e-4


def test_predicted_divergence_is_an_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "s.toml", SMALL, hd.SGD(9.0), horizon=100.0)
    result = run("predict", path)
    assert result.exit_code == 0 and "diverged" in result.stdout


def rows(path: Path, n: int = 300) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 40)) * 3
    y = x @ rng.normal(size=40) / 20 + rng.normal(size=n)
    if path.suffix == ".npz":
        np.savez(path, X=x, y=y)
    else:
        header = ",".join([*(f"f{i}" for i in range(40)), "price"])
        np.savetxt(path, np.column_stack([x, y]), delimiter=",", header=header, comments="", fmt="%.17g")
    return x, y


@pytest.mark.parametrize("name", ["rows.csv", "rows.npz"])
def test_predict_from_data(tmp_path: Path, name: str) -> None:
    x, y = rows(tmp_path / name)
    target = ["--target", "price"] if name == "rows.csv" else []
    result = run("predict", "--data", tmp_path / name, *target, "--json", "--horizon", 3)
    problem = hd.Problem.from_data(x, y)
    lr = hd.stability(problem, hd.SGD(1.0)).critical_lr / 2
    curve = hd.predict(problem, hd.SGD(lr), 3.0)
    content = strict_json(result.stdout)
    assert result.exit_code == 0
    assert content["risk"] == pytest.approx(curve.risk.tolist(), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "optimizer"),
    [
        (["--lr", "0.1", "--batch-size", "2"], "SGD(lr=0.1, batch_size=2)"),
        (["--lr", "0.1", "--optimizer", "clipped-sgd", "--threshold", "0.5"], "ClippedSGD(lr=0.1, threshold=0.5)"),
        (["--lr", "0.1", "--optimizer", "sign-sgd"], "SignSGD(lr=0.1)"),
    ],
)
def test_predict_from_data_optimizers(tmp_path: Path, arguments: list[str], optimizer: str) -> None:
    rows(tmp_path / "rows.npz")
    content = strict_json(run("predict", "--data", tmp_path / "rows.npz", *arguments, "--json").stdout)
    assert content["optimizer"] == optimizer


def test_verify_consistent(study: Path, tmp_path: Path) -> None:
    result = run("verify", study, "--plot", tmp_path / "v.png", "--out", tmp_path / "v.npz")
    report = verify_function(SMALL, hd.ClippedSGD(0.4, 0.8), 5.0, runs=16, seed=3)
    assert (result.exit_code, report.verdict) == (0, "consistent")
    assert report.summary() in result.stdout
    stored = hd.load(tmp_path / "v.npz")
    assert np.array_equal(stored.mean, report.mean) and stored.summary() == report.summary()
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")


def test_verify_options_override_the_file(study: Path) -> None:
    content = strict_json(run("verify", study, "--runs", 5, "--seed", 11, "--json").stdout)
    report = verify_function(SMALL, hd.ClippedSGD(0.4, 0.8), 5.0, runs=5, seed=11)
    assert (content["runs"], content["entropy"], content["verdict"]) == (5, 11, report.verdict)
    assert content["mean"] == report.mean.tolist() and content["allowance"] == report.allowance.tolist()


def test_verify_finds_a_planted_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right curve ends with exit code 0 (but for false alarms, 1 %), one 1.5 times too high with exit code 1."""
    study = write(tmp_path / "s.toml", hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5)), hd.SignSGD(0.2), runs=8)
    assert run("verify", study).exit_code == 0

    def wrong(*arguments: Any, **options: Any) -> Any:
        curve = hd.predict(*arguments, **options)
        dense = replace(curve.dense, start=1.5 * curve.dense.start, coefficients=1.5 * curve.dense.coefficients)
        return replace(curve, dense=dense, risk=1.5 * curve.risk)

    monkeypatch.setattr(sys.modules["hdlimit.verification.verify"], "predict", wrong)
    result = run("verify", study)
    assert result.exit_code == 1 and "inconsistent" in result.stdout


def test_verify_inconclusive(tmp_path: Path) -> None:
    """At d = 10 the finite-d bias exceeds the 2 % that a verdict allows; a warning is one line on stderr."""
    result = run("verify", write(tmp_path / "s.toml", TINY, hd.SGD(0.9), runs=4))
    assert result.exit_code == 3 and "inconclusive" in result.stdout
    low, near = result.stderr.splitlines()
    assert low.startswith("hdlimit: warning: the intrinsic dimension") and near.startswith("hdlimit: warning: lr 0.9 ")


def test_formula_list() -> None:
    text = run("formula").stdout
    for optimizer, law in FORMULAS:
        assert optimizer in text and law in text


@pytest.mark.parametrize(("optimizer", "law"), sorted(FORMULAS))
def test_formula(optimizer: str, law: str) -> None:
    entry = FORMULAS[optimizer, law]
    plain, latex = run("formula", optimizer, law), run("formula", optimizer, law, "--latex")
    assert plain.exit_code == latex.exit_code == 0
    assert entry.mu_pretty in plain.stdout and entry.nu_pretty in plain.stdout and entry.source in plain.stdout
    assert entry.mu_latex in latex.stdout and entry.nu_latex in latex.stdout


def test_formula_of_one_optimizer() -> None:
    text = run("formula", "sign-sgd").stdout
    assert all(f"sign-sgd, {law}" in text for optimizer, law in FORMULAS if optimizer == "sign-sgd")


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PROBLEM", SMALL)
    monkeypatch.setattr(demo, "HORIZON", 3.0)
    result = run("demo", "--runs", 4, "--out", tmp_path / "demo.png")
    assert result.exit_code == 0
    for name, optimizer in demo.OPTIMIZERS.items():
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(name)]
        assert f"{hd.predict(SMALL, optimizer, 3.0).risk[-1]:.5f}" in line
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_the_example_file() -> None:
    study = hd.read_toml(EXAMPLE)
    assert study.problem.intrinsic_dimension >= 100 and isinstance(study.optimizer, hd.ClippedSGD)


@pytest.mark.slow
def test_the_demo_itself(tmp_path: Path) -> None:
    result = run("demo", "--out", tmp_path / "demo.png")
    assert result.exit_code == 0 and result.stdout.count("  consistent") == 3


HEAVY = hd.Problem(hd.Isotropic(60), hd.StudentT(df=1.5, scale=0.5))
NO_FOURTH = hd.Problem(hd.Isotropic(60), hd.StudentT(df=3, scale=0.5))

ONE_LINE = [
    (["predict", "missing.toml"], "a readable TOML file, got 'missing.toml' (No such file or directory)"),
    (["predict", "."], "path: expected a readable TOML file, got '.' (Is a directory)"),
    (["predict", "text.csv"], "text.csv: expected valid TOML"),
    (["predict", "study.toml", "--out", "curve.txt"], "path: expected a file name ending in .npz, .csv or .json"),
    (["predict", "study.toml", "--out", "missing/c.csv"], "path: expected a path that can be written"),
    (["predict", "study.toml", "--plot", "curve.gif"], "path: expected a file name ending in .png, .pdf or .svg"),
    (["predict", "heavy.toml"], "infinite variance"),
    (["verify", "fourth.toml"], "E eps^4 is infinite"),
    (["verify", "study.toml", "--runs", "1"], "runs: expected an integer >= 2, got 1"),
    (["verify", "study.toml", "--seed", "-1"], "seed: expected"),
    (["verify", "missing.toml"], "path: expected a readable TOML file"),
    (["predict", "--data", "missing.csv"], "missing.csv"),
    (["predict", "--data", "text.csv", "--target", "y"], "text.csv"),
    (["predict", "--data", "rows.npz", "--target", "price"], "price"),
    (["predict", "--data", "rows.npz", "--lr", "-1"], "lr: expected a number > 0"),
    (["predict", "--data", "rows.npz", "--batch-size", "0"], "batch_size: expected an integer >= 1, got 0"),
    (["predict", "--data", "rows.npz", "--horizon", "nan"], "horizon: expected"),
    (["formula", "adam"], "OPTIMIZER: expected one of sgd, clipped-sgd, sign-sgd, got 'adam'"),
    (["formula", "sgd", "weibull"], "LAW: expected one of "),
    (["demo", "--runs", "2", "--out", "demo.gif"], "path: expected a file name ending in .png, .pdf or .svg"),
    (["predict"], "give either a problem FILE or --data TABLE"),
    (["predict", "study.toml", "--data", "rows.npz"], "give either a problem FILE or --data TABLE"),
    (["predict", "study.toml", "--lr", "0.1"], "--lr goes with --data"),
    (["predict", "study.toml", "--batch-size", "2"], "--batch-size goes with --data"),
    (["predict", "--data", "rows.npz", "--optimizer", "clipped-sgd"], "--threshold goes with --optimizer clipped-sgd"),
    (["predict", "--data", "rows.npz", "--threshold", "1"], "--threshold goes with --optimizer clipped-sgd"),
    (["predict", "--data", "rows.npz", "--optimizer", "sign-sgd"], "--optimizer sign-sgd needs --lr"),
    (["predict", "--data", "rows.npz", "--optimizer", "adam"], "'adam' is not one of 'sgd', 'clipped-sgd', 'sign-sgd'"),
    (["predict", "--data", "rows.npz", "--lr", "fast"], "'fast' is not a valid float"),
    (["verify"], "Missing argument 'FILE'"),
    (["verify", "study.toml", "--runs", "many"], "'many' is not a valid integer"),
    (["demo", "--runs", "1"], "1 is not in the range x>=2"),
    (["verify", "--runs"], "Option '--runs' requires an argument ('hdlimit verify -h' shows the usage)"),
    (["predict", "study.toml", "--seeds", "3"], "('hdlimit predict -h' shows the usage)"),
    (["sweep", "study.toml"], "No such command 'sweep'"),
    (["--plots"], "('hdlimit -h' shows the usage)"),
]


@pytest.fixture
def mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("study.toml"), SMALL, hd.SGD(0.4), runs=4)
    write(Path("heavy.toml"), HEAVY, hd.SGD(0.4))
    write(Path("fourth.toml"), NO_FOURTH, hd.SGD(0.4))
    Path("text.csv").write_text("x,y\n1,2\nfour,5\n")
    rows(Path("rows.npz"))


@pytest.mark.parametrize(("arguments", "message"), ONE_LINE, ids=[" ".join(a) for a, _ in ONE_LINE])
def test_wrong_input_is_one_line(mistakes: None, arguments: list[str], message: str) -> None:
    """Exit code 2, one line on stderr that says what is wrong, nothing left behind."""
    before = sorted(Path().iterdir())
    result = run(*arguments)
    errors = [line for line in result.stderr.splitlines() if not line.startswith("hdlimit: warning: ")]
    assert result.exit_code == 2 and len(errors) == 1 and result.stdout == ""
    assert errors[0].startswith("hdlimit: ") and message in errors[0] and len(errors[0]) < 400
    assert sorted(Path().iterdir()) == before


def test_no_command_is_help() -> None:
    result = run()
    assert result.exit_code in (0, 2) and result.output.startswith("Usage: hdlimit")


def test_json_has_no_infinity(tmp_path: Path) -> None:
    """Diverged runs have an infinite mean: null in JSON, and a verdict all the same."""
    from hdlimit.storage.records import finite_or_none

    content = finite_or_none({"a": math.inf, "b": [1.0, math.nan], "c": np.array([[-math.inf, 2.0]]), "d": "inf"})
    assert json.dumps(content, allow_nan=False) == '{"a": null, "b": [null], "c": [[null, 2.0]], "d": "inf"}'.replace(
        "[null]", "[1.0, null]"
    )


def test_an_interrupt_is_one_line(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, as shells have it: 1 would say that runs contradict the curve."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["hdlimit.verification.verify"], "verify", interrupted)
    result = run("verify", study)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "hdlimit: interrupted\n")
