"""The exact reduced chain: its numbers against a slow twin, its law against the algorithm itself, its extremes."""

from __future__ import annotations

import math
import pickle
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import NOISES, OPTIMIZERS, name_of
from naive import reduced_run
from scipy import stats

from hdlimit.errors import DivergenceWarning, InvalidInput, Status
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.problem.covariance import Covariance, CovarianceModel, Rotated
from hdlimit.problem.least_squares import Rows
from hdlimit.problem.named_covariances import Isotropic, MarchenkoPastur, PowerLaw, Wishart
from hdlimit.problem.noise import Gaussian, NoNoise, Rademacher, StudentT
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.schedules import Steps, Table
from hdlimit.simulation.eigenspaces import BlockSampler, block_chain, eigenspaces
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.simulation.kernels import eigenspaces as kernels
from hdlimit.simulation.kernels import steps as stream
from hdlimit.simulation.runs import Chain
from hdlimit.simulation.samplers import Rule
from hdlimit.simulation.simulate import simulate

RECORD = ("distance", "gradient_norm")
FALSE_ALARM = 1e-3
SCORE = ResidualTable(
    levels=[0.1, 0.5], residuals=[-1.0, -0.2, 0.2, 2.0], scores=[[-0.8, -0.3, 0.3, 1.0], [-1.0, -0.1, 0.1, 2.0]]
)
IDENTITY = [optimizer for optimizer in OPTIMIZERS if optimizer.features == "identity" and optimizer.memory is None]


def repeated(values: list[float], counts: list[int]) -> Covariance:
    return Covariance(np.repeat(values, counts))


def start_of(d: int) -> np.ndarray:
    return np.cos(np.arange(d)) / math.sqrt(d)


def record_of(optimizer: Optimizer) -> tuple[str, ...]:
    return (*RECORD, "clipped_fraction") if isinstance(optimizer, ClippedSGD) else RECORD


def all_steps(problem: Problem, steps: int) -> np.ndarray:
    return np.arange(steps + 1) / problem.dimension


def assert_is_the_twin(problem: Problem, optimizer: Optimizer, steps: int, rtol: float = 1e-10) -> None:
    times, record = all_steps(problem, steps), record_of(optimizer)
    runs = simulate(problem, optimizer, times[-1], 3, seed=4, times=times, method="blocks", record=record)
    for run in (0, 2):
        twin = reduced_run(problem, optimizer, steps, 4, run)
        for name in ("risk", *RECORD):
            values = runs.observable(name).values[run]
            np.testing.assert_allclose(values, twin[name], rtol=rtol, atol=1e-13 * twin[name][0], err_msg=name)
        if "clipped_fraction" in record:
            assert np.array_equal(runs.clipped_fraction[run], twin["clipped"])


# ---- numbers

SPECTRA = [
    PowerLaw(7, 0.7),
    repeated([3.0, 1.0, 0.5, 0.1], [1, 2, 3, 9]),
    repeated([2.0, 0.0, 1.0], [2, 3, 4]),
    Isotropic(1),
    Isotropic(40),
]


@pytest.mark.parametrize("optimizer", IDENTITY, ids=name_of)
@pytest.mark.parametrize("covariance", SPECTRA, ids=name_of)
def test_equals_the_naive_twin(covariance: CovarianceModel, optimizer: Optimizer) -> None:
    assert_is_the_twin(Problem(covariance, StudentT(3, 0.4), start=start_of(covariance.dimension)), optimizer, 60)


@pytest.mark.parametrize("noise", NOISES, ids=name_of)
def test_noise_of_every_law_is_the_twins(noise: NoiseLaw) -> None:
    assert_is_the_twin(Problem(repeated([2.0, 0.5], [4, 3]), noise), ClippedSGD(0.5, 0.6), 40)


def test_twin_across_blocks_of_steps() -> None:
    """One eigenvalue takes 4096 steps a block; two with batch 1000 take 262."""
    assert_is_the_twin(Problem(Isotropic(3), StudentT(3, 0.5)), ClippedSGD(0.05, 1.0), 5000, rtol=1e-8)
    problem = Problem(repeated([2.0, 1.0], [2, 3]), StudentT(3, 0.5))
    assert_is_the_twin(problem, SGD(0.1, batch_size=1000), 300)


