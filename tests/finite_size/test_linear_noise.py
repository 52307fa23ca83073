"""The spread of runs and the shift of their mean: against a slow twin, quadrature, and the algorithm itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from cases import NOISES, OPTIMIZERS, name_of
from naive_spread import Moments, additive, draw, gaussian_batch, sampled, spread
from scipy import stats

import hdlimit as hd
from hdlimit.finite_size.linear_noise import linear_noise
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.stable import SymmetricStable
from hdlimit.response.residual_maps import tabulated
from hdlimit.response.response import MapResponse
from hdlimit.response.step_moments import overlap, step_moments
from hdlimit.schedules import Steps, Table

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

TIMES = np.array([0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 6.0])
JUMP = Steps([1.5], [0.5, 0.2])
MOVING = Table([0.0, 2.0, 5.0], [0.9, 0.4, 0.6])
LAWS = [hd.Gaussian(0.5), hd.StudentT(5, 0.4), hd.Laplace(0.5), hd.Rademacher(0.5)]
COVARIANCES = [hd.Isotropic(24), hd.PowerLaw(24, 0.5), hd.MarchenkoPastur(24, 2.0)]
TABLE = next(optimizer.table for optimizer in OPTIMIZERS if isinstance(optimizer, hd.tuning.ScoreSGD))
TWO_BLOCKS: Callable[[int], hd.Covariance] = lambda d: hd.Covariance(np.repeat([1.6, 0.4], d // 2))  # noqa: E731


# ---- the twin

TWINS = {
    "sgd": [hd.SGD(JUMP, batch_size=b) for b in (1, 2, 4)],
    "clip": [hd.ClippedSGD(JUMP, MOVING)],
    "clip, batch": [hd.ClippedSGD(JUMP, c, batch_size=b) for b in (2, 4) for c in (0.3, 0.6)],
    "sign": [hd.SignSGD(JUMP)],
    "sign, batch": [hd.SignSGD(JUMP, batch_size=b) for b in (2, 4)],
}


def twin_error(covariance: Any, noise: NoiseLaw, optimizer: Any, wrong: float = 1.0) -> float:
    """Largest relative difference of sd(R) from the twin's, after a factor."""
    problem = hd.Problem(covariance, noise)
    curve = hd.predict(problem, optimizer, 6.0)
    v = 2 * curve.risk
    twin = spread(problem, optimizer, TIMES, 0.9 * v.min(), 1.1 * v.max())
    return float(np.abs(wrong * curve.linear_noise.spread(TIMES) / twin - 1).max())


