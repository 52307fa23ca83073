"""Clipping and signing a residual with Laplace noise.

Theorem. Let r = s Z + eps, Z standard normal, eps Laplace with scale b; t = s/b, and for u >= 0 with a = u/s
    E_-(u) = e^(t^2/2 - u/b) Phi(a - t),     E_+(u) = e^(t^2/2 + u/b) Phi(-a - t).
Then the density of r is p(u) = (E_- + E_+)/(2 b), and with kappa = c/b, a = c/s, at u = c
    mu = P(|r| <= c)     = erf(a/sqrt2) - (E_- - E_+),
    nu = E min(r^2, c^2) = nu_normal(s^2, c) + 2 b^2 W,     W = mu - kappa (E_- + E_+) = mu - 2 c p(c).

Three forms serve where these cancel.
 (i)  a < 1/2: Gauss-Legendre of mu = 2 int_0^c p du and b^2 W = int_0^c u (E_- - E_+) du, smooth on the scale s > 2 c.
 (ii) a >= 1/2, kappa < 1/2: with J = int_0^t 2 phi(a) e^(-x^2/2) sinh(a x) dx, all terms being positive,
          mu = J - Phi(a - t) expm1(t^2/2 - kappa) + Phi(-a - t) expm1(t^2/2 + kappa),
          W  = J + Phi(a - t) [h(kappa) - q (1 + kappa) e^(-kappa)] - Phi(-a - t) [h(-kappa) - q (1 - kappa) e^kappa],
      q = expm1(t^2/2), h(x) = 1 - (1 + x) e^(-x) = x^2 sum_n (-x)^n/(n! (n + 2)).
 (iii) E_-+ through erfcx where their exponentials would overflow: E_-+ = e^(-a^2/2) erfcx((t -+ a)/sqrt2)/2.

Proof. p solves p - b^2 p'' = N(0, s^2) density, is even and smooth and vanishes at infinity, as does the density of r
(its characteristic function is e^(-s^2 k^2/2)/(1 + b^2 k^2)); the bounded solution is unique. mu' = 2 p(c), nu' = 2 c
(1 - mu), both vanish at 0.
"""

from __future__ import annotations

import mpmath
from sympy import (
    Expr,
    Integer,
    Rational,
    diff,
    erf,
    erfc,
    exp,
    expand,
    factorial,
    lambdify,
    limit,
    pi,
    series,
    simplify,
    sinh,
    sqrt,
    symbols,
)
from sympy.codegen.cfunctions import expm1

from derivations import normal
from derivations.printer import Assignments, erfcx, plain

u, s, b, c = symbols("u s b c", positive=True)
a, t, kappa, x, w = symbols("a t kappa x w", positive=True)
mu, minus, plus, tilt, lean, rise, q, inner, outer, nu0 = symbols("mu minus plus tilt lean rise q inner outer nu0")

ORDER = 13  # terms of the series of h on |x| < 1/2: the next one is below 1e-15 of the sum


def phi(y: Expr) -> Expr:
    """Standard normal density."""
    return exp(-(y**2) / 2) / sqrt(2 * pi)


def cdf(y: Expr) -> Expr:
    """Standard normal distribution function."""
    return erfc(-y / sqrt(2)) / 2


E_MINUS = exp(s**2 / (2 * b**2) - u / b) * cdf(u / s - s / b)
E_PLUS = exp(s**2 / (2 * b**2) + u / b) * cdf(-u / s - s / b)
DENSITY = (E_MINUS + E_PLUS) / (2 * b)
MU = erf(u / (s * sqrt(2))) - E_MINUS + E_PLUS
NU_NORMAL = normal.NU.subs({normal.m: 0, normal.c: u, normal.s: s})
NU = NU_NORMAL + 2 * b**2 * (MU - 2 * u * DENSITY)
SERIES = [Rational((-1) ** n) / (factorial(n) * (n + 2)) for n in range(ORDER)]


def horner(coefficients: list[Expr], variable: Expr) -> Expr:
    """The polynomial with these coefficients, lowest first, nested."""
    total: Expr = Integer(0)
    for coefficient in reversed(coefficients):
        total = total * variable + coefficient
    return total


def prove() -> None:
    """The differential equation of the density, the derivatives of the results, the regroupings.

    Raises:
        AssertionError: if a step fails.
    """
    assert expand(simplify(DENSITY - b**2 * diff(DENSITY, u, 2) - phi(u / s) / s)) == 0, "p - b^2 p'' = phi(u/s)/s"
    assert simplify(diff(DENSITY, u).subs(u, 0)) == 0, "p is even and smooth: p'(0) = 0"
    assert limit(DENSITY.subs({s: 1, b: 1}), u, 100) < exp(-98), "p vanishes at infinity"
    assert expand(simplify(diff(MU, u) - 2 * DENSITY)) == 0, "mu' = 2 p"
    assert simplify(MU.subs(u, 0)) == 0, "mu = 0 at c = 0"
    assert expand(simplify((diff(NU, u) - 2 * u * (1 - MU)).rewrite(erf))) == 0, "nu' = 2 c (1 - mu)"
    assert simplify(NU.subs(u, 0)) == 0, "nu = 0 at c = 0"
    prove_regroupings()


