"""The study of several dimensions, its slopes, and runs added in looks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import name_of
from click.testing import CliRunner
from harness import Planted
from scipy import stats

import hdlimit as hd
from hdlimit.limit import system
from hdlimit.verification.decay import Slope, contrasts, detectable_constant, positive_slope, signed_slope
from hdlimit.verification.dimensions import best_method, rescaled
from hdlimit.verification.report import judge
from hdlimit.verification.scaling import Case
from hdlimit.verification.scaling_report import assess, relative_moments
from hdlimit.verification.sequential import extended, plan, until_decided
from hdlimit.verification.verify import allowance, decided, expected_curve

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SIZES = np.array([64.0, 128.0, 256.0, 512.0])
QUANTILE = float(stats.norm.ppf(0.995))
PROBLEM = hd.Problem(hd.Isotropic(2), hd.Gaussian(0.4))


# ---- slopes


def test_without_errors_the_slope_is_the_slope() -> None:
    tiny = np.full(4, 1e-9)
    for slope in (-2.0, -1.0, -0.5, 0.0):
        assert positive_slope(SIZES, 3 * SIZES**slope, tiny, 1.0).value == pytest.approx(slope, abs=1e-6)
        for sign in (-1, 1):
            found = signed_slope(SIZES, sign * 3 * SIZES**slope, tiny, 1.0)
            assert found.value == pytest.approx(slope, abs=1e-9)
            assert found.resolved and found.low <= slope <= found.high and found.high - found.low < 0.02


def test_contrasts_are_what_they_say() -> None:
    """0 for a pure power law, variance 1, and the least-squares coefficient of the second term beside the first."""
    stderr = np.array([0.3, 0.1, 0.2, 0.1])
    weights = contrasts(SIZES, stderr, np.array([-1.0]))[0]
    assert abs(weights @ (1 / SIZES)) < 1e-12 * (np.abs(weights) @ (1 / SIZES))
    assert (weights**2 @ stderr**2) == pytest.approx(1)
    values = np.array([0.4, -0.1, 0.3, 0.2])
    design = np.stack([1 / SIZES, np.log(SIZES) / SIZES], axis=1) / stderr[:, None]
    inverse = np.linalg.inv(design.T @ design)
    coefficient = (inverse @ design.T @ (values / stderr))[1]
    assert weights @ values == pytest.approx(coefficient / math.sqrt(inverse[1, 1]))


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_intervals_of_the_bias_have_their_level(scale: float) -> None:
    """-1 is left out of 99 % intervals in 1 % of 5000 samples, whether the bias is resolved or not: between the 0.1 %
    and 99.9 % binomial quantiles. An interval that takes -0.9 for the true slope is wrong once the bias is resolved."""
    rng, stderr = np.random.default_rng(5), 0.02 / np.sqrt(SIZES)
    missed = wrong = opened = 0
    for noise in rng.standard_normal((5000, 4)):
        values = scale * 0.05 / SIZES + stderr * noise
        left_out = np.abs(contrasts(SIZES, stderr, np.array([-1.0, -0.7])) @ values) > QUANTILE
        missed, wrong = missed + int(left_out[0]), wrong + int(left_out[1])
    for noise in rng.standard_normal((300, 4)):
        opened += not signed_slope(SIZES, scale * 0.05 / SIZES + stderr * noise, stderr, QUANTILE).resolved
    low, high = stats.binom.ppf([0.001, 0.999], 5000, 0.01)
    assert low <= missed <= high
    assert (wrong > high) == (scale == 30.0)
    assert opened > 280 if scale == 0 else opened < 20 if scale == 30.0 else True


def test_intervals_of_the_spread_have_their_level() -> None:
    """-1/2 is left out of 99 % intervals in 1 % of 5000 samples; -0.45 more often."""
    rng, share = np.random.default_rng(6), np.array([0.02, 0.03, 0.02, 0.01])
    missed = wrong = 0
    for noise in rng.standard_normal((5000, 4)):
        values = SIZES**-0.5 * (1 + share * noise)
        found = positive_slope(SIZES, values, share * values, QUANTILE)
        missed, wrong = missed + (not found.low <= -0.5 <= found.high), wrong + (not found.low <= -0.45 <= found.high)
    assert missed <= stats.binom.ppf(0.999, 5000, 0.012)  # log(1 + x) is not quite normal
    assert wrong > 10 * missed


def test_the_detectable_error_is_seen_with_the_stated_power() -> None:
    """A constant of this size leads to an interval above -0.9 in 95 % of 1000 samples: between the 0.1 % and 99.9 %
    binomial quantiles; half of it does not."""
    rng, stderr = np.random.default_rng(7), 0.02 / np.sqrt(SIZES)
    size = detectable_constant(SIZES, stderr, -0.9, QUANTILE + float(stats.norm.ppf(0.95)))
    whole, half = (
        sum(
            signed_slope(SIZES, constant + stderr * noise, stderr, QUANTILE).low > -0.9
            for noise in rng.standard_normal((1000, 4))
        )
        for constant in (size, size / 2)
    )
    low, high = stats.binom.ppf([0.001, 0.999], 1000, 0.95)
    assert low <= whole <= high and half < low


@pytest.mark.slow
def test_moments_of_runs() -> None:
    """Bias and spread by their definitions; their standard errors against the scatter over 150 groups of runs (the sd
    of an sd of 150 is 5.8 %: within 20 % at false alarms below 1e-3)."""
    problem, optimizer = rescaled(PROBLEM, 20), hd.SGD(0.5)
    curve, steps, allowed = expected_curve(problem, optimizer, 3.0)
    whole = hd.simulate(problem, optimizer, 3.0, runs=150 * 40, times=steps / 20, method="blocks")
    found = np.array(
        [
            relative_moments(judge(curve, replace(whole, risk=risk), steps, allowed, 0.01))
            for risk in whole.risk.reshape(150, 40, -1)
        ]
    )
    first = whole.risk[:40]
    assert found[0, 0] == pytest.approx((first.mean(axis=0) / curve.at(whole.time) - 1).mean())
    spread = np.sqrt(((first.std(axis=0, ddof=1) / first.mean(axis=0)) ** 2).mean())
    assert found[0, 2] == pytest.approx(spread)
    for k in (0, 2):
        assert found[:, k].std() == pytest.approx(found[:, k + 1].mean(), rel=0.2)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(-1.2, -0.8, "-1.00 (-1.20 to -0.80)"), (-math.inf, math.inf, "not resolved")]
    + [(-math.inf, -0.8, "not resolved, at most -0.80"), (-1.2, math.inf, "not resolved, at least -1.20")],
)
def test_slopes_in_words(low: float, high: float, text: str) -> None:
    assert str(Slope(-1.0, low, high)) == text


# ---- the study


def test_the_example_of_the_readme() -> None:
    """Shows what its comment says: both slopes resolved, the study consistent, no infinity in the figure."""
    line = next(line for line in README.splitlines() if line.startswith("hd.scaling_study("))
    given = next(line for line in README.splitlines() if line.startswith("isotropic = ")).removeprefix("isotropic = ")
    study = eval(line.partition(".plot()")[0], {"hd": hd, "isotropic": eval(given)})
    assert study.verdict == "consistent" and study.bias_slope.resolved and study.spread_slope.resolved
    assert study.bias_slope.low <= -1 <= study.bias_slope.high
    assert study.spread_slope.low <= -0.5 <= study.spread_slope.high
    few = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [16, 32, 64], runs=8)
    for each, said in ((study, False), (few, True)):
        texts = [text.get_text() for text in each.plot().get_legend().get_texts()]
        assert ("not resolved" in "".join(texts)) == said and "inf" not in "".join(texts) + each.summary()


def test_a_study_of_sgd() -> None:
    study = hd.scaling_study(PROBLEM, hd.SGD(1.0), 4.0, [32, 64, 128, 256], runs=600, seed=3)
    assert study.verdict == "consistent" and study.detectable < 0.05
    assert study.dimensions.tolist() == [32, 64, 128, 256] == study.size.tolist()
    assert study.bias_slope.low <= -1 <= study.bias_slope.high
    assert study.spread_slope.low <= -0.5 <= study.spread_slope.high
    np.testing.assert_allclose(study.spread, study.predicted_spread, rtol=0.12)
    assert all(report.runs.method == "blocks" and report.runs.runs == study.runs == 600 for report in study.reports)
    exact = [
        hd.exact_mean(report.curve.problem, hd.SGD(1.0), np.rint(report.time * d)).risk / report.predicted
        for d, report in zip(study.dimensions, study.reports, strict=True)
    ]
    bias = np.array([each.mean() - 1 for each in exact])
    assert (np.abs(study.bias - bias) <= 4 * study.bias_stderr).all()  # false alarms: below 4 * 7e-5
    text = study.summary()
    assert text.startswith("consistent: ") and text.count("\n") == 7 and "stopped" not in text
    assert repr(study).startswith("ScalingStudy('consistent', bias slope ")


@pytest.mark.parametrize("optimizer", [hd.ClippedSGD(0.5, 0.6), hd.SignSGD(0.3)], ids=name_of)
def test_other_optimizers_and_uneven_spectra(optimizer: Any) -> None:
    """Direct runs; at 24 of them nothing is inconsistent, and the spread of power laws follows D, not d."""
    problem = hd.Problem(hd.PowerLaw(5, 0.5), hd.Laplace(0.3))
    study = hd.scaling_study(problem, optimizer, 3.0, (192, 48, 96), runs=24)
    assert study.verdict in ("consistent", "inconclusive")
    assert study.dimensions.tolist() == [48, 96, 192]
    assert (np.diff(study.size) > 0).all() and (study.size < study.dimensions).all()
    assert all(report.runs.method == "direct" for report in study.reports)


def test_runs_of_a_dimension_do_not_depend_on_the_other_dimensions() -> None:
    one = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [16, 32, 64], runs=8, seed=np.random.default_rng(4))
    two = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [16, 32, 48, 64], runs=8, seed=np.random.default_rng(4))
    for k, j in enumerate((0, 1, 3)):
        assert np.array_equal(one.reports[k].runs.risk, two.reports[j].runs.risk)
    assert not np.array_equal(one.reports[0].runs.risk, one.reports[1].runs.risk)


def cases(dimensions: list[int], optimizer: Any, horizon: float, problem: hd.Problem = PROBLEM) -> list[Case]:
    return [Case(rescaled(problem, d), optimizer, horizon, None) for d in dimensions]


def studies_of_one_sample(
    monkeypatch: pytest.MonkeyPatch, dimensions: list[int], optimizer: Any, horizon: float, runs: int, seeds: int
) -> tuple[list[str], list[str]]:
    """Verdicts of the right curve and of one with mu 5 % too large, held against the same runs."""
    right = cases(dimensions, optimizer, horizon)
    monkeypatch.setattr(system, "MapResponse", Planted)
    wrong = cases(dimensions, optimizer, horizon)
    for a, b in zip(right, wrong, strict=True):
        b.steps, b.allowed = a.steps, allowance(b.curve, a.steps)
    monkeypatch.undo()
    verdicts: tuple[list[str], list[str]] = ([], [])
    for seed in np.random.SeedSequence(3).spawn(seeds):
        samples = [case.simulated(runs, seed, None, False) for case in right]
        for found, chosen in zip(verdicts, (right, wrong), strict=True):
            reports = tuple(case.judged(sample, 0.01) for case, sample in zip(chosen, samples, strict=True))
            found.append(assess(np.array(dimensions), reports, 0.01).verdict)
    return verdicts


def test_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 studies of a correct curve: at most 5 alarms (at rate at most 1 %: P(more than 5) < 1e-3)."""
    right, _ = studies_of_one_sample(monkeypatch, [24, 48, 96], hd.SGD(0.8), 2.5, 24, 100)
    print("alarms", right.count("inconsistent"))
    assert right.count("inconsistent") <= 5 and stats.binom.sf(5, 100, 0.01) < 1e-3


