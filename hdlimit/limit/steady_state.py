"""The risk at which a limit settles, and its time scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hdlimit.core.declaration import known_names
from hdlimit.errors import InvalidInput, NotAvailable, Outcome, Status, shown
from hdlimit.limit.dynamics import momentum
from hdlimit.limit.stability import stability
from hdlimit.limit.system import Limit, limit_of
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.optimizers.schedules import Constant
from hdlimit.problem.problem import Problem

# Range of v in which a rest point is searched, within the range of double precision; chosen, not measured.
SMALLEST, LARGEST = 1e-280, 1e280
# Of E eps^2, the v from which a rest point is searched upwards where the risk starts at 0. Chosen, not measured.
FIRST = 1e-12


@dataclass(frozen=True)
class SteadyState:
    """Where a limit settles.

    Attributes
    ----------
    risk : float
        The excess risk R at which the limit settles, inf where it grows without limit.
    time_scale : float
        tau of the slowest mode: R(t) - risk falls like exp(-t/tau) in the end; inf where the risk grows or never moves.
    outcome : Outcome
        Status and sentence.
    """

    risk: float
    time_scale: float
    outcome: Outcome

    def __str__(self) -> str:
        return self.outcome.sentence


def _balance(limit: Limit, lr: float, c: float, v: float) -> float:
    """2 v mu(v) - eta nu(v) cbar, or v less what noise keeps up: its zeros are the steady states."""
    mu, nu = limit.response(v, c)
    if limit.modes.block is not None:
        return v - nu * momentum.steady_share(limit.modes, lr, mu)
    return 2 * v * mu - lr * nu * limit.modes.forcing


# Places of the central difference of fourth order.
_NEAR = np.array([-2.0, -1.0, 1.0, 2.0])
# Weights at these places.
_SLOPE = np.array([1.0, -8.0, 8.0, -1.0]) / 12


def _slope(limit: Limit, c: float, v: float) -> float:
    """d(nu/mu)/dv, by differences of fourth order over 1e-3 v."""
    ratios = [nu / mu for mu, nu in (limit.response(v * (1 + 1e-3 * k), c) for k in _NEAR)]
    return float(_SLOPE @ ratios) / (1e-3 * v)


def _derivative(limit: Limit, c: float, v: float, k: int) -> float:
    """Return the derivative of mu (k = 0) or nu (k = 1) by the same differences."""
    return float(_SLOPE @ [limit.response(v * (1 + 1e-3 * j), c)[k] for j in _NEAR]) / (1e-3 * v)


def _slowest(limit: Limit, strength: float) -> float:
    """Return the smallest y with strength sum_i lambda_i c_i/(d (lambda_i - y)) = 1, in units of lambda.

    Modes that no noise reaches keep their own y = lambda_i.
    """
    from scipy.optimize import brentq

    rate, weight = limit.modes.rate, limit.modes.rate * limit.modes.diffusion
    silent, rate, weight = rate[(rate > 0) & (weight <= 0)], rate[weight > 0], weight[weight > 0]
    first = float(rate[0])
    if strength == 0 or abs(strength) * weight.sum() < 1e-14 * first:
        return float(np.concatenate([[first], silent]).min())

    def secular(y: float) -> float:
        return strength * float((weight / (rate - y)).sum()) - 1

    if strength > 0:
        low, high = 0.0, first * (1 - 1e-15)
    else:
        low, high = first * (1 + 1e-15), float(rate[1]) * (1 - 1e-15) if rate.size > 1 else math.inf
        high = min(high, first - strength * float(weight.sum()))
    if secular(low) * secular(high) > 0:
        root = low if abs(secular(low)) < abs(secular(high)) else high
    else:
        root = float(brentq(secular, low, high, xtol=1e-300, rtol=1e-13))
    return float(np.concatenate([[root], silent]).min())


def _time_scale(limit: Limit, lr: float, c: float, v: float) -> float:
    """Return tau of the slowest mode at the rest point v: dR/dt ~ -(R - R_inf)/tau in the end."""
    mu, nu = limit.response(v, c)
    if limit.modes.block is not None:
        slopes = (_derivative(limit, c, v, k) for k in range(2))
        return momentum.time_scale(limit.modes, lr, (mu, nu), *slopes)
    return 1 / (2 * lr * mu * _slowest(limit, lr * _slope(limit, c, v) / 2))


@known_names
def steady_state(problem: Problem, optimizer: Optimizer) -> SteadyState:
    """Return the excess risk at which the limit settles, and how fast.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        An optimizer with constant lr and threshold.

    Returns
    -------
    SteadyState
        Of several rest points the one next to the start in the direction in which the risk moves. Its risk is inf, with
        the reason, where the risk grows without limit.

    Raises
    ------
    InvalidInput
        For a schedule, which has no steady state.
    NoLimit
        Where nu is infinite.
    NotAvailable
        Where the risk leaves the range of double precision.

    Notes
    -----
    The risk solves 4 R mu(2R) = eta nu(2R) cbar, cbar = (1/d) sum of c_i over lambda_i > 0. The time scale is
    tau = 1/(2 eta mu y), y the smallest root of (eta/2)(nu/mu)' sum_i lambda_i c_i/(d (lambda_i - y)) = 1. With
    momentum v = nu sum_i lambda_i (c_i/d) (det(A_i) w_1^2 + (A_22 w_1 - A_12 w_2)^2)/(-2 tr(A_i) det(A_i)).
    Proof: derivations/steady.py.

    Examples
    --------
    For SGD on K = I the risk is eta sigma^2/(4 B - 2 eta):

    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(200), hd.Gaussian(std=1.0))
    >>> round(hd.steady_state(problem, hd.SGD(lr=0.5)).risk, 6)
    0.166667
    """
    from scipy.optimize import brentq

    check_types(problem, optimizer)
    limit = limit_of(problem, optimizer, problem.covariance.nodes is not None)
    if not (isinstance(limit.lr, Constant) and isinstance(limit.control, Constant)):
        raise InvalidInput(
            "optimizer", "a constant lr and threshold (a schedule has no steady state)", shown(optimizer)
        )
    lr, c = limit.lr.value, limit.control.value
    noise = limit.response.noise.scale_squared
    if problem.initial_risk == 0 and noise == 0:
        return SteadyState(0.0, math.inf, Outcome(Status.FINISHED, "the excess risk stays 0"))
    v = max(2 * problem.initial_risk or FIRST * noise, SMALLEST)
    falling = _balance(limit, lr, c, v) > 0
    factor = 0.5 if falling else 2.0
    while SMALLEST <= v <= LARGEST:
        if (_balance(limit, lr, c, v * factor) > 0) != falling:
            root = brentq(lambda x, v=v: _balance(limit, lr, c, v * x), min(1.0, factor), max(1.0, factor), xtol=1e-14)
            rest = v * root
            tau, risk = _time_scale(limit, lr, c, rest), rest / 2
            return SteadyState(risk, tau, Outcome(Status.FINISHED, f"the excess risk settles at {risk:.6g}"))
        v *= factor
    if falling:
        tau = _time_scale(limit, lr, c, 1e3 * SMALLEST)
        return SteadyState(0.0, tau, Outcome(Status.FINISHED, "the excess risk falls to 0"))
    if limit.bounded:
        raise NotAvailable(f"steady_state: the excess risk rises above {LARGEST:g}, choose other units")
    critical = stability(problem, optimizer).limit_critical_lr
    sentence = f"the excess risk grows without limit: lr {lr:.4g} is not below the limit's critical lr {critical:.4g}"
    return SteadyState(math.inf, math.inf, Outcome(Status.UNSTABLE, sentence))
