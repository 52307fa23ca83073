"""The problem and the optimizer that the options of a command describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hdlimit.optimizers.base import Optimizer
    from hdlimit.problem.problem import Problem


_OPTIMIZERS = ("sgd", "clipped-sgd", "sign-sgd")


def _problem_from_table(path: str, target: str | None) -> Problem:
    from hdlimit.problem.problem import Problem
    from hdlimit.storage.tables import read_table

    table = read_table(path, target)
    return Problem.from_data(table.X, table.y, columns=table.columns)


def _optimizer(problem: Problem, options: dict[str, Any]) -> Optimizer:
    from hdlimit.optimizers.sgd import SGD, ClippedSGD
    from hdlimit.optimizers.sign import SignSGD

    name = options["optimizer"] or "sgd"
    threshold = options["threshold"]
    if (threshold is not None) != (name == "clipped-sgd"):
        raise click.UsageError("--threshold goes with --optimizer clipped-sgd, which needs it")
    batch_size = 1 if options["batch_size"] is None else options["batch_size"]
    if name == "sign-sgd":
        if options["lr"] is None:
            raise click.UsageError("--optimizer sign-sgd needs --lr")
        return SignSGD(lr=options["lr"], batch_size=batch_size)
    lr = _half_critical(problem, batch_size) if options["lr"] is None else options["lr"]
    return SGD(lr, batch_size) if name == "sgd" else ClippedSGD(lr, threshold, batch_size)


def _half_critical(problem: Problem, batch_size: int) -> float:
    from hdlimit.limit.stability import stability
    from hdlimit.optimizers.sgd import SGD

    return float(stability(problem, SGD(1.0, batch_size)).critical_lr) / 2
