"""Quantiles over runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.core.observable import Observable

RISK = Observable("risk", np.random.default_rng(0).lognormal(size=(7, 5)))


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.77, 1.0, [0.2, 0.8], [[0.0], [1.0]]])
def test_quantiles_are_those_of_numpy(q: float) -> None:
    assert RISK.quantile(q).shape == (*np.shape(q), 5)
    np.testing.assert_allclose(RISK.quantile(q), np.quantile(RISK.values, q, axis=0), rtol=1e-14)


def test_diverged_runs_are_the_largest() -> None:
    """numpy.quantile gives NaN where an infinite value has weight 0 and between two of them."""
    values = np.array([[1.0], [3.0], [math.inf], [math.inf]])
    found = Observable("risk", values).quantile([0.0, 1 / 3, 0.5, 0.9, 1.0])
    assert found.ravel().tolist() == [1.0, 3.0, math.inf, math.inf, math.inf]


def test_one_run_is_every_quantile() -> None:
    assert Observable("risk", np.array([[2.0, 4.0]])).quantile(0.3).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("q", [-0.1, 1.5, [0.2, 2.0], "half", math.nan])
def test_bad_probabilities(q: object) -> None:
    with pytest.raises(hd.errors.InvalidInput, match="^q: expected"):
        RISK.quantile(q)
