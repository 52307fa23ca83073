"""Steady states and the exact critical step of SGD.

Theorem. At rest, modes with lambda_i > 0 have m_i = eta nu c_i/(2 d mu lambda_i), so that R solves
    4 R mu(2R) = eta nu(2R) cbar,   cbar = (1/d) sum over lambda_i > 0 of c_i.
 SGD (batch B):             R = eta kappa sigma^2/(4 B - 2 eta kappa), stable iff eta kappa < 2 B.
 sign, Gaussian noise:      R = (pi eta/8) M sqrt(2 R + sigma^2), M = mean sqrt(K_ii), so that with k = pi eta M/8
                            R = k^2 + k sqrt(k^2 + sigma^2); without noise R = pi eta^2 cbar^2/16 = 2 k^2.
 A mode with lambda_i = 0 grows: dm_i/dt = eta^2 nu c_i/d; it carries no risk.
 SGD at finite d: E w_i^2 obeys rho <- M rho + const, g = eta/d,
     M = diag((1 - g l_i)^2 + g^2 l_i^2/B) + (g^2/B) l l^T,
 and the largest eigenvalue of M passes 1 when sum_i g l_i/(2 B - g l_i (B + 1)) = 1 (g l_max < 2B/(B + 1)).

Proof. The mode equation at rest; the scalar equation by substitution. The recursion is Isserlis' theorem
E x x^T A x x^T = 2 K A K + K tr(K A); det(I - M) = prod_i (1 - M_ii0) (1 - sum) by the
matrix determinant lemma, M_ii0 the diagonal part. M >= 0, so its spectral radius is an eigenvalue, continuous in g and
below 1 for small g; the determinant is positive until the sum, which grows with g, is 1, and 1 is an eigenvalue there.
"""

from __future__ import annotations

import numpy as np
from sympy import Matrix, Rational, diag, expand, eye, pi, simplify, solve, sqrt, symbols

eta, mu, nu, d, lam, c, kappa = symbols("eta mu nu d lambda c kappa", positive=True)
sigma, B, R, k, M, g = symbols("sigma B R k M g", positive=True)


def prove() -> None:
    """The rest points, the closed solutions, Isserlis, the critical step.

    Raises:
        AssertionError: if a step fails.
    """
    rest = eta * nu * c / (2 * d * mu * lam)
    rate = -2 * eta * mu * lam * symbols("m") + eta**2 * nu * c / d
    assert simplify(rate.subs(symbols("m"), rest)) == 0, "a mode at rest"
    assert simplify(lam * rest / 2 * 4 * mu - eta * nu * c / d) == 0, "4 R mu = eta nu cbar, one mode"
    assert simplify(rate.subs({lam: 0}) - eta**2 * nu * c / d) == 0, "a mode without curvature grows linearly"
    sgd = eta * kappa * sigma**2 / (4 * B - 2 * eta * kappa)
    assert simplify(4 * sgd - eta * kappa * (2 * sgd + sigma**2) / B) == 0, "SGD"
    prove_sign()
    prove_isserlis()
    prove_critical()


def prove_sign() -> None:
    """signSGD with Gaussian noise: mu = sqrt(2/pi)/sqrt(2 R + sigma^2), nu = 1, cbar = sqrt(pi/2) M.

    Raises:
        AssertionError: if a step fails.
    """
    cbar = sqrt(pi / 2) * M
    root = sqrt(2 * R + sigma**2)
    scalar = 4 * R * sqrt(2 / pi) / root - eta * cbar
    assert simplify(scalar - 4 * sqrt(2 / pi) / root * (R - pi * eta / 8 * M * root)) == 0, "the scalar equation"
    closed = k**2 + k * sqrt(k**2 + sigma**2)
    assert expand(closed**2 - k**2 * (2 * closed + sigma**2)) == 0, "R^2 = k^2 (2 R + sigma^2), R > 0"
    silent = closed.subs(sigma, 0).subs(k, pi * eta * M / 8)
    stated = pi * eta**2 * cbar**2 / 16
    assert simplify(silent - stated) == 0, "no noise"


def prove_isserlis() -> None:
    """E x x^T A x x^T for two coordinates, from E x_i x_j x_k x_l = sum over pairings.

    Raises:
        AssertionError: if the theorem fails.
    """
    l1, l2, a, b, e = symbols("l1 l2 a b e")
    covariance, middle = diag(l1, l2), Matrix([[a, b], [b, e]])

    def moment(i: int, j: int, m: int, n: int) -> object:
        q = covariance
        return q[i, j] * q[m, n] + q[i, m] * q[j, n] + q[i, n] * q[j, m]

    for i in range(2):
        for n in range(2):
            mean = sum(middle[j, m] * moment(i, j, m, n) for j in range(2) for m in range(2))
            stated = 2 * covariance * middle * covariance + covariance * (covariance * middle).trace()
            assert expand(mean - stated[i, n]) == 0, "Isserlis"


def prove_critical() -> None:
    """det(I - M) for three modes.

    Raises:
        AssertionError: if the determinant differs.
    """
    ell = symbols("l1:4", positive=True)
    step = diag(*((1 - g * one) ** 2 + g**2 * one**2 / B for one in ell)) + g**2 / B * Matrix(ell) * Matrix(ell).T
    left = (eye(3) - step).det(method="berkowitz")
    product, total = 1, 0
    for one in ell:
        product *= g * one * (2 * B - g * one * (B + 1)) / B
        total += g * one / (2 * B - g * one * (B + 1))
    assert simplify(expand(left) - expand(simplify(product * (1 - total)))) == 0, "det(I - M) = prod (1 - sum)"
    (isotropic,) = solve(d * g / (2 * B - g * (B + 1)) - 1, g)  # K = I, d modes
    assert simplify(isotropic - 2 * B / (d + B + 1)) == 0, "K = I: eta = 2 B d/(d + B + 1)"
    assert Rational(2) == (isotropic * d).subs(B, 1).limit(d, float("inf")), "and 2 as d grows"


def check() -> None:
    """The spectral radius at the root of the critical equation is 1.

    Raises:
        AssertionError: if it is not, to 1e-12.
    """
    ell = np.arange(1, 9) ** -0.7
    for batch in (1, 4):
        low, high = 0.0, 2 * batch / (batch + 1) / ell.max()
        for _ in range(200):
            step = (low + high) / 2
            low, high = (step, high) if (step * ell / (2 * batch - step * ell * (batch + 1))).sum() < 1 else (low, step)
        matrix = np.diag((1 - low * ell) ** 2 + low**2 * ell**2 / batch) + low**2 / batch * np.outer(ell, ell)
        assert abs(np.linalg.eigvalsh(matrix).max() - 1) < 1e-12, f"critical step, batch {batch}"
