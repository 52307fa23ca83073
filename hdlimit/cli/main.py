"""The command line: predict, tune, verify, formula, demo. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hdlimit.cli import options as commands
from hdlimit.cli import text as printing
from hdlimit.cli.exits import HELP, errors_on_one_line, one_line
from hdlimit.cli.inputs import _OPTIMIZERS, _optimizer, _problem_from_table
from hdlimit.cli.verify import verify
from hdlimit.core.version import __version__
from hdlimit.errors import HdlimitWarning, InvalidInput, shown


class _Commands(click.Group):
    """The group of commands: errors and warnings are one line on stderr, and every end has its exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            return super().parse_args(ctx, args)
        with errors_on_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _warnings_on_one_line(), errors_on_one_line(ctx):
            return super().invoke(ctx)


@contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(f"hdlimit: warning: {one_line(message)}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default", HdlimitWarning)
        warnings.showwarning = show
        yield


@click.group(
    cls=_Commands, epilog=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="hdlimit")
def main() -> None:
    """Risk curves of streaming SGD, clipped SGD and signSGD on least squares in high dimension.

    \b
    hdlimit demo                    three optimizers, predicted and simulated, one figure
    hdlimit predict problem.toml    the predicted risk curve
    hdlimit tune problem.toml       the best step size and clip threshold
    hdlimit verify problem.toml     compare the prediction with simulated runs
    hdlimit formula                 the closed formulas behind the prediction

    Time is t = steps / d. The excess risk is R = E <x, theta - theta*>^2 / 2.
    """  # noqa: D301


@main.command()
@click.argument("file", required=False)
@click.option("--data", metavar="TABLE", help="Take the problem from the rows of a .csv or .npz file instead of FILE.")
@click.option("--target", metavar="COLUMN", help="With --data: the column (or .npz array) to predict.  [default: y]")
@click.option("--optimizer", type=click.Choice(_OPTIMIZERS), help="With --data.  [default: sgd]")
@click.option(
    "--lr", type=float, help="With --data: the step is lr/d.  [default: half of SGD's critical lr; sign-sgd needs one]"
)
@click.option("--threshold", type=float, help="With --data and clipped-sgd: clip threshold in units of the residual.")
@click.option("--batch-size", type=int, help="With --data: samples a step.  [default: 1]")
@click.option("--horizon", type=float, help="With --data: length of the curve in units of t = steps/d.  [default: 20]")
@commands.plot_option
@commands.out_option
@commands.json_option
def predict(
    file: str | None, data: str | None, plot: str | None, out: str | None, as_json: bool, **options: Any
) -> None:
    """Predict a risk curve.

    The problem comes from a FILE (TOML) or from the rows of a data table, whose covariance, least-squares solution and
    residuals then stand for the population.

    \b
    hdlimit predict examples/problem.toml --plot curve.png
    hdlimit predict --data rows.csv --target price --optimizer clipped-sgd --threshold 0.5
    """  # noqa: D301
    from hdlimit.prediction.predict import predict as predict_curve
    from hdlimit.study import read_toml

    commands.check_targets(plot, out)
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if (file is None) == (data is None):
        raise click.UsageError("give either a problem FILE or --data TABLE")
    if file is not None:
        if given:
            raise click.UsageError(f"{given[0]} goes with --data; with a problem FILE, write it into the file")
        study = read_toml(file)
        curve = predict_curve(study.problem, study.optimizer, study.run.horizon, study.run.times, study.run.rtol)
    else:
        problem = _problem_from_table(str(data), options["target"])
        horizon = 20.0 if options["horizon"] is None else options["horizon"]
        curve = predict_curve(problem, _optimizer(problem, options), horizon)
    commands.write(curve, plot, out)
    click.echo(printing.json_text(curve) if as_json else printing.curve_text(curve))


@main.command()
@click.argument("file", required=False)
@click.option("--keep-lr", is_flag=True, help="With FILE: keep the file's lr, tune the threshold alone.")
@click.option("--schedule", is_flag=True, help="With FILE: also the best threshold along the curve, as a schedule.")
@click.option("--risk", type=float, help="With FILE: minimize the time to this risk, not the risk at the horizon.")
@click.option("--residuals", metavar="LOG", help="Tune from logged residuals (.csv, .txt, .npy, .npz), without a FILE.")
@click.option("--losses", metavar="LOG", help="Tune from logged per-sample losses instead of residuals.")
@click.option(
    "--loss",
    type=click.Choice(("half_squared", "squared")),
    help="The trainer's, r^2/2 or r^2: needed with --losses and with --out STEPS.csv.",
)
@click.option("--gradient-norms", metavar="LOG", help="With a log: gradient norms of the same rows, for max_norm.")
@click.option("--column", metavar="NAME", help="With a log: its column, where it has several.")
@click.option("--plot", metavar="FIGURE", help="With FILE: draw the risk over lr x threshold (.png, .pdf or .svg).")
@click.option("--out", metavar="OUT", help="With FILE: save the answer (.json) or the steps of --schedule (.csv).")
@commands.json_option
def tune(file: str | None, as_json: bool, **options: Any) -> None:
    """Tune the clip threshold and the step size.

    With a problem FILE (TOML): the constants with the lowest predicted risk at its horizon, for its batch size and
    momentum. The optimizer in the file is replaced by clipped SGD.

    With a log of residuals r = prediction - label, or of per-sample losses: the threshold with the fastest decrease of
    the risk now. The log must be taken before the update, at batch size 1, in order of time; where the
    size of the residuals changes along it, only its last rows are used.

    \b
    hdlimit tune examples/problem.toml --plot landscape.png
    hdlimit tune --residuals log.csv --column residual
    """  # noqa: D301
    logs = [name for name in ("residuals", "losses") if options[name] is not None]
    if (file is None) == (not logs) or len(logs) > 1:
        raise click.UsageError("give either a problem FILE, --residuals LOG or --losses LOG")
    misplaced = _LOG_OPTIONS if file is not None else _FILE_OPTIONS
    if given := [name for name in misplaced if options[name]]:
        place = "a log" if file is not None else "a problem FILE"
        raise click.UsageError(f"--{given[0].replace('_', '-')} goes with {place}")
    raw = "--losses" if logs == ["losses"] else "--out STEPS.csv" if _writes_steps(options) else None
    if options["loss"] and raw is None:
        raise click.UsageError("--loss goes with --losses, and with --out STEPS.csv")
    if raw is not None and not options["loss"]:
        raise click.UsageError(f"{raw} needs --loss half_squared (r^2/2) or --loss squared (r^2, PyTorch's MSELoss)")
    if file is not None:
        _tune_file(file, as_json, options)
    else:
        _tune_log(logs[0], as_json, options)


