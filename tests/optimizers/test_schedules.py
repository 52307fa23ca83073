"""Schedules step by step: what trainers' schedulers do, written as formulas in k, against values, runs and curves.

Formulas are those of torch.optim.lr_scheduler and of Hugging Face's transformers.optimization, from their
documentation; a test with PyTorch itself is skipped where it is absent.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import SCHEDULES, name_of
from click.testing import CliRunner
from scipy.integrate import solve_ivp

import hdlimit as hd
from hdlimit.cli.main import main
from hdlimit.limit.piecewise import stops, tabulate
from hdlimit.optimizers import reading
from hdlimit.schedules import (
    WSD,
    Constant,
    Cosine,
    Function,
    Linear,
    Polynomial,
    Power,
    Product,
    Schedule,
    Sequential,
    Steps,
    Table,
    WarmUp,
    rates,
)

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

BASE = 0.7


def linear_lr(k: int, start: float, end: float, total: int) -> float:
    """PyTorch's LinearLR(start_factor, end_factor, total_iters)."""
    return BASE * (start + (end - start) * min(k, total) / total)


def cosine_lr(k: int, t_max: int, least: float) -> float:
    """PyTorch's CosineAnnealingLR(T_max, eta_min) up to T_max, where the schedule then stays."""
    return least + (BASE - least) * (1 + math.cos(math.pi * min(k, t_max) / t_max)) / 2


def polynomial_lr(k: int, total: int, power: float) -> float:
    """PyTorch's PolynomialLR(total_iters, power)."""
    return BASE * (1 - min(k, total) / total) ** power


def cosine_with_warmup(k: int, warmup: int, total: int) -> float:
    """Hugging Face's get_cosine_schedule_with_warmup."""
    if k < warmup:
        return BASE * k / warmup
    return BASE * max(0.0, 0.5 * (1 + math.cos(math.pi * min((k - warmup) / (total - warmup), 1.0))))


def polynomial_with_warmup(k: int, warmup: int, total: int, end: float, power: float) -> float:
    """Hugging Face's get_polynomial_decay_schedule_with_warmup."""
    if k < warmup:
        return BASE * k / warmup
    return end if k > total else (BASE - end) * (1 - (k - warmup) / (total - warmup)) ** power + end


def inverse_sqrt(k: int, warmup: int) -> float:
    """Hugging Face's get_inverse_sqrt_schedule with its default time scale."""
    return BASE * k / warmup if k < warmup else BASE / math.sqrt(k / warmup)


def wsd(k: int, warmup: int, stable: int, decay: int, least: float, shape: str) -> float:
    """Hugging Face's get_wsd_schedule, linear warm-up and a decay of this type to a least value."""
    if k < warmup:
        return BASE * k / warmup
    if k < warmup + stable:
        return BASE
    done = min((k - warmup - stable) / decay, 1.0)
    left = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "1-sqrt": 1 - math.sqrt(done)}[shape]
    return least + (BASE - least) * left


def step_lr(k: int) -> float:
    """PyTorch's MultiStepLR([61, 183], gamma=0.1)."""
    return BASE * 0.1 ** sum(k >= milestone for milestone in (61, 183))


def sequential_lr(k: int) -> float:
    """PyTorch's SequentialLR of LinearLR(1/3, 1, 61), MultiStepLR([33, 77]) and CosineAnnealingLR(50) at [61, 203]."""
    if k < 61:
        return linear_lr(k, 1 / 3, 1.0, 61)
    if k < 203:
        return BASE * 0.1 ** sum(k - 61 >= milestone for milestone in (33, 77))
    return cosine_lr(k - 203, 50, 0.1)