@pytest.mark.parametrize("degrees", [0, 1, 2, 3, 4, 7, 50, 31_250, 10**7])
def test_chi_square_is_numpys(degrees: int) -> None:
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    b = degrees / 2 - 1 / 3
    values = [kernels.chi_square(ours, degrees, b, 1 / math.sqrt(9 * max(b, 1 / 6))) for _ in range(500)]
    if degrees < 2:
        expected = theirs.standard_normal(500) ** 2 if degrees else np.zeros(500)
    else:
        expected = theirs.chisquare(degrees, 500)
    assert np.array_equal(values, expected)


def test_eigenspaces() -> None:
    values, counts, length = eigenspaces(Problem(repeated([1.0, 4.0, 0.0], [3, 1, 2]), start=np.arange(6.0)))
    delta = np.arange(6.0) - 6**-0.5
    assert values.tolist() == [4.0, 1.0, 0.0] and counts.tolist() == [1, 3, 2]
    expected = [abs(delta[3]), np.linalg.norm(delta[:3]), np.linalg.norm(delta[4:])]
    np.testing.assert_allclose(length, expected, rtol=1e-14)


def test_equal_eigenvalues_are_one_block() -> None:
    def counts(covariance: CovarianceModel) -> list[int]:
        return eigenspaces(Problem(covariance))[1].tolist()

    assert counts(Covariance([1.0, 1.0 - 1e-13, 1.0 - 1e-10, 1e-20, 2e-20, 0.0])) == [2, 1, 1, 1, 1]
    assert counts(Covariance(1.0 + 0.6e-12 * np.arange(6))) == [2, 2, 2]
    assert counts(Rotated(repeated([2.0, 1.0, 0.0], [5, 6, 9]), 3)) == [5, 6, 9]
    assert counts(PowerLaw(3000, 2.0)) == [1] * 3000
    assert counts(MarchenkoPastur(40, 2.0)) == [1] * 20 + [20]


@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_reading_the_reduced_state_is_reading_delta(scale: float) -> None:
    for covariance in (*SPECTRA, Wishart(20, 2.0), Rotated(SPECTRA[1], 2)):
        d = covariance.dimension
        problem = Problem(covariance, target=np.zeros(d), start=scale * start_of(d))
        chain, delta, k = block_chain(problem, 1), start_of(d), covariance.matrix
        assert chain.risk(chain.start) / scale**2 == pytest.approx(delta @ k @ delta / 2, rel=1e-11)
        assert chain.distance(chain.start) / scale**2 == pytest.approx(delta @ delta, rel=1e-11)
        assert chain.gradient_norm(chain.start) / scale == pytest.approx(np.linalg.norm(k @ delta), rel=1e-11)
        assert chain.trace == pytest.approx(np.trace(k), rel=1e-12)


# ---- law

CASES: dict[str, tuple[Problem, Optimizer, float]] = {
    "d=1": (Problem(Isotropic(1), Gaussian(0.5)), SGD(0.3), 6.0),
    "d=2, simple": (Problem(Covariance([2.0, 0.5]), StudentT(5, 0.4)), ClippedSGD(0.5, 0.6, batch_size=4), 5.0),
    "d=2, repeated": (Problem(Isotropic(2), Rademacher(0.5)), ScoreSGD(0.4, SCORE, 0.2), 4.0),
    "isotropic": (Problem(Isotropic(30), Gaussian(0.5)), SGD(0.8), 3.0),
    "repeated": (Problem(repeated([3.0, 1.0, 0.2], [3, 7, 20]), StudentT(5, 0.4)), ClippedSGD(0.6, 0.6), 3.0),
    "simple": (Problem(PowerLaw(30, 0.5), Rademacher(0.5)), SGD(1.5, batch_size=4), 3.0),
    "singular": (
        Problem(repeated([2.0, 1.0, 0.0], [4, 12, 14]), Gaussian(0.5)),
        ScoreSGD(1.2, SCORE, 0.3, batch_size=4),
        3.0,
    ),
    "full": (Problem(Wishart(20, 2.0), StudentT(5, 0.4), start=start_of(20)), SGD(Steps([1.0], [0.8, 0.3])), 2.0),
    "d=200": (
        Problem(repeated([2.0, 1.0, 0.5, 0.1], [20, 50, 60, 70]), StudentT(5, 0.4)),
        ClippedSGD(0.7, Table([0.0, 2.0], [0.9, 0.3])),
        2.0,
    ),
    "d=200, binned": (
        Problem(PowerLaw(200, 0.5).binned(8), Rademacher(0.5)),
        ClippedSGD(1.5, 0.2, batch_size=4),
        2.0,
    ),
}


