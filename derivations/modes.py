"""From the limiting SDE to the mode system, and the observables of a mode state.

Theorem. d delta = -eta mu G K delta dt + eta sqrt(nu/d) K_g^(1/2) dB. With G^(1/2) K G^(1/2) = Q Lambda Q^T and
w = Q^T G^(-1/2) delta: dw = -eta mu Lambda w dt + eta sqrt(nu/d) C^(1/2) dB, C = Q^T G^(-1/2) K_g G^(-1/2) Q, and
    d m_i/dt = -2 eta mu lambda_i m_i + eta^2 nu c_i/d,  m_i = E w_i^2,    v = delta^T K delta = sum lambda_i w_i^2,
    norm(delta)^2 = tr(Q^T G Q W),  norm(K delta)^2 = tr(Lambda Q^T G^(-1) Q Lambda W),  W = w w^T,
    dW/dt = -eta mu (Lambda W + W Lambda) + eta^2 nu C/d in the mean.

Proof. Substitute, and Ito's formula for w w^T. Shown for two coordinates, a general rotation Q, general G, Lambda,
K_g: the steps are products of matrices and hold for any number of them.
"""

from __future__ import annotations

import numpy as np
from sympy import Matrix, cos, diag, eye, simplify, sin, sqrt, symbols, zeros

lam = symbols("lambda1 lambda2", nonnegative=True)
g = symbols("g1 g2", positive=True)
angle = symbols("angle", real=True)
d1, d2, k11, k12, k22 = symbols("d1 d2 k11 k12 k22", real=True)
eta, mu, nu, d, dt = symbols("eta mu nu d dt", positive=True)


def prove() -> None:
    """The change of variables, Ito's formula, the observables.

    Raises:
        AssertionError: if a step fails.
    """
    q = Matrix([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    big, root = diag(*lam), diag(*(sqrt(entry) for entry in g))
    inverse = root.inv()
    covariance = inverse * q * big * q.T * inverse  # K, from G^(1/2) K G^(1/2) = Q Lambda Q^T
    delta = Matrix([d1, d2])
    w = q.T * inverse * delta
    features = Matrix([[k11, k12], [k12, k22]])

    assert simplify(q.T * q) == eye(2), "Q is orthogonal"
    drift = -eta * mu * root * root * covariance * delta
    assert simplify(q.T * inverse * drift + eta * mu * big * w) == zeros(2, 1), "drift of w"
    noise = q.T * inverse * features * inverse * q
    assert simplify((delta.T * covariance * delta - w.T * big * w)[0]) == 0, "v = sum lambda_i w_i^2"
    state = w * w.T
    distance = (q.T * root * root * q * state).trace()
    assert simplify(distance - (delta.T * delta)[0]) == 0, "distance"
    gradient = (big * q.T * inverse * inverse * q * big * state).trace()
    assert simplify(gradient - (delta.T * covariance * covariance * delta)[0]) == 0, "gradient norm"
    prove_ito(noise)


def prove_ito(noise: Matrix) -> None:
    """E d(w w^T) = E [dw w^T + w dw^T + dw dw^T] to first order in dt, dB having mean 0 and covariance I dt.

    Raises:
        AssertionError: if the mean equation differs.
    """
    w = Matrix(symbols("w1 w2", real=True))
    big = diag(*lam)
    drift = -eta * mu * big * w
    mean = drift * w.T + w * drift.T + eta**2 * nu / d * noise
    stated = -eta * mu * (big * w * w.T + w * w.T * big) + eta**2 * nu * noise / d
    assert simplify(mean - stated) == zeros(2, 2), "dW/dt"
    for i in range(2):
        mode = -2 * eta * mu * lam[i] * w[i] ** 2 + eta**2 * nu * noise[i, i] / d
        assert simplify(mean[i, i] - mode) == 0, "dm_i/dt"


def check() -> None:
    """Drift, v, distance and gradient norm for sign features of a random covariance.

    Raises:
        AssertionError: if a relation is off by more than 1e-12.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((9, 6)) * np.linspace(0.5, 2.0, 6)
    k = rows.T @ rows / 9
    scale = np.sqrt(2 / np.pi) / np.sqrt(np.diag(k))
    values, q = np.linalg.eigh(np.sqrt(scale)[:, None] * k * np.sqrt(scale))
    delta = rng.standard_normal(6)
    w = q.T @ (delta / np.sqrt(scale))
    pairs = (
        (values * w, q.T @ ((scale * (k @ delta)) / np.sqrt(scale))),
        (values @ w**2, delta @ k @ delta),
        (np.trace((q.T * scale) @ q @ np.outer(w, w)), delta @ delta),
        (w @ (values[:, None] * ((q.T / scale) @ q) * values) @ w, (k @ delta) @ (k @ delta)),
    )
    for left, right in pairs:
        assert np.allclose(left, right, rtol=1e-12, atol=1e-12), "modes of sign features"