# Schedules over step numbers, and the formula of the trainer.
TRAINERS: list[tuple[Schedule, Callable[[int], float]]] = [
    (Linear(BASE / 3, BASE, 123), lambda k: linear_lr(k, 1 / 3, 1.0, 123)),
    (Linear(BASE, 0.0, 123), lambda k: linear_lr(k, 1.0, 0.0, 123)),
    (Cosine(BASE, 0.1, 217), lambda k: cosine_lr(k, 217, 0.1)),
    (Polynomial(BASE, 0.0, 217), lambda k: polynomial_lr(k, 217, 1.0)),
    (Polynomial(BASE, 0.0, 217, 2.5), lambda k: polynomial_lr(k, 217, 2.5)),
    (Polynomial(BASE, 0.0, 217, 0.5), lambda k: polynomial_lr(k, 217, 0.5)),
    (Steps([61, 183], [BASE, 0.1 * BASE, 0.01 * BASE]), step_lr),
    (WarmUp(Cosine(BASE, 0.0, 217), 61), lambda k: cosine_with_warmup(k, 61, 278)),
    (WarmUp(Polynomial(BASE, 0.02, 217, 3.0), 61), lambda k: polynomial_with_warmup(k, 61, 278, 0.02, 3.0)),
    (WarmUp(Power(BASE, 0.5, 61), 61), lambda k: inverse_sqrt(k, 61)),
    (WSD(BASE, 300, 0.1, 0.2, final=0.05), lambda k: wsd(k, 30, 210, 60, 0.05, "linear")),
    (WSD(BASE, 300, 0.1, 0.2, final=0.05, shape="cosine"), lambda k: wsd(k, 30, 210, 60, 0.05, "cosine")),
    (
        Sequential(
            [Linear(BASE / 3, BASE, 61), Steps([33, 77], [BASE, 0.1 * BASE, 0.01 * BASE]), Cosine(BASE, 0.1, 50)],
            [61, 203],
        ),
        sequential_lr,
    ),
    (
        Product([Linear(BASE / 3, BASE, 61), Steps([61, 183], [1.0, 0.1, 0.01])]),
        lambda k: linear_lr(k, 1 / 3, 1.0, 61) * step_lr(k) / BASE,
    ),
    (Function(lambda k: BASE * 0.99**k), lambda k: BASE * 0.99**k),
    (WSD(BASE, 300, 0.1, 0.2, final=0.05, shape="1-sqrt"), lambda k: wsd(k, 30, 210, 60, 0.05, "1-sqrt")),
]
NAMES = [f"{k}-{type(one).__name__}" for k, (one, _) in enumerate(TRAINERS)]
DIMENSIONS = 7, 30, 1000


@pytest.mark.parametrize(("schedule", "formula"), TRAINERS, ids=NAMES)
def test_every_step_has_the_trainers_value(schedule: Schedule, formula: Callable[[int], float]) -> None:
    """At t = k/d as computed in floating point, jumps included, for 400 steps; the end holds from then on."""
    k = np.arange(400)
    right = np.array([formula(int(one)) for one in k])
    for d in DIMENSIONS:
        np.testing.assert_allclose(schedule.in_steps(d)(k / d), right, rtol=1e-12, atol=1e-14)
    wrong = np.array([formula(int(one) + 1) for one in k])
    assert np.abs(schedule.in_steps(30)(k / 30) - wrong).max() > 1e-4, "a shift by a step would be missed"


@pytest.mark.parametrize(("schedule", "formula"), TRAINERS, ids=NAMES)
def test_simulated_runs_take_the_trainers_steps(schedule: Schedule, formula: Callable[[int], float]) -> None:
    """With one direction that varies and no noise signSGD goes straight to the target: each step is lr/d exactly."""
    d, steps = 30, 320
    target = np.zeros(d)
    target[4] = 1e3
    problem = hd.Problem(hd.Covariance(np.eye(d)[4]), target=target, start=np.zeros(d))
    runs = hd.simulate(
        problem, hd.SignSGD(schedule.in_steps(d)), steps / d, runs=1, times=np.arange(steps + 1) / d, record="distance"
    )
    moved = -np.diff(np.sqrt(runs.observable("distance").values[0])) * d
    np.testing.assert_allclose(moved, [formula(k) for k in range(steps)], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("schedule", "formula"), TRAINERS, ids=NAMES)
