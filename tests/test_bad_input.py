"""What a stranger tries: every wrong argument gives one clear line, every valid extreme gives the right answer."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from cases import NOISES, OPTIMIZERS, SCHEDULES, name_of
from scipy import stats

import hdlimit as hd
from hdlimit.core import timegrid
from hdlimit.finite_size.exact_mean import exact_bias
from hdlimit.problem.covariance import Rotated
from hdlimit.problem.row_moments import non_gaussianity
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.response.response import MapResponse
from hdlimit.storage.tables import read_table

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")
nan, inf = math.nan, math.inf
D = 40
EYE = hd.Isotropic(D)
P = hd.Problem(EYE, hd.Gaussian(0.5))
LOGISTIC = ScipyNoise(stats.logistic(0, 0.3))
INFINITE_VARIANCE = hd.Problem(EYE, hd.StudentT(df=1.5, scale=0.5))
NAMES = {
    "hd": hd,
    "np": np,
    "scipy": scipy,
    "stats": stats,
    "non_gaussianity": non_gaussianity,
    "Rotated": Rotated,
    "nan": nan,
    "inf": inf,
}
SGD, CLIP, SIGN = hd.SGD(0.5), hd.ClippedSGD(0.5, 0.9), hd.SignSGD(0.3)
NAMES |= {"EYE": EYE, "P": P, "SGD": SGD, "CLIP": CLIP, "SIGN": SIGN}


@dataclass(frozen=True)
class Bad:
    """A call that must be refused with a line that holds these words."""

    call: Callable[[], Any]
    words: tuple[str, ...]
    name: str


def bad(text: str, *words: str) -> Bad:
    return Bad(lambda: eval(text, NAMES), words, text)


def each(text: str, values: str, *words: str) -> list[Bad]:
    """The call with every value put in place of _."""
    return [bad(re.sub(r"\b_\b", value, text), *words) for value in values.split("; ")]


NO_NUMBER = "'1'; None; True; np.True_; 1j; np.complex128(1); nan; inf; -inf; [1]; np.array([1.0]); {}; b'1'; 10**400"
NOT_POSITIVE = "0; -1; -1e-300; " + NO_NUMBER
NO_COUNT = "0; -1; 1.5; 10**30; " + NO_NUMBER
VECTOR = "finite array of shape (3,)"

DECLARATIONS = [
    *each("hd.Isotropic(_)", NO_COUNT, "d: expected an integer"),
    *each("hd.PowerLaw(10, _)", "-0.5; " + NO_NUMBER, "exponent: expected a finite number >= 0"),
    *each("hd.MarchenkoPastur(10, _)", NOT_POSITIVE, "ratio: expected a finite number > 0"),
    bad("hd.MarchenkoPastur(10, 21)", "ratio: expected at most 2 d = 20", "got 21"),
    *each("hd.Wishart(10, _)", NOT_POSITIVE, "ratio: expected a finite number > 0"),
    bad("hd.Wishart(10, 1e-9)", "ratio: expected d/n with at most n = 1e+09 rows, got 1e-09"),
    *each("hd.Wishart(3, 0.5, [_, 1, 1])", "0; -1", "row_scales: expected numbers > 0, got a smallest value"),
    bad("hd.Wishart(3, 0.5, [1, 1])", "row_scales: expected a", VECTOR, "got shape (2,)"),
    *each(
        "hd.Wishart(3, 0.5, seed=_)", "-1; 0.5; None; 'a'; np.random.default_rng()", "seed: expected an integer >= 0"
    ),
    *each("EYE.rotated(_)", "-1; 0.5; None; 'a'", "seed: expected an integer >= 0"),
    *each("Rotated(_)", "3; np.eye(2); hd.Gaussian(1)", "base: expected a covariance model"),
    *each("hd.Covariance(_)", "5; None; {}; {1: 2}; np.ones((2, 2, 2))", "K: expected "),
    *each("hd.Covariance(_)", "'K'; ['a', 'b']; b'K'", "K: expected a finite array, got text"),
    bad("hd.Covariance([[1, 2], [3]])", "K: expected a finite array, got list that is not numeric"),
    bad(
        "hd.Covariance(scipy.sparse.eye(3))",
        "K: expected a finite array, got a dia_",
        "sparse; its toarray()",
    ),
    *each("hd.Covariance(_)", "np.eye(2) * 1j; [1, 2j]", "K: expected a finite array, got complex numbers"),
    *each("hd.Covariance(_)", "[]; [[]]", "K: expected a finite array, got an empty array"),
    *each("hd.Covariance(_)", "[1, nan]; [[1, 0], [0, inf]]", "K: expected a finite array, got 1 entries that are NaN"),
    bad("hd.Covariance(np.ones((2, 3)))", "K: expected a square matrix, got shape (2, 3)"),
    bad("hd.Covariance([[1, 2], [0, 1]])", "K: expected a symmetric matrix", "differ from their mirror image by 2"),
    bad("hd.Covariance([[1, 2], [2, 1]])", "K: expected a positive semi-definite matrix, got an eigenvalue of -1"),
    bad("hd.Covariance([1, -1])", "K: expected variances >= 0, got a smallest variance of -1"),
    *each("hd.Covariance(_)", "[0, 0]; np.zeros((2, 2)); 0", "K: expected "),
    *each(
        "hd.Covariance(_)", "[1e200]; np.eye(3) * 1e308; [1e-200, 0]", "K: expected a largest variance from 1e-140 to"
    ),
    *each(
        "hd.Problem(_)",
        "'K'; None; 3; []; {}; hd.Isotropic; [1, 2j]; ['a']; np.ones((2, 2, 2))",
        "covariance: expected",
    ),
    *each("hd.Problem(_)", "'K'; 3; [[1, 2], [2, 1]]; [[1, 2], [3]]", "covariance: expected a covariance model"),
    *each("hd.Problem(hd.Isotropic(3), target=_)", "[1, 2]; [[1, 2, 3]]; 1.0", "target: expected", VECTOR, "got shape"),
    *each("hd.Problem(hd.Isotropic(3), start=_)", "np.zeros(4); ()", "start: expected a", VECTOR, "got shape"),
    *each(
        "hd.Problem(hd.Isotropic(3), start=_)", "[1, nan, inf]", "start: expected a", VECTOR, "2 entries that are NaN"
    ),
    *each("hd.Problem(hd.Isotropic(3), target=_)", "[1j, 0, 0]; np.ones(3) * 1j", "target:", VECTOR, "complex numbers"),
    *each("hd.Problem(hd.Isotropic(3), target=_)", "'abc'; ['1', '2', '3']", "target: expected a", VECTOR, "got text"),
    *each(
        "hd.Problem(hd.Isotropic(3), target=_)",
        "{1, 2, 3}; [[1], [2, 3], 4]; [10**400, 0, 0]",
        "target:",
        "not numeric",
    ),
    *each("hd.Problem(EYE, rows=_)", "[[1]]; 3", "rows: expected the rows made by Problem.from_data, or None"),
    *each(
        "hd.Problem(EYE, _)",
        "0.5; 'gaussian'; hd.Gaussian; stats.norm; [0.1, 0.2]",
        "noise: expected a noise law or a fro",
    ),
    *each(
        "hd.Problem(EYE, stats.norm(_))", "0, -1; 0, nan; 'a'; inf; 0, 'b'", "noise: expected a distribution with valid"
    ),
    bad("hd.Problem(EYE, stats.norm(0, [1, 2]))", "noise: expected a distribution with scalar parameters", "[1, 2]"),
    bad("hd.Problem(EYE, stats.norm(0, 1e200))", "noise: expected values up to 1e+70 in size"),
    *each("hd.Gaussian(_)", NOT_POSITIVE, "std: expected a finite number > 0"),
    *each("hd.Gaussian(_)", "1e71; 1e-71", "std: expected a number from 1e-70 to 1e+70, got 1e"),
    *each("hd.StudentT(_, 1)", NOT_POSITIVE, "df: expected a finite number > 0"),
    *each("hd.StudentT(3, _)", NOT_POSITIVE, "scale: expected a finite number > 0"),
    *each("hd.Laplace(_)", NOT_POSITIVE, "scale: expected a finite number > 0"),
    *each("hd.Uniform(_)", NOT_POSITIVE, "half_width: expected a finite number > 0"),
    *each("hd.Rademacher(_)", NOT_POSITIVE, "scale: expected a finite number > 0"),
    *each("hd.GaussianMixture([_, 1], [1, 1])", "0; -1", "weights: expected numbers > 0, got a smallest weight of"),
    *each("hd.GaussianMixture([_, 1], [1, 1])", "nan; 1e300; 1j; 'a'", "weights: expected "),
    *each(
        "hd.GaussianMixture([1, 1], _)",
        "[1]; 1; [1, nan]; ['a', 'b']; [[1, 1]]",
        "scales: expected a finite array of shape",
    ),
    bad("hd.GaussianMixture([1, 1], [1, -1])", "scales: expected numbers >= 0, got a smallest scale of -1"),
    *each("hd.GaussianMixture([1, 1], [1, 1], _)", "[0]; [0, nan]; 0", "means: expected a finite array of shape (2,)"),
    *each(
        "hd.Empirical(_)", "[]; [nan]; 3; [[1, 2]]; 'a'; None", "noise_values: expected a finite array with 1 dimension"
    ),
    bad("hd.Empirical([1e100])", "noise_values: expected values up to 1e+70 in size, got 1e+100"),
    *each("hd.SGD(_)", NOT_POSITIVE, "lr: expected a number > 0, a schedule or a function of t, got"),
    *each(
        "hd.SignSGD(_)",
        "hd.SGD; dict; SGD; P; hd.schedules.Constant(0); hd.schedules.Constant(inf)",
        "lr: expected a number > 0, a schedule",
    ),
    *each("hd.SGD(0.5, _)", NO_COUNT, "batch_size: expected an integer"),
    *each("hd.ClippedSGD(_, 1)", NOT_POSITIVE, "lr: expected a number > 0, a schedule or a function of t, got"),
    *each(
        "hd.ClippedSGD(0.5, _)",
        NOT_POSITIVE.replace("; inf;", ";"),
        "threshold: expected a number > 0 (inf is allowed), a",
    ),
    *each(
        "hd.ClippedSGD(0.5, hd.schedules.Constant(_))",
        "0",
        "threshold: expected a number > 0 (inf is allowed), a schedule",
    ),
    *each("hd.schedules.Constant(_)", "-1; 'a'; True; None; nan; 1j; -inf", "value: expected a number >= 0"),
    *each("hd.schedules.Steps([_], [1, 2])", "0; -1", "times: expected increasing times > 0, got"),
    *each("hd.schedules.Steps([_], [1, 2, 3])", "1, 1; 2, 1", "times: expected increasing times > 0, got"),
    *each(
        "hd.schedules.Steps(_, [1])",
        "[]; 1; 'a'; [nan]; [inf]; None",
        "times: expected a finite array with 1 dimension",
    ),
    bad("hd.schedules.Steps([1], [1])", "values: expected a finite array of shape (2,), got shape (1,)"),
    *each("hd.schedules.Steps([1], [1, _])", "-2", "values: expected values >= 0, got a smallest value of -2"),
    *each(
        "hd.schedules.Steps([1], [1, _])",
        "nan; inf",
        "values: expected a finite array",
        "got 1 entries that are NaN or inf",
    ),
    *each("hd.schedules.Table([_], [1, 2])", "1, 0; 1, 1; -1, 0", "times: expected increasing times >= 0, got ["),
    bad("hd.schedules.Table([0, 1], [1])", "values: expected a finite array of shape (2,), got shape (1,)"),
    *each("hd.schedules.Table([0, 1], [1, _])", "-2", "values: expected values >= 0, got a smallest value of -2"),
    *each("hd.schedules.Cosine(_, 0, 1)", "-1; " + NO_NUMBER, "initial: expected a finite number >= 0"),
    *each("hd.schedules.Cosine(1, _, 1)", "-1; " + NO_NUMBER, "final: expected a finite number >= 0"),
    *each("hd.schedules.Cosine(1, 0, _)", NOT_POSITIVE, "duration: expected a finite number > 0"),
    *each("hd.schedules.Power(1, _)", NO_NUMBER, "exponent: expected a finite number"),
    *each("hd.schedules.Power(1, 1, _)", NOT_POSITIVE, "time_scale: expected a finite number > 0"),
    *each("hd.schedules.Function(_)", "3; None; dict", "function: expected a function of t"),
    *each("hd.schedules.Linear(_, 0, 1)", "-1; " + NO_NUMBER, "initial: expected a finite number >= 0"),
    *each("hd.schedules.Linear(1, _, 1)", "-1; " + NO_NUMBER, "final: expected a finite number >= 0"),
    *each("hd.schedules.Linear(1, 0, _)", NOT_POSITIVE, "duration: expected a finite number > 0"),
    *each("hd.schedules.Polynomial(_, 0, 1, 2)", "-1; " + NO_NUMBER, "initial: expected a finite number >= 0"),
    *each("hd.schedules.Polynomial(1, 0, _, 2)", NOT_POSITIVE, "duration: expected a finite number > 0"),
    *each("hd.schedules.Polynomial(1, 0, 1, _)", NOT_POSITIVE, "power: expected a finite number > 0"),
    *each("hd.schedules.WarmUp(_, 1)", "-1; " + NO_NUMBER, "schedule: expected a finite number >= 0, a schedule or"),
    *each("hd.schedules.WarmUp(1, _)", NOT_POSITIVE, "duration: expected a finite number > 0"),
    *each("hd.schedules.WarmUp(1, 1, _)", "-1; " + NO_NUMBER, "initial: expected a finite number >= 0"),
    *each("hd.schedules.WSD(_, 1, .1, .2)", "-1; " + NO_NUMBER, "peak: expected a finite number >= 0"),
    *each("hd.schedules.WSD(1, _, .1, .2)", NOT_POSITIVE, "duration: expected a finite number > 0"),
    *each("hd.schedules.WSD(1, 1, _, .2)", "-1; " + NO_NUMBER, "warmup_share: expected a finite number >= 0"),
    *each("hd.schedules.WSD(1, 1, .1, _)", "-1; " + NO_NUMBER, "decay_share: expected a finite number >= 0"),
    bad(
        "hd.schedules.WSD(1, 1, 0.7, 0.4)", "warmup_share: expected a share that is at most 1 with decay_share, got 0.7"
    ),
    *each(
        "hd.schedules.WSD(1, 1, 0, 0, shape=_)",
        "'sqrt'; None; 3",
        "shape: expected one of 'linear', 'cosine', '1-sqrt'",
    ),
    *each(
        "hd.schedules.Sequential(_, [1])",
        "3; None; 'ab'; {}; SGD; hd.schedules.Power(1, 1); [1]; []",
        "schedules: expected a list of two schedules or more, got",
    ),
    *each(
        "hd.schedules.Sequential([1, _], [1])",
        "-1; " + NO_NUMBER + "; SGD; dict; hd.schedules.Constant(inf)",
        "schedules[1]: expected a finite number >= 0, a schedule or a function of t, got",
    ),
    *each("hd.schedules.Sequential([1, 2], [_])", "0; -1", "times: expected increasing times > 0, got"),
    *each("hd.schedules.Sequential([1, 2, 3], [_])", "1, 1; 2, 1", "times: expected increasing times > 0, got"),
    *each("hd.schedules.Sequential([1, 2], _)", "[]; 1; [1, 2]; [nan]; None; 'a'", "times: expected a finite array of"),
    *each("hd.schedules.Product(_)", "3; None; 'ab'; [1]; [[1, 2]]", "schedules: expected a list of two"),
    *each("hd.schedules.Product([_, 1])", "-1; inf; nan; None; 'a'", "schedules[0]: expected a finite number >= 0"),
    *each("hd.schedules.Cosine(1, 0, 9).in_steps(_)", NO_COUNT, "d: expected an integer"),
    *each("hd.schedules.Table.from_steps([1, 2], _)", NO_COUNT, "d: expected an integer"),
    *each("hd.schedules.Table.from_steps(_, 9)", "[]; 1; 'a'; [nan]; None", "values: expected a finite array"),
    bad("hd.schedules.Table.from_steps([1, -2], 9)", "values: expected values >= 0, got a smallest value of -2"),
]

LOSS = (
    "loss: expected 'half_squared' where the trainer's loss is r^2/2, "
    "'squared' where it is r^2 (PyTorch's MSELoss), got "
)
CONVERSIONS = [
    *each("SGD.step_size(_, loss='squared')", "3; None; EYE", "problem: expected a Problem, got"),
    *each("SGD.step_size(P, loss=_)", "'mse'; None; ['squared']; 2", LOSS),
    bad("SGD.step_size(P)", LOSS + "nothing"),
    bad("SGD.step_size(P, 'squared')", LOSS + "nothing"),
    *each(
        "SGD.step_size(P, loss='squared', steps=_)",
        "'a'; [nan]; [1j]; None if 0 else [-1]; [[1], [2, 3]]",
        "steps: expected",
    ),
    bad(
        "hd.SGD(hd.schedules.Cosine(1, 0, 1)).step_size(P, loss='squared')",
        "steps: expected the step numbers at which to read the lr schedule",
    ),
    *each(
        "hd.SGD.from_step_size(_, P, loss='squared')",
        NOT_POSITIVE.replace("[1]; np.array([1.0]); ", "") + "; hd.schedules.Cosine(1, 0, 1)",
        "step: expected a finite number > 0",
    ),
    *each("hd.SGD.from_step_size(_, P, loss='squared')", "[]; [[1.0]]; [nan]; ['a']", "step: expected a finite array"),
    bad("hd.SGD.from_step_size([0.1, -1], P, loss='squared')", "step: expected values >= 0, got"),
    *each("hd.SGD.from_step_size(0.1, _, loss='squared')", "40; None; EYE", "problem: expected a Problem, got"),
    bad("hd.SGD.from_step_size(0.1, P, loss='mse')", LOSS + "'mse'"),
    bad("hd.SGD.from_step_size(0.1, P, batch_size=2)", LOSS + "nothing"),
    bad("hd.SGD.from_step_size(0.1, P, los='squared')", "los: expected an argument of from_step_size", "is it loss?"),
    *each(
        "hd.ClippedSGD.from_max_norm(0.5, _, P, loss='squared')",
        NOT_POSITIVE,
        "max_norm: expected a finite number > 0",
    ),
    *each("hd.ClippedSGD.from_max_norm(0.5, 1, _, loss='squared')", "40; None", "problem: expected a Problem, got"),
    bad("hd.ClippedSGD.from_max_norm(0.5, 1, P, loss='l2')", LOSS + "'l2'"),
    bad("hd.ClippedSGD.from_max_norm(0.5, 1, P)", LOSS + "nothing"),
    bad("hd.ClippedSGD.from_max_norm(0, 1, P, loss='squared')", "lr: expected a number > 0"),
    bad(
        "hd.ClippedSGD(0.5, hd.schedules.Cosine(1, 0, 1)).max_norm(P, loss='squared')",
        "threshold: expected a constant threshold, got Cosine(",
    ),
    *each("CLIP.max_norm(_, loss='squared')", "None; 3", "problem: expected a Problem, got"),
    bad("CLIP.max_norm(P, loss='x')", LOSS + "'x'"),
    bad("CLIP.max_norm(P)", LOSS + "nothing"),
    bad("hd.tune_clip(P, 2).trainer()", LOSS + "nothing"),
    bad("hd.tuning.greedy_clip(P, 2).trainer(every=2)", LOSS + "nothing"),
    bad("hd.tuning.greedy_clip(P, 2).save('a.csv')", LOSS + "nothing"),
    bad("hd.tune_clip_from_residuals(losses=[1.0, 2.0])", LOSS + "None"),
]

RUNS = [
    *each("hd.predict(_, SGD, 5)", "3; None; EYE; SGD; hd.Problem", "problem: expected a Problem, got"),
    *each("hd.predict(P, _, 5)", "3; None; 'sgd'; hd.SGD; P; 0.5", "optimizer: expected an optimizer such as SGD"),
    *each(
        "hd.predict(P, SGD, _)",
        NOT_POSITIVE + "; 1e13; 1e-9",
        "horizon: expected a time from 1/d = 0.025 (one step) to 1e",
    ),
    bad("hd.predict(P, SGD, 5, [1, 0])", "times: expected non-decreasing times", "the horizon 5, got 1 followed by 0"),
    *each(
        "hd.predict(P, SGD, 5, _)",
        "[0, 6]; [-1, 2]",
        "times: expected non-decreasing times between 0 and the horizon 5",
    ),
    *each(
        "hd.predict(P, SGD, 5, _)",
        "[0, nan]; []; 3; [[0, 1]]; 'all'; [0, 1j]; P",
        "times: expected a finite array with 1",
    ),
    *each("hd.predict(P, SGD, 5, rtol=_)", NOT_POSITIVE + "; 1; 0.02; 1e-14", "rtol: expected "),
    *each("hd.stability(P, _)", "3; hd.SGD", "optimizer: expected an optimizer such as SGD"),
    *each("hd.steady_state(_, SGD)", "3; EYE", "problem: expected a Problem, got"),
    *each(
        "hd.steady_state(P, hd.SGD(_))",
        "hd.schedules.Cosine(1, 0, 1); lambda t: 0.5",
        "optimizer: expected a constant lr and thr",
    ),
    *each("hd.simulate(P, SGD, 5, _)", NO_COUNT, "runs: expected an integer"),
    *each(
        "hd.simulate(P, SGD, 5, 2, _)",
        "'a'; -1; 1.5; None; True; [1, 2]; np.random; nan; 1j",
        "seed: expected an integer >=",
    ),
    bad(
        "hd.simulate(P, SGD, 5, 2, np.random.RandomState(0))", "seed: expected an integer >= 0, a SeedSequence or a Gen"
    ),
    bad(
        "hd.simulate(P, SGD, 5, 2, rows='data')", "rows: expected 'gaussian', as the problem has no rows", "got 'data'"
    ),
    *each(
        "hd.simulate(P, SGD, 5, 2, rows=_)",
        "'x'; True; ['data']; np.ones((2, 2))",
        "rows: expected one of 'data', 'gaussian'",
    ),
    *each(
        "hd.simulate(P, SGD, 5, 2, executor=_)",
        "'threads'; 4",
        "executor: expected a concurrent.futures.Executor or None",
    ),
    *each("hd.verify(P, SGD, 5, _)", "1; " + NO_COUNT, "runs: expected an integer"),
    *each(
        "hd.verify(P, SGD, 5, false_alarm=_)",
        "0; 1; 2; " + NO_NUMBER,
        "false_alarm: expected a number strictly between 0",
    ),
    *each("hd.verify(P, SGD, 1, 4, seed=_)", "'a'; None", "seed: expected an integer >= 0"),
    *each("hd.verify(P, SGD, 1, 4, rows=_)", "'data'; 3", "rows: expected"),
    *each("hd.to_toml(P, _, 5)", "3; None; P", "optimizer: expected an optimizer such as SGD"),
    *each("hd.to_toml(_, SGD, 5)", "3; EYE", "problem: expected a Problem, got"),
    *each("hd.to_toml(P, SGD, _)", NOT_POSITIVE, "horizon: expected a finite number > 0"),
    *each("hd.to_toml(P, SGD, 5, runs=_)", NO_COUNT, "runs: expected an integer"),
    *each("non_gaussianity(_)", "3; P", "problem: expected a problem with rows, made by Problem.from_data, got"),
]

# A schedule that fails when it is read: in predict (and so in verify) and in simulate.
SCHEDULE = [
    *each(
        "_",
        "lambda t: nan; lambda t: inf; lambda t: -1; lambda t: 0.5 - t; lambda t: None",
        "a function with finite values",
    ),
    *each(
        "_", "lambda t: 'a'; lambda t: 1j; lambda t: True; lambda t: np.ones(2)", "a function with finite values >= 0"
    ),
]
READ = [
    Bad(
        lambda make=make, rate=rate: make(rate.call()),
        ("schedule: expected", *rate.words, "at t = "),
        f"{label}: {rate.name}",
    )
    for rate in SCHEDULE
    for label, make in {
        "predict lr": lambda f: hd.predict(P, hd.SGD(f), 5),
        "predict threshold": lambda f: hd.predict(P, hd.ClippedSGD(0.5, f), 5),
        "simulate lr": lambda f: hd.simulate(P, hd.SGD(f), 5, 2),
        "simulate threshold": lambda f: hd.simulate(P, hd.ClippedSGD(0.5, f), 5, 2),
    }.items()
] + [
    *each(
        "hd.predict(P, hd.SGD(lambda t: 0.5 if t < _ else 0.1), 5)",
        "2.3; 0.001",
        "a smooth schedule (use Steps for jumps",
    ),
    bad(
        "hd.predict(P, hd.ClippedSGD(0.5, lambda t: 1 + (t > 1.1)), 5)",
        "schedule:",
        "one that jumps or bends near t = 1.1",
    ),
    bad(
        "hd.predict(P, hd.SGD(hd.schedules.Power(1, -400)), 5)",
        "schedule: expected finite values >= 0, got 1 to inf between t = 0",
    ),
    bad("hd.simulate(P, hd.SGD(hd.schedules.Power(1, -400)), 10, 2)", "lr: expected values >= 0 that are finite, got"),
]

ROWS = [
    *each(
        "hd.Problem.from_data([[1], [2], [4]], _)",
        "None; 3; 'y'; [1, 2]; np.ones((3, 2)); [1, 2, 3j]",
        "y: expected ",
    ),
    *each("hd.Problem.from_data(_, [1, 2, 3])", "None; 3; 'X'; [1, 2, 3]; [[1], [2]]; np.ones((3, 2))", "expected"),
    bad("hd.Problem.from_data([[1], [2], [4]], [1, 2, nan])", "y: expected finite numbers, got 1 entries that are NaN"),
    bad(
        "hd.Problem.from_data([[1], [nan], [inf]], [1, 2, 3])", "X: expected finite", "2 entries", "in column 'x0' (2)"
    ),
    bad(
        "hd.Problem.from_data([[1], [2], [4]], [1, 2, 10**400])", "y: expected a numeric array of shape (n,), got 1000"
    ),
    *each("hd.Problem.from_data([[1], [2], [4]], [1, 2, 3], columns=_)", "3; 'a'; ['a', 'b']", "columns: expected"),
    *each("hd.Problem.from_data([[1], [2], [4]], [1, 2, 3], ridge=_)", "nan; -1; 'gcv'; 1j", "ridge: expected"),
]

STUDY = "hd.scaling_study(P, SGD, 2, [20, 40, 80], 8"
STUDIES = [
    *each("hd.simulate(P, SGD, 2, 2, first=_)", "-1; " + NO_NUMBER, "first: expected an integer >= 0"),
    bad("hd.simulate(P, SGD, 2, 2, first=1, checkpoint='x')", "first: expected 0 with a checkpoint", "got 1"),
    *each("hd.simulate(P, SGD, 2, 2, method=_)", "'x'; None; 3; ['blocks']", "method: expected one of 'direct', 'bl"),
    bad("hd.simulate(P, hd.SignSGD(0.3), 2, 2, method='blocks')", "method: expected 'direct' for sign features"),
    *each("hd.simulate(P, CLIP, 2, 2, record=_)", "'x'; 'risk'; ['x']; [None]; None; 3", "record: expected"),
    *each("hd.verify(P, CLIP, 2, 2, record=_)", "'x'; 'risk'; ['x']; [None]; None; 3", "record: expected"),
    *each(
        "hd._(P, SGD, 2, 2, record='clipped_fraction')", "simulate; verify", "record:", "an optimizer that clips only"
    ),
    *each(
        "hd.verify(P, SGD, 2, 4, max_runs=_)", NOT_POSITIVE.replace("None; ", ""), "max_runs: expected an integer >="
    ),
    bad("hd.verify(P, SGD, 2, 4, max_runs=3)", "max_runs: expected at least the 4 runs of the first look, or None"),
    *each("hd.simulate(P, SGD, 2, 2, checkpoint=_)", "3; ''; b'x'; [1]; True", "checkpoint: expected a file name or"),
    *each(f"{STUDY}, checkpoint=_)", "3; ''; b'x'; [1]; True", "checkpoint: expected a file name or None"),
    *each(f"{STUDY}, checkpoint=_)", "'/'; '/tmp'; '/tmp/'", "checkpoint: expected a file", "a folder or a device"),
    *each(f"{STUDY}, max_runs=_)", "7; 1", "max_runs: expected at least the 8 runs of the first look, or None"),
    *each(
        "hd.scaling_study(P, SGD, 2, _)", "None; 3; '1,2,3'; []; [8, nan]; [[8, 9, 10]]", "dimensions: expected a fi"
    ),
    *each("hd.scaling_study(P, SGD, 2, _)", "[8, 9]; [8, 8, 9]; [8, 9, 1.5]; [1, 2, 3]; [8, 9, 10**30]", "at least 3"),
    *each("EYE.binned(_)", "1.5; 0; -1; 41; 10**30; " + NO_NUMBER, "blocks: expected"),
    *each(
        "hd.exact_mean(P, SGD, _)", "[1, 0]; [0.5]; [-1]; [[1]]; []; [nan]; 10**30; 'a'; None; 1.5", "steps: expected"
    ),
    *each("hd.simulate(P, _, 1e12)", "SGD; CLIP; SIGN", "horizon: expected at most ", "hours", "predict has no such"),
    bad("hd.simulate(P, SGD, 1e12)", "4e+13 steps and 1.6e+15 random coordinates a run, about 3.1e+03 hours"),
    bad("hd.simulate(P, CLIP, 1e12, method='blocks')", "4e+13 steps and 4e+13 random coordinates a run", "hours"),
    bad("hd.verify(P, SIGN, 1e12)", "horizon: expected at most 8e+09, about a day's work of one core"),
    bad("hd.exact_mean(P, SGD, 10**9)", "steps: expected at most 1e+08 for all of 0, ..., K; an array of step numbers"),
    bad("hd.exact_mean(P, SGD, [2**52])", "steps: expected at most 4e+12, about a day", "4.5e+15 steps with 1 eigenv"),
    *each("hd.sample_sde(P, SGD, 2, _)", NO_COUNT, "paths: expected an integer"),
    *each("hd.sample_sde(P, SGD, 2, 2, step=_)", NOT_POSITIVE.replace("None; ", ""), "step: expected a finite number"),
    *each("hd.sample_sde(P, SGD, 2, 2, diffusion=_)", "'x'; None; 3", "diffusion: expected one of 'homogenized', 'cor"),
]

EVERYTHING = [*DECLARATIONS, *CONVERSIONS, *RUNS, *READ, *ROWS, *STUDIES]


def refusal(call: Callable[[], Any]) -> str:
    """The message of the package's error, which is one line of bearable length; no other error and no warning comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", hd.errors.HdlimitWarning)
        with pytest.raises(hd.errors.HdlimitError) as caught:
            call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and len(message) < 400
    return message


