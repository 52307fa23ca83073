"""What README promises of extensions: a noise law is one class, a residual map one entry; all else knows it then."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from cases import name_of
from naive import limit_curve, limit_response, noise_parts, simulated_run
from scipy import stats

import hdlimit as hd
from hdlimit.core.declaration import FloatArray
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.noise_law import Components, NoiseLaw
from hdlimit.problem.normal_mixtures import student_components
from hdlimit.response.residual_maps import RESIDUALS, ResidualMap
from hdlimit.response.response import MapResponse


@dataclass(frozen=True, eq=False, repr=False)
class Secant(NoiseLaw):
    """The least that a law with a density has to state."""

    scale: float

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return self.scale * np.log(np.tan(math.pi / 2 * generator.random(size)))

    @cached_property
    def frozen(self) -> Any:
        return stats.hypsecant(scale=self.scale)


@dataclass(frozen=True, eq=False, repr=False)
class Sparse(NoiseLaw):
    """The least that a mixture of normal laws has to state."""

    share: float

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return 0.2 + np.where(generator.random(size) < self.share, generator.standard_normal(size), 0.0)

    @property
    def components(self) -> Components:
        return Components(np.array([1 - self.share, self.share]), np.array([0.2, 0.2]), np.array([0.0, 1.0]))


@dataclass(frozen=True, eq=False, repr=False)
class Lorentz(NoiseLaw):
    """A law that states all it knows: StudentT(df=1) under another name."""

    scale_mixture: ClassVar[bool] = True

    scale: float

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        return self.scale * generator.standard_cauchy(size)

    @cached_property
    def frozen(self) -> Any:
        return stats.cauchy(scale=self.scale)

    @property
    def closed_form(self) -> tuple[str, FloatArray]:
        return "student1", np.array([self.scale])

    def mixture(self, reach: float) -> Components:
        return student_components(1.0, self.scale, reach if math.isfinite(reach) else self.scale)

    def information_reach(self, s: float) -> float:
        return hd.StudentT(1.0, self.scale).information_reach(s)

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        return math.nan, math.inf, math.inf

    @cached_property
    def width(self) -> float:
        return self.scale


LAWS = [Secant(0.3), Sparse(0.3)]
TIMES = np.array([0.0, 0.5, 2.0, 6.0])


@dataclass(frozen=True, eq=False, repr=False)
class DeadZoneSGD(Optimizer):
    """The whole declaration of an optimizer with a residual map of its own."""

    residual: ClassVar[str] = "dead-zone"
    features: ClassVar[str] = "identity"
    update: ClassVar[str] = "dead-zone-gradient"
    name: ClassVar[str] = "dead-zone-sgd"

    lr: Any
    batch_size: int = 1


DEAD_ZONE = ResidualMap(
    "dead-zone", lambda r, control: r - np.clip(r, -0.4, 0.4), lambda control: (0.4,), lambda control: False
)


@pytest.fixture
def dead_zone(monkeypatch: pytest.MonkeyPatch) -> ResidualMap:
    """The map, listed as long as a test runs."""
    monkeypatch.setitem(RESIDUALS, "dead-zone", DEAD_ZONE)
    return DEAD_ZONE


@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_a_new_law_has_moments_and_samples(noise: NoiseLaw) -> None:
    rng, n = np.random.default_rng(0), 40_000
    eps = noise.sample(rng, n)
    weight, mean, variance = noise_parts(noise)
    second = float(weight @ (mean**2 + variance))
    assert noise.mean == pytest.approx(float(weight @ mean), abs=1e-12)
    assert noise.second_moment == noise.scale_squared == pytest.approx(second, rel=1e-8)
    error = math.sqrt((noise.fourth_moment - second**2) / n)
    assert abs(float((eps**2).mean()) - second) < 5 * error
    assert abs(1.2 * float((eps**2).mean()) - second) > 5 * error, "a variance of 1.2 times the law's is seen"


@pytest.mark.parametrize("optimizer", [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.3), hd.SignSGD(0.3)], ids=name_of)
@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_a_new_law_has_responses_and_curves(noise: NoiseLaw, optimizer: Any) -> None:
    c = float(optimizer.control_schedule(0.0))
    response, twin = MapResponse(optimizer.residual, noise), limit_response(noise, optimizer)
    for v in (0.1, 0.3, 5.0):
        assert response(v, c) == pytest.approx(twin(v, c), rel=1e-7)
    problem = hd.Problem(hd.PowerLaw(30, 0.5), noise)
    curve = hd.predict(problem, optimizer, 6.0, times=TIMES)
    np.testing.assert_allclose(curve.risk, limit_curve(problem, optimizer, TIMES, rtol=1e-10).risk, rtol=1e-5)
    late = hd.predict(problem, optimizer, 3000.0).risk[-1]
    assert hd.steady_state(problem, optimizer).risk == pytest.approx(late, rel=1e-4)


@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_a_new_law_has_batches(noise: NoiseLaw) -> None:
    """mu of the signed and of the clipped mean gradient of three samples against 200 000 draws, 5 standard errors."""
    rng, n, size, v, c = np.random.default_rng(1), 200_000, 3, 0.3, 0.2
    z = math.sqrt(v) * rng.standard_normal((n, size))
    r = z - noise.sample(rng, n * size).reshape(n, size)
    root = np.sqrt((r**2).sum(axis=1))
    overlap = (r * z).sum(axis=1) / v
    for name, draws in (("sign", overlap / root), ("clip", overlap * np.minimum(1, c * size / root) / size)):
        mu = MapResponse(name, noise, size)(v, c)[0]
        error = 5 * draws.std() / math.sqrt(n)
        assert abs(draws.mean() - mu) < error < 0.02 * mu


@pytest.mark.parametrize("noise", LAWS, ids=name_of)
def test_a_new_law_is_simulated(noise: NoiseLaw) -> None:
    problem, optimizer = hd.Problem(hd.PowerLaw(12, 0.5), noise), hd.ClippedSGD(0.5, 0.3)
    runs = hd.simulate(problem, optimizer, 2.0, runs=2, seed=5, times=np.array([0.0, 1.0, 2.0]))
    for k in range(2):
        np.testing.assert_allclose(runs.risk[k], simulated_run(problem, optimizer, 24, 5, k)[::12], rtol=1e-9)


@pytest.mark.parametrize("noise", [*LAWS, Lorentz(0.4)], ids=name_of)
def test_a_new_law_goes_through_files(tmp_path: Path, noise: NoiseLaw) -> None:
    problem, optimizer = hd.Problem(hd.Isotropic(20), noise), hd.SignSGD(0.3)
    assert pickle.loads(pickle.dumps(noise)) == noise
    curve = hd.predict(problem, optimizer, 2.0)
    curve.save(tmp_path / "curve.npz")
    back = hd.load(tmp_path / "curve.npz")
    assert back.problem == problem and np.array_equal(back.risk, curve.risk)
    (tmp_path / "problem.toml").write_text(hd.to_toml(problem, optimizer, 2.0), encoding="utf-8")
    assert hd.read_toml(tmp_path / "problem.toml").problem == problem


@pytest.mark.parametrize("name", ["clip", "sign"])
@pytest.mark.parametrize("size", [1, 3])
def test_what_a_law_states_is_all_that_is_asked(name: str, size: int) -> None:
    """A law of another class that states the facts of Student t has its responses, bit for bit."""
    for v in (1e-6, 0.3, 40.0):
        mine, known = (MapResponse(name, law, size)(v, 0.7) for law in (Lorentz(0.4), hd.StudentT(1.0, 0.4)))
        assert mine == known
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        MapResponse("identity", Lorentz(0.4), size)(1.0)


def of_the_density(psi: Any, noise: NoiseLaw, v: float) -> tuple[float, float]:
    """(mu, nu) by Stein's lemma, panels of a Gauss rule in r for every normal law of eps."""
    x, w = np.polynomial.legendre.leggauss(400)
    mu = nu = 0.0
    for weight, mean, variance in zip(*noise_parts(noise)):
        s2 = v + variance
        far = 10 * math.sqrt(s2)
        edges = np.unique(np.clip([-far, mean - 0.4, mean + 0.4, far], -far, far))
        for low, high in zip(edges[:-1], edges[1:]):
            y = (low + high) / 2 + (high - low) / 2 * x
            mass = weight * (high - low) / 2 * w * np.exp(-(y**2) / (2 * s2)) / math.sqrt(2 * math.pi * s2)
            mu += float(mass @ (psi(y - mean) * y)) / s2
            nu += float(mass @ psi(y - mean) ** 2)
    return mu, nu