def prove_regroupings() -> None:
    """Forms (i), (ii) and (iii).

    Raises:
        AssertionError: if a step fails.
    """
    weighted = b**2 * (MU - 2 * u * DENSITY)
    assert expand(simplify(diff(weighted, u) - u * (E_MINUS - E_PLUS))) == 0, "(b^2 W)' = u (E_- - E_+)"
    difference = erf(a / sqrt(2)) - cdf(a - t) + cdf(-a - t)
    slope = 2 * phi(a) * exp(-(t**2) / 2) * sinh(a * t)
    assert simplify((diff(difference, t) - slope).rewrite(exp)) == 0, "J' = 2 phi(a) e^(-t^2/2) sinh(a t)"
    assert simplify(difference.subs(t, 0).rewrite(erf)) == 0, "J = 0 at t = 0"
    left, right, below, above, whole = symbols("left right below above whole")
    j = whole - left + right  # left = Phi(a - t), right = Phi(-a - t), whole = erf(a/sqrt2)
    direct = whole - below * left + above * right  # below, above = e^(t^2/2 -+ kappa)
    assert expand(direct - (j - left * (below - 1) + right * (above - 1))) == 0, "mu regrouped"
    second = direct - kappa * (below * left + above * right)
    square = exp(t**2 / 2)
    bracket = left * (h_closed(kappa) - (square - 1) * (1 + kappa) * exp(-kappa)) - right * (
        h_closed(-kappa) - (square - 1) * (1 - kappa) * exp(kappa)
    )
    exact = second.subs({below: square * exp(-kappa), above: square * exp(kappa)})
    assert expand(exact - j - bracket) == 0, "W regrouped"
    found = series(h_closed(kappa), kappa, 0, ORDER + 2).removeO()
    assert expand(found - kappa**2 * horner(SERIES, kappa)) == 0, "series of h"
    for sign, value in ((-1, E_MINUS), (1, E_PLUS)):
        scaled = exp(-((u / s) ** 2) / 2) * erfcx((s / b + sign * u / s) / sqrt(2)) / 2
        assert simplify(plain(scaled) - value) == 0, "E_-+ by erfcx"


def h_closed(y: Expr) -> Expr:
    """h(y) = 1 - (1 + y) e^(-y)."""
    return 1 - (1 + y) * exp(-y)


def check() -> None:
    """Compare density, mu and nu with the convolution integral.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    for point in (("0.5", "0.7", "0.4"), ("1.3", "0.2", "1.1")):
        with mpmath.workdps(20):
            compare(*map(mpmath.mpf, point))


def compare(level: mpmath.mpf, std: mpmath.mpf, scale: mpmath.mpf) -> None:
    """The results at one point against the mean of the normal ones over the noise.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    clip_mu, clip_nu = (lambdify((normal.m, normal.c, normal.s), e, "mpmath") for e in (normal.MU, normal.NU))
    conditional = (
        lambda e: mpmath.npdf(level - e, 0, std),
        lambda e: clip_mu(e, level, std),
        lambda e: clip_nu(e, level, std),
    )
    edges = [-40 * scale, -3 * std, -std, 0, std, 3 * std, 40 * scale]
    for closed, f in zip((DENSITY, MU, NU), conditional):
        expected = mpmath.quad(lambda e, f=f: mpmath.exp(-abs(e) / scale) / (2 * scale) * f(e), edges)
        assert abs(lambdify((u, s, b), closed, "mpmath")(level, std, scale) - expected) < 1e-12, "Laplace noise"


