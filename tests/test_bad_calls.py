"""Every public function with every argument replaced by every wrong value: an answer, or one short line of our own.

The line names the argument that the user typed. 17 000 calls behind the slow marker, every 20th of them by default.
"""

from __future__ import annotations

import doctest
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from scipy import sparse, stats

import hdlimit as hd
from hdlimit.core.declaration import known_names
from hdlimit.tuning import best_threshold, efficiency, fisher_information, greedy_clip, greedy_lr, landscape, score_sgd

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
matplotlib.use("Agg")
P = hd.Problem(hd.Isotropic(20), hd.Gaussian(0.5))
SGD, CLIP, SIGN = hd.SGD(0.3), hd.ClippedSGD(0.3, 0.9), hd.SignSGD(0.2)
R = np.random.default_rng(0).standard_t(3, 400)
X = np.random.default_rng(1).standard_normal((30, 3))
TABLE = hd.tuning.ResidualTable([1.0, 2.0], [-1.0, 0.0, 1.0], [[-1.0, 0.0, 1.0], [-0.5, 0.0, 0.5]])


class Unshown:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Unread:
    """What raises when it is read as a number or an array."""

    def __float__(self) -> float:
        raise ZeroDivisionError

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise KeyError("no array")


class Scheduler:
    """A scheduler of a trainer."""

    def get_last_lr(self) -> list[float]:
        return [0.1]

    def step(self) -> None:
        pass


class Truthless(list[Any]):
    """A list without a truth value, as arrays have none."""

    def __bool__(self) -> bool:
        raise ValueError("no truth value")


# Made anew for every call, as some can be used once.
WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "np.bool": lambda: np.True_,
    "0": lambda: 0,
    "-1": lambda: -1,
    "1.5": lambda: 1.5,
    "-0.0": lambda: -0.0,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: -np.inf,
    "1e308": lambda: 1e308,
    "-1e308": lambda: -1e308,
    "5e-324": lambda: 5e-324,
    "10**400": lambda: 10**400,
    "10**5000": lambda: 10**5000,
    "-10**5000": lambda: -(10**5000),
    "1j": lambda: 1j,
    "Fraction": lambda: Fraction(10**400, 3),
    "Decimal nan": lambda: Decimal("sNaN"),
    "Decimal": lambda: Decimal("1e999999"),
    "text": lambda: "1",
    "empty text": lambda: "",
    "long text": lambda: "x" * 100_000,
    "lines": lambda: "a\nb\n\n",
    "zero byte": lambda: "a\0b.csv",
    "bytes": lambda: b"1",
    "bytearray": lambda: bytearray(b"\1\2"),
    "memoryview": lambda: memoryview(b"\1\2"),
    "list": list,
    "ragged": lambda: [[1, 2], [3]],
    "deep": lambda: [[[1.0]]],
    "texts": lambda: ["a", "b"],
    "nones": lambda: [None, None],
    "long list": lambda: [-1] * 50_000,
    "big integers": lambda: [10**5000],
    "fractions": lambda: [Fraction(1, 3), "1/3"],
    "dict": lambda: {"a": 1},
    "set": lambda: {1.0, 2.0},
    "generator": lambda: (x for x in (1.0, -1.0)),
    "object": object,
    "class": lambda: hd.SGD,
    "function": lambda: lambda t: -1.0,
    "raising": lambda: lambda t: 1 / 0,
    "problem": lambda: P,
    "optimizer": lambda: SGD,
    "law": lambda: hd.Gaussian(0.5),
    "unfrozen": lambda: stats.norm,
    "array": lambda: np.array([1.0, 2.0]),
    "nan array": lambda: np.array([np.nan, 1.0]),
    "empty array": lambda: np.zeros((0, 3)),
    "3-d array": lambda: np.ones((2, 2, 2)),
    "complex array": lambda: np.array([1j, 2.0]),
    "object array": lambda: np.array([object(), None]),
    "text array": lambda: np.array(["a", "b"]),
    "dates": lambda: np.array(["2020-01-01"], dtype="M8[D]"),
    "records": lambda: np.zeros(2, dtype=[("a", float)]),
    "sparse": lambda: sparse.eye_array(3),
    "masked": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    "module": lambda: np,
    "slice": lambda: slice(1, 2),
    "unshown": Unshown,
    "unshown list": lambda: [Unshown()],
    "unread": Unread,
    "truthless": lambda: Truthless([1.0]),
    "path": lambda: Path("/dev/null"),
}