@pytest.mark.parametrize("noise", [hd.Gaussian(0.5), hd.Rademacher(0.3), Sparse(0.3)], ids=name_of)
def test_a_new_map_has_responses_and_curves(dead_zone: ResidualMap, noise: NoiseLaw) -> None:
    optimizer = DeadZoneSGD(0.4)
    for v in (0.05, 0.3, 5.0):
        exact = of_the_density(lambda r: dead_zone.psi(r, math.inf), noise, v)
        assert MapResponse("dead-zone", noise)(v) == pytest.approx(exact, rel=1e-8)
    problem = hd.Problem(hd.Isotropic(30), noise)
    curve = hd.predict(problem, optimizer, 3.0)
    assert curve.risk[-1] < curve.risk[0]
    step = 3e-3
    risk = curve.at(1.0), curve.at(1.0 + step), curve.at(1.0 + 2 * step)
    mu, nu = of_the_density(lambda r: dead_zone.psi(r, math.inf), noise, 2 * risk[1])
    slope = -2 * 0.4 * mu * risk[1] + 0.4**2 * nu / 2
    assert (risk[2] - risk[0]) / (2 * step) == pytest.approx(slope, rel=1e-3)


def test_a_new_map_has_a_steady_state_a_spread_and_files(dead_zone: ResidualMap, tmp_path: Path) -> None:
    problem, optimizer = hd.Problem(hd.Isotropic(30), hd.Gaussian(0.5)), DeadZoneSGD(0.4)
    late = hd.predict(problem, optimizer, 200.0).risk[-1]
    assert hd.steady_state(problem, optimizer).risk == pytest.approx(late, rel=1e-5)
    curve = hd.predict(problem, optimizer, 2.0)
    assert np.isfinite(curve.spread).all() and (curve.spread[1:] > 0).all()
    assert hd.stability(problem, optimizer).stable and not hd.stability(problem, DeadZoneSGD(4.0)).stable
    curve.save(tmp_path / "curve.npz")
    back = hd.load(tmp_path / "curve.npz")
    assert back.optimizer == optimizer and np.array_equal(back.risk, curve.risk)
    assert pickle.loads(pickle.dumps(dead_zone)) is dead_zone


def test_a_new_map_is_refused_where_it_states_nothing(dead_zone: ResidualMap) -> None:
    problem = hd.Problem(hd.Isotropic(30), hd.Gaussian(0.5))
    with pytest.raises(hd.errors.NotAvailable, match="no batch theory for the residual map 'dead-zone'"):
        hd.predict(problem, DeadZoneSGD(0.4, batch_size=2), 1.0)
    with pytest.raises(hd.errors.NoLimit, match="infinite variance"):
        MapResponse("dead-zone", Lorentz(0.4))(1.0)
    with pytest.raises(hd.errors.InvalidInput, match="dead-zone-gradient"):
        hd.simulate(problem, DeadZoneSGD(0.4), 1.0, runs=2)
