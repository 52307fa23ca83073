"""Kernels of formulas.py and special.py against mpmath at 90 digits and against scipy.special."""

from itertools import product
from math import inf

import mpmath as mp
import numpy as np
import pytest
import scipy.special

from hdlimit.kernels import formulas, special

V = [1e-12, 1e-9, 1e-6, 1.37e-3, 0.11, 0.9, 4.2, 1.37e3, 1e6, 1e12]
C = [1e-6, 1.3e-4, 1e-2, 0.24, 0.49, 0.83, 1.9, 11.0, 1.3e3, 1e6]
WIDE = [0.0, 1e-75, 1e-30, 1e-12, 1.0, 1e12, 1e30, 1e75]
VARIANCES = [0.0, 5e-324, 1e-300, 1e-150, 1e-60, 1e-24, 1.0, 1e24, 1e60, 1e150]


def cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def normal(s2, c, m):
    s, m = mp.sqrt(s2), abs(m)
    x, y = (c - m) / s / mp.sqrt(2), (c + m) / s / mp.sqrt(2)
    tail = (mp.erfc(x) + mp.erfc(y)) / 2
    mu = 1 - tail if x >= 0 else (mp.erfc(-x) - mp.erfc(y)) / 2
    edge = s * ((c + m) * mp.exp(-x * x) + (c - m) * mp.exp(-y * y)) / mp.sqrt(2 * mp.pi)
    return mu, c * c * tail + (s2 + m * m) * mu - edge


def laplace(v, c, b):
    s = mp.sqrt(v)
    minus = mp.exp(v / (2 * b * b) - c / b) * cdf(c / s - s / b)
    plus = mp.exp(v / (2 * b * b) + c / b) * cdf(-c / s - s / b)
    mu = mp.erf(c / s / mp.sqrt(2)) - minus + plus
    return mu, normal(v, c, mp.mpf(0))[1] + 2 * b * b * (mu - c / b * (minus + plus))


def uniform(v, c, w):
    """From repeated integrals of the normal tail in mpmath, by differences of the antiderivatives of E|x + Z|."""
    s = mp.sqrt(v)
    a, e = c / s, w / s

    def first(x):  # E |x + Z|
        return 2 * mp.npdf(x) + x * mp.erf(x / mp.sqrt(2))

    def second(x):  # its odd antiderivative
        return ((x * x + 1) * mp.erf(x / mp.sqrt(2)) + 2 * x * mp.npdf(x)) / 2

    def third(x):  # and the even one of that
        return ((x**3 + 3 * x) * mp.erf(x / mp.sqrt(2)) + 2 * (x * x + 2) * mp.npdf(x)) / 6

    mu = (first(a + e) - first(a - e)) / (2 * e)
    nu = a * a - (a * (second(a + e) - second(a - e)) - third(a + e) + third(a - e)) / e
    return mu, nu * v


def batch(s2, c, size):
    w = (c * size) ** 2 / (2 * s2)
    half = size / 2
    lower = mp.gammainc(half, 0, w, regularized=True)
    mu, root = lower, mp.sqrt(w) * mp.gammaprod([half + 0.5], [half])
    if size > 1:
        mu += 2 / size * root * mp.gammainc(half - mp.mpf(1) / 2, w, mp.inf, regularized=True)
    nu = (s2 * size * mp.gammainc(half + 1, 0, w, regularized=True) + (c * size) ** 2 * (1 - lower)) / size**2
    return mu, nu


CASES = [(formulas.clip_normal, normal, m) for m in (0.0, 1e-3, -1.0, 30.0)]
CASES += [(formulas.clip_laplace, laplace, 1.0), (formulas.clip_uniform, uniform, 1.0)]
CASES += [(formulas.clip_batch_normal, batch, size) for size in (1.0, 2.0, 3.0, 16.0, 201.0)]


@pytest.mark.parametrize(("kernel", "reference", "parameter"), CASES)
def test_clip_responses_to_eleven_digits(kernel, reference, parameter):
    with mp.workdps(90):
        for v, c in product(V, C):
            expected = reference(mp.mpf(v), mp.mpf(c), mp.mpf(parameter))
            for found, exact in zip(kernel(v, c, parameter), expected):
                assert abs(found - exact) <= 1e-11 * abs(exact) + 1e-300, (v, c)


