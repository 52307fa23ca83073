"""Clipping a Gaussian residual.

Theorem. Let r ~ N(m, s^2) with density p, and c > 0. Then
    mu = P(|r| <= c)      = [erf((c - m)/(s sqrt2)) + erf((c + m)/(s sqrt2))]/2,
    nu = E min(r^2, c^2)  = c^2 P(|r| > c) + (s^2 + m^2) mu - s [(c + m) phi((c - m)/s) + (c - m) phi((c + m)/s)],
    kappa = E min(r^4, c^4) = c^4 P(|r| > c) + (m^4 + 6 m^2 s^2 + 3 s^4) mu - s^2 [g(c) p(c) - g(-c) p(-c)],
                              g(u) = u^3 + m u^2 + (m^2 + 3 s^2) u + m^3 + 5 m s^2.
They are sums over positive integrands on [0, c], u^k (p(u) + p(-u)), which is how they are computed where the closed
forms cancel (c below half a standard deviation).

Proof. d mu/dc = p(c) + p(-c), d nu/dc = 2 c (1 - mu), d kappa/dc = 4 c^3 (1 - mu), and all vanish at c = 0.
Sources of the point mass, eps = e: s^2 = v, m = -e. Gaussian eps: s^2 = v + sigma^2, m = 0.
"""

from __future__ import annotations

import mpmath
from sympy import Expr, cosh, diff, erf, erfc, exp, lambdify, pi, simplify, sqrt, symbols

from derivations.printer import Assignments

u, m = symbols("u m", real=True)
c, s = symbols("c s", positive=True)
x, y, below, mu, tail, a, k, g, h, s2 = symbols("x y below mu tail a k g h s2", real=True)

DENSITY = exp(-((u - m) ** 2) / (2 * s**2)) / (s * sqrt(2 * pi))
BELOW, ABOVE = (c - m) / (s * sqrt(2)), (c + m) / (s * sqrt(2))
MU = (erf(BELOW) + erf(ABOVE)) / 2
TAIL = (erfc(BELOW) + erfc(ABOVE)) / 2
INSIDE = (s**2 + m**2) * MU - s * ((c + m) * exp(-(BELOW**2)) + (c - m) * exp(-(ABOVE**2))) / sqrt(2 * pi)
NU = c**2 * TAIL + INSIDE
EDGE = u**3 + m * u**2 + (m**2 + 3 * s**2) * u + m**3 + 5 * m * s**2
UPPER, LOWER = EDGE.subs(u, c), EDGE.subs(u, -c)
INSIDE_4 = (m**4 + 6 * m**2 * s**2 + 3 * s**4) * MU - s * (UPPER * exp(-(BELOW**2)) - LOWER * exp(-(ABOVE**2))) / sqrt(
    2 * pi
)
KAPPA = c**4 * TAIL + INSIDE_4


def both(value: Expr) -> Expr:
    """p(c) + p(-c) for the density p, as a function of c."""
    return value.subs(u, c) + value.subs(u, -c)


def prove() -> None:
    """Differentiate the stated results in c, and compare at c = 0.

    Raises:
        AssertionError: if a step fails.
    """
    assert simplify(diff(MU, c) - both(DENSITY)) == 0, "mu' = p(c) + p(-c)"
    assert simplify(MU.subs(c, 0)) == 0, "mu = 0 at c = 0"
    assert simplify(MU + TAIL - 1).rewrite(erf).simplify() == 0, "the tail is 1 - mu"
    assert simplify(diff(INSIDE, c) - c**2 * both(DENSITY)) == 0, "(E r^2; |r| <= c)' = c^2 (p(c) + p(-c))"
    assert simplify(INSIDE.subs(c, 0)) == 0, "E (r^2; |r| <= c) = 0 at c = 0"
    assert simplify((diff(NU, c) - 2 * c * (1 - MU)).rewrite(erf)) == 0, "nu' = 2 c (1 - mu)"
    assert simplify(diff(INSIDE_4, c) - c**4 * both(DENSITY)) == 0, "(E r^4; |r| <= c)' = c^4 (p(c) + p(-c))"
    assert simplify(INSIDE_4.subs(c, 0)) == 0, "E (r^4; |r| <= c) = 0 at c = 0"
    assert simplify((diff(KAPPA, c) - 4 * c**3 * (1 - MU)).rewrite(erf)) == 0, "kappa' = 4 c^3 (1 - mu)"
    even = exp(-(u**2 + m**2) / (2 * s**2)) * cosh(u * m / s**2) * 2 / (s * sqrt(2 * pi))
    assert simplify((DENSITY + DENSITY.subs(u, -u) - even).rewrite(exp)) == 0, "p(u) + p(-u) is even and positive"


def check() -> None:
    """Compare with adaptive quadrature.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    for point in ((0.0, 0.5, 0.7), (0.3, 1.0, 0.4), (-1.2, 0.6, 0.5), (2.0, 3.0, 1.0)):
        with mpmath.workdps(20):
            compare(*point)


def compare(centre: float, level: float, std: float) -> None:
    """mu, nu and kappa at one point against quadrature.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    density, mu_closed, nu_closed, kappa = (lambdify((u, m, c, s), e, "mpmath") for e in (DENSITY, MU, NU, KAPPA))
    inside = mpmath.quad(lambda y: density(y, centre, level, std), [-level, 0, level])
    second = mpmath.quad(lambda y: y**2 * density(y, centre, level, std), [-level, 0, level])
    assert abs(inside - mu_closed(0, centre, level, std)) < 1e-12, "mu of the normal residual"
    expected = second + level**2 * (1 - inside)
    assert abs(expected - nu_closed(0, centre, level, std)) < 1e-12, "nu of the normal residual"
    fourth = mpmath.quad(lambda y: y**4 * density(y, centre, level, std), [-level, 0, level]) + level**4 * (1 - inside)
    assert abs(fourth - kappa(0, centre, level, std)) < 1e-12, "kappa of the normal residual"


