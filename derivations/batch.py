"""Clipping and signing the mean gradient of a batch whose residual is Gaussian.

Theorem. Let r_1..r_B be iid N(0, s^2), S = sum r_j^2 = s^2 chi^2_B, x0 = (c B)^2, w = x0/(2 s^2), P and Q the
regularized incomplete gamma functions. For the clipped mean gradient, psi_j = r_j min(1, sqrt(x0/S)),
    mu = [(B - 1) E min(1, sqrt(x0/S)) + P(S <= x0)]/B
       = P(B/2, w) + (2/B) sqrt(w) Gamma((B + 1)/2)/Gamma(B/2) Q((B - 1)/2, w),
    nu = E min(S, x0)/B^2 = [s^2 B P(B/2 + 1, w) + x0 Q(B/2, w)]/B^2.
For its sign, mu = sqrt2 Gamma((B + 1)/2)/(Gamma(B/2) s).

Proof. By Stein's identity in each residual, mu = (1/B) E sum_j d psi_j/d r_j, and d/dr_j of r_j f(S) sums to B f + 2
S f'. The expectations over S follow by differentiating the stated results in x0. The sign is psi_j = r_j/sqrt(S)
B-fold, the limit c -> 0 of mu/c. Derived here; B = 1 is derivations/normal.py.
"""

from __future__ import annotations

import mpmath
from sympy import (
    Expr,
    Integer,
    Rational,
    bernoulli,
    diff,
    erf,
    exp,
    gamma,
    gammasimp,
    lambdify,
    limit,
    lowergamma,
    oo,
    simplify,
    sqrt,
    symbols,
    uppergamma,
)

from derivations.laplace import horner
from derivations.printer import Assignments, gammainc, gammaincc

B, S, s2, x0, w, y, a = symbols("B S s2 x0 w y a", positive=True)
c, ratio, p_half, q_half = symbols("c ratio p_half q_half")

MU = gammainc(B / 2, w) + 2 / B * sqrt(w) * ratio * gammaincc((B - 1) / 2, w)
NU = (s2 * B * gammainc(B / 2 + 1, w) + x0 * gammaincc(B / 2, w)) / B**2
RATIO = gamma((B + 1) / 2) / gamma(B / 2)
RATIO_TERMS = 9


def plain(value: Expr) -> Expr:
    """Incomplete gamma functions in a form that SymPy differentiates."""
    value = value.replace(gammainc, lambda a, y: lowergamma(a, y) / gamma(a))
    return value.replace(gammaincc, lambda a, y: uppergamma(a, y) / gamma(a))


def density(value: Expr) -> Expr:
    """Density of S at a value."""
    scaled = value / (2 * s2)
    return scaled ** (B / 2 - 1) * exp(-scaled) / (gamma(B / 2) * 2 * s2)


def ratio_series() -> list[Expr]:
    """Coefficients in 1/a of Gamma(a + 1/2)/(Gamma(a) sqrt(a)).

    The logarithm is -sum_n B_2n (2 - 2^(1 - 2n))/(2n (2n - 1) a^(2n - 1)), the difference of two Stirling series; the
    exponential E of a power series L solves E' = L' E.
    """
    log_terms = {
        2 * n - 1: -bernoulli(2 * n) * (2 - Rational(2) ** (1 - 2 * n)) / (2 * n * (2 * n - 1)) for n in range(1, 6)
    }
    terms: list[Expr] = [Integer(1)]
    for n in range(1, RATIO_TERMS):
        terms.append(sum(k * value * terms[n - k] for k, value in log_terms.items() if k <= n) / n)
    return terms


def prove() -> None:
    """Stein in the residuals, then the expectations over S by differentiation in x0.

    Raises:
        AssertionError: if a step fails.
    """
    inside, outside = S / S, sqrt(x0 / S)
    assert simplify(B * inside + 2 * S * diff(inside, S) - B) == 0, "sum_j d psi_j/d r_j below the threshold is B"
    assert simplify(B * outside + 2 * S * diff(outside, S) - (B - 1) * outside) == 0, "and (B - 1) sqrt(x0/S) above"
    level = x0 / (2 * s2)
    lower = plain(gammainc(B / 2, w)).subs(w, level)
    assert simplify(gammasimp(diff(lower, x0) - density(x0))) == 0, "P(S <= x0) has the density of S"
    # E [S^(-1/2); S > x0] by its derivative and its limit
    above = plain(gammaincc((B - 1) / 2, w)).subs(w, level) * gamma((B - 1) / 2) / gamma(B / 2) / sqrt(2 * s2)
    assert simplify(gammasimp(diff(above, x0) + density(x0) / sqrt(x0))) == 0, "E [S^(-1/2); S > x0]"
    stein = (B - 1) / B * (gammainc(B / 2, w) + sqrt(2 * s2 * w) * symbols("E")) + gammainc(B / 2, w) / B
    closed = gammaincc((B - 1) / 2, w) * gamma((B - 1) / 2) / gamma(B / 2) / sqrt(2 * s2)
    difference = (stein.subs(symbols("E"), closed) - MU.subs(ratio, RATIO)).subs(B, 2 * a + 1)
    assert simplify(difference.subs(gamma(a + 1), a * gamma(a))) == 0, "mu"
    second = plain(B**2 * NU).subs(w, level)
    exceeding = plain(gammaincc(B / 2, w)).subs(w, level)
    assert simplify(gammasimp(diff(second, x0) - exceeding)) == 0, "(E min)' = P(S > x0)"
    assert limit(second.subs({B: 3, s2: 1}), x0, 0) == 0, "E min(S, x0) = 0 at x0 = 0"
    single = plain(gammainc(Rational(1, 2), w))
    assert simplify(single.rewrite(erf) - erf(sqrt(w))) == 0, "B = 1 is the single residual"
    assert limit(RATIO.subs(B, 2 * a) / sqrt(a), a, oo) == 1, "Gamma(a + 1/2)/Gamma(a) ~ sqrt(a)"


