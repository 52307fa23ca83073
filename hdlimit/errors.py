"""Every exception, warning class and outcome of the package, each with its sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HdlimitError(ValueError):
    """Base of every error that the package raises on purpose; a ValueError."""


class InvalidInput(HdlimitError):
    """An argument is not what the function expects.

    The message, one line, names the argument, what is expected and what came.
    """

    def __init__(self, argument: str, expected: str, got: object) -> None:
        super().__init__(" ".join(f"{argument}: expected {expected}, got {got}".splitlines()))
        self.argument, self.expected, self.got = argument, expected, got

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, str, object]]:
        return type(self), (self.argument, self.expected, self.got)


class NoLimit(HdlimitError):
    """The high-dimensional limit does not exist for this problem and optimizer (the message says why)."""


class NotAvailable(HdlimitError):
    """The quantity has no implemented theory, or none that can be trusted here (the message says which)."""


class VerificationRefused(HdlimitError):
    """Runs of this problem have no finite variance, so a comparison of means would say nothing."""


class WorkersLost(HdlimitError):
    """Workers died again and again, or took no more work, before all runs had finished (the message says which runs
    are kept).
    """


class HdlimitWarning(UserWarning):
    """Base of every warning of the package."""


class LowDimensionWarning(HdlimitWarning):
    """The intrinsic dimension is below 30: the limit is a rough guide only."""


class HeavyTailWarning(HdlimitWarning):
    """A moment that error bars rely on is infinite: the mean curve exists, the spread of runs does not."""


class ValidityWarning(HdlimitWarning):
    """A condition under which the limit was derived does not hold for this problem."""


class NearCriticalWarning(HdlimitWarning):
    """At this d and batch size lr is so near the critical one that runs settle 10 % or more above the limit."""


class NonGaussianWarning(HdlimitWarning):
    """The rows of the problem are not Gaussian in a way that this optimizer feels."""


class DivergenceWarning(HdlimitWarning):
    """Some simulated runs diverged; their risk is recorded as inf from then on."""


class Status(StrEnum):
    """How an integration or a simulation ended."""

    FINISHED = "finished"
    UNSTABLE = "unstable"
    DIVERGED = "diverged"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Outcome:
    """How a computation ended: a status and the sentence that explains it."""

    status: Status
    sentence: str

    @property
    def finished(self) -> bool:
        """True when the whole horizon was reached by a stable optimizer."""
        return self.status is Status.FINISHED

    def __str__(self) -> str:
        return self.sentence
