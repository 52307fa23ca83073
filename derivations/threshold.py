"""The best clip threshold: where d/dc log(mu_c^2/nu_c) = 0, and what no threshold can gain.

Theorem. With p = density of |r|, T = P(|r| > c):
    mu' = p(c),  nu' = 2 c T,  so that  d log(mu^2/nu)/d log c = 2 [c p(c)/mu - c^2 T/nu]
 and an interior maximum solves  p(c) nu = c mu T.  With A = c^2 - nu = 2 int_0^c u mu(u) du and D = c p(c) - mu =
 int_0^c u p'(u) du the same slope is
    2 [D/mu - (c p(c)/mu) A/c^2 + mu]/(1 - A/c^2),
 in which nothing cancels for small mu.
 At 0:  mu^2/nu = p(0)^2 [1 + (2/3) p(0) c + O(c^2)], p(0) = 2 p_r(0): the value of the sign map, and rising, because
 v > 0 makes p smooth with p'(0) = 0 and p(0) > 0. So c* > 0. Laplace noise at v = 0 has a kink, p'(0) < 0, and
 1 - c/(3 b) instead of 1 + (2/3) p(0) c: there c* = 0.
 Batch, x0 = (c B)^2, H = E min(1, sqrt(x0/S)), P = P(S <= x0), mu = [(B-1) H + P]/B, nu = E min(S, x0)/B^2:
    c mu' = [(B - 1)(H - P) + 2 x0 p_S(x0)]/B,   c nu' = 2 x0 (1 - P)/B^2.
 Gaussian noise: (mu^2/nu) E r^2/B <= 1 for every residual map and batch size, with equality for psi(r) = r only:
 clipping never helps.

Proof. Derivatives under the integral. Gaussian residuals, B of them: E <psi, z>/B = (v/s^2) E <psi, r>/B, so that mu =
E <psi, r>/(B s^2) and (E <psi, r>)^2 <= E |psi|^2 E |r|^2 (Cauchy-Schwarz) with nu = E |psi|^2/B^2 and E |r|^2 = B s^2.
"""

from __future__ import annotations

import mpmath
from sympy import (
    Expr,
    Function,
    Integral,
    Symbol,
    diff,
    exp,
    expand,
    integrate,
    log,
    oo,
    pi,
    series,
    simplify,
    sqrt,
    symbols,
)

c, u, r, b, s, v, sigma, x0, S = symbols("c u r b s v sigma x0 S", positive=True)
p, mu, nu, T = symbols("p mu nu T", positive=True)
B = Symbol("B", integer=True, positive=True)


def prove() -> None:
    """The slope, its two forms, the start at c = 0, the batch, Gaussian noise.

    Raises:
        AssertionError: if a step fails.
    """
    prove_slope()
    prove_start()
    prove_batch()
    prove_gaussian()


def prove_slope() -> None:
    """mu' and nu', and the form of the slope for small mu.

    Raises:
        AssertionError: if a step fails.
    """
    f = Function("f")  # density of |r| on r > 0
    mass = Integral(f(u), (u, 0, c))
    tail = Integral(f(u), (u, c, oo))
    minimum = Integral(u**2 * f(u), (u, 0, c)) + c**2 * tail
    assert diff(mass, c).doit() == f(c), "mu' = p(c)"
    assert simplify(diff(minimum, c) - 2 * c * tail) == 0, "nu' = 2 c P(|r| > c)"
    excess, bend = c**2 - nu, c * p - mu
    plain = 2 * (c * p / mu - c**2 * (1 - mu) / nu)
    small = 2 * (bend / mu - c * p / mu * excess / c**2 + mu) / (1 - excess / c**2)
    assert simplify(plain - small) == 0, "the two forms of the slope"
    g = Function("g")  # mu as a function of c
    assert simplify(diff(c**2 - 2 * Integral(u * g(u), (u, 0, c)), c) - 2 * c * (1 - g(c))) == 0, "A = 2 int u mu"
    assert simplify(diff(c * f(c) - mass, c) - c * diff(f(c), c)) == 0, "D = int u p'"


def prove_start() -> None:
    """The expansion at c = 0 for a smooth density and for Laplace noise at v = 0.

    Raises:
        AssertionError: if a step fails.
    """
    curvature = symbols("curvature", real=True)
    smooth = p + curvature * u**2 / 2
    assert _start(smooth) == p**2, "the value of the sign map"
    assert simplify(_start(smooth, 1) - p**2 * p * 2 / 3) == 0, "rising: p(0)^2 (2/3) p(0) c"
    laplace = exp(-u / b) / b
    assert simplify(_start(laplace, 1) * b**2 + 1 / (3 * b)) == 0, "Laplace noise at v = 0: falling, -c/(3 b)"


