"""What predict promises for every valid problem: an answer in finite numbers, and the symmetries of the limit."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from cases import NOISES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import hdlimit as hd
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.covariance import CovarianceModel
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.scipy_noise import ScipyNoise

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.HdlimitWarning")

QUICK = settings(derandomize=True, deadline=None, max_examples=500, database=None)
SYMMETRY = settings(derandomize=True, deadline=None, max_examples=60, database=None)
LONG = settings(derandomize=True, deadline=None, max_examples=10_000, database=None)


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    """10^u, u uniform: sizes of every order."""
    return st.floats(low, high).map(lambda u: 10.0**u)


def arrays(size: int, low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(low, high), min_size=size, max_size=size).map(np.array)


@st.composite
def covariances(draw: st.DrawFn) -> CovarianceModel:
    """Every kind, also singular, with zero variances, in a random basis, and in other units."""
    d, seed = draw(st.integers(2, 24)), draw(st.integers(0, 99))
    kind = draw(st.sampled_from(["isotropic", "power", "marchenko", "wishart", "uneven", "graded", "rotated", "zeros"]))
    ratio = draw(st.sampled_from([0.3, 1.0, 2.5]))
    if kind == "isotropic":
        return hd.Isotropic(d)
    if kind == "power":
        return hd.PowerLaw(d, draw(st.floats(0, 3)))
    if kind == "marchenko":
        return hd.MarchenkoPastur(d, ratio)
    if kind == "wishart":
        return hd.Wishart(d, ratio, seed=seed)
    if kind == "uneven":
        return hd.Wishart(d, ratio, row_scales=10 ** draw(arrays(d, -2, 2)), seed=seed)
    if kind == "graded":
        return hd.Covariance(draw(powers(-6, 6)) * 10 ** draw(arrays(d, -6, 0)))
    if kind == "rotated":
        return hd.PowerLaw(d, draw(st.floats(0, 2))).rotated(seed)
    return hd.Covariance(np.concatenate([np.zeros(draw(st.integers(1, 3))), 10 ** draw(arrays(d, -2, 1))]))


@st.composite
def noises(draw: st.DrawFn) -> NoiseLaw:
    """Every law of tests/cases.py by its kind, of every width and tail."""
    s = draw(powers(-6, 6))
    return draw(
        st.sampled_from(
            [
                hd.NoNoise(),
                hd.Gaussian(s),
                hd.StudentT(draw(st.sampled_from([0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 40.0])), s),
                hd.Laplace(s),
                hd.Uniform(s),
                hd.Rademacher(s),
                hd.GaussianMixture([0.9, 0.1], [0.3 * s, 2.0 * s]),
                hd.GaussianMixture([0.2, 0.5, 0.3], [0.4 * s, 0.0, 0.2 * s], [-0.5 * s, 0.1 * s, 0.9 * s]),
                hd.GaussianMixture([0.99, 0.01], [0.1 * s, 100 * s]),
                hd.Empirical(np.array([-1.3, -0.2, 0.0, 0.1, 0.1, 0.4, 2.5]) * s),
                ScipyNoise(stats.logistic(scale=s)),
                ScipyNoise(stats.poisson(1.5, loc=-1)),
            ]
        )
    )


@st.composite
def problems(draw: st.DrawFn) -> hd.Problem:
    """Sizes of the error from 1e-6 to 1e6, also one-hot and start = target."""
    k = draw(covariances())
    d = k.dimension
    target = draw(powers(-6, 6)) * draw(
        st.sampled_from([np.full(d, d**-0.5), np.cos(np.arange(d) ** 1.5), np.eye(d)[0], np.eye(d)[-1]])
    )
    start = draw(st.sampled_from([np.zeros(d), target, -target, target * (1 + 1e-9)]))
    return hd.Problem(k, draw(noises()), target=target, start=start)


@st.composite
def schedules(draw: st.DrawFn, largest: float, horizon: float) -> Any:
    """A number or a schedule with values from 0 to largest, whose times fit the horizon."""
    t = horizon * draw(powers(-3, 0))
    low = largest * draw(st.sampled_from([0.0, 1e-6, 0.3]))
    kinds: list[Any] = [largest, largest, largest, hd.schedules.Steps([t / 2, t], [largest, low, largest / 2])]
    kinds += [hd.schedules.Cosine(largest, low, t), hd.schedules.Power(largest, draw(st.floats(0, 1.5)), t)]
    kinds += [hd.schedules.Table([0.0, t / 3, t], [low, largest, low])]
    kinds += [hd.schedules.WarmUp(hd.schedules.Polynomial(largest, low, t, draw(st.floats(0.3, 4))), t / 7)]
    kinds += [hd.schedules.WSD(largest, t, 0.1, 0.2, low, low, draw(st.sampled_from(["linear", "cosine"])))]
    kinds += [hd.schedules.Sequential([largest, hd.schedules.Steps([t / 3], [low, largest])], [t / 2])]
    kinds += [hd.schedules.Product([hd.schedules.Linear(0.0, 1.0, t), hd.schedules.Power(largest, 1.5, t / 5)])]
    return draw(st.sampled_from(kinds))


@st.composite
def questions(draw: st.DrawFn) -> tuple[hd.Problem, Optimizer, float]:
    """A problem, an optimizer whose largest lr is 1e-4 to 3 times the critical one (of a natural size), a horizon."""
    problem = draw(problems())
    horizon = max(draw(powers(-1.5, 12)), 1 / problem.dimension)
    kappa = problem.covariance.trace / problem.dimension
    share, map_ = draw(powers(-4, math.log10(3))), draw(st.sampled_from(["sgd", "clip", "sign"]))
    plain = isinstance(problem.noise, hd.NoNoise | hd.Gaussian)  # batches of other laws take seconds: test_batch.py
    batch = draw(st.sampled_from([1, 1, 4])) if plain or map_ == "sgd" else 1
    width = max(math.sqrt(2 * problem.initial_risk), min(problem.noise.width, 1e6), 1e-12)
    if map_ == "sign":
        size = share * width / math.sqrt(kappa)
        return problem, hd.SignSGD(draw(schedules(size, horizon)), batch), horizon
    lr = draw(schedules(share * 2 * batch / kappa, horizon))
    if map_ == "sgd":
        return problem, hd.SGD(lr, batch), horizon
    c = width * draw(powers(-6, 6))
    moving = st.just(c) if isinstance(problem.noise, ScipyNoise) else schedules(c, horizon)  # surfaces take seconds
    threshold = draw(st.one_of(st.just(math.inf), moving))
    return problem, hd.ClippedSGD(lr, threshold, batch), horizon


def answer(question: tuple[hd.Problem, Optimizer, float], seen: Counter[str]) -> None:
    """One prediction: finite, not negative, in order, with a sentence; `seen` counts how it ended."""
    problem, optimizer, horizon = question
    try:
        curve = hd.predict(problem, optimizer, horizon)
    except (hd.errors.NoLimit, hd.errors.NotAvailable) as reason:
        assert len(str(reason)) > 20
        seen[type(reason).__name__] += 1
        if isinstance(reason, hd.errors.NoLimit):
            assert math.isinf(problem.noise.second_moment)
        return
    for values in (curve.time, curve.risk, curve.distance, curve.gradient_norm):
        assert np.isfinite(values).all() and (values >= 0).all()
        assert values.shape == curve.time.shape
    assert (np.diff(curve.time) >= 0).all() and curve.time[0] == 0.0
    assert curve.risk[0] == pytest.approx(problem.initial_risk, rel=1e-9, abs=1e-200)
    delta = problem.initial_error
    assert curve.distance[0] == pytest.approx(delta @ delta, rel=1e-7, abs=1e-200)
    outcome = curve.outcome
    assert len(outcome.sentence) > 10
    stable = hd.stability(problem, optimizer, horizon).stable
    if outcome.finished:
        assert curve.end == horizon == curve.time[-1] and stable
    elif outcome.status in (hd.errors.Status.UNSTABLE, hd.errors.Status.DIVERGED):
        assert not stable and "not below the critical lr" in outcome.sentence
    seen[outcome.status if stable else f"above critical, {outcome.status}"] += 1


def run(profile: settings) -> None:
    """Predict the profile's examples; of those below the critical lr at most 5 % may end otherwise than finished."""
    seen: Counter[str] = Counter()

    @profile
    @given(questions())
    def check(question: tuple[hd.Problem, Optimizer, float]) -> None:
        answer(question, seen)

    check()
    ended = {status: seen[status] for status in hd.errors.Status}
    assert ended[hd.errors.Status.UNSTABLE] == ended[hd.errors.Status.DIVERGED] == 0
    below = sum(ended.values()) + seen["NotAvailable"]
    assert below > profile.max_examples / 2  # most questions are about stable optimizers
    assert ended[hd.errors.Status.FINISHED] >= 0.95 * below, seen


