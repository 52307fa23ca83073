"""SGD with a buffer of gradients: the exact recursion, its limit, the stage of the integrator, criticality and rest.

Theorem. A mode of eigenvalue l has X = (delta, y), y = buffer w/(1 - dampening), w = 1 - beta, and a step
    X <- T X + u g,   E g | X = l delta,   E g^2 = (p/B) l + (1 + 1/B) l^2 E delta^2,   p = sum l E delta^2 + E eps^2,
 with eta = lr (1 - dampening)/w and g0 = eta/d:
    heavy ball   T = [[1, -g0 beta], [0, beta]],     u = (-g0 w, w)
    nesterov     T = [[1, -g0 beta^2], [0, beta]],   u = (-g0 (1 + beta) w, w)
 so that S = E X X^T obeys S <- T S T' + l (T S e u' + u e' S T') + u u' E g^2, e = (1, 0).
 With w = zeta/d both tend, as d grows with t = k/d, to
    dS/dt = A S + S A' + b b' nu l/d,   A = [[0, -eta], [zeta mu l, -zeta]],   b = (0, zeta),   mu = 1, nu = p/B.
 Any 2 x 2 matrix A: A S + S A' + C = 0 is solved by S = [det(A) C + adj(A) C adj(A)']/(-2 tr(A) det(A)).
 At rest S_11 = eta nu/(2 mu d): v = (eta/2) (nu/mu) kappa whatever zeta is, kappa = tr K/d; stable iff eta kappa < 2 B.
 Exactly: X11 of X = A X A' + u u', A = T + l u e', gives q = l^2 X11/B. With x = lr (1 - dampening) l/d,
    heavy ball   B q = x (1 + beta)/(w (2 (1 + beta) - x))
    nesterov     B q = x (1 + beta + beta x + 2 beta^2 x)/((w + beta x)(2 (1 + beta) - (1 + 2 beta) x))
 where A is stable, that is where the last brackets are positive. The map of all second moments has an eigenvalue 1 iff
 calK = sum_i q_i/(1 - q_i) = 1; at rest 2 R = E eps^2 calK/(1 - calK).

Proof. The buffer beta buffer + (1 - dampening) g in the units of y, and delta - lr buffer, delta - lr (g + beta buffer)
(nesterov has no dampening). T = I + M/d + O(1/d^2), u = b/d + O(1/d^2). The stage: by substitution. Criticality: a mode
driven by its own noise, S = A S A' + u u' (F + l^2 S_11/B) with F the rest of E g^2, has l S_11 = (B F/l) q/(1 - q);
with F = l p/B, the sum over modes is v = p calK. The map keeps positive matrices, so that the moments grow iff there is
no positive solution.
"""

from __future__ import annotations

import numpy as np
from sympy import Matrix, cancel, expand, limit, oo, simplify, solve, symbols, together, zeros

beta, eta, zeta, mu, nu, lam, d, B, lr, x = symbols("beta eta zeta mu nu lambda d B lr x", positive=True)
damp, delta, buffer, grad = symbols("dampening delta buffer g")
E1 = Matrix([1, 0])


def heavy_ball(step: object, memory: object) -> tuple[Matrix, Matrix]:
    """T and u of (delta, y) for g0 = step."""
    return Matrix([[1, -step * memory], [0, memory]]), Matrix([-step * (1 - memory), 1 - memory])


def nesterov(step: object, memory: object) -> tuple[Matrix, Matrix]:
    """T and u of (delta, y) for g0 = step."""
    added = 1 - memory
    return Matrix([[1, -step * memory**2], [0, memory]]), Matrix([-step * (1 + memory) * added, added])


def prove() -> None:
    """The maps, the limit, the stage, the rest of the limit, q and calK.

    Raises:
        AssertionError: if a step fails.
    """
    prove_maps()
    prove_limit()
    prove_stage()
    prove_feedback()
    prove_criticality()


