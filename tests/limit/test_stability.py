"""Stability and steady state against exact second-moment recursions, long predictions and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import COVARIANCES, NOISES, name_of

import hdlimit as hd
from hdlimit.core.declaration import FloatArray
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.covariance import CovarianceModel
from hdlimit.problem.noise_law import NoiseLaw

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

FINITE_VARIANCE = [law for law in NOISES if math.isfinite(law.second_moment)]
SINGULAR = hd.Wishart(12, 2.0, row_scales=np.geomspace(0.3, 3, 12), seed=3)


def second_moment_step(k: FloatArray, g: float, batch: int) -> FloatArray:
    """The map of E[delta delta^T] in a step delta <- (I - g X) delta, X the mean of B matrices x x^T, x ~ N(0, K).

    By Isserlis E[x x^T D x x^T] = 2 K D K + K tr(K D). As a (d^2, d^2) matrix.
    """
    d = len(k)
    step = np.empty((d * d, d * d))
    for column in range(d * d):
        m = np.zeros(d * d)
        m[column] = 1.0
        m = m.reshape(d, d)
        kmk = k @ m @ k
        same = k @ (m + m.T) @ k + k * np.trace(k @ m)
        step[:, column] = (m - g * (k @ m + m @ k) + g**2 * (same + (batch - 1) * kmk) / batch).ravel()
    return step


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    "covariance",
    [hd.Isotropic(5), hd.PowerLaw(6, 1.2), hd.Wishart(5, 0.5), hd.Wishart(6, 2.0), hd.Covariance([0.0, 0.0, 3.0, 0.1])],
    ids=name_of,
)
def test_critical_lr_is_that_of_the_exact_second_moments(covariance: CovarianceModel, batch: int) -> None:
    """The spectral radius passes 1 at critical_lr: without null directions, whose moments never change."""
    values, vectors = np.linalg.eigh(covariance.matrix)
    seen = vectors[:, values > 1e-10]
    k, d = seen.T @ covariance.matrix @ seen, covariance.dimension
    critical = hd.stability(hd.Problem(covariance), hd.SGD(1.0, batch_size=batch)).critical_lr
    for share, above in ((1 - 1e-7, False), (1 + 1e-7, True)):
        radius = np.abs(np.linalg.eigvals(second_moment_step(k, critical * share / d, batch))).max()
        assert (radius > 1) == above
        assert abs(radius - 1) < 1e-4


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_limit_critical_lr(covariance: CovarianceModel, batch: int) -> None:
    """2B/kappa, kappa = tr(K)/d; the exact one is smaller, and stable says on which side of it lr is."""
    st = hd.stability(hd.Problem(covariance), hd.SGD(0.1, batch_size=batch))
    assert st.limit_critical_lr == pytest.approx(2 * batch * covariance.dimension / covariance.trace, rel=1e-10)
    assert 0 < st.critical_lr < st.limit_critical_lr
    for share, stable in ((0.999, True), (1.001, False)):
        judged = hd.stability(hd.Problem(covariance), hd.SGD(share * st.critical_lr, batch_size=batch))
        assert judged.stable is stable
        assert (judged.outcome.status is hd.errors.Status.FINISHED) is stable
        assert judged.lr == share * st.critical_lr


def test_the_critical_steps_meet_as_d_grows() -> None:
    gaps = []
    for d in (30, 300, 3000):
        st = hd.stability(hd.Problem(hd.PowerLaw(d, 0.3)), hd.SGD(0.1))
        gaps.append(1 - st.critical_lr / st.limit_critical_lr)
    assert gaps[0] > 4 * gaps[1] > 16 * gaps[2] > 0


@pytest.mark.parametrize(
    "optimizer", [hd.ClippedSGD(1e6, 0.1), hd.SignSGD(1e6), hd.SignSGD(1e6, batch_size=4)], ids=name_of
)
def test_bounded_maps_are_always_stable(optimizer: Optimizer) -> None:
    problem = hd.Problem(hd.PowerLaw(40, 1.2), hd.StudentT(1, 0.5))
    st = hd.stability(problem, optimizer)
    assert st.stable and st.critical_lr == st.limit_critical_lr == math.inf
    assert "bounded" in str(st)
    assert math.isfinite(hd.steady_state(problem, hd.SignSGD(1e6)).risk)


@pytest.mark.parametrize("covariance", [hd.Isotropic(40), hd.PowerLaw(40, 1.2), SINGULAR], ids=name_of)
def test_curves_diverge_above_and_settle_below_the_limits_critical_lr(covariance: CovarianceModel) -> None:
    problem = hd.Problem(covariance, hd.Gaussian(0.5))
    critical = hd.stability(problem, hd.SGD(1.0)).limit_critical_lr
    above = hd.predict(problem, hd.SGD(1.05 * critical), 1e12)
    assert above.outcome.status is hd.errors.Status.DIVERGED and above.end < 1e6
    assert hd.steady_state(problem, hd.SGD(1.05 * critical)).risk == math.inf
    below = hd.predict(problem, hd.SGD(0.95 * critical), 1e12)
    assert below.end == 1e12
    assert below.risk[-1] == pytest.approx(hd.steady_state(problem, hd.SGD(0.95 * critical)).risk, rel=3e-6)


def test_a_schedule_is_judged_by_its_largest_value() -> None:
    problem = hd.Problem(hd.Isotropic(40), hd.Gaussian(0.5))
    for lr in (
        hd.schedules.Steps([3.0, 4.0], [0.1, 3.0, 0.1]),
        hd.schedules.Table([0, 5, 9], [0, 3, 0]),
        hd.schedules.Cosine(3.0, 0.0, 10.0),
    ):
        assert not hd.stability(problem, hd.SGD(lr)).stable
        assert hd.stability(problem, hd.SGD(lr)).lr == pytest.approx(3.0, rel=1e-12)
        assert hd.stability(problem, hd.SGD(lr), horizon=1e-3).stable is bool(lr(0.0) < 1)
    with pytest.raises(hd.errors.InvalidInput, match="horizon"):
        hd.stability(problem, hd.SGD(0.1), horizon=-1.0)


MAPS: list[Optimizer] = [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.9), hd.ClippedSGD(0.8, 0.05), hd.SignSGD(0.5)]


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_steady_state_is_where_long_predictions_end(noise: NoiseLaw) -> None:
    """Also on a singular K, whose null modes go on diffusing without moving R."""
    for covariance in (hd.PowerLaw(40, 0.5), SINGULAR):
        problem = hd.Problem(covariance, noise)
        for optimizer in MAPS if math.isfinite(noise.second_moment) else MAPS[1:]:
            end = hd.predict(problem, optimizer, 1e9, times=[1e9]).risk[-1]
            assert hd.steady_state(problem, optimizer).risk == pytest.approx(end, rel=3e-6, abs=1e-60)


@pytest.mark.parametrize("noise", FINITE_VARIANCE, ids=name_of)
def test_steady_sgd(noise: NoiseLaw) -> None:
    """R = eta kappa E eps^2/(4 - 2 eta kappa), with batch B: eta kappa E eps^2/(4 B - 2 eta kappa)."""
    k = hd.Covariance(np.geomspace(0.1, 4, 40))
    kappa = k.trace / 40
    for eta, batch in ((0.3, 1), (1.1, 4)):
        steady = hd.steady_state(hd.Problem(k, noise), hd.SGD(eta, batch_size=batch))
        true = eta * kappa * noise.second_moment / (4 * batch - 2 * eta * kappa)
        assert steady.risk == pytest.approx(true, rel=1e-10)


@pytest.mark.parametrize(
    "covariance", [hd.PowerLaw(40, 0.8), hd.PowerLaw(40, 0.8).rotated(1), hd.Wishart(40, 0.5)], ids=name_of
)
def test_steady_sign(covariance: CovarianceModel) -> None:
    """K nonsingular: R = (pi eta/8) mean(sqrt K_ii) sqrt(2R + sigma^2), whose root is explicit."""
    spread = np.sqrt(covariance.variances).mean()
    slope = math.pi * 0.3 / 8 * spread
    for sigma in (0.0, 0.4):
        noise = hd.Gaussian(sigma) if sigma else None
        true = slope**2 + slope * math.sqrt(slope**2 + sigma**2)  # R^2 = slope^2 (2R + sigma^2)
        assert hd.steady_state(hd.Problem(covariance, noise), hd.SignSGD(0.3)).risk == pytest.approx(true, rel=1e-9)


def test_steady_state_does_not_depend_on_the_start() -> None:
    for optimizer in (hd.SignSGD(0.3), hd.ClippedSGD(0.5, 0.2)):
        risks = [
            hd.steady_state(hd.Problem(hd.Isotropic(40), hd.Rademacher(0.5), target=np.full(40, size)), optimizer).risk
            for size in (0.0, 1e-20, 1e-6, 1.0, 1e6, 1e20)
        ]
        np.testing.assert_allclose(risks, risks[0], rtol=1e-10)


@pytest.mark.parametrize("noise", [*NOISES, hd.GaussianMixture([0.9, 0.1], [0.0, 0.0], [0.0, 30.0])], ids=name_of)
def test_there_is_one_steady_state(noise: NoiseLaw) -> None:
    """v mu(v)/nu(v) grows with v for every law and threshold: no two balances, hence no bistability."""
    v = np.geomspace(1e-8, 1e8, 120)
    for optimizer in (hd.SignSGD(0.3), *(hd.ClippedSGD(0.3, c) for c in (0.01, 0.3, 1.0, 10.0))):
        response = limit_of(hd.Problem(hd.Isotropic(40), noise), optimizer).response
        mu, nu = np.array([response(x, float(optimizer.control_schedule(0))) for x in v]).T
        ratio = v * mu / nu
        assert (np.diff(ratio) >= -1e-9 * ratio[1:]).all()


def test_steady_states_that_are_none() -> None:
    assert hd.steady_state(hd.Problem(hd.Isotropic(40)), hd.SGD(0.5)).risk == 0.0
    assert hd.steady_state(hd.Problem(hd.Isotropic(40)), hd.ClippedSGD(0.5, 0.1)).risk == 0.0
    unstable = hd.steady_state(hd.Problem(hd.Isotropic(40), hd.Gaussian(1.0)), hd.SGD(2.0))
    assert unstable.risk == math.inf and "grows without limit" in str(unstable)
    assert unstable.outcome.status is hd.errors.Status.UNSTABLE
    with pytest.raises(hd.errors.InvalidInput, match="constant lr"):
        hd.steady_state(hd.Problem(hd.Isotropic(40)), hd.SGD(hd.schedules.Cosine(0.5, 0.1, 3.0)))
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        hd.steady_state(hd.Problem(hd.Isotropic(40), hd.StudentT(1.5, 1.0)), hd.SGD(0.1))
    with pytest.raises(hd.errors.InvalidInput, match="problem"):
        hd.stability(3, hd.SGD(0.1))
