"""Every public function on random valid problems: finite results or the package's own error, and an end to every call.

Call k is made from the seed (SEED, k) alone: `call(k)` repeats it. The laws are those of tests/cases.py, d is 1 to 50,
batches are 1 to 8, the initial risk is 1e-12 to 1e6, horizons begin at one step.
"""

from __future__ import annotations

import inspect
import math
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from cases import NOISES

import hdlimit as hd
from hdlimit.problem.covariance import CovarianceModel

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

SEED = 13
# Calls of one test, by default, and of all tests.
CHUNK, BY_DEFAULT, ALL = 50, 500, 10_000
# Hang guard: processor seconds of one call, 20 times the 5 s that tuning may take.
GUARD = 100.0
Rng = np.random.Generator


@contextmanager
def guarded(seconds: float) -> Iterator[None]:
    """End what takes more processor time than this, wherever in Python it is."""

    def expired(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, expired)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def power(rng: Rng, low: float, high: float) -> float:
    """10^u, u uniform."""
    return float(10 ** rng.uniform(low, high))


def pick(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


# ---- problems


def covariance(rng: Rng) -> CovarianceModel:
    d, seed = int(rng.integers(1, 51)), int(rng.integers(100))
    return pick(
        rng,
        [
            lambda: hd.Isotropic(d),
            lambda: hd.PowerLaw(d, rng.uniform(0, 2.5)),
            lambda: hd.MarchenkoPastur(d, pick(rng, [0.3, 1.0, 2.5])),
            lambda: hd.Wishart(d, pick(rng, [0.3, 1.0, 2.5]), seed=seed),
            lambda: hd.Wishart(d, 0.5, row_scales=10 ** rng.uniform(-1, 1, d), seed=seed),
            lambda: hd.PowerLaw(d, rng.uniform(0, 1.5)).rotated(seed),
            lambda: hd.Covariance(power(rng, -4, 4) * 10 ** rng.uniform(-4, 0, d)),
            lambda: hd.Covariance(np.concatenate([np.zeros(2), 10 ** rng.uniform(-2, 1, d)])),
        ],
    )()


def problem(rng: Rng) -> hd.Problem:
    k = covariance(rng)
    d = k.dimension
    start = pick(rng, [np.full(d, d**-0.5), np.eye(d)[-1], rng.standard_normal(d)])
    risk = hd.Problem(k, None, start=start).initial_risk
    size = math.sqrt(power(rng, -12, 6) / risk) if risk > 0 else 1.0
    zero = rng.random() < 0.03
    return hd.Problem(k, pick(rng, NOISES), start=(0.0 if zero else size) * start)


def schedule(rng: Rng, largest: float, horizon: float) -> Any:
    """A number in half of the cases, else a schedule of every kind, with zeros too."""
    t, low = horizon * power(rng, -2, 0), largest * pick(rng, [0.0, 1e-3, 0.3])
    kinds: list[Any] = [largest] * 6 + [
        hd.schedules.Constant(largest),
        hd.schedules.Steps([t / 2, t], [largest, low, largest / 2]),
        hd.schedules.Cosine(largest, low, t),
        hd.schedules.Power(largest, rng.uniform(0, 1.5), t),
        hd.schedules.Table([0.0, t / 3, t], [low, largest, low]),
        partial(bump, largest, t),
    ]
    return pick(rng, kinds)


def bump(largest: float, time: float, t: float) -> float:
    """A schedule as a Python function."""
    return largest / (1 + (t / time) ** 2)


def width(p: hd.Problem) -> float:
    """A size of residuals."""
    return max(math.sqrt(2 * p.initial_risk), min(p.noise.width, 1e6), 1e-9)


def step(rng: Rng, p: hd.Problem, batch: int) -> float:
    """A step size from 1e-3 to 1.5 times what SGD may take; 0 at times."""
    kappa = p.covariance.trace / p.dimension
    return 0.0 if rng.random() < 0.02 else power(rng, -3, 0.18) * 2 * batch / kappa


def batch_size(rng: Rng, share: float = 0.1) -> int:
    """1 to 8; more than 1 in this share of the calls: the law of clipped batches takes a second to tabulate."""
    return int(rng.integers(2, 9)) if rng.random() < share else 1


def buffer(rng: Rng) -> dict[str, Any]:
    """Momentum, in the calls that are made with it."""
    if not remembers(rng):
        return {}
    momentum = pick(rng, [rng.uniform(0, 1), 0.9, 1 - power(rng, -6, -1)])
    return {"momentum": momentum} | pick(rng, [{}, {"nesterov": True}, {"dampening": momentum}, {"dampening": 0.1}])


def remembers(rng: Rng) -> bool:
    return len(rng.bit_generator.seed_seq.entropy) > 2  # type: ignore[attr-defined]


def optimizer(rng: Rng, p: hd.Problem, horizon: float, kinds: str = 4 * "sgd clip sign " + "map") -> Any:
    kind = pick(rng, kinds.replace("sign", "").split() if remembers(rng) else kinds.split())
    batch, kept = batch_size(rng, 0.5 if kind == "sgd" else 0.1), buffer(rng)
    lr = step(rng, p, batch) * (1 - kept.get("momentum", 0.0)) / (1 - kept.get("dampening", 0.0))
    rate = schedule(rng, lr, horizon)
    if kind == "sgd":
        return hd.SGD(rate, batch, **kept)
    if kind == "sign":
        kappa = p.covariance.trace / p.dimension
        return hd.SignSGD(schedule(rng, lr * width(p) * math.sqrt(kappa) / batch, horizon), batch)
    c = width(p) * power(rng, -3, 3)
    if kind == "map":
        return hd.ResidualSGD(rate, pick(rng, [np.arctan, np.tanh]), batch_size=batch)
    return hd.ClippedSGD(rate, pick(rng, [schedule(rng, c, horizon), c, math.inf]), batch, **kept)


def horizon(rng: Rng, p: hd.Problem, longest: float = 1e4) -> float:
    """From one step on."""
    first = 1 / p.dimension
    return first if rng.random() < 0.1 else max(first, min(longest, power(rng, -1.5, 4)))


def short(rng: Rng, p: hd.Problem) -> float:
    """A horizon of at most 200 steps."""
    return horizon(rng, p, 200 / p.dimension)


def question(rng: Rng, kinds: str = 4 * "sgd clip sign " + "map", few: bool = False) -> tuple[hd.Problem, Any, float]:
    p = problem(rng)
    t = short(rng, p) if few else horizon(rng, p)
    return p, optimizer(rng, p, t, kinds), t


# ---- calls: what each returns has to be finite


def predict(rng: Rng) -> Any:
    curve = hd.predict(*question(rng))
    return curve.risk, curve.distance, curve.gradient_norm, curve.at(curve.end / 2), curve.samples


def spread(rng: Rng) -> Any:
    curve = hd.predict(*question(rng, "sgd clip sign", few=True))
    return curve.spread, curve.corrected


def facts_of_a_curve(rng: Rng) -> Any:
    p, o, t = question(rng, "clip", few=True)
    curve = hd.predict(p, o, t)
    curve.time_to(curve.risk[-1])
    curve.efficiency()
    return curve.clipped_fraction


def until(rng: Rng) -> Any:
    p, o, t = question(rng)
    return hd.predict(p, o, t, until=max(p.initial_risk, 1e-300) * power(rng, -3, 0)).risk


def sweep(rng: Rng) -> Any:
    p, o, t = question(rng, "sgd clip sign", few=True)
    found = hd.sweep(p, o, t, final=bool(rng.integers(2)), lr=[step(rng, p, 1) for _ in range(3)])
    return found.risk[found.outcome == "finished"] if isinstance(found.outcome, np.ndarray) else ()


def simulate(rng: Rng) -> Any:
    p, o, t = question(rng, "sgd clip sign", few=True)
    runs = hd.simulate(p, o, t, int(rng.integers(1, 4)), int(rng.integers(99)), record=["distance", "gradient_norm"])
    return (runs.risk, runs.distance, runs.mean) if runs.outcome.finished else ()


def verify(rng: Rng) -> Any:
    report = hd.verify(*question(rng, "sgd clip sign", few=True), runs=int(rng.integers(2, 5)))
    assert report.summary() and report.verdict in ("consistent", "inconsistent", "inconclusive")
    return (report.predicted, report.mean, report.allowance) if report.runs.outcome.finished else ()


def scaling_study(rng: Rng) -> Any:
    p = hd.Problem(pick(rng, [hd.Isotropic(9), hd.PowerLaw(9, rng.uniform(0, 1))]), pick(rng, NOISES))
    o = optimizer(rng, p, 1.0, "sgd clip sign")
    study = hd.scaling_study(p, o, 1.0, np.unique([4, 8, int(rng.integers(9, 20))]), runs=8)
    assert study.summary()
    return study.bias, study.spread


def tune_clip(rng: Rng) -> Any:
    p = problem(rng)
    t, batch = horizon(rng, p, 100.0), batch_size(rng)
    how = pick(
        rng, [{}, {"schedule": True}, {"lr": step(rng, p, batch)}, {"target": p.initial_risk * power(rng, -2, 0)}]
    )
    tuning = hd.tune_clip(p, t, batch_size=batch, **how, **buffer(rng))
    assert tuning.summary() and tuning.threshold > 0
    return tuning.lr if not isinstance(tuning.lr, hd.schedules.Schedule) else (), tuning.risk


def tune_lr(rng: Rng) -> Any:
    p = problem(rng)
    kind = pick(rng, [hd.SGD, hd.SignSGD, hd.ClippedSGD(1.0, width(p)), hd.SGD(1.0, batch_size=4)])
    kind = hd.ClippedSGD(1.0, pick(rng, [width(p), math.inf]), **buffer(rng)) if remembers(rng) else kind
    found = hd.tune_lr(p, kind, horizon(rng, p, 100.0))
    return found.lr, found.risk


def best_constants(rng: Rng) -> Any:
    p = problem(rng)
    kind, batch = pick(rng, [hd.SGD, hd.ClippedSGD, hd.SignSGD]), batch_size(rng)
    found, risk = hd.tuning.best_constants(p, kind, horizon(rng, p, 100.0), batch_size=batch)
    return found.lr, risk


def compare(rng: Rng) -> Any:
    p = problem(rng)
    found = hd.compare(p, horizon(rng, p, 100.0), batch_size(rng))
    assert found.summary()
    return ()


def greedy_lr(rng: Rng) -> Any:
    p = problem(rng)
    found = hd.tuning.greedy_lr(p, pick(rng, [hd.SGD, hd.SignSGD]), horizon(rng, p, 100.0))
    return found.values


def greedy_clip(rng: Rng) -> Any:
    p = problem(rng)
    found = hd.tuning.greedy_clip(p, horizon(rng, p, 20.0), batch_size(rng))
    return found.curve.risk


def landscape(rng: Rng) -> Any:
    p = problem(rng)
    t, c = horizon(rng, p, 50.0), width(p) * power(rng, -2, 2)
    found = hd.tuning.landscape(p, t, [step(rng, p, 1) + 1e-9 for _ in range(2)], [c, 2 * c], **buffer(rng))
    assert found.best.lr in found.lr
    return found.risk[~np.isinf(found.risk)]


def score_sgd(rng: Rng) -> Any:
    p = problem(rng)
    t = horizon(rng, p, 20.0)
    return hd.predict(p, hd.tuning.score_sgd(p, t, step(rng, p, 1)), t).risk


def tune_from_residuals(rng: Rng) -> Any:
    n, scale = int(rng.integers(2, 400)), power(rng, -6, 6)
    residuals = scale * (rng.standard_t(pick(rng, [1, 3, 30]), n) + rng.standard_normal(n))
    given = pick(rng, [{"residuals": residuals}, {"losses": residuals**2, "loss": "squared"}])
    hd.tune_clip_from_residuals(**given, bootstrap=20)
    return ()


def effects(rng: Rng) -> Any:
    p = problem(rng)
    found = hd.effects(p, max(step(rng, p, 1), 1e-6) * width(p), batch_size=batch_size(rng))
    assert found.summary()
    return ()


def stability(rng: Rng) -> Any:
    p, o, t = question(rng)
    found = hd.stability(p, o, t)
    assert not math.isnan(found.critical_lr) and found.stable in (True, False)
    return ()


def steady_state(rng: Rng) -> Any:
    p = problem(rng)
    found = hd.steady_state(p, optimizer(rng, p, 1.0))
    return found.risk if found.outcome.finished else ()


def exact_mean(rng: Rng) -> Any:
    p, o, t = question(rng, "sgd", few=True)
    return hd.exact_mean(p, o, round(t * p.dimension)).risk


def sample_sde(rng: Rng) -> Any:
    p, o, t = question(rng, "sgd clip sign", few=True)
    paths = hd.sample_sde(p, o, t, 2, diffusion=pick(rng, ["homogenized", "corrected"]))
    return paths.risk if paths.outcome.finished else ()


def best_threshold(rng: Rng) -> Any:
    found = hd.tuning.best_threshold(pick(rng, NOISES), power(rng, -12, 12), batch_size(rng))
    assert found.threshold > 0
    return ()


def efficiency(rng: Rng) -> Any:
    hd.tuning.efficiency(pick(rng, NOISES), power(rng, -12, 12), batch_size(rng))
    return ()


def fisher_information(rng: Rng) -> Any:
    return hd.tuning.fisher_information(pick(rng, NOISES), power(rng, -12, 12))


def from_data(rng: Rng) -> Any:
    n, d = int(rng.integers(2, 60)), int(rng.integers(1, 12))
    x = power(rng, -4, 4) * rng.standard_normal((n, d)) * np.exp(rng.uniform(0, 1) * rng.standard_normal(n))[:, None]
    p = hd.Problem.from_data(x, x.sum(axis=1) + power(rng, -3, 3) * rng.standard_normal(n), intercept=bool(n % 2))
    assert p.summary()
    return hd.predict(p, hd.SGD(step(rng, p, 1)), 5.0).risk


def units(rng: Rng) -> Any:
    p, o, _ = question(rng, "sgd clip sign")
    if not isinstance(o.lr, float):
        return ()
    size = o.step_size(p, loss="squared")
    others = {"threshold": o.threshold} if hasattr(o, "threshold") else {}
    return size, type(o).from_step_size(size, p, loss="squared", **others).lr


def plot(rng: Rng) -> Any:
    from matplotlib import pyplot

    p, o, t = question(rng, "sgd clip sign", few=True)
    curve = hd.predict(p, o, t)
    try:
        hd.plot([curve, hd.simulate(p, o, t, 2)], x=pick(rng, ["t", "steps", "samples"])).figure.canvas.draw()
    finally:
        pyplot.close("all")
    return ()


def files(rng: Rng, folder: Path) -> Any:
    p, o, t = question(rng, "sgd clip sign", few=True)
    curve = hd.predict(p, o, t)
    curve.save(folder / "curve.npz")
    assert np.array_equal(hd.load(folder / "curve.npz").risk, curve.risk)  # type: ignore[attr-defined]
    (folder / "p.toml").write_text(hd.to_toml(p, o, t))
    assert hd.read_toml(folder / "p.toml").problem == p
    return ()


# The functions with the share of calls that they get; the public names that each covers, where its own is not one.
CALLS: list[tuple[Callable[..., Any], int, str]] = [
    (predict, 24, "predict"),
    (spread, 6, ""),
    (facts_of_a_curve, 2, ""),
    (until, 6, ""),
    (sweep, 6, "sweep"),
    (simulate, 10, "simulate"),
    (verify, 8, "verify"),
    (scaling_study, 2, "scaling_study"),
    (tune_clip, 3, "tune_clip"),
    (tune_lr, 3, "tune_lr"),
    (best_constants, 3, "best_constants"),
    (compare, 1, "compare"),
    (greedy_lr, 4, "greedy_lr"),
    (greedy_clip, 2, "greedy_clip"),
    (landscape, 3, "landscape"),
    (score_sgd, 1, "score_sgd"),
    (tune_from_residuals, 3, "tune_clip_from_residuals"),
    (effects, 8, "effects"),
    (stability, 12, "stability"),
    (steady_state, 4, "steady_state"),
    (exact_mean, 8, "exact_mean"),
    (sample_sde, 4, "sample_sde"),
    (best_threshold, 4, "best_threshold"),
    (efficiency, 1, "efficiency"),
    (fisher_information, 6, "fisher_information"),
    (from_data, 8, "from_data"),
    (units, 8, ""),
    (plot, 1, "plot"),
    (files, 3, "load read_toml to_toml"),
]


def numbers(result: Any) -> Iterator[np.ndarray]:
    if isinstance(result, tuple | list):
        for each in result:
            yield from numbers(each)
    elif isinstance(result, dict):
        yield from numbers(list(result.values()))
    else:
        yield np.asarray(result, dtype=float)


def call(k: int, folder: Path, *kind: int) -> str:
    """Make call k, with a kind those with momentum; return what is wrong with it after its name, or how it ended."""
    rng = np.random.default_rng([SEED, k, *kind])
    shares = np.array([share for _, share, _ in CALLS], dtype=float)
    function = CALLS[int(rng.choice(len(CALLS), p=shares / shares.sum()))][0]
    how = [folder] if function is files else []
    try:
        with guarded(GUARD), warnings.catch_warnings():
            warnings.simplefilter("ignore", hd.errors.HdlimitWarning)
            found = list(numbers(function(rng, *how)))
    except hd.errors.HdlimitError as error:
        text = str(error)
        fine = 20 < len(text) < 400 and "\n" not in text and "nan" not in text.lower().split()
        return f"{function.__name__}: refused" if fine else f"{function.__name__}: WRONG message {text[:500]}"
    except Exception as error:
        return f"{function.__name__}: WRONG {type(error).__name__}: {str(error)[:300]}"
    if not all(np.isfinite(values).all() for values in found):
        return f"{function.__name__}: WRONG not finite"
    return f"{function.__name__}: answered"


def check(first: int, last: int, folder: Path, *kind: int) -> None:
    ends = {k: call(k, folder, *kind) for k in range(first, last)}
    print(Counter(ends.values()))
    assert not {k: end for k, end in ends.items() if "WRONG" in end}


@pytest.mark.parametrize(
    "first", [pytest.param(k, marks=() if k < BY_DEFAULT else pytest.mark.slow) for k in range(0, ALL, CHUNK)]
)
def test_every_call_has_an_end(first: int, tmp_path: Path) -> None:
    check(first, first + CHUNK, tmp_path)


@pytest.mark.parametrize(
    ("first", "last"),
    [(0, 15), *(pytest.param(k, k + CHUNK, marks=pytest.mark.slow) for k in range(15, ALL // 4, CHUNK))],
)
def test_every_call_with_momentum_has_an_end(first: int, last: int, tmp_path: Path) -> None:
    check(first, last, tmp_path, 1)


@pytest.mark.parametrize("k", [2063, 3231, 5486, 6113])
def test_calls_that_once_failed(k: int, tmp_path: Path) -> None:
    """Steps of linear noise between neighbouring floats; the clipped share of batches where a threshold touches 0."""
    check(k, k + 1, tmp_path)


def test_every_public_function_is_called() -> None:
    called = {name for _, _, names in CALLS for name in names.split()}
    public = {name for home in (hd, hd.tuning) for name in home.__all__ if inspect.isfunction(getattr(home, name))}
    assert public <= called


def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The twins: a foreign exception, a number that is not finite, a long message, a call without an end."""

    def endless(_: Rng) -> Any:
        while True:
            pass

    def long(_: Rng) -> Any:
        raise hd.errors.NotAvailable(500 * "x")

    module = inspect.getmodule(call)
    wrong: list[tuple[Any, str]] = [
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda _: (1.0, [math.nan]), "not finite"),
        (long, "message"),
        (endless, "TimeoutError"),
    ]
    monkeypatch.setattr(module, "GUARD", 0.1)
    for function, said in wrong:
        monkeypatch.setattr(module, "CALLS", [(function, 1, "")])
        assert said in call(0, tmp_path) and "WRONG" in call(0, tmp_path)
