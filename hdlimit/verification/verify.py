"""Verification of a predicted curve against runs of the real algorithm, with a stated rate of false alarms."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.core.seeds import seed_sequence
from hdlimit.core.timegrid import check_horizon, default_times, steps_at
from hdlimit.errors import DivergenceWarning, HdlimitWarning, Status, UnitsWarning, VerificationRefused, warn
from hdlimit.limit.system import limit_of
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.predict import predict
from hdlimit.problem.problem import Problem
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.simulation.simulate import checked_record, simulate
from hdlimit.verification.observables import allowance
from hdlimit.verification.power import MUST_DETECT
from hdlimit.verification.report import TARGET, Report, judge
from hdlimit.verification.sequential import extended, plan, until_decided

if TYPE_CHECKING:
    from os import PathLike


# Test times: the chance to catch a local error against the Bonferroni factor. Part of the definition of the verdict.
TIMES = 20


def relaxation_time(curve: Curve) -> float:
    """Return the first time at which the curve has gone the share 1 - 1/e of its way from R(0) to R(horizon).

    It is at most half the horizon.
    """
    grid = np.linspace(0.0, curve.end, 4001)
    left = np.abs(curve.at(grid) - curve.at(curve.end))
    return float(min(grid[int(np.argmax(left <= left[0] / math.e))], curve.end / 2))


def verification_steps(curve: Curve) -> FloatArray:
    """Return step numbers of the test times: 20, evenly spaced from one relaxation time to the horizon."""
    d = curve.problem.dimension
    times = np.linspace(relaxation_time(curve), curve.end, TIMES)
    return np.array([max(steps_at(t, d), 1) for t in times])


@known_names
def verify(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    runs: int = 32,
    seed: Any = 0,
    *,
    false_alarm: float = 0.01,
    rows: str | None = None,
    executor: Any = None,
    progress: bool | None = None,
    checkpoint: str | PathLike[str] | None = None,
    max_runs: int | None = None,
    record: Sequence[str] = (),
    method: str = "direct",
    must_detect: float = MUST_DETECT,
) -> Report:
    """Compare the predicted curve with runs of the real algorithm, at a stated rate of false alarms.

    Parameters
    ----------
    problem, optimizer, horizon
        As in `predict`.
    runs : int
        At least 2.
    seed : int, SeedSequence or Generator
        Of the runs.
    false_alarm : float
        Rate at which a correct curve may be rejected.
    rows, executor, progress, checkpoint, method
        As in `simulate`.
    max_runs : int, optional
        None for one look at all runs; else looks at runs, 2 runs, 4 runs, ..., max_runs, each judged at false_alarm
        over their number, until the verdict is inconsistent, passed, or one that runs do not change: a run diverged, or
        an error of 5 % beyond an allowance that is too large would have been seen.
    record : sequence of str
        Quantities to verify beside the risk ("distance", "gradient_norm", "clipped_fraction"), each at an equal share
        of the rate.
    must_detect : float
        A curve is called consistent only if an error of this size, relative to it, would have been seen
        (`Report.detectable`); otherwise the verdict is inconclusive and says how many runs would do.

    Returns
    -------
    Report
        The verdict and what it rests on.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.
    VerificationRefused
        Where runs have no finite variance (SGD with E eps^4 infinite) or the prediction diverges.
    NoLimit
        Where there is no prediction.

    Warns
    -----
    HdlimitWarning
        As `predict` and `simulate` do.

    Notes
    -----
    At 20 times fixed before sampling, from one relaxation time on,

        z_j = max(|mean_j - curve_j| - a_j, 0)/stderr_j

    is held against the two-sided Student-t quantile at false_alarm/20 (Bonferroni). The allowance a_j is what is known
    of the bias of the limit at this d. A larger z_j means "inconsistent". Otherwise the verdict is "inconclusive" where
    a_j exceeds 2 % of the curve, where a run diverged, or where `detectable` exceeds must_detect; else "consistent".

    References
    ----------
    hdlimit.verification.observables.allowance states where each allowance comes from.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
    >>> report = hd.verify(problem, hd.SGD(lr=0.5), horizon=5.0, runs=32, seed=0)
    >>> report.verdict
    'consistent'
    """
    check_types(problem, optimizer)
    check_horizon(horizon, problem.dimension)
    must_detect = checks.positive("must_detect", must_detect)
    planned = plan(checks.integer("runs", runs, 2), max_runs, checks.fraction("false_alarm", false_alarm))
    names = checked_record(record, optimizer)
    curve, steps, allowed = expected_curve(problem, optimizer, horizon)
    d = problem.dimension
    recorded = np.union1d([steps_at(t, d) for t in default_times(horizon, d)], steps) / d
    how = {"times": recorded, "rows": rows, "executor": executor, "progress": progress, "checkpoint": checkpoint}
    how |= {"record": names, "method": method}
    sequence, made = seed_sequence(seed), list[Ensemble]()

    def look(size: int) -> Report:
        if made and checkpoint is None:
            made.append(extended(made[-1], size, executor, progress))
        else:
            made.append(simulate(problem, optimizer, horizon, size, sequence, **how))
        report = judge(curve, made[-1], steps, allowed, planned.rate / (1 + len(names)))
        return replace(report, quantities=names, must_detect=must_detect)

    with silenced(DivergenceWarning, UnitsWarning):
        ending = until_decided(planned, look, decided)
    if made[-1].outcome.status is Status.DIVERGED:
        warn(DivergenceWarning(made[-1].outcome.sentence))
    return replace(ending.result, false_alarm=planned.false_alarm, stopped=ending.sentence)


def decided(report: Report) -> str:
    """Say why more runs would not change the verdict; empty where they might."""
    if report.verdict == "inconsistent":
        return "inconsistent"
    if report.passed:
        return f"consistent, an error of {report.detectable:.1%} <= {TARGET:.0%} would be seen"
    if report.verdict == "inconclusive" and report.runs.outcome.status is Status.DIVERGED:
        return "inconclusive at any number of runs"
    if report.too_much_allowed and report.beyond_allowance <= TARGET:
        return f"inconclusive, an error {report.beyond_allowance:.1%} beyond the allowance would be seen"
    return ""


def expected_curve(problem: Problem, optimizer: Optimizer, horizon: float) -> tuple[Curve, FloatArray, FloatArray]:
    """Fix, before sampling, the curve, the test steps, and the allowance there.

    Parameters
    ----------
    problem, optimizer, horizon
        As in `predict`.

    Returns
    -------
    curve : Curve
        The prediction.
    steps : ndarray, shape (20,)
        The test times as step numbers.
    allowed : ndarray, shape (20,)
        The allowance there.

    Raises
    ------
    VerificationRefused
        Where runs have no finite variance or the prediction diverges.
    NoLimit
        Where there is no prediction.
    """
    if not limit_of(problem, optimizer).has_spread:
        raise VerificationRefused(
            f"noise: E eps^4 is infinite for {problem.noise!r}, so that runs of {optimizer!r} have no finite variance "
            "and a standard error would mean nothing; predict still answers, clipped SGD and signSGD can be verified"
        )
    curve = predict(problem, optimizer, horizon)
    if curve.outcome.status in (Status.DIVERGED, Status.STOPPED):
        raise VerificationRefused(f"optimizer: there is no curve to verify, it {curve.outcome.sentence}")
    steps = verification_steps(curve)
    return curve, steps, allowance(curve, steps)


@contextmanager
def silenced(*kinds: type[HdlimitWarning]) -> Iterator[None]:
    """Leave out warnings of some kinds while the block runs.

    Parameters
    ----------
    *kinds : type
        Classes of warnings.

    Yields
    ------
    None
        Nothing.
    """
    with warnings.catch_warnings():
        for kind in kinds:
            warnings.simplefilter("ignore", kind)
        yield
