"""Clipping and signing a residual with uniform noise.

Theorem. Let r = s Z + eps, eps uniform on (-w, w); alpha = c/s, eta = w/s. Let rho(x) = phi(x) - x Q(x), Q = Phi(-x),
    rho1(x) = int_x^inf rho  = [(1 + x^2) Q(x) - x phi(x)]/2,
    rho2(x) = int_x^inf rho1 = [(2 + x^2) phi(x) - (3 x + x^3) Q(x)]/6.
Then
    p(u) = P(|N(u, s^2)| <= w)/(2 w),
    mu   = [min(alpha, eta) + rho(alpha + eta) - rho(|alpha - eta|)]/eta,
    nu/s^2 = alpha^2 - 2 alpha^3/(3 eta)  (alpha <= eta)
             + (2/eta) {alpha [rho1(eta - alpha) + rho1(eta + alpha)] - rho2(eta - alpha) + rho2(eta + alpha)},
    nu/s^2 = 1 + eta^2/3  (alpha >= eta)
             - (2/eta) {alpha [rho1(alpha - eta) - rho1(alpha + eta)] + rho2(alpha - eta) - rho2(alpha + eta)}.
In mu, alpha and eta enter symmetrically: mu = (1/2 eta) int over [|alpha - eta|, alpha + eta] of erf(x/sqrt2) dx.
The closed forms are used for alpha, eta >= 1/2. Below, positive integrands on a width of half a standard deviation:
mu by the integral just given; nu = c^2 (1 - mu) + 2 int_0^c u^2 p(u) du (alpha < 1/2), or the mean over the noise of
the normal result (eta < 1/2).

Proof. mu' = p(c) + p(-c), nu' = 2 c (1 - mu), both vanish at c = 0; the two branches of nu agree at alpha = eta.
"""

from __future__ import annotations

import mpmath
from sympy import Expr, Rational, diff, erf, lambdify, limit, oo, simplify, sqrt, symbols

from derivations import normal
from derivations.laplace import cdf, phi
from derivations.printer import Assignments

alpha, eta, x, low = symbols("alpha eta x low", positive=True)
rho_far, rho_near, one_far, one_near, two_far, two_near = symbols("rho_far rho_near one_far one_near two_far two_near")
high, node, inner, mu, c, w, s2, k = symbols("high node inner mu c w s2 k")


def rho(y: Expr) -> Expr:
    """rho(y) = phi(y) - y Q(y) = E max(Z - y, 0)."""
    return phi(y) - y * cdf(-y)


def rho1(y: Expr) -> Expr:
    """Integral of rho from y to infinity."""
    return ((1 + y**2) * cdf(-y) - y * phi(y)) / 2


def rho2(y: Expr) -> Expr:
    """Integral of rho1 from y to infinity."""
    return ((2 + y**2) * phi(y) - (3 * y + y**3) * cdf(-y)) / 6


DENSITY = (cdf(alpha + eta) - cdf(alpha - eta)) / (2 * eta)  # times 1/s, at u = alpha s
MU_INSIDE = (alpha + rho(eta + alpha) - rho(eta - alpha)) / eta
MU_OUTSIDE = (eta + rho(alpha + eta) - rho(alpha - eta)) / eta
NU_INSIDE = (
    alpha**2
    - 2 * alpha**3 / (3 * eta)
    + 2 / eta * (alpha * (rho1(eta - alpha) + rho1(eta + alpha)) - rho2(eta - alpha) + rho2(eta + alpha))
)
NU_OUTSIDE = (
    1 + eta**2 / 3 - 2 / eta * (alpha * (rho1(alpha - eta) - rho1(alpha + eta)) + rho2(alpha - eta) - rho2(alpha + eta))
)


def vanishes(value: Expr) -> bool:
    """Whether an expression in erf, erfc and exp is identically zero."""
    return simplify(value.rewrite(erf)).expand().simplify() == 0


def prove() -> None:
    """The repeated integrals, the derivatives of the results in alpha, and their values at 0 and at alpha = eta.

    Raises:
        AssertionError: if a step fails.
    """
    for integral, integrand in ((rho1, rho), (rho2, rho1)):
        assert vanishes(diff(integral(x), x) + integrand(x)), "the repeated integral has the right derivative"
        assert limit(integral(x), x, oo) == 0, "the repeated integral vanishes at infinity"
    for name, result in (("inside", MU_INSIDE), ("outside", MU_OUTSIDE)):
        assert vanishes(diff(result, alpha) - 2 * DENSITY), f"mu' = 2 p {name} the support"
    for name, result, weight in (("inside", NU_INSIDE, MU_INSIDE), ("outside", NU_OUTSIDE, MU_OUTSIDE)):
        assert vanishes(diff(result, alpha) - 2 * alpha * (1 - weight)), f"nu' = 2 c (1 - mu) {name} the support"
    for name, start in (("mu", MU_INSIDE), ("nu", NU_INSIDE)):
        assert vanishes(start.subs(alpha, 0)), f"{name} = 0 at c = 0"
    for name, below, above in (("mu", MU_INSIDE, MU_OUTSIDE), ("nu", NU_INSIDE, NU_OUTSIDE)):
        assert vanishes((below - above).subs(alpha, eta)), f"the branches of {name} agree at c = w"
    average = (x * erf(x / sqrt(2)) + 2 * phi(x)) / (2 * eta)  # antiderivative of erf(x/sqrt2)/(2 eta)
    assert vanishes(diff(average, x) - erf(x / sqrt(2)) / (2 * eta)), "mu as an integral of erf: the antiderivative"
    symmetric = average.subs(x, alpha + eta) - average.subs(x, alpha - eta)
    assert vanishes(symmetric - MU_OUTSIDE), "mu as an integral of erf: its value"