def test_every_valid_problem_has_an_answer() -> None:
    run(QUICK)


@pytest.mark.slow
def test_every_valid_problem_has_an_answer_ten_thousand_times() -> None:
    run(LONG)


# Symmetries of the limit, exact up to the integration error (rtol 1e-8).

TIGHT, SAME = 1e-8, 1e-7
LAWS = [law for law in NOISES if not isinstance(law, ScipyNoise)]
MAPS = ["sgd", "clip", "sign"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[hd.Problem, str, float, float, float]:
    """(problem, map, lr, threshold, horizon) of moderate sizes."""
    name = draw(st.sampled_from(MAPS))
    laws = [law for law in LAWS if name != "sgd" or math.isfinite(law.second_moment)]
    k = draw(covariances().filter(lambda k: 0.01 < k.trace / k.dimension < 100))
    d = k.dimension
    start = draw(arrays(d, -2, 2))
    kappa = k.trace / d
    lr = draw(st.floats(0.05, 1.2)) / (math.sqrt(kappa) if name == "sign" else kappa)
    problem = hd.Problem(k, draw(st.sampled_from(laws)), start=start)
    return problem, name, lr, draw(powers(-2, 1)), max(draw(powers(-1, 3)), 1 / d)


def optimizer_of(name: str, lr: Any, threshold: Any) -> Optimizer:
    if name == "clip":
        return hd.ClippedSGD(lr, threshold)
    return hd.SGD(lr) if name == "sgd" else hd.SignSGD(lr)


def risk(problem: hd.Problem, optimizer: Optimizer, horizon: float) -> np.ndarray:
    times = horizon * np.array([0.0, 0.01, 0.1, 0.5, 1.0])
    return hd.predict(problem, optimizer, horizon, times=times, rtol=TIGHT).risk


def scaled(law: NoiseLaw, a: float) -> NoiseLaw:
    """The law of a eps, from the law of eps, by the constructor's own fields."""
    fields = {name: value for name, value in vars(law).items() if name in law.__dataclass_fields__}
    for name in ("std", "scale", "half_width", "scales", "means", "noise_values"):
        if fields.get(name) is not None:
            fields[name] = fields[name] * a
    return type(law)(**fields)


@SYMMETRY
@given(cases(), powers(-10, 10))
def test_units_of_y(case: tuple[hd.Problem, str, float, float, float], a: float) -> None:
    """y -> a y: noise, target, start, threshold and the lr of sign times a; R times a^2."""
    problem, name, lr, c, horizon = case
    target = problem.start - problem.initial_error
    other = hd.Problem(problem.covariance, scaled(problem.noise, a), target=a * target, start=a * problem.start)
    left = risk(other, optimizer_of(name, lr * a if name == "sign" else lr, a * c), horizon)
    np.testing.assert_allclose(left / a**2, risk(problem, optimizer_of(name, lr, c), horizon), rtol=SAME, atol=1e-50)


@SYMMETRY
@given(cases(), powers(-10, 10))
def test_units_of_x(case: tuple[hd.Problem, str, float, float, float], a: float) -> None:
    """x -> a x and theta -> theta/a: the lr of SGD and clip divided by a^2, of sign by a; R unchanged."""
    problem, name, lr, c, horizon = case
    k, delta = problem.covariance.matrix, problem.initial_error
    other = hd.Problem(hd.Covariance(a**2 * k), problem.noise, target=0 * delta, start=delta / a)
    left = risk(other, optimizer_of(name, lr / (a if name == "sign" else a**2), c), horizon)
    np.testing.assert_allclose(left, risk(problem, optimizer_of(name, lr, c), horizon), rtol=SAME, atol=1e-50)


@SYMMETRY
@given(cases().filter(lambda case: case[1] != "sign"), st.integers(0, 99))
def test_rotations_do_not_matter_for_linear_features(
    case: tuple[hd.Problem, str, float, float, float], seed: int
) -> None:
    problem, name, lr, c, horizon = case
    q = stats.ortho_group.rvs(problem.dimension, random_state=seed)
    k, delta = problem.covariance.matrix, problem.initial_error
    turned = hd.Problem(hd.Covariance(q @ k @ q.T), problem.noise, target=0 * delta, start=q @ delta)
    optimizer = optimizer_of(name, lr, c)
    np.testing.assert_allclose(
        risk(turned, optimizer, horizon), risk(problem, optimizer, horizon), rtol=SAME, atol=1e-10
    )


@SYMMETRY
@given(cases(), st.integers(0, 99))
def test_the_order_of_coordinates_and_their_signs_do_not_matter(
    case: tuple[hd.Problem, str, float, float, float], seed: int
) -> None:
    problem, name, lr, c, horizon = case
    d, generator = problem.dimension, np.random.default_rng(seed)
    order, signs = generator.permutation(d), generator.choice([-1.0, 1.0], d)
    k, delta = problem.covariance.matrix * np.outer(signs, signs), problem.initial_error * signs
    mixed = hd.Problem(hd.Covariance(k[np.ix_(order, order)]), problem.noise, target=0 * delta, start=delta[order])
    optimizer = optimizer_of(name, lr, c)
    np.testing.assert_allclose(
        risk(mixed, optimizer, horizon), risk(problem, optimizer, horizon), rtol=SAME, atol=1e-10
    )


@SYMMETRY
@given(cases(), st.integers(2, 4))
def test_dead_coordinates_only_rescale_time(case: tuple[hd.Problem, str, float, float, float], b: int) -> None:
    """Padded to dimension b d by zero variances, lr times b: R'(t) = R(b t), distances only shifted; schedules too."""
    problem, name, lr, c, horizon = case
    d = problem.dimension
    k = np.pad(problem.covariance.matrix, (0, (b - 1) * d))
    start = np.concatenate([problem.initial_error, np.ones((b - 1) * d)])
    padded = hd.Problem(hd.Covariance(k), problem.noise, target=np.zeros(b * d), start=start)
    for schedule, slow in (
        (lr, lr * b),
        (hd.schedules.Cosine(lr, 0.1 * lr, horizon / 2), hd.schedules.Cosine(b * lr, 0.1 * b * lr, horizon / 2 / b)),
    ):
        fast = optimizer_of(name, slow, c)
        left = risk(padded, fast, horizon / b)
        np.testing.assert_allclose(left, risk(problem, optimizer_of(name, schedule, c), horizon), rtol=SAME, atol=1e-10)
    times = np.array([0.0, horizon])
    moved = hd.predict(padded, fast, horizon / b, times=times / b).distance
    still = hd.predict(problem, optimizer_of(name, schedule, c), horizon, times=times).distance
    np.testing.assert_allclose(moved - (b - 1) * d, still, rtol=1e-5, atol=1e-4)


@SYMMETRY
@given(problems(), powers(-3, 0), powers(0, 6))
def test_an_infinite_threshold_is_sgd(problem: hd.Problem, share: float, horizon: float) -> None:
    """Number by number; and where the variance is infinite both refuse."""
    lr = share * problem.dimension / problem.covariance.trace
    if math.isinf(problem.noise.second_moment):
        for optimizer in (hd.SGD(lr), hd.ClippedSGD(lr, math.inf)):
            with pytest.raises(hd.errors.NoLimit):
                hd.predict(problem, optimizer, horizon)
        return
    plain, clipped = hd.predict(problem, hd.SGD(lr), horizon), hd.predict(problem, hd.ClippedSGD(lr, math.inf), horizon)
    for name in ("time", "risk", "distance", "gradient_norm"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(clipped, name))


@SYMMETRY
@given(cases().filter(lambda case: case[1] == "sgd"))
def test_a_threshold_above_every_residual_is_sgd(case: tuple[hd.Problem, str, float, float, float]) -> None:
    """Without noise residuals are Gaussian of variance 2R: 1e3 of their initial size is never reached."""
    problem, _, lr, _, horizon = case
    quiet = hd.Problem(problem.covariance, None, start=problem.start)
    c = 1e3 * math.sqrt(2 * problem.initial_risk)
    left = risk(quiet, hd.ClippedSGD(lr, c), horizon)
    np.testing.assert_allclose(left, risk(quiet, hd.SGD(lr), horizon), rtol=SAME, atol=1e-55 * left[0])