def test_the_exact_mean_takes_the_trainers_steps(schedule: Schedule, formula: Callable[[int], float]) -> None:
    """rho_i <- (1 - g l_i)^2 rho_i + g^2 (l_i^2 rho_i + l_i S), S = sum_i l_i rho_i + 0.3^2, in plain NumPy."""
    d, steps = 30, 300
    problem = hd.Problem(hd.PowerLaw(d, 0.7), hd.Gaussian(0.3))
    eigenvalues = np.arange(1.0, d + 1) ** -0.7
    eigenvalues *= d / eigenvalues.sum()
    rho, risk = np.full(d, 1 / d), [0.5 * eigenvalues.sum() / d]
    for k in range(steps):
        g = formula(k) / d
        total = float(eigenvalues @ rho) + 0.09
        rho = (1 - g * eigenvalues) ** 2 * rho + g**2 * (eigenvalues**2 * rho + eigenvalues * total)
        risk.append(float(eigenvalues @ rho) / 2)
    mean = hd.exact_mean(problem, hd.SGD(schedule.in_steps(d)), steps)
    np.testing.assert_allclose(mean.risk, risk, rtol=1e-11)


def curve(lr: Callable[[float], float], breaks: list[float], end: float, d: int) -> float:
    """R at a time, of SGD on the power law 0.7 with noise of variance 0.09: SciPy at 1e-12 between the breaks."""
    rate = np.arange(1.0, d + 1) ** -0.7
    rate *= d / rate.sum()

    def slope(t: float, m: Any) -> Any:
        eta = lr(min(max(t, inside[0]), inside[1]))
        return -2 * eta * rate * m + eta**2 * (float(rate @ m) + 0.09) * rate / d

    m, edges = np.full(d, 1 / d), [0.0, *(b for b in breaks if b < end), end]
    for left, right in zip(edges[:-1], edges[1:]):
        inside = float(np.nextafter(left, right)), float(np.nextafter(right, left))
        m = solve_ivp(slope, (left, right), m, method="DOP853", rtol=1e-12, atol=1e-16).y[:, -1]
    return float(rate @ m) / 2


@pytest.mark.parametrize(("schedule", "formula"), TRAINERS, ids=NAMES)
def test_the_limit_is_scipys(schedule: Schedule, formula: Callable[[int], float]) -> None:
    """The trainer's formula in the real number t d, with SciPy's own integration between its breaks."""
    d, end = 30, 12.0
    breaks = sorted({k / d for k in (30, 61, 94, 123, 138, 183, 203, 217, 240, 253, 278, 300)})
    right = curve(lambda t: formula(t * d), breaks, end, d)  # type: ignore[arg-type]
    problem = hd.Problem(hd.PowerLaw(d, 0.7), hd.Gaussian(0.3))
    for rtol in (1e-6, 1e-9):
        found = hd.predict(problem, hd.SGD(schedule.in_steps(d)), end, times=[end], rtol=rtol)
        assert found.risk[-1] == pytest.approx(right, rel=3 * rtol)


HUMPS: list[tuple[Schedule, float, float]] = [
    (Product([Linear(0.0, 1.0, 1e4), Power(2e4, 3.0)]), 1e4, 1e4),  # rises to 0.3 at t = 0.5
    (Product([Power(0.1, -3.0), Power(1.0, 6.0, 10.0)]), 1e4, 1e3),
    (Product([Linear(0.0, 1.0, 2.0), Cosine(0.8, 0.0, 3.0), 0.5]), 2.0, 3.0),
    (Sequential([Linear(0.0, 1.2, 1.0), 0.1], [1.0]), 1.0, 3.0),
]


@pytest.mark.parametrize(("schedule", "bend", "end"), HUMPS, ids=name_of)
def test_humps_are_seen(schedule: Schedule, bend: float, end: float) -> None:
    """What rises and falls between two knots, or ends with a jump: its curve, and its largest value."""
    d = 30
    right = curve(lambda t: float(schedule(t)), [0.1, 1.0, 2.0, 10.0, 100.0, bend], end, d)
    problem = hd.Problem(hd.PowerLaw(d, 0.7), hd.Gaussian(0.3))
    found = hd.predict(problem, hd.SGD(schedule), end, times=[end])
    assert found.risk[-1] == pytest.approx(right, rel=3e-6)
    largest = float(schedule(np.append(np.geomspace(1e-4, end, 200_001), np.nextafter(bend, 0.0))).max())
    assert reading.largest_lr(schedule, end, 1 / d) == pytest.approx(largest, rel=1e-3)
    assert hd.stability(problem, hd.SGD(schedule), end).lr == pytest.approx(largest, rel=1e-3)