@pytest.mark.parametrize(
    ("name", "noise"), [x for x in product(TWINS, LAWS) if x[0] == "sgd" or x[1] != LAWS[2]], ids=name_of
)
def test_spread_is_the_twins(name: str, noise: NoiseLaw) -> None:
    """Measured: 4e-4 where the twin integrates its moments, 2e-3 where it samples them. Every optimizer meets one
    covariance here; all of them (and Laplace noise beyond SGD, which takes seconds) in the slow test.
    """
    which = LAWS.index(noise)
    optimizer = TWINS[name][which % len(TWINS[name])]
    assert twin_error(COVARIANCES[which % 3], noise, optimizer) < (4e-3 if "batch" in name else 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("noise", LAWS, ids=name_of)
@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_every_spread_is_the_twins(name: str, noise: NoiseLaw, covariance: Any) -> None:
    for optimizer in TWINS[name]:
        assert twin_error(covariance, noise, optimizer) < (4e-3 if "batch" in name else 1e-3)


def test_a_spread_that_is_1_percent_wrong_is_not_the_twins() -> None:
    assert twin_error(COVARIANCES[1], LAWS[0], TWINS["clip"][0], wrong=1.01) > 9e-3


def test_full_covariance_and_any_start() -> None:
    """Identity features: the twin diagonalizes K itself."""
    d = 24
    covariance = hd.Wishart(d, 0.5, row_scales=np.geomspace(0.3, 3, d), seed=2)
    problem = hd.Problem(covariance, hd.Gaussian(0.4), start=np.cos(np.arange(d)), target=np.zeros(d))
    optimizer = hd.ClippedSGD(0.4, 0.7)
    twin = spread(problem, optimizer, TIMES, 1e-3, 1e3)
    np.testing.assert_allclose(hd.predict(problem, optimizer, 6.0).linear_noise.spread(TIMES), twin, rtol=1e-3)


def test_bins_change_little() -> None:
    """1000 distinct rates in 48 bins and in 400."""
    for covariance in (hd.PowerLaw(1000, 0.5), hd.MarchenkoPastur(1000, 0.5)):
        curve = hd.predict(hd.Problem(covariance, hd.Gaussian(0.4)), hd.ClippedSGD(0.5, 0.6), 6.0)
        few, many = curve.linear_noise, linear_noise(curve, bins=400)
        np.testing.assert_allclose(few.spread(TIMES), many.spread(TIMES), rtol=2e-3)
        np.testing.assert_allclose(few.shift(TIMES), many.shift(TIMES), atol=1e-5 * curve.risk[0])


@pytest.mark.parametrize("size", [1, 3])
def test_clipping_at_infinity_is_sgd(size: int) -> None:
    problem = hd.Problem(hd.PowerLaw(60, 0.5), hd.Gaussian(0.3))
    sgd = hd.predict(problem, hd.SGD(0.5, batch_size=size), 6.0).linear_noise
    for c, rtol in ((math.inf, 1e-9), (1e6, 1e-5), (20.0, 1e-4)):
        clip = hd.predict(problem, hd.ClippedSGD(0.5, c, batch_size=size), 6.0).linear_noise
        np.testing.assert_allclose(clip.spread(TIMES), sgd.spread(TIMES), rtol=rtol)
        np.testing.assert_allclose(clip.shift(TIMES), sgd.shift(TIMES), rtol=rtol, atol=rtol * 1e-2)


# ---- moments of a step

KINDS: list[str | ResidualTable] = ["identity", "clip", "sign", TABLE]
STATES = [(0.2, 0.4), (0.7, 0.4), (10.0, 1.2)]


def response_of(kind: str | ResidualTable, noise: NoiseLaw, size: int) -> MapResponse:
    return MapResponse(kind if isinstance(kind, str) else tabulated("score", kind), noise, size)


def as_triple(moments: Moments, v: float) -> np.ndarray:
    """(nu_2 - mu^2, chi, kappa): the first is what the spread uses, nu_2 alone may vanish."""
    return np.array([(moments.var_h - v * moments.nu) / v**2, moments.cov / v + moments.mu * moments.nu, moments.var_n
                     + moments.nu**2])  # fmt: skip


def found(response: MapResponse, v: float, c: float) -> np.ndarray:
    nu_2, chi, kappa = step_moments(response, v, c)
    return np.array([nu_2 - response(v, c)[0] ** 2, chi, kappa])


def states_of(kind: str | ResidualTable, noise: NoiseLaw) -> list[tuple[float, float]]:
    return [] if kind == "identity" and math.isinf(noise.second_moment) else STATES


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_moments_of_a_step_by_quadrature(noise: NoiseLaw) -> None:
    """Single samples, and batches whose samples do not know of each other (SGD, tables)."""
    for kind in KINDS:
        for size in (1, 3) if kind in ("identity", TABLE) else (1,):
            for v, c in states_of(kind, noise):
                expected, got = (
                    as_triple(additive(kind, noise, size, v, c), v),
                    found(response_of(kind, noise, size), v, c),
                )
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9, err_msg=f"{kind} {size} {v} {c}")