class Call(NamedTuple):
    """A good call: a name, what is called, and its arguments, each of which is replaced in turn."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]


def good_calls(folder: Path) -> Iterator[Call]:
    """Good calls of every public function, cheap ones."""
    curve, clipped = hd.predict(P, SGD, 2.0), hd.predict(P, CLIP, 2.0)
    runs = hd.simulate(P, SGD, 1.0, 4, times=[0.0, 1.0], record="distance")
    paths = hd.sample_sde(P, SGD, 1.0, 4, times=[0.0, 1.0])
    report = hd.verify(P, SGD, 1.0, 4)
    grid = hd.sweep(P, SGD, 1.0, lr=[0.1, 0.2], std=[0.5, 1.0], times=[0.0, 1.0])
    tuned, steps = hd.tune_clip(P, 2.0), greedy_clip(P, 2.0)
    study = folder / "study.toml"
    study.write_text(hd.to_toml(P, SGD, 2.0))
    curve.save(folder / "curve.npz")
    three = {"problem": P, "optimizer": SGD, "horizon": 1.0}

    def call(name: str, **arguments: Any) -> Call:
        place: Any = hd
        for part in name.split("."):
            place = getattr(place, part)
        return Call(name, place, arguments)

    yield call(
        "Problem", covariance=hd.Isotropic(3), noise=hd.Gaussian(1.0), target=[1, 2, 3], start=[1, 2, 3], rows=None
    )
    options = {"intercept": True, "scale": False, "ridge": None, "columns": None}
    yield call("Problem.from_data", X=X, y=X[:, 0] + X[:, 1] ** 2, **options)
    yield call("Covariance", K=[1.0, 2.0])
    yield call("Isotropic", d=3)
    yield call("MarchenkoPastur", d=3, ratio=0.5)
    yield call("PowerLaw", d=3, exponent=0.5)
    yield call("Wishart", d=3, ratio=0.5, row_scales=None, seed=0)
    yield Call("Isotropic.rotated", hd.Isotropic(3).rotated, {"seed": 0})
    yield Call("PowerLaw.binned", hd.PowerLaw(9, 0.5).binned, {"blocks": 3})
    yield call("Empirical", noise_values=[-1.0, 1.0])
    yield call("Gaussian", std=1.0)
    yield call("GaussianMixture", weights=[0.5, 0.5], scales=[1.0, 2.0], means=[0.0, 0.0])
    for name in ("Laplace", "Rademacher"):
        yield call(name, scale=1.0)
    yield call("StudentT", df=3.0, scale=1.0)
    yield call("SymmetricStable", alpha=1.5, scale=1.0)
    yield call("Uniform", half_width=1.0)
    yield call("SGD", lr=0.3, batch_size=1)
    yield call("ClippedSGD", lr=0.3, threshold=1.0, batch_size=1)
    yield call("SignSGD", lr=0.3, batch_size=1)
    yield call("ResidualSGD", lr=0.3, psi=np.tanh, control=None, batch_size=1)
    yield call("SGD.from_step_size", step=0.01, problem=P, loss="squared", batch_size=1)
    yield Call("SGD.step_size", SGD.step_size, {"problem": P, "loss": "squared", "steps": [1, 2]})
    yield call("ClippedSGD.from_max_norm", lr=0.3, max_norm=1.0, problem=P, loss="squared", batch_size=1)
    yield Call("ClippedSGD.max_norm", CLIP.max_norm, {"problem": P, "loss": "squared"})
    yield call("predict", **three, times=[0.0, 1.0], rtol=1e-6, compress=True, until=None)
    options = {"times": None, "final": False, "rtol": 1e-5, "compress": True, "threads": None, "executor": None}
    yield call("sweep", **three, **options, progress=False, lr=[0.1, 0.2], batch_size=[1], noise=[hd.Gaussian(0.5)])
    yield Call("sweep std", hd.sweep, three | {"std": [0.5, 1.0]})
    yield Call("sweep threshold", hd.sweep, three | {"optimizer": CLIP, "threshold": [0.5, 1.0]})
    options = {"rows": None, "method": "direct", "record": (), "executor": None, "progress": False, "checkpoint": None}
    yield call("simulate", **three, runs=2, seed=0, times=[0.0, 1.0], **options, first=0)
    yield call("verify", **three, runs=2, seed=0, false_alarm=0.01, max_runs=None, **options)
    options = {"method": None, "executor": None, "progress": False, "checkpoint": None}
    sizes = {"dimensions": [8, 9, 10], "runs": 8, "seed": 0, "max_runs": None, "false_alarm": 0.01}
    yield call("scaling_study", **three, **sizes, **options)
    yield call("tune_clip", problem=P, horizon=1.0, lr=0.3, schedule=False, batch_size=1, target=None)
    yield call("tune_lr", problem=P, optimizer=hd.SGD, horizon=1.0, target=None)
    options = {"batch_size": 1, "gradient_norms": None, "confidence": 0.9, "bootstrap": 20, "seed": 0}
    yield call("tune_clip_from_residuals", residuals=R, losses=None, loss=None, **options)
    yield Call("tune_clip_from_losses", hd.tune_clip_from_residuals, {"losses": R**2, "loss": "squared"} | options)
    yield call("compare", problem=P, horizon=1.0, batch_size=1)
    yield call("effects", problem=P, lr=0.2, risk=0.3, batch_size=1)
    yield call("stability", **three)
    yield call("steady_state", problem=P, optimizer=SGD)
    yield call("exact_mean", problem=P, optimizer=SGD, steps=[1, 2])
    options = {"times": None, "diffusion": "homogenized", "step": None, "executor": None, "progress": False}
    yield call("sample_sde", **three, paths=2, seed=0, **options)
    yield call("plot", results=[curve, runs], band=0.8, x="t", ax=None)
    yield call("load", path=folder / "curve.npz")
    yield call("read_toml", path=study)
    yield call("to_toml", **three, runs=3, seed=0, rtol=1e-5, false_alarm=0.01, times=[0.0, 1.0])
    table = {"levels": [1.0, 2.0], "residuals": [-1.0, 0.0, 1.0], "scores": [[-1.0, 0.0, 1.0], [-0.5, 0.0, 0.5]]}
    yield call("tuning.ResidualTable", **table)
    yield call("tuning.ScoreSGD", lr=0.3, table=TABLE, design=1.5, batch_size=1)
    yield call("tuning.best_constants", problem=P, optimizer_type=hd.SGD, horizon=1.0, target=None, batch_size=1)
    yield Call("tuning.best_threshold", best_threshold, {"noise": hd.Gaussian(0.5), "v": 0.3, "batch_size": 1})
    yield Call("tuning.efficiency", efficiency, {"noise": hd.Gaussian(0.5), "v": [0.3], "batch_size": 1})
    yield Call("tuning.fisher_information", fisher_information, {"noise": hd.Gaussian(0.5), "v": 0.3})
    yield Call("tuning.greedy_clip", greedy_clip, {"problem": P, "horizon": 1.0, "batch_size": 1})
    yield Call("tuning.greedy_lr", greedy_lr, {"problem": P, "optimizer": hd.SGD, "horizon": 1.0})
    options = {"lr": [0.1, 0.2], "threshold": [0.5, 1.0], "batch_size": 1}
    yield Call("tuning.landscape", landscape, {"problem": P, "horizon": 1.0} | options)
    yield Call("tuning.score_sgd", score_sgd, {"problem": P, "lr": 0.2, "horizon": 1.0, "batch_size": 1})
    yield call("schedules.Constant", value=1.0)
    yield call("schedules.Cosine", initial=1.0, final=0.1, duration=2.0)
    yield call("schedules.Function", function=np.cos)
    yield call("schedules.Power", initial=1.0, exponent=0.5, time_scale=1.0)
    yield call("schedules.Linear", initial=1.0, final=0.1, duration=2.0)
    yield call("schedules.Polynomial", initial=1.0, final=0.1, duration=2.0, power=2.0)
    yield call("schedules.Product", schedules=[1.0, np.cosh])
    yield call("schedules.Sequential", schedules=[1.0, np.cosh], times=[1.0])
    yield call("schedules.WarmUp", schedule=1.0, duration=1.0, initial=0.1)
    shares = {"warmup_share": 0.1, "decay_share": 0.2}
    yield call("schedules.WSD", peak=1.0, duration=1.0, **shares, initial=0.1, final=0.2, shape="cosine")
    yield call("schedules.rates", scheduler=Scheduler(), steps=3)
    yield Call("Schedule.in_steps", hd.schedules.Cosine(1.0, 0.1, 2.0).in_steps, {"d": 10})
    yield Call("Table.from_steps", hd.schedules.Table.from_steps, {"values": [0.1, 0.2], "d": 10})
    yield call("SGD.from_step_size", step=[0.01, 0.02], problem=P, loss="squared", batch_size=1)
    yield call("schedules.Steps", times=[1.0], values=[1.0, 2.0])
    yield call("schedules.Table", times=[1.0, 2.0], values=[1.0, 2.0])
    yield Call("Schedule.__call__", hd.schedules.Cosine(1.0, 0.1, 2.0), {"t": 1.0})
    yield Call("Curve.at", curve.at, {"t": 1.0})
    yield Call("Curve.clipped_at", clipped.clipped_at, {"t": 1.0})
    yield Call("Curve.squares", curve.squares, {"t": 1.0})
    yield Call("Curve.efficiency", curve.efficiency, {"times": [1.0]})
    yield Call("Curve.noise_scales", curve.noise_scales, {"t": [1.0]})
    yield Call("Curve.alignment", curve.alignment, {"k": 2, "t": [1.0]})
    yield Call("Curve.time_to", curve.time_to, {"risk": 0.3})
    yield Call("Ensemble.quantile", runs.quantile, {"q": 0.5})
    yield Call("Ensemble.observable", runs.observable, {"name": "distance"})
    yield Call("SdePaths.quantile", paths.quantile, {"q": 0.5})
    yield Call("Sweep.sel", grid.sel, {"lr": 0.1, "std": 0.5})
    yield Call("Tuning.trainer", tuned.trainer, {"loss": "squared", "every": 1})
    yield Call("ClipSchedule.trainer", steps.trainer, {"loss": "squared", "every": 1})
    yield Call("ClipSchedule.save", steps.save, {"path": folder / "a.csv", "loss": "squared", "every": 1})
    for name, result in {"Curve": curve, "Ensemble": runs, "Report": report, "Sweep": grid, "Tuning": tuned}.items():
        yield Call(f"{name}.save", result.save, {"path": folder / "a.json"})
    drawn = [curve, runs, paths, report, grid, hd.exact_mean(P, SGD, [1, 2]), hd.compare(P, 1.0), tuned.landscape]
    for result in drawn:
        yield Call(f"{type(result).__name__}.plot", result.plot, {"ax": None})


def raw_error(call: Call, argument: str, wrong: str) -> str | None:
    """What is wrong with how a call is refused; None for an answer, or one short line that names the argument."""
    where = f"{call.name}({argument}={wrong})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", hd.errors.HdlimitWarning)
            call.function(**(call.arguments | {argument: WRONG[wrong]()}))
    except hd.errors.InvalidInput as error:
        message = str(error)
        if len(message) >= 400 or "\n" in message:
            return f"{where}: {len(message)} characters"
        return None if named(call, message) else f"{where} does not name it: {message[:200]}"
    except hd.errors.HdlimitError as error:
        return None if len(str(error)) < 400 else f"{where}: {len(str(error))} characters"
    except Exception as error:
        return f"{where}: {type(error).__name__}: {str(error)[:150]}"
    finally:
        pyplot.close("all")
    return None


def named(call: Call, message: str) -> bool:
    """Whether a message names an argument of the call, or a schedule given as a function, before what came."""
    head = message.split(", got ")[0]
    return head.startswith("schedule: ") or any(argument in head for argument in call.arguments)


def failures(calls: list[tuple[Call, str, str]]) -> list[str]:
    return [found for call, argument, wrong in calls if (found := raw_error(call, argument, wrong))]


def all_calls(folder: Path) -> list[tuple[Call, str, str]]:
    return [(call, argument, wrong) for call in good_calls(folder) for argument in call.arguments for wrong in WRONG]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are written, among them those of a wrong checkpoint."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_good_calls_have_answers(folder: Path) -> None:
    for call in good_calls(folder):
        call.function(**call.arguments)
        pyplot.close("all")


def test_a_sample_of_bad_calls(folder: Path) -> None:
    assert failures(all_calls(folder)[7::20]) == []


@pytest.mark.slow
def test_ten_thousand_bad_calls(folder: Path) -> None:
    calls = all_calls(folder)
    assert len(calls) > 10_000
    assert failures(calls) == []


def test_every_public_function_is_called(folder: Path) -> None:
    names = {call.name.split()[0] for call in good_calls(folder)} | {"NoNoise", "load"}
    public = {name for name in hd.__all__ if callable(getattr(hd, name))}
    public |= {f"tuning.{name}" for name in hd.tuning.__all__}
    public |= {f"schedules.{name}" for name in hd.schedules.__all__ if name != "Schedule"}
    assert public <= names
    for result in hd.results.__all__:
        methods = inspect.getmembers(getattr(hd.results, result), inspect.isfunction)
        taking = {name for name, method in methods if len(inspect.signature(method).parameters) > 1}
        assert {name for name in taking if name[0] != "_"} <= {name.split(".")[-1] for name in names}


def test_the_harness_sees_raw_errors() -> None:
    """The twin: a function that checks nothing."""
    call = Call("add", lambda x: x + 1.0, {"x": 1.0})
    assert len(failures([(call, "x", wrong) for wrong in WRONG])) > 25


def unanswered(call: Call, argument: str) -> str | None:
    """What is wrong with the answer to a name with a stroke too many; None where it is the name itself."""
    wrong = f"{argument}_"
    given = {wrong if name == argument else name: value for name, value in call.arguments.items()}
    try:
        call.function(**given)
    except hd.errors.InvalidInput as error:
        nearest = call.name.endswith(".plot") or f"(is it {argument}?)" in str(error)
        return None if error.argument == wrong and nearest else f"{call.name}({wrong}=): {error}"
    except Exception as error:
        return f"{call.name}({wrong}=): {type(error).__name__}: {error}"
    finally:
        pyplot.close("all")
    return f"{call.name}({wrong}=) has an answer"


def test_every_misspelt_name_is_answered_with_the_right_one(folder: Path) -> None:
    calls = [(call, argument) for call in good_calls(folder) for argument in call.arguments]
    assert len(calls) > 250
    assert [found for call, argument in calls if (found := unanswered(call, argument))] == []


def test_a_function_keeps_what_it_is() -> None:
    for name in hd.__all__:
        function = getattr(hd, name)
        if inspect.isfunction(function):
            bare = inspect.unwrap(function)
            assert bare is not function and inspect.signature(bare) == inspect.signature(function)
            assert (bare.__doc__, bare.__module__, bare.__qualname__, bare.__globals__) == (
                function.__doc__, function.__module__, function.__qualname__, function.__globals__,
            )  # fmt: skip
            assert pickle.loads(pickle.dumps(function)) is function
            assert doctest.DocTestFinder(recurse=False).find(function, name)[0].examples


def test_problem_optimizer_and_horizon_come_first_and_in_this_order() -> None:
    taking, of_a_limit = 0, ("problem", "optimizer", "optimizer_type", "horizon")
    for place in (hd, hd.tuning):
        for name in place.__all__:
            if inspect.isfunction(function := getattr(place, name)):
                names = list(inspect.signature(function).parameters)
                first = [each for each in of_a_limit if each in names]
                assert names[: len(first)] == first, name
                taking += "horizon" in first
    assert taking > 10


def test_a_type_error_of_the_function_itself_stays() -> None:
    @known_names
    def add(one: Any, other: Any) -> Any:
        return one + other

    assert add(1, other=2) == 3
    for call in (lambda: add(1, "a"), lambda: add(1), lambda: add(1, 2, 3)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(hd.errors.InvalidInput, match=r"others: expected an argument of add: one, other \(is it other"):
        add(1, others="a")
