"""Fisher information of the residual against brute force, its inequalities, and the efficiencies of the optimizers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import NOISES, name_of
from naive import fisher_twin
from scipy import stats

import hdlimit as hd
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.response.efficiency import share_of_ceiling
from hdlimit.response.fisher import smooth_information
from hdlimit.response.residual_law import ResidualLaw
from hdlimit.response.response import MapResponse
from hdlimit.response.tabulated_map import table_response

WIDTHS = np.array([1e-12, 1e-8, 1e-4, 1e-2, 0.3, 3.0, 1e2, 1e4, 1e8, 1e12])
QUICK = [noise for noise in NOISES if not isinstance(noise, ScipyNoise)]


@pytest.mark.parametrize("v", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_against_brute_force(noise: NoiseLaw, v: float) -> None:
    """Trapezoid over 14 000 points of p_r'^2/p_r, p_r from the twin's own description of the noise."""
    exact = fisher_twin(noise, v)
    found = hd.tuning.fisher_information(noise, v)
    assert found == pytest.approx(exact, rel=1e-9)
    assert hd.tuning.fisher_information(noise, 1.01 * v) != pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("v", WIDTHS)
def test_gaussian_residuals(v: float) -> None:
    assert hd.tuning.fisher_information(hd.Gaussian(0.7), v) == pytest.approx(1 / (v + 0.49), rel=1e-12)
    assert hd.tuning.fisher_information(None, v) == pytest.approx(1 / v, rel=1e-12)
    law = ScipyNoise(stats.norm(0.3, 0.7))
    assert v < 1e-6 or hd.tuning.fisher_information(law, v) == pytest.approx(1 / (v + 0.49), rel=1e-10)


@pytest.mark.parametrize("df", [0.5, 1, 1.5, 3, 10, 300])
def test_the_noise_itself_without_risk(df: float) -> None:
    """v -> 0: (df + 1)/((df + 3) scale^2) for Student t, 1/scale^2 for Laplace (its kink costs a term in sqrt v)."""
    student = hd.tuning.fisher_information(hd.StudentT(df, 0.6), 1e-13)
    assert student == pytest.approx((df + 1) / (df + 3) / 0.36, rel=1e-10)
    assert hd.tuning.fisher_information(hd.Laplace(0.6), 1e-22) == pytest.approx(1 / 0.36, rel=1e-9)


@pytest.mark.parametrize("noise", QUICK, ids=name_of)
def test_inequalities(noise: NoiseLaw) -> None:
    """1/(v + Var eps) <= I_F <= 1/v (Cramer-Rao; convexity), and 1/I_F(v + w) >= 1/I_F(v) + w (Stam), at all scales."""
    v = WIDTHS * (noise.width**2 or 1.0)
    values = np.array([hd.tuning.fisher_information(noise, x) for x in v])
    assert (values * v <= 1 + 1e-9).all() and (values * (v + noise.variance) >= 1 - 1e-9).all()
    assert (np.diff(1 / values) >= np.diff(v) - 1e-9 / values[1:]).all()


@pytest.mark.parametrize("noise", QUICK[1::3], ids=name_of)
def test_entropy_grows_by_half_of_it(noise: NoiseLaw) -> None:
    """De Bruijn: dh/dv = I_F/2 for the entropy h of r, by central differences of a brute-force entropy."""
    h = [fisher_twin(noise, v, entropy=True) for v in (0.499, 0.501)]
    assert hd.tuning.fisher_information(noise, 0.5) == pytest.approx((h[1] - h[0]) / 0.001, rel=1e-5)


@pytest.mark.parametrize("noise", [*QUICK, ScipyNoise(stats.logistic(scale=0.4))], ids=name_of)
def test_interpolated(noise: NoiseLaw) -> None:
    for v in np.geomspace(0.05, 30, 7):
        assert smooth_information(noise, v) == pytest.approx(hd.tuning.fisher_information(noise, v), rel=1e-5)


@pytest.mark.parametrize("noise", QUICK[::2], ids=name_of)
def test_no_map_is_above_the_ceiling(noise: NoiseLaw) -> None:
    """40 random piecewise-linear maps stay below I_F; the score reaches it to 1e-4 (planted: 0.99 I_F is exceeded)."""
    generator = np.random.default_rng(5)
    v = 0.4
    ceiling = hd.tuning.fisher_information(noise, v)
    for _ in range(40):
        r = np.sort(generator.uniform(-4, 4, 9))
        psi = np.stack([np.cumsum(generator.standard_normal(9))] * 2)
        mu, nu = table_response(hd.tuning.ResidualTable([0.1, 1.0], r, psi), noise, v, v)
        assert mu**2 / nu <= ceiling
    from hdlimit.tuning.score import score_table

    mu, nu = table_response(score_table(noise, v, 1.01 * v), noise, v, v)
    assert 0.99 * ceiling < (1 - 1e-4) * ceiling < mu**2 / nu <= ceiling * (1 + 1e-9)


def test_efficiencies_with_known_values() -> None:
    """Gaussian residual: SGD and clip 1, sign 2/pi; Cauchy noise: sign 8/pi^2; Rademacher: clip v/(v + scale^2)."""
    gaussian = hd.tuning.efficiency(hd.Gaussian(0.5), 0.3)
    assert gaussian.sgd == pytest.approx(1, abs=1e-12) and gaussian.clip == pytest.approx(1, abs=1e-9)
    assert gaussian.sign == pytest.approx(2 / math.pi, rel=1e-12) and gaussian.threshold == math.inf
    cauchy = hd.tuning.efficiency(hd.StudentT(1, 0.7), 1e-13)
    assert cauchy.sgd == 0 and cauchy.sign == pytest.approx(8 / math.pi**2, rel=1e-6)
    coin = hd.tuning.efficiency(hd.Rademacher(0.5), 1e-3)
    assert coin.clip == pytest.approx(1e-3 / (1e-3 + 0.25), rel=1e-9) and coin.threshold == math.inf


@pytest.mark.parametrize("noise", [hd.Gaussian(0.5), hd.StudentT(3, 0.5), hd.Laplace(0.4)], ids=name_of)
def test_efficiencies_of_batches(noise: NoiseLaw) -> None:
    """mu^2/(nu B I_F): the same for SGD at every B; nothing is above 1; clip is at least SGD and, with c -> 0, sign."""
    one, four = hd.tuning.efficiency(noise, 0.2), hd.tuning.efficiency(noise, 0.2, batch_size=4)
    assert four.sgd == pytest.approx(one.sgd, rel=1e-12)
    for e in (one, four):
        assert max(e.sgd, e.sign) - 1e-9 <= e.clip <= 1 and e.sign > 0.5
    mu, nu = MapResponse("sign", noise, 4)(0.2)
    assert four.sign == pytest.approx(mu**2 / nu / 4 / hd.tuning.fisher_information(noise, 0.2), rel=1e-12)
    assert share_of_ceiling(noise, 0.2, 1.0, math.inf) == 0


def test_along_a_curve() -> None:
    noise = hd.StudentT(3, 0.5)
    curve = hd.predict(hd.Problem(hd.Isotropic(100), noise), hd.ClippedSGD(0.5, 0.8), 5.0)
    along = curve.efficiency([0.0, 1.0, 5.0])
    single = hd.tuning.efficiency(noise, 2 * float(curve.at(1.0)))
    assert (along.clip[1], along.threshold[1], along.v[1]) == (single.clip, single.threshold, single.v)
    assert curve.efficiency().v.shape == (40,)
    assert (np.diff(along.sgd) < 0).all()


@pytest.mark.parametrize("v", [0, -1.0, math.nan, math.inf, "x", None])
def test_bad_v(v: object) -> None:
    for function in (hd.tuning.fisher_information, hd.tuning.efficiency):
        with pytest.raises(hd.errors.InvalidInput, match="^v: expected"):
            function(hd.Gaussian(1.0), v)


def test_bad_input() -> None:
    with pytest.raises(hd.errors.InvalidInput, match="noise: expected"):
        hd.tuning.fisher_information("gaussian", 1.0)
    with pytest.raises(hd.errors.InvalidInput, match="v: expected a finite number > 0, got -1"):
        hd.tuning.efficiency(hd.Gaussian(1.0), [1.0, -1.0])
    with pytest.raises(hd.errors.InvalidInput, match="batch_size"):
        hd.tuning.efficiency(hd.Gaussian(1.0), 1.0, batch_size=0)


@pytest.mark.parametrize("law", [stats.logistic(scale=0.4), stats.skewnorm(4, loc=-0.6), stats.expon(loc=-1)])
@pytest.mark.parametrize("v", [1e-3, 0.1, 10.0])
def test_terms_left_out_of_a_mixture_change_nothing(law: object, v: float) -> None:
    """Against the sum of every term, in the bulk and where the density is 1e-300 of its largest."""
    residual = ResidualLaw(ScipyNoise(law), v)
    parts = residual._mixture
    assert parts is not None and (np.diff(parts.mean) < 0).all()
    u = np.concatenate([np.linspace(-20, 20, 41), parts.mean[[0, -1]]])[:, None]
    terms = np.log(parts.weight) - np.log(2 * np.pi * v) / 2 - (u - parts.mean) ** 2 / (2 * v)
    share = np.exp(terms - terms.max(axis=1)[:, None])
    right = terms.max(axis=1) + np.log(share.sum(axis=1))
    found, score = residual.log_density_and_score(u[:, 0])
    assert found == pytest.approx(right, rel=1e-13, abs=1e-13)
    slope = (share * (u - parts.mean)).sum(axis=1) / v / share.sum(axis=1)
    assert np.abs(score - slope).max() <= 1e-11 * np.abs(slope).max()
