"""What simulate returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.core.observable import Observable
from hdlimit.core.timegrid import steps_taken
from hdlimit.errors import NotAvailable, Outcome
from hdlimit.optimizers.base import Optimizer
from hdlimit.plotting.risk import plot_ensemble
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# What simulate records beside the risk.
RECORDABLE = ("distance", "gradient_norm", "clipped_fraction")


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Record):
    """Simulated runs of the algorithm.

    Attributes
    ----------
    problem, optimizer, horizon
        As given to `simulate`.
    time : ndarray, shape (T,)
        Times t = k/d of whole steps k.
    risk : ndarray, shape (runs, T)
        Excess risk of every run; inf after a run diverged.
    entropy : int
        Entropy of the SeedSequence whose child k drives run k.
    spawn_key : tuple of int
        Spawn key of that SeedSequence.
    rows : {"gaussian", "data"}
        Where the samples come from: Gaussian features, or the rows of `Problem.from_data`.
    outcome : Outcome
        How the runs ended.
    version : str
        Version of the package that simulated them.
    method : {"direct", "blocks"}
        Whether all d coordinates were simulated, or the reduced chain of the eigenspaces.
    recorded : tuple of Observable
        What was recorded beside the risk.

    See Also
    --------
    hdlimit.simulate : Make one.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(0.5))
    >>> runs = hd.simulate(problem, hd.SGD(lr=0.5), horizon=2.0, runs=8, seed=0)
    >>> runs.risk.shape == (8, runs.time.size)
    True
    >>> low, high = runs.quantile([0.1, 0.9])
    >>> bool((low <= high).all())
    True
    """

    table: ClassVar[tuple[str, ...]] = ("time", "samples", "mean", "spread", "stderr")
    facts: ClassVar[tuple[str, ...]] = ("runs", "rows", "method", "entropy", "spawn_key")
    kinds: ClassVar[dict[str, type]] = {"optimizer": Optimizer}
    shapes: ClassVar[dict[str, str]] = {"time": "T", "risk": "runs T"}
    ordered: ClassVar[tuple[str, ...]] = ("time",)

    problem: LeastSquares
    optimizer: Any
    horizon: float
    time: FloatArray
    risk: FloatArray
    entropy: int
    spawn_key: tuple[int, ...]
    rows: str
    outcome: Outcome
    version: str
    method: str = "direct"
    recorded: tuple[Observable, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Ensemble({self.optimizer!r}, d={self.problem.dimension}, runs={self.runs}, t={self.time[-1]:g}, "
            f"risk {self.mean[-1]:.4g} +- {self.stderr[-1]:.2g})"
        )

    def _misfit(self) -> str | None:
        """Return the name of a field that does not fit the others, None if all do; read from a file they might not."""
        return None if all(one.values.shape == self.risk.shape for one in self.recorded) else "recorded"

    @property
    def runs(self) -> int:
        """Number of runs."""
        return int(self.risk.shape[0])

    def observable(self, name: str) -> Observable:
        """Return the values of all runs of one quantity, with their mean, spread, stderr and quantiles.

        Parameters
        ----------
        name : {"risk", "distance", "gradient_norm", "clipped_fraction"}
            The risk, or a quantity that `simulate` was asked to record.

        Returns
        -------
        Observable
            The quantity.

        Raises
        ------
        InvalidInput
            For another name.
        NotAvailable
            For a quantity that was not recorded.
        """
        if checks.one_of("name", name, ("risk", *RECORDABLE)) == "risk":
            return Observable("risk", self.risk)
        for observable in self.recorded:
            if observable.name == name:
                return observable
        raise NotAvailable(f"{name}: was not recorded; simulate(..., record=({name!r},)) records it")

    @property
    def mean(self) -> FloatArray:
        """Mean risk over the runs, shape (T,)."""
        return self.observable("risk").mean

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of the risk of one run, shape (T,).

        The denominator is runs - 1. It is inf for a single run and where a run has diverged.
        """
        return self.observable("risk").spread

    @property
    def stderr(self) -> FloatArray:
        """Standard error of the mean risk, spread/sqrt(runs), shape (T,)."""
        return self.observable("risk").stderr

    def quantile(self, q: Any) -> FloatArray:
        """Return quantiles of the risk over the runs, linear between order statistics.

        Parameters
        ----------
        q : float or array_like
            Probabilities in [0, 1].

        Returns
        -------
        ndarray, shape (T,) or q.shape + (T,)
            The quantiles at every time; inf where diverged runs enter them.

        Raises
        ------
        InvalidInput
            If a probability is outside [0, 1].
        """
        return self.observable("risk").quantile(q)

    @property
    def distance(self) -> FloatArray:
        """Squared distance norm(delta)^2 of every run, shape (runs, T), if it was recorded."""
        return self.observable("distance").values

    @property
    def gradient_norm(self) -> FloatArray:
        """Norm of the population gradient, norm(K delta), of every run, shape (runs, T), if it was recorded."""
        return self.observable("gradient_norm").values

    @property
    def clipped_fraction(self) -> FloatArray:
        """Share of the steps whose gradient was clipped, shape (runs, T), if it was recorded.

        Counted since the recorded time before, or the start; 0 at time 0. A time that is listed twice has the same
        value twice.
        """
        return self.observable("clipped_fraction").values

    @property
    def steps(self) -> FloatArray:
        """Steps taken at every time, t d, shape (T,)."""
        return steps_taken(self.time, self.problem.dimension)

    @property
    def samples(self) -> FloatArray:
        """Samples seen at every time: batch size times steps, shape (T,)."""
        return steps_taken(self.time, self.problem.dimension, self.optimizer.batch_size)

    def columns(self) -> dict[str, Any]:
        """Return the columns of a file.

        Returns
        -------
        dict of str to ndarray
            Time, samples, mean, spread and stderr of the risk; mean, spread and stderr of what was recorded.
        """
        table = super().columns()
        for observable in self.recorded:
            name = observable.name
            table |= {name: observable.mean, f"{name}_spread": observable.spread, f"{name}_stderr": observable.stderr}
        return table

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the mean as about 25 markers, with a band of plus and minus the spread of one run.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new log-log figure if omitted.
        **style
            Passed to `Axes.plot`.

        Returns
        -------
        matplotlib.axes.Axes
            The axes with the figure.
        """
        return plot_ensemble(self, ax, **style)