@pytest.mark.parametrize("noise", [hd.NoNoise(), hd.Gaussian(0.7)], ids=name_of)
@pytest.mark.parametrize("kind", ["clip", "sign"])
@pytest.mark.parametrize("size", [2, 3, 7])
def test_moments_of_gaussian_batches(kind: str, noise: NoiseLaw, size: int) -> None:
    for v, c in [*STATES, (1e-8, 0.5), (1e4, 0.5), (0.5, 30.0)]:
        expected = as_triple(gaussian_batch(kind, noise, size, v, c), v)
        np.testing.assert_allclose(found(response_of(kind, noise, size), v, c), expected, rtol=1e-6)


# Quantiles of stable laws are slow: three minutes.
SAMPLED = [
    pytest.param(noise, marks=pytest.mark.slow if isinstance(noise, SymmetricStable) else ()) for noise in NOISES[2:]
]


@pytest.mark.parametrize("noise", SAMPLED, ids=name_of)
@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_moments_of_batches_by_sampling(noise: NoiseLaw, size: int) -> None:
    """Means over 16 scrambled nets of 4096 points, Student t with 15 degrees: 234 comparisons at 1e-6 each in all laws
    and both sizes. What is 5 % wrong is rejected.
    """
    nets, critical = [draw(noise, size, 12, seed) for seed in range(16)], stats.t.isf(0.5e-6, 15)
    for kind in ("clip", "sign"):
        for v, c in STATES[: 2 if size == 2 else 1]:
            sample = np.array([as_triple(sampled(kind, net, v, c), v) for net in nets])
            mean, error = sample.mean(axis=0), sample.std(axis=0, ddof=1) / 4 + 1e-9
            got = found(response_of(kind, noise, size), v, c)
            assert (np.abs(got - mean) < critical * error).all(), (kind, v, c)
            if kind == "clip":
                assert (np.abs(1.05 * got - mean) > critical * error)[1:].all(), (kind, v, c)


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_moments_are_finite_at_extremes(noise: NoiseLaw) -> None:
    """v 1e-12 to 1e12, c 1e-6 to 1e6: finite, without warnings (which are errors here)."""
    for size in (1, 2):
        for v in (1e-12, 1.0, 1e12):
            for kind, c in (("sign", math.inf), *(("clip", x) for x in (0.0, 1e-6, 1.0, 1e6)), ("identity", math.inf)):
                if states_of(kind, noise):
                    got = step_moments(response_of(kind, noise, size), v, c)
                    assert np.isfinite(got[:2]).all() and (got.kappa < math.inf or noise.fourth_moment == math.inf)


@pytest.mark.parametrize("noise", [law for law in NOISES if law.fourth_moment < math.inf], ids=name_of)
def test_batches_that_are_hardly_clipped_are_sgd(noise: NoiseLaw) -> None:
    """At c a thousand times the root mean square of r and more (Student t 5: 1 % of kappa is beyond)."""
    for v in (1e-6, 1.0):
        for factor in (300.0, 1e4, 1e9):
            c = factor * math.sqrt(v + noise.second_moment)
            np.testing.assert_allclose(
                step_moments(response_of("clip", noise, 3), v, c),
                step_moments(response_of("identity", noise, 3), v, math.inf),
                rtol=1e-2 if isinstance(noise, hd.StudentT) else 2e-4,
            )


@pytest.mark.parametrize(
    "noise", [hd.Gaussian(0.4), hd.Rademacher(0.4), hd.StudentT(3, 0.3), hd.NoNoise()], ids=name_of
)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_overlap_of_a_batch(noise: Any, size: int) -> None:
    """(E <r, z>^2/S - v)/v^2 against 200 000 samples: 5 standard errors (false alarms below 1e-6)."""
    v, rng = 0.5, np.random.default_rng(11)
    z = math.sqrt(v) * rng.standard_normal((200_000, size))
    r = z - noise.sample(rng, z.size).reshape(z.shape)
    sample = ((r * z).sum(axis=1) ** 2 / (r**2).sum(axis=1) - v) / v**2
    expected = overlap(MapResponse("clip", noise, size), v)
    error = sample.std() / math.sqrt(sample.size)
    assert abs(sample.mean() - expected) <= 5 * error
    if size > 1:
        assert abs(sample.mean() - 1.05 * expected) > 5 * error


