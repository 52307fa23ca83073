"""The ceiling: no residual map descends faster than the score of the residual.

Theorem. p = density of r = z - eps, z ~ N(0, v), s = -p'/p its score, I = E s^2 its Fisher information. For every
residual map psi
    mu = E psi'(r) = E psi(r) s(r),   mu^2 <= nu I,   nu - mu^2/I = E (psi - mu s/I)^2,
with equality for psi = s only (up to a factor); psi = s/I has mu = 1 and nu = 1/I.
 Batch: with psi applied to each of B residuals, mean gradient: mu, nu/B; and over all functions of the B residuals
 together, mu^2/nu <= B I, as scores of independent residuals are uncorrelated.
 Finite d: nu_2 = E (psi^2)'' = 2 dnu/dv, and nu_2/B + (1 - 1/B) mu^2 of a batch has the value 1 + 1/B of SGD for
 psi(r) = r.
 Without risk (v -> 0): I = (df + 1)/((df + 3) scale^2) for Student t, 1/b^2 for Laplace, and the sign has the share
 8/pi^2 of Cauchy's; Gaussian residuals: I = 1/s^2, of which the sign has 2/pi. At most 1/v: I <= E 1/v given eps.

Proof. (psi' - psi s) p = (psi p)' is an exact derivative. Expand the square. dp/dv = p''/2, then by parts twice.
"""

from __future__ import annotations

import mpmath
from sympy import (
    Function,
    Rational,
    Symbol,
    diff,
    exp,
    expand,
    expand_func,
    gamma,
    integrate,
    oo,
    pi,
    simplify,
    sqrt,
    symbols,
)

r, eps = symbols("r eps", real=True)
v, b, mu, nu, I = symbols("v b mu nu I", positive=True)  # noqa: E741
psi, p = Function("psi")(r), Function("p")(r)


def prove() -> None:
    """The exact derivative, the square, the heat equation, and the information of four laws.

    Raises:
        AssertionError: if a step fails.
    """
    score = -diff(p, r) / p
    assert simplify((diff(psi, r) - psi * score) * p - diff(psi * p, r)) == 0, "(psi' - psi s) p is (psi p)'"
    missed = expand(nu - 2 * (mu / I) * mu + (mu / I) ** 2 * I)
    assert simplify(missed - (nu - mu**2 / I)) == 0, "E (psi - mu s/I)^2 = nu - mu^2/I"
    normal = exp(-((r + eps) ** 2) / (2 * v)) / sqrt(2 * pi * v)
    assert simplify(diff(normal, v) - diff(normal, r, 2) / 2) == 0, "dp/dv = p''/2, for every eps"
    flux = psi * diff(p, r) - diff(psi, r) * p
    assert simplify(psi * diff(p, r, 2) - diff(psi, r, 2) * p - diff(flux, r)) == 0, "by parts twice"
    size = Symbol("B", positive=True)
    assert simplify(2 / size + (1 - 1 / size) - (1 + 1 / size)) == 0, "SGD: nu_2 = 2 of one residual, mu = 1"
    prove_laws()


def prove_laws() -> None:
    """Normal, Student t and Laplace residuals."""
    law = exp(-(r**2) / (2 * v)) / sqrt(2 * pi * v)
    assert simplify(integrate((r / v) ** 2 * law, (r, -oo, oo)) - 1 / v) == 0, "normal law: I = 1/v"
    assert simplify((2 * law.subs(r, 0)) ** 2 * v - 2 / pi) == 0, "its sign: 2/pi"
    laplace = exp(-r / b) / (2 * b)
    assert simplify(2 * integrate((diff(laplace, r) / laplace) ** 2 * laplace, (r, 0, oo)) - b**-2) == 0, (
        "Laplace: 1/b^2"
    )
    n, x = symbols("n x", positive=True)
    beta = lambda a, c: gamma(a) * gamma(c) / gamma(a + c)  # noqa: E731
    score = -diff((1 + x**2 / n) ** (-(n + 1) / 2), x) / (1 + x**2 / n) ** (-(n + 1) / 2)
    assert simplify(score**2 - (n + 1) ** 2 * x**2 / (n + x**2) ** 2) == 0, "score of Student t"
    # x^2 = n q/(1 - q), q ~ Beta(1/2, n/2): x^2/(n + x^2)^2 = q (1 - q)/n
    share = beta(Rational(3, 2), n / 2 + 1) / beta(Rational(1, 2), n / 2)
    assert simplify((n + 1) ** 2 / n * expand_func(share) - (n + 1) / (n + 3)) == 0, "Student t"
    assert simplify((2 / pi) ** 2 / Rational(1, 2) - 8 / pi**2) == 0, "sign of Cauchy residuals: (2 p(0))^2/I"


def check() -> None:
    """Laplace noise at v = 0.3: E psi' = E psi s, the ceiling above tanh, clip and sign, and nu_2, by quadrature.

    Raises:
        AssertionError: if an identity is off by more than 1e-12, or a map is above the ceiling.
    """
    scale, level = mpmath.mpf("0.6"), mpmath.mpf("0.8")

    def density(u: mpmath.mpf, variance: mpmath.mpf) -> mpmath.mpf:
        root = mpmath.sqrt(2 * variance)
        sides = (mpmath.exp(sign * u / scale) * mpmath.erfc((variance / scale + sign * u) / root) for sign in (-1, 1))
        return mpmath.exp(variance / (2 * scale**2)) * sum(sides) / (4 * scale)

    def mean(f: object, variance: mpmath.mpf) -> mpmath.mpf:
        edges = [-24, -8, -3, -level, 0, level, 3, 8, 24]
        return mpmath.quad(lambda u: f(u) * density(u, variance), edges)  # type: ignore[operator]

    with mpmath.workdps(25):
        variance = mpmath.mpf("0.3")
        score = lambda u: -mpmath.diff(lambda w: mpmath.log(density(w, variance)), u)  # noqa: E731
        information = mean(lambda u: score(u) ** 2, variance)
        slope, product = (
            mean(lambda u: mpmath.sech(u) ** 2, variance),
            mean(lambda u: mpmath.tanh(u) * score(u), variance),
        )
        assert abs(slope - product) < 1e-12, "E psi' = E psi s"
        square = mean(lambda u: mpmath.tanh(u) ** 2, variance)
        clipped = mean(lambda u: min(u * u, level**2), variance), mean(lambda u: abs(u) <= level, variance)
        for ratio in (slope**2 / square, clipped[1] ** 2 / clipped[0], (2 * density(mpmath.mpf(0), variance)) ** 2):
            assert 0.5 * information < ratio < information, "below the ceiling"
        assert 1 / (variance + 2 * scale**2) < information < 1 / variance, "between 1/(v + Var eps) and 1/v"
        bend = mean(lambda u: 2 * mpmath.sech(u) ** 4 - 4 * (mpmath.tanh(u) * mpmath.sech(u)) ** 2, variance)
        growth = mpmath.diff(lambda w: mean(lambda u: mpmath.tanh(u) ** 2, w), variance, h=mpmath.mpf("1e-6"))
        assert abs(bend - 2 * growth) < 1e-9, "nu_2 = 2 dnu/dv"
