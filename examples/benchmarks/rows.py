"""What must hold: one row a statement, each a ratio or a figure taken in this run."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from euler import extrapolated
from precision import MAIN, seconds_at, timed
from suite import OURS, PREDICT, Result
from systems import STIFF, steep, steep_lr

import hdlimit as hd
from hdlimit.limit.integrator import solve
from hdlimit.limit.system import limit_of

COMPILED = ("CyRK", "diffrax")
OPERATIONS, DIVISIONS, BYTES = (
    219,
    12,
    480,
)  # a mode and step with three functionals, counted in hdlimit/kernels/mode_sweeps.py


class Row(NamedTuple):
    """One statement. name: also the key in the JSON; value; least, most: bounds, None for none; text: with its units;
    ratio: whether the value is one that the guard may compare.
    """

    name: str
    value: float
    text: str
    least: float | None = None
    most: float | None = None
    ratio: bool = True

    @property
    def holds(self) -> bool | None:
        """Whether the bounds are kept; None without bounds."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def better(self) -> str:
        """higher or lower."""
        return "higher" if self.least is not None else "lower"


def in_turns(tasks: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median processor time of every task; each is called once before."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(repeats):
        for name, task in tasks.items():
            times[name].append(timed(task))
    return {name: median(values) for name, values in times.items()}


def _ratio(result: Result, name: str, base: str = OURS) -> float:
    """Time of a solver over ours at an achieved error of 1e-6; nan where either is missing."""
    there, here = result.entry(name), result.entry(base)
    if there is None or here is None:
        return math.nan
    return seconds_at(there.rungs, MAIN).seconds / seconds_at(here.rungs, MAIN).seconds


def of_results(results: Iterable[Result]) -> list[Row]:
    """Against SciPy on the stiff case, against the fastest compiled peer on the isotropic ones."""
    rows = []
    for result in results:
        if result.case.name == "stiff":
            for name, least in (("SciPy LSODA", 300.0), ("SciPy Radau", 1000.0)):
                ratio = _ratio(result, name)
                if math.isfinite(ratio):
                    rows.append(Row(f"stiff: {name} / hdlimit", ratio, f"{ratio:.3g} times at error 1e-6", least))
        if result.case.name.startswith("isotropic"):
            rows += _isotropic(result)
    return rows


def _isotropic(result: Result) -> list[Row]:
    peers = {e.name: 1 / _ratio(result, e.name) for e in result.entries if e.name.split()[0] in COMPILED}
    peers = {name: value for name, value in peers.items() if math.isfinite(value)}
    if not peers:
        return []
    name, value = max(peers.items(), key=lambda pair: pair[1])
    whole = value * _ratio(result, PREDICT)
    key = f"{result.case.name}: hdlimit / fastest compiled peer"
    return [
        Row(key, value, f"{value:.3g} times {name}, the integration alone", most=1.0),
        Row(f"{key}, predict as a whole", whole, f"{whole:.3g} times {name}"),
    ]


def quiet(*args: Any, **options: Any) -> hd.results.Curve:
    """hd.predict without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hd.predict(*args, **options)


def sizes(repeats: int) -> list[Row]:
    """n = 10^6 against n = 10^4 on the stiff problem; time a mode and step."""
    tasks: dict[str, Callable[[], object]] = {}
    for n in (10**4, 10**6):
        problem, optimizer = steep(n), hd.SGD(steep_lr(n))
        tasks[f"{n} predict"] = lambda p=problem, o=optimizer: quiet(p, o, STIFF.horizon)  # type: ignore[misc]
        tasks[f"{n} full"] = lambda p=problem, o=optimizer: quiet(p, o, STIFF.horizon, compress=False)  # type: ignore[misc]
    time = in_turns(tasks, repeats)
    default, full = (time[f"{10**6} {kind}"] / time[f"{10**4} {kind}"] for kind in ("predict", "full"))
    return [
        Row(
            "n = 10^6 / n = 10^4, predict",
            default,
            f"{default:.3g} times ({time['1000000 predict'] * 1e3:.3g} / {time['10000 predict'] * 1e3:.3g} ms)",
            most=150.0,
        ),
        Row(
            "n = 10^6 / n = 10^4, predict(compress=False)",
            full,
            f"{full:.3g} times ({time['1000000 full'] * 1e3:.4g} / {time['10000 full'] * 1e3:.3g} ms)",
        ),
        *(mode_step(n) for n in (1000, 10**4, 10**6)),
    ]


def mode_step(n: int) -> Row:
    """Time a mode and step of the integration of the stiff problem; the median of 7 calls, one for n = 10^6."""
    limit = limit_of(steep(n), hd.SGD(steep_lr(n)), False)
    steps = solve(limit, limit.modes, STIFF.horizon, MAIN).steps
    seconds = median(
        timed(lambda: solve(limit, limit.modes, STIFF.horizon, MAIN)) for _ in range(7 if n < 10**6 else 1)
    )
    each = seconds / (n * steps) * 1e9
    text = (
        f"{each:.3g} ns ({steps} steps, {seconds * 1e3:.4g} ms): {OPERATIONS / each:.3g} Gflop/s, "
        f"{DIVISIONS / each:.2g} Gdivisions/s, {BYTES / each:.3g} Gbyte/s"
    )
    return Row(f"time a mode and step, n = {n}", each, text, ratio=False)


def horizons(repeats: int) -> list[Row]:
    """T = 10^12 against T = 10^4."""
    limit = limit_of(STIFF.problem, STIFF.optimizer, False)
    time = in_turns(
        {f"{t:g}": lambda t=t: solve(limit, limit.modes, t, MAIN) for t in (1e4, 1e12)},  # type: ignore[misc]
        repeats,
    )
    value = time["1e+12"] / time["10000"]
    text = f"{value:.3g} times ({time['1e+12'] * 1e3:.3g} / {time['10000'] * 1e3:.3g} ms)"
    return [Row("T = 1e12 / T = 1e4", value, text, most=3.0)]


def compression(repeats: int) -> list[Row]:
    """A billion modes: time, stated error, the bias of the limit; error against every eigenvalue at d = 10^6."""
    problem, optimizer = hd.Problem(hd.PowerLaw(10**9, 1.2), hd.Gaussian(0.5)), hd.SGD(0.5)
    curve = quiet(problem, optimizer, 20.0)
    ms = in_turns({"": lambda: quiet(problem, optimizer, 20.0)}, repeats)[""] * 1e3
    done = curve.compression
    assert done is not None
    rows = [
        Row("PowerLaw(10**9, 1.2)", ms, f"{ms:.3g} ms warm, {done}; {_bias(curve)}", most=5.0, ratio=False),
    ]
    for optimizer in (hd.SGD(0.5), hd.ClippedSGD(0.5, 0.9), hd.SignSGD(0.5)):
        gap = compression_error(10**6, optimizer)
        text = f"{gap:.2g} of R over the whole curve, d = 10^6, against every eigenvalue, both at rtol 1e-7"
        rows.append(Row(f"error of compression, {optimizer.name}", gap, text, most=1e-6, ratio=False))
    return rows


def _bias(curve: hd.results.Curve) -> str:
    text = f"bias of the limit about 1/d_int = {1 / curve.problem.intrinsic_dimension:.2g}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            largest = float(np.abs(curve.corrected / curve.risk - 1).max())
        except hd.errors.NotAvailable:
            return text
    return f"{text}, to first order at most {largest:.2g}"


def compression_error(d: int, optimizer: Any) -> float:
    """The largest relative difference of R with and without compression, on the default times and 1000 between."""
    problem = hd.Problem(hd.PowerLaw(d, 1.2), hd.Gaussian(0.5))
    few, all_of_them = (quiet(problem, optimizer, 20.0, rtol=1e-7, compress=c) for c in (1e-7, False))
    times = np.union1d(few.time, np.geomspace(1 / d, 20.0, 1000))
    return float(np.abs(few.at(times) / all_of_them.at(times) - 1).max())


def sweeps(side: int, repeats: int) -> list[Row]:
    """10 000 predictions, n = 200, Student-t noise, lr x threshold, beside explicit Euler, extrapolated."""
    problem, base, horizon = (
        hd.Problem(hd.PowerLaw(200, 0.4), hd.StudentT(df=5, scale=0.5)),
        hd.ClippedSGD(0.5, 1.0),
        20.0,
    )
    lr, threshold = np.geomspace(0.05, 1.5, side), np.geomspace(0.1, 5.0, side)
    scale = 10_000 / side**2
    ours = in_turns({"": lambda: hd.sweep(problem, base, horizon, lr=lr, threshold=threshold)}, repeats)[""] * scale
    corners = [hd.ClippedSGD(lr[i], threshold[i]) for i in (side // 10, -1 - side // 10)]
    published = extrapolated(problem, corners, horizon, 10_000)
    name, marked = "10 000 predictions", "" if scale == 1 else f" (extrapolated from {side**2})"
    ratio = published.seconds / ours
    return [
        Row(
            name, ours, f"{ours:.3g} s of processor time{marked}, {ours / 2:.3g} s on two cores", most=16.0, ratio=False
        ),
        Row(f"{name}: Euler / hdlimit", ratio, f"{ratio:.3g} times, Euler {published}", least=1.0),
    ]


def processes(repeats: int) -> list[Row]:
    """Start-up and memory of processes of their own."""
    from fresh import memory, start_up

    start = start_up(repeats)
    rows = []
    for name, most, text in (
        ("cold", 15.0, "no cache of machine code"),
        ("cold, compiled", 15.0, "the same, 30 000 modes kept"),
        ("warm", 1.2, "interpreter to curve"),
        ("warm, compiled", 1.2, "the same, 30 000 modes kept"),
        ("imported", 0.05, "over bare Python"),
    ):
        value = start[name]
        rows.append(Row(f"start-up: {name}", value, f"{value:.3g} s of processor time, {text}", most=most, ratio=False))
    if sys.platform != "linux":
        return rows
    for name, arrays in memory().items():
        most = 12.0 if name in ("named", "array") else None
        text, worth_guarding = f"{arrays:.3g} arrays of d doubles", arrays > 1
        rows.append(Row(f"memory at d = 10^6: {name}", arrays, text, most=most, ratio=worth_guarding))
    return rows


def rows_of(results: Sequence[Result], quick: bool, repeats: int) -> list[Row]:
    """Every row; with quick only those that take seconds."""
    parts: list[Callable[[], list[Row]]] = [lambda: of_results(results), lambda: horizons(repeats)]
    parts += [lambda: sweeps(20 if quick else 100, 1 if quick else 3)]
    if not quick:
        parts += [lambda: sizes(repeats), lambda: compression(repeats), lambda: processes(repeats)]
    rows = []
    for part in parts:
        rows += part()
    return rows