# ---- the shift of the mean


def shift_excess(
    problem: hd.Problem, optimizer: Any, runs: int, times: np.ndarray, shifted: bool = True, seed: int = 0
) -> float:
    """Largest (|mean - limit - shift| - a)/stderr over times, of the risk, the distance and the squared gradient norm.

    a: second order, |shift|/sqrt(d) + limit/d^1.5; batches of three and more that are clipped: 0.4/d of the limit.
    """
    record = ("distance", "gradient_norm")
    method = "blocks" if optimizer.features == "identity" else "direct"
    sample = hd.simulate(problem, optimizer, times[-1], runs, seed, times=times, method=method, record=record)
    curve, d = hd.predict(problem, optimizer, times[-1]), problem.dimension
    noise, (distance, gradient) = curve.linear_noise, curve.squares(times)
    left = 0.4 / d if optimizer.residual == "clip" and optimizer.batch_size > 2 else 0.0
    worst = -math.inf
    for values, limit, shift in (
        (sample.risk, curve.at(times), noise.shift(times)),
        (sample.distance, distance, noise.dense(times, 2)),
        (sample.gradient_norm**2, gradient, noise.dense(times, 3)),
    ):
        allowed = np.abs(shift) / math.sqrt(d) + limit * (d**-1.5 + left)
        error = values.std(axis=0, ddof=1) / math.sqrt(runs)
        difference = values.mean(axis=0) - limit - (shift if shifted else 0.0)
        worst = max(worst, float(((np.abs(difference) - allowed) / error).max()))
    return worst


def optimizer_of(name: str, size: int) -> Any:
    if name == "clip":
        return hd.ClippedSGD(0.6, 0.5 / math.sqrt(size), batch_size=size)
    return hd.SGD(0.6, batch_size=size) if name == "sgd" else hd.SignSGD(0.4, batch_size=size)


SHIFTED = [
    ("sgd", 1, hd.NoNoise(), TWO_BLOCKS(40)),
    ("clip", 1, hd.StudentT(1.5, 0.3), TWO_BLOCKS(40)),
    ("clip", 4, hd.NoNoise(), TWO_BLOCKS(40)),
    ("sign", 1, hd.NoNoise(), TWO_BLOCKS(40)),
    ("sign", 2, hd.Gaussian(0.4), hd.PowerLaw(40, 0.5)),
    ("sign", 4, hd.NoNoise(), TWO_BLOCKS(40)),
]


@pytest.mark.parametrize(("name", "size", "noise", "covariance"), SHIFTED, ids=name_of)
def test_mean_of_runs_at_small_dimension(name: str, size: int, noise: NoiseLaw, covariance: Any) -> None:
    """5 standard errors of 4000 runs at 4 times, three quantities: false alarms below 1e-5."""
    problem, times = hd.Problem(covariance, noise), np.array([0.5, 1.0, 2.0, 4.0])
    assert shift_excess(problem, optimizer_of(name, size), 4000, times) < 5


