"""The surface over v and the threshold that curves and searches share, against the route without tables."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import hdlimit as hd
from hdlimit.core import timegrid
from hdlimit.core.declaration import FloatArray
from hdlimit.limit.system import limit_of
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response import batch_law, noise_transform, surface, tables
from hdlimit.response import response as responses
from hdlimit.response.batch_law import squared_norm
from hdlimit.response.noise_transform import NoiseTransform
from hdlimit.response.response import MapResponse
from hdlimit.schedules import Cosine
from tests.cases import name_of

pytestmark = pytest.mark.filterwarnings("ignore::hdlimit.errors.ValidityWarning")

SAMPLE = np.random.default_rng(1).standard_t(4, 20) * 0.5
BATCHES = [
    (hd.Uniform(0.4), 2),
    (hd.StudentT(5, 0.5), 64),
    (as_noise(stats.skewnorm(4, loc=-0.6)), 3),
    (hd.Empirical(SAMPLE - SAMPLE.mean()), 2),
    (hd.Rademacher(0.5), 64),
]


class Work:
    """Cells made, and pairs (v, c) at which responses were computed without a table."""

    def __init__(self) -> None:
        self.cells = self.pairs = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Counts from here on, with no table there."""
    done, fitted, at_controls = Work(), surface.Surface._fitted, MapResponse.at_controls

    def counted_cell(self: surface.Surface, key: surface.Key) -> FloatArray:
        done.cells += 1
        return fitted(self, key)

    def counted_pairs(self: MapResponse, v: float, c: FloatArray) -> FloatArray:
        done.pairs += c.size
        return at_controls(self, v, c)

    monkeypatch.setattr(surface.Surface, "_fitted", counted_cell)
    monkeypatch.setattr(MapResponse, "at_controls", counted_pairs)
    forget()
    yield done
    forget()


def forget() -> None:
    """Forget the tables of this process."""
    kept: tuple[Any, ...] = (responses.surface, tables._panel, squared_norm, noise_transform.noise_transform)
    for function in kept:
        function.cache_clear()


def errors(noise: NoiseLaw, size: int) -> FloatArray:
    """Relative errors of the surface at 60 pairs, around where most steps begin to be clipped."""
    forget()
    exact, generator = MapResponse("clip", noise, size), np.random.default_rng(2)
    found = []
    for v in np.exp(generator.uniform(-5, 1, 60)).tolist():
        c = math.sqrt((v + noise.second_moment) / size) * math.exp(generator.normal(0, 0.5))
        found.append(np.array(responses.surface(exact).at(v, c)) / exact(v, c) - 1)
    return np.abs(np.array(found))


@pytest.mark.parametrize(("noise", "size"), BATCHES[:3], ids=name_of)
def test_between_the_nodes(noise: NoiseLaw, size: int) -> None:
    """Twice the error that a cell may have."""
    assert errors(noise, size).max() < 2 * 5e-7