@pytest.mark.parametrize("optimizer", [hd.SGD(0.8), hd.ClippedSGD(0.8, 0.5)], ids=name_of)
@pytest.mark.slow
def test_false_alarms_and_power_where_bias_is_resolved(monkeypatch: pytest.MonkeyPatch, optimizer: Any) -> None:
    """40 studies of 1000 runs at each of 4 dimensions: at most 3 alarms (P(more than 3) < 1e-3 at 1 %); mu 5 % wrong is
    rejected in at least 38 of 40, as at d = 64 to 512 a detectable error below 5 % implies."""
    right, wrong = studies_of_one_sample(monkeypatch, [64, 128, 256, 512], optimizer, 4.0, 1000, 40)
    print("alarms", right.count("inconsistent"), "rejections", wrong.count("inconsistent"))
    assert right.count("inconsistent") <= 3 and stats.binom.sf(3, 40, 0.01) < 1e-3
    assert wrong.count("inconsistent") >= 38


def test_a_wrong_limit_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "MapResponse", Planted)
    study = hd.scaling_study(PROBLEM, hd.SGD(0.8), 4.0, [64, 128, 256], runs=1000)
    assert study.verdict == "inconsistent" and "does not vanish like 1/D" in study.reason
    assert study.bias_slope.low > -0.9 and study.spread_slope.low <= -0.5 <= study.spread_slope.high


