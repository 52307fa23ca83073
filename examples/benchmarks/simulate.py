"""What simulation costs.

    python examples/benchmarks/simulate.py

1. The algorithm itself against drawing its normals in a kernel of the same loops without anything else, d = 100 to
   100 000: cost of the kernel, and of all of simulate, over the cost of the draws.
2. The same 32 runs on threads and on processes.
3. The reduced chain (method="blocks") against the algorithm, d = 10 000 with 16 distinct eigenvalues; and d = 10^6
   with 32, 10^7 steps.

Every figure is a median of repeats that take turns, so that what else the machine does falls on all alike; 1 and 3 are
processor time of one thread, 2 is time on the clock.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numba
import numpy as np

import hdlimit as hd
from hdlimit.simulation.samplers import Rule, block_steps, sampler_of
from hdlimit.simulation.updates import update_of

NORMALS = 10_000_000


class Here(Executor):
    """Runs a task where it is submitted."""

    def submit(self, task: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*args, **options))
        return future


@numba.njit(nogil=True)
def draws(generator: np.random.Generator, deviation: np.ndarray, x: np.ndarray, steps: int) -> None:
    """The normals of `steps` samples."""
    for _ in range(steps):
        for i in range(x.size):
            x[i] = deviation[i] * generator.standard_normal()


def seconds(
    tasks: dict[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = process_time
) -> dict[str, float]:
    """Median time of every task; each is called once before."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(repeats):
        for name, task in tasks.items():
            start = clock()
            task()
            times[name].append(clock() - start)
    return {name: median(values) for name, values in times.items()}


def one_run(problem: hd.Problem, optimizer: Any, steps: int, method: str = "direct") -> None:
    horizon = steps / problem.dimension
    hd.simulate(problem, optimizer, horizon, 1, times=[horizon], method=method, executor=Here())


def kernel(problem: hd.Problem, optimizer: Any, steps: int) -> Callable[[], None]:
    """The steps of the algorithm in blocks, on samples whose noise is drawn already."""
    sampler = sampler_of(problem, 1, "gaussian")
    length, d = min(block_steps(problem.dimension, 1), steps), problem.dimension
    state, generators = problem.initial_error.copy(), (np.random.Generator(np.random.SFC64(k)) for k in (0, 1))
    block = sampler.draw(*generators, length, sampler.scratch())
    threshold = float(optimizer.control_schedule(0.0)) * math.sqrt(problem.covariance.trace)
    rule = Rule(update_of(optimizer).number, np.full(length, 0.3 / d), np.full(length, threshold))

    def run() -> None:
        for start in range(0, steps, length):
            block.advance(state, rule, 0, min(length, steps - start))

    return run


def against_draws(dimensions: tuple[int, ...], normals: int, repeats: int) -> None:
    optimizers = (hd.SGD(0.3), hd.ClippedSGD(0.3, 0.5), hd.SignSGD(0.3))
    print(f"{'':>22}{'kernel / draws':^30}{'simulate / draws':^30}")
    print(f"{'d':>8}{'ns a normal':>14}" + "".join(f"{name:>10}" for name in ("SGD", "clip", "sign")) * 2)
    generator = np.random.Generator(np.random.SFC64(0))
    for d in dimensions:
        steps = max(normals // d, 1)
        problem = hd.Problem(hd.PowerLaw(d, 0.5), hd.Gaussian(0.5))
        deviation, x = np.sqrt(problem.covariance.variances), np.empty(d)
        tasks: dict[str, Callable[[], Any]] = {"draws": partial(draws, generator, deviation, x, steps)}
        tasks |= {f"kernel {o.name}": kernel(problem, o, steps) for o in optimizers}
        tasks |= {o.name: partial(one_run, problem, o, steps) for o in optimizers}
        time = seconds(tasks, repeats)
        ratios = "".join(f"{time[name] / time['draws']:>10.2f}" for name in list(tasks)[1:])
        print(f"{d:>8}{time['draws'] / (steps * d) * 1e9:>14.2f}{ratios}")


def threads_and_processes(repeats: int) -> None:
    cores = os.cpu_count() or 1
    problem = hd.Problem(hd.PowerLaw(1000, 0.5), hd.StudentT(5, 0.5))
    run = partial(hd.simulate, problem, hd.ClippedSGD(0.5, 0.9), 20.0, 32)
    with ThreadPoolExecutor(cores) as threads, ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as processes:
        time = seconds(
            {
                "one after the other": partial(run, executor=Here()),
                "threads": partial(run, executor=threads),
                "processes": partial(run, executor=processes),
            },
            repeats,
            perf_counter,
        )
    print(f"\n32 runs, d = 1000, t = 20, {cores} cores: " + ", ".join(f"{name} {t:.2f} s" for name, t in time.items()))


def chain_against_algorithm(steps: int, long: int, repeats: int) -> None:
    few = hd.Problem(hd.Covariance(np.repeat(np.geomspace(4, 0.1, 16), 625)), hd.StudentT(5, 0.5))
    print("\nmicroseconds a step, d = 10000, 16 distinct eigenvalues")
    for optimizer in (hd.SGD(0.3), hd.ClippedSGD(0.3, 0.5), hd.ClippedSGD(0.3, 0.5, batch_size=4)):
        time = seconds(
            {
                "direct": partial(one_run, few, optimizer, steps),
                "blocks": partial(one_run, few, optimizer, 100 * steps, "blocks"),
            },
            repeats,
        )
        direct, blocks = time["direct"] / steps * 1e6, time["blocks"] / (100 * steps) * 1e6
        print(f"{optimizer!r:<55} direct {direct:7.1f}  blocks {blocks:6.3f}  ratio {direct / blocks:5.0f}")
    million = hd.Problem(hd.Covariance(np.repeat(np.geomspace(4, 0.1, 32), 31_250)), hd.StudentT(5, 0.5))
    start = perf_counter()
    one_run(million, hd.ClippedSGD(0.3, 0.5), long, "blocks")
    print(f"d = 1000000, 32 distinct eigenvalues, {long:g} steps: {perf_counter() - start:.1f} s")


def main(
    dimensions: tuple[int, ...] = (100, 1000, 10_000, 100_000),
    normals: int = NORMALS,
    steps: int = 2000,
    long: int = 10**7,
    repeats: int = 7,
) -> None:
    against_draws(dimensions, normals, 3 * repeats)
    threads_and_processes(max(repeats - 2, 1))
    chain_against_algorithm(steps, long, repeats)


if __name__ == "__main__":
    main()
