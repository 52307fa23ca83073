"""Which verdict: large errors behind a large allowance, too few runs to see anything, and what the runs would see."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import name_of
from click.testing import CliRunner
from harness import heavy_rows
from scipy import stats

import hdlimit as hd
from hdlimit.cli.main import main
from hdlimit.verification.evidence import CAP
from hdlimit.verification.power import detectable, reach, runs_needed, spread_factors
from hdlimit.verification.report import judge
from hdlimit.verification.verify import allowance, decided, verification_steps

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")


def held_against(problem: hd.Problem, other: hd.Problem, optimizer: Any, horizon: float, runs: int = 64) -> Any:
    """The report of a problem's curve against runs of another problem of the same dimension."""
    curve = hd.predict(problem, optimizer, horizon)
    steps = verification_steps(curve)
    made = hd.simulate(other, optimizer, horizon, runs, 5, times=steps / problem.dimension)
    return judge(curve, made, steps, allowance(curve, steps), 0.01)


SMALL = hd.Isotropic(30), hd.Wishart(60, 0.5)
LARGE_ERRORS = [
    pytest.param(SMALL[0], hd.Gaussian(0.5), hd.Gaussian(1.5), hd.SGD(0.9), 20.0, 8.0, id="SGD, exact allowance"),
    pytest.param(SMALL[1], hd.Gaussian(0.5), hd.Gaussian(1.0), hd.SignSGD(0.4), 20.0, 0.6, id="sign, full K"),
    pytest.param(SMALL[0], hd.Gaussian(0.3), hd.Gaussian(1.0), hd.ClippedSGD(0.9, 0.9), 9.0, 0.5, id="clip"),
]


@pytest.mark.parametrize(("covariance", "noise", "other", "optimizer", "horizon", "error"), LARGE_ERRORS)
def test_a_large_error_is_seen_behind_a_large_allowance(
    covariance: Any, noise: Any, other: Any, optimizer: Any, horizon: float, error: float
) -> None:
    """The allowance passes 2 % of the curve, the error passes the allowance by far. The twin: the right runs."""
    right, wrong = hd.Problem(covariance, noise), hd.Problem(covariance, other)
    report = held_against(right, wrong, optimizer, horizon)
    assert (report.allowance > CAP * report.predicted).any()
    assert np.abs(report.relative_error).max() > error
    assert report.verdict == "inconsistent" and "contradict" in report.reason
    assert decided(report) == "inconsistent"
    fine = held_against(right, right, optimizer, horizon)
    assert fine.verdict == "inconclusive" and "may be" in fine.reason


def test_runs_that_diverge_contradict_a_curve_that_does_not() -> None:
    """A mean of order 1 leads to a risk of 1e12 at a rate of 1e-12 (Markov). Without the bound of the mean: unknown."""
    problem, optimizer = heavy_rows(), hd.SGD(0.5)
    report = hd.verify(problem, optimizer, 300.0, runs=2)
    assert report.runs.outcome.status is hd.errors.Status.DIVERGED
    assert report.verdict == "inconsistent" and report.z_max == math.inf
    unknown = replace(report, allowance=np.full(report.time.size, math.inf))
    assert unknown.verdict == "inconclusive" and "diverged" in unknown.reason
    assert decided(unknown) == "inconclusive at any number of runs"


def test_nothing_known_of_the_bias_is_no_consistent_curve() -> None:
    problem = hd.Problem(hd.Isotropic(40), hd.Gaussian(0.3))
    report = held_against(problem, problem, hd.SGD(0.3), 3.0)
    assert replace(report, allowance=np.full(report.time.size, math.nan)).verdict == "inconclusive"


LOW = [
    (hd.Isotropic(6), hd.SGD(0.5)),
    (hd.PowerLaw(12, 0.8), hd.ClippedSGD(1.2, 0.9)),
    (hd.Isotropic(7), hd.ClippedSGD(1.8, 2.0, batch_size=4)),
    (hd.PowerLaw(12, 0.5), hd.SignSGD(0.4, batch_size=2)),
    (hd.PowerLaw(16, 0.5).rotated(1), hd.SignSGD(0.4)),
    (hd.Wishart(8, 0.5), hd.ClippedSGD(0.6, 0.7)),
]


