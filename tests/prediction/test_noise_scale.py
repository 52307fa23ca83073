"""Gradient noise scales and alignment along curves: against sampled gradients, SciPy's limit, and closed forms."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from cases import NOISES, name_of
from naive import limit_curve

import hdlimit as hd
from hdlimit.optimizers.base import Optimizer

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

FORMS = "noise_scale", "hessian_noise_scale"


def z_score(noise: np.ndarray, signal: np.ndarray, predicted: float) -> tuple[float, float]:
    """How many standard errors mean(noise)/mean(signal) is from a prediction, and the relative standard error."""
    ratio = noise.mean() / signal.mean()
    error = float(np.std(noise - ratio * signal, ddof=1)) / math.sqrt(noise.size) / signal.mean()
    return (ratio - predicted) / error, error / ratio


def measured(
    k: np.ndarray, delta: np.ndarray, noise: np.ndarray, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """(tr(H Sigma), G^T H G) for H = 1 and H = K from the gradients of one batch of fresh samples; both unbiased.

    k: diagonal of K, shape (d,); noise: shape (B,).
    """
    x = np.sqrt(k) * rng.standard_normal((noise.size, k.size))
    gradients = (x @ delta - noise)[:, None] * x
    mean, variance = gradients.mean(axis=0), gradients.var(axis=0, ddof=1)
    squares = mean**2 - variance / noise.size
    return {form: (float(h @ variance), float(h @ squares)) for form, h in zip(FORMS, (np.ones_like(k), k))}


STEEP = np.array([3.0, 1.0, 0.6, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    "noise", [hd.Gaussian(0.4), hd.Uniform(1.2), hd.GaussianMixture([0.5, 0.5], [0.1, 0.3], [0.6, 0.2])]
)
def test_the_start_against_sampled_gradients(noise: hd.Gaussian) -> None:
    """Where delta is known the formulas are exact, at every d. |z| < 4.5: 7e-6 a comparison, 4e-5 for all six.

    The twins: without the covariance's part K delta delta^T K, and with Var eps in place of E eps^2 where these differ.
    """
    problem = hd.Problem(hd.Covariance(STEEP), noise, target=[0.5, -0.2, 0.7, 0.1, 0.4, -0.3])
    curve = hd.predict(problem, hd.SGD(0.5), 1.0)
    rng = np.random.default_rng(11)
    draws = noise.sample(rng, (20_000, 20))
    samples = [measured(STEEP, problem.initial_error, eps, rng) for eps in draws]
    for form in FORMS:
        trace, square = np.array([sample[form] for sample in samples]).T
        right = float(getattr(curve, form)[0])
        assert abs(z_score(trace, square, right)[0]) < 4.5
        assert abs(z_score(trace, square, right - 1)[0]) > 8
    if isinstance(noise, hd.GaussianMixture):
        low = (2 * curve.risk[0] + 0.05 + 0.04) * STEEP.sum() / curve.gradient_norm[0] ** 2 + 1
        assert abs(z_score(*np.array([sample[FORMS[0]] for sample in samples]).T, low)[0]) > 8


def run(k: np.ndarray, lr: float, times: list[float], runs: int, rng: np.random.Generator) -> list[np.ndarray]:
    """delta of runs of streaming SGD with Gaussian noise of standard deviation 0.5 at these times, (runs, d) each."""
    delta, found = np.full((runs, k.size), -(k.size**-0.5)), []
    for step in range(1, round(times[-1] * k.size) + 1):
        x = np.sqrt(k) * rng.standard_normal(delta.shape)
        residual = np.einsum("ri,ri->r", x, delta) - 0.5 * rng.standard_normal(runs)
        delta = delta - lr / k.size * residual[:, None] * x
        if step / k.size in times:
            found.append(delta)
    return found


def test_runs_against_the_curve_and_the_exact_means() -> None:
    """160 runs of SGD, d = 300, 600 fresh gradients at three times. |z| < 4.5 against the exact means at this d.

    False alarms: below 1e-4 for all six comparisons (Student t, 159 degrees of freedom). The limit is off the exact
    means by 3.5/d. The twins: the other form, and the curve of another lr.
    """
    d, lr, times = 300, 0.6, [0.5, 2.0, 4.0]
    k = np.arange(1.0, d + 1) ** -0.5
    k *= d / k.sum()
    problem = hd.Problem(hd.PowerLaw(d, 0.5), hd.Gaussian(0.5))
    mean = hd.exact_mean(problem, hd.SGD(lr), [round(t * d) for t in times])
    exact = np.stack([mean.noise_scale, mean.hessian_noise_scale])
    np.testing.assert_allclose(hd.predict(problem, hd.SGD(lr), 4.0).noise_scales(times), exact, rtol=4 / d)
    others = hd.predict(problem, hd.SGD(1.5), 4.0).noise_scales(times)
    rng = np.random.default_rng(5)
    for place, deltas in enumerate(run(k, lr, times, 160, rng)):
        samples = [measured(k, delta, 0.5 * rng.standard_normal(600), rng) for delta in deltas]
        for number, form in enumerate(FORMS):
            trace, square = np.array([sample[form] for sample in samples]).T
            for predicted, right in ((exact[number], True), (exact[1 - number], False), (others[number], False)):
                z, _ = z_score(trace, square, float(predicted[place]))
                assert bool(abs(z) < 4.5) is right, (place, form, right, z)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_exact_means_against_a_recursion(beta: float) -> None:
    """S <- T S T' + l (T S e u' + u e' S T') + u u' G of delta and the buffer, e = (1, 0), in plain NumPy.

    T = [[1, -g beta], [0, beta]], u = (-g, 1), G = (p/B) l + (1 + 1/B) l^2 S_11.
    """
    d, steps, batch = 12, 90, 2
    k = np.concatenate([np.zeros(2), np.geomspace(0.2, 3.0, d - 2)])
    problem = hd.Problem(hd.Covariance(k), hd.Laplace(0.4))
    lr = hd.schedules.WSD(0.6 * (1 - beta), steps, 0.1, 0.3).in_steps(d)
    second = np.zeros((d, 2, 2))
    second[:, 0, 0] = 1 / d
    found = []
    for step in range(steps + 1):
        a = second[:, 0, 0].copy()
        p, squares = float(k @ a) + problem.noise.second_moment, float(k**2 @ a)
        scale, weighted = p * k.sum() / squares + 1, p * float(k @ k) / float(k**3 @ a) + 1
        found.append([a.sum(), math.sqrt(squares), scale, weighted, float(k[-3:] ** 2 @ a[-3:]) / squares])
        g = 0.6 * (1 - beta) * min(step / 9, 1.0, (steps - step) / 27) / d
        t, u, e = np.array([[1.0, -g * beta], [0.0, beta]]), np.array([-g, 1.0]), np.array([1.0, 0.0])
        noise = p / batch * k + (1 + 1 / batch) * k**2 * a
        side = np.einsum("ab,nbc,c,d->nad", t, second, e, u) * k[:, None, None]
        second = t @ second @ t.T + side + side.transpose(0, 2, 1) + noise[:, None, None] * np.outer(u, u)
    numbers = [0, 0, 1, 7, 7, 40, steps]
    mean = hd.exact_mean(problem, hd.SGD(lr, batch, momentum=beta), numbers)
    made = [mean.distance, mean.gradient_norm, mean.noise_scale, mean.hessian_noise_scale, mean.alignment(3)]
    np.testing.assert_allclose(np.array(made).T, np.array(found)[numbers], rtol=1e-10)
    for wrong in (0, d + 1):
        with pytest.raises(hd.errors.InvalidInput, match="^k: expected"):
            mean.alignment(wrong)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov: bool) -> None:
    """Curves are within 3/d of the exact means (d = 300, momentum 0.9); with another batch they are not."""
    d, times = 300, [0.5, 2.0, 4.0]
    problem = hd.Problem(hd.PowerLaw(d, 0.5), hd.Gaussian(0.5))
    optimizer, other = (hd.SGD(0.06, batch, momentum=0.9, nesterov=nesterov) for batch in (1, 2))
    mean = hd.exact_mean(problem, optimizer, [round(t * d) for t in times])
    exact = np.stack([mean.noise_scale, mean.hessian_noise_scale, mean.alignment(10)])
    for one, right in ((optimizer, True), (other, False)):
        curve = hd.predict(problem, one, 4.0)
        found = np.concatenate([curve.noise_scales(times), [curve.alignment(10, times)]])
        assert bool((np.abs(found / exact - 1) < 3 / d).all()) is right


def test_the_critical_batch() -> None:
    """E g^T K g of a batch is 1 + B'/B times that of its mean, B' the weighted scale: twice at B'. |z| < 4.5: 7e-6.

    The twin: the scale that is not weighted.
    """
    problem = hd.Problem(hd.Covariance(STEEP), hd.Gaussian(0.4), target=np.full(6, 0.4))
    curve = hd.predict(problem, hd.SGD(0.5), 1.0)
    scale = curve.hessian_noise_scale[0]
    batch, rng = 8, np.random.default_rng(3)
    forms = np.empty(40_000)
    for one in range(forms.size):
        x = np.sqrt(STEEP) * rng.standard_normal((batch, 6))
        gradient = (x @ problem.initial_error - 0.4 * rng.standard_normal(batch)) @ x / batch
        forms[one] = STEEP @ gradient**2
    full = float(STEEP**3 @ problem.initial_error**2)
    assert abs(forms.mean() / full - (1 + scale / batch)) < 4.5 * forms.std() / 200 / full
    assert abs(forms.mean() / full - (1 + curve.noise_scale[0] / batch)) > 8 * forms.std() / 200 / full


ANISOTROPIC = hd.Covariance(
    np.exp(-np.abs(np.subtract.outer(np.arange(7), np.arange(7))) / 2.0) + np.diag(np.arange(7) / 5)
)
SMALL = [
    (hd.Problem(hd.Covariance(STEEP), hd.Gaussian(0.4), target=np.arange(1.0, 7)), hd.SGD(0.4, batch_size=2)),
    (
        hd.Problem(hd.PowerLaw(9, 0.8).rotated(2), hd.Laplace(0.4)),
        hd.ClippedSGD(0.5, hd.schedules.WSD(0.6, 4, 0.2, 0.3)),
    ),
    (hd.Problem(hd.Covariance(STEEP), hd.Gaussian(0.4)), hd.SignSGD(0.3)),
    (hd.Problem(ANISOTROPIC, hd.Gaussian(0.4)), hd.SignSGD(0.3)),
    (hd.Problem(hd.Covariance(np.concatenate([np.zeros(3), STEEP])), hd.Gaussian(0.4)), hd.SGD(0.4)),
]


@pytest.mark.parametrize(("problem", "optimizer"), SMALL, ids=name_of)
def test_curves_against_scipy(problem: hd.Problem, optimizer: Optimizer) -> None:
    """E delta delta^T by SciPy at 1e-13, its forms by an eigendecomposition here; 3e-6 at the curve's rtol of 1e-6."""
    times = np.linspace(0.0, 6.0, 13)
    twin = limit_curve(problem, optimizer, times)
    moments = np.array([m if m.ndim == 2 else np.diag(m) for m in twin.moments])
    k = problem.covariance.matrix
    values, vectors = np.linalg.eigh(k)
    along = np.einsum("ai,tab,bi->ti", vectors, moments, vectors) * values**2
    gradient, weighted = along.sum(axis=1), along @ values
    p = 2 * twin.risk + problem.noise.second_moment
    curve = hd.predict(problem, optimizer, 6.0, times=times)
    np.testing.assert_allclose(curve.noise_scale, (p * np.trace(k) + gradient) / gradient, rtol=3e-6)
    np.testing.assert_allclose(curve.hessian_noise_scale, (p * np.trace(k @ k) + weighted) / weighted, rtol=3e-6)
    distinct = [j for j in range(1, values.size) if values[-j] > 1.001 * values[-j - 1]]
    for top in (*distinct, values.size):
        np.testing.assert_allclose(curve.alignment(top), along[:, -top:].sum(axis=1) / gradient, rtol=3e-6)
        np.testing.assert_allclose(curve.alignment(top, [1.5]), along[3, -top:].sum() / gradient[3], rtol=3e-6)


