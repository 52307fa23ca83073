"""Momentum in the limit: the moment equations against SciPy in the original coordinates, criticality and rest against
the maps of a step written out, extremes, and every route that searches or sweeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special

import hdlimit as hd
from hdlimit.errors import Status
from hdlimit.limit.dynamics import momentum
from hdlimit.limit.integrator import solve
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.base import Memory
from hdlimit.problem.covariance import CovarianceModel

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
NOISE = 0.5
MEMORIES = [
    Memory(0.9, 0.0, False),
    Memory(0.9, 0.0, True),
    Memory(0.5, 0.3, False),
    Memory(0.95, 0.95, False),
    Memory(0.3, 0.0, True),
]


def responses(v: float, c: float, batch: int) -> tuple[float, float]:
    """(mu, nu) for noise N(0, NOISE^2): of the identity for any B, of the clip for B = 1, where r ~ N(0, v + s^2)."""
    width = v + NOISE**2
    if c == math.inf:
        return 1.0, width / batch
    x = c / math.sqrt(2 * width)
    inside = special.erf(x)
    return inside, width * (inside - 2 * x * math.exp(-x * x) / math.sqrt(math.pi)) + c * c * (1 - inside)


def reference(problem: hd.Problem, optimizer: Any, times: np.ndarray, power: int = 1) -> np.ndarray:
    """tr(K^power E delta delta^T), v for 1, by LSODA in the original coordinates.

    It is integrated for D = E (delta, y)(delta, y)^T, of shape (2 d, 2 d).

    d delta = -eta y dt, dy = zeta (g - y) dt with E g = mu K delta and E g g^T = nu K: dD/dt = A D + D A^T + N,
    A = [[0, -eta], [zeta mu K, -zeta]], N = zeta^2 nu K/d in the corner of y.
    """
    d, k, memory = problem.dimension, problem.covariance.matrix, optimizer.memory
    w, batch = 1 - memory.momentum, optimizer.batch_size
    zeta, gain = d * w, (1 - memory.dampening) / w
    delta, one, zero = problem.initial_error, np.eye(d), np.zeros((d, d))
    v0 = float(delta @ k @ delta)
    mu, nu = responses(v0, float(optimizer.control_schedule(0.0)), batch)
    g = mu * k @ delta
    # The first gradient stands in the buffer with weight 1 in place of 1 - dampening.
    first, share = w / (1 - memory.dampening), w
    second = (first**2 - share**2) * (nu * k + (1 + 1 / batch) * np.outer(g, g))
    cross = (first - share) * np.outer(delta, g)
    start = np.block([[np.outer(delta, delta), cross], [cross.T, second]])

    def flow(t: float, flat: np.ndarray) -> np.ndarray:
        s = flat.reshape(2 * d, 2 * d)
        mu, nu = responses(float((k * s[:d, :d]).sum()), float(optimizer.control_schedule(t)), batch)
        eta = float(optimizer.lr_schedule(t)) * gain
        a = np.block([[zero, -eta * one], [zeta * mu * k, -zeta * one]])
        noise = np.block([[zero, zero], [zero, zeta**2 * nu * k / d]])
        moved: np.ndarray = (a @ s + s @ a.T + noise).ravel()
        return moved

    found = integrate.solve_ivp(flow, (0, times[-1]), start.ravel(), "LSODA", times, rtol=1e-10, atol=1e-15)
    corner = found.y.reshape(2 * d, 2 * d, -1)[:d, :d]
    form: np.ndarray = np.einsum("ij,ijt->t", np.linalg.matrix_power(k, power), corner)
    return form


CASES: list[tuple[CovarianceModel, Any]] = [
    (hd.PowerLaw(6, 1.0), hd.SGD(0.08, momentum=0.9)),
    (hd.PowerLaw(6, 1.0), hd.SGD(0.08, 4, momentum=0.9, nesterov=True)),
    (hd.PowerLaw(6, 0.5).rotated(3), hd.SGD(0.3, momentum=0.5, dampening=0.3)),
    (hd.Covariance([0.0, 0.2, 1.0, 2.0]), hd.SGD(0.6, momentum=0.95, dampening=0.95)),
    (hd.Isotropic(5), hd.ClippedSGD(0.06, 0.7, momentum=0.9)),
    (hd.PowerLaw(6, 1.5), hd.ClippedSGD(0.9, 0.5, momentum=0.8, dampening=0.8)),
    (hd.Isotropic(1), hd.SGD(0.01, momentum=0.97)),
    (hd.PowerLaw(5, 0.5), hd.SGD(hd.schedules.Cosine(0.1, 0.01, 6.0), momentum=0.9)),
    (hd.PowerLaw(5, 0.5), hd.SGD(hd.schedules.Steps([2.0, 4.0], [0.05, 0.2, 0.0]), momentum=0.8)),
    (hd.Isotropic(4), hd.ClippedSGD(0.1, hd.schedules.Steps([1.0, 3.0], [1.0, 0.3, 2.0]), momentum=0.7)),
]


@pytest.mark.parametrize(("covariance", "optimizer"), CASES, ids=repr)
def test_curve_is_that_of_the_moment_equations(covariance: CovarianceModel, optimizer: Any) -> None:
    """To 3 rtol; LSODA at 1e-10 knows nothing of modes, blocks or responses of the package."""
    problem, times = hd.Problem(covariance, hd.Gaussian(NOISE)), np.linspace(0.0, 8.0, 33)
    expected = reference(problem, optimizer, times) / 2
    for rtol in (1e-6, 1e-8):
        curve = hd.predict(problem, optimizer, 8.0, rtol=rtol)
        np.testing.assert_allclose(curve.at(times), expected, rtol=max(3 * rtol, 1e-7))


def test_what_else_a_curve_says() -> None:
    """Distance, gradient norm and the noise scales, from norm(delta)^2, norm(K delta)^2 and delta^T K^3 delta."""
    problem, times = hd.Problem(hd.PowerLaw(6, 1.0).rotated(1), hd.Gaussian(NOISE)), np.linspace(0.5, 6.0, 12)
    optimizer = hd.SGD(0.5, momentum=0.8, dampening=0.8)
    curve, k = hd.predict(problem, optimizer, 6.0, times=times), problem.covariance.matrix
    v, *forms = (reference(problem, optimizer, np.append(0.0, times), power)[1:] for power in (1, 0, 2, 3))
    np.testing.assert_allclose(curve.distance, forms[0], rtol=1e-5)
    np.testing.assert_allclose(curve.gradient_norm, np.sqrt(forms[1]), rtol=1e-5)
    for found, form, trace in ((curve.noise_scale, forms[1], np.trace(k)),
                               (curve.hessian_noise_scale, forms[2], np.trace(k @ k))):  # fmt: skip
        np.testing.assert_allclose(found, ((v + NOISE**2) * trace + form) / form, rtol=1e-5)


def test_another_memory_is_told_apart() -> None:
    """The twin of the test above: plain SGD with the effective step, or 1 % more memory, is no answer."""
    problem, times = hd.Problem(hd.PowerLaw(6, 1.0), hd.Gaussian(NOISE)), np.linspace(0.0, 8.0, 33)
    expected = reference(problem, hd.SGD(0.08, momentum=0.9), times) / 2
    for wrong in (hd.SGD(0.8), hd.SGD(0.08, momentum=0.901), hd.SGD(0.8, momentum=0.9, dampening=0.9)):
        assert np.abs(hd.predict(problem, wrong, 8.0).at(times) / expected - 1).max() > 1e-3


def test_oscillation_without_noise() -> None:
    """One mode falls and rises as delta'' = -zeta (delta' + eta delta); B is so large that noise is 1e-6 of it."""
    problem = hd.Problem(hd.Isotropic(50), hd.NoNoise())
    optimizer = hd.SGD(0.4, 10**6, momentum=0.96)
    zeta, eta, times = 2.0, 0.4 / 0.04, np.linspace(0.0, 4.0, 41)
    curve = hd.predict(problem, optimizer, 4.0, rtol=1e-9)
    root = math.sqrt(zeta * eta - zeta**2 / 4)
    delta = np.exp(-zeta * times / 2) * (np.cos(root * times) + zeta / 2 / root * np.sin(root * times))
    np.testing.assert_allclose(curve.at(times), delta**2 / 2, rtol=1e-5, atol=1e-5)
    assert (np.diff(curve.at(times)) > 0).sum() > 5


def test_numpy_and_the_compiled_integrator_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = limit_of(hd.Problem(hd.PowerLaw(20, 0.5), hd.Gaussian(NOISE)), hd.ClippedSGD(0.1, 0.7, momentum=0.9))
    times = np.linspace(0.0, 5.0, 50)
    compiled = solve(limit, limit.modes, 5.0, 1e-8).dense
    monkeypatch.setenv("HDLIMIT_BACKEND", "numpy")
    plain = solve(limit, limit.modes, 5.0, 1e-8).dense
    for k in range(3):
        np.testing.assert_allclose(plain(times, k), compiled(times, k), rtol=1e-10)


# ---- one step written out: T, u of (delta, buffer), and the map of all second moments of a diagonal K


def step_of(memory: Memory, lr: float) -> tuple[np.ndarray, np.ndarray]:
    """(delta, buffer) <- T (delta, buffer) + u g, as torch.optim.SGD has it, at lr = lr/d."""
    beta, kept = memory.momentum, 1 - memory.dampening
    if memory.nesterov:
        return np.array([[1, -lr * beta**2], [0, beta]]), np.array([-lr * (1 + beta), 1.0])
    return np.array([[1, -lr * beta], [0, beta]]), np.array([-lr * kept, kept])


def moment_map(memory: Memory, eigenvalues: np.ndarray, lr: float, batch: int) -> np.ndarray:
    """All S_i = E X_i X_i^T after a step, as a matrix on (S_1, ..., S_n), for psi(r) = r, Gaussian x and no noise.

    S <- T S T^T + l (T S e u^T + u e^T S T^T) + u u^T G, G = (v/B) l + (1 + 1/B) l^2 S_11 by Isserlis, v = sum l S_11.
    """
    (t, u), n = step_of(memory, lr), eigenvalues.size
    e = np.array([1.0, 0.0])
    found = np.zeros((4 * n, 4 * n))
    for i, l in enumerate(eigenvalues):  # noqa: E741
        own = np.kron(t, t) + l * (np.kron(t, np.outer(u, e)) + np.kron(np.outer(u, e), t))
        own[:, 0] += (1 + 1 / batch) * l * l * np.kron(u, u)
        found[4 * i : 4 * i + 4, 4 * i : 4 * i + 4] = own
        for j, other in enumerate(eigenvalues):
            found[4 * i : 4 * i + 4, 4 * j] += l * other / batch * np.kron(u, u)
    return found


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_critical_lr_is_where_the_map_of_moments_has_radius_one(memory: Memory, batch: int) -> None:
    for covariance in (hd.PowerLaw(8, 1.0), hd.Isotropic(1), hd.Covariance([0.0, 0.3, 2.0])):
        values, d = np.linalg.eigvalsh(covariance.matrix), covariance.dimension
        problem, optimizer = hd.Problem(covariance), hd.SGD(1.0, batch, *memory)
        critical = hd.stability(problem, optimizer).critical_lr
        radius = np.abs(np.linalg.eigvals(moment_map(memory, values, critical / d, batch))).max()
        assert radius == pytest.approx(1.0, abs=1e-9)
        assert momentum.kernel_norm(memory, covariance, critical, batch) == pytest.approx(1.0, rel=1e-9)
        for share in (0.9, 1.1):
            radius = np.abs(np.linalg.eigvals(moment_map(memory, values, share * critical / d, batch))).max()
            judged = hd.stability(problem, hd.SGD(share * critical, batch, *memory))
            # A mode at rest, of eigenvalue 0 or a delta that never moves, has radius 1.
            assert judged.stable == (share < 1) and (radius > 1 + 1e-6) == (share > 1)


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
def test_critical_batch(memory: Memory) -> None:
    covariance = hd.PowerLaw(30, 0.5)
    values, d = np.linalg.eigvalsh(covariance.matrix), covariance.dimension
    for lr in (0.1, 0.7, 1.5):
        lr /= memory.gain
        batch = hd.stability(hd.Problem(covariance), hd.SGD(lr, 1, *memory)).critical_batch
        radius = [
            np.abs(np.linalg.eigvals(moment_map(memory, values, lr / d, b))).max() for b in (batch, batch - 1) if b
        ]
        assert radius[0] < 1 and (batch == 1 or radius[1] > 1)
    edge = 2 * (1 + memory.momentum) / (1 + 2 * memory.momentum * memory.nesterov) / (1 - memory.dampening)
    for share, finite in ((0.99, True), (1.01, False)):
        found = hd.stability(hd.Problem(covariance), hd.SGD(share * edge * d / covariance.norm, 1, *memory))
        assert math.isfinite(found.critical_batch) == finite


@pytest.mark.parametrize("memory", MEMORIES, ids=repr)
def test_exact_rest_is_that_of_the_iterated_recursion(memory: Memory) -> None:
    """At rest 2 R = s^2 X/(1 - X), X the kernel norm; the recursion of exact_mean gets there."""
    covariance, batch = hd.PowerLaw(12, 0.5), 2
    problem, lr = hd.Problem(covariance, hd.Gaussian(NOISE)), 0.9 / memory.gain
    at_rest = hd.exact_mean(problem, hd.SGD(lr, batch, *memory), [20_000]).risk[-1]
    norm = momentum.kernel_norm(memory, covariance, lr, batch)
    assert at_rest == pytest.approx(NOISE**2 * norm / (1 - norm) / 2, rel=1e-9)


def slowest_rate(problem: hd.Problem, optimizer: Any, risk: float) -> float:
    """The slowest rate at rest of S = E X X^T, X = (delta, y), from the Jacobian of its flow by differences."""
    limit, memory, d = limit_of(problem, optimizer), optimizer.memory, problem.dimension
    zeta, lr, c = d * (1 - memory.momentum), float(limit.lr(0.0)), float(limit.control(0.0))
    rate, noise, eta = limit.modes.rate, limit.modes.diffusion, lr * memory.gain

    def flow(s: np.ndarray) -> np.ndarray:
        s11, s12, s22 = s.reshape(3, -1)
        mu, nu = limit.response(float(rate @ s11), c)
        pull = zeta * mu * rate
        rows = (
            -2 * eta * s12,
            pull * s11 - zeta * s12 - eta * s22,
            2 * pull * s12 - 2 * zeta * s22 + zeta**2 * nu * noise,
        )
        return np.concatenate(rows)

    # At rest S_12 = 0, eta S_22 = pull S_11 and 2 zeta S_22 = zeta^2 nu c/d.
    mu, nu = limit.response(2 * risk, c)
    s22 = zeta * nu * noise / 2
    rest = np.concatenate([eta * s22 / (zeta * mu * rate), 0 * s22, s22])
    assert np.abs(flow(rest)).max() <= 1e-7 * (zeta**2 * nu * noise).max()
    columns = []
    for j in range(rest.size):
        h = np.zeros(rest.size)
        h[j] = 1e-4 * max(rest[j], rest[j % rate.size])
        columns.append((flow(rest + h) - flow(rest - h)) / (2 * h[j]))
    return float(-np.linalg.eigvals(np.stack(columns, axis=1)).real.max())


@pytest.mark.parametrize(
    "optimizer", [hd.SGD(0.08, momentum=0.9), hd.SGD(0.5, 4, momentum=0.6, nesterov=True),
                  hd.ClippedSGD(0.1, 0.4, momentum=0.9)], ids=repr
)  # fmt: skip
def test_steady_state_and_its_time_scale(optimizer: Any) -> None:
    """Against the curve at late times, and the slowest eigenvalue of the moment equations by differences."""
    problem = hd.Problem(hd.PowerLaw(10, 0.7), hd.Gaussian(NOISE))
    steady = hd.steady_state(problem, optimizer)
    late = hd.predict(problem, optimizer, 60 * steady.time_scale, rtol=1e-10)
    assert late.risk[-1] == pytest.approx(steady.risk, rel=1e-9)
    assert 1 / steady.time_scale == pytest.approx(slowest_rate(problem, optimizer, steady.risk), rel=1e-6)


# ---- corners


def test_no_momentum_is_sgd_bit_for_bit() -> None:
    problem = hd.Problem(hd.PowerLaw(30, 0.5), hd.Gaussian(NOISE))
    one, other = (hd.predict(problem, o, 5.0) for o in (hd.SGD(0.4), hd.SGD(0.4, momentum=0.0, dampening=0.3)))
    np.testing.assert_array_equal(one.risk, other.risk)


def test_a_short_memory_is_sgd_at_the_effective_step() -> None:
    """zeta -> infinity at d = 1e6: SGD's curve, off by the lag 1/zeta."""
    problem = hd.Problem(hd.Isotropic(10**6), hd.Gaussian(NOISE))
    plain = hd.predict(problem, hd.SGD(0.5), 5.0, times=[1.0, 5.0]).risk
    for kept in ({"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "dampening": 0.5}):
        lr = 0.5 * 0.1 / (1 - kept.get("dampening", 0.0))
        found = hd.predict(problem, hd.SGD(lr, **kept), 5.0, times=[1.0, 5.0]).risk  # type: ignore[arg-type]
        np.testing.assert_allclose(found, plain, rtol=1e-4)


@pytest.mark.parametrize("momentum_", [5e-324, 1e-9, 0.5, 1 - 1e-6, 1 - 2.0**-53])
@pytest.mark.parametrize("covariance", [hd.Isotropic(1), hd.Isotropic(50), hd.Covariance([0.0, 0.0, 1.0])], ids=repr)
def test_every_momentum_and_horizon_ends(momentum_: float, covariance: CovarianceModel) -> None:
    for noise in (hd.NoNoise(), hd.Gaussian(NOISE)):
        problem = hd.Problem(covariance, noise)
        for horizon in (1 / covariance.dimension, 1.0, 1e12):
            lr, kept = 0.2 * (1 - momentum_), {"momentum": momentum_}
            for optimizer in (hd.SGD(lr, **kept), hd.ClippedSGD(lr, 0.5, nesterov=True, **kept)):  # type: ignore[arg-type]
                curve = hd.predict(problem, optimizer, horizon)
                assert np.isfinite(curve.risk).all() and (curve.risk >= 0).all()
                # A billion swings are more than the integrator follows; it says so.
                swings = horizon == 1e12 and momentum_ > 0.9 and curve.outcome.sentence.endswith("steps)")
                assert swings or (curve.outcome.finished and curve.end == horizon)


def test_a_step_of_zero_and_a_start_at_the_target() -> None:
    start = np.ones(20) / 5
    still = hd.Problem(hd.Isotropic(20), hd.NoNoise(), target=start, start=start)
    noisy = hd.Problem(hd.Isotropic(20), hd.Gaussian(NOISE), target=start, start=start)
    for kept in ({"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.9}):
        assert not hd.predict(still, hd.SGD(0.1, **kept), 5.0).risk.any()  # type: ignore[arg-type]
        optimizer = hd.SGD(hd.schedules.Steps([1.0], [0.0, 0.1]), **kept)  # type: ignore[arg-type]
        curve = hd.predict(noisy, optimizer, 5.0)
        assert not curve.at([0.5, 1.0]).any() and curve.at(5.0) > 0
        assert hd.exact_mean(noisy, optimizer, [20, 100]).risk.tolist()[0] == 0.0
        assert hd.stability(noisy, optimizer).stable
        zero = hd.SGD(hd.schedules.Steps([1.0], [0.0, 0.0]), **kept)  # type: ignore[arg-type]
        assert hd.stability(noisy, zero).critical_batch == 1.0


def test_at_and_beyond_the_critical_lr() -> None:
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(NOISE))
    critical = hd.stability(problem, hd.SGD(0.1, momentum=0.9)).limit_critical_lr
    assert critical == pytest.approx(0.2, rel=1e-12)
    for share, risk in ((0.99, 99.0 * NOISE**2 / 2), (1.01, math.inf)):
        found = hd.steady_state(problem, hd.SGD(share * critical, momentum=0.9)).risk
        assert found == pytest.approx(risk, rel=1e-9)
    diverged = hd.predict(problem, hd.SGD(5 * critical, momentum=0.9), 1e4)
    assert diverged.outcome.status is Status.DIVERGED


def test_many_eigenvalues_are_compressed_without_harm() -> None:
    problem = hd.Problem(hd.PowerLaw(9000, 0.6), hd.Gaussian(NOISE))
    for optimizer in (hd.SGD(0.05, momentum=0.9), hd.SGD(0.5, momentum=0.999, dampening=0.999)):
        few, all_of_them = (hd.predict(problem, optimizer, 20.0, compress=c) for c in (True, False))
        assert few.compression is not None
        np.testing.assert_allclose(few.risk, all_of_them.risk, rtol=1e-6)
        np.testing.assert_allclose(few.distance, all_of_them.distance, rtol=1e-6)
