"""The best threshold now: reference values, brute force, roots in 20 digits, local maxima, limits, batches."""

import math

import mpmath
import numpy as np
import pytest
from cases import NOISES, name_of

import hdlimit as hd
from hdlimit.problem.noise import as_noise
from hdlimit.response.best_threshold import best_threshold
from hdlimit.response.clip_condition import mixture_condition
from hdlimit.response.response import MapResponse

REFERENCE = [(1, 0.4477, 0.672, math.inf), (3, 0.8490, 0.347, 1.7504), (10, 1.4064, 0.093, 1.0329)]
LEVELS = (1e-12, 1e-3, 0.1, 3.0, 1e6)


@pytest.mark.parametrize(("df", "threshold", "clipped", "gain"), REFERENCE)
def test_reference_values(df, threshold, clipped, gain):
    best = best_threshold(hd.StudentT(df, 0.7), 0.1)
    assert best.threshold == pytest.approx(threshold, abs=5e-5)
    assert best.clipped_fraction == pytest.approx(clipped, abs=5e-4)
    assert best.rate_gain == pytest.approx(gain, abs=5e-5)
    assert best.helps and f"{best.threshold:.4g}" in best.sentence


def objective(noise, v, thresholds, size=1):
    response = MapResponse("clip", noise, size)
    return np.array([mu**2 / nu for mu, nu in (response(v, c) for c in thresholds)])


def shortfall(noise, v, threshold, size=1, count=121):
    """How far mu^2/nu at a threshold lies below the best of a grid of every scale, relative."""
    widest = max(math.sqrt(v), noise.width)
    grid = np.geomspace(1e-2 * math.sqrt(v) / size, 30 * widest, count)
    if noise.components is not None:
        atoms = np.abs(noise.components.mean)
        grid = np.concatenate([grid, (atoms[:, None] + math.sqrt(v) * np.array([0.5, 1.0, 2.0, 3.0])).ravel()])
    if math.isfinite(noise.second_moment):
        grid = np.append(grid, math.inf)
    grid = grid[grid > 0]
    return objective(noise, v, grid, size).max() / objective(noise, v, [threshold], size)[0] - 1


@pytest.mark.parametrize("v", LEVELS)
@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_a_brute_force_grid_finds_nothing_better(noise, v):
    best = best_threshold(noise, v)
    assert shortfall(noise, v, best.threshold) < 2e-12
    mu, nu = MapResponse("clip", noise)(v, best.threshold)
    assert (best.mu, best.nu) == (mu, nu)
    if math.isfinite(noise.second_moment):
        square = v + noise.second_moment
        assert best.rate_gain == pytest.approx(max(mu**2 / nu * square, 1), rel=1e-12)
        assert best.permitted_gain == pytest.approx(mu / nu * square, rel=1e-12)
        assert best.rate_gain >= 1
    assert best.clipped_fraction == pytest.approx(1 - mu, abs=1e-9)


def test_the_brute_force_grid_rejects_a_threshold_that_is_off():
    noise = hd.StudentT(3, 0.7)
    assert shortfall(noise, 0.1, 1.1 * best_threshold(noise, 0.1).threshold) > 1e-4


def exact_root(density, start):
    """The root of p(c) nu = c mu T near start, from the density of |r| by quadrature in 20 digits."""
    with mpmath.workdps(20):

        def slope(c):
            mass = mpmath.quad(density, mpmath.linspace(0, c, 4))
            square = mpmath.quad(lambda x: x**2 * density(x), mpmath.linspace(0, c, 4)) + c**2 * (1 - mass)
            return density(c) * square / (c * mass) - (1 - mass)

        return mpmath.findroot(slope, (start * 0.999, start * 1.001), solver="secant", tol=1e-28)


def laplace_density(v, b):
    v, b = mpmath.mpf(v), mpmath.mpf(b)
    root = mpmath.sqrt(2 * v)
    return lambda u: (
        mpmath.exp(v / (2 * b**2))
        / (2 * b)
        * (mpmath.exp(-u / b) * mpmath.erfc((v / b - u) / root) + mpmath.exp(u / b) * mpmath.erfc((v / b + u) / root))
    )


def mixture_density(v, weights, scales, means):
    v = mpmath.mpf(v)
    parts = [
        (mpmath.mpf(w), mpmath.sqrt(v + mpmath.mpf(s) ** 2), mpmath.mpf(m)) for w, s, m in zip(weights, scales, means)
    ]
    return lambda u: sum(w * (mpmath.npdf(u, m, s) + mpmath.npdf(u, -m, s)) for w, s, m in parts)