def check() -> None:
    """Compare with quadrature over the density of S, and the ratio's series with the gamma function.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    for point in ((2, "0.7", "0.5"), (4, "1.3", "0.3"), (9, "0.4", "0.2")):
        with mpmath.workdps(20):
            compare(*map(mpmath.mpf, point))
    with mpmath.workdps(30):
        terms = ratio_series()
        found = sum(mpmath.mpf(t.p) / t.q / mpmath.mpf(60) ** n for n, t in enumerate(terms)) * mpmath.sqrt(60)
        assert abs(found / mpmath.gammaprod([60.5], [60]) - 1) < 1e-15, "series of the gamma ratio"


def compare(size: mpmath.mpf, variance: mpmath.mpf, level: mpmath.mpf) -> None:
    """mu and nu of one batch against quadrature over the density of S.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    functions = {"gammainc": lambda a, y: mpmath.gammainc(a, 0, y, regularized=True)}
    functions["gammaincc"] = lambda a, y: mpmath.gammainc(a, y, mpmath.inf, regularized=True)
    law = lambdify((S, B, s2), density(S), "mpmath")
    top = (level * size) ** 2
    edges = [0, top / 4, top, 2 * top, 10 * top, 10 * top + 100 * variance]
    below = mpmath.quad(lambda y: law(y, size, variance), edges[:3])
    root = mpmath.quad(lambda y: law(y, size, variance) * min(1, mpmath.sqrt(top / y)), edges)
    second = mpmath.quad(lambda y: law(y, size, variance) * min(y, top), edges)
    for result, expected in ((MU, ((size - 1) * root + below) / size), (NU, second / size**2)):
        closed = lambdify((B, s2, x0, w), result.subs(ratio, RATIO), [functions, "mpmath"])
        assert abs(closed(size, variance, top, top / (2 * variance)) - expected) < 1e-12, f"batch of {size}"


FORMULAS: dict[str, Assignments] = {
    "batch_ratio": {"value": gamma(a + Rational(1, 2)) / gamma(a)},
    "batch_ratio_far": {"value": sqrt(a) * horner(ratio_series(), y)},
    "batch_mu": {"mu": MU},
    "batch_nu": {"nu": (s2 * B * gammainc(B / 2 + 1, w) + x0 * q_half) / B**2},
    "batch_sign": {"mu": sqrt(2) * ratio / sqrt(s2)},
}

KERNELS = '''
@jit("float64(float64)")
def _gamma_ratio(a: float) -> float:
    """Gamma(a + 1/2)/Gamma(a), a > 0."""
    if a < 60.0:
        <<batch_ratio>>
        return value
    y = 1.0 / a
    <<batch_ratio_far>>
    return value


@jit("UniTuple(float64, 2)(float64, float64, float64)")
def clip_batch_normal(s2: float, c: float, B: float) -> tuple[float, float]:
    """Responses of the mean gradient of B samples clipped at c, residuals iid N(0, s2).

    mu = P(B/2, w) + (2/B) sqrt(w) Gamma((B + 1)/2)/Gamma(B/2) Q((B - 1)/2, w),  w = (c B)^2/(2 s2),
    nu = [s2 B P(B/2 + 1, w) + (c B)^2 Q(B/2, w)]/B^2;  P, Q: regularized incomplete gamma functions.

    Args:
        s2: variance of one residual, >= 0. c: clip threshold in residual units, >= 0, inf allowed. B: batch size, >= 1.
    Returns:
        (mu, nu).
    Source:
        derivations/batch.py.
    """
    if c == inf:
        return 1.0, s2 / B
    if c == 0.0:
        return 0.0, 0.0
    if B == 1.0 or s2 == 0.0:
        return clip_normal(s2, c, 0.0)
    x0 = (c * B) * (c * B)
    w = (c * B / s2) * (c * B / 2.0)
    ratio = _gamma_ratio(B / 2.0)
    q_half = gammaincc(B / 2.0, w)
    if q_half == 0.0:
        return 1.0, s2 / B
    <<batch_mu>>
    <<batch_nu>>
    return mu, nu


@jit("float64(float64, float64)")
def sign_batch_normal(s2: float, B: float) -> float:
    """Response mu of the sign of the mean gradient of B samples, residuals iid N(0, s2):
    sqrt2 Gamma((B + 1)/2)/(Gamma(B/2) sqrt(s2)).

    Args:
        s2: variance of one residual, >= 0 (inf at 0). B: batch size, >= 1.
    Source:
        derivations/batch.py.
    """
    ratio = _gamma_ratio(B / 2.0)
    <<batch_sign>>
    return mu
'''
