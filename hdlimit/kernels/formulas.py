"""Closed responses, the integrator's tableau, and the formulas as text. GENERATED: never edit, run `python -m
derivations`.

Kernels are compiled for float64 arguments and callable from Python. r = z - eps is the residual, z ~ N(0, v);
mu = P(|r| <= c) and nu = E min(r^2, c^2) for the clip at c, mu = 2 p_r(0) for the sign.
"""
# ruff: noqa: E501, SIM108

from __future__ import annotations

from math import erf, erfc, exp, expm1, gamma, inf, pi, sinh, sqrt
from typing import NamedTuple

import numpy as np

from hdlimit.core.jit import jit
from hdlimit.kernels.special import erfcx, gammainc, gammaincc

# Gauss-Legendre on [0, 1]
NODES = 10
NODE = np.array([0.01304673574141414, 0.06746831665550775, 0.1602952158504878, 0.2833023029353764, 0.4255628305091844, 0.5744371694908156, 0.7166976970646236, 0.8397047841495122, 0.9325316833444922, 0.9869532642585859])
WEIGHT = np.array([0.03333567215434407, 0.0747256745752903, 0.10954318125799102, 0.13463335965499817, 0.14776211235737644, 0.14776211235737644, 0.13463335965499817, 0.10954318125799102, 0.0747256745752903, 0.03333567215434407])

# ESDIRK5(4)7L[2]SA2: A, weights B, embedded weights B_HAT, nodes C; a SECOND error estimate; continuous
# weights b_i(theta) = sum_k DENSE[i][k] theta^(k+1), of order 4 on [0, 1] (derivations/tableau.py)
A: tuple[tuple[float, ...], ...] = (  # (7, 7)
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.184, 0.184, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.22210764773832475, 0.22210764773832475, 0.184, 0.0, 0.0, 0.0, 0.0),
    (-0.014049475381926283, -0.014049475381926283, -0.01709085093586415, 0.184, 0.0, 0.0, 0.0),
    (-0.40838859254931464, -0.40838859254931464, 0.16646399821362964, 1.1662718062895745, 0.184, 0.0, 0.0),
    (-0.5392907235588114, -0.5392907235588114, -0.242234428845425, 1.4888806111225146, 0.5563122281913184, 0.184, 0.0),
    (-0.03946606910974026, -0.03946606910974026, 0.27263649025024267, 0.4321651725202882, 0.3524160862328891, -0.16228561078393952, 0.184),
)
B: tuple[float, ...] = (-0.03946606910974026, -0.03946606910974026, 0.27263649025024267, 0.4321651725202882, 0.3524160862328891, -0.16228561078393952, 0.184)
B_HAT: tuple[float, ...] = (-0.08068946656664744, -0.08068946656664744, 0.18289968461343553, 0.517013873766231, 0.4265997313024543, -0.10432685796713498, 0.13919250141830897)
C: tuple[float, ...] = (0.0, 0.368, 0.6282152954766494, 0.1388101983002833, 0.6999586194045747, 0.9083769633507853, 1.0)
SECOND: tuple[float, ...] = (0.04935391787504549, 0.12983212962465768, -0.11112590184872895, -0.12172491868653548, 0.049176276306700545, -0.00021361946577285655, 0.004702116194633584)
DENSE: tuple[tuple[float, ...], ...] = (  # (7, 4)
    (1.673071663642281, -8.022577831901197, 10.868076396436589, -4.558036297287414),
    (1.673071663642281, -8.022577831901197, 10.868076396436589, -4.558036297287414),
    (-1.250615139641525, 7.051852657944364, -9.261313935963184, 3.732712907910586),
    (-1.635632305393452, 13.002805261527838, -19.370052916794165, 8.435045133180068),
    (0.5034132522680689, -4.459092557257198, 8.817609702641747, -4.509514311419728),
    (-0.08675025054765916, 1.2126324483123292, -2.814156588117439, 1.5259887795688294),
    (0.1234411160300051, -0.7630421467249392, 0.8917609453598632, -0.06815991466492903),
)


@jit("float64(float64, float64, float64)")
def density_normal(u: float, s2: float, m: float) -> float:
    """Density at u of N(m, s2); of a point mass where s2 = 0."""
    if s2 == 0.0:
        return inf if u == m else 0.0
    value = (1/2)*sqrt(2)*exp(-1/2*(-m + u)**2/s2)/(sqrt(pi)*sqrt(s2))
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
            t0 = a*x
            weight = (1/2)*exp(-1/2*(k + t0)**2) + (1/2)*exp(-1/2*(-k + t0)**2)
            g += WEIGHT[i] * weight
            h += WEIGHT[i] * x * x * weight
        t0 = sqrt(2)*a/sqrt(pi)
        mu = g*t0
        nu = c**2*(-t0*(g - h) + 1)
        return mu, nu
    t0 = (1/2)*sqrt(2)/s
    x = t0*(c - m)
    y = t0*(c + m)
    tail = (1/2)*erfc(x) + (1/2)*erfc(y)
    if m <= c:
        mu = (1/2)*erf(x) + (1/2)*erf(y)
    else:
        below = -x
        mu = (1/2)*erfc(below) - 1/2*erfc(y)
    if tail == 0.0:
        return 1.0, s2 + m * m
    if mu == 0.0:
        return 0.0, c * c
    nu = c**2*tail + mu*(m**2 + s2) - 1/2*sqrt(2)*s*((c - m)*exp(-y**2) + (c + m)*exp(-x**2))/sqrt(pi)
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
            t0 = a*x
            weight = (1/2)*exp(-1/2*(k + t0)**2) + (1/2)*exp(-1/2*(-k + t0)**2)
            g += WEIGHT[i] * weight
            h += WEIGHT[i] * x**4 * weight
        kappa = c**4*(-sqrt(2)*a*(g - h)/sqrt(pi) + 1)
        return kappa
    t0 = (1/2)*sqrt(2)/s
    x = t0*(c - m)
    y = t0*(c + m)
    tail = (1/2)*erfc(x) + (1/2)*erfc(y)
    mu = clip_normal(s2, c, m)[0]
    if tail == 0.0:
        return m**4 + 6 * m * m * s2 + 3 * s2 * s2
    if mu == 0.0:
        return c**4
    t0 = m**2
    t1 = c**3
    t2 = c*(3*s2 + t0)
    t3 = c**2*m + m**3 + 5*m*s2
    kappa = c**4*tail + mu*(m**4 + 3*s2**2 + 6*s2*t0) - 1/2*sqrt(2)*s*(-(-t1 - t2 + t3)*exp(-y**2) + (t1 + t2 + t3)*exp(-x**2))/sqrt(pi)
    return kappa