ROOTS = [
    (hd.Laplace(0.7), 0.1, laplace_density(0.1, 0.7)),
    (hd.Laplace(0.7), 1e-4, laplace_density(1e-4, 0.7)),
    (hd.Laplace(0.7), 1e-12, laplace_density(1e-12, 0.7)),
    (hd.GaussianMixture([0.9, 0.1], [0.3, 2.0]), 0.1, mixture_density(0.1, [0.9, 0.1], [0.3, 2.0], [0, 0])),
    (
        hd.GaussianMixture([0.6, 0.4], [0.1, 1.0], [-0.5, 0.75]),
        0.01,
        mixture_density(0.01, [0.6, 0.4], [0.1, 1.0], [-0.5, 0.75]),
    ),
]


@pytest.mark.parametrize(("noise", "v", "density"), ROOTS, ids=lambda x: repr(x)[:40])
def test_the_threshold_is_the_root_to_ten_digits(noise, v, density):
    found = best_threshold(noise, v).threshold
    with mpmath.workdps(20):
        error = abs(mpmath.mpf(found) / exact_root(density, found) - 1)
    assert error < 1e-10


def test_student_root_against_the_closed_density():
    # Student t with 3 degrees of freedom at v so small that it only adds a relative v/scale^2
    with mpmath.workdps(20):
        scale, root3 = mpmath.mpf("0.7"), mpmath.sqrt(3)
        density = lambda u: 12 * root3 / (mpmath.pi * scale * (3 + (u / scale) ** 2) ** 2)  # noqa: E731
        found = best_threshold(hd.StudentT(3, 0.7), 1e-24).threshold
        assert abs(mpmath.mpf(found) / exact_root(density, found) - 1) < 1e-10


def test_several_local_maxima():
    """Two local maxima whose order the weights decide: the global one is returned in both cases."""
    found = []
    for narrow in (2e-4, 1e-2):
        noise = hd.GaussianMixture([narrow, 0.999 - narrow, 0.001], [1e-3, 1.0, 100.0])
        grid = np.geomspace(1e-8, 1e3, 1000)
        values = objective(noise, 1e-6, grid)
        valley = values[(grid > 1e-3) & (grid < 1)].min()
        assert valley < 0.9 * values[grid < 1e-3].max() and valley < 0.9 * values[grid > 1].max(), "two maxima"
        best = best_threshold(noise, 1e-6)
        assert best.mu**2 / best.nu >= values.max() * (1 - 1e-12)
        found.append(best.threshold)
    assert found[0] > 1 and found[1] < 1e-3


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("noise", [hd.NoNoise(), hd.Gaussian(1.0), hd.Rademacher(1.0), hd.Uniform(1.0)], ids=name_of)
def test_do_not_clip(noise, scale):
    best = best_threshold(noise, scale)
    assert best.threshold == math.inf and best.rate_gain == best.permitted_gain == 1
    assert not best.helps and best.clipped_fraction == 0 and "do not clip" in best.sentence


def test_units():
    """Noise and state in units 1e6 larger: the threshold too, the gain unchanged."""
    small = best_threshold(hd.StudentT(3, 0.7), 0.1)
    large = best_threshold(hd.StudentT(3, 0.7e6), 0.1e12)
    assert large.threshold == pytest.approx(1e6 * small.threshold, rel=1e-10)
    assert large.rate_gain == pytest.approx(small.rate_gain, rel=1e-11)


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_a_small_threshold_is_the_sign_map_and_the_objective_rises(noise):
    v, c = 0.1, 1e-5
    sign = MapResponse("sign", noise)(v)[0]
    value = objective(noise, v, [c])[0]
    assert value == pytest.approx(sign**2 * (1 + 2 / 3 * sign * c), rel=1e-8)


def test_laplace_threshold_goes_to_zero_with_the_risk():
    noise = hd.Laplace(0.7)
    ratios = [best_threshold(noise, v).threshold / math.sqrt(v) for v in (1e-10, 1e-16, 1e-24)]
    assert ratios[2] == pytest.approx(ratios[1], rel=1e-6)
    assert best_threshold(noise, 1e-24).rate_gain == pytest.approx(2, rel=1e-9)  # I_F E eps^2 = 2 b^2/b^2