FORMULAS: dict[str, Assignments] = {
    "laplace_plus": {"plus": exp(-(a**2) / 2) * erfcx(rise) / 2},
    "laplace_minus": {"minus": exp(-(a**2) / 2) * erfcx(lean) / 2},
    "laplace_minus_far": {"minus": exp(t * (t / 2 - a)) * erfc(lean) / 2},
    "laplace_slopes": {"lean": (t - a) / sqrt(2), "rise": (t + a) / sqrt(2)},
    "laplace_point": {"mu": -expm1(-kappa)},
    "laplace_density": {"value": (minus + plus) / (2 * b)},
    "laplace_small": {"mu": 2 * kappa * inner, "nu": nu0 + 4 * c**2 * outer},
    "laplace_mu": {"mu": erf(a / sqrt(2)) - (minus - plus)},
    "laplace_nu": {"nu": nu0 + 2 * b**2 * (mu - kappa * (minus + plus))},
    "laplace_h": {"value": x**2 * horner(SERIES, x)},
    "laplace_j_node": {"value": exp(-((t * x) ** 2) / 2) * sinh(kappa * x)},
    "laplace_near": {
        "mu": tilt - inner * expm1(t * (t / 2 - a)) + outer * expm1(t * (t / 2 + a)),
    },
    "laplace_near_nu": {
        "nu": nu0
        + 2
        * b**2
        * (tilt + inner * (lean - q * (1 + kappa) * exp(-kappa)) - outer * (rise - q * (1 - kappa) * exp(kappa))),
    },
    "laplace_near_parts": {
        "tilt": tilt * t * sqrt(2 / pi) * exp(-(a**2) / 2),
        "inner": erfc(lean) / 2,
        "outer": erfc(rise) / 2,
        "q": expm1(t**2 / 2),
    },
}

KERNELS = '''
@jit("UniTuple(float64, 2)(float64, float64)")
def _laplace_parts(a: float, t: float) -> tuple[float, float]:
    """E_- and E_+ of derivations/laplace.py for a = u/s >= 0, t = s/b; neither overflows."""
    <<laplace_slopes>>
    <<laplace_plus>>
    if a > t:
        <<laplace_minus_far>>
    else:
        <<laplace_minus>>
    return minus, plus


@jit("float64(float64)")
def _laplace_h(x: float) -> float:
    """1 - (1 + x) e^(-x) for |x| < 1/2, by its series."""
    <<laplace_h>>
    return value


@jit("float64(float64, float64, float64)")
def density_laplace(u: float, v: float, b: float) -> float:
    """Density at u of N(0, v) + Laplace with scale b.

    p(u) = [e^(t^2/2 - u/b) Phi(u/s - t) + e^(t^2/2 + u/b) Phi(-u/s - t)]/(2 b),  s = sqrt(v), t = s/b, u >= 0.

    Args:
        u: any real number. v: variance of the Gaussian part, >= 0. b: scale of the Laplace part, >= 0.
    Source:
        derivations/laplace.py.
    """
    if b == 0.0:
        return density_normal(u, v, 0.0)
    u = abs(u)
    if v == 0.0:
        return exp(-u / b) / (2.0 * b)
    s = sqrt(v)
    minus, plus = _laplace_parts(u / s, s / b)
    <<laplace_density>>
    return value


@jit("UniTuple(float64, 2)(float64, float64, float64)")
def clip_laplace(v: float, c: float, b: float) -> tuple[float, float]:
    """Responses of the residual clipped at c, r ~ N(0, v) + Laplace with scale b.

    mu = erf(c/sqrt(2 v)) - (E_- - E_+),  nu = nu_normal + 2 b^2 [mu - (c/b)(E_- + E_+)],
    E_- = e^(t^2/2 - c/b) Phi(c/s - t),  E_+ = e^(t^2/2 + c/b) Phi(-c/s - t),  s = sqrt(v), t = s/b.

    Args:
        v: variance of the Gaussian part, >= 0. c: clip threshold, >= 0, inf allowed. b: scale of the Laplace part, >=
        0.
    Returns:
        (mu, nu).
    Source:
        derivations/laplace.py; where the closed form cancels, c < s/2 or c < b/2, its regroupings (i), (ii).
    """
    if b == 0.0:
        return clip_normal(v, c, 0.0)
    if c == inf:
        return 1.0, v + 2.0 * b * b
    if c == 0.0:
        return 0.0, 0.0
    kappa = c / b
    if v == 0.0:
        <<laplace_point>>
        return mu, 2.0 * b * b * (_laplace_h(kappa) if kappa < 0.5 else mu - kappa * exp(-kappa))
    s = sqrt(v)
    a, t = c / s, s / b
    nu0 = clip_normal(v, c, 0.0)[1]
    if a < 0.5:
        inner, outer = 0.0, 0.0
        for i in range(NODES):
            minus, plus = _laplace_parts(a * NODE[i], t)
            inner += WEIGHT[i] * (minus + plus) / 2.0
            outer += WEIGHT[i] * NODE[i] * (minus - plus) / 2.0
        <<laplace_small>>
        return mu, nu
    if kappa < 0.5:
        tilt = 0.0
        for i in range(NODES):
            x = NODE[i]
            <<laplace_j_node>>
            tilt += WEIGHT[i] * value
        <<laplace_slopes>>
        <<laplace_near_parts>>
        <<laplace_near>>
        lean, rise = _laplace_h(kappa), _laplace_h(-kappa)
        <<laplace_near_nu>>
        return mu, nu
    minus, plus = _laplace_parts(a, t)
    <<laplace_mu>>
    <<laplace_nu>>
    return mu, nu
'''
