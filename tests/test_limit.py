"""The limit of a problem: a residual map that is only declared, and what a reader is warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.limit import caveats, has_spread, largest_alignment
from hdlimit.residual import RESIDUALS, ResidualMap


def new_optimizer(lr: float, threshold: float, batch_size: int = 1) -> hd.ClippedSGD:
    """An optimizer whose residual map has no closed form."""
    optimizer = hd.ClippedSGD(lr, threshold, batch_size)
    object.__setattr__(optimizer, "residual", "new")
    return optimizer


@pytest.fixture
def new_map(monkeypatch: pytest.MonkeyPatch) -> Any:
    def register(psi: Any, bounded: bool = True) -> None:
        monkeypatch.setitem(RESIDUALS, "new", ResidualMap("new", psi, lambda c: (c,), lambda c: bounded))

    return register


@pytest.mark.parametrize(
    "noise", [hd.Gaussian(0.4), hd.StudentT(1.5, 0.3), hd.Laplace(0.3), hd.Rademacher(0.4)], ids=repr
)
def test_a_declared_map_works_by_quadrature(new_map: Any, noise: Any) -> None:
    """Clipping declared anew by psi and its kinks alone gives the curve of the closed form."""
    new_map(lambda r, c: np.clip(r, -c, c))
    problem = hd.Problem(hd.Isotropic(100), noise)
    closed = hd.predict(problem, hd.ClippedSGD(0.5, 0.6), 10.0)
    quadrature = hd.predict(problem, new_optimizer(0.5, 0.6), 10.0)
    np.testing.assert_allclose(quadrature.risk, closed.risk, rtol=2e-6)


def test_a_smooth_map_between_sgd_and_clipping(new_map: Any) -> None:
    new_map(lambda r, c: c * np.tanh(r / c))
    problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.4))
    wide = hd.predict(problem, new_optimizer(0.5, 1e3), 10.0)
    np.testing.assert_allclose(wide.risk, hd.predict(problem, hd.SGD(0.5), 10.0).risk, rtol=1e-5)
    with pytest.raises(hd.NotAvailable, match="batch"):
        hd.predict(problem, new_optimizer(0.5, 1.0, batch_size=2), 1.0)


def test_alignment_is_warned_of() -> None:
    d = 100
    one_hot = np.zeros(d)
    one_hot[3] = 1.0
    aligned = hd.Problem(hd.Isotropic(d), hd.Gaussian(0.4), target=one_hot)
    assert largest_alignment(aligned) == pytest.approx(1.0)
    with pytest.warns(hd.ValidityWarning, match="aligned with a coordinate"):
        hd.predict(aligned, hd.SignSGD(0.2), 1.0)
    assert caveats(aligned, hd.SGD(0.2)) == []
    assert largest_alignment(hd.Problem(hd.Isotropic(d))) == pytest.approx(1 / d)


def test_low_dimension_and_batch_are_warned_of() -> None:
    kinds = [type(c) for c in caveats(hd.Problem(hd.PowerLaw(500, 1.2), hd.Gaussian(1.0)), hd.SGD(0.2, batch_size=4))]
    assert kinds == [hd.LowDimensionWarning, hd.ValidityWarning]
    assert caveats(hd.Problem(hd.Isotropic(100), hd.Gaussian(1.0)), hd.SGD(0.2, batch_size=10)) == []


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (hd.SGD(0.1), False),
        (hd.ClippedSGD(0.1, np.inf), False),
        (hd.ClippedSGD(0.1, 1.0), True),
        (hd.SignSGD(0.1), True),
    ],
)
def test_spread_needs_fourth_moments_of_unbounded_maps(optimizer: Any, expected: bool) -> None:
    assert has_spread(hd.Problem(hd.Isotropic(50), hd.StudentT(3, 1.0)), optimizer) is expected
    assert has_spread(hd.Problem(hd.Isotropic(50), hd.StudentT(5, 1.0)), optimizer)
