"""The integrator of kernels/esdirk.py in plain NumPy: slower, the same method, written to be read and to be compared
with.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.kernels import formulas
from hdlimit.kernels.esdirk import ORDER, SAFETY
from hdlimit.kernels.piecewise import piecewise
from hdlimit.kernels.step import BETWEEN, MIDDLE
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.piecewise import stops, tabulate
from hdlimit.limit.system import Limit

A = [np.array(row) for row in formulas.A]
B, B_HAT, C, SECOND = (np.array(part) for part in (formulas.B, formulas.B_HAT, formulas.C, formulas.SECOND))
DENSE = np.array(formulas.DENSE)
GAMMA = A[1][1]


def integrate_reference(limit: Limit, modes: MomentSystem, horizon: float, rtol: float) -> DenseOutput:
    """Integrate a mode system over [0, horizon] to a relative accuracy of rtol.

    limit: supplies the response and the schedules; modes: the system. Returns: the interpolant, up to the divergence.
    Raises: NotAvailable where the risk falls to 0.
    """
    m, weight = modes.start, modes.functionals
    peaks = weight @ m
    knots, start, coefficients = [0.0], [], []
    ends = stops((limit.lr, limit.control), horizon, rtol).tolist()
    lr, threshold = tabulate(limit.lr, horizon), tabulate(limit.control, horizon)
    for t, end in zip(ends[:-1], ends[1:]):

        def read(s: float, end: float = end) -> tuple[float, float]:
            return piecewise(s, end, *lr), piecewise(s, end, *threshold)

        f = _slope(limit, modes, read(t), m)
        h = _first_step(weight @ m, weight @ f, end - t)
        while t < end and (weight @ m)[0] <= limit.escape:
            h = min(h, end - t)
            stages = _stages(limit, modes, read, t, h, m, f)
            if stages is None:
                h /= 4
                if h <= 1e-14 * t:
                    raise NotAvailable(f"integrate_reference: no root at t = {t:g} (a risk of 0 is beyond it)")
                continue
            new, slopes = stages
            before, after, rates = weight @ m, weight @ new, weight @ slopes.T
            peaks = np.maximum(peaks, before)
            grown = 0.0 if limit.bounded else math.log(max(peaks[0] / limit.scale, 1.0))
            deep = float(np.log(peaks / np.maximum(before, 1e-300)).max()) + grown
            tolerance = SAFETY * rtol * (1 + deep / 3) ** (-4 / 3) * np.maximum(before, after) + 1e-300
            cubic = (before + after) / 2 + h * (rates[:, 0] - rates[:, -1]) / 8
            between = np.abs(before + h * rates @ MIDDLE - cubic) / BETWEEN
            estimates = h * np.abs(rates @ np.stack([B - B_HAT, SECOND], axis=1)).max(axis=1)
            worst = float((np.maximum(estimates, between) / tolerance).max())
            if worst <= 1 and (weight @ new)[0] >= 0:
                start.append(weight @ m)
                coefficients.append(h * weight @ slopes.T @ DENSE)
                t = end if t + h >= end * (1 - 1e-15) else t + h
                m, f = new, slopes[-1]
                knots.append(t)
            h *= min(5.0, max(0.2, 0.9 * max(worst, 1e-8) ** (-1 / ORDER)))
    return DenseOutput(np.array(knots), np.array(start), np.array(coefficients))


def _first_step(values: FloatArray, slopes: FloatArray, span: float) -> float:
    moving = (values > 0) & (slopes != 0)
    return min(span, 0.02 * float((values[moving] / np.abs(slopes[moving])).min()) if moving.any() else 1e-6 * span)


def _slope(limit: Limit, modes: MomentSystem, schedules: tuple[float, float], m: FloatArray) -> FloatArray:
    eta, c = schedules
    mu, nu = limit.response(float(modes.functionals[0] @ m), c)
    return -2 * eta * mu * modes.rate * m + eta**2 * nu * modes.diffusion


def _stages(
    limit: Limit,
    modes: MomentSystem,
    read: Callable[[float], tuple[float, float]],
    t: float,
    h: float,
    m: FloatArray,
    f: FloatArray,
) -> tuple[FloatArray, FloatArray] | None:
    """Modes at the end of the step and the slopes of the seven stages, shape (7, n); None where a stage has no positive
    root. read: t -> (eta, c).
    """
    from scipy.optimize import brentq

    slopes = [f]
    stage = m
    for a, node in zip(A[1:], C[1:]):
        base = m + h * np.tensordot(a[: len(slopes)], slopes, 1)
        eta, c = read(t + node * h)

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