@pytest.mark.parametrize(("name", "size"), [("clip", 4), ("sign", 4)])
def test_the_limit_alone_is_not_the_mean(name: str, size: int) -> None:
    """d = 40: the mean of runs is up to 9 % above the limit, which is seen at once."""
    problem, times = hd.Problem(TWO_BLOCKS(40), hd.NoNoise()), np.array([0.5, 1.0, 2.0, 4.0])
    assert shift_excess(problem, optimizer_of(name, size), 2000, times, shifted=False) > 7


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("name", ["sgd", "clip", "sign"])
@pytest.mark.parametrize("noise", [hd.NoNoise(), hd.Gaussian(0.4), hd.StudentT(1.5, 0.3)], ids=name_of)
@pytest.mark.parametrize("covariance", [hd.Isotropic(40), TWO_BLOCKS(40), hd.PowerLaw(40, 0.5)], ids=name_of)
def test_every_mean_of_runs_at_small_dimension(name: str, size: int, noise: NoiseLaw, covariance: Any) -> None:
    """20 000 runs (signs: 6000), 72 cells, 5 standard errors at 6 times: false alarms below 1e-3 in all."""
    if name == "sgd" and math.isinf(noise.second_moment):
        pytest.skip("no limit")
    problem, times = hd.Problem(covariance, noise), np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
    assert shift_excess(problem, optimizer_of(name, size), 6000 if name == "sign" else 20_000, times) < 5


# ---- the spread of runs

FALSE_ALARM = 1e-3


def spread_test(risk: np.ndarray, predicted: np.ndarray, allowed: float) -> bool:
    """Whether the spread of runs, shape (runs, T), is not the predicted one, at false alarm 0.001.

    log(s/sd) averaged over times against a normal law, its variance that of ((R - mean)^2/s^2 - 1)/2 averaged over
    times, which needs no normal R; `allowed`: relative error of the prediction.
    """
    deviation = risk - risk.mean(axis=0)
    s = risk.std(axis=0, ddof=1)
    share = ((deviation / s) ** 2 - 1).mean(axis=1) / 2
    error = float(share.std()) / math.sqrt(len(risk))
    return abs(float(np.log(s / predicted).mean())) - allowed > stats.norm.isf(FALSE_ALARM / 2) * error


SPREADS = [
    (hd.SGD(0.6), hd.Gaussian(0.4), hd.Isotropic(200)),
    (hd.SGD(0.6, batch_size=4), hd.Rademacher(0.4), TWO_BLOCKS(200)),
    (hd.ClippedSGD(0.6, 0.5), hd.StudentT(5, 0.3), TWO_BLOCKS(200)),
    (hd.ClippedSGD(0.6, 0.3, batch_size=4), hd.NoNoise(), hd.Isotropic(200)),
]


def sample_of(optimizer: Any, noise: NoiseLaw, covariance: Any, runs: int, seed: Any) -> tuple[np.ndarray, np.ndarray]:
    problem, times = hd.Problem(covariance, noise), np.linspace(0.5, 4.0, 8)
    sample = hd.simulate(problem, optimizer, 4.0, runs, seed, times=times, method="blocks")
    return sample.risk, hd.predict(problem, optimizer, 4.0).linear_noise.spread(times)


@pytest.mark.parametrize("cell", SPREADS, ids=name_of)
def test_spread_of_runs(cell: Any) -> None:
    """2000 runs, d = 200; linear noise may be off by 1 % there."""
    assert not spread_test(*sample_of(*cell, 2000, 0), 0.01)


def test_spread_of_signs() -> None:
    problem, times = hd.Problem(TWO_BLOCKS(100), hd.StudentT(5, 0.3)), np.linspace(0.5, 3.0, 6)
    sample = hd.simulate(problem, hd.SignSGD(0.4), 3.0, 2000, 0, times=times)
    predicted = hd.predict(problem, hd.SignSGD(0.4), 3.0).linear_noise.spread(times)
    assert not spread_test(sample.risk, predicted, 0.01)
    assert spread_test(sample.risk, 1.1 * predicted, 0.01)