@pytest.mark.parametrize("c", [1e-6, 1e-2, 0.4, 1.1, 6.0])
@pytest.mark.parametrize("noise", [n for n in NOISES if n.components is not None], ids=name_of)
def test_the_slope_is_the_derivative(noise, c):
    v, step = 0.3, 1e-4
    up, here, down = mixture_condition(np.array([c * (1 + step), c, c * (1 - step)]), v, noise.components).value
    slope = mixture_condition(np.array([c]), v, noise.components).slope[0]
    assert slope == pytest.approx((up - down) / math.log((1 + step) / (1 - step)), rel=1e-6, abs=1e-10)
    assert here == pytest.approx(math.log(objective(noise, v, [c])[0]), abs=1e-12)


@pytest.mark.parametrize(
    ("noise", "size"),
    [(hd.Gaussian(0.7), 2), (hd.Gaussian(0.7), 4), (hd.Rademacher(0.8), 2), (hd.Rademacher(0.8), 4)]
    + [(hd.GaussianMixture([0.9, 0.1], [0.3, 2.0]), size) for size in (2, 4)]
    + [(hd.StudentT(1.5, 0.6), 4)],
    ids=str,
)
def test_batches_brute_force(noise, size):
    best = best_threshold(noise, 0.1, size)
    assert shortfall(noise, 0.1, best.threshold, size, count=41) < 1e-8
    if isinstance(noise, hd.Gaussian | hd.Rademacher):
        assert not best.helps
    else:
        assert shortfall(noise, 0.1, 1.2 * best.threshold, size, count=41) > 1e-4


def test_batches_of_a_scipy_law():
    """A density, without a warning; the objective is the largest within 1e-8."""
    from scipy import stats

    noise = stats.logistic(scale=0.4)
    best = best_threshold(noise, 0.1, 2)
    grid = best.threshold * np.geomspace(0.5, 2, 7)
    assert best.helps and best.rate_gain > 1.02
    law = as_noise(noise)
    assert objective(law, 0.1, grid, 2).max() <= objective(law, 0.1, [best.threshold], 2)[0] * (1 + 1e-8)


def test_a_batch_without_threshold_in_the_limit_of_small_steps():
    """Empirical noise with an atom at 0 at a tiny risk: the objective falls from c = 0 on, below the scale of z."""
    noise, v = hd.Empirical([-1.3, -0.2, 0.0, 0.1, 0.1, 0.4, 2.5]), 1e-6
    best = best_threshold(noise, v, 4)
    assert best.threshold < math.sqrt(v) and shortfall(noise, v, best.threshold, 4, count=61) < 1e-8


def test_batch_clipped_fraction_by_sampling():
    """P(norm clipped) against 200 000 batches; false alarm 6e-5 (4 standard errors)."""
    noise, v, size, n = hd.GaussianMixture([0.9, 0.1], [0.3, 2.0]), 0.1, 4, 200_000
    best = best_threshold(noise, v, size)
    generator = np.random.default_rng(5)
    r = math.sqrt(v) * generator.standard_normal((n, size)) - noise.sample(generator, n * size).reshape(n, size)
    clipped = (np.sqrt((r**2).sum(axis=1)) > best.threshold * size).mean()
    assert clipped == pytest.approx(best.clipped_fraction, abs=4 * math.sqrt(0.25 / n))
    assert abs(best.clipped_fraction - (1 - best.mu)) > 0.05, "not 1 - mu"
    mu, nu = best.mu, best.nu
    assert best.rate_gain == pytest.approx(mu**2 / nu * (v + noise.second_moment) / size, rel=1e-12)


@pytest.mark.parametrize("v", [0.0, -1.0, math.nan, math.inf, "big"])
def test_bad_v(v):
    with pytest.raises(hd.errors.InvalidInput, match="v: expected a finite number > 0"):
        best_threshold(hd.Gaussian(1.0), v)


def test_bad_noise_and_batch():
    with pytest.raises(hd.errors.InvalidInput, match="noise"):
        best_threshold("normal", 1.0)
    with pytest.raises(hd.errors.InvalidInput, match="batch_size"):
        best_threshold(hd.Gaussian(1.0), 1.0, 0)


def test_random_mixtures_brute_force():
    """40 random mixtures, off-centre and with atoms, at random v: no grid finds anything better."""
    generator = np.random.default_rng(7)
    for _ in range(40):
        k = generator.integers(1, 6)
        scales = np.where(generator.random(k) < 0.2, 0.0, 10 ** generator.uniform(-3, 2, k))
        means = generator.integers(0, 2) * generator.normal(size=k) * 10 ** generator.uniform(-2, 2, k)
        noise = hd.GaussianMixture(10 ** generator.uniform(-4, 0, k), scales, means)
        v = 10 ** generator.uniform(-8, 4)
        assert shortfall(noise, v, best_threshold(noise, v).threshold, count=301) < 2e-12, (noise, v)
