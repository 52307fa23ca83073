"""verify: rates of false alarms and of detection, verdicts, refusals, and the allowance for sign features."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import hdlimit as hd
from hdlimit import limit
from hdlimit.response import Response
from hdlimit.verify import CAP, TIMES, allowance, exceedance, judge, relaxation_time, verification_steps

SEEDS = 200
LAWS = [hd.Gaussian(0.3), hd.StudentT(5, 0.3)]
OPTIMIZERS = [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.5), hd.SignSGD(0.3)]
HORIZON = 10.0


class Planted(Response):
    """A response whose mu is 5 % too large."""

    def _closed(self, c: float) -> None:
        return None

    def _slow(self, v: float, c: float) -> tuple[float, float]:
        mu, nu = Response(self.map.name, self.noise, self.batch_size)(v, c)
        return 1.05 * mu, nu


def expectation(problem: hd.Problem, optimizer: Any, horizon: float) -> tuple[Any, np.ndarray, np.ndarray]:
    """What verify fixes before it samples: the curve, the test steps, the allowance."""
    curve = hd.predict(problem, optimizer, horizon)
    steps = verification_steps(curve)
    return curve, steps, allowance(curve, steps)


@pytest.mark.parametrize("d", [200, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("noise", LAWS, ids=repr)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_false_alarms_and_power(monkeypatch: pytest.MonkeyPatch, optimizer: Any, noise: hd.Gaussian, d: int) -> None:
    """Correct curves: at most 8 alarms of 200 (each at rate at most 1 %: P(more than 8) < 1e-3 for one
    configuration). mu 5 % wrong: at least 190 of 200 rejected. Both curves are held against the same runs, drawn as
    verify draws them.
    """
    problem, horizon = hd.Problem(hd.Isotropic(d), noise), 10.0 if d < 1000 else 6.0
    right = expectation(problem, optimizer, horizon)
    monkeypatch.setattr(limit, "Response", Planted)
    wrong = expectation(problem, optimizer, horizon)
    monkeypatch.undo()
    times = np.union1d(right[1], wrong[1]) / d
    verdicts: tuple[list[str], list[str]] = ([], [])
    for seed in np.random.SeedSequence(0).spawn(SEEDS):
        runs = hd.simulate(problem, optimizer, horizon, seed=seed, times=times)
        for found, (curve, steps, allowed) in zip(verdicts, (right, wrong)):
            found.append(judge(curve, runs, steps, allowed, 0.01).verdict)
    alarms, rejections = verdicts[0].count("inconsistent"), verdicts[1].count("inconsistent")
    print(f"d={d} {noise!r} {optimizer!r}: alarms {alarms}, rejections {rejections}")
    assert alarms <= 8
    assert verdicts[0].count("inconclusive") == 0
    assert rejections >= 190


def test_verify_is_these_parts() -> None:
    problem, seed = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.3)), np.random.SeedSequence(0).spawn(1)[0]
    whole = hd.verify(problem, hd.SGD(0.5), HORIZON, seed=seed)
    curve, steps, allowed = expectation(problem, hd.SGD(0.5), HORIZON)
    runs = hd.simulate(problem, hd.SGD(0.5), HORIZON, seed=seed, times=steps / 200)
    parts = judge(curve, runs, steps, allowed, 0.01)
    assert (whole.z_max, whole.critical, whole.verdict) == (parts.z_max, parts.critical, parts.verdict)


def test_stated_rate_of_one_configuration() -> None:
    assert stats.binom.sf(8, SEEDS, 0.01) < 1e-3


def test_report_is_what_the_docstring_says() -> None:
    problem, optimizer = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.3)), hd.SGD(0.5)
    report = hd.verify(problem, optimizer, HORIZON, runs=24, seed=3)
    n = report.runs.runs
    assert report.time.size == TIMES and n == 24
    assert report.critical == pytest.approx(stats.t.ppf(1 - 0.01 / 2 / TIMES, n - 1))
    np.testing.assert_allclose(report.predicted, report.curve.at(report.time))
    risk = report.runs.risk[:, np.isin(report.runs.time, report.time)]
    np.testing.assert_allclose(report.mean, risk.mean(axis=0))
    np.testing.assert_allclose(report.stderr, risk.std(axis=0, ddof=1) / math.sqrt(n))
    z = np.maximum(np.abs(report.mean - report.predicted) - report.allowance, 0) / report.stderr
    assert report.z_max == pytest.approx(z.max())
    reach = report.critical + stats.t.ppf(0.95, n - 1)
    assert report.detectable == pytest.approx(((report.allowance + reach * report.stderr) / report.predicted).min())
    assert report.passed == (report.verdict == "consistent" and report.detectable <= 0.05)
    assert (report.allowance <= CAP * report.predicted).all()
    assert report.time[0] >= relaxation_time(report.curve) - 1 / 200
    assert report.verdict in report.summary() and repr(report).startswith("Report(")


def test_times_do_not_depend_on_the_sample() -> None:
    curve = hd.predict(hd.Problem(hd.Isotropic(200), hd.Gaussian(0.3)), hd.SGD(0.5), HORIZON)
    assert (verification_steps(curve) == verification_steps(curve)).all()
    assert (np.diff(verification_steps(curve)) > 0).all()


def test_power_grows_with_runs() -> None:
    """With 32 runs an error of 5 % may go unseen; `detectable` says so and falls as 1/sqrt(runs)."""
    problem, optimizer = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.3)), hd.SGD(0.5)
    few, many = (hd.verify(problem, optimizer, HORIZON, runs=n, seed=1).detectable for n in (16, 256))
    assert many < few / 3


def test_inconclusive_where_the_bias_of_the_limit_is_large() -> None:
    """PowerLaw(1.2) has d_int about 5: the exact mean is several per cent above the limit."""
    problem = hd.Problem(hd.PowerLaw(100, 1.2), hd.Gaussian(0.3))
    with pytest.warns(hd.LowDimensionWarning):
        report = hd.verify(problem, hd.SGD(0.5), HORIZON, runs=4)
    assert report.verdict == "inconclusive" and not report.passed
    assert (report.allowance > CAP * report.predicted).any()


def test_refuses_runs_without_variance() -> None:
    problem = hd.Problem(hd.Isotropic(100), hd.StudentT(3, 0.3))
    with pytest.raises(hd.VerificationRefused, match="E eps\\^4 is infinite"):
        hd.verify(problem, hd.SGD(0.5), 5.0)
    with pytest.warns(hd.HeavyTailWarning):
        assert np.isfinite(hd.predict(problem, hd.SGD(0.5), 5.0).risk).all()
    assert hd.verify(problem, hd.ClippedSGD(0.5, 0.5), 5.0, runs=4).verdict in ("consistent", "inconclusive")


def test_no_limit_is_said_before_no_spread() -> None:
    problem = hd.Problem(hd.Isotropic(100), hd.StudentT(1.5, 0.3))
    with pytest.raises(hd.NoLimit, match="infinite variance"):
        hd.verify(problem, hd.SGD(0.5), 5.0)


def test_refuses_a_diverging_curve() -> None:
    with pytest.raises(hd.VerificationRefused, match="diverged at t"):
        hd.verify(hd.Problem(hd.Isotropic(50), hd.Gaussian(0.3)), hd.SGD(3.0), 100.0)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, hd.SignSGD(0.3, batch_size=3)], ids=repr)
def test_start_at_the_target_and_no_noise(optimizer: Any) -> None:
    """The curve is 0 and so is every run, signSGD's too: sign(0) = 0. Consistent, without 0/0."""
    d = 200
    problem = hd.Problem(hd.Isotropic(d), hd.NoNoise(), start=np.full(d, d**-0.5))
    report = hd.verify(problem, optimizer, 5.0, runs=4)
    assert report.z_max == 0.0 and not report.runs.risk.any() and not report.curve.risk.any()


