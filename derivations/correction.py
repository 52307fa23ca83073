"""The second-order coefficient nu2 of the corrected mean at finite d.

Theorem. For Gaussian x, z = <x, delta>, E [psi(r)^2 x x^T] = nu K + nu2 K delta delta^T K with
    nu2 = E (psi^2)''(r) = [E psi^2 z^2/v - nu]/v.
Clip at c: (psi^2)'' = 2 on |r| < c, and psi^2 has a kink at +-c, where its slope falls from 2 c to 0: with the
density p of r
    nu2 = 2 P(|r| < c) - 2 c [p(c) + p(-c)].
Batch of B iid residuals with law of S = sum r_j^2, psi = f(S) r, f = min(1, sqrt(x0/S)), x0 = (c B)^2:
    nu2 = (1/B^2) E sum_ij d_i d_j (psi_i psi_j) = [E <psi, z>^2/v^2 - E |psi|^2/v]/B^2
        = (1/B^2) {(B^2 + B) P(S < x0) + x0 (B - 1)(B - 2) E [1/S; S > x0] - 4 x0 p_S(x0)},
Gaussian residuals, w = x0/(2 s^2): x0 (B - 2) E [1/S; S > x0] = 2 w Q(B/2 - 1, w), x0 p_S(x0) = w^(B/2)
e^(-w)/Gamma(B/2). SGD: nu2 = 1 + 1/B, and 2 at B = 1.

Proof. Split x into its part along z and a part independent of z; then Stein's identity twice. On S != x0 the
derivatives are those of homogeneous functions; the kink adds [jump of d/dS of f^2] 4 S^2 p_S at S = x0.
"""

from __future__ import annotations

import mpmath
from sympy import (
    Expr,
    Function,
    diff,
    exp,
    gamma,
    gammasimp,
    lambdify,
    limit,
    oo,
    pi,
    simplify,
    sqrt,
    symbols,
)

from derivations import batch
from derivations.printer import gammaincc

v, S, x0, B, w, s2 = symbols("v S x0 B w s2", positive=True)
z, shift = symbols("z shift", real=True)
mu, c, density, inside, beyond, edge = symbols("mu c density inside beyond edge")


def prove() -> None:
    """Stein twice, the decomposition of x, the clip, the batch.

    Raises:
        AssertionError: if a step fails.
    """
    g = Function("g")(z + shift)  # psi^2 as a function of r = z - eps
    normal = exp(-(z**2) / (2 * v)) / sqrt(2 * pi * v)
    flux = -v * (z * g + v * diff(g, z)) * normal
    identity = (z**2 * g - v * g - v**2 * diff(g, z, 2)) * normal
    assert simplify(diff(flux, z) - identity) == 0, "E z^2 g = v E g + v^2 E g'' by an exact derivative"
    # x = K delta z/v + x_perp with x_perp independent of z and covariance K - K delta delta^T K/v
    nu, second = symbols("nu second")  # E psi^2, E psi^2 z^2
    along, across = second / v**2, nu  # coefficients of K delta delta^T K and of the covariance of x_perp
    assert simplify((along - across / v) - (second / v - nu) / v) == 0, "E psi^2 x x^T = nu K + nu2 K delta delta^T K"
    prove_clip()
    prove_batch()


def prove_clip() -> None:
    """E (psi^2)'' of the clip is int min(r^2, c^2) p''(r) dr; by exact derivatives on each half-line.

    Raises:
        AssertionError: if a step fails.
    """
    r, level = symbols("r level", positive=True)
    p = Function("p")
    boundary = r**2 * diff(p(r), r) - 2 * r * p(r)
    assert simplify(diff(boundary, r) - (r**2 * diff(p(r), r, 2) - 2 * p(r))) == 0, "r^2 p'' - 2 p is exact"
    assert boundary.subs(r, 0).doit() == 0, "and vanishes at r = 0"
    beyond = -(level**2) * diff(p(level), level)  # int_c^inf c^2 p'' dr, p' vanishing at infinity
    total = boundary.subs(r, level).doit() + beyond
    assert simplify(total + 2 * level * p(level)) == 0, "half-line: int min(r^2, c^2) p'' = 2 P - 2 c p(c)"


