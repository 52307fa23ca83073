"""The cases of the suite, as problems for the package and as plain systems of equations for everybody else.

    dm_i/dt = -2 eta mu(v) rate_i m_i + eta^2 nu(v) diffusion_i,   v = sum_i weight_i m_i = 2R

The peers get the arrays and the compiled response (mu, nu) of the package's own limit, so that only the solver differs:
a compiled right-hand side and, for the implicit ones, the analytic Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numba import float64, njit, void

import hdlimit as hd
from hdlimit.limit.system import Limit, limit_of

TIMES = 50
VECTOR = float64[::1]
SUMS = {"reassoc", "contract", "nsz"}


def machine_code(kernel: Any) -> Any:
    """A response kernel as a function that numba calls from compiled code."""
    return getattr(kernel, "compiled", kernel)


@cache
def slope_function(kernel: Any) -> Any:
    """dm/dt as compiled code with the response compiled in: f(m, rate, diffusion, weight, eta, c, parameters, out)."""
    response = machine_code(kernel)

    @njit(void(VECTOR, VECTOR, VECTOR, VECTOR, float64, float64, VECTOR, VECTOR), fastmath=SUMS, error_model="numpy")
    def slope(m, rate, diffusion, weight, eta, c, parameters, out):  # type: ignore[no-untyped-def]
        v = 0.0
        for i in range(m.size):
            v += weight[i] * m[i]
        mu, nu = response(v, c, parameters)
        a, b = -2.0 * eta * mu, eta * eta * nu
        for i in range(m.size):
            out[i] = a * rate[i] * m[i] + b * diffusion[i]

    return slope


@njit(
    void(VECTOR, VECTOR, VECTOR, VECTOR, float64, float64, float64, float64, float64[:, ::1]),
    fastmath=SUMS,
    cache=True,
)
def jacobian_kernel(m, rate, diffusion, weight, eta, mu, mu_slope, nu_slope, out):  # type: ignore[no-untyped-def]
    """d(dm_i/dt)/dm_j = -2 eta mu rate_i [i = j] + (-2 eta mu' rate_i m_i + eta^2 nu' diffusion_i) weight_j."""
    for i in range(m.size):
        through_v = -2.0 * eta * mu_slope * rate[i] * m[i] + eta * eta * nu_slope * diffusion[i]
        for j in range(m.size):
            out[i, j] = through_v * weight[j]
        out[i, i] -= 2.0 * eta * mu * rate[i]


@dataclass(frozen=True, eq=False)
class System:
    """A mode system with its response.

    rate, diffusion, start, weight: shape (n,); eta, c: step size and threshold, constants; kernel, parameters: the
    compiled response (v, c, parameters) -> (mu, nu).
    """

    rate: np.ndarray
    diffusion: np.ndarray
    start: np.ndarray
    weight: np.ndarray
    eta: float
    c: float
    kernel: Any
    parameters: np.ndarray

    @cached_property
    def slope(self) -> Any:
        """The compiled right-hand side."""
        return slope_function(self.kernel)

    @property
    def size(self) -> int:
        """n, the number of modes."""
        return self.rate.size

    @property
    def fastest(self) -> float:
        """An upper bound of the rates -d(dm/dt)/dm at the start."""
        mu, _ = self.kernel(float(self.weight @ self.start), self.c, self.parameters)
        return float(2 * self.eta * mu * self.rate.max())

    def rhs(self, t: float, m: np.ndarray) -> np.ndarray:
        """dm/dt, shape (n,)."""
        out = np.empty(m.size)
        self.slope(m, self.rate, self.diffusion, self.weight, self.eta, self.c, self.parameters, out)
        return out

    def response_slopes(self, v: float) -> tuple[float, float]:
        """mu'(v) and nu'(v) by central differences of fourth order in log v."""
        h = 2e-3
        far, near = (
            np.subtract(*(self.kernel(v * math.exp(sign * step), self.c, self.parameters) for sign in (1, -1)))
            for step in (2 * h, h)
        )
        mu, nu = (8 * near - far) / (12 * h * v)
        return float(mu), float(nu)

    def jacobian(self, t: float, m: np.ndarray) -> np.ndarray:
        """d(dm/dt)/dm, shape (n, n)."""
        out = np.empty((m.size, m.size))
        v = float(self.weight @ m)
        mu, _ = self.kernel(v, self.c, self.parameters)
        jacobian_kernel(
            m, self.rate, self.diffusion, self.weight, self.eta, mu, *self.response_slopes(v), out
        )  # fmt: skip
        return out

    def risk(self, modes: np.ndarray) -> np.ndarray:
        """R of modes, shape (n, ...)."""
        risk: np.ndarray = self.weight @ modes / 2
        return risk


def system_of(limit: Limit, low: float = 1e-8, high: float = 1e8) -> System:
    """The equations of a limit with a constant lr and threshold. low, high: the v that will be met."""
    modes, c = limit.modes, float(limit.control(0.0))
    response = limit.response.compiled((low, high), (c, c))
    arrays = (np.ascontiguousarray(a) for a in (modes.rate, modes.diffusion, modes.start, modes.functionals[0]))
    return System(*arrays, float(limit.lr(0.0)), c, response.kernel, response.parameters)


@dataclass(frozen=True, eq=False)
class Case:
    """One case of the suite.

    name: for --case; title: for the table; make: the problem; optimizer; horizon; slow: whether n is large enough for
    a solver with a dense Jacobian to take seconds.
    """

    name: str
    title: str
    make: Callable[[], hd.Problem]
    optimizer: Any
    horizon: float

    @cached_property
    def problem(self) -> hd.Problem:
        """The problem."""
        return self.make()

    @cached_property
    def limit(self) -> Limit:
        """The limit with every eigenvalue."""
        return limit_of(self.problem, self.optimizer, False)

    @property
    def times(self) -> np.ndarray:
        """Report times: geometric, from 1/d to the horizon."""
        return np.geomspace(1 / self.problem.dimension, self.horizon, TIMES)


STEEP = 1.5


def steep_lr(n: int) -> float:
    """A step size of .2 of d/tr K, for `steep`."""
    return 0.2 * n / float((np.arange(1.0, n + 1) ** -STEEP).sum())


def steep(n: int) -> hd.Problem:
    """The stiff problem: eigenvalues i^-1.5, squared start errors i^-.5/n, noise of variance .01."""
    i = np.arange(1.0, n + 1)
    return hd.Problem(hd.Covariance(i**-STEEP), hd.Gaussian(0.1), target=np.sqrt(i**-0.5 / n))


def _gaussian(covariance: Any) -> Callable[[], hd.Problem]:
    return lambda: hd.Problem(covariance, hd.Gaussian(0.5))


STIFF = Case("stiff", "power law 1.5, n = 1000, SGD, T = 1e8", lambda: steep(1000), hd.SGD(steep_lr(1000)), 1e8)

CASES = [
    Case("isotropic", "isotropic, SGD, T = 10", _gaussian(hd.Isotropic(1000)), hd.SGD(0.5), 10.0),
    Case(
        "isotropic-clip", "isotropic, clip, T = 10", _gaussian(hd.Isotropic(1000)), hd.ClippedSGD(0.5, 0.9), 10.0
    ),
    Case("isotropic-sign", "isotropic, sign, T = 10", _gaussian(hd.Isotropic(1000)), hd.SignSGD(0.5), 10.0),
    Case("mild", "power law 0.5, n = 1000, SGD, T = 10", _gaussian(hd.PowerLaw(1000, 0.5)), hd.SGD(0.5), 10.0),
    Case(
        "marchenko-pastur", "Marchenko-Pastur 0.5, n = 300, sign, T = 20",
        _gaussian(hd.MarchenkoPastur(300, 0.5)), hd.SignSGD(0.5), 20.0,
    ),
    Case(
        "student", "power law 0.5, n = 200, clip, Student-t noise, T = 100",
        lambda: hd.Problem(hd.PowerLaw(200, 0.5), hd.StudentT(df=5, scale=0.5)), hd.ClippedSGD(0.5, 0.9), 100.0,
    ),
    Case(
        "power-1", "power law 1.0, n = 200, clip, T = 1000",
        _gaussian(hd.PowerLaw(200, 1.0)), hd.ClippedSGD(0.5, 0.9), 1e3,
    ),
    Case(
        "steep-sign", "power law 1.5, n = 200, sign, T = 1000",
        _gaussian(hd.PowerLaw(200, 1.5)), hd.SignSGD(0.5), 1e3,
    ),
    STIFF,
    Case(
        "long", "power law 0.5, n = 10^4, SGD, T = 10",
        _gaussian(hd.PowerLaw(10_000, 0.5)), hd.SGD(0.5), 10.0,
    ),
]  # fmt: skip