def two_ensembles(
    problem: Problem, optimizer: Optimizer, horizon: float, runs: int, other: Problem | None = None
) -> tuple[Ensemble, Ensemble]:
    """By the algorithm itself and by the reduced chain (of another problem)."""
    direct, blocks = (
        simulate(p, optimizer, horizon, runs, times=[horizon / 3, horizon], method=method, record=record_of(optimizer))
        for p, method in ((problem, "direct"), (other or problem, "blocks"))
    )
    return direct, blocks


def smallest_p(direct: Ensemble, blocks: Ensemble) -> float:
    """Bonferroni p-value of all two-sample tests at both times: Kolmogorov-Smirnov for everything recorded, Welch's t
    for the mean of the risk and Brown & Forsythe's test for its spread."""
    p = []
    for k in range(direct.time.size):
        for name in ("risk", *(observable.name for observable in direct.recorded)):
            a, b = (runs.observable(name).values[:, k] for runs in (direct, blocks))
            p.append(stats.ks_2samp(a, b, method="asymp").pvalue)
        a, b = direct.risk[:, k], blocks.risk[:, k]
        p += [stats.ttest_ind(a, b, equal_var=False).pvalue, stats.levene(a, b, center="median").pvalue]
    return float(min(p) * len(p))


@pytest.mark.parametrize("name", CASES)
def test_law_is_that_of_the_algorithm(name: str) -> None:
    """1000 runs each, false alarm 0.001 a case."""
    assert smallest_p(*two_ensembles(*CASES[name], runs=1000)) > FALSE_ALARM


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_law_of_many_runs(name: str) -> None:
    """10 000 runs each, false alarm 0.001 a case."""
    assert smallest_p(*two_ensembles(*CASES[name], runs=10_000)) > FALSE_ALARM


@pytest.mark.parametrize("name", ["isotropic", "d=200"])
def test_noise_that_is_5_percent_too_strong_is_seen(name: str) -> None:
    """The planted twin: the chain's noise has 1.05 times the scale."""
    problem, optimizer, horizon = CASES[name]
    law = problem.noise
    stronger = Gaussian(0.5 * 1.05) if isinstance(law, Gaussian) else StudentT(5, 0.4 * 1.05)
    wrong = Problem(problem.covariance, stronger)
    assert smallest_p(*two_ensembles(problem, optimizer, horizon, 2000, wrong)) < FALSE_ALARM