def finished(dimensions: list[int], runs: int) -> list[Any]:
    return [case.judged(case.simulated(runs, 5, None, False), 0.01) for case in cases(dimensions, hd.SGD(0.5), 2.0)]


def test_a_spread_that_does_not_vanish_is_rejected() -> None:
    """The runs of every d are spread as those of the smallest."""
    reports = finished([64, 128, 256], 200)
    planted = []
    for k, report in enumerate(reports):
        risk = report.mean + math.sqrt(2) ** k * (report.runs.risk - report.mean)
        planted.append(replace(report, runs=replace(report.runs, risk=risk)))
    study = assess(np.array([64, 128, 256]), tuple(planted), 0.01)
    assert study.verdict == "inconsistent" and "does not vanish like 1/sqrt(D)" in study.reason
    assert assess(np.array([64, 128, 256]), tuple(reports), 0.01).verdict == "consistent"


def test_inconclusive() -> None:
    few = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [16, 32, 64], runs=8)
    assert few.verdict == "inconclusive" and "use more runs" in few.reason
    wide = hd.scaling_study(PROBLEM, hd.SGD(1.4), 5.0, [4, 5, 6], runs=200)
    assert wide.verdict == "inconclusive"
    reports = finished([16, 32, 64], 20)
    risk = reports[1].runs.risk.copy()
    risk[3] = math.inf
    runs = replace(
        reports[1].runs, risk=risk, outcome=hd.errors.Outcome(hd.errors.Status.DIVERGED, "1 of 20 runs diverged")
    )
    reports[1] = replace(reports[1], runs=runs, mean=risk.mean(axis=0))
    study = assess(np.array([16, 32, 64]), tuple(reports), 0.01)
    assert study.verdict == "inconclusive" and study.reason == "at d = 32 1 of 20 runs diverged"
    assert "inconclusive" in study.summary()


