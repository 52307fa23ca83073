"""One dimension of a scaling study: the problem rebuilt there, its curve, its runs and their report."""

from __future__ import annotations

import warnings
from concurrent.futures import Executor
from dataclasses import fields, replace
from typing import Any

import numpy as np

from hdlimit.errors import InvalidInput, LowDimensionWarning, NearCriticalWarning, NotAvailable, VerificationRefused
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.covariance import CovarianceModel, Rotated
from hdlimit.problem.problem import Problem
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.simulation.simulate import simulate
from hdlimit.verification.report import Report, judge
from hdlimit.verification.verify import expected_curve

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


class Case:
    """One dimension: the curve, the test steps and the allowance, fixed before sampling.

    Parameters
    ----------
    problem, optimizer, horizon, method
        As in `scaling_study`; the problem at this dimension.

    Raises
    ------
    VerificationRefused
        Where the dimension is too small.
    """

    def __init__(self, problem: Problem, optimizer: Optimizer, horizon: float, method: str | None) -> None:
        self.problem, self.optimizer = problem, optimizer
        self.method = best_method(problem, optimizer) if method is None else method
        try:
            with warnings.catch_warnings():
                for kind in (LowDimensionWarning, NearCriticalWarning):  # small dimensions are what a study is for
                    warnings.simplefilter("ignore", kind)
                self.curve, self.steps, self.allowed = expected_curve(problem, optimizer, horizon)
        except NotAvailable as error:
            raise VerificationRefused(f"dimensions: d = {problem.dimension} is too small: {error}") from error

    def simulated(
        self, runs: int, seed: Any, executor: Executor | None, progress: bool, checkpoint: Any = None
    ) -> Ensemble:
        """Simulate runs at the test times."""
        times = self.steps / self.problem.dimension
        return simulate(
            self.problem,
            self.optimizer,
            self.curve.horizon,
            runs,
            seed,
            times=times,
            method=self.method,
            executor=executor,
            progress=progress,
            checkpoint=checkpoint,
        )

    def judged(self, runs: Any, false_alarm: float) -> Report:
        """Make the report of these runs."""
        return judge(self.curve, runs, self.steps, self.allowed, false_alarm)


def best_method(problem: Problem, optimizer: Optimizer) -> str:
    """Return "blocks" where it applies and at most a quarter of the eigenvalues are distinct, else "direct"."""
    blocks = np.unique(problem.covariance.eigenvalues).size
    few = FEW_BLOCKS * blocks <= problem.dimension
    return "blocks" if few and FEATURES[optimizer.features].linear else "direct"
