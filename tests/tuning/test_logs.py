"""Thresholds from logs: regret against the exact optimum, intervals, refusals, bad input.

Logs are drawn with consecutive seeds from 0, none chosen.
"""

import math

import numpy as np
import pytest
from cases import name_of
from scipy import integrate, stats

import hdlimit as hd
from hdlimit.response.best_threshold import best_threshold
from hdlimit.response.response import MapResponse
from hdlimit.tuning import log_sample, log_trend
from hdlimit.tuning.log_sample import LogSample
from hdlimit.tuning.logs import tune_clip_from_residuals as tune

LAWS = {
    "t 1.5": hd.StudentT(1.5, 0.7),
    "t 3": hd.StudentT(3, 0.7),
    "mixture": hd.GaussianMixture([0.9, 0.1], [0.3, 2.0]),
}
V, ROWS = 0.1, 10_000


def log_of(law, seed, rows=ROWS, v=V):
    generator = np.random.default_rng(seed)
    return math.sqrt(v) * generator.standard_normal(rows) - law.sample(generator, rows)


def regret(law, threshold, v=V):
    """How far the true mu^2/nu at a threshold lies below its maximum, relative."""
    best = best_threshold(law, v)
    mu, nu = MapResponse("clip", law)(v, threshold) if threshold < math.inf else (0.0, 1.0)
    return 1 - mu**2 / nu / (best.mu**2 / best.nu)


@pytest.mark.parametrize("name", LAWS)
def test_the_recommended_threshold_is_within_two_percent_in_19_of_20_logs(name):
    """Measured over 60 other logs a law: at most 1 in 60 beyond 2 % at this v; then P(2 or more of 20) < 5 %."""
    law = LAWS[name]
    results = [tune(log_of(law, seed), bootstrap=20) for seed in range(20)]
    assert sum(regret(law, result.threshold) < 0.02 for result in results) >= 19
    assert all(result.helps for result in results)


def test_the_plain_sample_objective_is_not_good_enough(monkeypatch):
    """The twin without smoothing and caution: it must fail the same test for t 1.5 (measured: 5 of 20 beyond 2 %)."""
    monkeypatch.setattr(log_sample, "SMOOTHING", 0.0)
    monkeypatch.setattr(log_sample, "CAUTION", 0.0)
    law = LAWS["t 1.5"]
    samples = [LogSample(np.abs(log_of(law, seed))) for seed in range(20)]
    assert sum(regret(law, sample.best(sample.ones)) < 0.02 for sample in samples) < 19


@pytest.mark.parametrize("name", ["t 3", "mixture"])
def test_numbers_agree_with_the_law(name):
    """Threshold, clipped fraction and gain of 100 000 rows against the exact values."""
    law = LAWS[name]
    best, result = best_threshold(law, V), tune(log_of(law, 0, 100_000), bootstrap=40)
    assert regret(law, result.threshold) < 0.005
    assert result.clipped_fraction == pytest.approx(1 - MapResponse("clip", law)(V, result.threshold)[0], abs=0.008)
    if name == "mixture":  # E r^4 of t 3 is infinite
        assert result.rate_gain == pytest.approx(best.rate_gain, rel=0.03)


def test_the_gain_is_the_formula():
    """Against means computed row by row, at the halves' thresholds."""
    r = log_of(LAWS["mixture"], 3, 2001)
    sample = LogSample(np.abs(r))
    for c in (0.2, 0.7, 3.0, math.inf):
        mu = sum(abs(x) <= c for x in r) / r.size
        nu = sum(min(x * x, c * c) for x in r) / r.size
        square = sum(x * x for x in r) / r.size
        assert math.exp(sample.log_gain(c, sample.ones)) == pytest.approx(mu**2 / nu * square, rel=1e-12)


def batches_of(law, seed, size, rows=ROWS):
    generator = np.random.default_rng(seed)
    r = math.sqrt(V) * generator.standard_normal((rows, size))
    return r - law.sample(generator, rows * size).reshape(rows, size)


