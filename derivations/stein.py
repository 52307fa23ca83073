"""Stein's identity for the response of a residual map.

Theorem. z ~ N(0, v), r = z - eps with eps independent of z, psi of at most polynomial growth:
    E psi(r) z = v E psi'(r),   so that mu = E psi(r) z/v = E psi'(r).
For psi with jumps, psi' is the derivative as a distribution: identity 1, clip P(|r| <= c), sign 2 p_r(0).

Proof. Given eps, (psi z - v psi') phi_v is the derivative of -v psi phi_v, which vanishes at infinity. A jump J of
psi at r = a adds J p_r(a).
"""

from __future__ import annotations

import mpmath
from sympy import Function, diff, exp, pi, simplify, sqrt, symbols

v = symbols("v", positive=True)
z, eps, jump, a = symbols("z eps jump a", real=True)
psi = Function("psi")


def prove() -> None:
    """The exact derivative, and the boundary terms of a map with one jump.

    Raises:
        AssertionError: if the identity fails.
    """
    law = exp(-(z**2) / (2 * v)) / sqrt(2 * pi * v)
    smooth = psi(z - eps)
    flux = -v * smooth * law
    identity = (smooth * z - v * diff(smooth, z)) * law
    assert simplify(diff(flux, z) - identity) == 0, "psi z - v psi' is an exact derivative"
    left, right = symbols("left right")  # psi just below and just above its jump at r = a, i.e. at z = a + eps
    boundary = -v * (left - right) * law.subs(z, a + eps)
    stated = v * jump * law.subs(z, a + eps)
    assert simplify(boundary - stated.subs(jump, right - left)) == 0, "a jump adds v J p_r(a)"


def check() -> None:
    """Both sides for a smooth map and for the clip, by quadrature.

    Raises:
        AssertionError: if they differ by more than 1e-12.
    """
    variance, noise, level = mpmath.mpf("0.7"), mpmath.mpf("0.4"), mpmath.mpf("0.9")
    edges = [-12, noise - level, noise, noise + level, 12]
    maps = (
        (mpmath.tanh, lambda r: mpmath.sech(r) ** 2),
        (lambda r: max(-level, min(level, r)), lambda r: 1 if abs(r) < level else 0),
    )
    with mpmath.workdps(20):
        for map_, slope in maps:
            law = lambda w: mpmath.npdf(w, 0, mpmath.sqrt(variance))  # noqa: E731
            left = mpmath.quad(lambda w: map_(w - noise) * w * law(w), edges)  # noqa: B023
            right = variance * mpmath.quad(lambda w: slope(w - noise) * law(w), edges)  # noqa: B023
            assert abs(left - right) < 1e-12, "Stein's identity in numbers"