@pytest.mark.parametrize("seeds", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cell", SPREADS[::2], ids=name_of)
def test_power_of_the_spread(cell: Any, seeds: int) -> None:
    """5000 runs: a spread that is 5 % wrong is rejected in 19 of 20 seeds at least, the right one in one at most."""
    wrong, right = 0, 0
    for seed in np.random.SeedSequence(0).spawn(seeds):
        risk, predicted = sample_of(*cell, 5000, seed)
        right += spread_test(risk, predicted, 0.01)
        wrong += spread_test(risk, 1.05 * predicted, 0.01) and spread_test(risk, predicted / 1.05, 0.01)
    print(f"{cell}: rejected {wrong} of {seeds}, false alarms {right}")
    assert wrong >= 0.95 * seeds and right <= 1


TABLE_TIMES = 12
POWER_LAW: Callable[[int], Any] = lambda d: hd.PowerLaw(d, 0.5).binned(32 if d > 200 else d)  # noqa: E731


def table_optimizer(name: str, size: int) -> Any:
    if name == "clip":
        return hd.ClippedSGD(0.5, 0.7 / math.sqrt(size), batch_size=size)
    return hd.SGD(0.5, batch_size=size) if name == "sgd" else hd.SignSGD(0.4, batch_size=size)


@pytest.mark.slow
@pytest.mark.parametrize("d", [200, 1000])
@pytest.mark.parametrize("name", ["sgd", "clip", "sign"])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("noise", [hd.Gaussian(0.3), hd.StudentT(5, 0.3)], ids=name_of)
@pytest.mark.parametrize("covariance", [hd.Isotropic, TWO_BLOCKS, POWER_LAW], ids=["isotropic", "two", "power law"])
def test_spread_over_the_whole_curve(name: str, size: int, noise: NoiseLaw, covariance: Any, d: int) -> None:
    """4000 runs (the standard error of s is 1.1 % for normal R): within 5 % at each of 12 times over the whole curve.

    The power law at d = 1000 has 32 distinct eigenvalues. Signs at d = 1000: batch 1, isotropic and power law, horizon
    3, 2000 runs (within 7 %). SGD with t 5: E eps^8 is infinite, so that s at a single time may rest on a few runs (at
    seed 0 three of 4000 carry 24 % of the variance at one time), and the median over times is held against 5 %.
    """
    if name == "sign" and d == 1000 and (size > 1 or covariance is TWO_BLOCKS):
        pytest.skip("minutes")
    horizon, runs = (3.0, 2000) if name == "sign" and d == 1000 else (6.0, 4000)
    problem, optimizer = hd.Problem(covariance(d), noise), table_optimizer(name, size)
    times = np.geomspace(0.05, horizon, TABLE_TIMES)
    method = "direct" if name == "sign" else "blocks"
    sample = hd.simulate(problem, optimizer, horizon, runs, times=times, method=method)
    ratio = hd.predict(problem, optimizer, horizon).linear_noise.spread(sample.time) / sample.spread
    worst = ratio[np.abs(ratio - 1).argmax()]
    print(f"SPREAD d={d} {name} B={size} {noise!r} {problem.covariance!r}: worst {worst:.3f} mean {ratio.mean():.3f}")
    if name == "sgd" and isinstance(noise, hd.StudentT):
        assert abs(np.median(ratio) - 1) < 0.05
    else:
        assert abs(worst - 1) < (0.05 if runs == 4000 else 0.07)


# ---- where it does not exist, and ends


def test_no_spread_without_fourth_moment() -> None:
    problem = hd.Problem(hd.Isotropic(100), hd.StudentT(4, 0.3))
    with pytest.warns(hd.errors.HeavyTailWarning):
        curve = hd.predict(problem, hd.SGD(0.5), 5.0)
    with pytest.raises(hd.errors.NotAvailable, match="E eps\\^4 is infinite for StudentT.*their mean curve exists"):
        _ = curve.spread
    for optimizer in (hd.ClippedSGD(0.5, 0.5), hd.SignSGD(0.3)):
        assert np.isfinite(hd.predict(problem, optimizer, 5.0).spread).all()


def test_no_spread_for_signs_with_a_full_covariance() -> None:
    curve = hd.predict(hd.Problem(hd.PowerLaw(60, 0.3).rotated(1), hd.Gaussian(0.3)), hd.SignSGD(0.3), 5.0)
    with pytest.raises(hd.errors.NotAvailable, match="diagonal covariance only"):
        _ = curve.spread


def test_wide_spreads_are_said_to_be() -> None:
    """Without noise the spread of SGD in units of the risk grows with time."""
    curve = hd.predict(hd.Problem(hd.Isotropic(50)), hd.SGD(0.5), 30.0)
    with pytest.warns(hd.errors.ValidityWarning, match="above 0.3 of the risk from t = "):
        wide = curve.spread > 0.3 * curve.risk
    assert wide.any() and not wide.all()
    assert np.array_equal(curve.spread_trusted, ~wide)
    good = hd.predict(hd.Problem(hd.Isotropic(1000), hd.Gaussian(0.3)), hd.SGD(0.5), 5.0)
    assert good.spread_trusted.all() and (good.spread[1:] > 0).all() and good.spread[0] == 0


@pytest.mark.parametrize(
    "optimizer", [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.5, batch_size=2), hd.SignSGD(0.3)], ids=name_of
)
def test_start_at_the_target_without_noise(optimizer: Any) -> None:
    curve = hd.predict(hd.Problem(hd.Isotropic(50), start=np.full(50, 50**-0.5)), optimizer, 5.0)
    assert not curve.spread.any() and not curve.linear_noise.shift(curve.time).any()


