"""References that the suite's errors are measured against, none by the package's integrator.

SGD: the limit is linear in m, and v is the inverse Laplace transform of

    V(s) = [sum_i weight_i start_i/(s + a_i) + (eta^2 E eps^2/(B s)) sum_i weight_i diffusion_i/(s + a_i)]
           / [1 - (eta^2/B) sum_i weight_i diffusion_i/(s + a_i)],   a_i = 2 eta rate_i,

summed over a Talbot contour in extended precision; two numbers of nodes must agree. Clip and sign: the method of
Dormand and Prince of order 8 at 1e-13, CyRK's compiled one where it is installed, else SciPy's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from systems import Case, System

AGREE = 1e-11


class Reference(NamedTuple):
    """time, risk: shape (T,); how: the route, for the table."""

    time: np.ndarray
    risk: np.ndarray
    how: str


def talbot(system: System, second_moment: float, batch: int, times: np.ndarray, nodes: int) -> np.ndarray:
    """v of SGD at times > 0 by Talbot's contour with that many nodes (Weideman's parameters), shape (T,)."""
    k = np.arange(nodes, dtype=np.longdouble)
    theta = np.pi * (2 * k + 1) / nodes - np.longdouble(np.pi)
    theta = theta[theta > 0]
    cot = np.cos(0.6407 * theta) / np.sin(0.6407 * theta)
    z = nodes * (0.5017 * theta * cot - 0.6122 + 0.2645j * theta)
    dz = nodes * (0.5017 * cot - 0.5017 * 0.6407 * theta / np.sin(0.6407 * theta) ** 2 + 0.2645j)
    a = 2 * np.longdouble(system.eta) * system.rate
    start = system.weight.astype(np.longdouble) * system.start
    forced = system.weight.astype(np.longdouble) * system.diffusion * np.longdouble(system.eta) ** 2 / batch
    v = np.empty(times.size)
    for i, t in enumerate(times):
        s = z / np.longdouble(t)
        resolvent = 1 / (s[:, None] + a)
        kept, noise = resolvent @ start, resolvent @ forced
        transform = (kept + second_moment / s * noise) / (1 - noise)
        v[i] = float((np.exp(z) * transform * dz).imag.sum() * 2 / (nodes * np.longdouble(t)))
    return v


def linear_reference(case: Case, system: System) -> Reference:
    """Of SGD. Raises RuntimeError where the two contours differ by more than 1e-11."""
    second, batch = case.limit.response.noise.second_moment, case.limit.response.batch_size
    rough, fine = (talbot(system, second, batch, case.times, nodes) for nodes in (36, 44))
    if (gap := float(np.abs(rough / fine - 1).max())) > AGREE:
        raise RuntimeError(f"{case.name}: the reference is good to {gap:.1g} only")
    return Reference(case.times, fine / 2, f"Laplace transform, two contours agree to {gap:.0e}")


def tight_reference(case: Case, system: System) -> Reference:
    """Of any optimizer by DOP853 at 1e-13, with steps as short as the fastest rate asks: at the edge of stability its
    error estimate is too small. Raises RuntimeError where steps half as long differ by more than 1e-11.
    """
    from peers import cyrk_solver, scipy_solver

    longest = 1 / system.fastest
    try:
        rough, fine = (cyrk_solver(system, "DOP853", longest=h) for h in (longest, longest / 2))
        how = "CyRK's DOP853"
    except ImportError:
        rough, fine = (scipy_solver(system, "DOP853", longest=h) for h in (longest, longest / 2))
        how = "SciPy's DOP853"
    risk = fine(case.times, 1e-13)
    if not (gap := float(np.abs(rough(case.times, 1e-13) / risk - 1).max())) <= AGREE:
        raise RuntimeError(f"{case.name}: the reference is good to {gap:.1g} only")
    return Reference(case.times, risk, f"{how} at 1e-13, steps of 1/rate and half of it agree to {gap:.0e}")


def reference(case: Case, system: System) -> Reference:
    """R at the case's times, to 1e-11."""
    linear = case.limit.response.map.name == "identity"
    return (linear_reference if linear else tight_reference)(case, system)