LOW_CELLS = [
    pytest.param(*LOW[2], hd.Gaussian(0.3), 8, id="quick"),
    *(pytest.param(*case, noise, 64, marks=pytest.mark.slow) for case in LOW for noise in (hd.Gaussian(0.3), None)),
]


@pytest.mark.parametrize(("covariance", "optimizer", "noise", "runs"), LOW_CELLS, ids=name_of)
def test_false_alarms_where_the_allowance_is_large(covariance: Any, optimizer: Any, noise: Any, runs: int) -> None:
    """200 samples of 64 runs, by default 8: at most 8 alarms (each at rate at most 1 %: P(more than 8) < 1e-3). The
    twin: runs with 8 times the right risk are rejected in at least 190.
    """
    problem, horizon = hd.Problem(covariance, noise), 6.0
    curve = hd.predict(problem, optimizer, horizon)
    steps = verification_steps(curve)
    allowed = allowance(curve, steps)
    assert (allowed > CAP * curve.at(np.minimum(steps / problem.dimension, horizon))).any()
    whole = hd.simulate(problem, optimizer, horizon, 200 * runs, 7, times=steps / problem.dimension)
    verdicts: tuple[list[str], list[str]] = ([], [])
    for risk in whole.risk.reshape(200, runs, -1):
        for found, factor in zip(verdicts, (1.0, 8.0)):
            found.append(judge(curve, replace(whole, risk=factor * risk), steps, allowed, 0.01).verdict)
    alarms, rejections = (found.count("inconsistent") for found in verdicts)
    print(f"{covariance!r} {noise!r} {optimizer!r}: alarms {alarms}, rejections {rejections}")
    assert alarms <= 8 and "consistent" not in verdicts[0]
    assert rejections >= 190


# ---- too few runs


FEW = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.3))


@pytest.mark.parametrize("runs", [2, 3, 4])
def test_too_few_runs_are_no_consistent_curve(runs: int) -> None:
    report = hd.verify(FEW, hd.SGD(0.5), 6.0, runs=runs)
    assert report.verdict == "inconclusive" and report.detectable > 0.2
    assert report.runs_needed is not None and report.runs_needed > runs
    assert report.reason == f"too few runs: about {report.runs_needed} runs would show an error of 20 %"
    assert report.reason in report.summary() and decided(report) == ""
    enough = replace(report, must_detect=1.01 * report.detectable)
    assert enough.verdict == "consistent" and enough.reason == ""


def test_as_many_runs_as_are_asked_for_do() -> None:
    """The spread that 8 runs show is off by 27 %, the detectable error with it: half as much again does (chance of less
    than 1e-3, 4 standard deviations).
    """
    few = hd.verify(FEW, hd.SGD(0.5), 6.0, runs=8, must_detect=0.05)
    assert few.runs_needed is not None
    enough = hd.verify(FEW, hd.SGD(0.5), 6.0, runs=few.runs_needed, must_detect=0.1)
    assert enough.verdict == "consistent"


def test_an_error_of_other_quantities_has_to_be_seen_too() -> None:
    names = ("distance", "clipped_fraction")
    report = hd.verify(FEW, hd.ClippedSGD(0.5, 0.4), 6.0, runs=4, record=names, must_detect=0.01)
    wide = replace(report, must_detect=1e6)
    assert all(other.must_detect == 0.01 for other in report.others)
    assert report.verdict == "inconclusive" and wide.verdict == "consistent"


def test_the_command_line_ends_with_code_3_where_runs_are_too_few(tmp_path: Path) -> None:
    file = tmp_path / "problem.toml"
    file.write_text(hd.to_toml(FEW, hd.SGD(0.5), 6.0, runs=3))
    blind = CliRunner().invoke(main, ["verify", str(file)])
    assert blind.exit_code == 3 and "too few runs: about " in blind.stdout
    content = CliRunner().invoke(main, ["verify", str(file), "--must-detect", "1e6"])
    assert content.exit_code == 0
    file.write_text(hd.to_toml(FEW, hd.SGD(0.5), 6.0, runs=3, must_detect=1e6))
    assert CliRunner().invoke(main, ["verify", str(file)]).exit_code == 0
    study = CliRunner().invoke(main, ["verify", str(file), "--dimensions", "8,16,32", "--must-detect", "0.1"])
    assert study.exit_code == 2 and "--must-detect does not go with --dimensions" in study.stderr