FORMULAS: dict[str, Assignments] = {
    "normal_density": {"value": exp(-((u - m) ** 2) / (2 * s2)) / sqrt(2 * pi * s2)},
    "normal_node": {"weight": (exp(-((a * x - k) ** 2) / 2) + exp(-((a * x + k) ** 2) / 2)) / 2},
    "normal_small": {"mu": a * sqrt(2 / pi) * g, "nu": c**2 * (1 - a * sqrt(2 / pi) * (g - h))},
    "normal_arguments": {"x": BELOW, "y": ABOVE},
    "normal_tail": {"tail": (erfc(x) + erfc(y)) / 2},
    "normal_mu_wide": {"mu": (erf(x) + erf(y)) / 2},
    "normal_mu_narrow": {"mu": (erfc(below) - erfc(y)) / 2},
    "normal_nu": {
        "nu": c**2 * tail + (s2 + m**2) * mu - s * ((c + m) * exp(-(x**2)) + (c - m) * exp(-(y**2))) / sqrt(2 * pi)
    },
    "normal_small_fourth": {"kappa": c**4 * (1 - a * sqrt(2 / pi) * (g - h))},
    "normal_fourth": {
        "kappa": c**4 * tail
        + (m**4 + 6 * m**2 * s2 + 3 * s2**2) * mu
        - s * (UPPER.subs(s, sqrt(s2)) * exp(-(x**2)) - LOWER.subs(s, sqrt(s2)) * exp(-(y**2))) / sqrt(2 * pi)
    },
}

KERNELS = '''
@jit("float64(float64, float64, float64)")
def density_normal(u: float, s2: float, m: float) -> float:
    """Density at u of N(m, s2); of a point mass where s2 = 0."""
    if s2 == 0.0:
        return inf if u == m else 0.0
    <<normal_density>>
    return value


@jit("UniTuple(float64, 2)(float64, float64, float64)")
def clip_normal(s2: float, c: float, m: float) -> tuple[float, float]:
    """Responses of the residual clipped at c for r ~ N(m, s2).

    mu = P(|r| <= c) = [erf(x) + erf(y)]/2,  x = (c - m)/sqrt(2 s2), y = (c + m)/sqrt(2 s2),
    nu = E min(r^2, c^2) = c^2 (1 - mu) + (s2 + m^2) mu - sqrt(s2/(2 pi)) [(c + m) e^(-x^2) + (c - m) e^(-y^2)].
    Noise with one value e: s2 = v, m = -e. Gaussian noise: s2 = v + sigma^2, m = 0.

    Args:
        s2: variance of the residual, >= 0. c: clip threshold, >= 0, inf allowed. m: mean of the residual.
    Returns:
        (mu, nu).
    Source:
        derivations/normal.py. Where c < sqrt(s2)/2 the closed form cancels: Gauss-Legendre over [0, c] there.
    """
    m = abs(m)
    if c == inf:
        return 1.0, s2 + m * m
    if c == 0.0:
        return 0.0, 0.0
    if s2 == 0.0:
        return (1.0, m * m) if m <= c else (0.0, c * c)
    s = sqrt(s2)
    a, k = c / s, m / s
    if a < 0.5 and a * k < 4.5:
        g, h = 0.0, 0.0
        for i in range(NODES):
            x = NODE[i]
            <<normal_node>>
            g += WEIGHT[i] * weight
            h += WEIGHT[i] * x * x * weight
        <<normal_small>>
        return mu, nu
    <<normal_arguments>>
    <<normal_tail>>
    if m <= c:
        <<normal_mu_wide>>
    else:
        below = -x
        <<normal_mu_narrow>>
    if tail == 0.0:
        return 1.0, s2 + m * m
    if mu == 0.0:
        return 0.0, c * c
    <<normal_nu>>
    return mu, nu


@jit("float64(float64, float64, float64)")
def clip_fourth_normal(s2: float, c: float, m: float) -> float:
    """kappa = E min(r^4, c^4) for r ~ N(m, s2).

    kappa = c^4 P(|r| > c) + (m^4 + 6 m^2 s2 + 3 s2^2) mu - s2 [g(c) p(c) - g(-c) p(-c)],
    g(u) = u^3 + m u^2 + (m^2 + 3 s2) u + m^3 + 5 m s2.

    Args:
        s2: variance of the residual, >= 0. c: clip threshold, >= 0, inf allowed. m: mean of the residual.
    Returns:
        kappa.
    Source:
        derivations/normal.py. Where c < sqrt(s2)/2 the closed form cancels: Gauss-Legendre over [0, c] there.
    """
    m = abs(m)
    if c == inf:
        return m**4 + 6 * m * m * s2 + 3 * s2 * s2
    if c == 0.0:
        return 0.0
    if s2 == 0.0:
        return m**4 if m <= c else c**4
    s = sqrt(s2)
    a, k = c / s, m / s
    if a < 0.5 and a * k < 4.5:
        g, h = 0.0, 0.0
        for i in range(NODES):
            x = NODE[i]
            <<normal_node>>
            g += WEIGHT[i] * weight
            h += WEIGHT[i] * x**4 * weight
        <<normal_small_fourth>>
        return kappa
    <<normal_arguments>>
    <<normal_tail>>
    mu = clip_normal(s2, c, m)[0]
    if tail == 0.0:
        return m**4 + 6 * m * m * s2 + 3 * s2 * s2
    if mu == 0.0:
        return c**4
    <<normal_fourth>>
    return kappa
'''