def prove_batch() -> None:
    """Euler's identity twice on S < x0 and S > x0, the kink, the Gaussian closed form, B = 1 and SGD.

    Raises:
        AssertionError: if a step fails.
    """

    def twice(g: Expr, degree: Expr) -> Expr:
        """sum_ij d_i d_j (r_i r_j g(S)), r_i g of that degree: (B + degree) r_i g, then its divergence."""
        return (B + degree) * (B * g + 2 * S * diff(g, S))

    assert simplify(twice(S / S, 1) - (B**2 + B)) == 0, "below the threshold"
    assert simplify(twice(x0 / S, -1) - x0 * (B - 1) * (B - 2) / S) == 0, "above the threshold"
    jump = diff(x0 / S, S).subs(S, x0) - 0
    assert simplify(4 * S**2 * jump).subs(S, x0) == -4 * x0, "the kink of f^2 at S = x0, against (sum_i r_i 2 r_i)^2"
    level = x0 / (2 * s2)
    tail = batch.plain(gammaincc(B / 2 - 1, w)).subs(w, level) * 2 * level
    weighted = (B - 2) * x0 * batch.density(S).subs({batch.S: S, batch.B: B, batch.s2: s2}) / S
    rate = diff(tail / x0, x0) + weighted.subs(S, x0) / x0
    reduced = rate.subs(B, 2 * v + 2).subs(gamma(v + 1), v * gamma(v))
    assert simplify(gammasimp(reduced)) == 0, "x0 (B - 2) E [1/S; S > x0]"
    assert simplify((B**2 + B) / B**2 - (1 + 1 / B)) == 0, "SGD"
    p = Function("p")(c)  # B = 1: S = r^2 has density [p(c) + p(-c)]/(2 c) at c^2
    assert simplify(4 * c**2 * p / (2 * c) - 2 * c * p) == 0, "B = 1 is the clip"
    assert limit(w ** (B / 2).subs(B, 3) * exp(-w), w, oo) == 0, "no kink at infinite threshold"


def check() -> None:
    """Compare with quadrature of [E <psi, z>^2/v^2 - E |psi|^2/v]/B^2 for noise without variance, v = s^2.

    Raises:
        AssertionError: if the result differs by more than 1e-12.
    """
    for point in ((1, "0.8", "0.7"), (2, "0.7", "0.5"), (5, "1.3", "0.6")):
        with mpmath.workdps(20):
            compare(*map(mpmath.mpf, point))


def compare(size: mpmath.mpf, variance: mpmath.mpf, level: mpmath.mpf) -> None:
    """nu2 of one batch against quadrature over the density of S.

    Raises:
        AssertionError: if it differs by more than 1e-12.
    """
    law = lambdify((batch.S, batch.B, batch.s2), batch.density(batch.S), "mpmath")
    top, half = (level * size) ** 2, size / 2
    scaled = top / (2 * variance)
    edges = [0, top / 4, top, 3 * top, 10 * top, 10 * top + 100 * variance]
    first, second = (mpmath.quad(lambda y, k=k: min(1, top / y) * y**k * law(y, size, variance), edges) for k in (1, 2))
    expected = (second / variance**2 - first / variance) / size**2
    below = mpmath.gammainc(half, 0, scaled, regularized=True)
    last = mpmath.gammainc(half - 1, scaled, mpmath.inf, regularized=True) if size > 2 else 0
    kink = scaled**half * mpmath.exp(-scaled) / mpmath.gamma(half)
    found = ((size**2 + size) * below + (size - 1) * 2 * scaled * last - 4 * kink) / size**2
    assert abs(expected - found) < 1e-12, f"nu2 of a batch of {size}"