def test_exceedance_judges_zero_spread() -> None:
    z = exceedance(np.array([0.0, 1.0, 1.0, -3.0]), np.array([0.0, 2.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 2.0]))
    assert z.tolist() == [0.0, 0.0, math.inf, 1.0]


def test_exact_for_sgd() -> None:
    """The allowance of SGD is the exact bias: mean recursion of THEORY section 7 written out, any batch."""
    problem = hd.Problem(hd.PowerLaw(60, 0.1), hd.Gaussian(0.4))
    for batch in (1, 4):
        curve = hd.predict(problem, hd.SGD(0.6, batch_size=batch), 5.0)
        steps = verification_steps(curve)
        lam, g = problem.covariance.diagonal, 0.6 / 60
        rho, exact = problem.initial_error**2, []
        for k in range(int(steps[-1]) + 1):
            if k in steps:
                exact.append(lam @ rho / 2)
            total = lam @ rho + 0.16
            rho = (1 - g * lam) ** 2 * rho + g**2 * (lam**2 * rho + lam * total) / batch
        np.testing.assert_allclose(allowance(curve, steps), np.abs(exact - curve.at(steps / 60)), rtol=2e-4, atol=2e-8)


def test_judge_needs_two_runs() -> None:
    problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.3))
    curve = hd.predict(problem, hd.SGD(0.5), 2.0)
    steps = verification_steps(curve)
    runs = hd.simulate(problem, hd.SGD(0.5), 2.0, runs=1, times=steps / 50)
    with pytest.raises(hd.InvalidInput, match="runs"):
        judge(curve, runs, steps, allowance(curve, steps), 0.01)