def test_references_agree_with_quadrature():
    with mp.workdps(25):
        v, c, b = mp.mpf("0.3"), mp.mpf("0.7"), mp.mpf("0.5")
        for reference, law, edges in (
            (laplace, lambda e: mp.exp(-e / b) / b, [0, c, 5, 40]),
            (uniform, lambda e: 1 / b, [0, b]),
        ):
            for i in (0, 1):
                mean = mp.quad(lambda e: law(e) * normal(v, c, e)[i], edges)  # noqa: B023
                assert abs(mean - reference(v, c, b)[i]) < 1e-18


def relative(found, exact):
    return abs(found - exact) <= 1e-11 * abs(exact) + 1e-300


def test_densities():
    with mp.workdps(40):
        for u, v in product([0.0, 1e-6, 0.4, -3.0, 25.0], V):
            x, s = abs(mp.mpf(u)), mp.sqrt(mp.mpf(v))
            assert relative(formulas.density_normal(u, v, 0.3), mp.npdf(mp.mpf(u), mp.mpf(0.3), s))
            scaled = mp.exp(s * s / 2 - x) * cdf(x / s - s) + mp.exp(s * s / 2 + x) * cdf(-x / s - s)
            assert relative(formulas.density_laplace(u, v, 1.0), scaled / 2)
            inside = mp.erfc((x - 1) / s / mp.sqrt(2)) - mp.erfc((x + 1) / s / mp.sqrt(2))
            assert relative(formulas.density_uniform(u, v, 1.0), inside / 4)


@pytest.mark.parametrize("df", [1, 3])
def test_student_density_at_zero(df):
    kernel = formulas.density_student1 if df == 1 else formulas.density_student3
    with mp.workdps(60):
        for v in [*V, 0.0149, 0.0151, 1e-4]:
            x = mp.sqrt(mp.mpf(df) / (2 * mp.mpf(v)))
            damped = mp.exp(x * x) * mp.erfc(x)
            exact = damped if df == 1 else (1 - 2 * x * x) * damped + 2 * x / mp.sqrt(mp.pi)
            assert relative(kernel(v, 1.0), exact / mp.sqrt(2 * mp.pi * mp.mpf(v)))
    assert kernel(0.0, 2.0) == pytest.approx(1 / (2 * np.pi) if df == 1 else 1 / (np.pi * np.sqrt(3)), rel=1e-14)


def test_sign_of_a_batch():
    for size in (1, 2, 7, 119, 120, 121, 1000, 100_000):
        exact = mp.sqrt(2) * mp.gammaprod([mp.mpf(size + 1) / 2], [mp.mpf(size) / 2]) / mp.sqrt(mp.mpf(0.7))
        assert float(exact) == pytest.approx(formulas.sign_batch_normal(0.7, float(size)), rel=1e-13)


@pytest.mark.parametrize(
    "point", [(0.6, 0.8, 0.0), (0.5, 0.1, 0.2), (0.09, 2.0, -1.5), (1e-4, 1.0, 1.0), (2.0, 1e-3, 3.0)]
)
def test_fourth_moment_of_the_clip(point):
    """E min(r^4, c^4) against quadrature with mpmath, on both sides of c = s/2."""
    s2, c, m = point
    law = lambda r: mp.npdf(r, m, mp.sqrt(s2))  # noqa: E731
    inside = mp.quad(lambda r: r**4 * law(r), mp.linspace(-c, c, 9))
    exact = inside + mp.mpf(c) ** 4 * (1 - mp.quad(law, mp.linspace(-c, c, 9)))
    assert formulas.clip_fourth_normal(*point) == pytest.approx(float(exact), rel=1e-11)