@pytest.mark.parametrize("case", EVERYTHING, ids=lambda case: case.name)
def test_a_wrong_argument_is_named(case: Bad) -> None:
    message = refusal(case.call)
    assert [word for word in case.words if word not in message] == [], message
    assert "expected " in message and ", got " in message


def test_refused_for_its_length_and_no_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the bound that the message names is accepted; ten times as much is not, but with a longer day."""
    for argument, call in (
        ("horizon", lambda size: hd.simulate(P, SGD, size, 1)),
        ("horizon", lambda size: hd.simulate(P, hd.ClippedSGD(0.5, 0.9, 3), size, 1, method="blocks")),
        ("steps", lambda size: hd.exact_mean(P, SGD, [round(size)])),
        ("steps", lambda size: exact_bias(P, SGD, [round(size)])),
    ):
        monkeypatch.setattr(timegrid, "DAY", 1e-3)
        expected = re.compile(rf"{argument}: expected at most ([0-9.e+]+), about a day's work")
        found = expected.match(refusal(partial(call, 1e7)))
        assert found
        most = float(found[1])
        call(0.5 * most)
        assert expected.match(refusal(partial(call, 10 * most)))
        monkeypatch.undo()
        call(10 * most)


@pytest.mark.parametrize(
    "optimizer", [SGD, hd.ClippedSGD(0.5, inf), hd.ClippedSGD(0.5, hd.schedules.Constant(inf)), hd.SGD(0.5, 3)]
)
def test_infinite_variance_is_refused_with_the_reason(optimizer: Any) -> None:
    for function in (lambda *a: hd.predict(*a, 5.0), hd.stability, hd.steady_state):
        with pytest.raises(hd.errors.NoLimit, match="StudentT.* infinite variance.* clipped SGD and signSGD have one"):
            function(INFINITE_VARIANCE, optimizer)
    message = refusal(lambda: hd.verify(INFINITE_VARIANCE, optimizer, 5.0))
    assert "StudentT(df=1.5, scale=0.5)" in message and "infinite" in message
    for other in (CLIP, SIGN):
        assert hd.predict(INFINITE_VARIANCE, other, 5.0).outcome.finished


# ---- results and files


@pytest.fixture(scope="module")
def curve() -> hd.results.Curve:
    return hd.predict(P, SGD, 5.0)


@pytest.mark.parametrize("t", [6, -1, nan, inf, "a", None, [1, 1j], [[1], [2, 3]], [], {}], ids=name_of)
def test_curve_at_other_times(curve: hd.results.Curve, t: Any) -> None:
    assert refusal(lambda: curve.at(t)).startswith("t: expected ")


@pytest.mark.parametrize("risk", ["a", None, nan, inf, 1j, [1], True], ids=name_of)
def test_time_to_something_else(curve: hd.results.Curve, risk: Any) -> None:
    assert refusal(lambda: curve.time_to(risk)).startswith("risk: expected a finite number, got ")


FILES = {
    "empty.csv": (b"", "path: expected a CSV file with a header line"),
    "header.csv": (b"a,y\n", "path: expected rows of numbers below the header"),
    "text.csv": (b"a,y\n1,2\nx,3\n", "got 'x' in ", "line 3, column 'a'"),
    "short.csv": (b"a,y\n1,2\n3\n", "path: expected 2 cells in every line, as in the header, got 1 in ", "line 3"),
    "other.csv": (b"a,b\n1,2\n", "target: expected one column of ", "(a, b), got 'y', which is there 0 times"),
    "empty.npz": (b"", "path: expected an .npz file of numeric arrays"),
    "rows.txt": (b"1 2", "path: expected a header line of column names"),
    "rows.dat": (b"1 2", "path: expected a file ending in .csv, .txt or .npz, got "),
}


@pytest.mark.parametrize("name", FILES)
def test_tables_that_are_none(tmp_path: Path, name: str) -> None:
    content, *words = FILES[name]
    (tmp_path / name).write_bytes(content)
    message = refusal(lambda: read_table(tmp_path / name))
    assert [word for word in words if word not in message] == [], message
    assert refusal(lambda: hd.load(tmp_path / name)).startswith("path: expected a .npz file written by save, got ")


@pytest.mark.parametrize("path", [3, None, [], "", "\0.npz", "missing.npz", os.curdir], ids=name_of)
def test_paths_that_are_none(curve: hd.results.Curve, path: Any) -> None:
    for call in (lambda: read_table(path), lambda: hd.load(path), lambda: hd.read_toml(path)):
        assert refusal(call).startswith("path: expected a")
    if path != "missing.npz":
        assert refusal(lambda: curve.save(path)).startswith("path: expected a file name ending in .npz, .csv or .json")


def test_results_that_cannot_be_written(curve: hd.results.Curve, tmp_path: Path) -> None:
    assert "ending in .npz, .csv or .json, got " in refusal(lambda: curve.save(tmp_path / "curve.txt"))
    assert "(no such folder)" in refusal(lambda: curve.save(tmp_path / "none" / "curve.npz"))
    assert refusal(lambda: curve.save("/proc/curve.npz")).startswith("path: expected a path that can be written")
    (tmp_path / "empty.toml").touch()
    assert "problem: expected a table, got nothing" in refusal(lambda: hd.read_toml(tmp_path / "empty.toml"))


# ---- valid extremes


def final(problem: hd.Problem, optimizer: Any, horizon: float = 60.0) -> float:
    """The predicted risk at the horizon; every array of the curve is finite, and no warning but ours is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", hd.errors.HdlimitWarning)
        curve = hd.predict(problem, optimizer, horizon)
        arrays = curve.risk, curve.distance, curve.gradient_norm, curve.samples, curve.at(curve.time)
    assert all(np.isfinite(a).all() and (a >= 0).all() for a in arrays) and curve.outcome.finished, curve.outcome
    assert curve.end == horizon == curve.time[-1]
    return float(curve.risk[-1])


