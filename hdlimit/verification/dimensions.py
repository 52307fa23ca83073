"""A problem rebuilt at another dimension, and the way to simulate it there."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from hdlimit.errors import InvalidInput
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.covariance import CovarianceModel, Rotated
from hdlimit.problem.problem import Problem

# Eigenvalues a distinct one from which the chain of eigenspaces is preferred to direct runs. Chosen, not measured.
FEW_BLOCKS = 4


def rescaled(problem: Problem, d: int) -> Problem:
    """Rebuild a problem at another dimension.

    Raises
    ------
    InvalidInput
        For what is known at its own dimension only: data rows, a target or a start, a covariance given as an array.
    """
    expected = "one that can be rebuilt at another dimension"
    if problem.rows is not None:
        raise InvalidInput("problem", expected, "one made from data rows, which have the dimension they have")
    for name in ("target", "start"):
        if getattr(problem, name) is not None:
            raise InvalidInput("problem", expected, f"one with a {name} of its own, known for d = {problem.dimension}")
    return replace(problem, covariance=_rescaled(problem.covariance, d))


def _rescaled(covariance: CovarianceModel, d: int) -> CovarianceModel:
    """Rebuild a covariance at another dimension."""
    if isinstance(covariance, Rotated):
        return replace(covariance, base=_rescaled(covariance.base, d))
    values = {f.name: getattr(covariance, f.name) for f in fields(covariance)}  # type: ignore[arg-type]
    if "d" not in values or any(isinstance(value, np.ndarray) for value in values.values()):
        expected = "a named covariance without arrays in it, such as Isotropic or PowerLaw"
        raise InvalidInput("problem", expected, f"{covariance!r}, known at its own dimension only")
    return type(covariance)(**(values | {"d": d}))


def best_method(problem: Problem, optimizer: Optimizer) -> str:
    """Return "blocks" where it applies and at most a quarter of the eigenvalues are distinct, else "direct"."""
    if optimizer.memory is not None:
        return "direct"
    blocks = np.unique(problem.covariance.eigenvalues).size
    few = FEW_BLOCKS * blocks <= problem.dimension
    return "blocks" if few and FEATURES[optimizer.features].linear else "direct"
