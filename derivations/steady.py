"""Steady states, how fast they are reached, and the exact critical step and batch of SGD.

Theorem. At rest, modes with lambda_i > 0 have m_i = eta nu c_i/(2 d mu lambda_i), so that R solves
    4 R mu(2R) = eta nu(2R) cbar,   cbar = (1/d) sum over lambda_i > 0 of c_i.
 SGD (batch B):             R = eta kappa sigma^2/(4 B - 2 eta kappa), stable iff eta kappa < 2 B.
 sign, Gaussian noise:      R = (pi eta/8) M sqrt(2 R + sigma^2), M = mean sqrt(K_ii), so that with k = pi eta M/8
                            R = k^2 + k sqrt(k^2 + sigma^2); without noise R = pi eta^2 cbar^2/16 = 2 k^2.
 A mode with lambda_i = 0 grows: dm_i/dt = eta^2 nu c_i/d; it carries no risk.
 SGD at finite d: E w_i^2 obeys rho <- M rho + const, g = eta/d,
     M = diag((1 - g l_i)^2 + g^2 l_i^2/B) + (g^2/B) l l^T,
 and the largest eigenvalue of M passes 1 when sum_i g l_i/(2 B - g l_i (B + 1)) = 1 (g l_max < 2B/(B + 1)).
 The same equation gives the critical batch: the sum falls with B > g l_max/(2 - g l_max), from infinity to
     sum_i g l_i/((2 - g l_i) B), so that lr is stable for every B above its one root, and for none if g l_max >= 2.
 Near rest, with f = nu/mu, the modes relax with the matrix
     J = -2 eta mu diag(lambda) + eta^2 mu f'(v) (c/d) lambda^T,
 whose eigenvalues are -2 eta mu y, y the roots of (eta/2) f'(v) sum_i lambda_i c_i/(d (lambda_i - y)) = 1. The smallest
 gives the time scale tau = 1/(2 eta mu y). It lies below the smallest lambda_i where f' > 0, and is positive iff
 (eta/2) f'(v) cbar < 1, that is iff 2 v - eta f(v) cbar grows through 0 there.

Proof. The mode equation at rest; the scalar equation by substitution. The recursion is Isserlis' theorem
E x x^T A x x^T = 2 K A K + K tr(K A); det(I - M) = prod_i (1 - M_ii0) (1 - sum) by the
matrix determinant lemma, M_ii0 the diagonal part. M >= 0, so its spectral radius is an eigenvalue, continuous in g and
below 1 for small g; the determinant is positive until the sum, which grows with g, is 1, and 1 is an eigenvalue there.
J: differentiate, put lambda_i m_i = eta nu c_i/(2 d mu), and use the same lemma. J is similar to a symmetric matrix
(scale by sqrt(c_i/lambda_i)), so that all roots are real, and the sum, which grows with y between its poles, passes 1
once below the first of them if f' > 0.
"""

from __future__ import annotations

import numpy as np
from sympy import Function, Matrix, Rational, diag, expand, eye, pi, simplify, solve, sqrt, symbols, zeros

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
    prove_batch()
    prove_relaxation()


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


def prove_batch() -> None:
    """One term of the critical sum falls with B above its pole; K = I in closed form.

    Raises:
        AssertionError: if a step fails.
    """
    x = symbols("x", positive=True)  # x = g l_i < 2
    term = x / (2 * B - x * (B + 1))
    assert simplify(term.diff(B) + x * (2 - x) / (2 * B - x * (B + 1)) ** 2) == 0, "the slope in B, negative for x < 2"
    assert simplify((2 * B - x * (B + 1)).subs(B, x / (2 - x))) == 0, "the pole in B"
    (isotropic,) = solve(d * term.subs(x, g) - 1, B)
    assert simplify(isotropic - g * (d + 1) / (2 - g)) == 0, "K = I: B = g (d + 1)/(2 - g)"


def prove_relaxation() -> None:
    """The Jacobian at rest and its characteristic equation, for three modes.

    Raises:
        AssertionError: if a step fails.
    """
    v, y = symbols("v y", positive=True)
    mu_of, nu_of = Function("mu")(v), Function("nu")(v)
    rates, noise, modes = symbols("lambda1:4", positive=True), symbols("c1:4", positive=True), symbols("m1:4")
    slope = (nu_of / mu_of).diff(v)
    rest = [eta * nu_of * ci / (2 * d * mu_of * li) for li, ci in zip(rates, noise, strict=True)]
    jacobian = zeros(3, 3)
    for i in range(3):
        flow = -2 * eta * mu_of * rates[i] * modes[i] + eta**2 * nu_of * noise[i] / d
        for j in range(3):
            through_v = flow.diff(v).subs(modes[i], rest[i]) * rates[j]
            jacobian[i, j] = simplify(flow.diff(modes[j]) + through_v)
    stated = -2 * eta * mu_of * diag(*rates) + eta**2 * mu_of * slope / d * Matrix(noise) * Matrix(rates).T
    assert simplify(jacobian - stated) == zeros(3, 3), "J at rest"

    strength = symbols("strength")  # (eta/2) f'(v)
    reduced = diag(*rates) - strength / d * Matrix(noise) * Matrix(rates).T  # -J/(2 eta mu)
    total = strength / d * sum(li * ci / (li - y) for li, ci in zip(rates, noise, strict=True))
    product = (rates[0] - y) * (rates[1] - y) * (rates[2] - y)
    left = (reduced - y * eye(3)).det(method="berkowitz")
    assert simplify(expand(left) - expand(simplify(product * (1 - total)))) == 0, "det(-J/(2 eta mu) - y)"
    assert simplify(total.subs(y, 0) - strength * sum(noise) / d) == 0, "y = 0 where (eta/2) f' cbar = 1"
    one = symbols("one")
    scalar = (2 * v - eta * nu_of / mu_of * one).diff(v)
    assert simplify(scalar - 2 * (1 - eta / 2 * slope * one)) == 0, "the slope of 2 v - eta f cbar"


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