def test_blocks_only_where_they_pay() -> None:
    noise = hd.Gaussian(0.3)
    assert best_method(hd.Problem(hd.Isotropic(50), noise), hd.SGD(0.5)) == "blocks"
    assert best_method(hd.Problem(hd.Isotropic(50), noise), hd.SignSGD(0.5)) == "direct"
    assert best_method(hd.Problem(hd.PowerLaw(50, 0.5), noise), hd.SGD(0.5)) == "direct"


@pytest.mark.parametrize(
    "covariance",
    [hd.Isotropic(9), hd.PowerLaw(9, 0.3), hd.MarchenkoPastur(9, 0.5), hd.Wishart(9, 0.5, seed=4)]
    + [hd.PowerLaw(9, 0.3).rotated(7)],
    ids=name_of,
)
def test_rescaled(covariance: Any) -> None:
    problem = hd.Problem(covariance, hd.Laplace(0.3))
    larger = rescaled(problem, 21)
    assert larger.dimension == 21 and larger.noise == problem.noise and type(larger.covariance) is type(covariance)
    assert rescaled(larger, 9) == problem


# ---- looks


def test_plans() -> None:
    assert plan(32, None, 0.01).sizes == (32,)
    assert plan(32, 32, 0.01).sizes == (32,)
    assert plan(32, 300, 0.01).sizes == (32, 64, 128, 256, 300)
    assert plan(32, 300, 0.01).rate == pytest.approx(0.002)
    with pytest.raises(hd.errors.InvalidInput, match="max_runs: expected at least the 32 runs"):
        plan(32, 31, 0.01)
    with pytest.raises(hd.errors.InvalidInput, match="max_runs"):
        plan(32, 1.5, 0.01)