def prove_maps() -> None:
    """PyTorch's steps in the units of y.

    Raises:
        AssertionError: if a step fails.
    """
    w = 1 - beta
    kept, after = 1 - damp, beta * buffer + (1 - damp) * grad
    step, unit = lr * kept / w, w / kept  # g0 for lr over d, y over the buffer
    t, u = heavy_ball(step, beta)
    found = t * Matrix([delta, buffer * unit]) + u * grad
    assert simplify(found[0] - (delta - lr * after)) == 0 and simplify(found[1] - after * unit) == 0, "heavy ball"
    t, u = (part.subs(damp, 0) for part in nesterov(step, beta))
    after = after.subs(damp, 0)
    found = t * Matrix([delta, buffer * w]) + u * grad
    assert simplify(found[0] - (delta - lr * (grad + beta * after))) == 0, "nesterov"
    assert simplify(found[1] - after * w) == 0, "its buffer"


def prove_limit() -> None:
    """d (S after - S before) as d grows with zeta = d w and eta fixed, nu l = E g^2 of order 1.

    Raises:
        AssertionError: if a step fails.
    """
    a, b, c, second = symbols("a b c second")
    s = Matrix([[a, b], [b, c]])
    drift, noise = Matrix([[0, -eta], [zeta * lam, -zeta]]), Matrix([0, zeta])
    for rule in (heavy_ball, nesterov):
        t, u = rule(eta / d, 1 - zeta / d)
        cross = lam * (t * s * E1 * u.T)
        after = t * s * t.T + cross + cross.T + u * u.T * second
        stated = drift * s + s * drift.T + noise * noise.T * second / d
        gap = (d * (after - s) - stated).applyfunc(lambda entry: limit(expand(entry), d, oo))
        assert gap == zeros(2), "the limit"
        own = (d * d * u * u.T).applyfunc(lambda entry: limit(expand(entry), d, oo))
        assert own == noise * noise.T, "what noise adds"


def prove_stage() -> None:
    """The Lyapunov equation of any A and C, and the limit at rest.

    Raises:
        AssertionError: if a step fails.
    """
    a = Matrix(2, 2, symbols("a11 a12 a21 a22"))
    c = Matrix([[symbols("c11"), symbols("c12")], [symbols("c12"), symbols("c22")]])
    s = (a.det() * c + a.adjugate() * c * a.adjugate().T) / (-2 * a.trace() * a.det())
    assert (a * s + s * a.T + c).applyfunc(lambda entry: cancel(together(entry))) == zeros(2), "the stage"
    drift = {a[0, 0]: 0, a[0, 1]: -eta, a[1, 0]: zeta * mu * lam, a[1, 1]: -zeta}
    noise = {c[0, 0]: 0, c[0, 1]: 0, c[1, 1]: zeta**2 * nu * lam / d}
    assert simplify(s[0, 0].subs(drift).subs(noise) - eta * nu / (2 * mu * d)) == 0, "S_11 at rest"
    trace, det = a.trace().subs(drift), a.det().subs(drift)
    assert expand(trace + zeta) == 0 and expand(det - eta * zeta * mu * lam) == 0, "A is stable"


def prove_feedback() -> None:
    """Q of both rules, and where A is stable: 1 - |tr| + det > 0 and det < 1 (Jury).

    Raises:
        AssertionError: if a step fails.
    """
    p, q, r = symbols("p q r")
    moments = Matrix([[p, q], [q, r]])
    top = x * (1 + beta + beta * x + 2 * beta**2 * x)
    stated = {
        heavy_ball: (x * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - x)), 2 * (1 + beta) - x),
        nesterov: (
            top / ((1 - beta + beta * x) * (2 * (1 + beta) - (1 + 2 * beta) * x)),
            2 * (1 + beta) - (1 + 2 * beta) * x,
        ),
    }
    for rule, (feedback, room) in stated.items():
        t, u = rule(x / (1 - beta), beta)  # l = 1: x = lr (1 - dampening)/d = g0 w
        a = t + u * E1.T
        gap = moments - (a * moments * a.T + u * u.T)
        (found,) = solve([gap[0, 0], gap[0, 1], gap[1, 1]], [p, q, r], dict=True)
        assert simplify(found[p] - feedback) == 0, "q"
        assert simplify(1 + a.trace() + a.det() - room) == 0, "the edge"
        assert simplify(1 - a.trace() + a.det() - x) == 0, "no other edge"