def test_batches():
    """B = 4 against the batch theory, from residuals and from mean losses; the twin that takes B for 1 is off."""
    law, size = LAWS["mixture"], 4
    r = batches_of(law, 0, size)
    result = tune(r, batch_size=size, bootstrap=40)
    best = best_threshold(law, V, size)
    response = MapResponse("clip", law, size)
    mu, nu = response(V, result.threshold)
    assert mu**2 / nu > 0.98 * best.mu**2 / best.nu
    assert result.rate_gain == pytest.approx(best.rate_gain, rel=0.08)
    assert result.rate_gain_interval[0] < best.rate_gain < result.rate_gain_interval[1]
    losses = (r**2).mean(axis=1) / 2
    half = {"losses": losses, "loss": "half_squared", "bootstrap": 40}
    assert tune(**half, batch_size=size).threshold == pytest.approx(result.threshold, rel=1e-9)
    wrong = tune(**half)
    mu, nu = response(V, wrong.threshold or math.inf)
    assert wrong.threshold in (None, math.inf) or mu**2 / nu < 0.95 * best.mu**2 / best.nu


def test_the_standard_error_of_the_objective():
    """The delta method's variance, read from the bound with and without caution, against 400 resamples: 20 %."""
    for size, r in ((1, log_of(LAWS["mixture"], 0, 2000)), (4, batches_of(LAWS["mixture"], 0, 4, 2000))):
        q = np.sqrt((r.reshape(2000, size) ** 2).sum(axis=1)) / size
        sample, generator = LogSample(q, size), np.random.default_rng(0)
        values = np.array([sample.objective(sample.resample(generator))[0] for _ in range(400)])
        error = sample.objective(sample.ones)[1]
        middle = (sample.grid > np.quantile(sample.size, 0.1)) & (sample.grid < np.quantile(sample.size, 0.99))
        assert np.abs(values.std(axis=0)[middle] / error[middle] - 1).max() < 0.2


def test_coverage_of_the_gain():
    """90 % intervals of the gain at the halves' thresholds in 80 logs of a mixture (all moments finite): P(fewer than
    62 cover the best gain, itself at most 1 % above) is below 1e-3 if 90 % is right; an interval half as wide covers
    60 %.
    """
    law, covered, narrow = LAWS["mixture"], 0, 0
    gain = best_threshold(law, V).rate_gain
    for seed in range(80):
        low, high = tune(log_of(law, 1000 + seed, 2000), bootstrap=100).rate_gain_interval
        covered += low <= gain <= high
        quarter = (high - low) / 4
        narrow += low + quarter <= gain <= high - quarter
    assert covered >= 62 > narrow


@pytest.mark.parametrize("law", [hd.Gaussian(0.7), hd.Uniform(1.0)], ids=name_of)
def test_no_gain_is_claimed_where_there_is_none(law):
    """60 logs of 2000 rows, 90 % intervals: the lower end is above 1 in at most 5 %; P(more than 9 of 60) < 1e-3."""
    results = [tune(log_of(law, seed, 2000), bootstrap=100) for seed in range(60)]
    assert sum(result.helps for result in results) <= 9
    refused = next(result for result in results if result.answer == "do not clip" and result.used == result.rows)
    assert refused.threshold == math.inf and refused.clipped_fraction == 0
    assert refused.sentence.startswith("do not clip: no gain") and "2000 rows" in refused.sentence


def test_losses_and_gradient_norms():
    r = log_of(LAWS["t 3"], 0)
    plain = tune(r, bootstrap=20)
    half = tune(losses=r**2 / 2, loss="half_squared", bootstrap=20)
    squared = tune(losses=r**2, loss="squared", bootstrap=20)
    assert half.threshold == pytest.approx(plain.threshold, rel=1e-9)
    assert squared.threshold == pytest.approx(plain.threshold, rel=1e-9)
    generator = np.random.default_rng(1)
    norms = np.abs(r) * np.sqrt(generator.chisquare(500, r.size))  # Gaussian x, tr K = 500
    with_norms = tune(r, gradient_norms=norms, bootstrap=20)
    assert with_norms.max_norm == pytest.approx(plain.threshold * math.sqrt(500), rel=0.01)
    assert with_norms.trainer() == {"max_norm": with_norms.max_norm}
    doubled = tune(losses=r**2, loss="squared", gradient_norms=2 * norms, bootstrap=20)
    assert doubled.max_norm == pytest.approx(2 * with_norms.max_norm, rel=1e-9)
    with pytest.raises(hd.errors.NotAvailable, match="gradient norms"):
        plain.trainer()


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
def test_units(scale):
    r = log_of(LAWS["t 3"], 0)
    plain, scaled = tune(r, bootstrap=20), tune(scale * r, bootstrap=20)
    assert scaled.threshold == pytest.approx(scale * plain.threshold, rel=1e-9)
    assert scaled.rate_gain == pytest.approx(plain.rate_gain, rel=1e-9)