@pytest.mark.parametrize(
    "schedule",
    [Cosine(0.0, 0.5, 2.0), Polynomial(0.0, 0.5, 2.0, 0.5), Polynomial(0.0, 0.5, 2.0, 3.0), WarmUp(0.5, 2.0)],
    ids=name_of,
)
def test_rises_from_zero_are_right_to_rounding(schedule: Schedule) -> None:
    """Against the first term of the series at t = 1e-12 and 1e-9; from a risk of 0 the integrator takes few steps."""
    power = 2 if isinstance(schedule, Cosine) else 1
    slope = {2: 0.5 * (math.pi / 4) ** 2, 1: 0.25 * getattr(schedule, "power", 1.0)}[power]
    for t in (1e-12, 1e-9):
        assert float(schedule(t)) == pytest.approx(slope * t**power, rel=3e-9)
    problem = hd.Problem(hd.PowerLaw(40, 0.5), hd.Gaussian(0.5), target=np.zeros(40))
    found = hd.predict(problem, hd.SGD(schedule), 10.0)
    assert found.dense.knots.size < 400
    assert found.at(2.0) == pytest.approx(from_rest(schedule, 2.0), rel=3e-6)


def from_rest(lr: Callable[[float], Any], end: float) -> float:
    """R of SGD on the power law 0.5 with noise of variance 0.25 from the target, by SciPy at 1e-12."""
    rate = np.arange(1.0, 41) ** -0.5
    rate *= 40 / rate.sum()

    def slope(t: float, m: Any) -> Any:
        eta = float(lr(t))
        return -2 * eta * rate * m + eta**2 * (float(rate @ m) + 0.25) * rate / 40

    m = solve_ivp(slope, (0.0, end), np.zeros(40), method="DOP853", rtol=1e-12, atol=1e-18).y[:, -1]
    return float(rate @ m) / 2


def test_what_is_made_of_lines_is_lines() -> None:
    """Pieces of degree 1, exact; a fine table in a Sequential is stopped at where it bends alone."""
    lines = WSD(0.5, 10.0, 0.1, 0.2)
    assert tabulate(lines, 12.0).coefficients.shape == (4, 2)
    assert tabulate(WarmUp(Table([0.0, 3.0], [0.5, 0.2]), 1.0), 9.0).coefficients.shape == (3, 2)
    assert tabulate(Sequential([0.3, Steps([1.0], [0.2, 0.1])], [2.0]), 9.0).coefficients.shape == (3, 1)
    fine = np.linspace(0.0, 5.0, 20_001)
    table = Table(fine, np.cos(fine) + 1.5)
    for schedule in (WarmUp(table, 1.0), Sequential([0.5, table], [2.0]), Product([table, 0.5])):
        assert schedule.knots.size > 20_000 - 1
        assert stops((schedule,), 9.0, 1e-5).size < 6


def test_times_outside_of_the_range() -> None:
    for schedule, first, last in (
        (Linear(0.1, 0.5, 2.0), 0.1, 0.5),
        (Polynomial(0.5, 0.1, 2.0, 2.0), 0.5, 0.1),
        (WarmUp(0.5, 2.0), 0.0, 0.5),
        (WSD(0.5, 2.0, 0.1, 0.2, 0.2, 0.1), 0.2, 0.1),
        (Sequential([Linear(0.1, 0.3, 1.0), Linear(0.4, 0.2, 1.0)], [1.0]), 0.1, 0.2),
    ):
        assert schedule([-5.0, 0.0]).tolist() == [first, first]
        assert schedule([2.0, 1e9]).tolist() == [last, last]