def test_until_decided() -> None:
    looks = plan(4, 16, 0.05)
    assert until_decided(looks, lambda n: n, lambda n: "enough" if n > 4 else "").sentence == (
        "stopped after 8 of at most 16 runs, look 2 of 3: enough"
    )
    last = until_decided(looks, lambda n: n, lambda n: "")
    assert last.result == 16 and last.sentence.endswith("look 3 of 3: the maximum is reached")
    assert until_decided(plan(4, None, 0.05), lambda n: n, lambda n: "enough").sentence == ""


@pytest.mark.parametrize("optimizer", [hd.ClippedSGD(0.5, 0.7), hd.SignSGD(0.3)], ids=name_of)
def test_an_extended_ensemble_is_that_of_one_simulation(optimizer: Any) -> None:
    problem, record = hd.Problem(hd.PowerLaw(20, 0.5), hd.StudentT(5, 0.3)), ("distance",)
    few, many = (hd.simulate(problem, optimizer, 2.0, n, 9, record=record) for n in (3, 8))
    joined = extended(few, 8)
    assert np.array_equal(joined.risk, many.risk) and np.array_equal(joined.distance, many.distance)
    assert joined.outcome == many.outcome and (joined.entropy, joined.spawn_key) == (many.entropy, many.spawn_key)
    assert extended(many, 3) is many
    with pytest.raises(hd.errors.InvalidInput, match="first"):
        hd.simulate(problem, optimizer, 2.0, 2, first=-1)


def test_an_extended_ensemble_counts_diverged_runs() -> None:
    problem = hd.Problem(hd.Isotropic(10), hd.Gaussian(0.3))
    with pytest.warns(hd.errors.DivergenceWarning):
        few, many = (hd.simulate(problem, hd.SGD(4.0), 40.0, n, 1) for n in (2, 5))
        joined = extended(few, 5)
    assert np.array_equal(joined.risk, many.risk)
    assert joined.outcome.status is hd.errors.Status.DIVERGED and joined.outcome.sentence.startswith(
        "5 of 5 runs diverged"
    )


def test_verify_in_looks(tmp_path: Path) -> None:
    """The runs are those of one look, with and without a checkpoint; the reason is kept."""
    problem, optimizer = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.3)), hd.SGD(0.5)
    report = hd.verify(problem, optimizer, 6.0, runs=8, max_runs=128, seed=2)
    n = report.runs.runs
    assert n in (8, 16, 32, 64, 128) and report.verdict == "consistent"
    assert (
        report.stopped.startswith(f"stopped after {n} of at most 128 runs, look ")
        and report.stopped in report.summary()
    )
    assert report.passed == ("would be seen" in report.stopped)
    assert report.false_alarm == 0.01
    assert report.critical == pytest.approx(stats.t.ppf(1 - 0.01 / 5 / 40, n - 1))
    once = hd.verify(problem, optimizer, 6.0, runs=n, seed=2)
    assert np.array_equal(report.runs.risk, once.runs.risk) and once.stopped == ""
    stored = hd.verify(problem, optimizer, 6.0, runs=8, max_runs=128, seed=2, checkpoint=tmp_path / "runs")
    assert np.array_equal(report.runs.risk, stored.runs.risk) and report.stopped == stored.stopped


