"""The limit of a problem: a residual map that is only declared, and what a reader is warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import name_of

import hdlimit as hd
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import caveats, largest_alignment
from hdlimit.response.residual_maps import RESIDUALS, ResidualMap


def caveats_of(problem: hd.Problem, optimizer: Any, *horizon: float) -> list[Warning]:
    return caveats(limit_of(problem, optimizer), problem, *horizon)


def new_optimizer(lr: float, threshold: float, batch_size: int = 1) -> hd.ClippedSGD:
    """An optimizer whose residual map has no closed form."""
    optimizer = hd.ClippedSGD(lr, threshold, batch_size)
    object.__setattr__(optimizer, "residual", "new")
    return optimizer


@pytest.fixture
def new_map(monkeypatch: pytest.MonkeyPatch) -> Any:
    def register(psi: Any, bounded: bool = True) -> None:
        monkeypatch.setitem(RESIDUALS, "new", ResidualMap("new", psi, lambda c: (c,), lambda c: bounded))

    return register


@pytest.mark.parametrize(
    "noise", [hd.Gaussian(0.4), hd.StudentT(1.5, 0.3), hd.Laplace(0.3), hd.Rademacher(0.4)], ids=name_of
)
def test_a_declared_map_works_by_quadrature(new_map: Any, noise: Any) -> None:
    """Clipping declared anew by psi and its kinks alone gives the curve of the closed form."""
    new_map(lambda r, c: np.clip(r, -c, c))
    problem = hd.Problem(hd.Isotropic(100), noise)
    closed = hd.predict(problem, hd.ClippedSGD(0.5, 0.6), 10.0)
    quadrature = hd.predict(problem, new_optimizer(0.5, 0.6), 10.0)
    np.testing.assert_allclose(quadrature.risk, closed.risk, rtol=2e-6)


def test_a_smooth_map_between_sgd_and_clipping(new_map: Any) -> None:
    new_map(lambda r, c: c * np.tanh(r / c))
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.4))
    wide = hd.predict(problem, new_optimizer(0.5, 1e3), 10.0)
    np.testing.assert_allclose(wide.risk, hd.predict(problem, hd.SGD(0.5), 10.0).risk, rtol=1e-5)
    with pytest.raises(hd.errors.NotAvailable, match="batch"):
        hd.predict(problem, new_optimizer(0.5, 1.0, batch_size=2), 1.0)


def test_alignment_is_warned_of() -> None:
    d = 100
    one_hot = np.zeros(d)
    one_hot[3] = 1.0
    aligned = hd.Problem(hd.Isotropic(d), hd.Gaussian(0.4), target=one_hot)
    assert largest_alignment(aligned) == pytest.approx(1.0)
    with pytest.warns(hd.errors.ValidityWarning, match="aligned with a coordinate"):
        hd.predict(aligned, hd.SignSGD(0.2), 1.0)
    assert caveats_of(aligned, hd.SGD(0.2)) == []
    assert largest_alignment(hd.Problem(hd.Isotropic(d))) == pytest.approx(1 / d)


def test_low_dimension_and_batch_are_warned_of() -> None:
    kinds = [
        type(c)
        for c in caveats_of(hd.Problem(hd.PowerLaw(500, 1.2), hd.Gaussian(1.0)), hd.ClippedSGD(0.2, 0.5, batch_size=8))
    ]
    assert kinds == [hd.errors.LowDimensionWarning, hd.errors.ValidityWarning]
    wide = hd.Problem(hd.Isotropic(100), hd.Gaussian(1.0))
    assert caveats_of(wide, hd.ClippedSGD(0.2, 0.5, batch_size=25)) == []
    (large,) = caveats_of(wide, hd.SignSGD(0.2, batch_size=26))
    assert isinstance(large, hd.errors.ValidityWarning) and "D = (tr K)^2/tr(K^2) = 100" in str(large)


def settled(problem: hd.Problem, optimizer: hd.SGD) -> float:
    """Exact mean risk over the limit's, both long after the start."""
    horizon = 20 * hd.steady_state(problem, optimizer).time_scale
    exact = hd.exact_mean(problem, optimizer, [round(horizon * problem.dimension)]).risk[-1]
    return float(exact / hd.steady_state(problem, optimizer).risk)


