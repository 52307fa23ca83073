"""Spectra as measures: nodes against sums over every eigenvalue, compressed curves against the full limit."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from cases import name_of

import hdlimit as hd
from hdlimit.limit.compression import compressed
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem import spectral_measure
from hdlimit.problem.spectra import marchenko_pastur_quantiles
from hdlimit.problem.spectral_measure import Nodes

pytestmark = [
    pytest.mark.filterwarnings("ignore::hdlimit.errors.ValidityWarning"),
    pytest.mark.filterwarnings("ignore::hdlimit.errors.NearCriticalWarning"),
]

BILLION = 10**9
NAMED = [
    *(hd.PowerLaw(BILLION, exponent) for exponent in (0.0, 0.5, 1.0, 1.2, 1.5)),
    *(hd.MarchenkoPastur(BILLION, ratio) for ratio in (0.5, 1.0, 2.0)),
    hd.Isotropic(BILLION),
]
OPTIMIZERS = [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.9), hd.SignSGD(0.3)]


def sums(value: np.ndarray, mass: np.ndarray, low: float, s: np.ndarray) -> np.ndarray:
    """sum mass k^p e^(-s (k - low)), p = 0, 1, 2, one s at a time."""
    terms = [mass * np.exp(-(value - low) * x) for x in s]
    return np.array([[float(t @ value**p) for t in terms] for p in (0, 1, 2)])


@pytest.mark.parametrize(
    "covariance",
    [hd.PowerLaw(10**5, a) for a in (0.0, 0.5, 1.0, 1.2, 1.5, 3.0)]
    + [hd.MarchenkoPastur(10**5, r) for r in (0.1, 0.5, 1.0, 2.0)]
    + [hd.Isotropic(10**5)],
    ids=name_of,
)
def test_nodes_stand_for_every_eigenvalue(covariance: Any) -> None:
    """The stated error holds against plain sums, from s = 0 to where 1e-60 is left, and so does tr K^2."""
    values = covariance.eigenvalues
    values, nodes = values[values > 0], covariance.nodes
    s = np.append(0.0, np.geomspace(0.05 / values[-1], 140 / values[0], 25))
    exact, few = (sums(v, m, values[0], s) for v, m in ((values, np.ones(values.size)), (nodes.value, nodes.mass)))
    error = float(np.abs(few / exact - 1).max())
    assert error <= 1.5 * nodes.error + 1e-8 and nodes.error <= 1e-7 and nodes.value.size < 700
    assert nodes.mass.sum() == pytest.approx(values.size, rel=1e-13)
    assert covariance.squares == pytest.approx(float(values @ values), rel=1e-7)
    assert covariance.norm == pytest.approx(values[-1], rel=1e-8)


def test_a_node_too_few_is_seen() -> None:
    """The twin: the same bins with one point each miss by more than 1e-3, and the error says so."""
    values = np.sort(hd.PowerLaw(10**5, 1.2).eigenvalues)
    edges = spectral_measure.value_edges(values, 0.5)
    rough, fine = spectral_measure.of_values(values, None, edges, points=1)
    s = np.append(0.0, np.geomspace(0.05 / values[-1], 140 / values[0], 25))
    exact = sums(values, np.ones(values.size), values[0], s)
    error = float(np.abs(sums(rough.value, rough.mass, values[0], s) / exact - 1).max())
    assert error > 1e-3 and spectral_measure.disagreement(rough, fine) == pytest.approx(error, rel=0.5)


@pytest.mark.parametrize("points", [1, 2, 4, 6])
def test_gauss_rules_of_lists_match_twice_as_many_moments(points: int) -> None:
    rng = np.random.default_rng(0)
    values, masses = np.sort(rng.uniform(1.0, 1.5, 300)), rng.exponential(size=300)
    for nodes, n in zip(
        spectral_measure.of_values(values, masses, np.array([0, 300]), points), (points, points + 1), strict=True
    ):
        assert nodes.value.size == n and (nodes.mass > 0).all()
        for p in range(2 * n):
            assert nodes.mass @ nodes.value**p == pytest.approx(masses @ values**p, rel=1e-11)
        local = (nodes.value - 1.25) / 0.25
        missed = nodes.mass @ local ** (2 * n) - masses @ ((values - 1.25) / 0.25) ** (2 * n)
        assert abs(missed) > 1e-6


def test_few_and_clustered_values_are_kept() -> None:
    values = np.array([1.0, 1.0 + 1e-15, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0])
    rough, _ = spectral_measure.of_values(values, np.ones(10), np.array([0, 2, 9, 10]))
    for p in range(6):
        assert rough.mass @ rough.value**p == pytest.approx((values**p).sum(), rel=1e-13)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
@pytest.mark.parametrize(
    "covariance",
    [hd.PowerLaw(10**4, a) for a in (0.5, 1.0, 1.2, 1.5)] + [hd.MarchenkoPastur(10**4, r) for r in (0.5, 2.0)],
    ids=name_of,
)
def test_the_compressed_curve_is_the_full_one(covariance: Any, optimizer: Optimizer) -> None:
    """Named and as a list, over the default times and between: R, norm(delta)^2 and norm(K delta)^2 within 1e-6."""
    noise = hd.Gaussian(0.5)
    full = hd.predict(hd.Problem(covariance, noise), optimizer, 30.0, rtol=1e-8, compress=False)
    named = hd.predict(hd.Problem(covariance, noise), optimizer, 30.0, rtol=1e-8, compress=1e-7)
    listed = hd.predict(hd.Problem(covariance.diagonal, noise), optimizer, 30.0, rtol=1e-8, compress=1e-7)
    t = np.concatenate([full.time, np.linspace(0, 30, 501)])
    assert full.compression is None
    for few in (named, listed):
        assert few.compression is not None and few.compression.modes < 400
        np.testing.assert_allclose(few.at(t), full.at(t), rtol=3e-7)
        np.testing.assert_allclose(few.squares(t), full.squares(t), rtol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
def test_any_start_is_compressed(optimizer: Optimizer) -> None:
    """Its own nodes for the start, without noise, with variances of 0, far down."""
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.lognormal(size=6000), np.zeros(50)])
    problem = hd.Problem(values, start=rng.standard_cauchy(values.size) / 1e3, target=rng.normal(size=values.size) / 80)
    full, few = (hd.predict(problem, optimizer, 60.0, rtol=1e-8, compress=c) for c in (False, 1e-7))
    assert few.compression is not None and few.compression.eigenvalues == 6000 and few.compression.modes < 300
    t = full.time[full.time <= few.end]
    np.testing.assert_allclose(few.at(t), full.at(t), rtol=1e-6)
    np.testing.assert_allclose(few.squares(t), full.squares(t), rtol=1e-6)


def test_compress_says_what_it_did(tmp_path: Any) -> None:
    problem = hd.Problem(hd.PowerLaw(BILLION, 1.2), hd.Gaussian(0.5))
    curve = hd.predict(problem, hd.SGD(0.5), 10.0)
    assert curve.compression is not None and curve.compression.error <= 1e-7
    assert str(curve.compression) in repr(curve) and "1000000000 eigenvalues in 2" in repr(curve)
    fine = hd.predict(problem, hd.SGD(0.5), 10.0, rtol=1e-9)
    assert fine.compression is not None and fine.compression.error <= 1e-10
    assert curve.risk == pytest.approx(fine.risk, rel=3e-6)
    curve.save(tmp_path / "curve.npz")
    assert hd.load(tmp_path / "curve.npz").compression == curve.compression  # type: ignore[union-attr]
    small = hd.predict(hd.Problem(hd.PowerLaw(4096, 1.2)), hd.SGD(0.5), 10.0)
    assert small.compression is None and "eigenvalues" not in repr(small)


@pytest.mark.parametrize("compress", ["yes", None, -1.0, 0.0, 0.5, math.nan])
def test_bad_compress(compress: Any) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="compress"):
        hd.predict(hd.Problem(hd.PowerLaw(50, 0.5)), hd.SGD(0.5), 1.0, compress=compress)


@pytest.mark.parametrize("covariance", NAMED, ids=name_of)
def test_a_billion_modes_without_writing_one_down(covariance: Any) -> None:
    """Everything that needs no single coordinate, below 50 MB."""
    tracemalloc.start()
    try:
        problem = hd.Problem(covariance, hd.Gaussian(0.5))
        assert problem.initial_risk == 0.5 and covariance.trace == BILLION == problem.dimension
        assert 1 <= problem.intrinsic_dimension <= BILLION * (1 + 1e-9)
        assert "initial risk 0.5" in problem.summary()
        for optimizer in OPTIMIZERS:
            curve = hd.predict(problem, optimizer, 50.0)
            assert curve.risk[0] == pytest.approx(0.5, rel=1e-7)
            assert (curve.distance > 0).all() and (curve.gradient_norm > 0).all()
            assert curve.distance[0] == pytest.approx(1.0, rel=1e-7)
            assert hd.stability(problem, optimizer).stable
            assert hd.steady_state(problem, optimizer).risk > 0
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_exact_critical_lr_and_steady_state_of_nodes() -> None:
    """At d = 5000, against the list of eigenvalues."""
    for covariance in (hd.PowerLaw(5000, 1.2), hd.MarchenkoPastur(6000, 0.5)):
        named, listed = hd.Problem(covariance, hd.Gaussian(0.5)), hd.Problem(covariance.diagonal, hd.Gaussian(0.5))
        for optimizer in (hd.SGD(0.5), hd.SGD(0.5, batch_size=3), *OPTIMIZERS):
            one, other = hd.stability(named, optimizer), hd.stability(listed, optimizer)
            assert one.critical_lr == pytest.approx(other.critical_lr, rel=1e-6)
            assert one.critical_batch == other.critical_batch
            rest, same = hd.steady_state(named, optimizer), hd.steady_state(listed, optimizer)
            assert rest.risk == pytest.approx(same.risk, rel=1e-6)
            assert rest.time_scale == pytest.approx(same.time_scale, rel=1e-5)


def test_linear_noise_of_nodes() -> None:
    """The spread and the shift from nodes and from a list, in the same 48 bins."""
    covariance = hd.PowerLaw(5000, 1.0)
    named, listed = (
        hd.predict(hd.Problem(c, hd.Gaussian(0.5)), hd.SignSGD(0.3), 10.0) for c in (covariance, covariance.diagonal)
    )
    t = named.time[1:]
    np.testing.assert_allclose(named.linear_noise.spread(t), listed.linear_noise.spread(t), rtol=2e-3)
    scale = np.abs(listed.linear_noise.shift(t)).max()
    np.testing.assert_allclose(named.linear_noise.shift(t), listed.linear_noise.shift(t), atol=2e-3 * scale)


HUGE = hd.Problem(hd.PowerLaw(BILLION, 1.2), hd.Gaussian(0.5))
REFUSED = {
    "simulate": lambda: hd.simulate(HUGE, hd.SGD(0.5), 1.0),
    "diagonal": lambda: HUGE.covariance.diagonal,
    "eigenvalues": lambda: HUGE.covariance.eigenvalues,
    "variances": lambda: HUGE.covariance.variances,
    "matrix": lambda: HUGE.covariance.matrix,
    "initial_error": lambda: HUGE.initial_error,
    "every eigenvalue": lambda: hd.predict(HUGE, hd.SGD(0.5), 1.0, compress=False),
    "rotated": lambda: HUGE.covariance.rotated().matrix,
    "wishart": lambda: hd.Wishart(10**6, 1.0).matrix,
    "exact mean": lambda: hd.exact_mean(HUGE, hd.SGD(0.5), 1.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_every_number_is_refused(name: str) -> None:
    with pytest.raises(hd.errors.NotAvailable, match="would be an array of 1e"):
        REFUSED[name]()


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 1.0, 1.1, 3.0])
def test_marchenko_pastur_quantiles_invert_the_law(ratio: float) -> None:
    """The distribution function in closed form, at every quantile."""
    q, edge, root = (np.arange(2000) + 0.5) / 2000, abs(1 - math.sqrt(ratio)), math.sqrt(ratio)
    values = marchenko_pastur_quantiles(q, ratio)
    assert (values > 0).sum() == (q >= 1 - 1 / ratio).sum()
    half = np.arcsin(np.sqrt(np.clip((values - edge**2) / (4 * root), 0, 1)))
    turn = np.arctan2((1 + root) * np.sin(half), edge * np.cos(half))
    area = (1 + ratio) * 2 * half + 2 * root * np.sin(2 * half) - 2 * abs(1 - ratio) * turn
    law = 2 / math.pi / (4 * ratio) * area + max(1 - 1 / ratio, 0.0)
    np.testing.assert_allclose(law[values > 0], q[values > 0], atol=1e-10)


def test_a_spectrum_of_one_value_is_one_mode() -> None:
    modes, done = compressed(hd.Problem(hd.Isotropic(BILLION)), "identity", True)
    assert modes.rate.tolist() == [1.0] and done is not None and done.modes == 1 and done.error == 0
    assert spectral_measure.disagreement(Nodes(np.ones(1), np.ones(1)), Nodes(np.ones(1), np.ones(1))) == 0