def test_looks_end_where_the_allowance_is_too_large_and_errors_beyond_it_would_be_seen() -> None:
    problem = hd.Problem(hd.PowerLaw(60, 1.2), hd.Gaussian(0.3))
    with pytest.warns(hd.errors.LowDimensionWarning):
        few = hd.verify(problem, hd.SGD(0.5), 1.0, runs=2, max_runs=4)
        report = hd.verify(problem, hd.SGD(0.5), 1.0, runs=64, max_runs=4096)
    assert few.verdict == "inconclusive" and few.stopped.endswith("the maximum is reached")
    assert report.verdict == "inconclusive" and 64 < report.runs.runs < 4096
    assert report.stopped.endswith("beyond the allowance would be seen")


def sequential_verdicts(
    monkeypatch: pytest.MonkeyPatch, first: int, most: int, seeds: int
) -> tuple[list[str], list[str], list[int]]:
    """Verdicts of verify's looks for the right curve and for mu 5 % too large, with block runs drawn once for both, and
    the numbers of runs at which the right one stopped."""
    problem, optimizer, horizon = hd.Problem(hd.Isotropic(1000), hd.Gaussian(0.4)), hd.SGD(0.4), 6.0
    right, steps, allowed = expected_curve(problem, optimizer, horizon)
    monkeypatch.setattr(system, "MapResponse", Planted)
    wrong = hd.predict(problem, optimizer, horizon)
    curves = (right, allowed), (wrong, allowance(wrong, steps))
    monkeypatch.undo()
    looks = plan(first, most, 0.01)
    verdicts: tuple[list[str], list[str]] = ([], [])
    made = []
    for seed in np.random.SeedSequence(1).spawn(seeds):
        whole = hd.simulate(problem, optimizer, horizon, most, seed, times=steps / 1000, method="blocks")
        for found, (curve, share) in zip(verdicts, curves, strict=True):
            ending = until_decided(
                looks,
                lambda n: judge(curve, replace(whole, risk=whole.risk[:n]), steps, share, looks.rate),  # noqa: B023
                decided,
            )
            found.append(ending.result.verdict)
            if curve is right:
                made.append(ending.result.runs.runs)
    return (*verdicts, made)


@pytest.mark.slow
def test_looks_keep_the_rate_of_false_alarms_and_have_power(monkeypatch: pytest.MonkeyPatch) -> None:
    """Correct curves in up to 3 looks: at most 8 alarms of 200 (at rate at most 1 %: P(more than 8) < 1e-3). mu 5 %
    wrong: at least 190 of 200 rejected. Looks end early for some, late for others."""
    right, wrong, made = sequential_verdicts(monkeypatch, 8, 32, 200)
    print("alarms", right.count("inconsistent"), "rejections", wrong.count("inconsistent"), np.unique(made))
    assert right.count("inconsistent") <= 8
    assert wrong.count("inconsistent") >= 190
    assert len(set(made)) > 1


def test_looks_at_the_full_rate_would_not_keep_it() -> None:
    """The twin: 20 looks of a standard normal sum, each at the full rate of 5 %, alarm in more than 15 % of 2000
    sequences; at 5 %/20 in at most 5 % (99.9 % binomial quantile)."""
    steps = np.random.default_rng(2).standard_normal((2000, 20))
    z = np.abs(np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, 21))).max(axis=1)
    full, spent = ((z > stats.norm.ppf(1 - rate / 2)).sum() for rate in (0.05, plan(1, 2**19, 0.05).rate))
    assert full > 300 and spent <= stats.binom.ppf(0.999, 2000, 0.05)


