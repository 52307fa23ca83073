"""The command verify, and where its runs are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hdlimit.cli import options
from hdlimit.cli import text as printing
from hdlimit.errors import InvalidInput, shown

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from hdlimit.study import Run

_EXIT_CODES = {"consistent": 0, "inconsistent": 1, "inconclusive": 3}


@click.command()
@click.argument("file")
@click.option("--runs", type=int, help="Number of simulated runs.  [default: the file's, or 32]")
@click.option("--seed", type=int, help="Seed of the runs.  [default: the file's, or 0]")
@click.option(
    "--max-runs", type=int, help="Add runs, doubling their number, until the verdict is decided or at most this many."
)
@click.option(
    "--dimensions", metavar="D1,D2,D3,...", help="Instead: how bias and spread decay over these d (at least 3)."
)
@click.option(
    "--method",
    type=click.Choice(("direct", "blocks")),
    help="How runs are made: step by step (direct), or by an exact chain of the eigenspaces of K (blocks), faster "
    "where K has few distinct eigenvalues, not for sign-sgd.  [default: direct; with --dimensions the faster one]",
)
@click.option(
    "--record",
    multiple=True,
    type=click.Choice(("distance", "gradient_norm", "clipped_fraction")),
    help="Verify this too, beside the risk; may be repeated.",
)
@click.option(
    "--must-detect",
    type=float,
    help="Consistent only if an error of this share of the curve would be seen.  [default: the file's, or 0.2]",
)
@click.option("--workers", type=click.IntRange(min=1), help="Run on this many processes.  [default: threads]")
@click.option("--dask", metavar="ADDRESS", help="Run on the Dask cluster with this scheduler (tcp://HOST:PORT).")
@click.option(
    "--checkpoint", metavar="FILE", help="Store finished runs in FILE (FILE-dD for each d), and take those that it has."
)
@click.option("--progress/--no-progress", default=None, help="Show a progress bar.  [default: on a terminal]")
@options.plot_option
@options.out_option
@options.json_option
def verify(
    *,
    file: str,
    runs: int | None,
    seed: int | None,
    must_detect: float | None,
    plot: str | None,
    out: str | None,
    as_json: bool,
    dimensions: str | None,
    workers: int | None,
    dask: str | None,
    **how: Any,
) -> None:
    """Compare a prediction with simulated runs.

    FILE is a problem file (TOML). The real algorithm is run at its d, and the mean of the runs is held against the
    curve; hdlimit.verify says how.

    With --dimensions the problem is rebuilt at each d, whatever the file's: the bias of the curve must vanish like 1/D
    and the spread of runs like 1/sqrt(D), D = (tr K)^2/tr(K^2); hdlimit.scaling_study says how this is judged.

    \b
    Exit codes:  0  consistent
                 1  inconsistent: the runs contradict the curve
                 3  inconclusive: this d is too small for a verdict, or runs diverged, or there are too few of them
    Every other end has another exit code: 'hdlimit -h' lists them.
    """  # noqa: D301
    from hdlimit.study import read_toml

    options.check_targets(plot, out)
    study = read_toml(file)
    how["must_detect"] = must_detect
    judge = _verification(dimensions, how, study.run)
    with _executor(workers, dask) as executor:
        report = judge(
            study.problem,
            study.optimizer,
            horizon=study.run.horizon,
            runs=study.run.runs if runs is None else runs,
            seed=study.run.seed if seed is None else seed,
            false_alarm=study.run.false_alarm,
            executor=executor,
            **how,
        )
    options.write(report, plot, out)
    text = f"{study.optimizer!r} on {study.problem!r}\n{report.summary()}"
    click.echo(printing.json_text(report) if as_json else text)
    raise SystemExit(_EXIT_CODES[report.verdict])


def _verification(dimensions: str | None, how: dict[str, Any], run: Run) -> Any:
    """Return the function that is asked for, verify or a scaling study; `how` then holds its arguments."""
    if dimensions is None:
        from hdlimit.verification.verify import verify as verify_curve

        how["method"] = how["method"] or "direct"
        how["must_detect"] = run.must_detect if how["must_detect"] is None else how["must_detect"]
        return verify_curve
    from hdlimit.verification.scaling import scaling_study

    for name in ("record", "must_detect"):
        if how.pop(name):
            raise click.UsageError(f"--{name.replace('_', '-')} does not go with --dimensions")
    try:
        sizes = [int(d) for d in dimensions.split(",")]
    except ValueError:
        raise InvalidInput(
            "--dimensions", "integers with commas between them, such as 128,256,512", shown(dimensions)
        ) from None
    return partial(scaling_study, dimensions=sizes)


@contextmanager
def _executor(workers: int | None, dask: str | None) -> Iterator[Executor | None]:
    """Open the executor of the runs: processes, a Dask cluster, or None for threads."""
    from hdlimit.execution.workers import Processes, dask_workers

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
