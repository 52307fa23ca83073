"""The corrected mean against simulation, and what it claims to be exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.corrected import batch_overlap, corrected_risk
from hdlimit.errors import NotAvailable
from hdlimit.kernels import responses
from hdlimit.kernels.correction import _averaged
from hdlimit.response import Response, batch_law


def corrected(problem: hd.Problem, optimizer: Any, steps: np.ndarray) -> np.ndarray:
    v = 2 * hd.predict(problem, optimizer, float(steps[-1]) / problem.dimension).risk
    return corrected_risk(problem, optimizer, steps, (float(v.min()), float(v.max())))


@pytest.mark.parametrize("size", [1, 3])
def test_clipping_at_infinity_is_sgd(size: int) -> None:
    problem, steps = hd.Problem(hd.Isotropic(60), hd.Gaussian(0.3)), np.array([1, 30, 240])
    same = corrected(problem, hd.ClippedSGD(0.5, math.inf, batch_size=size), steps)
    assert np.array_equal(same, corrected(problem, hd.SGD(0.5, batch_size=size), steps))
    nearly = corrected(problem, hd.ClippedSGD(0.5, 1e6, batch_size=size), steps)
    np.testing.assert_allclose(nearly, same, rtol=1e-9)


def test_sign_features_have_none() -> None:
    problem = hd.Problem(hd.Isotropic(60), hd.Gaussian(0.3))
    with pytest.raises(NotAvailable, match="identity features"):
        corrected_risk(problem, hd.SignSGD(0.2), np.array([10]), (0.1, 1.0))


def test_a_diverging_recursion_is_refused() -> None:
    problem = hd.Problem(hd.Isotropic(20), hd.Gaussian(0.3))
    with pytest.raises(NotAvailable, match="diverges"):
        corrected_risk(problem, hd.SGD(50.0), np.array([20000]), (0.1, 1.0))


@pytest.mark.parametrize("noise", [hd.Gaussian(0.5), hd.StudentT(3, 0.4), hd.Laplace(0.4)], ids=repr)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_second_coefficient_from_differences(noise: Any, size: int) -> None:
    """nu_2 read off differences of (mu, nu) in q, against P(S < x0), E[1/S; S > x0] and p_S(x0) themselves.

    For B >= 3 the lower bound of E[1/S; S > x0] enters: at most a tenth of nu_2 here.
    """
    v, c, variance = 0.6, 0.7, 1e-4
    response = Response("clip", noise, size)
    plain, short, long = (
        response.compiled((v / 2, 2 * v), (c / math.sqrt(q), c / math.sqrt(q))) for q in (1.0, 0.99, 1.01)
    )
    got = _averaged(*plain[:2], *short[:2], *long[:2], v, c, float(size), variance)[4]
    x0 = (c * size) ** 2
    if size == 1:
        h = 1e-4
        density = (response(v, c + h)[0] - response(v, c - h)[0]) / (2 * h)
        expected = 2 * response(v, c)[0] - 2 * c * density
    else:
        s = batch_law(noise, size, v).moments(x0)
        inverse = (size - 1) * (size - 2) * x0 * s.inverse_above
        expected = ((size**2 + size) * s.below + inverse - 4 * x0 * s.density) / size**2
    assert got == pytest.approx(expected, rel=2e-3 if size < 3 else 0.1, abs=1e-3)


@pytest.mark.parametrize("noise", [hd.Gaussian(0.4), hd.StudentT(1.5, 0.3)], ids=repr)
@pytest.mark.parametrize("size", [1, 3])
def test_clipping_at_small_dimension(noise: Any, size: int) -> None:
    """d = 40: the corrected mean is within 1.5 % (what the spread of v may add) plus 5 standard errors of 4000 runs
    (false alarms below 1e-5). With B = 3 the limit is not: the overlap of the batch's samples shortens the clipped
    step.
    """
    problem, optimizer = hd.Problem(hd.Isotropic(40), noise), hd.ClippedSGD(0.8, 0.5, batch_size=size)
    steps = np.array([80, 160, 320])
    runs = hd.simulate(problem, optimizer, 8.0, runs=4000, seed=5, times=steps / 40)
    mean = corrected(problem, optimizer, steps)
    assert (np.abs(runs.mean - mean) <= 0.015 * mean + 5 * runs.stderr).all()
    limit = hd.predict(problem, optimizer, 8.0).at(runs.time)
    if size == 3:
        assert np.abs(limit / runs.mean - 1)[0] > 0.02
        assert np.abs(mean / runs.mean - 1)[0] < np.abs(limit / runs.mean - 1)[0] / 2


@pytest.mark.parametrize("noise", [hd.Gaussian(0.4), hd.Rademacher(0.4), hd.StudentT(3, 0.3), hd.NoNoise()], ids=repr)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_overlap_of_a_batch(noise: Any, size: int) -> None:
    """E <r, z>^2/(v S) - 1 against 200 000 samples: 5 standard errors (false alarms below 1e-6)."""
    v, rng = 0.5, np.random.default_rng(11)
    z = math.sqrt(v) * rng.standard_normal((200_000, size))
    r = z - noise.sample(rng, z.size).reshape(z.shape)
    sample = (r * z).sum(axis=1) ** 2 / (v * (r**2).sum(axis=1)) - 1
    expected = batch_overlap(Response("clip", noise, size), v)
    assert abs(sample.mean() - expected) <= 5 * sample.std() / math.sqrt(sample.size)
    if size > 1:
        assert abs(sample.mean() - 1.05 * expected) > 5 * sample.std() / math.sqrt(sample.size)


@pytest.mark.parametrize("noise", [hd.Rademacher(0.4), hd.Gaussian(0.2)], ids=repr)
def test_batches_that_are_hardly_clipped(noise: Any) -> None:
    """Where P(S > x0) is a rounding error, the corrected mean is that of SGD to 1e-3."""
    problem, steps = hd.Problem(hd.Isotropic(200), noise), np.array([200, 800, 1600])
    clipped = corrected(problem, hd.ClippedSGD(0.5, 1.5, batch_size=4), steps)
    np.testing.assert_allclose(clipped, corrected(problem, hd.SGD(0.5, batch_size=4), steps), rtol=1e-3)


def test_kernel_and_python_agree_on_identity() -> None:
    assert responses.identity(0.3, 1.0, np.array([0.5, 2.0])) == (1.0, 0.4)