@pytest.mark.parametrize("optimizer", [SGD, CLIP, SIGN, hd.SGD(0.5, 4)], ids=name_of)
@pytest.mark.parametrize("noise", [hd.Gaussian(0.5), hd.Rademacher(0.3), hd.Laplace(0.5)], ids=name_of)
def test_start_at_the_target(noise: Any, optimizer: Any) -> None:
    """The risk rises from 0 to the steady state, which a start elsewhere reaches from above."""
    start = np.full(D, D**-0.5)
    curve = hd.predict(hd.Problem(EYE, noise, start=start), optimizer, 60.0)
    assert curve.risk[0] == 0 and (np.diff(curve.risk) >= -1e-6 * curve.risk[-1]).all()
    assert curve.risk[-1] == pytest.approx(hd.steady_state(curve.problem, optimizer).risk, rel=1e-5)
    assert curve.risk[-1] == pytest.approx(final(hd.Problem(EYE, noise), optimizer), rel=1e-4)
    runs = hd.simulate(curve.problem, optimizer, 1.0, 2)
    assert (runs.risk[:, 0] == 0).all() and (runs.risk[:, -1] > 0).all()


@pytest.mark.parametrize("noise", [n for n in NOISES if math.isfinite(n.second_moment)], ids=name_of)
@pytest.mark.parametrize("threshold", [inf, np.float32(inf), hd.schedules.Constant(inf)], ids=name_of)
def test_infinite_threshold_is_sgd(noise: Any, threshold: Any) -> None:
    """Bit for bit in the prediction; to rounding in the simulation, which has a kernel of its own for clipping."""
    problem = hd.Problem(hd.PowerLaw(D, 0.5), noise)
    clipped = hd.ClippedSGD(0.4, threshold, batch_size=2)
    plain = hd.SGD(0.4, batch_size=2)
    assert np.array_equal(hd.predict(problem, clipped, 5.0).risk, hd.predict(problem, plain, 5.0).risk)
    runs = hd.simulate(problem, clipped, 1.0, 2).risk
    np.testing.assert_allclose(runs, hd.simulate(problem, plain, 1.0, 2).risk, rtol=1e-13)
    assert hd.steady_state(problem, clipped).risk == hd.steady_state(problem, plain).risk


