"""Numbers of the package in a file, and two such files compared: what a change of the code leaves as it was.

    python examples/benchmarks/snapshot.py write old.json
    python examples/benchmarks/snapshot.py compare old.json new.json     # exit code 1 above 1e-12

`write` makes 200 predictions (risk at 40 times, spread, corrected mean, steady state, critical step), 40 tunings
(constants, greedy steps, best thresholds) and 20 verdicts over laws, covariances, optimizers, schedules and batches,
all with fixed seeds. Numbers are written as hexadecimal floats, so that equal means the same bits; what differs is
listed with the largest relative difference of its kind. The integrator is made to run compiled.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import hdlimit as hd

TOLERANCE = 1e-12
schedules: Any = getattr(hd, "schedules", hd)
tuning: Any = getattr(hd, "tuning", hd)


def laws() -> list[Any]:
    return [
        *(hd.NoNoise(), hd.Gaussian(0.5), hd.StudentT(5, 0.5), hd.StudentT(1.5, 0.4), hd.Laplace(0.4)),
        *(hd.Uniform(0.9), hd.Rademacher(0.6), hd.GaussianMixture([0.9, 0.1], [0.2, 2.0])),
        hd.Empirical([-1.3, -0.2, 0.0, 0.1, 0.1, 0.4, 0.9]),
    ]


def covariances() -> list[Any]:
    return [
        *(hd.Isotropic(200), hd.PowerLaw(300, 0.5), hd.PowerLaw(20000, 1.2), hd.MarchenkoPastur(100, 0.5)),
        *(hd.Wishart(60, 0.5, seed=3), hd.Covariance(np.geomspace(0.1, 3.0, 80))),
    ]


def optimizers() -> list[Any]:
    cosine, steps = schedules.Cosine(0.6, 0.05, 8.0), schedules.Steps([3.0], [0.5, 0.2])
    return [
        *(hd.SGD(0.4), hd.SGD(cosine, batch_size=4), hd.ClippedSGD(0.5, 0.7), hd.ClippedSGD(steps, 0.4)),
        *(hd.ClippedSGD(0.4, schedules.Table([0.0, 8.0], [1.0, 0.2])), hd.SignSGD(0.3), hd.SignSGD(0.2, batch_size=3)),
    ]


def hexed(values: Any) -> list[str]:
    return [float(x).hex() for x in np.ravel(np.asarray(values, dtype=np.float64))]


def numbers(**parts: Any) -> dict[str, Any]:
    """Each part as hexadecimal floats, or the refusal that came in its place."""
    found = {}
    for name, part in parts.items():
        try:
            found[name] = hexed(part())
        except ValueError as refusal:
            found[name] = f"{type(refusal).__name__}: {refusal}"
    return found


def predictions(count: int = 200) -> Iterator[tuple[str, dict[str, Any]]]:
    cases = [(c, n, o) for c in covariances() for n in laws() for o in optimizers()]
    chosen = [cases[k] for k in np.random.default_rng(7).permutation(len(cases))[:count]]
    for k, (covariance, noise, optimizer) in enumerate(chosen):
        problem, horizon = hd.Problem(covariance, noise), (6.0, 40.0, 1000.0)[k % 3]
        times = np.concatenate([[0.0], np.geomspace(horizon / 1000, horizon, 39)])
        try:
            curve = hd.predict(problem, optimizer, horizon, times)
        except ValueError as refusal:
            yield f"{problem!r} {optimizer!r}", {"refusal": str(refusal)}
            continue
        parts = {"risk": lambda c=curve: c.risk, "end": lambda c=curve: c.end}
        if k % 4 == 0 and covariance.dimension <= 300:
            parts |= {"spread": lambda c=curve: c.spread, "corrected": lambda c=curve: c.corrected}
        parts |= {
            "steady": lambda p=problem, o=optimizer: hd.steady_state(p, o).risk,
            "critical": lambda p=problem, o=optimizer: hd.stability(p, o).critical_lr,
        }
        yield f"{problem!r} {optimizer!r} T={horizon:g}", numbers(**parts)


def tunings() -> Iterator[tuple[str, dict[str, Any]]]:
    for noise in laws():
        for covariance in (hd.PowerLaw(300, 0.5), hd.Isotropic(200)):
            problem = hd.Problem(covariance, noise)
            yield f"tune_clip {problem!r}", numbers(constants=lambda p=problem: constants(hd.tune_clip(p, 15.0)))
        yield f"tune_lr {problem!r}", numbers(lr=lambda p=problem: hd.tune_lr(p, hd.SignSGD(1.0), 15.0).optimizer.lr)
        yield f"best_threshold {noise!r}", numbers(c=lambda n=noise: tuning.best_threshold(n, 0.1).threshold)
    for noise in laws()[1:5]:
        problem = hd.Problem(hd.PowerLaw(300, 0.5), noise)
        yield f"greedy {problem!r}", numbers(lr=lambda p=problem: tuning.greedy_lr(p, hd.SignSGD, 10.0).values)


def constants(found: Any) -> list[float]:
    return [found.lr, found.threshold, found.risk]


def verdicts() -> Iterator[tuple[str, dict[str, Any]]]:
    chosen = [(n, o) for n in laws()[:3] for o in optimizers()][:20]
    for seed, (noise, optimizer) in enumerate(chosen):
        problem = hd.Problem(hd.PowerLaw(60, 0.3), noise)
        try:
            report = hd.verify(problem, optimizer, horizon=4.0, runs=8, seed=seed)
        except ValueError as refusal:
            yield f"verify {problem!r} {optimizer!r}", {"refusal": str(refusal)}
            continue
        found = {"verdict": report.verdict, "mean": hexed(report.mean), "predicted": hexed(report.predicted)}
        yield f"verify {problem!r} {optimizer!r}", found | {"allowance": hexed(report.allowance)}


def compiled_first() -> None:
    """Enough predictions for the integrator to run compiled in this process."""
    problem = hd.Problem(hd.PowerLaw(200, 0.5), hd.Gaussian(0.3))
    for k in range(60):
        hd.predict(problem, hd.SGD(0.1 + 0.005 * k), 50.0)


def write(path: str) -> None:
    warnings.simplefilter("ignore")
    compiled_first()
    found = {}
    for kind in (predictions, tunings, verdicts):
        found |= {f"{kind.__name__} {k}: {name}": value for k, (name, value) in enumerate(kind())}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    print(f"{len(found)} entries in {path}")


def difference(one: Any, other: Any) -> float:
    """The largest relative difference of two entries, inf where they are not of the same kind or length."""
    if one == other:
        return 0.0
    if isinstance(one, str) or isinstance(other, str) or len(one) != len(other):
        return math.inf
    a, b = (np.array([float.fromhex(x) for x in values]) for values in (one, other))
    scale = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / scale)
    return float(np.where(np.isnan(off), math.inf, off).max())


def compare(first: str, second: str) -> int:
    old, new = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (first, second))
    worst: dict[str, float] = {}
    for key in old.keys() | new.keys():
        one, other = old.get(key, {}), new.get(key, {})
        for part in one.keys() | other.keys():
            off = difference(one.get(part, ""), other.get(part, ""))
            worst[part] = max(worst.get(part, 0.0), off)
            if off > 0:
                print(f"{off:9.2e}  {part:10} {key[:140]}")
    same = sum(old.get(key) == new.get(key) for key in old)
    print(f"{same} of {len(old)} entries have the same bits; largest relative difference by kind:")
    for part, off in sorted(worst.items()):
        print(f"  {part:12} {off:.2e}")
    return int(max(worst.values()) > TOLERANCE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("path")
    both = commands.add_parser("compare")
    both.add_argument("old")
    both.add_argument("new")
    given = parser.parse_args()
    if given.command == "write":
        write(given.path)
        return 0
    return compare(given.old, given.new)


if __name__ == "__main__":
    sys.exit(main())
