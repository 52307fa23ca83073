"""What a process of its own pays: start-up with and without a cache of machine code, and peak memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from statistics import median
from typing import Any

PREDICTION = (
    "import hdlimit as hd; hd.predict(hd.Problem(hd.PowerLaw(2000, 0.5), hd.Gaussian(0.5)), hd.SGD(0.5), 20.0).risk"
)
LARGE = PREDICTION.replace("PowerLaw(2000, 0.5)", "PowerLaw(30_000, 0.5)").replace("20.0)", "20.0, compress=False)")
MEMORY_SIZE, SMALLER = 10**6, 30_000


def processor_seconds(code: str, folder: Path, repeats: int) -> float:
    """Median processor time of a fresh interpreter that runs the code on the package in `folder`."""
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, env=_environment(folder), cwd=folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(times)


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"
    }  # fmt: skip


def start_up(repeats: int) -> dict[str, float]:
    """Seconds: cold (a copy of the package without any cache), warm (its second and later processes), both also for a
    prediction that is too large to be made without compiled code, and imported (`import hdlimit` over bare Python).
    """
    import hdlimit

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = Path(hdlimit.__file__).parent
        shutil.copytree(package, folder / "hdlimit", ignore=shutil.ignore_patterns("__pycache__"))
        cold, cold_large = (processor_seconds(code, folder, 1) for code in (PREDICTION, LARGE))
        bare, imported, warm, warm_large = (
            processor_seconds(code, folder, repeats) for code in ("pass", "import hdlimit", PREDICTION, LARGE)
        )
    return {
        "cold": cold, "cold, compiled": cold_large, "warm": warm, "warm, compiled": warm_large,
        "imported": imported - bare,
    }  # fmt: skip


def memory() -> dict[str, float]:
    """Peak memory beyond what was there before, in arrays of n = 10^6 doubles, of predict and simulate at d = 10^6.

    A named spectrum, one given as an array (which is there before), both compressed and with every eigenvalue, and 20
    steps of the algorithm.
    """
    found = {}
    for name in TASKS:
        command = [sys.executable, __file__, name]
        here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=here)
        found[name] = float(json.loads(done.stdout))
    return found


def _problem(n: int, named: bool) -> Any:
    import numpy as np

    import hdlimit as hd

    covariance = hd.PowerLaw(n, STEEPNESS) if named else hd.Covariance(np.arange(1.0, n + 1) ** -STEEPNESS)
    covariance.trace  # noqa: B018
    return lambda: hd.Problem(covariance, hd.Gaussian(0.5))


STEEPNESS = 0.5


def _predict(named: bool, compress: bool, n: int) -> Any:
    import hdlimit as hd

    make, horizon = _problem(n, named), 1e4
    return lambda: hd.predict(make(), hd.SGD(0.5 if named else 0.5 * n**0.5), horizon, compress=compress)


def _simulate(n: int) -> Any:
    import hdlimit as hd

    return lambda: hd.simulate(hd.Problem(hd.PowerLaw(n, STEEPNESS), hd.Gaussian(0.5)), hd.SGD(0.5), 20 / n, 1, seed=0)


TASKS = {
    "named": lambda n: _predict(True, True, n),
    "named, compress=False": lambda n: _predict(True, False, n),
    "array": lambda n: _predict(False, True, n),
    "array, compress=False": lambda n: _predict(False, False, n),
    "simulate": _simulate,
}


def peak(task: str) -> float:
    """Peak resident memory of a task beyond that before it, in arrays of 10^6 doubles. A smaller one, large enough to
    load all compiled code, ran first.
    """
    warnings.simplefilter("ignore")
    TASKS[task](SMALLER)()
    run = TASKS[task](MEMORY_SIZE)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as control:
        control.write("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / (8 * MEMORY_SIZE)


def _status(name: str) -> float:
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    print(json.dumps(peak(sys.argv[1])))
