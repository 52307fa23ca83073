"""The simulator against a slow twin and exact finite-d means, and its promises on seeds, executors and divergence."""

from __future__ import annotations

import math
import multiprocessing
import subprocess
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from cases import FUNCTION_SCHEDULE, NOISES, OPTIMIZERS, name_of
from harness import PROBLEMS, start_of
from naive import simulated_run
from scipy import stats

from hdlimit.errors import DivergenceWarning, InvalidInput, Status
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.problem.named_covariances import Isotropic, PowerLaw, Wishart
from hdlimit.problem.noise import Gaussian, StudentT
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.schedules import Power, Schedule, Steps, Table
from hdlimit.simulation.samplers import factor
from hdlimit.simulation.simulate import simulate

LR = Steps(times=[0.5, 1.5], values=[0.8, 0.4, 0.2])
THRESHOLD = Table(times=[0.0, 2.0], values=[1.5, 0.3])
UPDATES: list[Optimizer] = [
    make(batch)
    for batch in (1, 3)
    for make in (
        lambda b: SGD(0.5, batch_size=b),
        lambda b: SGD(LR, batch_size=b),
        lambda b: ClippedSGD(0.5, 0.6, batch_size=b),
        lambda b: ClippedSGD(LR, THRESHOLD, batch_size=b),
        lambda b: SignSGD(0.5, batch_size=b),
        lambda b: SignSGD(LR, batch_size=b),
    )
]


class Serial(Executor):
    """Runs a task where it is submitted."""

    def submit(self, task: Any, /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*args, **options))
        return future


def all_steps(problem: Problem, steps: int) -> np.ndarray:
    return np.arange(steps + 1) / problem.dimension


@pytest.mark.parametrize("optimizer", UPDATES, ids=name_of)
@pytest.mark.parametrize("name", PROBLEMS)
def test_equals_the_naive_twin(name: str, optimizer: Optimizer) -> None:
    problem, steps = PROBLEMS[name], 60
    full = problem.covariance.diagonal is None and problem.rows is None
    runs = simulate(problem, optimizer, steps / problem.dimension, 3, seed=4, times=all_steps(problem, steps))
    assert runs.outcome.status is Status.FINISHED
    for run in (0, 2):
        twin = simulated_run(problem, optimizer, steps, 4, run, factor(problem.covariance.matrix) if full else None)
        np.testing.assert_allclose(runs.risk[run], twin, rtol=1e-12, atol=1e-14 * twin[0])


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_noise_of_every_law_is_the_twins(noise: NoiseLaw) -> None:
    problem = Problem(Isotropic(5), noise)
    runs = simulate(problem, ClippedSGD(0.5, 0.6), 8.0, 1, seed=2, times=all_steps(problem, 40))
    twin = simulated_run(problem, ClippedSGD(0.5, 0.6), 40, 2, 0)
    np.testing.assert_allclose(runs.risk[0], twin, rtol=1e-12, atol=1e-14 * twin[0])


def test_twin_across_blocks() -> None:
    """d = 1 takes 4096 steps a block; d = 2 with batch 1000 takes 262."""
    for problem, optimizer, steps in (
        (Problem(Isotropic(1), StudentT(3, 0.5)), SGD(Power(0.05, 0.3), batch_size=1), 5000),
        (Problem(Isotropic(2), StudentT(3, 0.5)), SignSGD(0.01, batch_size=1000), 300),
    ):
        runs = simulate(problem, optimizer, steps / problem.dimension, 1, times=all_steps(problem, steps))
        twin = simulated_run(problem, optimizer, steps, 0, 0)
        np.testing.assert_allclose(runs.risk[0], twin, rtol=1e-10, atol=1e-14 * twin[0])


def test_gaussian_features_for_a_problem_with_rows() -> None:
    problem = PROBLEMS["rows"]
    bare = Problem(problem.covariance, problem.noise, start=problem.start)
    assert simulate(problem, SGD(0.4), 2.0, 2).rows == "data"
    for optimizer in (SGD(0.4), SignSGD(0.4)):
        runs = simulate(problem, optimizer, 2.0, 2, rows="gaussian")
        assert runs.rows == "gaussian"
        assert np.array_equal(runs.risk, simulate(bare, optimizer, 2.0, 2).risk)