@pytest.mark.parametrize("name", ["d=2, repeated", "repeated", "singular"])
def test_a_degree_of_freedom_too_many_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted twin: chi^2 with n_b degrees in place of n_b - 1."""

    def wrong(problem: Problem, batch_size: int) -> Chain:
        chain = block_chain(problem, batch_size)
        assert isinstance(chain.sampler, BlockSampler)
        return replace(chain, sampler=replace(chain.sampler, others=chain.sampler.others + 1))

    monkeypatch.setattr(sys.modules["hdlimit.simulation.simulate"], "block_chain", wrong)
    assert smallest_p(*two_ensembles(*CASES[name], runs=1000)) < FALSE_ALARM


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_step_of_sgd_has_the_exact_moments(batch_size: int) -> None:
    """E M_b after one step against Isserlis: (1 - g l)^2 M_b + g^2 [l^2 M_b + n_b l S]/B, S = v + sigma^2.

    40 000 steps from one state, normal tests of 4 blocks together at 0.001; planted: l^2 M_b left out.
    """
    counts, g, sigma, steps = np.array([1, 2, 3, 4]), 0.3, 0.5, 40_000
    l = np.array([2.0, 1.0, 0.7, 0.0])  # noqa: E741
    problem = Problem(repeated(l.tolist(), counts.tolist()), Gaussian(sigma), start=np.zeros(10))
    squares = one_step_squares(problem, SGD(g * 10, batch_size=batch_size), steps)
    m = block_chain(problem, batch_size).start ** 2
    drift, spread = (1 - g * l) ** 2 * m, g**2 * counts * l * (l @ m + sigma**2) / batch_size
    assert (squares[:, 3] == m[3]).all()

    def worst(mean: np.ndarray) -> float:
        z = (squares.mean(axis=0) - mean)[:3] / (squares.std(axis=0)[:3] / math.sqrt(steps))
        return float(np.abs(z).max())

    critical = stats.norm.isf(FALSE_ALARM / 6)
    assert worst(drift + spread + g**2 * l**2 * m / batch_size) < critical < worst(drift + spread)


def one_step_squares(problem: Problem, optimizer: Optimizer, count: int) -> np.ndarray:
    """M_b after one step from the start, many times, shape (count, blocks)."""
    chain = block_chain(problem, optimizer.batch_size)
    generators = np.random.default_rng(1), np.random.default_rng(2)
    lr = optimizer.lr_schedule(0.0) / problem.dimension
    after = np.tile(chain.start, (count, 1))
    for first in range(0, count, 1000):
        block = chain.sampler.draw(*generators, 1000, chain.sampler.scratch())
        rule = Rule(stream.GRADIENT, np.full(1000, lr), np.full(1000, math.inf))
        for k in range(1000):
            block.advance(after[first + k], rule, k, k + 1)
    return after**2


# ---- ends


@pytest.mark.parametrize("optimizer", IDENTITY, ids=name_of)
def test_nothing_moves_at_the_target_without_noise(optimizer: Optimizer) -> None:
    for covariance in (PowerLaw(9, 0.5), Wishart(9, 2.0), Isotropic(2)):
        start = start_of(covariance.dimension)
        problem = Problem(covariance, target=start, start=start)
        runs = simulate(problem, optimizer, 3.0, 2, method="blocks", record=record_of(optimizer))
        assert (runs.risk == 0).all() and runs.outcome.finished
        assert all((observable.values == 0).all() for observable in runs.recorded)


@pytest.mark.parametrize("optimizer", IDENTITY, ids=name_of)
@pytest.mark.parametrize("noise", [NoNoise(), Gaussian(1e-70), Gaussian(1e70), StudentT(0.3, 1.0)], ids=name_of)
def test_no_nan_whatever_the_noise(noise: NoiseLaw, optimizer: Optimizer) -> None:
    """Where noise has no variance SGD may well jump to risks that count as divergence: bounded maps only."""
    bounded = optimizer.flat_table.size > 0 or math.isfinite(float(optimizer.control_schedule(0.0)))
    if math.isinf(noise.second_moment) and not bounded:
        return
    problem = Problem(repeated([2.0, 1.0, 0.5], [1, 3, 4]), noise, start=np.zeros(8))
    runs = simulate(problem, optimizer, 30.0, 2, method="blocks", record=record_of(optimizer))
    assert np.isfinite(runs.risk).all() and (runs.risk >= 0).all() and runs.outcome.finished
    assert all(np.isfinite(o.values).all() and (o.values >= 0).all() for o in runs.recorded)


def test_risk_falls_to_nothing_without_noise() -> None:
    """As for the algorithm itself: e^(-2 t) or so for a long time, then zero, never NaN or negative."""
    problem = Problem(Isotropic(3))
    runs = simulate(problem, SGD(0.8), 1500.0, 2, times=[0.0, 20.0, 1500.0], method="blocks", record=RECORD)
    assert (runs.risk[:, 0] > 0.4).all() and (runs.risk[:, 1] < 1e-3).all() and (runs.risk[:, 2] < 1e-200).all()
    assert (runs.risk >= 0).all() and (runs.gradient_norm >= 0).all()


def test_thresholds_near_zero_and_infinite() -> None:
    problem = Problem(repeated([2.0, 0.5], [4, 6]), StudentT(3, 0.5))
    tiny = simulate(problem, ClippedSGD(0.5, 1e-300), 3.0, 2, method="blocks", record=("clipped_fraction",))
    np.testing.assert_allclose(tiny.risk, problem.initial_risk, rtol=1e-12)
    assert (tiny.clipped_fraction[:, tiny.time > 0] == 1).all() and (tiny.clipped_fraction[:, 0] == 0).all()
    free = simulate(problem, SGD(0.5), 3.0, 2, method="blocks")
    infinite = simulate(problem, ClippedSGD(0.5, math.inf), 3.0, 2, method="blocks", record=("clipped_fraction",))
    assert np.array_equal(infinite.risk, free.risk) and (infinite.clipped_fraction == 0).all()
    assert simulate(problem, ClippedSGD(0.5, Table([0.0, 1.0], [0.5, 0.0])), 3.0, 2, method="blocks").outcome.finished


def test_max_norm_is_enforced() -> None:
    """One step from delta = 0: norm(delta) = (eta/d) min(norm(g), c sqrt(tr K)), with SGD's own g."""
    d, c = 6, 0.5
    problem = Problem(repeated([2.0, 1.0], [2, 4]), StudentT(df=2, scale=1.0), start=np.full(d, d**-0.5))
    clip, free = (
        simulate(problem, o, 1 / d, 200, times=[1 / d], method="blocks", record=RECORD).distance[:, 0]
        for o in (ClippedSGD(0.9, c), SGD(0.9))
    )
    longest = (0.9 / d * c) ** 2 * 8
    np.testing.assert_allclose(clip, np.minimum(free, longest), rtol=1e-12)
    assert 0.05 < (clip < longest * (1 - 1e-9)).mean() < 0.95