@jit("UniTuple(float64, 2)(float64, float64)")
def _laplace_parts(a: float, t: float) -> tuple[float, float]:
    """E_- and E_+ of derivations/laplace.py for a = u/s >= 0, t = s/b; neither overflows."""
    t0 = (1/2)*sqrt(2)
    lean = t0*(-a + t)
    rise = t0*(a + t)
    plus = (1/2)*exp(-1/2*a**2)*erfcx(rise)
    if a > t:
        minus = (1/2)*exp(t*(-a + (1/2)*t))*erfc(lean)
    else:
        minus = (1/2)*exp(-1/2*a**2)*erfcx(lean)
    return minus, plus


@jit("float64(float64)")
def _laplace_h(x: float) -> float:
    """1 - (1 + x) e^(-x) for |x| < 1/2, by its series."""
    value = x**2*(x*(x*(x*(x*(x*(x*(x*(x*(x*(x*(x*((1/6706022400)*x - 1/518918400) + 1/43545600) - 1/3991680) + 1/403200) - 1/45360) + 1/5760) - 1/840) + 1/144) - 1/30) + 1/8) - 1/3) + 1/2)
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
    value = (1/2)*(minus + plus)/b
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
        mu = -expm1(-kappa)
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
        mu = 2*inner*kappa
        nu = 4*c**2*outer + nu0
        return mu, nu
    if kappa < 0.5:
        tilt = 0.0
        for i in range(NODES):
            x = NODE[i]
            value = exp(-1/2*t**2*x**2)*sinh(kappa*x)
            tilt += WEIGHT[i] * value
        t0 = (1/2)*sqrt(2)
        lean = t0*(-a + t)
        rise = t0*(a + t)
        tilt = sqrt(2)*t*tilt*exp(-1/2*a**2)/sqrt(pi)
        inner = (1/2)*erfc(lean)
        outer = (1/2)*erfc(rise)
        q = expm1((1/2)*t**2)
        mu = -inner*expm1(t*(-a + (1/2)*t)) + outer*expm1(t*(a + (1/2)*t)) + tilt
        lean, rise = _laplace_h(kappa), _laplace_h(-kappa)
        nu = 2*b**2*(inner*(lean - q*(kappa + 1)*exp(-kappa)) - outer*(-q*(1 - kappa)*exp(kappa) + rise) + tilt) + nu0
        return mu, nu
    minus, plus = _laplace_parts(a, t)
    mu = -minus + plus + erf((1/2)*sqrt(2)*a)
    nu = 2*b**2*(-kappa*(minus + plus) + mu) + nu0
    return mu, nu


@jit("UniTuple(float64, 3)(float64)")
def _uniform_rho(x: float) -> tuple[float, float, float]:
    """phi(x) - x Q(x) and its first two integrals from x to infinity, x >= 0."""
    if x > 39.0:
        return 0.0, 0.0, 0.0
    t0 = sqrt(2)
    t1 = (1/2)*x
    t2 = erfc(t0*t1)
    t3 = 1/sqrt(pi)
    t4 = x**2
    t5 = exp(-1/2*t4)
    t6 = t0*t3*t5
    zero = (1/2)*t0*t3*t5 - t1*t2
    one = (1/4)*t2*(t4 + 1) - 1/4*t6*x
    two = -1/12*t2*(x**3 + 3*x) + (1/12)*t6*(t4 + 2)
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
        t0 = low/w
        mu = t0
        nu = low**2*(1 - 2/3*t0)
        return mu, nu
    s, s2 = sqrt(v), v
    alpha, eta = c / s, w / s
    low, high = min(alpha, eta), max(alpha, eta)
    gap = abs(c - w) / s
    if low < 0.5:
        inner = 0.0
        for i in range(NODES):
            node = NODE[i]
            value = erf((1/2)*sqrt(2)*(high + low*(2*node - 1)))
            inner += WEIGHT[i] * value
        mu = inner*low/eta
    else:
        rho_far, one_far, two_far = _uniform_rho(alpha + eta)
        rho_near, one_near, two_near = _uniform_rho(gap)
        mu = (low + rho_far - rho_near)/eta
    if eta < 0.5:
        nu = 0.0
        for i in range(NODES):
            nu += WEIGHT[i] * clip_normal(v, c, w * NODE[i])[1]
    elif alpha < 0.5:
        inner = 0.0
        for i in range(NODES):
            x = alpha * NODE[i]
            t0 = (1/2)*sqrt(2)
            value = (1/4)*(erf(t0*(eta - x)) + erf(t0*(eta + x)))/eta
            inner += WEIGHT[i] * NODE[i] * NODE[i] * value
        nu = c**2*(2*alpha*inner - mu + 1)
    elif alpha <= eta:
        nu = c**2*(-2/3*c/w + 1) + 2*s2*(alpha*(one_far + one_near) + two_far - two_near)/eta
    else:
        nu = s2*(1 - 2*(alpha*(-one_far + one_near) - two_far + two_near)/eta) + (1/3)*w**2
    return mu, nu


@jit("float64(float64, float64)")
def density_student1(v: float, s: float) -> float:
    """Density at zero of N(0, v) + s t_1 (Cauchy):  erfcx(s/sqrt(2 v))/sqrt(2 pi v).

    Args:
        v: variance of the Gaussian part, >= 0. s: scale, >= 0.
    Source:
        derivations/student.py.
    """
    x = s / sqrt(2.0 * v) if v > 0.0 else inf
    if x > 1e100:
        return 1.0 / (pi * s)
    value = (1/2)*sqrt(2)*erfcx(x)/(sqrt(pi)*sqrt(v))
    return value