# ---- exact means at finite d


def exact_mean(problem: Problem, optimizer: Optimizer, steps: int, own_variance: bool = True) -> float:
    """E R of SGD after `steps` steps, for Gaussian x: the recursion of rho_i = E delta_i^2 for diagonal K = diag(l).

    rho <- (1 - g l)^2 rho + g^2 [l^2 rho + l S]/B, S = sum l rho + sigma^2, g = eta/d, from E x x^T A x x^T for
    Gaussian x (Isserlis); own_variance=False plants an error: the term l^2 rho is left out.
    """
    length = problem.covariance.variances
    rho = problem.initial_error**2
    for k in range(steps):
        g = optimizer.lr_schedule(k / problem.dimension) / problem.dimension
        total = length @ rho + problem.noise.second_moment
        fluctuation = own_variance * length**2 * rho + length * total
        rho = (1 - g * length) ** 2 * rho + g**2 * fluctuation / optimizer.batch_size
    return float(length @ rho / 2)


@pytest.mark.parametrize(
    ("covariance", "lr", "batch_size"),
    [(Isotropic(10), 1.0, 1), (Isotropic(10), 3.0, 4), (PowerLaw(12, 0.5), Steps([1.0], [1.2, 0.6]), 1)],
    ids=name_of,
)
def test_mean_of_sgd_is_exact(covariance: Isotropic, lr: float | Schedule, batch_size: int) -> None:
    """4000 runs against the exact mean: two-sided t test, false alarm 0.001 a case; the planted error is rejected."""
    problem, optimizer = Problem(covariance, Gaussian(0.3)), SGD(lr, batch_size=batch_size)
    steps = 3 * covariance.dimension
    runs = simulate(problem, optimizer, 3.0, 4000, times=[3.0])
    critical = stats.t.isf(0.0005, runs.runs - 1)
    right, planted = exact_mean(problem, optimizer, steps), exact_mean(problem, optimizer, steps, own_variance=False)
    assert abs(runs.mean[0] - right) < critical * runs.stderr[0]
    assert abs(runs.mean[0] - planted) > critical * runs.stderr[0]


def test_one_step_of_sign_sgd_is_exact() -> None:
    """B = 1, theta* = e_1, K = I, Gaussian noise of variance s2, one step of length g from delta = -e_1.

    E norm(delta - g sign(r x))^2 = 1 + 2 g E sign(r x_1) + g^2 d, r = -x_1 - eps, and E sign(r x_1) =
    -(2/pi) arctan(1/s), s the standard deviation of eps. 10 000 runs, two-sided normal test, false alarm 0.001;
    planted: the formula without noise, arctan = pi/2, is rejected.
    """
    d, s, g = 4, 0.8, 0.5
    problem = Problem(Isotropic(d), Gaussian(s), target=np.eye(d)[0])
    runs = simulate(problem, SignSGD(lr=g * d), 1 / d, 10_000, times=[1 / d])
    critical = stats.norm.isf(0.0005) * runs.stderr[0]
    expected, planted = ((1 - 2 * g * 2 / math.pi * angle + g**2 * d) / 2 for angle in (math.atan(1 / s), math.pi / 2))
    assert abs(runs.mean[0] - expected) < critical
    assert abs(runs.mean[0] - planted) > critical


def test_max_norm_is_enforced() -> None:
    """One step from delta = 0: norm(delta) = (eta/d) min(norm(g), c sqrt(tr K)), with SGD's own g = -eps x."""
    d, c = 6, 0.5
    problem = Problem(Isotropic(d), StudentT(df=2, scale=1.0), start=np.full(d, d**-0.5))
    risk = simulate(problem, ClippedSGD(0.9, c), 1 / d, 200, times=[1 / d]).risk[:, 0]
    longest = (0.9 / d * c) ** 2 * d / 2
    assert risk.max() == pytest.approx(longest, rel=1e-12)
    assert 0.05 < (risk < longest * (1 - 1e-9)).mean() < 0.95
    free = simulate(problem, SGD(0.9), 1 / d, 200, times=[1 / d]).risk[:, 0]
    np.testing.assert_allclose(risk, np.minimum(free, longest), rtol=1e-12)
    unlimited = simulate(problem, ClippedSGD(0.9, math.inf), 1 / d, 200, times=[1 / d])
    assert np.array_equal(unlimited.risk[:, 0], free)


