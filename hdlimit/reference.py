"""The integrator of kernels/esdirk.py in plain NumPy: slower, the same method, written to be read and to be compared
with.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.integrate import segments
from hdlimit.kernels import formulas
from hdlimit.limit import Limit
from hdlimit.modes import ModeSystem
from hdlimit.results import DenseOutput

A = [np.array(row) for row in formulas.A]
B, B_HAT, C, DENSE = (np.array(part) for part in (formulas.B, formulas.B_HAT, formulas.C, formulas.DENSE))
GAMMA = A[1][1]


def integrate_reference(limit: Limit, modes: ModeSystem, horizon: float, rtol: float) -> DenseOutput:
    """Integrate a mode system over [0, horizon] with the local error of every functional below rtol of its value.

    limit: supplies the response and the schedules; modes: the system. Returns: the interpolant, up to the divergence.
    Raises: NotAvailable where the risk falls to 0.
    """
    m, weight = modes.start, modes.functionals
    knots, start, coefficients = [0.0], [], []
    for segment in segments(limit, horizon):
        t, f = segment.left, _slope(limit, modes, segment.left, m)
        h = _first_step(weight @ m, weight @ f, segment.right - t)
        while t < segment.right and (weight @ m)[0] <= limit.escape:
            h = min(h, segment.right - t)
            stages = _stages(limit, modes, t, h, m, f, math.nextafter(segment.right, segment.left))
            if stages is None:
                h /= 4
                if h <= 1e-14 * t:
                    raise NotAvailable(f"integrate_reference: no root at t = {t:g} (a risk of 0 is beyond it)")
                continue
            new, slopes = stages
            error = h * np.abs(weight @ slopes.T @ (B - B_HAT))
            size = np.maximum(weight @ m, weight @ new)
            worst = float((error / (rtol * size + 1e-300)).max())
            if worst <= 1 and (weight @ new)[0] >= 0:
                start.append(weight @ m)
                coefficients.append(h * weight @ slopes.T @ DENSE)
                t = segment.right if t + h >= segment.right * (1 - 1e-15) else t + h
                m, f = new, slopes[-1]
                knots.append(t)
            h *= min(5.0, max(0.2, 0.9 * max(worst, 1e-8) ** -0.25))
    return DenseOutput(np.array(knots), np.array(start), np.array(coefficients))


def _first_step(values: FloatArray, slopes: FloatArray, span: float) -> float:
    moving = (values > 0) & (slopes != 0)
    return min(span, 0.02 * float((values[moving] / np.abs(slopes[moving])).min()) if moving.any() else 1e-6 * span)


def _slope(limit: Limit, modes: ModeSystem, t: float, m: FloatArray) -> FloatArray:
    eta = float(limit.lr(t))
    mu, nu = limit.response(float(modes.functionals[0] @ m), float(limit.threshold(t)))
    return -2 * eta * mu * modes.rate * m + eta**2 * nu * modes.diffusion


def _stages(
    limit: Limit, modes: ModeSystem, t: float, h: float, m: FloatArray, f: FloatArray, last: float
) -> tuple[FloatArray, FloatArray] | None:
    """Modes at the end of the step and the slopes of the six stages, shape (6, n); None where a stage has no positive
    root. Schedules are read up to the time `last`, before a jump at the end of the step.
    """
    from scipy.optimize import brentq

    slopes = [f]
    stage = m
    for a, node in zip(A[1:], C[1:]):
        base = m + h * np.tensordot(a[: len(slopes)], slopes, 1)
        when = min(t + node * h, last)
        eta, c = float(limit.lr(when)), float(limit.threshold(when))

        def modes_at(v: float, base: FloatArray = base, eta: float = eta, c: float = c) -> FloatArray:
            mu, nu = limit.response(v, c)
            result: FloatArray = (base + h * GAMMA * eta**2 * nu * modes.diffusion) / (
                1 + 2 * h * GAMMA * eta * mu * modes.rate
            )
            return result

        def gap(log_v: float) -> float:
            return float(modes.functionals[0] @ modes_at(math.exp(log_v))) / math.exp(log_v) - 1  # noqa: B023

        middle = math.log(max(float(modes.functionals[0] @ stage), 1e-250))
        low, high = next(
            ((middle - w, middle + w) for w in (0.1, 1.0, 10.0, 60.0) if gap(middle - w) > 0 > gap(middle + w)),
            (0.0, 0.0),
        )
        if low == high:
            return None
        stage = modes_at(math.exp(brentq(gap, low, high, xtol=1e-13, rtol=1e-14)))
        slopes.append((stage - base) / (h * GAMMA))
    return stage, np.array(slopes)