@pytest.mark.parametrize(("noise", "size"), BATCHES[:2], ids=name_of)
def test_coarse_cells_are_rejected(noise: NoiseLaw, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("SURFACE_ERROR", "HOPELESS"):
        monkeypatch.setattr(surface, bound, 1.0)
    monkeypatch.setattr(tables, "LARGEST_ERROR", 1.0)
    assert errors(noise, size).max() > 4 * 5e-7
    forget()


@pytest.mark.parametrize(("noise", "size"), BATCHES, ids=name_of)
def test_a_curve_against_the_route_without_tables(noise: NoiseLaw, size: int) -> None:
    """One mode, integrated by SciPy with (mu, nu) computed anew at every step: 3 rtol, as promised."""
    problem, horizon = hd.Problem(hd.Isotropic(100), noise), 10.0
    optimizer = hd.ClippedSGD(0.5, Cosine(2 / math.sqrt(size), 0.3 / math.sqrt(size), horizon), batch_size=size)
    limit = limit_of(problem, optimizer)
    (rate,), (diffusion,), weight = limit.modes.rate, limit.modes.diffusion, limit.modes.functionals[0, 0]
    exact = MapResponse("clip", noise, size)

    def slope(t: float, m: FloatArray) -> FloatArray:
        mu, nu = exact(float(weight * m[0]), float(optimizer.control_schedule(t)))
        return np.array([-2 * 0.5 * mu * rate * m[0] + 0.25 * nu * diffusion])

    path = integrate.solve_ivp(slope, (0, horizon), limit.modes.start, "LSODA", rtol=1e-8, atol=1e-12)
    curve = hd.predict(problem, optimizer, horizon)
    assert curve.risk[-1] == pytest.approx(weight * path.y[0, -1] / 2, rel=3e-6)


@pytest.mark.parametrize(("noise", "size"), BATCHES[:2], ids=name_of)
def test_a_second_call_makes_no_table(noise: NoiseLaw, size: int, work: Work) -> None:
    """Only cells on the way are made: the whole range of v and c took 13 800 pairs for uniform noise."""
    problem = hd.Problem(hd.PowerLaw(200, 0.5), noise)
    optimizer = hd.ClippedSGD(0.3, Cosine(2 / math.sqrt(size), 0.05, 20.0), batch_size=size)
    first = hd.predict(problem, optimizer, 20.0)
    made = work.cells
    assert made > 0 and work.pairs < 5000
    again = hd.predict(problem, optimizer, 20.0)
    assert work.cells == made and (again.risk == first.risk).all()


def test_bits_do_not_depend_on_what_was_asked_before(work: Work) -> None:
    problem = hd.Problem(hd.Isotropic(100), hd.Uniform(0.4))
    optimizers = [hd.ClippedSGD(lr, Cosine(1.4, 0.1, 5.0), batch_size=2) for lr in (0.3, 0.6)]
    one = [hd.predict(problem, optimizer, 5.0).risk for optimizer in optimizers]
    forget()
    other = [hd.predict(problem, optimizer, 5.0).risk for optimizer in optimizers[::-1]][::-1]
    np.testing.assert_array_equal(one, other)


def test_searches_share_one_surface(work: Work) -> None:
    """tune_clip took 14 800 pairs each time, greedy_clip 26 800."""
    problem = hd.Problem(hd.PowerLaw(200, 0.5), hd.Uniform(0.4))
    hd.tune_clip(problem, 10.0, batch_size=2)
    made = work.cells
    assert made > 0 and work.pairs < 12_500
    hd.tune_clip(problem, 10.0, batch_size=2)
    assert work.cells == made
    hd.tuning.greedy_clip(problem, 10.0, batch_size=2)
    assert work.pairs < 20_000


def test_many_thresholds_are_those_one_by_one() -> None:
    for noise, size in BATCHES:
        exact = MapResponse("clip", noise, size)
        for v in (1e-3, 0.4, 50.0):
            c = np.geomspace(1e-12, 30.0, 15) / math.sqrt(size)
            single = np.array([exact(v, x) for x in c.tolist()]).T
            np.testing.assert_allclose(exact.at_controls(v, c), single, rtol=1e-9)


@pytest.mark.parametrize(
    "noise", [hd.StudentT(1.5, 0.5), hd.StudentT(5, 0.5), hd.SymmetricStable(1.5, 0.4), hd.Laplace(0.4)], ids=name_of
)
def test_tables_of_the_transform(noise: NoiseLaw) -> None:
    """Log Lambda of scale mixtures in the half plane, from 1e-6 to 1e6, against the sum."""
    transform, generator = NoiseTransform(noise, noise.width * 1024), np.random.default_rng(3)
    w = np.exp(generator.uniform(-14, 14, 300) + 1j * generator.uniform(-1.57, 1.57, 300))
    np.testing.assert_allclose(transform.log(w), transform.exact_log(w), rtol=1e-11)


def test_a_lattice_in_large_batches() -> None:
    """Poisson noise, B = 64: P(S <= x) from noncentral chi^2 laws over the sums of 64 squares; it was off by 3e-3.

    (k - 1.5)^2 is 2.25 and a whole number, so that the sums are found by multiplying polynomials.
    """
    size, v, k = 64, 6e-4, np.arange(40)
    steps, weight = k * k - 3 * k + 2, stats.poisson(1.5).pmf(k)
    one = np.zeros(400)
    np.add.at(one, steps[steps < 400], weight[steps < 400])
    total = np.array([1.0])
    for _ in range(size):
        total = np.convolve(total, one)[:3000]
    square = np.arange(total.size) + 0.25 * size
    law = squared_norm(as_noise(stats.poisson(1.5, loc=-1.5)), size, v)
    for c in (0.12, 0.13, 0.14, 0.15):
        x = (c * size) ** 2
        near = np.abs(square - x) < 40 * math.sqrt(v * x) + 1
        exact = total[square < x - 40 * math.sqrt(v * x) - 1].sum()
        exact += total[near] @ stats.ncx2.cdf(x / v, size, square[near] / v)
        assert law.moments(x).below == pytest.approx(exact, rel=1e-8), c


def test_it_was_stopped_where_the_transform_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted error: without the sums beyond the first panel that is negligible the lattice is off by 1e-4."""
    noise = as_noise(stats.poisson(1.5, loc=-1.5))
    right = squared_norm(noise, 64, 6e-4).moments((0.13 * 64) ** 2).below
    transform = NoiseTransform(noise, noise.width * 1024)
    transform.recurs = False
    wrong = batch_law.InvertedLaw(transform, 64, 6e-4).moments((0.13 * 64) ** 2).below
    assert abs(wrong / right - 1) > 1e-4


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "patience", "seen"), [(Terminal, 0.0, True), (Terminal, 1e9, False)])
def test_progress_of_tables(
    stream: Callable[[], io.StringIO], patience: float, seen: bool, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar on a terminal once a table takes long; nothing elsewhere."""
    monkeypatch.setattr(timegrid, "PATIENCE", patience)
    problem = hd.Problem(hd.Isotropic(100), hd.Uniform(0.4))
    optimizer = hd.ClippedSGD(0.3, Cosine(1.4, 0.5, 1.0), batch_size=2)
    for shown, expected in ((stream(), seen), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", shown)
        forget()
        hd.predict(problem, optimizer, 1.0)
        assert ("tables of responses" in shown.getvalue()) == expected
        assert expected or not shown.getvalue()