ZERO = [
    hd.schedules.Table([0, 5, 10], [0.5, 0, 0.5]),
    hd.schedules.Steps([5, 10], [0.5, 0, 0.5]),
    hd.schedules.Steps([5], [0, 0.5]),
    hd.schedules.Cosine(0.5, 0, 10),
    hd.schedules.Table([3], [0.5]),
    lambda t: 0.5 * abs(math.cos(t / 20)) ** 3,
]


@pytest.mark.parametrize("schedule", ZERO, ids=name_of)
@pytest.mark.parametrize("make", [hd.SGD, hd.SignSGD, lambda s: hd.ClippedSGD(0.5, s), lambda s: hd.ClippedSGD(s, 0.9)])
def test_schedules_that_touch_zero(make: Any, schedule: Any) -> None:
    optimizer = make(schedule)
    assert 0 < final(P, optimizer, 20.0) < 0.5
    assert np.isfinite(hd.simulate(P, optimizer, 20.0, 2, times=[0.0, 20.0]).risk).all()


def test_nothing_moves_while_a_schedule_is_zero() -> None:
    for optimizer in (hd.SGD(hd.schedules.Steps([5], [0, 0.5])), hd.ClippedSGD(0.5, hd.schedules.Steps([5], [0, 0.5]))):
        for result in (
            hd.predict(P, optimizer, 6.0, [1, 4.9, 6]),
            hd.simulate(P, optimizer, 6.0, 2, times=[1, 4.9, 6]),
        ):
            risk = np.atleast_2d(result.risk)
            assert risk[:, :2] == pytest.approx(P.initial_risk, rel=1e-12) and (risk[:, 2] < 0.9 * P.initial_risk).all()


