"""The compiled integrator against its NumPy twin, and the order of the method."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import name_of
from harness import LIMITS
from reference import _slope, _stages, integrate_reference

import hdlimit as hd
from hdlimit.limit.integrator import solve
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.base import Optimizer


@pytest.mark.parametrize(("problem", "optimizer"), LIMITS, ids=name_of)
def test_the_kernel_is_the_reference(problem: hd.Problem, optimizer: Optimizer) -> None:
    """Two integrations with local errors below rtol: they may differ by a few rtol at most."""
    limit = limit_of(problem, optimizer)
    times = np.geomspace(0.01, 12.0, 200)
    for rtol in (1e-4, 1e-7):
        compiled = solve(limit, limit.modes, 12.0, rtol).dense
        plain = integrate_reference(limit, limit.modes, 12.0, rtol)
        for functional in range(compiled.start.shape[1]):
            np.testing.assert_allclose(compiled(times, functional), plain(times, functional), rtol=3 * rtol)


@pytest.mark.parametrize("route", [solve, integrate_reference], ids=["kernel", "reference"])
def test_steps_follow_the_embedded_estimate_of_order_four(route: object) -> None:
    """Its estimate is O(h^5): steps ~ rtol^(-1/5), 6.3 times as many for a 1e4 times smaller rtol (order 3: 10)."""
    limit = limit_of(*LIMITS[0])
    steps = []
    for rtol in (1e-6, 1e-10):
        found = route(limit, limit.modes, 12.0, rtol)
        steps.append(len(getattr(found, "dense", found).knots) - 1)
    assert 5.7 < steps[1] / steps[0] < 7


def test_the_method_has_order_five() -> None:
    """Fixed steps on a nonlinear problem (sign, 30 modes): halving them divides the error by 2^5."""
    limit = limit_of(*LIMITS[3])
    modes, horizon, schedules = limit.modes, 2.0, (0.5, math.inf)

    def final(count: int) -> float:
        h, m = horizon / count, modes.start
        f = _slope(limit, modes, schedules, m)
        for k in range(count):
            m, slopes = _stages(limit, modes, lambda t: schedules, k * h, h, m, f)
            f = slopes[-1]
        return float(modes.functionals[0] @ m)

    finest = final(512)
    errors = np.abs([final(count) / finest - 1 for count in (16, 32, 64)])
    orders = np.log2(errors[:-1] / errors[1:])
    assert (np.abs(orders - 5) < 0.25).all()


def test_the_reference_refuses_what_it_cannot_follow() -> None:
    limit = limit_of(hd.Problem(hd.Isotropic(30)), hd.SGD(0.5))
    with pytest.raises(hd.errors.NotAvailable, match="a risk of 0"):
        integrate_reference(limit, limit.modes, 1e4, 1e-4)
