"""The backend: what it decides, and nothing else does; every test in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import hdlimit as hd
from hdlimit.core.backend import backend

HEAD = """
import sys, warnings, hashlib
{first}
warnings.simplefilter("ignore")
import numpy as np
import hdlimit as hd
from hdlimit.core.jit import backend
student = hd.Problem(hd.PowerLaw(200, 0.5), hd.StudentT(5.0, 0.5))
steps = hd.schedules.Steps([float(k) for k in range(1, 40)], [0.5 / (k + 1) for k in range(40)])

def bits(optimizer=hd.ClippedSGD(0.5, 0.7), problem=student, horizon=5.0):
    return hashlib.md5(hd.predict(problem, optimizer, horizon).risk.tobytes()).hexdigest()

"""
MISSING = "sys.modules['numba'] = None"


def fresh(code: str, first: str = "", **environment: str) -> list[str]:
    """What a fresh process prints, word by word."""
    clean = {name: value for name, value in os.environ.items() if name != "HDLIMIT_BACKEND"}
    run = subprocess.run(
        [sys.executable, "-c", HEAD.format(first=first) + code],
        capture_output=True,
        text=True,
        check=False,
        env=clean | environment,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split("\n")[:-1]


WITHOUT = """
print(hd.predict(student, hd.SGD(steps), 60.0).outcome)
print(hd.predict(student, hd.ClippedSGD(0.5, 0.7), 5.0).risk[-1])
print(hd.sweep(student, hd.ClippedSGD(0.5, 0.7), 5.0, lr=[0.5]).risk[0, -1])
print(hd.stability(student, hd.SGD(0.5)).critical_lr)
print(hd.tune_lr(student, hd.SGD, horizon=5.0).lr)
"""


def test_without_numba_theory_runs_in_numpy() -> None:
    """Many steps, a mixture of many laws, a sweep, a search: the same numbers as with numba; one warning."""
    report = "print(len(found)); from hdlimit.limit import numpy_sweeps; print(numpy_sweeps.compiled())"
    caught = "found = []; warnings.showwarning = lambda message, *_: found.append(message) if 'numba' in str(message) "
    caught += "else None; warnings.simplefilter('always')\n"
    got, expected = fresh(caught + WITHOUT + report, MISSING), fresh(WITHOUT, HDLIMIT_BACKEND="compiled")
    assert got[0] == expected[0] and got[-2:] == ["1", "False"]
    for one, other in zip(got[1:-2], expected[1:], strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-4 if one == got[-3] else 1e-8)


def test_without_numba_nothing_is_simulated() -> None:
    code = "try: hd.simulate(student, hd.SGD(0.5), 1.0, runs=2)\nexcept hd.errors.NotAvailable as error: print(error)"
    assert fresh(code, MISSING) == ["simulate needs numba, which is not installed"]
    chosen = "simulate needs numba, which the backend 'numpy' does without"
    assert fresh(code, HDLIMIT_BACKEND="numpy") == [chosen]


def test_compiled_cannot_be_had_without_numba() -> None:
    code = "try: backend('compiled')\nexcept hd.errors.NotAvailable as error: print(error)\nprint(backend())"
    assert fresh(code, MISSING) == ["backend: 'compiled' needs numba, which is not installed", "auto"]


THREADS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
barrier = Barrier(4)

def work(k):
    barrier.wait()
    return [bits() for _ in range(2)]

with ThreadPoolExecutor(4) as pool:
    found = sum(pool.map(work, range(4)), [])
print(len(found), len(set(found)))
"""


@pytest.mark.parametrize("choice", ["auto", "compiled", "numpy"])
def test_eight_calls_from_four_threads_have_the_same_bits(choice: str) -> None:
    assert fresh(THREADS, HDLIMIT_BACKEND=choice) == ["8 1"]


HISTORY = """
first = bits()
hd.sweep(student, hd.ClippedSGD(0.5, 0.7), 5.0, lr=[0.1, 0.5])
for _ in range(8):
    bits(hd.SGD(steps), horizon=60.0)
print(first == bits(), first)
"""


def test_a_chosen_backend_has_the_same_bits_whatever_ran_before() -> None:
    """The twin: "auto" begins in NumPy and ends compiled, and the two round differently."""
    compiled, numpy, auto = (fresh(HISTORY, HDLIMIT_BACKEND=choice)[0] for choice in ("compiled", "numpy", "auto"))
    assert compiled.startswith("True") and numpy.startswith("True") and auto.startswith("False")
    assert auto.split()[1] == numpy.split()[1] != compiled.split()[1]


def test_numpy_after_compiled_reads_nothing_that_was_compiled() -> None:
    code = "backend('compiled'); bits(); backend('numpy'); print(bits())"
    assert fresh(code) == fresh("backend('numpy'); print(bits())")


def test_numpy_loads_no_numba() -> None:
    code = "[bits(hd.SGD(steps), horizon=60.0) for _ in range(8)]; print('numba' in sys.modules)"
    assert fresh(code, HDLIMIT_BACKEND="numpy") == ["False"]
    assert fresh(code) == ["True"]


def test_only_backends_are_taken() -> None:
    with pytest.raises(
        hd.errors.InvalidInput, match="backend: expected one of 'auto', 'compiled', 'numpy', got 'fast'"
    ):
        backend("fast")
    run = subprocess.run(
        [sys.executable, "-c", "import hdlimit.core.backend"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HDLIMIT_BACKEND": "fast"},
    )
    assert "HDLIMIT_BACKEND: expected one of" in run.stderr