def test_divergence() -> None:
    problem = Problem(repeated([1.5, 0.5], [10, 10]), Gaussian(0.5))
    with pytest.warns(DivergenceWarning, match="4 of 4 runs diverged, the first at t = "):
        runs = simulate(problem, SGD(6.0), 20.0, 4, method="blocks", record=RECORD)
    assert runs.outcome.status is Status.DIVERGED
    for observable in (runs.observable("risk"), *runs.recorded):
        assert not np.isnan(observable.values).any()
        assert np.isinf(observable.values[:, -1]).all() and np.isfinite(observable.values[:, 0]).all()
        assert np.array_equal(np.isinf(observable.values), np.isinf(runs.risk))
    huge = Problem(Isotropic(3), start=np.full(3, 1e150))
    with pytest.warns(DivergenceWarning):
        assert not np.isnan(simulate(huge, SGD(40.0), 30.0, 3, method="blocks").risk).any()


# ---- promises


def test_a_run_depends_on_the_seed_and_its_number_alone() -> None:
    problem, optimizer = CASES["repeated"][:2]

    def runs(count: int, horizon: float = 4.0, **options: Any) -> np.ndarray:
        times = np.linspace(0.0, 2.0, 7)
        return simulate(problem, optimizer, horizon, count, seed=9, times=times, method="blocks", **options).risk

    five = runs(5)
    assert np.array_equal(runs(3), five[:3]) and np.array_equal(runs(5, horizon=2.0), five)
    assert np.array_equal(runs(5, record=("distance", "clipped_fraction")), five)
    with ThreadPoolExecutor(3) as threads:
        assert np.array_equal(runs(5, executor=threads), five)
    assert np.unique(five[:, -1]).size == 5