def test_limits_of_the_threshold():
    kernels = (formulas.clip_normal, formulas.clip_laplace, formulas.clip_uniform)
    for kernel, value in zip(kernels, (0.3 + 0.49, 0.3 + 0.98, 0.3 + 0.49 / 3)):
        assert kernel(0.3, 0.0, 0.7) == (0.0, 0.0)
        assert kernel(0.3, inf, 0.7) == (1.0, pytest.approx(value, rel=1e-15))
    assert formulas.clip_fourth_normal(0.3, 0.0, 0.7) == 0.0
    assert formulas.clip_fourth_normal(0.3, inf, 0.7) == pytest.approx(3 * 0.09 + 6 * 0.3 * 0.49 + 0.7**4, rel=1e-15)
    assert formulas.clip_batch_normal(0.3, 0.0, 4.0) == (0.0, 0.0)
    assert formulas.clip_batch_normal(0.3, inf, 4.0) == (1.0, 0.3 / 4)


@pytest.mark.parametrize("kernel", [formulas.clip_normal, formulas.clip_laplace, formulas.clip_uniform])
def test_extremes_give_numbers(kernel):
    for v, c, parameter in product(VARIANCES, [*WIDE, inf], WIDE):
        mu, nu = kernel(v, c, parameter)
        assert 0 <= mu <= 1 + 1e-14 and nu >= 0 and nu <= (c * c if c < inf else inf) * (1 + 1e-14), (v, c, parameter)


def test_extremes_of_densities_and_batches():
    densities = (formulas.density_normal, formulas.density_laplace, formulas.density_uniform)
    for kernel, u, v, parameter in product(densities, WIDE, VARIANCES, WIDE):
        assert kernel(u, v, parameter) >= 0, (u, v, parameter)
    for v, s in product(VARIANCES, WIDE):
        assert formulas.density_student1(v, s) >= 0 and formulas.density_student3(v, s) >= 0
    for v, c, size in product(VARIANCES, [*WIDE, inf], [1.0, 2.0, 3.0, 1e4]):
        mu, nu = formulas.clip_batch_normal(v, c, size)
        assert 0 <= mu <= 1 + 1e-12 and nu >= 0


def test_responses_without_gaussian_part():
    assert formulas.clip_normal(0.0, 1.0, -0.5) == (1.0, 0.25)
    assert formulas.clip_normal(0.0, 1.0, 2.0) == (0.0, 1.0)
    assert formulas.clip_laplace(0.0, 0.4, 2.0) == pytest.approx(formulas.clip_laplace(1e-26, 0.4, 2.0), rel=1e-11)
    assert formulas.clip_uniform(0.0, 0.4, 2.0) == pytest.approx(formulas.clip_uniform(1e-26, 0.4, 2.0), rel=1e-11)
    gaussian = formulas.clip_normal(0.5, 0.4, 0.0)
    assert formulas.clip_laplace(0.5, 0.4, 0.0) == gaussian == formulas.clip_uniform(0.5, 0.4, 0.0)


def test_special_functions_are_those_of_scipy():
    rng = np.random.default_rng(2)
    for x in np.concatenate([rng.normal(0, 8, 200), [-300.0, 0.0, 1e8]]):
        assert special.log_ndtr(x) == scipy.special.log_ndtr(x)
        assert special.erfcx(abs(x)) == scipy.special.erfcx(abs(x))
    for a, x in rng.exponential(5.0, (200, 2)):
        assert special.gammainc(a, x) == scipy.special.gammainc(a, x)
        assert special.gammaincc(a, x) == scipy.special.gammaincc(a, x)


def test_tableau_is_consistent():
    a, b, c = np.array(formulas.A), np.array(formulas.B), np.array(formulas.C)
    dense = np.array(formulas.DENSE)
    assert np.allclose(a.sum(1), c, atol=1e-15) and np.allclose(a[-1], b) and np.allclose(dense.sum(1), b, atol=1e-13)
    for theta in (0.2, 0.7):
        weights = dense @ theta ** np.arange(1, 5)
        for k in range(4):
            assert weights @ c**k == pytest.approx(theta ** (k + 1) / (k + 1), abs=1e-13)
        assert weights @ a @ c**2 == pytest.approx(theta**4 / 12, abs=1e-13)


def test_every_pair_has_a_formula():
    laws = "gaussian point rademacher gaussian-mixture empirical laplace uniform student-t student-t-1 student-t-3"
    expected = set(product(("sgd", "clipped-sgd", "sign-sgd"), laws.split()))
    assert set(formulas.FORMULAS) == expected
    assert all(all(field for field in record) for record in formulas.FORMULAS.values())