@jit("float64(float64, float64)")
def density_student3(v: float, s: float) -> float:
    """Density at zero of N(0, v) + s t_3:  [(1 - 2 x^2) erfcx(x) + 2 x/sqrt(pi)]/sqrt(2 pi v),  x = s sqrt(3/(2 v)).

    Args:
        v: variance of the Gaussian part, >= 0. s: scale, >= 0.
    Source:
        derivations/student.py; for x >= 10 the asymptotic series in v/(6 s^2), which cancels nothing.
    """
    g = sqrt(3.0) * s
    x = g / sqrt(2.0 * v) if v > 0.0 else inf
    if x >= 10.0:
        z = (0.5 / x) * (0.5 / x)
        value = (z*(z*(z*(z*(z*(z*(z*(z*(z*(z*(z*(z*(z*(z*(z*(4.2759347599608127e+23*z - 6.4909825578152755e+21) + 1.049188991026176e+20) - 1.81341307090944e+18) + 33677671316889600.0) - 675806113382400) + 14749736601600) - 352864512000) + 9340531200) - 276756480) + 9313920) - 362880) + 16800) - 960) + 72) - 8) + 2)/(pi*g)
        return value
    t0 = 1/sqrt(pi)
    value = (1/2)*sqrt(2)*t0*(2*t0*x + (1 - 2*x**2)*erfcx(x))/sqrt(v)
    return value


@jit("float64(float64)")
def _gamma_ratio(a: float) -> float:
    """Gamma(a + 1/2)/Gamma(a), a > 0."""
    if a < 60.0:
        value = gamma(a + 1/2)/gamma(a)
        return value
    y = 1.0 / a
    value = sqrt(a)*(y*(y*(y*(y*(y*(y*(y*(39325/33554432 - 334477/2147483648*y) + 869/4194304) - 399/262144) - 21/32768) + 5/1024) + 1/128) - 1/8) + 1)
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
    t0 = (1/2)*B
    mu = gammainc(t0, w) + 2*ratio*sqrt(w)*gammaincc(t0 - 1/2, w)/B
    nu = (B*s2*gammainc((1/2)*B + 1, w) + q_half*x0)/B**2
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
    mu = sqrt(2)*ratio/sqrt(s2)
    return mu


class Formula(NamedTuple):
    """One pair of responses as text: plain and LaTeX, where it comes from, and for what it is exact."""

    mu_pretty: str
    nu_pretty: str
    mu_latex: str
    nu_latex: str
    source: str
    derivation: str
    exact_for: str