@pytest.mark.parametrize("wrong", [0, -0.1, math.nan, math.inf, "0.2", None])
def test_bad_must_detect(wrong: Any) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="must_detect: expected"):
        hd.verify(FEW, hd.SGD(0.5), 6.0, must_detect=wrong)


# ---- what runs would see


@pytest.mark.parametrize("runs", [2, 3, 4, 8, 32])
def test_reach_has_the_stated_power(runs: int) -> None:
    """20 000 samples of normal runs whose mean is off by this much: 95 % pass, within the 0.05 % and 99.95 % binomial
    quantiles. The twin: critical + t_0.95, which forgets that the standard error is an estimate, for few runs.
    """
    critical = float(stats.t.ppf(1 - 0.01 / 40, runs - 1))
    noise = np.random.default_rng(runs).standard_normal((20_000, runs))
    right, naive = reach(critical, runs - 1), critical + float(stats.t.ppf(0.95, runs - 1))

    def passed(mean: float) -> int:
        shifted = noise + mean / math.sqrt(runs)
        return int((shifted.mean(axis=1) > critical * shifted.std(axis=1, ddof=1) / math.sqrt(runs)).sum())

    low, high = stats.binom.ppf([0.0005, 0.9995], 20_000, 0.95)
    assert low <= passed(right) <= high
    if runs <= 8:
        assert passed(naive) < low


def test_reach_where_scipy_is_rounded() -> None:
    """2 runs: |Z| < mean/critical with 95 % power, so that the mean is 1.959964 times the critical value."""
    for critical in (1.1e3, 1e5, 1e9):
        assert reach(critical, 1) / critical == pytest.approx(1.959963985, rel=1e-6)


@pytest.mark.parametrize("runs", [3, 8, 32])
def test_the_interval_of_the_detectable_error_holds_it(runs: int) -> None:
    """2000 samples of normal runs at 20 times with correlation 0.8 from one to the next: at most the 99.9 % binomial
    quantile of 5 % leave it out. The twin: an interval of plus and minus a tenth leaves it out more often.
    """
    rng, times = np.random.default_rng(runs), 20
    root = np.linalg.cholesky(0.8 ** np.abs(np.subtract.outer(np.arange(times), np.arange(times))))
    sizes, allowed = np.linspace(1.0, 2.0, times), np.full(times, 0.1)
    critical = float(stats.t.ppf(1 - 0.01 / 40, runs - 1))
    true = detectable(allowed, sizes / math.sqrt(runs), critical, runs - 1)
    missed = narrow = 0
    for sample in rng.standard_normal((2000, runs, times)):
        stderr = sizes * (sample @ root.T).std(axis=0, ddof=1) / math.sqrt(runs)
        low, high = (
            detectable(allowed, factor * stderr, critical, runs - 1) for factor in spread_factors(runs - 1, times)
        )
        middle = detectable(allowed, stderr, critical, runs - 1)
        missed += not low <= true <= high
        narrow += not 0.9 * middle <= true <= 1.1 * middle
    most = stats.binom.ppf(0.999, 2000, 0.05)
    assert missed <= most < narrow


def test_the_report_states_the_interval() -> None:
    report = hd.verify(FEW, hd.SGD(0.5), 6.0, runs=8)
    low, high = report.detectable_interval
    assert low < report.detectable < high and high > 2 * low
    assert f"({low:.2%} to {high:.2%})" in report.summary()
    narrow = hd.verify(FEW, hd.SGD(0.5), 6.0, runs=256).detectable_interval
    assert narrow[1] < 1.5 * narrow[0]


@pytest.mark.parametrize(("spread", "largest"), [(0.3, 0.2), (1.0, 0.05), (0.02, 0.2)])
def test_runs_needed(spread: float, largest: float) -> None:
    """The fewest by the noncentral t distribution, rounded up to two digits."""
    rate = 0.01 / 40

    def power(n: int) -> float:
        critical, mean = stats.t.ppf(1 - rate, n - 1), (largest - 0.01) * math.sqrt(n) / spread
        return float(stats.nct.sf(critical, n - 1, mean))

    found = runs_needed(np.full(3, 0.01), np.full(3, spread), rate, largest)
    assert found is not None and power(found) >= 0.95 > power(math.ceil(found / 1.1) - 1)
    assert runs_needed(np.full(3, 0.3), np.full(3, spread), rate, 0.2) is None
    assert runs_needed(np.full(3, 0.0), np.full(3, math.inf), rate, 0.2) is None
