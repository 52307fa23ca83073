"""The exact second moments of streaming SGD at finite d, for Gaussian x and any batch.

Theorem. delta <- delta - (g/B) sum_j x_j r_j, r_j = <x_j, delta> - eps_j, with B fresh x_j ~ N(0, K), K = diag(l), and
eps_j independent of x_j, of any mean and second moment E eps^2. With D = E delta delta^T before the step,
    D <- D - g (K D + D K) + (g^2/B) [2 K D K + K tr(K D) + K E eps^2] + g^2 (1 - 1/B) K D K,
so that rho_i = D_ii obeys by itself, whatever the other entries of D,
    rho_i <- (1 - g l_i)^2 rho_i + (g^2/B) [l_i^2 rho_i + l_i S],   S = sum_k l_k rho_k + E eps^2.
Equal eigenvalues add up: n modes of l with the sum M of their rho have M <- (1 - g l)^2 M + (g^2/B) [l^2 M + n l S].

Proof. E of the product of two steps, sample by sample. A sample with itself: E x x^T D x x^T by Isserlis' theorem (the
fourth moment of a Gaussian vector is the sum over pairings), and E eps^2 K; the terms with one factor eps are odd in x
and vanish. Two samples j != k are independent: E[x_j r_j] E[x_k r_k]^T = K D K. There are B and B (B - 1) of them.
Shown for three coordinates and a general symmetric D; a pairing involves at most four coordinates, two of them the row
and the column looked at, so the same sums stand for any number.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from sympy import Expr, Matrix, diag, expand, symbols, zeros

DIMENSION = 3

g, B, second, first = symbols("g B second first", real=True)  # second: E eps^2, first: E eps
lam = symbols(f"l1:{DIMENSION + 1}", nonnegative=True)
K = diag(*lam)
D = Matrix(DIMENSION, DIMENSION, lambda i, j: symbols(f"D{min(i, j) + 1}{max(i, j) + 1}", real=True))


def pairings(indices: tuple[int, ...]) -> Expr:
    """E of a product of coordinates of x: the sum over all pairings of products of covariances (0 for odd numbers)."""
    if not indices:
        return 1
    head, *rest = indices
    return sum(K[head, other] * pairings((*rest[:k], *rest[k + 1 :])) for k, other in enumerate(rest))


def one_sample(i: int, j: int) -> Expr:
    """E [x_i x_j r^2], averaged over x, eps and delta."""
    squares = sum(D[k, m] * pairings((i, j, k, m)) for k, m in product(range(DIMENSION), repeat=2))
    crossed = sum(symbols(f"mean{k}") * pairings((i, j, k)) for k in range(DIMENSION))  # E delta_k, times E eps
    return squares - 2 * first * crossed + second * pairings((i, j))


def prove() -> None:
    """The matrix recursion, its diagonal, and sums over equal eigenvalues.

    Raises:
        AssertionError: if a step fails.
    """
    indices = range(DIMENSION)
    own = Matrix(DIMENSION, DIMENSION, one_sample)
    stated = 2 * K * D * K + K * (K * D).trace() + K * second
    assert (own - stated).applyfunc(expand) == zeros(DIMENSION), "E x x^T D x x^T = 2 K D K + K tr(K D)"
    drift = Matrix(DIMENSION, DIMENSION, lambda i, j: sum(D[k, j] * pairings((i, k)) for k in indices))
    assert drift == K * D, "E x r delta^T = K D: eps is independent of x, and x is centred"
    pairs = drift * K  # E over delta of E[x_j r_j] E[x_k r_k]^T = K delta delta^T K
    after = D - g * (drift + drift.T) + g**2 / B**2 * (B * stated + B * (B - 1) * pairs)
    total = sum(lam[k] * D[k, k] for k in indices) + second
    rows = [(1 - g * lam[i]) ** 2 * D[i, i] + g**2 / B * (lam[i] ** 2 * D[i, i] + lam[i] * total) for i in indices]
    assert all(expand(after[i, i] - rows[i]) == 0 for i in indices), "rho_i"
    same = {lam[1]: lam[0]}  # two modes of one eigenvalue
    modes, rate = (D[0, 0] + D[1, 1], lam[0])
    merged = (1 - g * rate) ** 2 * modes + g**2 / B * (rate**2 * modes + 2 * rate * total)
    assert expand((rows[0] + rows[1] - merged).subs(same)) == 0, "equal eigenvalues add up"
    assert all(row.has(D[i, i]) and not row.has(D[0, 1], D[0, 2], D[1, 2]) for i, row in enumerate(rows)), "closed"


def check() -> None:
    """E of one step's delta delta^T against the moments of x by tensor Gauss-Hermite quadrature, exact for polynomials.

    Raises:
        AssertionError: if it differs by more than 1e-12.
    """
    values, delta, step, noise = np.array([0.4, 1.7]), np.array([0.8, -0.5]), 0.3, (0.2, 0.5)
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    weights = weights / weights.sum()
    x = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2) * np.sqrt(values)
    mass = np.outer(weights, weights).ravel()
    mean_step, square = np.zeros(2), np.zeros((2, 2))
    for eps in (noise[0] - noise[1], noise[0] + noise[1]):  # two equal masses: mean noise[0], E eps^2 as below
        update = x * (x @ delta - eps)[:, None]
        mean_step += mass @ update / 2
        square += np.einsum("n,ni,nj->ij", mass, update, update) / 2
    variance = noise[0] ** 2 + noise[1] ** 2
    for batch in (1, 3):
        mean = square / batch + (1 - 1 / batch) * np.outer(mean_step, mean_step)
        exact = (
            np.outer(delta, delta) - step * (np.outer(mean_step, delta) + np.outer(delta, mean_step)) + step**2 * mean
        )
        total = values @ delta**2 + variance
        rho = (1 - step * values) ** 2 * delta**2
        rho += step**2 / batch * (values**2 * delta**2 + values * total)
        assert np.allclose(np.diag(exact), rho, rtol=1e-12), f"one step of a batch of {batch}"
    assert np.allclose(mean_step, values * delta, rtol=1e-12), "the mean step"
