"""SGD, clipping or sign: each at its own best constants on the same problem."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.core.timegrid import check_horizon
from hdlimit.errors import HdlimitError, InvalidInput, NoLimit, NotAvailable
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.sgd import SGD, ClippedSGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.plotting.risk import plot_comparison
from hdlimit.prediction.curve import Curve
from hdlimit.problem.least_squares import checked_problem
from hdlimit.problem.problem import Problem
from hdlimit.response.residual_maps import residual_map
from hdlimit.tuning.search import best_constants
from hdlimit.tuning.step_tuning import quiet_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES: dict[type[Optimizer], str] = {SGD: "SGD", ClippedSGD: "clipped SGD", SignSGD: "signSGD"}
# Risks closer than this count as equal and the simpler optimizer is named. Chosen, not measured: above the 1e-5 to
# which a search finds the least risk, below what runs could tell apart.
TIE = 1e-3


@dataclass(frozen=True, eq=False)
class Entry:
    """One optimizer of a comparison.

    Parameters
    ----------
    name : str
        In words.
    optimizer : Optimizer or None
        With its best constants; None where there is no answer.
    curve : Curve or None
        Its predicted curve.
    risk : float
        At the horizon; inf where there is no answer.
    reason : str
        Why there is no answer.
    """

    name: str
    optimizer: Any
    curve: Curve | None
    risk: float
    reason: str = ""

    @property
    def clips(self) -> bool:
        """Whether the optimizer clips."""
        return self.optimizer is not None and residual_map(self.optimizer).clips

    @property
    def constants(self) -> str:
        """The constants in words."""
        if self.optimizer is None:
            return self.reason
        c = self.optimizer.control_schedule(0.0)
        clip = f", threshold {float(c):.4g}" if self.clips else ""
        return f"lr {float(self.optimizer.lr):.4g}{clip}"


@known_names
@dataclass(frozen=True, eq=False)
class Comparison:
    """SGD, clipped SGD and signSGD at their own best constants.

    Parameters
    ----------
    problem, horizon, batch_size
        As given to `compare`.
    entries : tuple of Entry
        The three, in this order.

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> [entry.name for entry in hd.compare(problem, horizon=2.0).entries]
    ['SGD', 'clipped SGD', 'signSGD']
    """

    problem: Problem
    horizon: float
    batch_size: int
    entries: tuple[Entry, ...]

    @property
    def best(self) -> Entry:
        """The entry of least risk; of several within 0.1 %, the first."""
        least = min(entry.risk for entry in self.entries)
        return next(entry for entry in self.entries if entry.risk <= least * (1 + TIE))

    @property
    def sentence(self) -> str:
        """Which one, and how far the others are behind."""
        best, parts = self.best, []
        for entry in self.entries:
            if entry.optimizer is None:
                parts.append(f"{entry.name}: {entry.reason}")
            elif entry.clips and entry.optimizer.threshold == math.inf:
                parts.append("clipping does not help")
            elif entry is not best:
                parts.append(f"{entry.name}'s is {entry.risk / best.risk:.3g} times that")
        head = f"{best.name} ({best.constants}) does best: excess risk {best.risk:.4g} at t = {self.horizon:g}"
        return "; ".join([head, *parts])

    def summary(self) -> str:
        """Return the answer as a table.

        Returns
        -------
        str
            Optimizer, best lr and threshold, risk at the horizon, its ratio to the least; then the sentence.
        """
        lines = [f"{'':<14}{'lr':>10}{'threshold':>12}{f'R({self.horizon:g})':>14}{'over best':>12}"]
        for entry in self.entries:
            if entry.optimizer is None:
                lines.append(f"{entry.name:<14}  {entry.reason}")
                continue
            threshold = f"{float(entry.optimizer.control_schedule(0.0)):.4g}" if entry.clips else "-"
            ratio = entry.risk / self.best.risk
            lines.append(
                f"{entry.name:<14}{float(entry.optimizer.lr):>10.4g}{threshold:>12}{entry.risk:>14.4g}{ratio:>12.3f}"
            )
        return "\n".join([*lines, self.sentence])

    def __str__(self) -> str:
        return self.summary()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the predicted curves, each labelled with its constants.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; the current Axes by default.

        Returns
        -------
        Axes
            Where it was drawn.
        """
        return plot_comparison(self, ax)


@known_names
def compare(problem: Problem, horizon: float, batch_size: int = 1) -> Comparison:
    """Compare SGD, clipped SGD and signSGD, each with the constants that minimize the risk at the horizon.

    Parameters
    ----------
    problem : Problem
        One that does not start at its target.
    horizon : float
        In units of t = k/d.
    batch_size : int
        B, for all three.

    Returns
    -------
    Comparison
        An optimizer without a limit (SGD under noise of infinite variance) has an entry that says so.

    Raises
    ------
    InvalidInput
        Among others where the horizon is too short for any of them.

    Warns
    -----
    HdlimitWarning
        As `predict` does.

    Notes
    -----
    Each entry minimizes R(horizon) of its own limit ODE, over lr, and over (lr, threshold) for clipped SGD.

    References
    ----------
    The limits of `predict`.

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> comparison = hd.compare(problem, horizon=2.0)
    >>> comparison.best.risk == min(entry.risk for entry in comparison.entries)
    True
    """
    checked_problem(problem)
    horizon = check_horizon(horizon, problem.dimension)
    batch_size = checks.count("batch_size", batch_size)
    entries: list[Entry] = []
    refusals: list[HdlimitError] = []
    for kind, name in NAMES.items():
        try:
            optimizer, risk = best_constants(problem, kind, horizon, batch_size=batch_size)
        except NoLimit as refusal:
            refusals.append(refusal)
            entries.append(Entry(name, None, None, math.inf, "no limit, the noise has infinite variance"))
        except (InvalidInput, NotAvailable) as refusal:
            refusals.append(refusal)
            entries.append(Entry(name, None, None, math.inf, str(refusal)))
        else:
            entries.append(Entry(name, optimizer, quiet_curve(problem, optimizer, horizon), risk))
    if all(entry.optimizer is None for entry in entries):
        raise next((refusal for refusal in refusals if isinstance(refusal, InvalidInput)), refusals[0])
    limits = (limit_of(problem, entry.optimizer) for entry in entries if entry.optimizer is not None)
    warn_caveats(problem, horizon, *limits)
    return Comparison(problem, horizon, batch_size, tuple(entries))