SMALL = {
    "d=1": hd.Problem(hd.Isotropic(1), hd.Laplace(0.5)),
    "d=1, K=3": hd.Problem([[3.0]], hd.Gaussian(0.5)),
    "one mode": hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5), target=np.eye(50)[0]),
    "rank one": hd.Problem(np.ones((5, 5)), hd.Gaussian(0.3)),
    "singular": hd.Problem(hd.Wishart(D, 4.0), hd.Gaussian(0.3)),
    "zero variances": hd.Problem([0, 0, 1, 2], hd.Gaussian(0.3)),
    "zero variances, full": hd.Problem(np.pad([[1, 0.5], [0.5, 1]], ((2, 0), (2, 0))), hd.Gaussian(0.3)),
    "error of zero variance": hd.Problem([0, 0, 1, 2], hd.Gaussian(0.3), target=[3, 1, 0, 0]),
    "MarchenkoPastur(2, 4)": hd.Problem(hd.MarchenkoPastur(2, 4), hd.Gaussian(0.3)),
    "PowerLaw(9, 1e9)": hd.Problem(hd.PowerLaw(9, 1e9), hd.Gaussian(0.3)),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("optimizer", [hd.SGD(0.1), hd.ClippedSGD(0.2, 0.9), hd.SignSGD(0.1)], ids=name_of)
