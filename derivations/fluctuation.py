"""The moments of one step that the spread of runs needs, and the third-order drift of sign features.

Theorem. Gaussian z with variance v, r = z - eps, a step with H = (1/B) sum psi_j z_j and N = (1/B^2) sum psi_j^2.
One sample: E psi^2 z^2 = v nu + v^2 nu2, nu2 = E (psi^2)'' = 2 dnu/dv, and E psi^3 z = v E (psi^3)'; for the clip at c,
E (psi^3)' = 3 [nu - c^2 (1 - mu)].
Identity: E r^3 z = 3 v E r^2 and E r^4 = 3 v^2 + 6 v E eps^2 + E eps^4 for centred eps of any shape.
Clip of the mean of B: psi = f(S) r, f = min(1, sqrt(x0/S)), S = sum r_j^2,
    E H N = (v/B^3) {(B + 2) E [S; S < x0] + (B - 1) x0^(3/2) E [S^(-1/2); S > x0]},   E N^2 = E min(S, x0)^2/B^4.
Sign of the mean: E <r, z>^2/S = v + v^2 (B - 1)(B - 2) E 1/S.
Sign features: x_i has correlation rho with <x, delta>; to third order in rho
    E sign(x_i) psi = sqrt(2/pi) rho sqrt(v) [mu + rho^2 (B - 2) v mu'(v)/3].

Proof. Stein's identity on each entry, E z_i h = v E d_i h; the heat equation, d/dv E h = (1/2) E sum_i d_i^2 h; and
for functions of S alone the divergence div(r g) = B g + 2 S g'. For the last line, given (r, z) the mean gradient in
coordinate i is normal with mean proportional to rho t, t = <r, z>/sqrt(v S), so that E sign = sqrt(2/pi) [rho t + rho^3
(t/2 - t^3/6)] to third order; B = 1 is t = sign(r) z/sqrt(v).
"""

from __future__ import annotations

import mpmath
from sympy import Expr, Function, Rational, binomial, diff, erf, exp, factor, pi, series, simplify, sqrt, symbols

v, S, x0, B, rho, t = symbols("v S x0 B rho t", positive=True)
z, shift = symbols("z shift", real=True)
mu, second, third, fourth, slope = symbols("mu second third fourth slope")


def divergence(g: Expr) -> Expr:
    """sum_i d_i (r_i g(S)) over B entries."""
    return B * g + 2 * S * diff(g, S)


def prove() -> None:
    """One sample, the identity, the batch, sign features.

    Raises:
        AssertionError: if a step fails.
    """
    h, normal = Function("h")(z + shift), exp(-(z**2) / (2 * v)) / sqrt(2 * pi * v)
    heat = diff(normal, v) - diff(normal, z, 2) / 2
    assert simplify(heat) == 0, "d/dv E h = E h''/2, hence nu2 = 2 dnu/dv"
    assert simplify(diff(-v * h * normal, z) - (z * h - v * diff(h, z)) * normal) == 0, "E z h = v E h'"
    moments = {0: 1, 1: 0, 2: v, 3: 0, 4: 3 * v**2}
    noise = {0: 1, 1: 0, 2: second, 3: third, 4: fourth}

    def expectation(power: int, times: int) -> Expr:
        """E r^power z^times for r = z - eps."""
        terms = (binomial(power, k) * (-1) ** k * noise[k] * moments[power - k + times] for k in range(power + 1))
        return sum(terms)

    assert simplify(expectation(3, 1) - 3 * v * expectation(2, 0)) == 0, "E r^3 z = 3 v E r^2"
    assert simplify(expectation(4, 0) - (3 * v**2 + 6 * v * second + fourth)) == 0, "E r^4"
    prove_batch()
    prove_sign()


def prove_batch() -> None:
    """Divergences of radial fields; all of them are continuous where they are differentiated.

    Raises:
        AssertionError: if a step fails.
    """
    beyond = x0 ** Rational(3, 2) / sqrt(S)  # f^3 S above x0, S below
    assert simplify(divergence(S) - (B + 2) * S) == 0 and beyond.subs(S, x0) == x0, "E <r, z> f^3 S below x0"
    assert simplify(divergence(beyond) - (B - 1) * beyond) == 0, "above x0"
    square = divergence(1 / S) + 1 / S  # sum_j d_j (r_i r_j/S) = r_i ((B + 1)/S - 2/S)
    assert simplify(divergence(square) - (B - 1) * (B - 2) / S) == 0, "sum_ij d_i d_j (r_i r_j/S)"


def prove_sign() -> None:
    """The expansion of E sign, its third moment by Stein's identity, and mu' by the heat equation.

    Raises:
        AssertionError: if a step fails.
    """
    a = rho * t / sqrt(1 - rho**2)  # mean over deviation of the mean gradient in coordinate i, given (r, z)
    expansion = series(erf(a / sqrt(2)), rho, 0, 4).removeO()
    stated = sqrt(2 / pi) * (rho * t + rho**3 * (t / 2 - t**3 / 6))
    assert simplify(expansion - stated) == 0, "E sign to third order in rho"
    g = S ** Rational(-3, 2)  # E <r, z>^3 S^(-3/2) = 3 v^2 E div(r S^(-1/2)) + v^3 E d_i d_j d_k (r_i r_j r_k g)
    assert simplify(divergence(1 / sqrt(S)) - (B - 1) / sqrt(S)) == 0, "mu = (B - 1) E S^(-1/2)"
    triple = divergence(divergence(divergence(g) + 2 * g) + divergence(g) + 2 * g)
    assert factor(simplify(triple * S ** Rational(3, 2))) == (B - 3) * (B - 2) * (B - 1), "three divergences"
    laplacian = divergence(2 * diff(1 / sqrt(S), S))
    assert simplify(laplacian - (3 - B) * g) == 0, "d/dv E S^(-1/2) = (3 - B) E S^(-3/2)/2"
    root, cubed = symbols("root cubed")  # E S^(-1/2), E S^(-3/2)
    first, derivative = (B - 1) * root, (B - 1) * (3 - B) * cubed / 2
    cube = (3 * v**2 * first + v**3 * (B - 1) * (B - 2) * (B - 3) * cubed) / v**2  # E t^3 over sqrt(v)
    assert simplify(first / 2 - cube / 6 - (B - 2) * v * derivative / 3) == 0, "sign of the mean of B"
    single = 3 * mu + 2 * v * slope  # E t^3 over sqrt(v) for B = 1: (3 v E psi' + v^2 E psi''')/v, E psi''' = 2 mu'
    assert simplify(mu / 2 - single / 6 + v * slope / 3) == 0, "B = 1"


def check() -> None:
    """Sign features of one sample without noise: E sign(x) sign(z) = (2/pi) arcsin rho.

    Raises:
        AssertionError: if the third-order term is off by more than the fifth.
    """
    rate = mpmath.mpf("0.01")
    exact = 2 / mpmath.pi * mpmath.asin(rate)
    drift = mpmath.sqrt(2 / mpmath.pi)  # mu at v = 1; mu' = -mu/2
    found = mpmath.sqrt(2 / mpmath.pi) * rate * (drift + rate**2 * drift / 6)
    assert abs(exact - found) < rate**5, "arcsine to third order"