@pytest.mark.parametrize(
    ("covariance", "lr", "batch_size", "told"),
    [
        (hd.Isotropic(200), 1.78, 1, False),
        (hd.Isotropic(200), 1.85, 1, True),
        (hd.Isotropic(200), 32.0, 64, True),
        (hd.Isotropic(200), 8.0, 64, False),
        (hd.PowerLaw(300, 0.5), 1.9, 1, True),
        (hd.PowerLaw(300, 0.5), 1.0, 4, False),
    ],
    ids=name_of,
)
def test_a_large_lr_is_told_with_the_exact_steady_risk(covariance: Any, lr: float, batch_size: int, told: bool) -> None:
    """The number of the sentence is the ratio that the exact recursion reaches, which is told from 1.1 on."""
    problem, optimizer = hd.Problem(covariance, hd.Gaussian(0.5)), hd.SGD(lr, batch_size=batch_size)
    ratio, found = settled(problem, optimizer), caveats_of(problem, optimizer)
    assert (ratio > 1.1) is told
    assert [type(c) for c in found] == [hd.errors.NearCriticalWarning] * told
    assert all(float(str(c).split("settle at ")[1].split()[0]) == pytest.approx(ratio, rel=6e-3) for c in found)


def test_lr_between_the_critical_one_at_this_d_and_that_of_the_limit() -> None:
    problem = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5))
    critical = hd.stability(problem, hd.SGD(1.0)).critical_lr
    (below,) = caveats_of(problem, hd.SGD(critical * 0.9999))
    (above,) = caveats_of(problem, hd.SGD(critical * 1.0001))
    assert "settle at" in str(below) and "the risk of runs grows" in str(above)
    assert caveats_of(problem, hd.SGD(2.01)) == []  # the curve itself grows
    clipped = hd.ClippedSGD(1.95, np.inf)
    assert [type(c) for c in caveats_of(problem, clipped)] == [hd.errors.NearCriticalWarning]
    assert caveats_of(problem, hd.ClippedSGD(1.95, 0.5)) == []


@pytest.mark.parametrize(
    ("share", "c", "told"),
    [
        (0.95, 12.0, "settle at up to 2.73 times"),
        (0.95, 6.0, "settle at up to 2.73 times"),
        (1.05, 40.0, "until it is c"),
    ]
    + [(0.95, 1.0, ""), (1.05, 1.0, "")],
)
def test_a_large_lr_is_told_where_hardly_a_step_is_clipped(share: float, c: float, told: str) -> None:
    """Runs at d = 20 settle above 1.1 times the limit and below the number that is told (4 standard errors, 6e-5), the
    exact ratio of SGD; where clipping acts nothing is told, and runs are within d's own bias of the limit.
    """
    problem = hd.Problem(hd.Isotropic(20), hd.Gaussian(0.3))
    critical = hd.stability(problem, hd.SGD(1.0)).critical_lr
    optimizer, times = hd.ClippedSGD(share * critical, c), np.linspace(40, 60, 11)
    near = [
        str(warning) for warning in caveats_of(problem, optimizer) if isinstance(warning, hd.errors.NearCriticalWarning)
    ]
    assert len(near) == bool(told) and all(told in each for each in near)
    late = hd.simulate(problem, optimizer, 60.0, 400, times=times, method="blocks").risk.mean(axis=1)
    ratio, error = late.mean() / hd.steady_state(problem, optimizer).risk, late.std(ddof=1) / 20
    error /= hd.steady_state(problem, optimizer).risk
    most = settled(problem, hd.SGD(share * critical)) if share < 1 else np.inf
    assert ratio - 4 * error > 1.1 if told else ratio + 4 * error < 1.15
    assert ratio - 4 * error < most


def test_without_noise_the_slower_rate_is_told() -> None:
    """The rate of the exact mean over the limit's, K = I: from the ratio of two risks of each."""
    problem, optimizer, d = hd.Problem(hd.Isotropic(200)), hd.SGD(1.85), 200
    (caveat,) = caveats_of(problem, optimizer)
    exact = hd.exact_mean(problem, optimizer, [10 * d, 20 * d]).risk
    with pytest.warns(hd.errors.NearCriticalWarning):
        limit = hd.predict(problem, optimizer, 20.0, times=[10.0, 20.0]).risk
    slower = np.log(exact[0] / exact[1]) / np.log(limit[0] / limit[1])
    assert float(str(caveat).split("at about ")[1].split()[0]) == pytest.approx(slower, abs=0.02)
    assert slower < 0.9