def test_isotropic_problems_in_closed_form() -> None:
    """v' = -eta (2 - eta) v + eta^2 s^2; both scales are d (v + s^2)/v + 1, every k of d directions has k/d."""
    d, eta, variance = 120, 0.5, 0.09
    problem = hd.Problem(hd.Isotropic(d), hd.Gaussian(0.3))
    curve = hd.predict(problem, hd.SGD(eta), 8.0, rtol=1e-9)
    steady = eta * variance / (2 - eta)
    v = steady + (1 - steady) * np.exp(-eta * (2 - eta) * curve.time)
    for form in FORMS:
        np.testing.assert_allclose(getattr(curve, form), d * (v + variance) / v + 1, rtol=3e-9)
    for k in (1, 37, d):
        np.testing.assert_allclose(curve.alignment(k), k / d, rtol=1e-12)


def test_eigenvalues_that_are_equal_count_as_shares() -> None:
    """2 (once), 1 (four times), 0.5: top 3 is the first and two quarters of the next four, in any basis."""
    values = np.array([2.0, 1.0, 1.0, 1.0, 1.0, 0.5])
    start = np.array([0.3, 0.9, 0.0, 0.0, 0.0, 0.5])
    share = (4 * 0.3**2 + 0.5 * 0.9**2) / (4 * 0.3**2 + 0.9**2 + 0.25 * 0.5**2)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    for k, first in ((np.diag(values), start), (rotation @ np.diag(values) @ rotation.T, rotation @ start)):
        for optimizer in (hd.SGD(0.4), hd.SignSGD(0.2)):
            curve = hd.predict(hd.Problem(hd.Covariance(k), start=first, target=np.zeros(6)), optimizer, 1.0)
            assert curve.alignment(3)[0] == pytest.approx(share, rel=1e-9)