# ---- seeds and executors


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("optimizer", [SGD(0.5), SignSGD(0.5, batch_size=3)], ids=name_of)
def test_a_run_does_not_depend_on_the_others(name: str, optimizer: Optimizer) -> None:
    problem = PROBLEMS[name]
    five = simulate(problem, optimizer, 4.0, 5, seed=9).risk
    assert np.array_equal(simulate(problem, optimizer, 4.0, 3, seed=9).risk, five[:3])
    assert np.array_equal(simulate(problem, optimizer, 4.0, 5, seed=9, executor=Serial()).risk, five)
    with ThreadPoolExecutor(3) as threads:
        assert np.array_equal(simulate(problem, optimizer, 4.0, 5, seed=9, executor=threads).risk, five)
    assert isinstance(optimizer, SignSGD) or np.unique(five[:, -1]).size == 5


@pytest.fixture(scope="module")
def processes() -> Any:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_processes_give_the_same_bits(processes: ProcessPoolExecutor) -> None:
    for name, problem in PROBLEMS.items():
        for optimizer in (SignSGD(FUNCTION_SCHEDULE), *(OPTIMIZERS if name == "full" else ())):
            here = simulate(problem, optimizer, 2.0, 3, seed=1)
            assert np.array_equal(simulate(problem, optimizer, 2.0, 3, seed=1, executor=processes).risk, here.risk)


def test_a_schedule_that_cannot_be_sent_is_refused(processes: ProcessPoolExecutor) -> None:
    optimizer = SGD(lambda t: 0.5)
    with pytest.raises(InvalidInput, match="executor: expected threads, .* got a process pool and"):
        simulate(PROBLEMS["diagonal"], optimizer, 1.0, 2, executor=processes)
    assert simulate(PROBLEMS["diagonal"], optimizer, 1.0, 2).outcome.finished


@pytest.mark.parametrize("optimizer", [SGD(0.5), SignSGD(0.5, batch_size=3)], ids=name_of)
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_longer_horizon_continues_the_same_runs(name: str, optimizer: Optimizer) -> None:
    times = [0.0, 1.0, 2.0]
    long, short = (simulate(PROBLEMS[name], optimizer, horizon, 2, times=times) for horizon in (7.0, 2.0))
    assert np.array_equal(long.risk, short.risk)


def test_seeds() -> None:
    problem, optimizer = PROBLEMS["diagonal"], SGD(0.5)

    def risk(seed: Any) -> np.ndarray:
        return simulate(problem, optimizer, 1.0, 2, seed=seed).risk

    sequence = np.random.SeedSequence(7)
    assert np.array_equal(risk(7), risk(sequence)) and sequence.n_children_spawned == 0
    assert not np.array_equal(risk(7), risk(8))
    child = np.random.SeedSequence(7, spawn_key=(3,))
    runs = simulate(problem, optimizer, 1.0, 2, seed=child)
    assert (runs.entropy, runs.spawn_key) == (7, (3,))
    assert np.array_equal(runs.risk, risk(np.random.SeedSequence(runs.entropy, spawn_key=runs.spawn_key)))
    generator = np.random.default_rng(5)
    first, second = risk(generator), risk(generator)
    assert not np.array_equal(first, second)
    again = np.random.default_rng(5)
    assert np.array_equal(first, risk(again)) and np.array_equal(second, risk(again))


@pytest.mark.parametrize("entropy", [[1, 2, 3], [2**40, 7], [0, 5], np.array([3, 4], dtype=np.uint32), 2**200 + 1])
def test_recorded_entropy_gives_the_runs_back(entropy: Any) -> None:
    seed = np.random.SeedSequence(entropy)
    runs = simulate(PROBLEMS["d=1"], SGD(0.5), 3.0, 2, seed=seed)
    assert isinstance(runs.entropy, int)
    again = simulate(PROBLEMS["d=1"], SGD(0.5), 3.0, 2, seed=np.random.SeedSequence(runs.entropy))
    assert np.array_equal(runs.risk, again.risk)
    children = [np.random.SeedSequence(e, spawn_key=(0, 0)).generate_state(4) for e in (entropy, runs.entropy)]
    assert np.array_equal(*children)


