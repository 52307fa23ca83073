"""What one core of this machine can do: double-precision rates and memory bandwidth, by small compiled loops."""

from __future__ import annotations

import platform
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from numba import njit

DEGREE = 32


@njit(fastmath={"contract"}, nogil=True)
def _polynomial(x: np.ndarray, y: np.ndarray, repeats: int) -> None:
    """A chain of 32 multiply-adds an element, many elements at a time."""
    for _ in range(repeats):
        for i in range(x.size):
            z = x[i]
            p = 0.5 * z + 0.25
            for _ in range(DEGREE - 1):
                p = p * z + 0.125
            y[i] = p


@njit(error_model="numpy", nogil=True)
def _quotients(x: np.ndarray, y: np.ndarray, repeats: int) -> None:
    for _ in range(repeats):
        for i in range(x.size):
            y[i] = 1.0 / x[i]


@njit(fastmath={"contract"}, nogil=True)
def _triad(a: np.ndarray, b: np.ndarray, c: np.ndarray, repeats: int) -> None:
    for k in range(repeats):
        s = 1.0 + k
        for i in range(a.size):
            a[i] = b[i] + s * c[i]


def _seconds(task: Callable[[], object], repeats: int = 7) -> float:
    task()
    times = []
    for _ in range(repeats):
        before = process_time()
        task()
        times.append(process_time() - before)
    return median(times)


def processor() -> str:
    """The name of the processor, as far as it is told."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def facts() -> dict[str, Any]:
    """Name, Gflop/s of multiply-adds and 10^9 divisions/s from L1, GB/s of a triad from L1, L2 and memory (24 bytes an
    element; a cache line that is written is also read, which is not counted).
    """
    x, y = np.linspace(0.1, 0.9, 1024), np.empty(1024)
    found: dict[str, Any] = {"processor": processor(), "python": platform.python_version()}
    found["gflops"] = 2 * DEGREE * 1024 * 2000 / _seconds(lambda: _polynomial(x, y, 2000)) / 1e9
    found["gdivisions"] = 1024 * 10_000 / _seconds(lambda: _quotients(x, y, 10_000)) / 1e9
    for name, n, repeats in (("L1", 1000, 50_000), ("L2", 20_000, 2000), ("memory", 8_000_000, 3)):
        a, b, c = np.zeros(n), np.ones(n), np.ones(n)
        found[f"{name}_gbytes"] = 24 * n * repeats / _seconds(lambda a=a, b=b, c=c, r=repeats: _triad(a, b, c, r)) / 1e9  # type: ignore[misc]
    return found