def check() -> None:
    """Compare mu and nu with the mean of the normal results over the noise.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    clip_mu, clip_nu = (lambdify((normal.m, normal.c, normal.s), e, "mpmath") for e in (normal.MU, normal.NU))
    for level, width in ((0.7, 1.9), (1.9, 0.7)):
        chosen = (MU_INSIDE, NU_INSIDE) if level < width else (MU_OUTSIDE, NU_OUTSIDE)
        with mpmath.workdps(20):
            for result, reference in zip(chosen, (clip_mu, clip_nu)):
                expected = mpmath.quad(lambda e: reference(e, level, 1), [0, width]) / width  # noqa: B023
                assert abs(lambdify((alpha, eta), result, "mpmath")(level, width) - expected) < 1e-12, "uniform noise"


FORMULAS: dict[str, Assignments] = {
    "uniform_rho": {"zero": rho(x), "one": rho1(x), "two": rho2(x)},
    "uniform_mu_node": {"value": erf((high + low * (2 * node - 1)) / sqrt(2))},
    "uniform_mu_thin": {"mu": low * inner / eta},
    "uniform_mu": {"mu": (low + rho_far - rho_near) / eta},
    "uniform_density_node": {"value": (erf((eta - x) / sqrt(2)) + erf((eta + x) / sqrt(2))) / (4 * eta)},
    "uniform_nu_small": {"nu": c**2 * (1 - mu + 2 * alpha * inner)},
    "uniform_nu_inside": {
        "nu": c**2 * (1 - Rational(2, 3) * c / w) + 2 * s2 / eta * (alpha * (one_near + one_far) - two_near + two_far),
    },
    "uniform_nu_outside": {
        "nu": w**2 / 3 + s2 * (1 - 2 / eta * (alpha * (one_near - one_far) + two_near - two_far)),
    },
    "uniform_point": {"mu": low / w, "nu": low**2 * (1 - Rational(2, 3) * low / w)},
}

KERNELS = '''
@jit("UniTuple(float64, 3)(float64)")
def _uniform_rho(x: float) -> tuple[float, float, float]:
    """phi(x) - x Q(x) and its first two integrals from x to infinity, x >= 0."""
    if x > 39.0:
        return 0.0, 0.0, 0.0
    <<uniform_rho>>
    return zero, one, two


@jit("float64(float64, float64, float64)")
def density_uniform(u: float, v: float, w: float) -> float:
    """Density at u of N(0, v) + Uniform(-w, w):  P(|N(u, v)| <= w)/(2 w).

    Args:
        u: any real number. v: variance of the Gaussian part, >= 0. w: half width of the uniform part, >= 0.
    Source:
        derivations/uniform.py.
    """
    if w == 0.0:
        return density_normal(u, v, 0.0)
    return clip_normal(v, w, u)[0] / (2.0 * w)


@jit("UniTuple(float64, 2)(float64, float64, float64)")
def clip_uniform(v: float, c: float, w: float) -> tuple[float, float]:
    """Responses of the residual clipped at c, r ~ N(0, v) + Uniform(-w, w).

    With alpha = c/sqrt(v), eta = w/sqrt(v), rho(x) = phi(x) - x Phi(-x):
    mu = [min(alpha, eta) + rho(alpha + eta) - rho(|alpha - eta|)]/eta,  nu = 2 int_0^c u (1 - mu(u)) du.

    Args:
        v: variance of the Gaussian part, >= 0. c: clip threshold, >= 0, inf allowed. w: half width, >= 0.
    Returns:
        (mu, nu).
    Source:
        derivations/uniform.py; Gauss-Legendre of positive integrands where c or w is below sqrt(v)/2.
    """
    if w == 0.0:
        return clip_normal(v, c, 0.0)
    if c == inf:
        return 1.0, v + w * w / 3.0
    if c == 0.0:
        return 0.0, 0.0
    if v == 0.0:
        if c >= w:
            return 1.0, w * w / 3.0
        low = c
        <<uniform_point>>
        return mu, nu
    s, s2 = sqrt(v), v
    alpha, eta = c / s, w / s
    low, high = min(alpha, eta), max(alpha, eta)
    gap = abs(c - w) / s
    if low < 0.5:
        inner = 0.0
        for i in range(NODES):
            node = NODE[i]
            <<uniform_mu_node>>
            inner += WEIGHT[i] * value
        <<uniform_mu_thin>>
    else:
        rho_far, one_far, two_far = _uniform_rho(alpha + eta)
        rho_near, one_near, two_near = _uniform_rho(gap)
        <<uniform_mu>>
    if eta < 0.5:
        nu = 0.0
        for i in range(NODES):
            nu += WEIGHT[i] * clip_normal(v, c, w * NODE[i])[1]
    elif alpha < 0.5:
        inner = 0.0
        for i in range(NODES):
            x = alpha * NODE[i]
            <<uniform_density_node>>
            inner += WEIGHT[i] * NODE[i] * NODE[i] * value
        <<uniform_nu_small>>
    elif alpha <= eta:
        <<uniform_nu_inside>>
    else:
        <<uniform_nu_outside>>
    return mu, nu
'''