def test_small_and_singular_problems(name: str, optimizer: Any) -> None:
    problem = SMALL[name]
    settled = hd.steady_state(problem, optimizer).risk
    assert final(problem, optimizer, 3000.0) == pytest.approx(settled, rel=1e-4)
    runs = hd.simulate(problem, optimizer, 50.0, 2)
    assert np.isfinite(runs.risk).all() and (runs.risk[:, 0] == pytest.approx(problem.initial_risk))


def test_a_part_that_never_moves_stays_in_the_distance() -> None:
    """Two coordinates of zero variance hold 3^2 + 1^2 of norm(delta)^2 for ever."""
    curve = hd.predict(SMALL["error of zero variance"], hd.SGD(0.1), 20.0)
    assert curve.distance[0] == 10 and (curve.distance >= 10).all() and curve.risk[0] == 0


@pytest.mark.parametrize("unit", [1e-50, 1e-20, 1e20, 1e50])
@pytest.mark.parametrize("noise", [hd.Gaussian, hd.Laplace, hd.Uniform, hd.Rademacher, lambda s: hd.StudentT(3, s)])
def test_units_of_y_do_not_matter(noise: Any, unit: float) -> None:
    """y -> u y: the risk times u^2, with lr of sign and threshold of clip times u."""
    plain = hd.Problem(hd.PowerLaw(D, 0.5), noise(0.5))
    scaled = hd.Problem(hd.PowerLaw(D, 0.5), noise(0.5 * unit), target=np.full(D, unit * D**-0.5))
    pairs = [(SGD, SGD), (CLIP, hd.ClippedSGD(0.5, 0.9 * unit)), (SIGN, hd.SignSGD(0.3 * unit))]
    for one, other in pairs:
        assert final(scaled, other, 5.0) / unit**2 == pytest.approx(final(plain, one, 5.0), rel=1e-5)
        settled = hd.steady_state(scaled, other).risk / unit**2
        assert settled == pytest.approx(hd.steady_state(plain, one).risk, rel=1e-6)


