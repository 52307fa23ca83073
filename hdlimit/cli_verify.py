"""The command verify, and where its runs are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from hdlimit import commands, printing

if TYPE_CHECKING:
    from concurrent.futures import Executor

_EXIT_CODES = {"consistent": 0, "inconsistent": 1, "inconclusive": 3}


@click.command()
@click.argument("file")
@click.option("--runs", type=int, help="Number of simulated runs.  [default: the file's, or 32]")
@click.option("--seed", type=int, help="Seed of the runs.  [default: the file's, or 0]")
@click.option("--workers", type=click.IntRange(min=1), help="Run on this many processes.  [default: threads]")
@click.option("--dask", metavar="ADDRESS", help="Run on the Dask cluster with this scheduler (tcp://HOST:PORT).")
@click.option("--checkpoint", metavar="FILE", help="Store finished runs in FILE, and take those that it has.")
@click.option("--progress", is_flag=True, help="Show a progress bar.")
@commands.plot_option
@commands.out_option
@commands.json_option
def verify(
    file: str,
    runs: int | None,
    seed: int | None,
    plot: str | None,
    out: str | None,
    as_json: bool,
    workers: int | None,
    dask: str | None,
    **how: Any,
) -> None:
    """Compare a prediction with simulated runs.

    FILE is a problem file (TOML). The real algorithm is run at its d, and the mean of the runs is held against the
    curve; hdlimit.verify says how.

    \b
    Exit codes:  0  consistent
                 1  inconsistent: the runs contradict the curve
                 3  inconclusive: this d is too small for a verdict, or runs diverged
                 2  wrong input
    """
    from hdlimit.studies import read_toml
    from hdlimit.verify import verify as verify_curve

    commands.check_targets(plot, out)
    study = read_toml(file)
    with _executor(workers, dask) as executor:
        report = verify_curve(
            study.problem,
            study.optimizer,
            study.run.horizon,
            runs=study.run.runs if runs is None else runs,
            seed=study.run.seed if seed is None else seed,
            false_alarm=study.run.false_alarm,
            executor=executor,
            **how,
        )
    commands.write(report, plot, out)
    text = f"{study.optimizer!r} on {study.problem!r}\n{report.summary()}"
    click.echo(printing.json_text(report) if as_json else text)
    raise SystemExit(_EXIT_CODES[report.verdict])


@contextmanager
def _executor(workers: int | None, dask: str | None) -> Iterator[Executor | None]:
    """Where runs are computed: on processes, on a Dask cluster, or (None) on threads."""
    from hdlimit.workers import Processes, dask_workers

    if workers is not None and dask is not None:
        raise click.UsageError("give either --workers or --dask, not both")
    if dask is not None:
        with dask_workers(dask) as executor:
            yield executor
    elif workers is not None:
        with Processes(workers) as executor:
            yield executor
    else:
        yield None
