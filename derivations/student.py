"""Signing a residual with Student t noise.

Theorem. Let r = sqrt(v) Z + s T, T Student t. With x = g/sqrt(2 v), the density of r at 0 is
    df = 1 (g = s):          erfcx(x)/sqrt(2 pi v),
    df = 3 (g = sqrt(3) s):  [(1 - 2 x^2) erfcx(x) + 2 x/sqrt(pi)]/sqrt(2 pi v)
                           ~ (1/(pi g)) sum_n (-1)^n [(2n)! + (2n + 1)!]/(n! (4 x^2)^n),
the series being used for x >= 10, where the closed form cancels; its error is below the first term left out.

Proof. The characteristic functions of s T are e^(-g|k|) and (1 + g|k|) e^(-g|k|) (their inverse transforms are the two
densities); so p(0) = (1/pi) int_0^inf (1 or 1 + g k) e^(-g k - v k^2/2) dk, for which an antiderivative is given. The
series is Watson's lemma: expand e^(-v k^2/2); the remainder of an alternating exponential series has the sign of its
first term.

General df has no closed form free of Meijer functions: eps = s N/U with U^2 df ~ chi^2_df makes r, given U, normal with
variance v + s^2/U^2, so that every response is the mean of the normal one over the density of U
    2 (df/2)^(df/2)/Gamma(df/2) u^(df - 1) e^(-df u^2/2).
"""

from __future__ import annotations

import mpmath
from sympy import (
    Expr,
    I,
    Integer,
    Rational,
    diff,
    erf,
    erfc,
    exp,
    factorial,
    gamma,
    lambdify,
    limit,
    oo,
    pi,
    re,
    simplify,
    sqrt,
    symbols,
)

from derivations.laplace import horner
from derivations.printer import Assignments, erfcx, plain

v, s, g, k, u, x, z = symbols("v s g k u x z", positive=True)
e = symbols("e", real=True)

TERMS = 17
CLOSED_1 = erfcx(x) / sqrt(2 * pi * v)
CLOSED_3 = ((1 - 2 * x**2) * erfcx(x) + 2 * x / sqrt(pi)) / sqrt(2 * pi * v)
SERIES_3 = [Integer((-1) ** n) * (factorial(2 * n) + factorial(2 * n + 1)) / factorial(n) for n in range(TERMS)]


def density(df: Expr) -> Expr:
    """Density of the Student t law with scale s."""
    return gamma((df + 1) / 2) / (sqrt(df * pi) * gamma(df / 2) * s) * (1 + e**2 / (df * s**2)) ** (-(df + 1) / 2)


def prove() -> None:
    """The characteristic functions, the antiderivatives with their limits, the series, the scale mixture.

    Raises:
        AssertionError: if a step fails.
    """
    transform_1 = re(1 / (g - I * e)) / pi  # (1/pi) int_0^inf e^(-g k) cos(e k) dk
    transform_3 = re(1 / (g - I * e) + g / (g - I * e) ** 2) / pi
    assert simplify(transform_1.subs(g, s) - density(Integer(1))) == 0, "characteristic function, df = 1"
    assert simplify(transform_3.subs(g, sqrt(3) * s) - density(Integer(3))) == 0, "characteristic function, df = 3"
    damping = exp(-g * k - v * k**2 / 2)
    first = sqrt(pi / (2 * v)) * exp(g**2 / (2 * v)) * erf((v * k + g) / sqrt(2 * v))
    assert simplify(diff(first, k) - damping) == 0, "antiderivative, df = 1"
    third = first * (1 - g**2 / v) - g * damping / v
    assert simplify(diff(third, k) - (1 + g * k) * damping) == 0, "antiderivative, df = 3"
    for name, antiderivative, closed in (("1", first, CLOSED_1), ("3", third, CLOSED_3)):
        value = (limit(antiderivative, k, oo) - antiderivative.subs(k, 0)) / pi
        stated = plain(closed).subs(x, g / sqrt(2 * v))
        assert (
            simplify((value - stated).rewrite(erfc).subs(erfc(g / sqrt(2 * v)), z).rewrite(erf))
            .subs(erf(g / sqrt(2 * v)), 1 - z)
            .simplify()
            == 0
        ), f"density at zero, df = {name}"
    for n in range(3):
        moment = factorial(2 * n) + factorial(2 * n + 1)  # int (1 + y) y^(2n) e^(-y) dy
        assert SERIES_3[n] == (-1) ** n * moment / factorial(n), "Watson's lemma"
    prove_mixture()


def prove_mixture() -> None:
    """Student t is normal with standard deviation s/U; the integral over U is a gamma function after y = df u^2/2.

    Raises:
        AssertionError: if a step fails.
    """
    df, y = symbols("df y", positive=True)
    law = 2 * (df / 2) ** (df / 2) / gamma(df / 2) * u ** (df - 1) * exp(-df * u**2 / 2)
    joint = law * u * exp(-((e * u / s) ** 2) / 2) / (s * sqrt(2 * pi))
    rate = df / 2 + e**2 / (2 * s**2)
    changed = simplify(joint.subs(u, sqrt(y / rate)) / (2 * sqrt(y * rate)))  # density of y = rate u^2
    kernel = changed / (y ** ((df - 1) / 2) * exp(-y))
    assert simplify(diff(kernel, y)) == 0, "the mixture integrand is a gamma density in y"
    ratio = kernel.subs(y, 1) * gamma((df + 1) / 2) / density(df)
    for value in (Rational(1, 2), Integer(1), Integer(3), Rational(15, 2)):
        assert simplify(ratio.subs(df, value)) == 1, "the mixture has the density of Student t"


def check() -> None:
    """Compare with the convolution at zero and, at x = 10, the series with the closed form.

    Raises:
        AssertionError: if a result differs by more than 1e-12.
    """
    for df, closed, scale in ((1, CLOSED_1, 1), (3, CLOSED_3, mpmath.sqrt(3))):
        law = lambdify((e, s), density(Integer(df)), "mpmath")
        stated = lambdify((x, v), plain(closed), "mpmath")
        for variance, width in ((0.8, 0.6), (0.05, 1.3)):
            with mpmath.workdps(20):
                std = mpmath.sqrt(variance)
                expected = mpmath.quad(
                    lambda w: law(w, width) * mpmath.npdf(w, 0, std),  # noqa: B023
                    [0, std, 4 * std, 30 * std],
                )
                found = stated(scale * width / mpmath.sqrt(2 * variance), variance)
                assert abs(2 * expected - found) < 1e-12, f"density at zero, df = {df}"
    with mpmath.workdps(40):
        exact = lambdify((x, v), plain(CLOSED_3), "mpmath")(mpmath.mpf(10), mpmath.mpf(1))
        series = sum(mpmath.mpf(int(a)) / 400**n for n, a in enumerate(SERIES_3)) / (mpmath.pi * mpmath.sqrt(2) * 10)
        assert abs(series / exact - 1) < 1e-15, "the series of df = 3 at x = 10"


FORMULAS: dict[str, Assignments] = {
    "student1": {"value": CLOSED_1},
    "student3": {"value": CLOSED_3},
    "student3_far": {"value": horner(SERIES_3, z) / (pi * g)},
}

KERNELS = '''
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
    <<student1>>
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
        <<student3_far>>
        return value
    <<student3>>
    return value
'''
