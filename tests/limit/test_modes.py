"""Modes against dense formulas that use no eigenvectors.

With D = delta delta^T and powers of G K, sum_i F_i lambda_i^p m_i and sum_i F_i lambda_i^p c_i/d are traces in the
original coordinates for every functional F, whatever the basis and however modes are merged.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import COVARIANCES, name_of
from naive import limit_curve

import hdlimit as hd
from hdlimit.core.declaration import FloatArray
from hdlimit.limit.dynamics.sign import pair_moments
from hdlimit.limit.modes import mode_system
from hdlimit.problem.covariance import CovarianceModel

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

FULL = [c for c in COVARIANCES if c.diagonal is None]
POWERS = range(6)


def dense(covariance: CovarianceModel, features: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """K, the diagonal of G (0 for features that are always 0), K_g: all written out entry by entry."""
    k, d = covariance.matrix, covariance.dimension
    if features == "identity":
        return k, np.ones(d), k
    gain, k_g = np.zeros(d), np.zeros((d, d))
    for i in range(d):
        if k[i, i] > 0:
            gain[i] = math.sqrt(2 / math.pi / k[i, i])
            for j in range(d):
                if k[j, j] > 0:
                    k_g[i, j] = 2 / math.pi * math.asin(max(-1, min(1, k[i, j] / math.sqrt(k[i, i] * k[j, j]))))
    return k, gain, k_g


def start(covariance: CovarianceModel) -> FloatArray:
    """An error vector without symmetry."""
    return np.cos(1.0 + np.arange(covariance.dimension) ** 1.3)


def weights_of(covariance: CovarianceModel) -> list[FloatArray]:
    """The quadratic forms of the three functionals: v, norm(delta)^2, norm(K delta)^2."""
    k = covariance.matrix
    return [k, np.eye(covariance.dimension), k @ k]


@pytest.mark.parametrize("features", ["identity", "sign"])
@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_modes_are_the_dense_equations(covariance: CovarianceModel, features: str) -> None:
    k, gain, k_g = dense(covariance, features)
    delta, d = start(covariance), covariance.dimension
    modes = mode_system(covariance, features, delta)
    scale = float((gain * np.diagonal(k)).sum())
    for form, functional in zip(weights_of(covariance), modes.functionals):
        moved, source = np.outer(delta, delta), k_g / d
        for power in POWERS:
            for found, matrix in ((modes.start, moved), (modes.diffusion, source)):
                true = np.trace(form @ matrix)
                assert functional @ (modes.rate**power * found) == pytest.approx(
                    true, rel=1e-9, abs=1e-13 * scale**power
                )
            moved, source = ((gain[:, None] * k @ x + (gain[:, None] * k @ x).T) / 2 for x in (moved, source))


@pytest.mark.parametrize("features", ["identity", "sign"])
@pytest.mark.parametrize("covariance", FULL, ids=name_of)
def test_pairs_are_the_dense_equations(covariance: CovarianceModel, features: str) -> None:
    """Here D is free: (G K D + D K G)/2 is one power of the pair rates (lambda_i + lambda_j)/2."""
    k, gain, k_g = dense(covariance, features)
    delta, d = start(covariance), covariance.dimension
    problem = hd.Problem(covariance, start=delta, target=np.zeros(d))
    modes = pair_moments(problem, {"identity": hd.SGD(0.5), "sign": hd.SignSGD(0.5)}[features])
    moving = np.diagonal(k) > 0
    scale = float((gain * np.diagonal(k)).sum())
    for form, functional in zip(weights_of(covariance), modes.functionals):
        moved, source = np.outer(delta * moving, delta * moving), k_g / d
        for power in POWERS:
            for found, matrix in ((modes.start, moved), (modes.diffusion, source)):
                true = np.trace(form @ matrix)
                assert functional @ (modes.rate**power * found) == pytest.approx(
                    true, rel=1e-8, abs=1e-11 * scale**power
                )
            moved, source = ((gain[:, None] * k @ x + (gain[:, None] * k @ x).T) / 2 for x in (moved, source))


@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_observables_of_sign_features_start_at_the_true_values(covariance: CovarianceModel) -> None:
    delta = start(covariance)
    problem = hd.Problem(covariance, hd.Gaussian(0.3), start=delta, target=np.zeros(delta.size))
    for optimizer in (hd.SignSGD(0.3), hd.SGD(0.3)):
        curve = hd.predict(problem, optimizer, 1.0)
        assert curve.distance[0] == pytest.approx(delta @ delta, rel=1e-10)
        assert curve.gradient_norm[0] == pytest.approx(np.linalg.norm(covariance.matrix @ delta), rel=1e-10)
        assert curve.risk[0] == pytest.approx(delta @ covariance.matrix @ delta / 2, rel=1e-10)


@pytest.mark.parametrize(
    ("covariance", "features", "expected"),
    [
        (hd.Isotropic(50), "identity", 1),
        (hd.Isotropic(50), "sign", 1),
        (hd.MarchenkoPastur(60, 2.0), "identity", 31),  # 30 distinct values and all the zeros
        (hd.MarchenkoPastur(60, 2.0), "sign", 31),
        (hd.PowerLaw(50, 0.5), "identity", 50),
        (hd.Covariance([1.0, 2.0, 1.0, 2.0, 2.0]), "identity", 2),
    ],
    ids=name_of,
)
def test_equal_rates_are_one_mode(covariance: CovarianceModel, features: str, expected: int) -> None:
    assert mode_system(covariance, features, start(covariance)).rate.size == expected


@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
def test_forcing_by_projection(covariance: CovarianceModel) -> None:
    """cbar = tr(P C)/d over the range of G^(1/2) K G^(1/2), found here by a singular value decomposition."""
    for features in ("identity", "sign"):
        k, gain, k_g = dense(covariance, features)
        keep = np.diagonal(k) > 0
        root = np.sqrt(gain[keep])
        u, s, _ = np.linalg.svd(root[:, None] * k[np.ix_(keep, keep)] * root)
        projector = u[:, s > 1e-12 * s[0]] @ u[:, s > 1e-12 * s[0]].T
        true = np.trace(projector @ (k_g[np.ix_(keep, keep)] / np.outer(root, root))) / covariance.dimension
        assert mode_system(covariance, features, start(covariance)).forcing == pytest.approx(true, rel=1e-10)


@pytest.mark.parametrize(
    "covariance", [hd.PowerLaw(30, 0.7), hd.PowerLaw(30, 0.7).rotated(4), hd.Wishart(30, 0.5)], ids=name_of
)
def test_forcing_of_sign_features_needs_only_the_variances(covariance: CovarianceModel) -> None:
    """K nonsingular: cbar = sqrt(pi/2) mean(sqrt K_ii)."""
    modes = mode_system(covariance, "sign", start(covariance))
    assert modes.forcing == pytest.approx(math.sqrt(math.pi / 2) * np.sqrt(covariance.variances).mean(), rel=1e-10)


def test_the_published_shortcut_is_rejected() -> None:
    """Rates from the singular values of diag(K)^(-1/2) K, as in published code, are not the rates."""
    covariance = hd.PowerLaw(60, 1.0).rotated(2)
    k, gain, _ = dense(covariance, "sign")
    wrong = np.sort(np.linalg.svd(gain[:, None] * k, compute_uv=False))
    right = np.sort(np.linalg.eigvals(gain[:, None] * k).real)
    rate = mode_system(covariance, "sign", start(covariance)).rate
    np.testing.assert_allclose(rate, right, rtol=1e-8)
    assert np.abs(wrong / rate - 1).max() > 0.01


@pytest.mark.parametrize("noise", [hd.NoNoise(), hd.StudentT(1.5, 0.5)], ids=name_of)
@pytest.mark.parametrize("covariance", [hd.Wishart(8, 2.0), hd.PowerLaw(8, 0.8).rotated(3)], ids=name_of)
def test_distance_of_sign_features_follows_the_matrix_equation(covariance: CovarianceModel, noise: object) -> None:
    """On a singular K the distance grows without limit while R settles."""
    problem = hd.Problem(covariance, noise)
    curve = hd.predict(problem, hd.SignSGD(0.3), 300.0, times=np.concatenate([[0.0], np.geomspace(0.1, 300, 40)]))
    exact = limit_curve(problem, hd.SignSGD(0.3), curve.time, rtol=1e-11)
    np.testing.assert_allclose(curve.distance, exact.distance, rtol=3e-6)
    np.testing.assert_allclose(curve.gradient_norm, exact.gradient_norm, rtol=3e-6)
    if isinstance(covariance, hd.Wishart):
        assert curve.distance[-1] > 3 * curve.distance[np.searchsorted(curve.time, 30.0)]