def prove_criticality() -> None:
    """A mode under its own noise, and two modes at rest under the noise of both.

    Raises:
        AssertionError: if a step fails.
    """
    own, share, drive = symbols("S11 q F", positive=True)
    (found,) = solve(own - share * B / lam**2 * (drive + lam**2 * own / B), own)
    assert simplify(lam * found - B * drive / lam * share / (1 - share)) == 0, "a mode under its own noise"
    q1, q2, v, second = symbols("q1 q2 v second", positive=True)
    norm = q1 / (1 - q1) + q2 / (1 - q2)
    (rest,) = solve(v - (v + second) * norm, v)
    assert simplify(rest - second * norm / (1 - norm)) == 0, "2 R at rest"


def check() -> None:
    """The spectral radius of the map of all second moments at calK = 1, and its rest, for eight modes.

    Raises:
        AssertionError: if they are not 1 to 1e-9, and the stated rest to 1e-9.
    """
    values = np.arange(1, 9) ** -0.7
    for rule, memory, batch in ((heavy_ball, 0.9, 1), (heavy_ball, 0.3, 4), (nesterov, 0.9, 1), (nesterov, 0.6, 3)):
        low, high = 0.0, 2 * (1 + memory) / (1 + 2 * memory * (rule is nesterov)) / values.max()
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if _norm(rule, memory, middle * values, batch) < 1 else (low, middle)
        radius = np.abs(np.linalg.eigvals(_map(rule, memory, low, values, batch)[0])).max()
        assert abs(radius - 1) < 1e-9, f"critical step, {memory}"
        moved, added = _map(rule, memory, low / 2, values, batch)
        rest = np.linalg.solve(np.eye(moved.shape[0]) - moved, added).reshape(-1, 4)
        norm = _norm(rule, memory, low / 2 * values, batch)
        assert abs(values @ rest[:, 0] / (norm / (1 - norm)) - 1) < 1e-9, f"rest, {memory}"


def _norm(rule: object, beta: float, x: np.ndarray, batch: int) -> float:
    """CalK, inf beyond where it exists."""
    if rule is heavy_ball:
        share = x * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - x))
    else:
        top = x * (1 + beta + beta * x + 2 * beta**2 * x)
        share = top / ((1 - beta + beta * x) * (2 * (1 + beta) - (1 + 2 * beta) * x))
    return float((share / (batch - share)).sum()) if share.max() < batch else np.inf


def _map(rule: object, memory: float, x: float, values: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """The linear map of all S, and what E eps^2 = 1 adds, for x = x values of the modes."""
    t, u = (np.array(part, dtype=float) for part in rule(x / (1 - memory), memory))  # type: ignore[operator]
    u, e = u.ravel(), np.array([1.0, 0.0])
    n = values.size
    moved, added = np.zeros((4 * n, 4 * n)), np.zeros(4 * n)
    for i, one in enumerate(values):
        block = np.kron(t, t) + one * (np.kron(t, np.outer(u, e)) + np.kron(np.outer(u, e), t))
        block[:, 0] += (1 + 1 / batch) * one**2 * np.kron(u, u)
        moved[4 * i : 4 * i + 4, 4 * i : 4 * i + 4] = block
        for j, other in enumerate(values):
            moved[4 * i : 4 * i + 4, 4 * j] += one * other / batch * np.kron(u, u)
        added[4 * i : 4 * i + 4] = one / batch * np.kron(u, u)
    return moved, added