def test_a_schedule_is_judged_up_to_the_horizon() -> None:
    problem, rising = hd.Problem(hd.Isotropic(200), hd.Gaussian(0.5)), hd.SGD(hd.schedules.Steps([5.0], [0.5, 1.9]))
    assert caveats_of(problem, rising, 4.0) == []
    with pytest.warns(hd.errors.NearCriticalWarning, match="lr 1.9 is large"):
        hd.predict(problem, rising, 6.0)


def from_rows(kind: str) -> hd.Problem:
    """30 000 rows of 60 features with K near I."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((30_000, 60))
    if kind == "signs":
        x = np.sign(x)
    if kind == "elliptical":
        x *= np.exp(0.4 * rng.standard_normal((30_000, 1)) - 0.16)
    return hd.Problem.from_data(x, x @ np.full(60, 60**-0.5) + 0.5 * rng.standard_normal(30_000))


def test_rows_that_are_not_gaussian_are_told() -> None:
    optimizers = (hd.SGD(0.5), hd.ClippedSGD(0.5, 0.6), hd.SignSGD(0.3))
    gaussian, signs, elliptical = (from_rows(kind) for kind in ("gaussian", "signs", "elliptical"))
    assert [caveats_of(gaussian, o) for o in optimizers] == [[], [], []]
    assert [[type(c) for c in caveats_of(signs, o)] for o in optimizers] == [[], [], [hd.errors.NonGaussianWarning]]
    assert [[type(c) for c in caveats_of(elliptical, o)] for o in optimizers] == [[hd.errors.NonGaussianWarning]] * 3
    assert "1.25 of the Gaussian value" in str(caveats_of(signs, optimizers[2])[0])
    assert "grows" in str(caveats_of(elliptical, hd.SGD(1.4))[0])


def test_what_rows_do_to_the_steady_risk_is_what_runs_show() -> None:
    """SGD: the ratio told, 1.31, against 60 runs averaged over t > 15; 4 standard errors, plus 3 % for d = 60 (the
    exact mean of Gaussian rows is 1.011 of the limit there). False alarms: below 1 in 10^4.
    """
    problem, optimizer = from_rows("elliptical"), hd.SGD(0.5)
    (caveat,) = caveats_of(problem, optimizer)
    told = float(str(caveat).split("settle at ")[1].split()[0])
    runs = hd.simulate(problem, optimizer, 40.0, runs=60, seed=3, times=np.linspace(15, 40, 26))
    late = runs.risk.mean(axis=1) / hd.steady_state(problem, optimizer).risk
    error = late.std(ddof=1) / np.sqrt(60)
    assert told > 1.2
    assert abs(late.mean() - told) < 4 * error + 0.03 * told


@pytest.mark.parametrize(("batch_size", "side"), [(1, "lower"), (8, "higher")])
def test_the_side_of_an_aligned_start_is_the_one_told(batch_size: int, side: str) -> None:
    """One-hot start, t = 1, 100 runs: off by at least 8 % to the side told, at 10 standard errors and more."""
    one_hot = np.zeros(100)
    one_hot[3] = 1.0
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.4), target=one_hot)
    optimizer = hd.SignSGD(0.3, batch_size=batch_size)
    with pytest.warns(hd.errors.ValidityWarning, match=side):
        limit = float(hd.predict(problem, optimizer, 1.0).risk[-1])
    runs = hd.simulate(problem, optimizer, 1.0, runs=100, seed=1, times=[1.0])
    off = float(runs.mean[0]) / limit - 1
    assert (off > 0) is (side == "higher") and abs(off) > 0.08
    assert abs(off) * limit > 10 * float(runs.stderr[0])


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (hd.SGD(0.1), False),
        (hd.ClippedSGD(0.1, np.inf), False),
        (hd.ClippedSGD(0.1, 1.0), True),
        (hd.SignSGD(0.1), True),
    ],
)
def test_spread_needs_fourth_moments_of_unbounded_maps(optimizer: Any, expected: bool) -> None:
    assert limit_of(hd.Problem(hd.Isotropic(50), hd.StudentT(3, 1.0)), optimizer).has_spread is expected
    assert limit_of(hd.Problem(hd.Isotropic(50), hd.StudentT(5, 1.0)), optimizer).has_spread