def _start(density: Expr, order: int = 0) -> Expr:
    """A coefficient of mu^2/nu in powers of c."""
    mass = integrate(density, (u, 0, c))
    below = integrate(u**2 * density, (u, 0, c))
    ratio = series(mass**2, c, 0, 6).removeO() / c**2
    scaled = series(below + c**2 * (1 - mass), c, 0, 6).removeO() / c**2
    return series(expand(ratio) / expand(scaled), c, 0, 3).removeO().coeff(c, order)


def prove_batch() -> None:
    """c d/dc = 2 x0 d/dx0 of mu and nu.

    Raises:
        AssertionError: if a step fails.
    """
    f = Function("f")  # density of S
    below, above = Integral(f(S), (S, 0, x0)), Integral(f(S), (S, x0, oo))
    half = Integral(f(S) / sqrt(S), (S, x0, oo))
    root_ratio = below + sqrt(x0) * half
    minimum = Integral(S * f(S), (S, 0, x0)) + x0 * above
    drift = 2 * x0 * diff(((B - 1) * root_ratio + below) / B, x0)
    stated = ((B - 1) * (root_ratio - below) + 2 * x0 * f(x0)) / B
    assert simplify(expand(drift - stated)) == 0, "c mu'"
    assert simplify(expand(2 * x0 * diff(minimum / B**2, x0) - 2 * x0 * above / B**2)) == 0, "c nu'"
    assert simplify(c * diff((c * B) ** 2, c) - 2 * (c * B) ** 2) == 0, "c dx0/dc = 2 x0"


def prove_gaussian() -> None:
    """E[z | r] = (v/s^2) r, and Cauchy-Schwarz.

    Raises:
        AssertionError: if a step fails.
    """
    z = Symbol("z", real=True)
    q = Symbol("q", real=True)  # the residual
    density = lambda x, square: exp(-(x**2) / (2 * square)) / sqrt(2 * pi * square)  # noqa: E731
    total = v + sigma**2
    given = density(z, v) * density(q - z, sigma**2) / density(q, total)  # law of z given r
    stated = density(z - v * q / total, v * sigma**2 / total)
    assert simplify(expand(simplify(log(given / stated)), force=True)) == 0, "E[z | r] = v r/(v + sigma^2)"
    inner, psi2, r2 = symbols("inner psi2 r2", positive=True)  # E <psi, r>, E |psi|^2, E |r|^2
    ccc = (inner / (B * s**2)) ** 2 / (psi2 / B**2) * (r2 / B**2)
    assert simplify(ccc.subs(r2, B * s**2) - inner**2 / (psi2 * B * s**2)) == 0, "CCC = (E<psi,r>)^2/(E|psi|^2 E|r|^2)"


def check() -> None:
    """A root of the condition is a maximum of mu^2/nu for Student t with 3 degrees of freedom at v = 0; clipping
    Gaussian residuals gains nothing.

    Raises:
        AssertionError: if a value differs.
    """
    with mpmath.workdps(30):
        student = lambda x: 12 * mpmath.sqrt(3) / (mpmath.pi * (3 + x**2) ** 2)  # noqa: E731
        mass = lambda y: mpmath.quad(student, [0, y])  # noqa: E731
        square = lambda y: mpmath.quad(lambda x: x**2 * student(x), [0, y]) + y**2 * (1 - mass(y))  # noqa: E731
        assert abs(mass(mpmath.inf) - 1) < 1e-20, "a density"
        root = mpmath.findroot(lambda y: student(y) * square(y) - y * mass(y) * (1 - mass(y)), 0.9)
        best = mass(root) ** 2 / square(root)
        for y in (root * (1 - mpmath.mpf(10) ** -5), root * (1 + mpmath.mpf(10) ** -5)):
            assert mass(y) ** 2 / square(y) < best, "the root is a maximum"
        for a in (0.3, 1, 3, 6):
            erf, tail = mpmath.erf(a / mpmath.sqrt(2)), mpmath.erfc(a / mpmath.sqrt(2))
            normal = erf - a * mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-(mpmath.mpf(a) ** 2) / 2) + a**2 * tail
            assert erf**2 / normal < 1, "Gaussian noise: CCC < 1"