@pytest.mark.parametrize("optimizer", [hd.SGD(0.3), hd.ClippedSGD(0.3, 0.5), hd.SignSGD(0.1)], ids=name_of)
@pytest.mark.parametrize("covariance", [hd.Isotropic(1), hd.Isotropic(500), hd.Covariance(np.eye(40)[0])], ids=name_of)
@pytest.mark.parametrize("noise", [hd.NoNoise(), hd.Gaussian(0.3)], ids=name_of)
def test_few_modes(optimizer: Any, covariance: Any, noise: NoiseLaw) -> None:
    curve = hd.predict(hd.Problem(covariance, noise), optimizer, 8.0)
    assert np.isfinite(curve.spread).all() and (curve.spread[1:] > 0).all() and np.isfinite(curve.corrected).all()


def test_start_at_the_target_with_noise() -> None:
    """Var R grows from 0 to that of the steady state."""
    d = 400
    problem = hd.Problem(hd.Isotropic(d), hd.Gaussian(0.5), start=np.full(d, d**-0.5))
    curve = hd.predict(problem, hd.ClippedSGD(0.5, 0.6), 40.0)
    sample = hd.simulate(problem, hd.ClippedSGD(0.5, 0.6), 8.0, 1000, times=[0.5, 2.0, 8.0], method="blocks")
    np.testing.assert_allclose(curve.linear_noise.spread(sample.time), sample.spread, rtol=0.12)  # 5 standard errors


@pytest.mark.parametrize("covariance", [hd.Isotropic(500), hd.PowerLaw(500, 0.5)], ids=name_of)
@pytest.mark.parametrize("optimizer", [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.5), hd.SignSGD(0.3)], ids=name_of)
def test_very_long_horizons(optimizer: Any, covariance: Any) -> None:
    """The spread settles: at t = 1e10 it is what it was at 1e6."""
    curve = hd.predict(hd.Problem(covariance, hd.Gaussian(0.3)), optimizer, 1e10)
    late = curve.linear_noise.spread(np.array([1e6, 1e8, 1e10]))
    assert late[0] > 0
    np.testing.assert_allclose(late, late[0], rtol=2e-3)


def test_a_diverging_curve() -> None:
    curve = hd.predict(hd.Problem(hd.PowerLaw(100, 0.3), hd.Gaussian(0.3)), hd.SGD(3.0), 100.0)
    assert not curve.outcome.finished and curve.end < 100
    grid = np.linspace(0, curve.end, 50)
    assert np.isfinite(curve.linear_noise.spread(grid)).all() and np.isfinite(curve.linear_noise.shift(grid)).all()