@pytest.mark.parametrize("unit", [1e-100, 1e-20, 1e20, 1e50, 1e100])
def test_units_of_x_do_not_matter(unit: float) -> None:
    """x -> sqrt(u) x: the same risk, with lr of SGD divided by u and that of sign by sqrt(u)."""
    k, target = np.linspace(1, 2, D), np.full(D, D**-0.5)
    plain, scaled = hd.Problem(k, hd.Gaussian(0.5)), hd.Problem(k * unit, hd.Gaussian(0.5), target=target * unit**-0.5)
    pairs = [(0.5, lambda lr: hd.SGD(lr / unit)), (0.5, lambda lr: hd.ClippedSGD(lr / unit, 0.9))]
    for lr, make in [*pairs, (0.3, lambda lr: hd.SignSGD(lr * unit**-0.5))]:
        one = {"sgd": hd.SGD(lr), "clipped-sgd": hd.ClippedSGD(lr, 0.9), "sign-sgd": hd.SignSGD(lr)}[make(lr).name]
        assert final(scaled, make(lr), 5.0) == pytest.approx(final(plain, one, 5.0), rel=1e-5)


@pytest.mark.parametrize("std", [1e-60, 1e-10, 1e10, 1e60])
def test_noise_out_of_all_proportion(std: float) -> None:
    """SGD on K = 1: dR/dt = -(2 lr - lr^2) R + lr^2 Var(eps)/2, whatever the size of the noise."""
    expected = 0.5 * math.exp(-0.75 * 5) + 0.25 * std**2 / 2 * (1 - math.exp(-0.75 * 5)) / 0.75
    problem = hd.Problem(EYE, hd.Gaussian(std))
    assert final(problem, SGD, 5.0) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(hd.simulate(problem, SGD, 1.0, 2).risk).all()
    for bounded, nu in ((CLIP, 0.9**2), (SIGN, 1.0)):
        assert final(problem, bounded, 5.0) < 10
        if std > 1:  # the signal is lost: dR/dt = lr^2 nu/2
            assert final(problem, bounded, 5.0) == pytest.approx(0.5 + bounded.lr**2 * nu * 5 / 2, rel=1e-3)


@pytest.mark.parametrize("size", [1e-170, 1e-100, 1e-30, 0.0])
@pytest.mark.parametrize("optimizer", [SGD, CLIP, SIGN], ids=name_of)
def test_a_tiny_risk_is_a_start_at_the_target(size: float, optimizer: Any) -> None:
    problem = hd.Problem(EYE, hd.Gaussian(0.5), target=np.full(D, size))
    at_target = hd.Problem(EYE, hd.Gaussian(0.5), target=np.zeros(D))
    assert final(problem, optimizer, 5.0) == pytest.approx(final(at_target, optimizer, 5.0), rel=1e-5)
    settled = hd.steady_state(at_target, optimizer).risk
    assert hd.steady_state(problem, optimizer).risk == pytest.approx(settled, rel=1e-9)


@pytest.mark.parametrize("df", [2.0001, 2.1, 1e4, 1e8, 1e12])
def test_degrees_of_freedom_at_the_ends(df: float) -> None:
    """SGD knows the variance only; for large df all three are those of normal noise."""
    problem = hd.Problem(EYE, hd.StudentT(df, 0.5))
    normal = hd.Problem(EYE, hd.Gaussian(math.sqrt(problem.noise.variance)))
    assert problem.noise.variance == pytest.approx(0.25 * df / (df - 2), rel=1e-12)
    for optimizer in (SGD,) if df < 10 else (SGD, CLIP, SIGN):
        assert final(problem, optimizer, 5.0) == pytest.approx(final(normal, optimizer, 5.0), rel=1e-5 + 1 / df)


@pytest.mark.parametrize("optimizer", [SGD, CLIP, SIGN, hd.SGD(hd.schedules.Power(0.5, 0.5))], ids=name_of)
@pytest.mark.parametrize("noise", [hd.Gaussian(0.5), hd.NoNoise(), hd.StudentT(3, 0.5)], ids=name_of)
def test_horizon_1e10(noise: Any, optimizer: Any) -> None:
    problem = hd.Problem(hd.PowerLaw(D, 0.5), noise)
    risk = final(problem, optimizer, 1e10)
    if isinstance(optimizer.lr, float):
        assert risk == pytest.approx(hd.steady_state(problem, optimizer).risk, rel=1e-5, abs=1e-60)
    assert risk < 0.5


@pytest.mark.parametrize(
    ("noise", "batch_size"),
    [(hd.Gaussian(0.5), 1), (hd.Gaussian(0.5), 3), (hd.Laplace(0.5), 1), (hd.Uniform(0.5), 1), (LOGISTIC, 1)],
    ids=name_of,
)
def test_thresholds_without_proportion(noise: Any, batch_size: int) -> None:
    """Far above everything a clip is no clip; far below nothing moves."""
    problem = hd.Problem(EYE, noise)
    huge, tiny = (hd.ClippedSGD(0.5, c, batch_size) for c in (1e12, 1e-12))
    plain = hd.SGD(0.5, batch_size)
    assert final(problem, huge, 5.0) == pytest.approx(final(problem, plain, 5.0), rel=1e-5)
    assert hd.steady_state(problem, huge).risk == pytest.approx(hd.steady_state(problem, plain).risk, rel=1e-5)
    assert final(problem, tiny, 5.0) == pytest.approx(problem.initial_risk, rel=1e-9)
    assert np.isfinite(hd.simulate(problem, tiny, 1.0, 2).risk).all()


@pytest.mark.parametrize(
    "noise", [hd.StudentT(1.5, 0.5), hd.StudentT(3, 0.5), hd.Laplace(0.5), hd.Uniform(0.5)], ids=name_of
)
@pytest.mark.parametrize("c", [1e3, 1e6, 1e9])
def test_second_moment_of_a_clipped_batch(noise: Any, c: float) -> None:
    """With x0 = (cB)^2: E min(S, x0) <= B E min(r^2, x0), and only pairs of large residuals are lost."""
    single, batch = MapResponse("clip", noise)(1.0, 3 * c)[1], MapResponse("clip", noise, 3)(1.0, c)[1]
    assert single / 3 * (1 - 1e-5) < batch <= single / 3 * (1 + 1e-9)


