"""The solvers that the suite compares, each as a function (times, rtol) -> R at the times.

Every peer integrates the same compiled right-hand side; implicit SciPy methods get the analytic Jacobian. The absolute
tolerance of peers is 1e-3 rtol times the mean start of a mode. A run that takes too long raises TooLong.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from time import process_time
from typing import Any

import numpy as np
from euler import euler
from numba import carray, cfunc, float64, njit, types, void
from systems import SUMS, Case, System, machine_code

import hdlimit as hd
from hdlimit.kernels import esdirk
from hdlimit.kernels import grid as sweep
from hdlimit.limit.integrator import initial_range, prepared

Solver = Callable[[np.ndarray, float], np.ndarray]
EXPLICIT = {"RK45": 3.3, "DOP853": 6.4, "TSIT5": 3.5, "VERN8": 6.0, "Tsit5": 3.5}
CYRK = ("RK45", "DOP853", "TSIT5", "VERN8", "LSODA", "BDF", "RADAU")
CHECK_EVERY = 64
MAIN = 1e-6


class TooLong(Exception):
    """A run passed its time limit."""


def absolute(system: System, rtol: float) -> float:
    """The absolute tolerance that goes with a relative one."""
    return 1e-3 * rtol * float(system.start.mean())


def ours(case: Case) -> Solver:
    """The compiled integration as hd.sweep runs it, R alone, its arguments prepared before as those of the peers."""
    limit, modes = case.limit, case.limit.modes
    arrays, thresholds = prepared(limit, modes, case.horizon, MAIN)
    rate, diffusion, _, start, floor, settings, _, lr_breaks, lr, threshold_breaks, threshold = arrays
    response = limit.response.compiled(initial_range(limit, modes), thresholds)
    weight, floor = np.ascontiguousarray(modes.functionals[:1]), floor[:1]
    system = (rate, diffusion, weight, start, floor, settings)
    rest = (lr_breaks, lr[None], threshold_breaks, threshold[None], response.kernel.address, response.parameters)
    compiled, report = sweep.curves.compiled, np.empty((1, sweep.REPORT))

    def run(times: np.ndarray, rtol: float) -> np.ndarray:
        v = np.empty((1, times.size))
        settings[esdirk.RTOL] = rtol
        compiled(*system, np.array([0.0, times[-1]]), *rest, times, v, report)
        risk: np.ndarray = v[0] / 2
        return risk

    return run


def predict(case: Case) -> Solver:
    """hd.predict as it is called."""

    def run(times: np.ndarray, rtol: float) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return hd.predict(case.problem, case.optimizer, float(times[-1]), times=times, rtol=rtol).risk

    return run


def scipy_solver(system: System, method: str, limit_s: float = np.inf, longest: float = np.inf) -> Solver:
    """scipy.integrate.solve_ivp. limit_s: seconds of processor time; longest: step."""
    from scipy.integrate import solve_ivp

    options: dict[str, Any] = {"jac": system.jacobian} if method in ("LSODA", "BDF", "Radau") else {}
    options["max_step"] = longest

    def run(times: np.ndarray, rtol: float) -> np.ndarray:
        calls, deadline = 0, process_time() + limit_s

        def rhs(t: float, m: np.ndarray) -> np.ndarray:
            nonlocal calls
            calls += 1
            if calls % CHECK_EVERY == 0 and process_time() > deadline:
                raise TooLong
            return system.rhs(t, m)

        solution = solve_ivp(
            rhs, (0.0, float(times[-1])), system.start, method, times, rtol=rtol, atol=absolute(system, rtol), **options
        )
        return system.risk(solution.y) if solution.success else np.full(times.size, np.nan)

    return run


@cache
def cyrk_rhs(kernel: Any) -> Any:
    """The right-hand side in the form CyRK calls from C, with the response compiled in.

    args: n, eta, c, number of parameters, the parameters, rate, diffusion, weight.
    """

    response = machine_code(kernel)

    @cfunc(
        void(types.CPointer(float64), float64, types.CPointer(float64), types.CPointer(float64)),
        fastmath=SUMS,
        error_model="numpy",
    )
    def slope(out, t, m, args):  # type: ignore[no-untyped-def]
        n, eta, c, p = int(args[0]), args[1], args[2], int(args[3])
        data = carray(args, 4 + p + 3 * n)
        rate, diffusion, weight = data[4 + p : 4 + p + n], data[4 + p + n : 4 + p + 2 * n], data[4 + p + 2 * n :]
        modes, slopes = carray(m, n), carray(out, n)
        v = 0.0
        for i in range(n):
            v += weight[i] * modes[i]
        mu, nu = response(v, c, data[4 : 4 + p])
        a, b = -2.0 * eta * mu, eta * eta * nu
        for i in range(n):
            slopes[i] = a * rate[i] * modes[i] + b * diffusion[i]

    return slope


def cyrk_arguments(system: System) -> np.ndarray:
    """The argument array of cyrk_rhs."""
    head = [float(system.size), system.eta, system.c, float(system.parameters.size)]
    return np.concatenate([head, system.parameters, system.rate, system.diffusion, system.weight])


@njit
def _weighed(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = np.zeros(y.shape[1])
    for j in range(y.shape[1]):
        for i in range(weight.size):
            total[j] += weight[i] * y[i, j]
    return total


def cyrk_solver(system: System, method: str, steps: int = 0, longest: float = np.inf) -> Solver:
    """CyRK's nbsolve2_ivp. steps: the most it may take, 0 for any number; longest: step. Raises ImportError without
    CyRK.
    """
    from CyRK import nbsolve2_ivp

    slope, args = cyrk_rhs(system.kernel), cyrk_arguments(system)
    address = slope.address

    def run(times: np.ndarray, rtol: float) -> np.ndarray:
        _ = slope  # the machine code lives as long as this does
        solution = nbsolve2_ivp(
            address, (0.0, float(times[-1])), system.start, method, times, False, args,
            rtol, absolute(system, rtol), None, None, 0, 0, longest, 0.0, steps,
        )  # fmt: skip
        good = solution.success and solution.size == times.size
        risk = _weighed(solution.y, system.weight) / 2 if good else np.full(times.size, np.nan)
        solution.free()
        return risk

    return run


def jax_response(case: Case) -> Callable[[Any], tuple[Any, Any]]:
    """(mu, nu) of v in JAX, from the same mixture of normal laws that stands behind the compiled response.

    Raises ImportError without JAX, NotImplementedError for noise that is no mixture of centred normal laws.
    """
    import jax.numpy as jnp
    from jax.scipy.special import erf, erfc, gammainc

    response, c = case.limit.response, float(case.limit.control(0.0))
    kind = response.map.name
    if response.batch_size > 1:
        raise NotImplementedError("batches")
    if kind == "identity":
        second = response.noise.second_moment
        return lambda v: (1.0, v + second)
    parts = response.noise.mixture(c)
    if parts is None or parts.mean.any():
        raise NotImplementedError(repr(response))
    weight, variance = jnp.asarray(parts.weight), jnp.asarray(parts.variance)
    if kind == "sign":
        return lambda v: (jnp.sqrt(2 / jnp.pi) * jnp.sum(weight / jnp.sqrt(v + variance)), 1.0)

    def clip(v: Any) -> tuple[Any, Any]:
        square = v + variance
        a = c / jnp.sqrt(square)
        root = a / jnp.sqrt(2.0)
        return jnp.sum(weight * erf(root)), jnp.sum(weight * (square * gammainc(1.5, root**2) + c * c * erfc(root)))

    return clip


def jax_slope(case: Case, system: System) -> Callable[[Any, Any, Any], Any]:
    """dm/dt in JAX, as a function of (t, m, args)."""
    import jax.numpy as jnp

    response = jax_response(case)
    rate, diffusion, weight = (jnp.asarray(a) for a in (system.rate, system.diffusion, system.weight))

    def slope(t: Any, m: Any, args: Any) -> Any:
        mu, nu = response(jnp.dot(weight, m))
        return -2 * system.eta * mu * rate * m + system.eta**2 * nu * diffusion

    return slope


def diffrax_solver(case: Case, system: System, method: str, steps: int = 200_000) -> Solver:
    """diffrax's diffeqsolve in double precision, compiled for any tolerance. steps: the most it takes."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    term, weight, start = (
        diffrax.ODETerm(jax_slope(case, system)),
        jnp.asarray(system.weight),
        jnp.asarray(system.start),
    )
    floor = absolute(system, 1.0)

    @jax.jit
    def compiled(times: Any, rtol: Any) -> tuple[Any, Any]:
        solution = diffrax.diffeqsolve(
            term, getattr(diffrax, method)(), 0.0, times[-1], None, start,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol * floor),
            saveat=diffrax.SaveAt(ts=times, fn=lambda t, y, args: jnp.dot(weight, y)),
            max_steps=steps, throw=False,
        )  # fmt: skip
        return solution.ys, solution.result == diffrax.RESULTS.successful

    def run(times: np.ndarray, rtol: float) -> np.ndarray:
        values, good = compiled(jnp.asarray(times), rtol)
        return np.asarray(values) / 2 if bool(good) else np.full(times.size, np.nan)

    return run


def euler_solver(case: Case) -> Solver:
    """Explicit Euler with dt = 1/d (euler.py), read off at the steps next to the times; rtol changes nothing."""
    d = case.problem.dimension

    def run(times: np.ndarray, rtol: float) -> np.ndarray:
        risk = euler(case.problem, case.optimizer, float(times[-1]))
        position = np.minimum(times * d, risk.size - 1.0)
        return np.interp(position, np.arange(risk.size), risk)

    return run