def test_no_warm_up_no_decay_no_stable_part() -> None:
    t = np.linspace(0.0, 12.0, 50)
    np.testing.assert_array_equal(WSD(0.5, 10.0, 0.0, 0.0)(t), 0.5)
    np.testing.assert_array_equal(WSD(0.5, 10.0, 0.0, 1.0)(t), Linear(0.5, 0.0, 10.0)(t))
    np.testing.assert_allclose(WSD(0.5, 10.0, 0.7, 0.3)(t), Table([0.0, 7.0, 10.0], [0.0, 0.5, 0.0])(t), atol=1e-15)
    np.testing.assert_allclose(WSD(0.5, 10.0, 1.0, 0.0)(t), Linear(0.0, 0.5, 10.0)(t), atol=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_jumps_are_after_the_number_before_them(schedule: Schedule) -> None:
    """A knot is the first number of its piece, also inside of others: values next to it on both sides are close."""
    for one in (schedule, WarmUp(schedule, 0.1), Sequential([0.1, WarmUp(schedule, 0.2)], [0.7])):
        knots = one.knots
        for side in (np.nextafter(knots, 0.0), knots):
            near = side + np.where(side < knots, -1e-9, 1e-9)
            np.testing.assert_allclose(one(side), one(near), atol=1e-7)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_files_keep_them(schedule: Schedule, tmp_path: Path) -> None:
    problem = hd.Problem(hd.Isotropic(20), hd.Gaussian(0.3))
    optimizer = hd.ClippedSGD(Product([schedule, 0.5]), WarmUp(schedule, 0.5, initial=0.3))
    found = hd.predict(problem, optimizer, 3.0)
    found.save(tmp_path / "curve.npz")
    again = hd.load(tmp_path / "curve.npz")
    assert again.optimizer == optimizer and (again.risk == found.risk).all()
    file = tmp_path / "problem.toml"
    file.write_text(hd.to_toml(problem, optimizer, 3.0))
    assert hd.read_toml(file).optimizer == optimizer
    done = CliRunner().invoke(main, ["predict", str(file), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["risk"][-1] == found.risk[-1]


@pytest.mark.parametrize(
    ("lr", "told"),
    [
        ('{ type = "Sequential", schedules = 3, times = [1] }', "lr.schedules: expected a list of schedules, got 3"),
        ('{ type = "Sequential", schedules = [3, "a"], times = [1] }', "lr.schedules[1]: expected a number or a table"),
        ('{ type = "Product", schedules = [3] }', "lr.schedules: expected a list of two schedules or more, got 1"),
        ('{ type = "Product", schedules = [3, -1] }', "lr.schedules[1]: expected a finite number >= 0, a schedule or"),
        ('{ type = "WarmUp", schedule = { type = "Lin" }, duration = 1 }', "lr.schedule.type: expected one of"),
    ],
)
def test_files_with_wrong_schedules(lr: str, told: str, tmp_path: Path) -> None:
    text = hd.to_toml(hd.Problem(hd.Isotropic(20)), hd.SGD(0.5), 3.0).replace("lr = 0.5", f"lr = {lr}")
    file = tmp_path / "problem.toml"
    file.write_text(text)
    with pytest.raises(hd.errors.InvalidInput) as raised:
        hd.read_toml(file)
    assert f"optimizer.{told}" in str(raised.value)


class Scheduler:
    """What a scheduler of PyTorch looks like: rates of its parameter groups, and a step."""

    def __init__(self, *groups: Callable[[int], float]) -> None:
        self.groups, self.last_epoch = groups, 0

    def get_last_lr(self) -> list[float]:
        return [group(self.last_epoch) for group in self.groups]

    def step(self) -> None:
        self.last_epoch += 1
        warnings.warn("the optimizer has not moved", UserWarning, stacklevel=2)


@pytest.mark.parametrize("loss", ["half_squared", "squared"])
def test_a_trainers_scheduler(loss: Any) -> None:
    """The step of the optimizer after k steps is the scheduler's, for both losses."""
    problem, k = hd.Problem(hd.Isotropic(40), hd.Gaussian(0.3)), np.arange(200)
    scheduler = Scheduler(lambda k: step_lr(k) / 100, lambda k: step_lr(k) / 100)
    found = rates(scheduler, 200)
    assert scheduler.last_epoch == 0
    np.testing.assert_array_equal(found, [step_lr(int(one)) / 100 for one in k])
    for cls, others in ((hd.SGD, {"batch_size": 3}), (hd.ClippedSGD, {"threshold": 0.5}), (hd.SignSGD, {})):
        optimizer = cls.from_step_size(found, problem, loss=loss, **others)
        np.testing.assert_allclose(optimizer.step_size(problem, loss=loss, steps=k), found, rtol=1e-14)
        np.testing.assert_allclose(optimizer.step_size(problem, loss=loss, steps=[200, 9000]), found[-1], rtol=1e-14)


@pytest.mark.parametrize(
    ("scheduler", "told"),
    [
        (None, "expected a torch.optim.lr_scheduler that follows the step number alone, got None"),
        (Scheduler, "expected a torch.optim.lr_scheduler that"),
        (Scheduler(lambda k: 0.1, lambda k: 0.2), "expected one learning rate for all parameters, got [0.1, 0.2]"),
        (Scheduler(lambda k: 1 / k), "got ZeroDivisionError: "),
        (Scheduler(), "expected one learning rate for all parameters, got []"),
    ],
)
def test_wrong_schedulers(scheduler: Any, told: str) -> None:
    with pytest.raises(hd.errors.InvalidInput) as raised:
        rates(scheduler, 5)
    assert str(raised.value).startswith("scheduler: ") and told in str(raised.value)


def test_pytorchs_own_schedulers() -> None:
    torch = pytest.importorskip("torch")
    from torch.optim import lr_scheduler as schedulers

    def fresh() -> Any:
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=BASE)

    one = fresh()
    parts = [
        schedulers.LinearLR(one, 1 / 3, 1.0, 61),
        schedulers.MultiStepLR(one, [33, 77]),
        schedulers.CosineAnnealingLR(one, 50, 0.1),
    ]
    made = {
        0: schedulers.LinearLR(fresh(), 1 / 3, 1.0, 123),
        2: schedulers.CosineAnnealingLR(fresh(), 217, 0.1),
        4: schedulers.PolynomialLR(fresh(), 217, 2.5),
        6: schedulers.MultiStepLR(fresh(), [61, 183]),
        12: schedulers.SequentialLR(one, parts, [61, 203]),
        14: schedulers.LambdaLR(fresh(), lambda k: 0.99**k),
    }
    for number, scheduler in made.items():
        found = rates(scheduler, 217 if number == 2 else 253)
        np.testing.assert_allclose(found, [TRAINERS[number][1](k) for k in range(found.size)], rtol=1e-10, atol=1e-12)


# The best peak and the least risk at T = 20, by SciPy: a bounded search over v' = -eta (2 - eta) v + eta^2/4, v(0) = 1.
PEAKS = [
    (Constant(1.0), 0.146812, 0.012026449),
    (Cosine(1.0, 0.0, 20.0), 0.358621, 0.010435098),
    (Linear(1.0, 0.0, 20.0), 0.359518, 0.009129173),
    (WSD(1.0, 20.0, 0.0, 0.2), 0.172362, 0.011193516),
]


@pytest.mark.parametrize(("shape", "peak", "least"), PEAKS, ids=name_of)
def test_the_best_peaks_of_schedules(shape: Schedule, peak: float, least: float) -> None:
    """An isotropic problem is one mode; a search over the peak of a Product ends there."""
    problem = hd.Problem(hd.Isotropic(1000), hd.Gaussian(0.5))
    peaks = peak * np.array([0.9, 0.999, 1.0, 1.001, 1.1])
    found = hd.sweep(problem, hd.SGD(0.5), 20.0, lr=[Product([shape, one]) for one in peaks], final=True).risk
    assert found[2] == pytest.approx(least, rel=3e-6)
    assert found[2] < 1.001 * least < min(found[0], found[4]) and abs(found[1] / found[3] - 1) < 1e-4


def test_the_best_schedule_of_all() -> None:
    """Of one mode it is greedy, eta = v/(v + s^2) with ln v - s^2/v = -s^2 - t, and ends at 0.0077708 (s^2 = 0.25)."""
    t, u = np.linspace(0.0, 20.0, 4001), np.zeros(4001)
    for _ in range(100):  # Newton's method for u = ln v
        u -= (u - 0.25 * np.exp(-u) + 0.25 + t) / (1 + 0.25 * np.exp(-u))
    problem = hd.Problem(hd.Isotropic(1000), hd.Gaussian(0.5))
    curve = hd.predict(problem, hd.SGD(Table(t, 1 / (1 + 0.25 * np.exp(-u)))), 20.0)
    assert curve.risk[-1] == pytest.approx(0.0077708, abs=6e-8)