@pytest.mark.parametrize(
    "optimizer", [hd.ClippedSGD(1e12, 0.9), hd.SignSGD(1e12), hd.ClippedSGD(1e40, 0.9)], ids=name_of
)
def test_bounded_updates_never_diverge(optimizer: Any) -> None:
    assert final(P, optimizer, 60.0) == pytest.approx(hd.steady_state(P, optimizer).risk, rel=1e-4)
    assert hd.stability(P, optimizer).critical_lr == inf


def test_a_step_beyond_double_precision_is_refused() -> None:
    message = refusal(lambda: hd.predict(P, hd.SGD(1e300), 5.0))
    assert message.startswith("predict: no step can be taken in double precision") and "SGD(lr=1e+300)" in message


@pytest.mark.parametrize(
    "optimizer", [hd.SGD(1e100), hd.ClippedSGD(1e100, 0.9), hd.SignSGD(1e100), hd.ClippedSGD(1e70, 0.9)], ids=name_of
)
def test_a_spread_beyond_double_precision_is_refused(optimizer: Any) -> None:
    curve = hd.predict(P, optimizer, 2.0)
    for read in (lambda: curve.spread, lambda: curve.corrected):
        assert refusal(read).startswith("spread: beyond double precision for ")


@pytest.mark.parametrize("optimizer", [hd.SGD(1e300), hd.ClippedSGD(1e300, 1.0), hd.SignSGD(1e300)], ids=name_of)
def test_a_diffusion_beyond_double_precision_is_refused(optimizer: Any) -> None:
    message = refusal(lambda: hd.sample_sde(P, optimizer, 2.0, 2))
    assert message.startswith("sample_sde: no step can be taken in double precision")


def test_a_study_without_spread_or_risk_is_refused() -> None:
    assert "do not differ" in refusal(lambda: hd.scaling_study(P, hd.SGD(1e-300), 2.0, [20, 40, 80], 8))
    silent = hd.Problem(EYE, hd.NoNoise())
    message = refusal(lambda: hd.scaling_study(silent, SGD, 800.0, [20, 40, 80], 8))
    assert message.startswith("horizon: expected one within which the risk stays above 0")


def test_clipped_fractions_are_probabilities_of_any_shape() -> None:
    curve = hd.predict(P, hd.ClippedSGD(0.5, 0.9, 1000), 2.0, [0, 1])
    assert (curve.clipped_fraction >= 0).all() and (curve.clipped_fraction < 1e-8).all()
    assert hd.predict(P, CLIP, 2.0).clipped_at([[0, 1], [1, 2]]).shape == (2, 2)


def test_a_name_is_recorded_and_tested_once() -> None:
    once = hd.verify(P, CLIP, 2.0, 4, record=["distance"])
    for record in ("distance", ["distance", "distance"], iter(["distance"])):
        report = hd.verify(P, CLIP, 2.0, 4, record=record)
        assert report.quantities == ("distance",) and report.critical == once.critical


ALIKE = {
    "lists": lambda: hd.Problem([1, 2, 3], hd.Empirical([0, 1]), target=[1, 0, 2], start=(1, 1, 1)),
    "float32": lambda: hd.Problem(
        np.array([1, 2, 3], np.float32),
        hd.Empirical(np.array([0, 1], np.float32)),
        np.float32([1, 0, 2]),
        np.ones(3, "f"),
    ),
    "integers": lambda: hd.Problem(
        np.array([1, 2, 3], np.int8), hd.Empirical(range(2)), np.array([1, 0, 2]), [True] * 3
    ),
    "objects": lambda: hd.Problem(
        [Fraction(1), Decimal(2), 3], hd.Empirical([0, Decimal(1)]), np.array([1, 0, 2], object), [1, Fraction(2, 2), 1]
    ),
    "strided": lambda: hd.Problem(
        np.array([1, 0, 2, 0, 3])[::2], hd.Empirical(np.array([1, 0.0])[::-1]), np.array([2.0, 0, 1])[::-1], np.ones(3)
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_array_likes(name: str) -> None:
    problem, plain = ALIKE[name](), ALIKE["lists"]()
    assert problem.covariance == plain.covariance and problem.initial_risk == plain.initial_risk == 2.5
    assert hd.predict(problem, hd.SGD(0.1), 5.0).risk == pytest.approx(hd.predict(plain, hd.SGD(0.1), 5.0).risk)


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.longdouble, np.array, Fraction, Decimal])
def test_scalars_of_every_kind(kind: Any) -> None:
    optimizer = hd.ClippedSGD(kind(0.5), kind(0.75), batch_size=np.int16(2))
    assert optimizer == hd.ClippedSGD(0.5, 0.75, 2) and hash(optimizer) == hash(hd.ClippedSGD(0.5, 0.75, 2))
    problem = hd.Problem(hd.PowerLaw(np.uint8(10), kind(0.5)), hd.StudentT(kind(5), kind(0.5)))
    assert problem == hd.Problem(hd.PowerLaw(10, 0.5), hd.StudentT(5, 0.5))
    run = hd.simulate(problem, optimizer, kind(2), np.int64(2), np.uint64(3), times=[0, 1, kind(2)])
    assert np.array_equal(run.risk, hd.simulate(problem, optimizer, 2.0, 2, 3, times=[0, 1, 2]).risk)
    assert hd.predict(problem, optimizer, kind(2)).at(kind(2)) == hd.predict(problem, optimizer, 2.0).risk[-1]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_schedules_at_any_time(schedule: Any) -> None:
    for t in (0, 1e-300, 1e12, np.float32(3), [0, 1], np.zeros((2, 3)), []):
        assert schedule(t).shape == np.shape(t) and np.isfinite(schedule(t)).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
def test_a_single_step_and_a_single_time(optimizer: Any) -> None:
    problem = hd.Problem(EYE, hd.Gaussian(0.5))
    curve = hd.predict(problem, optimizer, 1 / D, times=[1 / D])
    runs = hd.simulate(problem, optimizer, 1 / D, 1, times=[1 / D])
    assert curve.risk.shape == (1,) and runs.risk.shape == (1, 1) and runs.time[0] == curve.time[0] == 1 / D


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hd.PowerLaw(10, alpha=1.0), "alpha: expected an argument of PowerLaw: d, exponent (is it exponent?)"),
        (lambda: hd.Gaussian(scale=1.0), "scale: expected an argument of Gaussian: std (is it std?)"),
        (lambda: hd.SGD(learning_rate=0.1), "learning_rate: expected an argument of SGD: lr, batch_size, momentum, "),
        (lambda: hd.Problem(EYE, theta_star=[1.0]), "theta_star: expected an argument of Problem:"),
        (lambda: hd.Problem(EYE, theta_star=[1.0]), "(is it target?)"),
        (lambda: hd.ClippedSGD(0.1, treshold=1.0), "nesterov (is it threshold?)"),
        (lambda: hd.schedules.Cosine(1.0, finale=0.1, duration=1.0), "initial, final, duration (is it final?)"),
        (lambda: hd.StudentT(3.0, 1.0, colour=2), "expected an argument of StudentT: df, scale, got an unknown name"),
    ],
)
def test_a_misspelt_argument_is_answered_with_the_nearest(call: Callable[[], Any], words: str) -> None:
    assert words in refusal(call)
