"""Which solvers run on which case, what is extrapolated instead, and why something is left out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

import numpy as np
from peers import (
    CYRK,
    EXPLICIT,
    Solver,
    TooLong,
    cyrk_solver,
    diffrax_solver,
    euler_solver,
    ours,
    predict,
    scipy_solver,
)
from precision import MAIN, Effort, Entry, Rung, achieved, measure, timed
from references import Reference, reference
from systems import Case, System, system_of

OURS, PREDICT, EULER = "hdlimit", "hdlimit predict", "Euler dt = 1/d"
DENSE, LSODA_MODES = 300, 1000
STEPS_RUN, STEPS_PROBED = 2e5, 2e4
EULER_STEPS, EULER_PROBED = 2e5, 2000


@dataclass
class Result:
    """A case with its reference and the entries of all solvers."""

    case: Case
    system: System
    reference: Reference
    entries: list[Entry]

    def entry(self, name: str) -> Entry | None:
        """The entry of a solver."""
        return next((entry for entry in self.entries if entry.name == name), None)


def makers(case: Case, system: System, longest: float) -> dict[str, Callable[[], Solver]]:
    """Makers of every peer, by name. longest: seconds after which SciPy is stopped."""
    found: dict[str, Callable[[], Solver]] = {}
    for method in ("RK45", "DOP853", "LSODA", "BDF", "Radau"):
        found[f"SciPy {method}"] = lambda method=method: scipy_solver(system, method, longest)  # type: ignore[misc]
    for method in CYRK:
        found[f"CyRK {method}"] = lambda method=method: cyrk_solver(system, method)  # type: ignore[misc]
    for method in ("Tsit5", "Kvaerno5"):
        found[f"diffrax {method}"] = lambda method=method: diffrax_solver(case, system, method)  # type: ignore[misc]
    return found


def worth_a_try(name: str, case: Case, n: int, quick: bool) -> bool:
    """Whether a peer runs on a case of n modes: implicit ones, with their dense n x n Jacobian, up to 300, LSODA up to
    1000, all that take no more than seconds a call on the stiff case; with quick only fast ones.
    """
    library, method = name.split()
    if method in EXPLICIT:
        return True
    if quick and (library == "diffrax" or (n > DENSE and library == "CyRK")):
        return False
    if n <= DENSE or (method == "LSODA" and n <= LSODA_MODES):
        return True
    return case.name == "stiff" and library != "CyRK" and not quick


def extrapolated(name: str, solver: Solver, case: Case, system: System, longest: float) -> Entry | None:
    """An entry by extrapolation where stability asks an explicit method for too many steps; else None.

    The solver runs over a shorter horizon, long enough for its steps to be those of stability, and the time is
    multiplied.
    """
    reach = EXPLICIT.get(name.split()[-1])
    if reach is None or (steps := system.fastest * case.horizon / reach) <= STEPS_RUN:
        return None
    share = STEPS_PROBED / steps
    times = np.geomspace(case.times[0] * share, case.horizon * share, case.times.size)
    try:
        solver(times, MAIN)
        seconds = timed(lambda: solver(times, MAIN)) / share
    except TooLong:
        return Entry(name, note="too long")
    if seconds <= longest:
        return None
    return Entry(name, note=f"extrapolated from T = {case.horizon * share:.2g}, rtol 1e-6", extrapolated=seconds)


def euler_entry(case: Case, known: Reference, effort: Effort) -> Entry:
    """The published way: run where it has few steps, else extrapolated from its first 2000."""
    d = case.problem.dimension
    steps, solver = case.horizon * d, euler_solver(case)
    if steps > EULER_STEPS:
        times = np.geomspace(1 / d, EULER_PROBED / d, 10)
        seconds = timed(lambda: solver(times, MAIN)) * steps / EULER_PROBED
        return Entry(EULER, note=f"extrapolated from {EULER_PROBED} of {steps:.3g} steps", extrapolated=seconds)
    before = process_time()
    risk = solver(case.times, MAIN)
    rung = Rung(MAIN, achieved(risk, known.risk), process_time() - before, 1)
    return Entry(EULER, [rung], f"{rung.seconds:.3g} s, one fixed step")


def run_case(case: Case, quick: bool, effort: Effort) -> Result:
    """Everything about one case."""
    system = system_of(case.limit)
    known = reference(case, system)
    running: dict[str, Solver] = {OURS: ours(case), PREDICT: predict(case)}
    others = []
    for name, make in makers(case, system, 2 * effort.longest).items():
        if not worth_a_try(name, case, system.size, quick):
            reason = "with --quick" if quick else "its n x n Jacobian is dense"
            others.append(Entry(name, note=f"left out: {reason}"))
            continue
        try:
            solver = make()
        except ImportError as error:
            others.append(Entry(name, note=f"left out: {error.name or error} is not installed"))
            continue
        except NotImplementedError as error:
            others.append(Entry(name, note=f"left out: no response for {error}"))
            continue
        entry = extrapolated(name, solver, case, system, effort.longest)
        if entry is None:
            running[name] = solver
        else:
            others.append(entry)
    print(f"  {case.name}: {', '.join(running)}", file=sys.stderr, flush=True)
    entries = measure(running, case.times, known.risk, effort)
    return Result(case, system, known, [*entries, *others, euler_entry(case, known, effort)])