# ---- time grid


def test_default_times() -> None:
    problem = Problem(PowerLaw(23, 0.7), Gaussian(0.4))
    runs = simulate(problem, SGD(0.5), 4.03, 2)
    steps = runs.time * 23
    assert runs.risk.shape == (2, 201) and np.abs(steps - np.rint(steps)).max() < 1e-9
    assert runs.time[0] == 0 and runs.time[-1] == 92 / 23 and (np.diff(runs.time) >= 0).all()
    assert (runs.risk[:, 0] == runs.risk[0, 0]).all()
    assert runs.risk[0, 0] == pytest.approx(problem.initial_risk, rel=1e-14)
    grid = simulate(problem, SGD(0.5), 4.03, 2, times=all_steps(problem, 92))
    assert np.array_equal(grid.risk[:, np.rint(steps).astype(int)], runs.risk)


def test_given_times_are_taken_down_to_steps() -> None:
    problem = Problem(Isotropic(10), Gaussian(0.4))
    runs = simulate(problem, SGD(0.5), 1.0, 2, times=[0.0, 0.19, 0.3, 0.3, 0.99, 1.0])
    np.testing.assert_allclose(runs.time, [0.0, 0.1, 0.3, 0.3, 0.9, 1.0], rtol=1e-15)
    assert np.array_equal(runs.risk[:, 2], runs.risk[:, 3])
    only_middle = simulate(problem, SGD(0.5), 1.0, 2, times=[0.3])
    assert np.array_equal(only_middle.risk[:, 0], runs.risk[:, 2])
    assert simulate(problem, SGD(0.5), 0.1, 2).risk.shape == (2, 201)


# ---- ends


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
def test_nothing_moves_at_the_target_without_noise(optimizer: Optimizer) -> None:
    for covariance in (PowerLaw(9, 0.5), Wishart(9, 2.0)):
        start = start_of(9)
        runs = simulate(Problem(covariance, target=start, start=start), optimizer, 3.0, 2)
        assert (runs.risk == 0).all() and runs.outcome.finished


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_no_nan_whatever_the_noise(noise: NoiseLaw, optimizer: Optimizer) -> None:
    start = start_of(8)
    runs = simulate(Problem(Isotropic(8), noise, target=start, start=start), optimizer, 3.0, 2)
    assert np.isfinite(runs.risk).all() and (runs.risk >= 0).all() and runs.outcome.finished


def test_divergence() -> None:
    problem, times = Problem(Isotropic(20), Gaussian(0.5)), np.arange(0, 41) / 2
    with pytest.warns(DivergenceWarning, match="4 of 4 runs diverged, the first at t = "):
        runs = simulate(problem, SGD(6.0), 20.0, 4, times=times)
    assert runs.outcome.status is Status.DIVERGED and not runs.outcome.finished
    assert not np.isnan(runs.risk).any()
    ends = []
    for run, risk in enumerate(runs.risk):
        twin = simulated_run(problem, SGD(6.0), 400, 0, run)[::10]
        end = int((twin > 1e12 * max(0.5, 0.25)).argmax())
        np.testing.assert_allclose(risk[:end], twin[:end], rtol=1e-12)
        assert end > 0 and np.isinf(risk[end:]).all()
        ends.append(times[end])
    assert runs.outcome.sentence.endswith(f"the first at t = {min(ends):g}")


def test_some_runs_diverge_and_overflow_is_no_nan() -> None:
    start = np.full(3, 1e150)
    with pytest.warns(DivergenceWarning):
        runs = simulate(Problem(Isotropic(3), start=start), SGD(40.0), 30.0, 3)
    assert not np.isnan(runs.risk).any() and np.isinf(runs.risk[:, -1]).all() and np.isfinite(runs.risk[:, 0]).all()


def test_updates_of_bounded_length_do_not_diverge() -> None:
    d = 10
    tiny = Problem(Isotropic(d), target=np.full(d, 1e-12))
    for optimizer in (SignSGD(1.0), ClippedSGD(9.0, 100.0)):
        runs = simulate(tiny, optimizer, 60.0, 2)
        assert runs.outcome.finished and runs.risk[:, -1].min() > 1e12 * tiny.initial_risk
    with pytest.warns(DivergenceWarning):
        assert simulate(tiny, ClippedSGD(9.0, math.inf), 60.0, 2).outcome.status is Status.DIVERGED