def test_a_study_in_looks() -> None:
    study = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [32, 64, 128], runs=16, max_runs=1024, seed=1)
    assert study.verdict == "consistent" and 16 < study.runs < 1024
    assert study.stopped.startswith(f"stopped after {study.runs} of at most 1024 runs") and study.false_alarm == 0.01
    assert study.confidence == pytest.approx(1 - 0.01 / 7 / 2)
    assert study.summary().endswith(study.stopped)
    once = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [32, 64, 128], runs=study.runs, seed=1)
    assert np.array_equal(once.bias, study.bias) and np.array_equal(once.spread, study.spread)
    never = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [32, 64, 128], runs=8, max_runs=16, seed=1)
    assert never.verdict == "inconclusive" and never.stopped.endswith("the maximum is reached")


# ---- figure, bad input


def test_plot(tmp_path: Path) -> None:
    from hdlimit.plotting.figure import write_figure

    study = hd.scaling_study(PROBLEM, hd.SGD(1.0), 3.0, [16, 32, 64], runs=600)
    ax = study.plot()
    assert ax.get_xscale() == ax.get_yscale() == "log" and "scaling study: " in ax.get_title()
    assert len(ax.get_legend().get_texts()) >= 4
    write_figure(tmp_path / "study.png", study.plot)
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "dimensions",
    [[64, 128], [64, 128, 128], [64, 128, 256.5], [1, 64, 128], [64, 128, math.nan], "many", 128, [], [-8, 64, 128]],
    ids=name_of,
)
def test_bad_dimensions(dimensions: Any) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="dimensions"):
        hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, dimensions)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (hd.Problem(hd.Covariance(np.ones(4))), "known at its own dimension only"),
        (hd.Problem(hd.Covariance(np.eye(4)).rotated(1)), "known at its own dimension only"),
        (hd.Problem(hd.Wishart(4, 0.5, row_scales=np.ones(4))), "known at its own dimension only"),
        (hd.Problem(hd.Isotropic(4), target=np.ones(4)), "a target of its own"),
        (hd.Problem(hd.Isotropic(4), start=np.ones(4)), "a start of its own"),
        (hd.Problem.from_data(np.random.default_rng(0).standard_normal((30, 4)), np.arange(30.0)), "data rows"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_problems_that_cannot_be_rescaled(problem: hd.Problem, reason: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=reason):
        hd.scaling_study(problem, hd.SGD(0.5), 2.0, [16, 32, 64])


@pytest.mark.parametrize(
    ("options", "named"),
    [({"runs": 7}, "runs"), ({"max_runs": 5}, "max_runs"), ({"false_alarm": 0}, "false_alarm")]
    + [({"method": "exact"}, "method"), ({"seed": -1}, "seed"), ({"horizon": -1.0}, "horizon")],
    ids=name_of,
)
def test_bad_options(options: dict[str, Any], named: str) -> None:
    with pytest.raises(hd.errors.InvalidInput, match=named):
        hd.scaling_study(PROBLEM, hd.SGD(0.5), **{"horizon": 2.0, "dimensions": [16, 32, 64], **options})


def test_refusals() -> None:
    with pytest.raises(hd.errors.InvalidInput, match="sign features"):
        hd.scaling_study(PROBLEM, hd.SignSGD(0.5), 2.0, [16, 32, 64], runs=8, method="blocks")
    with pytest.raises(hd.errors.VerificationRefused, match="E eps\\^4 is infinite"):
        hd.scaling_study(hd.Problem(hd.Isotropic(4), hd.StudentT(3, 0.3)), hd.SGD(0.5), 2.0, [16, 32, 64])
    with pytest.raises(hd.errors.NoLimit):
        hd.scaling_study(hd.Problem(hd.Isotropic(4), hd.StudentT(1.5, 0.3)), hd.SGD(0.5), 2.0, [16, 32, 64])


# ---- files and the command line

STUDY = """
[problem.covariance]
type = "Isotropic"
d = 50
[problem.noise]
type = "Gaussian"
std = 0.4
[optimizer]
type = "SGD"
lr = 0.5
[run]
horizon = 2.0
runs = 100
"""


def test_a_study_in_files(tmp_path: Path) -> None:
    study = hd.scaling_study(PROBLEM, hd.SGD(0.5), 2.0, [16, 32, 64], runs=8, max_runs=16)
    for ending in ("npz", "csv", "json"):
        study.save(tmp_path / f"study.{ending}")
    back = hd.load(tmp_path / "study.npz")
    assert isinstance(back, hd.results.ScalingStudy) and back.summary() == study.summary()
    assert back.slopes == study.slopes and back.bias_slope == study.bias_slope
    assert np.array_equal(back.reports[2].runs.risk, study.reports[2].runs.risk)
    facts = json.loads((tmp_path / "study.json").read_text())
    assert facts["dimensions"] == [16, 32, 64] and facts["bias"] == study.bias.tolist()
    assert facts["verdict"] == study.verdict and facts["stopped"] == study.stopped
    assert (tmp_path / "study.csv").read_text().splitlines()[-1].startswith("64,64.0,")


def command(tmp_path: Path, *options: str) -> Any:
    from hdlimit.cli.main import main

    (tmp_path / "problem.toml").write_text(STUDY)
    return CliRunner().invoke(main, ["verify", str(tmp_path / "problem.toml"), *options])


def test_the_command_line(tmp_path: Path) -> None:
    figure, out = tmp_path / "study.png", tmp_path / "study.npz"
    done = command(
        tmp_path, "--dimensions", "32, 64,128", "--max-runs", "800", "--plot", str(figure), "--out", str(out)
    )
    assert done.exit_code == 0 and "consistent: " in done.output and "of at most 800 runs" in done.output
    assert figure.exists() and hd.load(out).dimensions.tolist() == [32, 64, 128]
    few = command(tmp_path, "--dimensions", "16,32,64", "--runs", "8", "--json")
    assert few.exit_code == 3 and json.loads(few.stdout)["verdict"] == "inconclusive"
    looks = command(tmp_path, "--runs", "4", "--max-runs", "8", "--seed", "1")
    assert looks.exit_code in (0, 3) and "of at most 8 runs" in looks.output


@pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
def test_a_contradicted_study_ends_with_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "MapResponse", Planted)
    done = command(tmp_path, "--dimensions", "64,128,256", "--runs", "600")
    assert done.exit_code == 1 and "inconsistent: " in done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dimensions", "16,32"], "dimensions: expected at least 3 different integers >= 2"),
        (["--dimensions", "16,x,64"], "integers with commas between them"),
        (["--dimensions", "16,32,64", "--record", "distance"], "--record does not go with --dimensions"),
        (["--runs", "32", "--max-runs", "16"], "max_runs: expected at least the 32 runs"),
    ],
    ids=str,
)
def test_bad_command_lines(tmp_path: Path, options: list[str], said: str) -> None:
    done = command(tmp_path, *options)
    assert done.exit_code == 2 and said in done.output


def test_a_study_continues_from_its_checkpoints(tmp_path: Path) -> None:
    """One file a dimension: fewer runs first, then all of them, bit-identical to a study without files."""
    how = {"dimensions": [16, 24, 32], "horizon": 2.0}
    problem, optimizer = hd.Problem(hd.Isotropic(16), hd.Gaussian(0.3)), hd.SGD(0.5)
    hd.scaling_study(problem, optimizer, **how, runs=8, checkpoint=tmp_path / "study")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["study-d16", "study-d24", "study-d32"]
    resumed = hd.scaling_study(problem, optimizer, **how, runs=16, checkpoint=tmp_path / "study")
    whole = hd.scaling_study(problem, optimizer, **how, runs=16)
    assert np.array_equal(resumed.bias, whole.bias) and np.array_equal(resumed.spread, whole.spread)
    with pytest.raises(hd.errors.InvalidInput, match="checkpoint"):
        hd.scaling_study(problem, hd.SGD(0.4), **how, runs=16, checkpoint=tmp_path / "study")
    with pytest.raises(hd.errors.InvalidInput, match="checkpoint"):
        hd.scaling_study(problem, optimizer, **how, runs=16, checkpoint=3)
