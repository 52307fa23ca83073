"""hdlimit tune: what it prints and writes, and what a stranger reads after a mistake."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import hdlimit as hd
from hdlimit.cli import main
from hdlimit.storage.tables import read_column

ROOT = Path(__file__).parents[2]
PROBLEM = hd.Problem(hd.Isotropic(60), hd.Laplace(0.5))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.main, [str(a) for a in arguments], prog_name="hdlimit", catch_exceptions=False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(hd.to_toml(PROBLEM, hd.ClippedSGD(0.4, 0.8), 5.0))
    return path


def test_text(study: Path) -> None:
    tuned = hd.tune_clip(PROBLEM, 5.0)
    result = run("tune", study)
    assert result.exit_code == 0 and result.stderr == ""
    assert result.stdout == f"{PROBLEM!r}\n{tuned.summary()}\n"
    assert f"trainer, loss r^2/2: lr = {tuned.lr / 60:.6g}, max_norm = {tuned.max_norm:.6g}" in result.stdout


def test_json(study: Path) -> None:
    tuned = hd.tune_clip(PROBLEM, 5.0, schedule=True)
    facts = json.loads(run("tune", study, "--schedule", "--json").stdout)
    assert facts["threshold"] == tuned.threshold and facts["lr"] == tuned.lr and facts["gain"] == tuned.gain
    assert facts["schedule"]["threshold"] == tuned.schedule.threshold.tolist()  # type: ignore[union-attr]


def test_json_has_no_infinities(tmp_path: Path) -> None:
    path = tmp_path / "gaussian.toml"
    path.write_text(hd.to_toml(hd.Problem(hd.Isotropic(60), hd.Gaussian(0.5)), hd.SGD(0.5), 5.0))
    assert json.loads(run("tune", path, "--json").stdout, parse_constant=pytest.fail)["threshold"] is None


def test_options(study: Path, tmp_path: Path) -> None:
    assert f"lr = {0.4}" in run("tune", study, "--keep-lr").stdout.splitlines()[1]
    timed = run("tune", study, "--risk", 0.2).stdout
    assert f"reached at t = {hd.tune_clip(PROBLEM, 5.0, target=0.2).time:.6g}" in timed
    figure, steps, answer = tmp_path / "land.png", tmp_path / "steps.csv", tmp_path / "answer.json"
    assert run("tune", study, "--plot", figure, "--out", answer).exit_code == 0
    assert figure.read_bytes()[:4] == b"\x89PNG" and json.loads(answer.read_text())["result"] == "Tuning"
    assert run("tune", study, "--schedule", "--out", steps, "--loss", "squared").exit_code == 0
    lines = steps.read_text().splitlines()
    assert len([line for line in lines if line[0].isdigit()]) == 301 and '# loss: "squared"' in lines


def test_batch_size_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "batch.toml"
    problem = hd.Problem(hd.Isotropic(60), hd.Gaussian(0.5))
    path.write_text(hd.to_toml(problem, hd.SGD(0.4, batch_size=3), 5.0))
    assert json.loads(run("tune", path, "--json").stdout)["lr"] == hd.tune_clip(problem, 5.0, batch_size=3).lr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give either"),
        (("FILE", "--residuals", "LOG"), "give either"),
        (("--residuals", "LOG", "--losses", "LOG"), "give either"),
        (("FILE", "--column", "r"), "--column goes with a log"),
        (("--residuals", "LOG", "--keep-lr"), "--keep-lr goes with a problem FILE"),
        (("--residuals", "LOG", "--loss", "squared"), "--loss goes with --losses"),
        (("FILE", "--loss", "squared"), "--loss goes with --losses, and with --out STEPS.csv"),
        (("FILE", "--schedule", "--out", "x.csv"), "--out STEPS.csv needs --loss half_squared (r^2/2) or --loss sq"),
        (("FILE", "--out", "x.csv"), "path: expected"),
        (("FILE", "--plot", "x.gif"), "path: expected"),
        (("FILE", "--risk", "9"), "target: expected a risk below the initial risk"),
        (("FILE", "--risk", "1e-9"), "the lowest risk that constants reach"),
        (("--losses", "LOG"), "--losses needs --loss half_squared (r^2/2) or --loss squared"),
        (("--residuals", "missing.csv"), "No such file"),
        (("--residuals", "LOG", "--column", "x"), "column: expected one column of"),
        (("--residuals", "TEXT"), "'spam' in"),
    ],
)
def test_mistakes(study: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "log.csv").write_text("r,step\n" + "\n".join(f"{i},{i}" for i in range(9)))
    (tmp_path / "text.csv").write_text("r\n1.0\nspam\n")
    names = {"FILE": str(study), "LOG": str(tmp_path / "log.csv"), "TEXT": str(tmp_path / "text.csv")}
    result = run("tune", *(names.get(a, a) for a in arguments))
    assert result.exit_code == 2 and words in result.stderr
    assert "Traceback" not in result.output


# logs


def log(n: int = 4000) -> Any:
    generator = np.random.default_rng(5)
    return generator.normal(0, 0.3, n) - 0.7 * generator.standard_t(2, n)


def test_residuals(tmp_path: Path) -> None:
    r = log()
    path = tmp_path / "log.csv"
    path.write_text("step,residual\n" + "".join(f"{i},{x!r}\n" for i, x in enumerate(r.tolist())))
    expected = hd.tune_clip_from_residuals(r)
    facts = json.loads(run("tune", "--residuals", path, "--column", "residual", "--json").stdout)
    assert facts["threshold"] == expected.threshold and facts["rate_gain"] == expected.rate_gain
    text = run("tune", "--residuals", path, "--column", "residual")
    assert text.exit_code == 0 and f"{expected.threshold:.5g}" in text.stdout
    assert expected.sentence in text.stdout and "max_norm =" not in text.stdout


def test_losses_and_gradient_norms(tmp_path: Path) -> None:
    r = log()
    np.save(tmp_path / "losses.npy", r**2)
    np.savez(tmp_path / "norms.npz", norms=30 * np.abs(r))
    arguments = ("--losses", tmp_path / "losses.npy", "--gradient-norms", tmp_path / "norms.npz", "--json")
    squared = json.loads(run("tune", *arguments, "--loss", "squared").stdout)
    assert squared["threshold"] == pytest.approx(hd.tune_clip_from_residuals(np.abs(r)).threshold)
    half = json.loads(run("tune", *arguments, "--loss", "half_squared").stdout)
    assert half["threshold"] == pytest.approx(math.sqrt(2) * squared["threshold"])
    line = run("tune", *arguments[:-1], "--loss", "squared").stdout.splitlines()[-1]
    assert line == f"max_norm = {squared['max_norm']:.6g}"
    assert squared["max_norm"] == pytest.approx(30 * squared["threshold"], rel=0.05)


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("a.csv", "1.5\n-2\nnan\n", None),
        ("a.txt", "# logged\n\n1.5\n-2\nnan\n", None),
        ("a.csv", "step,r\n1,1.5\n2,-2\n3,nan\n", "r"),
        ("a.csv", "7,1.5\n7,-2\n7,nan\n", "1"),
    ],
)
def test_read_column(tmp_path: Path, name: str, text: str, column: str | None) -> None:
    (tmp_path / name).write_text(text)
    np.testing.assert_array_equal(read_column(tmp_path / name, column), [1.5, -2.0, math.nan])


@pytest.mark.parametrize(
    ("name", "content", "column", "words"),
    [
        ("a.csv", b"", None, "lines of numbers"),
        ("a.csv", b"r\n", None, "lines of numbers"),
        ("a.csv", b"r,s\n1,2\n", None, r"one column of .*\(r, s\), got None"),
        ("a.csv", b"r,s\n1,2\n3\n", "s", "expected 2 cells in every line, as in the header, got 1 in .*line 3"),
        ("a.csv", b"\xff\xfe\x00", None, "UTF-8"),
        ("a.npy", b"no array", None, "numeric arrays"),
        ("a.npz", b"PK", None, "numeric arrays"),
        ("a.dat", b"1", None, "ending in"),
    ],
)
def test_unreadable_columns(tmp_path: Path, name: str, content: bytes, column: str | None, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(hd.errors.InvalidInput, match=words):
        read_column(tmp_path / name, column)


def test_arrays_must_be_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    with pytest.raises(hd.errors.InvalidInput, match="one dimension"):
        read_column(tmp_path / "a.npy")


def test_a_process_of_its_own_gives_the_same_answer() -> None:
    command = [sys.executable, "-c", "from hdlimit.cli.main import main; main()", "tune", "examples/problem.toml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == run("tune", ROOT / "examples" / "problem.toml").stdout and "max_norm" in done.stdout
