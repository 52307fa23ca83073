"""Second moments of sign features.

Theorem. For centred Gaussian (x_i, x_j) with correlation rho, E sign(x_i) sign(x_j) = (2/pi) arcsin(rho), and
E sign(x_i) x_i = sqrt(2 K_ii/pi), so that G_ii = E sign(x_i) x_i/K_ii = sqrt(2/pi) K_ii^(-1/2).

Proof. The bivariate density satisfies d p/d rho = d^2 p/(dx dy) (Plackett), so that d/d rho E sign sign is the
integral of sign sign d^2 p/(dx dy) = 4 p(0, 0) = (2/pi)/sqrt(1 - rho^2); at rho = 0 the mean is 0. The second is an
integral of x phi.
"""

from __future__ import annotations

import mpmath
from sympy import asin, diff, exp, limit, oo, pi, simplify, sqrt, symbols

x, y = symbols("x y", real=True)
rho = symbols("rho", real=True)
s = symbols("s", positive=True)


def prove() -> None:
    """Plackett's identity, the derivative in rho, and the half-normal mean.

    Raises:
        AssertionError: if a step fails.
    """
    density = exp(-(x**2 - 2 * rho * x * y + y**2) / (2 * (1 - rho**2))) / (2 * pi * sqrt(1 - rho**2))
    assert simplify((diff(density, rho) - diff(density, x, y)) / density) == 0, "Plackett's identity"
    candidate = 2 * asin(rho) / pi
    assert simplify(diff(candidate, rho) - 4 * density.subs({x: 0, y: 0})) == 0, "the derivative is 4 p(0, 0)"
    assert candidate.subs(rho, 0) == 0, "independent signs are uncorrelated"
    antiderivative = -(s**2) * exp(-(x**2) / (2 * s**2)) * 2 / (s * sqrt(2 * pi))
    assert simplify(diff(antiderivative, x) - 2 * x * exp(-(x**2) / (2 * s**2)) / (s * sqrt(2 * pi))) == 0, "E |x|"
    assert simplify(limit(antiderivative, x, oo) - antiderivative.subs(x, 0) - s * sqrt(2 / pi)) == 0, "its value"


def check() -> None:
    """The probability of equal signs by quadrature.

    Raises:
        AssertionError: if it differs by more than 1e-12.
    """
    for value in (-0.8, 0.3, 0.95):
        with mpmath.workdps(20):
            slope = mpmath.mpf(value) / mpmath.sqrt(1 - mpmath.mpf(value) ** 2)
            law = lambda w: mpmath.npdf(w) * (2 * mpmath.ncdf(slope * w) - 1)  # noqa: E731, B023
            found = 2 * mpmath.quad(law, [0, 1, 4, 12])  # E sign(x) E[sign(y) | x]
            assert abs(found - 2 * mpmath.asin(value) / mpmath.pi) < 1e-12, f"arcsine law at {value}"
