"""What a figure needs of a result: its attributes, whatever its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from hdlimit.core.declaration import BoolArray, FloatArray


class ResultLike(Protocol):
    """Risks at several times."""

    @property
    def problem(self) -> Any: ...  # noqa: D102

    @property
    def optimizer(self) -> Any: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102


class CurveLike(Protocol):
    """A predicted risk curve."""

    @property
    def optimizer(self) -> Any: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread_trusted(self) -> BoolArray: ...  # noqa: D102


class RunsLike(Protocol):
    """Several runs or paths with their mean and spread."""

    @property
    def optimizer(self) -> Any: ...  # noqa: D102

    @property
    def runs(self) -> int: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def mean(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread(self) -> FloatArray: ...  # noqa: D102


class ReportLike(Protocol):
    """A verification: a curve, runs and a verdict."""

    @property
    def curve(self) -> CurveLike: ...  # noqa: D102

    @property
    def runs(self) -> RunsLike: ...  # noqa: D102

    @property
    def verdict(self) -> str: ...  # noqa: D102


class ExactLike(Protocol):
    """An exact mean."""

    @property
    def problem(self) -> Any: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102


class ComparisonLike(Protocol):
    """Curves of several optimizers."""

    @property
    def entries(self) -> Sequence[Any]: ...  # noqa: D102

    @property
    def best(self) -> Any: ...  # noqa: D102

    @property
    def horizon(self) -> float: ...  # noqa: D102


class LandscapeLike(Protocol):
    """The risk over step size and clip threshold."""

    @property
    def lr(self) -> FloatArray: ...  # noqa: D102

    @property
    def threshold(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def horizon(self) -> float: ...  # noqa: D102

    @property
    def best(self) -> Any: ...  # noqa: D102


class SweepLike(Protocol):
    """Predicted risks over a grid of parameters."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def axes(self) -> dict[str, Any]: ...  # noqa: D102

    @property
    def final(self) -> bool: ...  # noqa: D102

    @property
    def final_risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def best(self) -> dict[str, Any]: ...  # noqa: D102

    @property
    def over_problems(self) -> bool: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def horizon(self) -> float: ...  # noqa: D102

    @property
    def optimizer(self) -> Any: ...  # noqa: D102


class StudyLike(Protocol):
    """Bias and spread at several dimensions."""

    @property
    def size(self) -> FloatArray: ...  # noqa: D102

    @property
    def bias(self) -> FloatArray: ...  # noqa: D102

    @property
    def bias_stderr(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread_stderr(self) -> FloatArray: ...  # noqa: D102

    @property
    def predicted_spread(self) -> FloatArray: ...  # noqa: D102

    @property
    def bias_slope(self) -> Any: ...  # noqa: D102

    @property
    def spread_slope(self) -> Any: ...  # noqa: D102

    @property
    def verdict(self) -> str: ...  # noqa: D102