_LOG_OPTIONS = ("gradient_norms", "column")
_FILE_OPTIONS = ("keep_lr", "schedule", "risk", "plot", "out")


def _writes_steps(options: dict[str, Any]) -> bool:
    """Whether a schedule is written as steps in a trainer's units."""
    return bool(options["schedule"] and options["out"] and options["out"].lower().endswith(".csv"))


def _tune_file(file: str, as_json: bool, options: dict[str, Any]) -> None:
    from hdlimit.plotting.figure import FIGURE_FILES, write_figure
    from hdlimit.storage.files import checked_path
    from hdlimit.study import read_toml
    from hdlimit.tuning.threshold_tuning import tune_clip

    plot, out, schedule = options["plot"], options["out"], options["schedule"]
    if plot is not None:
        checked_path(plot, FIGURE_FILES)
    if out is not None:
        checked_path(out, (".json", ".csv") if schedule else (".json",))
    study = read_toml(file)
    lr = study.optimizer.lr if options["keep_lr"] else None
    batch_size = study.optimizer.batch_size
    buffer = {} if study.optimizer.memory is None else study.optimizer.memory._asdict()
    tuning = tune_clip(study.problem, study.run.horizon, lr, schedule, batch_size, options["risk"], **buffer)
    if out is not None:
        if tuning.schedule is not None and _writes_steps(options):
            tuning.schedule.save(out, loss=options["loss"])
        else:
            tuning.save(out)
    if plot is not None:
        write_figure(plot, tuning.landscape.plot)
    text = f"{study.problem!r}\n{tuning.summary()}"
    click.echo(printing.json_line(tuning.facts()) if as_json else text)


def _tune_log(kind: str, as_json: bool, options: dict[str, Any]) -> None:
    from dataclasses import asdict

    from hdlimit.storage.tables import read_column
    from hdlimit.tuning.logs import tune_clip_from_residuals

    values = read_column(options[kind], options["column"])
    norms = options["gradient_norms"]
    given: dict[str, Any] = {"losses": values, "loss": options["loss"]}
    given = {"residuals": values} if kind == "residuals" else given
    tuning = tune_clip_from_residuals(**given, gradient_norms=None if norms is None else read_column(norms))
    click.echo(printing.json_line(asdict(tuning)) if as_json else printing.log_text(tuning))


main.add_command(verify)


@main.command()
@click.argument("optimizer", required=False)
@click.argument("law", required=False)
@click.option("--latex", is_flag=True, help="Print LaTeX.")
def formula(optimizer: str | None, law: str | None, latex: bool) -> None:
    """Print the formulas behind a prediction.

    A response is mu(v) = E[psi(r) z]/v and nu(v) = E[psi(r)^2], r the residual and v = 2R. Without arguments, the
    command lists the optimizers and noise laws that have formulas.

    \b
    hdlimit formula
    hdlimit formula clipped-sgd
    hdlimit formula clipped-sgd laplace --latex
    """  # noqa: D301
    from hdlimit.kernels.formulas import FORMULAS

    if optimizer is None:
        click.echo(printing.formula_list(list(FORMULAS)))
        return
    laws = {name: entry for (of, name), entry in FORMULAS.items() if of == optimizer}
    if not laws:
        raise InvalidInput(
            "OPTIMIZER", f"one of {', '.join(dict.fromkeys(of for of, _ in FORMULAS))}", shown(optimizer)
        )
    if law is not None and law not in laws:
        raise InvalidInput("LAW", f"one of {', '.join(laws)}", shown(law))
    chosen = laws if law is None else {law: laws[law]}
    click.echo(
        "\n\n".join(printing.formula_text(f"{optimizer}, {name}", entry, latex) for name, entry in chosen.items())
    )


@main.command()
@click.option("--out", metavar="FIGURE", default="hdlimit-demo.png", show_default=True, help="The figure to write.")
@click.option("--runs", type=click.IntRange(min=2), default=32, show_default=True, help="Simulated runs of each.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the runs.")
def demo(out: str, runs: int, seed: int) -> None:
    """Predict and simulate three optimizers.

    SGD, clipped SGD and signSGD on one problem with heavy-tailed noise: a table and a figure, in less than a minute.
    """
    from hdlimit.cli import demo as job

    commands.check_targets(out, None)
    click.echo(job.PROBLEM.summary())
    click.echo(f"\nRisk at t = {job.HORIZON:g}, predicted and in {runs} simulated runs:\n\n{job.HEADER}")
    lines = []
    for line in job.run(runs, seed):
        lines.append(line)
        click.echo(job.describe(line))
    job.draw(lines, out)
    click.echo("\ndetectable: the smallest relative error of the curve that these runs show with 95 % power")
    click.echo(f"figure: {out}")