def test_the_method_is_recorded() -> None:
    problem = Problem(Isotropic(5))
    assert simulate(problem, SGD(0.5), 1.0, 2).method == "direct"
    assert simulate(problem, SGD(0.5), 1.0, 2, method="blocks").method == "blocks"


def test_a_million_dimensions() -> None:
    """Neither a d x d matrix nor d numbers a step: 10^5 steps, less than 150 MB, and a task of a few kilobytes."""
    problem = Problem(repeated(np.geomspace(4.0, 0.1, 32).tolist(), [31_250] * 32), Gaussian(0.5))
    tracemalloc.start()
    runs = simulate(problem, ClippedSGD(0.5, 0.5), 0.1, 1, method="blocks", record=("distance",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert runs.outcome.sentence.startswith("all 1 runs took 100000 steps") and peak < 150e6
    assert len(pickle.dumps(block_chain(problem, 1))) < 10_000


def data_problem() -> Problem:
    x = np.random.default_rng(1).standard_normal((20, 3))
    return Problem(np.cov(x.T, bias=True), rows=Rows(x - x.mean(axis=0), np.zeros(20)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer": SignSGD(0.5)}, "method: expected 'direct' for sign features, as .* got 'blocks' for SignSGD"),
        ({"problem": data_problem()}, r"method: expected 'direct' for actual rows, as .* \(rows='gaussian' has it\)"),
        ({"method": "fast"}, "method: expected one of 'direct', 'blocks', got 'fast'"),
        ({"method": None}, "method: expected one of 'direct', 'blocks', got None"),
    ],
)
def test_refusals(changed: dict[str, Any], message: str) -> None:
    given = {"problem": Problem(Isotropic(4)), "optimizer": SGD(0.5), "horizon": 1.0, "method": "blocks"}
    with pytest.raises(InvalidInput, match=message):
        simulate(**{**given, **changed})


def test_gaussian_features_for_a_problem_with_rows() -> None:
    runs = simulate(data_problem(), SGD(0.5), 2.0, 2, rows="gaussian", method="blocks")
    assert runs.outcome.finished and runs.rows == "gaussian"


# ---- models of few distinct eigenvalues


@pytest.mark.parametrize("blocks", [1, 2, 7, 40])
@pytest.mark.parametrize("covariance", [PowerLaw(40, 1.0), MarchenkoPastur(40, 2.0), Wishart(40, 0.5)], ids=name_of)
def test_binned(covariance: CovarianceModel, blocks: int) -> None:
    """Trace, dimension and rank are kept; every eigenvalue stays within one bin's ratio of where it was."""
    near, values = covariance.binned(blocks), covariance.eigenvalues[::-1]
    assert near.diagonal is not None and (np.diff(near.diagonal) <= 0).all()
    assert near.trace == pytest.approx(covariance.trace, rel=1e-13) and near.dimension == 40
    positive = values > 0
    assert np.array_equal(near.diagonal > 0, positive)
    assert np.unique(near.diagonal[positive]).size <= blocks
    ratio = (values[0] / values[positive][-1]) ** (1 / blocks)
    moved = near.diagonal[positive] / values[positive]
    assert moved.max() <= ratio * (1 + 1e-9) and moved.min() >= (1 - 1e-9) / ratio
    assert (blocks < 40) or np.abs(moved - 1).max() < 0.2


def test_few_eigenvalues_stay_as_they_are() -> None:
    assert Isotropic(7).binned(3).diagonal.tolist() == [1.0] * 7  # type: ignore[union-attr]
    given = repeated([3.0, 1.0, 0.0], [2, 3, 1])
    np.testing.assert_allclose(given.binned(2).diagonal, given.diagonal, rtol=1e-15)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (41, "blocks: expected at most as many blocks as dimensions, 40, got 41"),
        (0, "blocks: expected an integer >= 1, got 0"),
        (2.5, "blocks: expected an integer >= 1, got 2.5"),
    ],
)
def test_bad_numbers_of_blocks_are_refused(blocks: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PowerLaw(40, 1.0).binned(blocks)
