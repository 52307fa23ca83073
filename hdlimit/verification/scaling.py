"""How what the limit leaves out decays with the dimension: the bias of the curve like 1/D, the spread like 1/sqrt(D).

Dimensions are compared through D = (tr K)^2/tr(K^2), which is d for K = identity and in proportion to d for Wishart and
Marchenko-Pastur covariances. For power laws it grows more slowly than d, and the decays follow D, not d.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from os import PathLike, fspath
from os.path import isdir
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import IntArray, known_names
from hdlimit.core.seeds import as_int, seed_sequence
from hdlimit.errors import (
    DivergenceWarning,
    InvalidInput,
    LowDimensionWarning,
    NearCriticalWarning,
    NotAvailable,
    Status,
    UnitsWarning,
    VerificationRefused,
    shown,
    warn,
)
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.problem.problem import Problem
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.simulation.simulate import simulate
from hdlimit.verification.dimensions import best_method, rescaled
from hdlimit.verification.report import Report, judge
from hdlimit.verification.scaling_report import ScalingStudy, assess, predicted_spread
from hdlimit.verification.sequential import extended, plan, until_decided
from hdlimit.verification.verify import expected_curve, silenced

# Runs below which a standard error of a spread means little. Chosen, not measured.
FEWEST_RUNS = 8


@known_names
def scaling_study(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    dimensions: Any,
    runs: int = 128,
    seed: Any = 0,
    *,
    max_runs: int | None = None,
    false_alarm: float = 0.01,
    method: str | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> ScalingStudy:
    """Test whether the curve is the limit of the runs: bias vanishing like 1/D, spread of runs like 1/sqrt(D).

    Parameters
    ----------
    problem : Problem
        A named covariance (Wishart without row_scales), no target, start or data rows; its d does not matter.
    optimizer : Optimizer
        As in `predict`, used as it is at every d.
    horizon : float
        As in `predict`.
    dimensions : array_like of int, shape (k,)
        At least 3 different integers >= 2.
    runs : int
        At each d, >= 8.
    seed : int, SeedSequence or Generator
        The runs of a d depend on it and on d.
    max_runs : int, optional
        None for one look, else looks at runs, 2 runs, 4 runs, ..., max_runs until the verdict is decided
        (hdlimit.verification.sequential keeps the rate).
    false_alarm : float
        The rate at which a correct curve is called inconsistent.
    method : str, optional
        As in `simulate`; None for "blocks" where it applies and at most a quarter of the eigenvalues are distinct.
    executor, progress
        As in `simulate`.
    checkpoint : str or path-like, optional
        As in `simulate`, one file a dimension with "-d" and the dimension added to the name.

    Returns
    -------
    ScalingStudy
        Slopes, intervals and a verdict.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.
    VerificationRefused, NoLimit
        As `verify`.

    Warns
    -----
    HdlimitWarning
        As `verify`, except for what a small dimension alone causes.

    Notes
    -----
    The problem is rebuilt at every d and simulated; relative bias and relative spread are averaged over the test times
    of `verify`, run by run, which gives them with standard errors. D = (tr K)^2/tr(K^2). The interval of the spread's
    slope is that of weighted least squares of log spread on log D. The interval of the bias's slope s holds every s for
    which b = a D^s is not rejected against a second term D^s log D, at an exact level also where the bias is lost in
    its errors: then the interval is open, and the slope "not resolved". Both have level false_alarm/2.

    Verdict: "inconsistent" when the whole interval of the bias's slope lies above -0.9, or that of the spread's slope
    has no part in -0.55 to -0.45 (the margins are for the next order in 1/D; a steeper bias is no fault of the curve).
    Otherwise "inconclusive" when runs diverged, the spread at the largest d exceeds 30 % of the risk, an error of 5 %
    of the curve, the same at every d, would not be seen with 95 % power, or the interval of the spread's slope is
    longer than 0.5. Otherwise "consistent".

    References
    ----------
    hdlimit.verification.decay has the statistics.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(32), hd.Gaussian(0.5))
    >>> study = hd.scaling_study(problem, hd.SGD(lr=0.3), horizon=3.0, dimensions=[32, 48, 64], runs=16)
    >>> bool((study.spread > 0).all())
    True
    """
    check_types(problem, optimizer)
    sizes = _dimensions(dimensions)
    planned = plan(checks.count("runs", runs, FEWEST_RUNS), max_runs, checks.fraction("false_alarm", false_alarm))
    sequence = seed_sequence(seed)
    cases = [Case(rescaled(problem, int(d)), optimizer, horizon, method) for d in sizes]
    runs_of: dict[int, Ensemble] = {}

    def look(size: int) -> ScalingStudy:
        for case, d in zip(cases, sizes.tolist(), strict=True):
            if d in runs_of and checkpoint is None:
                runs_of[d] = extended(runs_of[d], size, executor, progress)
            else:
                runs_of[d] = case.simulated(size, _child(sequence, d), executor, progress, _file(checkpoint, d))
        reports = [
            case.judged(each, planned.rate / len(cases)) for case, each in zip(cases, runs_of.values(), strict=True)
        ]
        return assess(sizes, tuple(reports), planned.rate)

    with silenced(DivergenceWarning, UnitsWarning):
        ending = until_decided(planned, look, lambda study: "" if study.verdict == "inconclusive" else study.verdict)
    for d, runs_at in runs_of.items():
        if runs_at.outcome.status is Status.DIVERGED:
            warn(DivergenceWarning(f"at d = {d} {runs_at.outcome.sentence}"))
    predicted = np.array([predicted_spread(report) for report in ending.result.reports])
    return replace(
        ending.result,
        false_alarm=planned.false_alarm,
        stopped=ending.sentence,
        predicted_spread=predicted,
    )


def _child(sequence: np.random.SeedSequence, d: int) -> np.random.SeedSequence:
    """Derive the seed of one dimension."""
    return np.random.SeedSequence(as_int(sequence.entropy), spawn_key=(*sequence.spawn_key, d))


def _file(checkpoint: Any, d: int) -> Any:
    """Name the checkpoint of one dimension."""
    if not isinstance(checkpoint, str | PathLike) or not fspath(checkpoint) or isdir(checkpoint):
        return checkpoint  # refused, with the reason, where it is opened
    return f"{fspath(checkpoint)}-d{d}"


def _dimensions(dimensions: Any) -> IntArray:
    """Check the dimensions."""
    expected = "at least 3 different integers >= 2"
    given = checks.array("dimensions", dimensions, 1)
    if (given != np.floor(given)).any() or (given < 2).any() or (given > checks.MOST).any():
        raise InvalidInput("dimensions", expected, shown(given.tolist()))
    sizes = np.unique(given.astype(np.int64))
    if sizes.size != given.size or sizes.size < 3:
        raise InvalidInput("dimensions", expected, shown(given.tolist()))
    return sizes


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
            with silenced(LowDimensionWarning, NearCriticalWarning):  # small dimensions are what a study is for
                self.curve, self.steps, self.allowed = expected_curve(problem, optimizer, horizon)
        except NotAvailable as error:
            raise VerificationRefused(f"dimensions: d = {problem.dimension} is too small: {error}") from error

    def simulated(
        self, runs: int, seed: Any, executor: Executor | None, progress: bool | None, checkpoint: Any = None
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