FORMULAS: dict[tuple[str, str], Formula] = {
    ("sgd", "gaussian"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '          2\n'
            'nu = sigma  + v'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = \\sigma^{2} + v',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps ~ N(0, sigma^2); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "point"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '      2\n'
            'nu = e  + v'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = e^{2} + v',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps = e; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "rademacher"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '      2\n'
            'nu = s  + v'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = s^{2} + v',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps = +s or -s with probability 1/2 each; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "gaussian-mixture"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '          n\n'
            '         ___\n'
            '         \\  `\n'
            '          \\    /    2           2\\\n'
            'nu = v +  /    \\m[k]  + sigma[k] /*p[k]\n'
            '         /__,\n'
            '         k = 1'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = v + \\sum_{k=1}^{n} \\left({m}_{k}^{2} + {\\sigma}_{k}^{2}\\right) {p}_{k}',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps ~ N(m_k, sigma_k^2) with probability p_k, k = 1..n; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "empirical"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '          n\n'
            '         ___\n'
            '         \\  `\n'
            '          \\        2\n'
            '          /    e[k]\n'
            '         /__,\n'
            '         k = 1\n'
            'nu = v + -----------\n'
            '              n'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = v + \\frac{\\sum_{k=1}^{n} {e}_{k}^{2}}{n}',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps uniform on the values e_1..e_n; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "laplace"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '        2\n'
            'nu = 2*b  + v'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = 2 b^{2} + v',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps ~ Laplace with scale b; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "uniform"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '          2\n'
            '         w\n'
            'nu = v + --\n'
            '         3'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = v + \\frac{w^{2}}{3}',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps ~ Uniform(-w, w); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "student-t"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '         2\n'
            '     df*s\n'
            'nu = ------ + v\n'
            '     df - 2'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = \\frac{df s^{2}}{df - 2} + v',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps = s times Student t with df degrees of freedom, df > 2; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "student-t-1"): Formula(
        mu_pretty='mu = 1',
        nu_pretty='nu = oo',
        mu_latex='\\mu = 1',
        nu_latex='\\nu = \\infty',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps = s times Student t with 1 degree of freedom (Cauchy): no limit exists, the variance is infinite; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sgd", "student-t-3"): Formula(
        mu_pretty='mu = 1',
        nu_pretty=(
            '        2\n'
            'nu = 3*s  + v'
        ),
        mu_latex='\\mu = 1',
        nu_latex='\\nu = 3 s^{2} + v',
        source='Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics',
        derivation='derivations/stein.py',
        exact_for='eps = s times Student t with 3 degrees of freedom; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "gaussian"): Formula(
        mu_pretty=(
            '        /         c         \\\n'
            'mu = erf|-------------------|\n'
            '        |   ________________|\n'
            '        |  /        2       |\n'
            '        \\\\/  2*sigma  + 2*v /'
        ),
        nu_pretty=(
            '                                                   2\n'
            '                                                 -c\n'
            '                                            --------------\n'
            '                              ____________         2\n'
            '                     ___     /      2       2*sigma  + 2*v\n'
            '      2            \\/ 2 *c*\\/  sigma  + v *e                    /     2    \\\n'
            'nu = c *(1 - mu) - --------------------------------------- + mu*\\sigma  + v/\n'
            '                                     ____\n'
            '                                   \\/ pi'
        ),
        mu_latex='\\mu = \\operatorname{erf}{\\left(\\frac{c}{\\sqrt{2 \\sigma^{2} + 2 v}} \\right)}',
        nu_latex='\\nu = c^{2} \\left(1 - \\mu\\right) - \\frac{\\sqrt{2} c \\sqrt{\\sigma^{2} + v} e^{- \\frac{c^{2}}{2 \\sigma^{2} + 2 v}}}{\\sqrt{\\pi}} + \\mu \\left(\\sigma^{2} + v\\right)',
        source='Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping',
        derivation='derivations/normal.py',
        exact_for='eps ~ N(0, sigma^2); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "point"): Formula(
        mu_pretty=(
            '        /  ___        \\      /  ___        \\\n'
            '        |\\/ 2 *(c - e)|      |\\/ 2 *(c + e)|\n'
            '     erf|-------------|   erf|-------------|\n'
            '        |       ___   |      |       ___   |\n'
            '        \\   2*\\/ v    /      \\   2*\\/ v    /\n'
            'mu = ------------------ + ------------------\n'
            '             2                    2'
        ),
        nu_pretty=(
            '                                             /                 2                     2 \\\n'
            '                                             |         -(c + e)              -(c - e)  |\n'
            '                                             |         ----------            ----------|\n'
            '                                   ___   ___ |            2*v                   2*v    |\n'
            '      2               / 2    \\   \\/ 2 *\\/ v *\\(c - e)*e           + (c + e)*e          /\n'
            'nu = c *(1 - mu) + mu*\\e  + v/ - -------------------------------------------------------\n'
            '                                                            ____\n'
            '                                                        2*\\/ pi'
        ),
        mu_latex='\\mu = \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c - e\\right)}{2 \\sqrt{v}} \\right)}}{2} + \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c + e\\right)}{2 \\sqrt{v}} \\right)}}{2}',
        nu_latex='\\nu = c^{2} \\left(1 - \\mu\\right) + \\mu \\left(e^{2} + v\\right) - \\frac{\\sqrt{2} \\sqrt{v} \\left(\\left(c - e\\right) e^{- \\frac{\\left(c + e\\right)^{2}}{2 v}} + \\left(c + e\\right) e^{- \\frac{\\left(c - e\\right)^{2}}{2 v}}\\right)}{2 \\sqrt{\\pi}}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/normal.py',
        exact_for='eps = e; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "rademacher"): Formula(
        mu_pretty=(
            '        /  ___        \\      /  ___        \\\n'
            '        |\\/ 2 *(c - s)|      |\\/ 2 *(c + s)|\n'
            '     erf|-------------|   erf|-------------|\n'
            '        |       ___   |      |       ___   |\n'
            '        \\   2*\\/ v    /      \\   2*\\/ v    /\n'
            'mu = ------------------ + ------------------\n'
            '             2                    2'
        ),
        nu_pretty=(
            '                                             /                 2                     2 \\\n'
            '                                             |         -(c + s)              -(c - s)  |\n'
            '                                             |         ----------            ----------|\n'
            '                                   ___   ___ |            2*v                   2*v    |\n'
            '      2               / 2    \\   \\/ 2 *\\/ v *\\(c - s)*e           + (c + s)*e          /\n'
            'nu = c *(1 - mu) + mu*\\s  + v/ - -------------------------------------------------------\n'
            '                                                            ____\n'
            '                                                        2*\\/ pi'
        ),
        mu_latex='\\mu = \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c - s\\right)}{2 \\sqrt{v}} \\right)}}{2} + \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c + s\\right)}{2 \\sqrt{v}} \\right)}}{2}',
        nu_latex='\\nu = c^{2} \\left(1 - \\mu\\right) + \\mu \\left(s^{2} + v\\right) - \\frac{\\sqrt{2} \\sqrt{v} \\left(\\left(c - s\\right) e^{- \\frac{\\left(c + s\\right)^{2}}{2 v}} + \\left(c + s\\right) e^{- \\frac{\\left(c - s\\right)^{2}}{2 v}}\\right)}{2 \\sqrt{\\pi}}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/normal.py',
        exact_for='eps = +s or -s with probability 1/2 each; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "gaussian-mixture"): Formula(
        mu_pretty=(
            '      n\n'
            '     ___\n'
            '     \\  `\n'
            '      \\        /            2      \\\n'
            'mu =  /    mu_N\\v + sigma[k] , m[k]/*p[k]\n'
            '     /__,\n'
            '     k = 1\n'
            '\n'
            '                  /  ___        \\      /  ___        \\\n'
            '                  |\\/ 2 *(c - m)|      |\\/ 2 *(c + m)|\n'
            '               erf|-------------|   erf|-------------|\n'
            '                  |      _____  |      |      _____  |\n'
            '                  \\  2*\\/ tau   /      \\  2*\\/ tau   /\n'
            'mu_N(tau, m) = ------------------ + ------------------\n'
            '                       2                    2'
        ),
        nu_pretty=(
            '      n\n'
            '     ___\n'
            '     \\  `\n'
            '      \\        /            2      \\\n'
            'nu =  /    nu_N\\v + sigma[k] , m[k]/*p[k]\n'
            '     /__,\n'
            '     k = 1\n'
            '\n'
            '                                                     /                 2                     2 \\\n'
            '                                                     |         -(c + m)              -(c - m)  |\n'
            '                                                     |         ----------            ----------|\n'
            '                                         ___   _____ |           2*tau                 2*tau   |\n'
            '                2                      \\/ 2 *\\/ tau *\\(c - m)*e           + (c + m)*e          /   / 2      \\\n'
            'nu_N(tau, m) = c *(1 - mu_N(tau, m)) - --------------------------------------------------------- + \\m  + tau/*mu_N(tau, m)\n'
            '                                                                   ____\n'
            '                                                               2*\\/ pi'
        ),
        mu_latex='\\mu = \\sum_{k=1}^{n} \\mu_{N}{\\left(v + {\\sigma}_{k}^{2},{m}_{k} \\right)} {p}_{k}, \\quad \\mu_{N}{\\left(\\tau,m \\right)} = \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c - m\\right)}{2 \\sqrt{\\tau}} \\right)}}{2} + \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c + m\\right)}{2 \\sqrt{\\tau}} \\right)}}{2}',
        nu_latex='\\nu = \\sum_{k=1}^{n} \\nu_{N}{\\left(v + {\\sigma}_{k}^{2},{m}_{k} \\right)} {p}_{k}, \\quad \\nu_{N}{\\left(\\tau,m \\right)} = c^{2} \\left(1 - \\mu_{N}{\\left(\\tau,m \\right)}\\right) - \\frac{\\sqrt{2} \\sqrt{\\tau} \\left(\\left(c - m\\right) e^{- \\frac{\\left(c + m\\right)^{2}}{2 \\tau}} + \\left(c + m\\right) e^{- \\frac{\\left(c - m\\right)^{2}}{2 \\tau}}\\right)}{2 \\sqrt{\\pi}} + \\left(m^{2} + \\tau\\right) \\mu_{N}{\\left(\\tau,m \\right)}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/normal.py',
        exact_for='eps ~ N(m_k, sigma_k^2) with probability p_k, k = 1..n; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "empirical"): Formula(
        mu_pretty=(
            '       n\n'
            '      __\n'
            '      \\ `\n'
            '       )   mu_N(v, e[k])\n'
            '      /_,\n'
            '     k = 1\n'
            'mu = -------------------\n'
            '              n\n'
            '\n'
            '                  /  ___        \\      /  ___        \\\n'
            '                  |\\/ 2 *(c - m)|      |\\/ 2 *(c + m)|\n'
            '               erf|-------------|   erf|-------------|\n'
            '                  |      _____  |      |      _____  |\n'
            '                  \\  2*\\/ tau   /      \\  2*\\/ tau   /\n'
            'mu_N(tau, m) = ------------------ + ------------------\n'
            '                       2                    2'
        ),
        nu_pretty=(
            '       n\n'
            '      __\n'
            '      \\ `\n'
            '       )   nu_N(v, e[k])\n'
            '      /_,\n'
            '     k = 1\n'
            'nu = -------------------\n'
            '              n\n'
            '\n'
            '                                                     /                 2                     2 \\\n'
            '                                                     |         -(c + m)              -(c - m)  |\n'
            '                                                     |         ----------            ----------|\n'
            '                                         ___   _____ |           2*tau                 2*tau   |\n'
            '                2                      \\/ 2 *\\/ tau *\\(c - m)*e           + (c + m)*e          /   / 2      \\\n'
            'nu_N(tau, m) = c *(1 - mu_N(tau, m)) - --------------------------------------------------------- + \\m  + tau/*mu_N(tau, m)\n'
            '                                                                   ____\n'
            '                                                               2*\\/ pi'
        ),
        mu_latex='\\mu = \\frac{\\sum_{k=1}^{n} \\mu_{N}{\\left(v,{e}_{k} \\right)}}{n}, \\quad \\mu_{N}{\\left(\\tau,m \\right)} = \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c - m\\right)}{2 \\sqrt{\\tau}} \\right)}}{2} + \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} \\left(c + m\\right)}{2 \\sqrt{\\tau}} \\right)}}{2}',
        nu_latex='\\nu = \\frac{\\sum_{k=1}^{n} \\nu_{N}{\\left(v,{e}_{k} \\right)}}{n}, \\quad \\nu_{N}{\\left(\\tau,m \\right)} = c^{2} \\left(1 - \\mu_{N}{\\left(\\tau,m \\right)}\\right) - \\frac{\\sqrt{2} \\sqrt{\\tau} \\left(\\left(c - m\\right) e^{- \\frac{\\left(c + m\\right)^{2}}{2 \\tau}} + \\left(c + m\\right) e^{- \\frac{\\left(c - m\\right)^{2}}{2 \\tau}}\\right)}{2 \\sqrt{\\pi}} + \\left(m^{2} + \\tau\\right) \\mu_{N}{\\left(\\tau,m \\right)}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/normal.py',
        exact_for='eps uniform on the values e_1..e_n; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "laplace"): Formula(
        mu_pretty=(
            '                    /  ___  \\\n'
            '                    |\\/ 2 *c|\n'
            'mu = E_+ - E_- + erf|-------|\n'
            '                    |    ___|\n'
            '                    \\2*\\/ v /\n'
            '\n'
            '                            c    v\n'
            '                          - - + ----\n'
            '         /          ___\\    b      2\n'
            '         |  c     \\/ v |        2*b\n'
            'E_- = Phi|----- - -----|*e\n'
            '         |  ___     b  |\n'
            '         \\\\/ v         /\n'
            '\n'
            '                            c    v\n'
            '                            - + ----\n'
            '         /            ___\\  b      2\n'
            '         |    c     \\/ v |      2*b\n'
            'E_+ = Phi|- ----- - -----|*e\n'
            '         |    ___     b  |\n'
            '         \\  \\/ v         /'
        ),
        nu_pretty=(
            '                                                                          2\n'
            '                                                                        -c\n'
            '                                                                        ----\n'
            '                                    /       /  ___  \\\\     ___     ___  2*v         /  ___  \\\n'
            '        2 /     c*(E_+ + E_-)\\    2 |       |\\/ 2 *c||   \\/ 2 *c*\\/ v *e            |\\/ 2 *c|\n'
            'nu = 2*b *|mu - -------------| + c *|1 - erf|-------|| - ------------------- + v*erf|-------|\n'
            '          \\           b      /      |       |    ___||           ____               |    ___|\n'
            '                                    \\       \\2*\\/ v //         \\/ pi                \\2*\\/ v /\n'
            '\n'
            '                            c    v\n'
            '                          - - + ----\n'
            '         /          ___\\    b      2\n'
            '         |  c     \\/ v |        2*b\n'
            'E_- = Phi|----- - -----|*e\n'
            '         |  ___     b  |\n'
            '         \\\\/ v         /\n'
            '\n'
            '                            c    v\n'
            '                            - + ----\n'
            '         /            ___\\  b      2\n'
            '         |    c     \\/ v |      2*b\n'
            'E_+ = Phi|- ----- - -----|*e\n'
            '         |    ___     b  |\n'
            '         \\  \\/ v         /'
        ),
        mu_latex='\\mu = E_{+} - E_{-} + \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{v}} \\right)}, \\quad E_{-} = \\Phi{\\left(\\frac{c}{\\sqrt{v}} - \\frac{\\sqrt{v}}{b} \\right)} e^{- \\frac{c}{b} + \\frac{v}{2 b^{2}}}, \\quad E_{+} = \\Phi{\\left(- \\frac{c}{\\sqrt{v}} - \\frac{\\sqrt{v}}{b} \\right)} e^{\\frac{c}{b} + \\frac{v}{2 b^{2}}}',
        nu_latex='\\nu = 2 b^{2} \\left(\\mu - \\frac{c \\left(E_{+} + E_{-}\\right)}{b}\\right) + c^{2} \\left(1 - \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{v}} \\right)}\\right) - \\frac{\\sqrt{2} c \\sqrt{v} e^{- \\frac{c^{2}}{2 v}}}{\\sqrt{\\pi}} + v \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{v}} \\right)}, \\quad E_{-} = \\Phi{\\left(\\frac{c}{\\sqrt{v}} - \\frac{\\sqrt{v}}{b} \\right)} e^{- \\frac{c}{b} + \\frac{v}{2 b^{2}}}, \\quad E_{+} = \\Phi{\\left(- \\frac{c}{\\sqrt{v}} - \\frac{\\sqrt{v}}{b} \\right)} e^{\\frac{c}{b} + \\frac{v}{2 b^{2}}}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/laplace.py',
        exact_for='eps ~ Laplace with scale b; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "uniform"): Formula(
        mu_pretty=(
            '     rho(alpha + eta) - rho(|alpha - eta|) + Min(alpha, eta)\n'
            'mu = -------------------------------------------------------\n'
            '                               eta\n'
            '\n'
            '          c\n'
            'alpha = -----\n'
            '          ___\n'
            '        \\/ v\n'
            '\n'
            '        w\n'
            'eta = -----\n'
            '        ___\n'
            '      \\/ v\n'
            '\n'
            'rho(x) = -x*Phi(-x) + phi(x)'
        ),
        nu_pretty=(
            '         c\n'
            '         /\n'
            '        |\n'
            'nu = 2* |  y*(1 - mu(y)) dy\n'
            '        |\n'
            '       /\n'
            '       0'
        ),
        mu_latex='\\mu = \\frac{\\rho{\\left(\\alpha + \\eta \\right)} - \\rho{\\left(\\left|{\\alpha - \\eta}\\right| \\right)} + \\min\\left(\\alpha, \\eta\\right)}{\\eta}, \\quad \\alpha = \\frac{c}{\\sqrt{v}}, \\quad \\eta = \\frac{w}{\\sqrt{v}}, \\quad \\rho{\\left(x \\right)} = - x \\Phi{\\left(- x \\right)} + \\phi{\\left(x \\right)}',
        nu_latex='\\nu = 2 \\int\\limits_{0}^{c} y \\left(1 - \\mu{\\left(y \\right)}\\right)\\, dy',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/uniform.py',
        exact_for='eps ~ Uniform(-w, w); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "student-t"): Formula(
        mu_pretty=(
            '      oo\n'
            '       /\n'
            '      |\n'
            '      |                df       2\n'
            '      |                --  -df*u\n'
            '      |                2   -------\n'
            '      |     df - 1 /df\\       2       /        c         \\\n'
            '      |  2*u      *|--|  *e       *erf|------------------|\n'
            '      |            \\2 /               |      ____________|\n'
            '      |                               |     /    2       |\n'
            '      |                               |    /  2*s        |\n'
            '      |                               |   /   ---- + 2*v |\n'
            '      |                               |  /      2        |\n'
            '      |                               \\\\/      u         /\n'
            'mu =  |  ------------------------------------------------- du\n'
            '      |                           /df\\\n'
            '      |                      Gamma|--|\n'
            '      |                           \\2 /\n'
            '      |\n'
            '     /\n'
            '     0'
        ),
        nu_pretty=(
            '      oo\n'
            '       /\n'
            '      |\n'
            '      |                df                       2\n'
            '      |                --                  -df*u\n'
            '      |                2      / 2       \\  -------\n'
            '      |     df - 1 /df\\       |s        |     2\n'
            '      |  2*u      *|--|  *nu_N|-- + v, 0|*e\n'
            '      |            \\2 /       | 2       |\n'
            '      |                       \\u        /\n'
            'nu =  |  ----------------------------------------- du\n'
            '      |                       /df\\\n'
            '      |                  Gamma|--|\n'
            '      |                       \\2 /\n'
            '      |\n'
            '     /\n'
            '     0\n'
            '\n'
            '                                                            2\n'
            '                                                          -c\n'
            '                                                          -----\n'
            '                  /       /   ___   \\\\     ___     _____  2*tau          /   ___   \\\n'
            '                2 |       | \\/ 2 *c ||   \\/ 2 *c*\\/ tau *e               | \\/ 2 *c |\n'
            'nu_N(tau, 0) = c *|1 - erf|---------|| - ---------------------- + tau*erf|---------|\n'
            '                  |       |    _____||             ____                  |    _____|\n'
            '                  \\       \\2*\\/ tau //           \\/ pi                   \\2*\\/ tau /'
        ),
        mu_latex='\\mu = \\int\\limits_{0}^{\\infty} \\frac{2 u^{df - 1} \\left(\\frac{df}{2}\\right)^{\\frac{df}{2}} e^{- \\frac{df u^{2}}{2}} \\operatorname{erf}{\\left(\\frac{c}{\\sqrt{\\frac{2 s^{2}}{u^{2}} + 2 v}} \\right)}}{\\Gamma\\left(\\frac{df}{2}\\right)}\\, du',
        nu_latex='\\nu = \\int\\limits_{0}^{\\infty} \\frac{2 u^{df - 1} \\left(\\frac{df}{2}\\right)^{\\frac{df}{2}} \\nu_{N}{\\left(\\frac{s^{2}}{u^{2}} + v,0 \\right)} e^{- \\frac{df u^{2}}{2}}}{\\Gamma\\left(\\frac{df}{2}\\right)}\\, du, \\quad \\nu_{N}{\\left(\\tau,0 \\right)} = c^{2} \\left(1 - \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{\\tau}} \\right)}\\right) - \\frac{\\sqrt{2} c \\sqrt{\\tau} e^{- \\frac{c^{2}}{2 \\tau}}}{\\sqrt{\\pi}} + \\tau \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{\\tau}} \\right)}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/student.py',
        exact_for='eps = s times Student t with df degrees of freedom; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "student-t-1"): Formula(
        mu_pretty=(
            '      oo\n'
            '       /\n'
            '      |\n'
            '      |           2\n'
            '      |         -u\n'
            '      |         ----\n'
            '      |    ___   2      /        c         \\\n'
            '      |  \\/ 2 *e    *erf|------------------|\n'
            '      |                 |      ____________|\n'
            '      |                 |     /    2       |\n'
            '      |                 |    /  2*s        |\n'
            '      |                 |   /   ---- + 2*v |\n'
            '      |                 |  /      2        |\n'
            '      |                 \\\\/      u         /\n'
            'mu =  |  ----------------------------------- du\n'
            '      |                  ____\n'
            '      |                \\/ pi\n'
            '      |\n'
            '     /\n'
            '     0'
        ),
        nu_pretty=(
            '      oo\n'
            '       /\n'
            '      |\n'
            '      |                           2\n'
            '      |                         -u\n'
            '      |            / 2       \\  ----\n'
            '      |    ___     |s        |   2\n'
            '      |  \\/ 2 *nu_N|-- + v, 0|*e\n'
            '      |            | 2       |\n'
            '      |            \\u        /\n'
            'nu =  |  --------------------------- du\n'
            '      |              ____\n'
            '      |            \\/ pi\n'
            '      |\n'
            '     /\n'
            '     0\n'
            '\n'
            '                                                            2\n'
            '                                                          -c\n'
            '                                                          -----\n'
            '                  /       /   ___   \\\\     ___     _____  2*tau          /   ___   \\\n'
            '                2 |       | \\/ 2 *c ||   \\/ 2 *c*\\/ tau *e               | \\/ 2 *c |\n'
            'nu_N(tau, 0) = c *|1 - erf|---------|| - ---------------------- + tau*erf|---------|\n'
            '                  |       |    _____||             ____                  |    _____|\n'
            '                  \\       \\2*\\/ tau //           \\/ pi                   \\2*\\/ tau /'
        ),
        mu_latex='\\mu = \\int\\limits_{0}^{\\infty} \\frac{\\sqrt{2} e^{- \\frac{u^{2}}{2}} \\operatorname{erf}{\\left(\\frac{c}{\\sqrt{\\frac{2 s^{2}}{u^{2}} + 2 v}} \\right)}}{\\sqrt{\\pi}}\\, du',
        nu_latex='\\nu = \\int\\limits_{0}^{\\infty} \\frac{\\sqrt{2} \\nu_{N}{\\left(\\frac{s^{2}}{u^{2}} + v,0 \\right)} e^{- \\frac{u^{2}}{2}}}{\\sqrt{\\pi}}\\, du, \\quad \\nu_{N}{\\left(\\tau,0 \\right)} = c^{2} \\left(1 - \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{\\tau}} \\right)}\\right) - \\frac{\\sqrt{2} c \\sqrt{\\tau} e^{- \\frac{c^{2}}{2 \\tau}}}{\\sqrt{\\pi}} + \\tau \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{\\tau}} \\right)}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/student.py',
        exact_for='eps = s times Student t with 1 degree of freedom (Cauchy); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("clipped-sgd", "student-t-3"): Formula(
        mu_pretty=(
            '      oo\n'
            '       /\n'
            '      |\n'
            '      |                  2\n'
            '      |              -3*u\n'
            '      |              ------\n'
            '      |      ___  2    2       /        c         \\\n'
            '      |  3*\\/ 6 *u *e      *erf|------------------|\n'
            '      |                        |      ____________|\n'
            '      |                        |     /    2       |\n'
            '      |                        |    /  2*s        |\n'
            '      |                        |   /   ---- + 2*v |\n'
            '      |                        |  /      2        |\n'
            '      |                        \\\\/      u         /\n'
            'mu =  |  ------------------------------------------ du\n'
            '      |                      ____\n'
            '      |                    \\/ pi\n'
            '      |\n'
            '     /\n'
            '     0'
        ),
        nu_pretty=(
            '      oo\n'
            '       /\n'
            '      |\n'
            '      |                                  2\n'
            '      |                              -3*u\n'
            '      |                 / 2       \\  ------\n'
            '      |      ___  2     |s        |    2\n'
            '      |  3*\\/ 6 *u *nu_N|-- + v, 0|*e\n'
            '      |                 | 2       |\n'
            '      |                 \\u        /\n'
            'nu =  |  ---------------------------------- du\n'
            '      |                  ____\n'
            '      |                \\/ pi\n'
            '      |\n'
            '     /\n'
            '     0\n'
            '\n'
            '                                                            2\n'
            '                                                          -c\n'
            '                                                          -----\n'
            '                  /       /   ___   \\\\     ___     _____  2*tau          /   ___   \\\n'
            '                2 |       | \\/ 2 *c ||   \\/ 2 *c*\\/ tau *e               | \\/ 2 *c |\n'
            'nu_N(tau, 0) = c *|1 - erf|---------|| - ---------------------- + tau*erf|---------|\n'
            '                  |       |    _____||             ____                  |    _____|\n'
            '                  \\       \\2*\\/ tau //           \\/ pi                   \\2*\\/ tau /'
        ),
        mu_latex='\\mu = \\int\\limits_{0}^{\\infty} \\frac{3 \\sqrt{6} u^{2} e^{- \\frac{3 u^{2}}{2}} \\operatorname{erf}{\\left(\\frac{c}{\\sqrt{\\frac{2 s^{2}}{u^{2}} + 2 v}} \\right)}}{\\sqrt{\\pi}}\\, du',
        nu_latex='\\nu = \\int\\limits_{0}^{\\infty} \\frac{3 \\sqrt{6} u^{2} \\nu_{N}{\\left(\\frac{s^{2}}{u^{2}} + v,0 \\right)} e^{- \\frac{3 u^{2}}{2}}}{\\sqrt{\\pi}}\\, du, \\quad \\nu_{N}{\\left(\\tau,0 \\right)} = c^{2} \\left(1 - \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{\\tau}} \\right)}\\right) - \\frac{\\sqrt{2} c \\sqrt{\\tau} e^{- \\frac{c^{2}}{2 \\tau}}}{\\sqrt{\\pi}} + \\tau \\operatorname{erf}{\\left(\\frac{\\sqrt{2} c}{2 \\sqrt{\\tau}} \\right)}',
        source="derived here; the optimizer's limit: Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping",
        derivation='derivations/student.py',
        exact_for='eps = s times Student t with 3 degrees of freedom; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "gaussian"): Formula(
        mu_pretty=(
            '               ___\n'
            '             \\/ 2\n'
            'mu = ----------------------\n'
            '               ____________\n'
            '       ____   /      2\n'
            '     \\/ pi *\\/  sigma  + v'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{\\sqrt{2}}{\\sqrt{\\pi} \\sqrt{\\sigma^{2} + v}}',
        nu_latex='\\nu = 1',
        source='Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions',
        derivation='derivations/normal.py',
        exact_for='eps ~ N(0, sigma^2); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "point"): Formula(
        mu_pretty=(
            '              2\n'
            '            -e\n'
            '            ----\n'
            '       ___  2*v\n'
            '     \\/ 2 *e\n'
            'mu = ------------\n'
            '       ____   ___\n'
            '     \\/ pi *\\/ v'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{\\sqrt{2} e^{- \\frac{e^{2}}{2 v}}}{\\sqrt{\\pi} \\sqrt{v}}',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/normal.py',
        exact_for='eps = e; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "rademacher"): Formula(
        mu_pretty=(
            '              2\n'
            '            -s\n'
            '            ----\n'
            '       ___  2*v\n'
            '     \\/ 2 *e\n'
            'mu = ------------\n'
            '       ____   ___\n'
            '     \\/ pi *\\/ v'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{\\sqrt{2} e^{- \\frac{s^{2}}{2 v}}}{\\sqrt{\\pi} \\sqrt{v}}',
        nu_latex='\\nu = 1',
        source='Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions',
        derivation='derivations/normal.py',
        exact_for='eps = +s or -s with probability 1/2 each; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "gaussian-mixture"): Formula(
        mu_pretty=(
            '        n\n'
            '     _______\n'
            '     \\      `\n'
            '      \\                                             2\n'
            '       \\                                       -m[k]\n'
            '        \\                                 -----------------\n'
            '         \\               _______________                  2\n'
            '          \\     ___     /       1         2*v + 2*sigma[k]\n'
            'mu =       )  \\/ 2 *   /  ------------- *e                 *p[k]\n'
            '          /           /               2\n'
            '         /          \\/    v + sigma[k]\n'
            '        /     --------------------------------------------------\n'
            '       /                              ____\n'
            '      /                             \\/ pi\n'
            '     /______,\n'
            '      k = 1'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\sum_{k=1}^{n} \\frac{\\sqrt{2} \\sqrt{\\frac{1}{v + {\\sigma}_{k}^{2}}} e^{- \\frac{{m}_{k}^{2}}{2 v + 2 {\\sigma}_{k}^{2}}} {p}_{k}}{\\sqrt{\\pi}}',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/normal.py',
        exact_for='eps ~ N(m_k, sigma_k^2) with probability p_k, k = 1..n; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "empirical"): Formula(
        mu_pretty=(
            '        n\n'
            '     ______\n'
            '     \\     `\n'
            '      \\                  2\n'
            '       \\            -e[k]\n'
            '        \\           -------\n'
            '         \\     ___    2*v\n'
            '         /   \\/ 2 *e\n'
            '        /    --------------\n'
            '       /        ____   ___\n'
            '      /       \\/ pi *\\/ v\n'
            '     /_____,\n'
            '      k = 1\n'
            'mu = ----------------------\n'
            '               n'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{\\sum_{k=1}^{n} \\frac{\\sqrt{2} e^{- \\frac{{e}_{k}^{2}}{2 v}}}{\\sqrt{\\pi} \\sqrt{v}}}{n}',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/normal.py',
        exact_for='eps uniform on the values e_1..e_n; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "laplace"): Formula(
        mu_pretty=(
            '       v\n'
            '      ----\n'
            '         2     /  ___   ___\\\n'
            '      2*b      |\\/ 2 *\\/ v |\n'
            '     e    *erfc|-----------|\n'
            '               \\    2*b    /\n'
            'mu = -----------------------\n'
            '                b'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{e^{\\frac{v}{2 b^{2}}} \\operatorname{erfc}{\\left(\\frac{\\sqrt{2} \\sqrt{v}}{2 b} \\right)}}{b}',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/laplace.py',
        exact_for='eps ~ Laplace with scale b; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "uniform"): Formula(
        mu_pretty=(
            '        /  ___  \\\n'
            '        |\\/ 2 *w|\n'
            '     erf|-------|\n'
            '        |    ___|\n'
            '        \\2*\\/ v /\n'
            'mu = ------------\n'
            '          w'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{\\operatorname{erf}{\\left(\\frac{\\sqrt{2} w}{2 \\sqrt{v}} \\right)}}{w}',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/uniform.py',
        exact_for='eps ~ Uniform(-w, w); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "student-t"): Formula(
        mu_pretty=(
            '      oo\n'
            '       /\n'
            '      |\n'
            '      |                      df       2\n'
            '      |                      --  -df*u\n'
            '      |                      2   -------\n'
            '      |      ___  df - 1 /df\\       2\n'
            '      |  2*\\/ 2 *u      *|--|  *e\n'
            '      |                  \\2 /\n'
            'mu =  |  ------------------------------- du\n'
            '      |               ________\n'
            '      |              /  2\n'
            '      |    ____     /  s            /df\\\n'
            '      |  \\/ pi *   /   -- + v *Gamma|--|\n'
            '      |           /     2           \\2 /\n'
            '      |         \\/     u\n'
            '      |\n'
            '     /\n'
            '     0'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\int\\limits_{0}^{\\infty} \\frac{2 \\sqrt{2} u^{df - 1} \\left(\\frac{df}{2}\\right)^{\\frac{df}{2}} e^{- \\frac{df u^{2}}{2}}}{\\sqrt{\\pi} \\sqrt{\\frac{s^{2}}{u^{2}} + v} \\Gamma\\left(\\frac{df}{2}\\right)}\\, du',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/student.py',
        exact_for='eps = s times Student t with df degrees of freedom; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "student-t-1"): Formula(
        mu_pretty=(
            '             2\n'
            '            s\n'
            '            ---     /  ___  \\\n'
            '       ___  2*v     |\\/ 2 *s|\n'
            '     \\/ 2 *e   *erfc|-------|\n'
            '                    |    ___|\n'
            '                    \\2*\\/ v /\n'
            'mu = ------------------------\n'
            '             ____   ___\n'
            '           \\/ pi *\\/ v'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{\\sqrt{2} e^{\\frac{s^{2}}{2 v}} \\operatorname{erfc}{\\left(\\frac{\\sqrt{2} s}{2 \\sqrt{v}} \\right)}}{\\sqrt{\\pi} \\sqrt{v}}',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/student.py',
        exact_for='eps = s times Student t with 1 degree of freedom (Cauchy); centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
    ("sign-sgd", "student-t-3"): Formula(
        mu_pretty=(
            '           /                     / 2\\        \\\n'
            '       ___ | 2*x     /       2\\  \\x /        |\n'
            '     \\/ 2 *|------ + \\1 - 2*x /*e    *erfc(x)|\n'
            '           |  ____                           |\n'
            '           \\\\/ pi                            /\n'
            'mu = -----------------------------------------\n'
            '                     ____   ___\n'
            '                   \\/ pi *\\/ v\n'
            '\n'
            '      ___\n'
            '    \\/ 6 *s\n'
            'x = -------\n'
            '        ___\n'
            '    2*\\/ v'
        ),
        nu_pretty='nu = 1',
        mu_latex='\\mu = \\frac{\\sqrt{2} \\left(\\frac{2 x}{\\sqrt{\\pi}} + \\left(1 - 2 x^{2}\\right) e^{x^{2}} \\operatorname{erfc}{\\left(x \\right)}\\right)}{\\sqrt{\\pi} \\sqrt{v}}, \\quad x = \\frac{\\sqrt{6} s}{2 \\sqrt{v}}',
        nu_latex='\\nu = 1',
        source="derived here; the optimizer's limit: Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions",
        derivation='derivations/student.py',
        exact_for='eps = s times Student t with 3 degrees of freedom; centred Gaussian samples, batch 1, in the limit of high intrinsic dimension',
    ),
}