def test_reproducible_and_ordered():
    r = log_of(LAWS["t 3"], 0)
    first, again, other = tune(r, bootstrap=40), tune(r, bootstrap=40), tune(r, bootstrap=40, seed=1)
    assert first == again and first.rate_gain_interval != other.rate_gain_interval
    assert first.interval[0] <= first.threshold <= first.interval[1]
    assert first.rate_gain_interval[0] <= first.rate_gain <= first.rate_gain_interval[1]
    wide = tune(r, bootstrap=40, confidence=0.99)
    assert wide.interval[0] <= first.interval[0] and wide.interval[1] >= first.interval[1]


def test_heavy_tails_are_named():
    assert "lower bound" in tune(log_of(hd.StudentT(1, 0.7), 0), bootstrap=20).sentence
    assert "lower bound" not in tune(log_of(LAWS["mixture"], 0), bootstrap=20).sentence


def test_too_few_rows_is_cannot_tell():
    result = tune(log_of(LAWS["t 1.5"], 0, 150), gradient_norms=np.ones(150))
    assert (result.answer, result.helps, result.rows) == ("cannot tell", False, 150)
    assert result.threshold is result.interval is result.rate_gain is result.clipped_fraction is result.max_norm is None
    assert result.sentence.startswith("cannot tell: 150 rows that are not zero are too few")
    with pytest.raises(hd.errors.NotAvailable, match="cannot tell"):
        result.trainer()


def test_a_wide_interval_is_cannot_tell():
    """300 rows whose gain is 1: some intervals reach 1.05, and none of these logs is told not to clip."""
    results = [tune(np.random.default_rng(seed).standard_normal(300), bootstrap=100) for seed in range(40)]
    results = [result for result in results if result.used]
    wide = [result for result in results if result.rate_gain_interval[0] <= 1 and result.rate_gain_interval[1] >= 1.05]
    assert wide and all(result.answer == "cannot tell" and result.threshold is None for result in wide)
    narrow = [result for result in results if result.rate_gain_interval[1] < 1.05 and not result.helps]
    assert narrow and all(result.answer == "do not clip" and result.threshold == math.inf for result in narrow)


# ---- logs along which the residuals fall

# Time along a log.
T = np.linspace(0, 1, 20_000)
FALLS = {
    "geometric": 5.0**-T,
    "linear": 1 - 0.8 * T,
    "one step": np.where(T < 0.5, 1.0, 0.2),
    "late step": np.where(T < 0.9, 1.0, 0.2),
    "rise": 5.0**T,
    "there and back": 5.0 ** -np.abs(2 * T - 1),
}


@pytest.mark.parametrize("name", FALLS)
def test_a_falling_scale_is_no_reason_to_clip(name):
    """Gaussian residuals, of which clipping keeps mu^2/nu E r^2 < 1 at every c: the 90 % interval lies above 1 in at
    most 5 % of 20 logs, P(more than 4) < 3e-3. The twin takes the rows without their order, which clips in all.
    """
    logs = [FALLS[name] * np.random.default_rng(seed).standard_normal(T.size) for seed in range(20)]
    results = [tune(r, bootstrap=20) for r in logs]
    assert sum(result.helps for result in results) <= 4
    assert all(result.used < T.size and "changes along the log" in result.sentence for result in results)
    shuffled = [tune(np.random.default_rng(9).permutation(r), bootstrap=20) for r in logs[:5]]
    assert all(result.helps for result in shuffled)


def test_a_falling_scale_hides_no_reason_to_clip():
    """t 3 residuals whose scale falls 5-fold, the threshold for the end of the log against SciPy's law.

    Of 30 other logs 1 had no answer and none of the others lost 6 %: P(more than 2 of 10 without one or 10 % below) is
    below 5e-3. The twin has the threshold in units of the first residuals.
    """

    def ccc(c):
        inside = 2 * integrate.quad(lambda x: x**2 * stats.t.pdf(x, 3), 0, c)[0]
        return (1 - 2 * stats.t.sf(c, 3)) ** 2 / (inside + 2 * c**2 * stats.t.sf(c, 3))

    best = max(map(ccc, np.geomspace(0.5, 10, 200)))
    logs = [FALLS["geometric"] * np.random.default_rng(seed).standard_t(3, T.size) for seed in range(10)]
    found = [result.threshold for r in logs if (result := tune(r, bootstrap=20)).helps]
    assert sum(ccc(5 * c) > 0.9 * best for c in found) >= 8 > sum(ccc(25 * c) > 0.9 * best for c in found)


