"""The four effects: each where only it acts, all of them against predicted curves and against sampled steps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import name_of
from scipy.integrate import solve_ivp

import hdlimit as hd
from hdlimit.limit.validity import largest_alignment
from hdlimit.problem.covariance import CovarianceModel
from hdlimit.problem.noise_law import NoiseLaw

D = 60
SCALES = np.geomspace(0.2, 4.0, D)
AUTOREGRESSIVE = hd.Covariance(0.8 ** np.abs(np.subtract.outer(np.arange(D), np.arange(D))))
COVARIANCES: list[CovarianceModel] = [
    hd.Isotropic(D),
    hd.PowerLaw(D, 0.8),
    hd.Covariance(np.concatenate([np.zeros(3), SCALES])),
    hd.Wishart(D, 0.5, row_scales=SCALES),
    hd.Wishart(D, 2.0),
    AUTOREGRESSIVE,
]
NOISES = [hd.NoNoise(), hd.Gaussian(0.7), hd.StudentT(3, 0.5), hd.Laplace(0.5), hd.Rademacher(0.8), hd.Uniform(1.3)]


def start_of(covariance: CovarianceModel) -> np.ndarray:
    d = covariance.dimension
    return np.cos(1.0 + np.arange(d)) * math.sqrt(2 / d)


def problem_of(covariance: CovarianceModel, noise: NoiseLaw) -> hd.Problem:
    return hd.Problem(covariance, noise, target=start_of(covariance))


def slope(problem: hd.Problem, optimizer: Any) -> float:
    """dR/dt at t = 0 of a predicted curve, from its interpolant."""
    curve = hd.predict(problem, optimizer, 1.0, rtol=1e-8)
    h = 1e-3 * float(curve.dense.knots[1])
    r = curve.at(np.array([0.0, h, 2 * h]))
    return float((-3 * r[0] + 4 * r[1] - r[2]) / (2 * h))


@pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
@pytest.mark.parametrize("covariance", COVARIANCES, ids=name_of)
@pytest.mark.parametrize("batch", [1, 4])
def test_descents_are_the_slopes_of_predicted_curves(covariance: CovarianceModel, batch: int) -> None:
    for noise in NOISES:
        if batch > 1 and not isinstance(noise, hd.NoNoise | hd.Gaussian):
            continue
        problem = problem_of(covariance, noise)
        found = hd.effects(problem, 0.3, batch_size=batch)
        assert found.descent == pytest.approx(slope(problem, hd.SignSGD(0.3, batch_size=batch)), rel=1e-4, abs=1e-6)
        assert found.sgd_descent == pytest.approx(slope(problem, hd.SGD(0.3, batch_size=batch)), rel=1e-4, abs=1e-6)


WIDE = 200
SAMPLED = [
    (hd.Wishart(WIDE, 0.5, row_scales=np.geomspace(0.3, 3.0, WIDE)), hd.Laplace(0.6)),
    (hd.Covariance(0.6 ** np.abs(np.subtract.outer(np.arange(WIDE), np.arange(WIDE)))), hd.Gaussian(0.7)),
    (hd.PowerLaw(WIDE, 0.4), hd.Uniform(1.5)),
    (hd.Isotropic(WIDE), hd.NoNoise()),
]


def sampled(problem: hd.Problem, lr: float) -> dict[str, tuple[float, float]]:
    """(mean, standard error) of d times the change of R in one step, from 120 000 draws of x and eps."""
    rng, k, delta, d = np.random.default_rng(3), problem.covariance.matrix, problem.initial_error, problem.dimension
    factor = np.linalg.cholesky(k)
    changes: dict[str, list[np.ndarray]] = {"sign": [], "sgd": []}
    for _ in range(12):
        x = rng.standard_normal((10_000, d)) @ factor.T
        r = x @ delta - problem.noise.sample(rng, 10_000)
        for name, step in (("sign", np.sign(r)[:, None] * np.sign(x)), ("sgd", r[:, None] * x)):
            after = delta - lr / d * step
            changes[name].append(d * (((after @ k) * after).sum(axis=1) - delta @ k @ delta) / 2)
    every = {name: np.concatenate(parts) for name, parts in changes.items()}
    return {name: (float(c.mean()), float(c.std() / math.sqrt(c.size))) for name, c in every.items()}


@pytest.mark.parametrize(("covariance", "noise"), SAMPLED, ids=name_of)
def test_descents_against_sampled_steps(covariance: CovarianceModel, noise: NoiseLaw) -> None:
    """At 4 standard errors (false alarm 6e-5 a comparison), plus max rho_i^2/5 of sign's drift, which linearizes
    arcsin(rho); SGD's diffusion has its exact 2 delta^T K^3 delta/d added.

    Planted: noise compression left out, K in place of K_g, and a drift that is 6 % off.
    """
    signs = np.where(np.random.default_rng(8).random(WIDE) < 0.5, -1, 1)
    problem, lr = hd.Problem(covariance, noise, target=signs / math.sqrt(WIDE)), 0.9
    found, measured = hd.effects(problem, lr), sampled(problem, lr)
    k, delta = covariance.matrix, problem.initial_error
    exact = found.sgd_descent + lr**2 * float(delta @ k @ k @ k @ delta) / WIDE
    assert abs(exact - measured["sgd"][0]) < 4 * measured["sgd"][1]
    diffusion = lr**2 * found.reshaping.trace / 2
    drift = found.descent - diffusion
    allowed = 4 * measured["sign"][1] + largest_alignment(problem) / 5 * abs(drift)
    assert abs(found.descent - measured["sign"][0]) < allowed
    planted = [found.descent + 0.06 * drift, found.descent - 0.06 * drift]
    if not isinstance(noise, hd.NoNoise):
        planted.append(drift / found.noise.drift + diffusion)
    if covariance.diagonal is None:
        planted.append(drift + lr**2 * found.reshaping.sgd_trace / 2)
    for wrong in planted:
        assert abs(wrong - measured["sign"][0]) > allowed


def acting(found: hd.results.Effects) -> set[str]:
    """The effects that act: those of which some number differs between signSGD and SGD."""
    near = {"rel": 1e-12, "abs": 0.0}
    same = {
        "rate": found.rate.lr == pytest.approx(found.rate.sgd_lr, **near),
        "noise": (found.noise.drift, found.noise.sgd_diffusion) == pytest.approx((1, 1), **near),
        "preconditioning": (found.preconditioning.condition, found.preconditioning.steady)
        == pytest.approx((found.preconditioning.sgd_condition, found.preconditioning.sgd_steady), rel=1e-9),
        "reshaping": found.reshaping.ratio == pytest.approx(1, **near),
    }
    return {name for name, equal in same.items() if not equal}


MATCHED = 2 / math.pi**2  # R at which the effective learning rate is lr: (2/pi)/sqrt(2 R) = 1
ALONE = [
    ("rate", hd.Problem(hd.Isotropic(D)), 0.5),
    ("noise", hd.Problem(hd.Isotropic(D), hd.Laplace(0.5)), MATCHED),
    ("preconditioning", hd.Problem(hd.PowerLaw(D, 0.8)), MATCHED),
    ("reshaping", hd.Problem(AUTOREGRESSIVE), MATCHED),
]


@pytest.mark.parametrize(("name", "problem", "risk"), ALONE, ids=lambda value: value if isinstance(value, str) else "")
def test_each_effect_alone(name: str, problem: hd.Problem, risk: float) -> None:
    assert acting(hd.effects(problem, 0.3, risk=risk)) == {name}


def test_no_effect_and_all_effects() -> None:
    assert acting(hd.effects(hd.Problem(hd.Isotropic(D)), 0.3, risk=MATCHED)) == set()
    everything = hd.Problem(hd.Wishart(D, 0.5, row_scales=SCALES), hd.Gaussian(0.5))
    assert acting(hd.effects(everything, 0.3)) == {"rate", "noise", "preconditioning", "reshaping"}


def curve_from(problem: hd.Problem, lr: float, times: np.ndarray) -> np.ndarray:
    """Sign's risk for a diagonal K from the effects' numbers alone: rates eta_e f s_i, forcing eta^2 s_i/d."""
    start = hd.effects(problem, lr)
    rate = start.preconditioning.spectrum
    delta = problem.initial_error[np.argsort(problem.covariance.variances)]

    def flow(t: float, m: np.ndarray) -> np.ndarray:
        now = hd.effects(problem, lr, risk=float(rate @ m) / 2)
        return -2 * now.rate.lr * now.noise.drift * rate * m + lr**2 * rate / rate.size

    solved = solve_ivp(flow, (0, times[-1]), rate * delta**2, "LSODA", times, rtol=1e-9, atol=1e-14)
    return np.asarray(rate @ solved.y / 2)


@pytest.mark.parametrize("noise", [hd.NoNoise(), hd.Gaussian(0.5), hd.StudentT(1, 0.4)], ids=name_of)
@pytest.mark.parametrize("covariance", [hd.Isotropic(D), hd.PowerLaw(D, 0.5)], ids=name_of)
def test_three_effects_make_the_whole_curve_for_a_diagonal_covariance(
    covariance: CovarianceModel, noise: NoiseLaw
) -> None:
    problem, times = problem_of(covariance, noise), np.linspace(0, 6, 25)
    predicted = hd.predict(problem, hd.SignSGD(0.3), 6.0, times=times, rtol=1e-8).risk
    np.testing.assert_allclose(curve_from(problem, 0.3, times), predicted, rtol=1e-6)


def test_sgd_on_preconditioned_features_with_the_effective_rate_drifts_like_sign() -> None:
    """What preconditioning means: without noise, sign's drift is SGD's on x/sqrt(s) at the effective rate."""
    covariance = hd.Wishart(D, 0.5, row_scales=SCALES)
    problem, root = problem_of(covariance, hd.NoNoise()), covariance.variances**0.25
    found = hd.effects(problem, 0.3)
    other = hd.Problem(
        hd.Covariance(covariance.matrix / root / root[:, None]), hd.NoNoise(), target=root * problem.target
    )
    sgd = hd.effects(other, found.rate.lr)
    diffusion = sgd.lr**2 * 2 * sgd.risk * sgd.reshaping.sgd_trace / 2
    assert sgd.risk == pytest.approx(found.risk)
    assert sgd.sgd_descent - diffusion == pytest.approx(found.descent - 0.3**2 * found.reshaping.trace / 2)
    np.testing.assert_allclose(other.covariance.eigenvalues, found.preconditioning.spectrum, rtol=1e-9)
    # and what reshaping means: the diffusions differ by `excess` and by `ratio`
    assert 0.3**2 * found.reshaping.trace / 2 == pytest.approx(diffusion * found.rate.excess * found.reshaping.ratio)


def test_noise_compression_in_closed_form() -> None:
    for noise, risk in ((hd.Gaussian(0.7), 0.3), (hd.Gaussian(2.0), 1e-3)):
        found = hd.effects(hd.Problem(hd.Isotropic(D), noise), 0.3, risk=risk).noise
        assert found.drift == pytest.approx(math.sqrt(2 * risk / (2 * risk + noise.variance)))
        assert found.gain == pytest.approx(1, rel=1e-12)
    # where Laplace noise dominates, p_r(0) = 1/(2 scale) and E eps^2 = 2 scale^2: gain 2 pi 2/4 = pi
    laplace = hd.effects(hd.Problem(hd.Isotropic(D), hd.Laplace(1.0)), 0.3, risk=1e-10).noise
    assert laplace.gain == pytest.approx(math.pi, rel=1e-4)
    cauchy = hd.effects(hd.Problem(hd.Isotropic(D), hd.StudentT(1, 0.4)), 0.3)
    assert cauchy.noise.gain == cauchy.noise.sgd_diffusion == cauchy.sgd_descent == math.inf
    assert math.isfinite(cauchy.descent)


def test_effective_rate_in_closed_form() -> None:
    found = hd.effects(hd.Problem(hd.Isotropic(D)), 0.3, risk=0.02).rate
    assert found.lr == pytest.approx(2 / math.pi * 0.3 / 0.2)
    assert found.excess == pytest.approx(math.pi**2 / 4)
    large = hd.effects(hd.Problem(hd.Isotropic(D)), 0.3, risk=0.02, batch_size=400).rate
    assert large.excess == pytest.approx(math.pi / 2, rel=2e-3)


@pytest.mark.parametrize("noise", NOISES[1:], ids=name_of)
def test_the_steady_traces_give_the_steady_risks(noise: NoiseLaw) -> None:
    """At rest 2 eta_e f v = eta^2 trace for sign, 2 eta v = eta^2 (v + E eps^2) trace for SGD."""
    for covariance in COVARIANCES:
        problem, lr = problem_of(covariance, noise), 0.15
        rest = hd.steady_state(problem, hd.SignSGD(lr)).risk
        found = hd.effects(problem, lr, risk=rest)
        assert 4 * found.rate.lr * found.noise.drift * rest == pytest.approx(lr**2 * found.preconditioning.steady)
        rest = hd.steady_state(problem, hd.SGD(lr)).risk
        found = hd.effects(problem, lr, risk=rest)
        assert lr * found.noise.sgd_diffusion * found.preconditioning.sgd_steady == pytest.approx(2)


def test_summary_and_refusals() -> None:
    problem = hd.Problem(hd.PowerLaw(D, 0.5), hd.Gaussian(0.5))
    found = hd.effects(problem, 0.3)
    assert str(found) == found.summary() and len(found.summary().splitlines()) == 11
    for line in found.summary().splitlines()[1:]:
        sign, sgd = map(float, line[43:].split())
        assert math.isfinite(sign) and math.isfinite(sgd)
    at_target = replace(problem, start=np.full(D, D**-0.5))
    refused: list[tuple[str, dict[str, Any]]] = [
        ("problem", {"problem": 3}),
        ("problem", {"problem": at_target}),
        ("lr", {"lr": 0.0}),
        ("lr", {"lr": math.nan}),
        ("lr", {"lr": "0.3"}),
        ("risk", {"risk": 0.0}),
        ("risk", {"risk": math.inf}),
        ("batch_size", {"batch_size": 0}),
    ]
    for argument, wrong in refused:
        with pytest.raises(hd.errors.InvalidInput) as caught:
            hd.effects(**{"problem": problem, "lr": 0.3, **wrong})
        assert caught.value.argument == argument