def test_outcome_and_record() -> None:
    problem, optimizer = PROBLEMS["diagonal"], SGD(0.5)
    runs = simulate(problem, optimizer, 2.0, 2, seed=3)
    assert runs.outcome.sentence == "all 2 runs took 46 steps, up to t = 2"
    assert runs.problem is problem and runs.optimizer is optimizer and runs.horizon == 2.0
    assert (runs.entropy, runs.spawn_key, runs.rows) == (3, (), "gaussian")


def test_progress_counts_the_runs(capsys: pytest.CaptureFixture[str]) -> None:
    plain = simulate(PROBLEMS["diagonal"], SGD(0.5), 1.0, 3)
    assert capsys.readouterr().err == ""
    runs = simulate(PROBLEMS["diagonal"], SGD(0.5), 1.0, 3, progress=True)
    assert "3/3" in capsys.readouterr().err
    assert np.array_equal(plain.risk, runs.risk)


def negative(t: float) -> float:
    return 0.5 - t


class Rising(Schedule):
    def _values(self, t: np.ndarray) -> np.ndarray:
        return np.where(t < 1, 0.5, math.inf)


GOOD = {"problem": Problem(Isotropic(4), Gaussian(1.0)), "optimizer": SGD(0.5), "horizon": 2.0, "runs": 2}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"problem": "K"}, "problem: expected a Problem, got 'K'"),
        ({"problem": Problem(Isotropic(4), target=np.full(4, 1e200))}, "problem: expected .* finite initial risk"),
        ({"optimizer": 0.5}, "optimizer: expected an optimizer .*, got 0.5"),
        ({"horizon": 0.1}, "horizon: expected a time from 1/d = 0.25"),
        ({"horizon": math.nan}, "horizon: expected"),
        ({"runs": 0}, "runs: expected an integer >= 1, got 0"),
        ({"runs": 2.5}, "runs: expected an integer >= 1, got 2.5"),
        ({"seed": -1}, "seed: expected an integer >= 0, a SeedSequence or a Generator, got -1"),
        ({"seed": None}, "seed: expected an integer >= 0, a SeedSequence or a Generator, got None"),
        ({"seed": 0.5}, "seed: expected an integer >= 0, a SeedSequence or a Generator, got 0.5"),
        ({"times": [0.0, 3.0]}, "times: expected non-decreasing times between 0 and the horizon 2"),
        ({"times": [1.0, 0.5]}, "times: expected non-decreasing"),
        ({"times": [-1.0]}, "times: expected non-decreasing"),
        ({"times": []}, "times: expected"),
        ({"rows": "data"}, "rows: expected 'gaussian', as the problem has no rows"),
        ({"rows": 3}, "rows: expected one of 'data', 'gaussian', got 3"),
        ({"executor": 4}, "executor: expected a concurrent.futures.Executor or None, got 4"),
        ({"optimizer": SGD(negative)}, "schedule: expected a function with finite values >= 0"),
        ({"optimizer": SGD(Rising())}, "lr: expected values >= 0 that are finite"),
    ],
)
def test_bad_arguments_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        simulate(**{**GOOD, **changed})


def test_the_simulator_imports_no_theory() -> None:
    """Else one wrong formula could stand on both sides of a verification and cancel."""
    code = """
import sys
import hdlimit as hd
for optimizer in (hd.SGD(0.5), hd.ClippedSGD(0.5, 0.9), hd.SignSGD(0.5)):
    for covariance in (hd.Isotropic(8), hd.Wishart(8, 0.5)):
        hd.simulate(hd.Problem(covariance, hd.StudentT(df=5, scale=0.5)), optimizer, horizon=1.0, runs=2)
print(*sorted(m for m in sys.modules if m.startswith("hdlimit")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {module.split(".")[1] for module in done.stdout.split() if "." in module}
    assert rooms <= {"core", "errors", "execution", "optimizers", "plotting", "problem", "simulation", "storage"}
    assert {"simulation", "problem", "optimizers"} <= rooms