def test_a_scale_that_falls_too_fast_is_cannot_tell():
    result = tune(100.0 ** -np.linspace(0, 1, 400) * np.random.default_rng(0).standard_normal(400))
    assert result.answer == "cannot tell" and result.threshold is None and result.used == 0
    assert "changes too fast along the log" in result.sentence


@pytest.mark.parametrize("law", [hd.Gaussian(1.0), hd.StudentT(3, 1.0), hd.StudentT(1.5, 1.0)], ids=name_of)
def test_steady_logs_are_steady(law):
    """400 logs, 5 % by design: P(more than 36 alarms) < 1e-3. The twin tests mean squares: above 36 for t 1.5."""
    logs = [np.abs(law.sample(np.random.default_rng(seed), 300)) for seed in range(400)]
    assert sum(map(log_trend.changes, logs)) <= 36
    if law == hd.StudentT(1.5, 1.0):
        scores = [np.array([np.mean(window**2) for window in np.array_split(r, 10)]) for r in logs]
        errors = [np.array([np.std(window**2) for window in np.array_split(r, 10)]) / 30**0.5 for r in logs]
        chi = [np.sum((m - m.mean()) ** 2 / e**2) for m, e in zip(scores, errors, strict=True)]
        assert np.sum(np.array(chi) > stats.chi2.isf(0.05, 9)) > 36


def test_the_loss_is_asked_for_and_told():
    r = log_of(LAWS["t 3"], 0)
    with pytest.raises(hd.errors.InvalidInput, match="loss: expected 'half_squared' where .* got None"):
        tune(losses=r**2)
    with pytest.raises(hd.errors.InvalidInput, match="loss: expected None with residuals"):
        tune(r, loss="squared")
    for loss, words in (
        ("squared", "losses read as r^2 (PyTorch's MSELoss)"),
        ("half_squared", "losses read as r^2/2"),
    ):
        result = tune(losses=r**2, loss=loss, bootstrap=20)
        assert words in result.sentence and result.loss == loss
        few = tune(losses=r[:50] ** 2, loss=loss, bootstrap=20)
        assert words in few.sentence and few.threshold is None
    assert "losses" not in tune(r, bootstrap=20).sentence


@pytest.mark.parametrize(
    "r",
    [np.ones(1000), np.tile([1.0, -1.0, 0.0], 500), np.arange(1000) == 3],
    ids=["one size", "two sizes", "one row"],
)
def test_degenerate_logs_give_an_answer(r):
    result = tune(np.asarray(r, dtype=float), bootstrap=20)
    numbers = [result.threshold, result.rate_gain, *(result.rate_gain_interval or ())]
    assert result.sentence and not any(number is not None and math.isnan(number) for number in numbers)


GOOD = np.linspace(-1, 1, 500)
BAD = [
    ({}, "residuals: expected either"),
    ({"residuals": GOOD, "losses": GOOD**2}, "residuals: expected either"),
    ({"residuals": ["a", "b"]}, "residuals: expected a finite array"),
    ({"residuals": [1.0, math.nan, 2.0]}, "residuals: .* NaN"),
    ({"residuals": [1.0]}, "residuals: expected at least 2 rows"),
    ({"residuals": np.zeros(500)}, "residuals: .* not all zero"),
    ({"losses": np.zeros(500), "loss": "squared"}, "losses: .* not all zero"),
    ({"losses": GOOD, "loss": "squared"}, "losses: expected numbers >= 0"),
    ({"losses": GOOD**2, "loss": "huber"}, "loss: expected 'half_squared' where"),
    ({"residuals": GOOD, "gradient_norms": GOOD[1:]}, "gradient_norms: .* shape"),
    ({"residuals": GOOD, "gradient_norms": -np.abs(GOOD)}, "gradient_norms: expected numbers >= 0"),
    ({"residuals": GOOD, "confidence": 90}, "confidence"),
    ({"residuals": GOOD, "bootstrap": 3}, "bootstrap"),
    ({"residuals": GOOD.reshape(2, -1)}, "residuals: .* 1 dimension"),
    ({"residuals": GOOD, "batch_size": 4}, "residuals: expected a finite array of shape"),
    ({"residuals": GOOD, "batch_size": 0}, "batch_size"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[m for _, m in BAD])
def test_bad_input(arguments, message):
    with pytest.raises(hd.errors.InvalidInput, match=message):
        tune(**arguments)