def test_compressed_spectra() -> None:
    """Nodes in place of eigenvalues change the scales by less than 1e-6; alignment takes every eigenvalue."""
    problem = hd.Problem(hd.PowerLaw(20_000, 0.6), hd.Gaussian(0.3))
    few, all_of_them = (hd.predict(problem, hd.SGD(0.4), 5.0, compress=one) for one in (True, False))
    assert few.compression is not None and all_of_them.compression is None
    np.testing.assert_allclose(few.noise_scales([1.0, 5.0]), all_of_them.noise_scales([1.0, 5.0]), rtol=1e-6)
    np.testing.assert_allclose(few.alignment(50), all_of_them.alignment(50), rtol=3e-6)
    k = np.arange(1.0, 20_001) ** -0.6
    assert few.alignment(50)[0] == pytest.approx((k[:50] ** 2).sum() / (k**2).sum(), rel=1e-9)


def test_where_there_is_no_finite_scale() -> None:
    """Infinite variance, and a start at the target: inf, not NaN; the alignment of no gradient is 1."""
    heavy = hd.predict(hd.Problem(hd.PowerLaw(30, 0.5), hd.StudentT(1.5, 0.5)), hd.ClippedSGD(0.5, 0.5), 5.0)
    assert np.isinf(heavy.noise_scale).all() and np.isinf(heavy.hessian_noise_scale).all()
    assert (heavy.alignment(3) < 1).all()
    still = hd.predict(hd.Problem(hd.Isotropic(30), hd.Gaussian(0.5), target=np.zeros(30)), hd.SGD(0.5), 5.0)
    assert np.isinf(still.noise_scale[0]) and np.isfinite(still.noise_scale[-1])
    assert still.alignment(3)[0] == 1 and still.alignment(3)[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_every_noise(noise: hd.Gaussian) -> None:
    curve = hd.predict(hd.Problem(hd.PowerLaw(30, 0.5), noise), hd.ClippedSGD(0.5, 0.5), 5.0)
    assert (curve.noise_scales(curve.time) > 1).all() and not np.isnan(curve.noise_scales(curve.time)).any()


@pytest.mark.parametrize("k", [0, 31, 1.5, True, "3", None, [3]])
def test_wrong_numbers_of_directions(k: object) -> None:
    curve = hd.predict(hd.Problem(hd.PowerLaw(30, 0.5)), hd.SGD(0.5), 1.0)
    with pytest.raises(hd.errors.InvalidInput, match="^k: expected (an integer >= 1|at most d = 30), got"):
        curve.alignment(k)  # type: ignore[arg-type]
    for t in ([2.0], [-1.0], [math.nan]):
        with pytest.raises(hd.errors.InvalidInput, match="^t: expected"):
            curve.noise_scales(t)
        with pytest.raises(hd.errors.InvalidInput, match="^t: expected"):
            curve.alignment(3, t)


def test_curves_that_have_been_read_are_pickled() -> None:
    curve = hd.predict(hd.Problem(hd.PowerLaw(30, 0.5), hd.Gaussian(0.3)), hd.SGD(0.5), 1.0)
    scales, spread = curve.noise_scale, curve.spread
    for other in (pickle.loads(pickle.dumps(curve)), copy.deepcopy(curve)):
        assert (other.noise_scale == scales).all() and (other.spread == spread).all()
        assert (other.distance == curve.distance).all()
