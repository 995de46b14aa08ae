"""Commands: trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import PROGRAM, RUN, app, options_of, status, write_json
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from pipeline.operations.models.curves import Epoch
    from pipeline.operations.models.trials import Trial, TuningJob

# Of sparklines, from low to high; the second for terminals that know ASCII only.
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
LONGEST_SPARKLINE = 60


@app.command(rich_help_panel=RUN)
def trials(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id or ARN, or 'latest'.")] = "latest",
    trial: Annotated[
        int | None, typer.Option(min=1, help="Show this trial's curves; else the best one's.", show_default=False)
    ] = None,
    curves: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write the curves as a page of charts.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Show the trials of a run's tuning job, and how the best one went. Exit status 1 when the tuning failed."""
    from pipeline.operations.models import curves as histories
    from pipeline.operations.models import trials as operation

    if curves is not None and curves.suffix not in (".html", ".htm"):
        raise PipelineError(f"{curves}: curves are written as a page; name it {curves.with_suffix('.html')}")
    settings = options_of(context).connected()
    with status("reading the trials"):
        job = operation.read(settings, run)
        chosen = None
        if trial is not None or curves is not None or any(one.best for one in job.trials):
            chosen = job.trial(trial)
        epochs = histories.read(settings, chosen) if chosen else []
    if as_json:
        write_json({"tuning_job": job, "curves": _for_machines(chosen, epochs)})
    else:
        _show(job, chosen, epochs)
    if chosen is not None and not epochs and (trial is not None or curves is not None):
        raise PipelineError(f"trial {chosen.number} ({chosen.status}) has finished no epoch: there are no curves")
    if curves is not None and chosen is not None:
        _write(curves, _page(job, chosen, epochs))
        typer.echo(f"curves of trial {chosen.number}: {curves}", err=as_json)
    if job.status == "Failed":
        raise PipelineError(_failed(job))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"{path} cannot be written ({error.strerror}); name another file") from error


def _failed(job: TuningJob) -> str:
    from pipeline.cli.views.runs import shortened

    run = job.cached_from or job.run
    return (
        f"the tuning job {job.name} failed: {shortened(job.failure or 'no reason is given')};"
        f" its log: {PROGRAM} logs TuneModel --run {run}"
    )


def _for_machines(trial: Trial | None, epochs: Sequence[Epoch]) -> dict[str, object] | None:
    return None if trial is None else {"trial": trial.number, "epochs": [epoch.model_dump() for epoch in epochs]}


def _show(job: TuningJob, chosen: Trial | None, epochs: Sequence[Epoch]) -> None:
    from rich.console import Console
    from rich.text import Text

    from pipeline.cli.views.runs import status_text

    console = Console()
    method = f"{job.strategy}{', early stopping' if job.early_stopping else ''}"
    origin = f", cached from run {job.cached_from}" if job.cached_from else ""
    heading = Text.assemble((job.name, "bold"), "  ", status_text(job.status), f"  {method}; run {job.run}{origin}")
    console.print(heading, highlight=False, soft_wrap=True)
    if not job.trials:
        console.print("no trial has started yet")
        return
    console.print(_table(job), highlight=False)
    if chosen is not None and epochs:
        which = f"trial {chosen.number}{', the best' if chosen.best else ''}"
        console.print(f"\n{which}: {len(epochs)} epoch{'s' if len(epochs) > 1 else ''}", highlight=False)
        console.print(_sparklines(epochs, console), highlight=False)


def _table(job: TuningJob) -> Table:
    from pipeline.cli.views.runs import duration, reason, simple_table, status_text

    searched = sorted({name for trial in job.trials for name in trial.values})
    spot = any(trial.saved is not None for trial in job.trials)
    failed = any(trial.failure for trial in job.trials)
    headings = ["", "trial", "status", *searched, _short(job.objective), "accuracy", "RMSE", "loss", "epochs", "time"]
    table = simple_table(*headings, "billable", *(["saved"] if spot else []), *([""] if failed else []))
    for trial in job.trials:
        state = status_text(trial.status)
        if trial.note:
            state.append(f" {trial.note}")
        row = [
            "*" if trial.best else "",
            str(trial.number),
            state,
            *(_value(trial.values.get(name, "")) for name in searched),
            *(_number(one) for one in (trial.objective, trial.accuracy, trial.rmse, trial.loss)),
            "" if trial.epochs is None else str(trial.epochs),
            duration(trial.started, trial.ended),
            "" if trial.billable_seconds is None else f"{trial.billable_seconds:,} s",
        ]
        row += [] if not spot else ["" if trial.saved is None else f"{trial.saved:.0%}"]
        row += [] if not failed else [reason(trial.failure)]
        table.add_row(*row, style="bold" if trial.best else "")
    return table


def _sparklines(epochs: Sequence[Epoch], console: Console) -> Table:
    from pipeline.cli.views.runs import simple_table

    blocks = ASCII_BLOCKS if console.options.ascii_only else BLOCKS
    table = simple_table("", "epoch by epoch", "first", "best", "at epoch", "last")
    series = {
        "train loss": ([epoch.train_loss for epoch in epochs], min),
        "validation loss": ([epoch.validation_loss for epoch in epochs], min),
        "accuracy": ([epoch.validation_accuracy for epoch in epochs], max),
        "RMSE": ([epoch.validation_rmse for epoch in epochs], min),
    }
    for name, (values, better) in series.items():
        best = better(values)
        shown = [f"{value:.4f}" for value in (values[0], best, values[-1])]
        at = str(epochs[values.index(best)].epoch)
        table.add_row(name, sparkline(values, blocks), *shown[:2], at, shown[2])
    return table


def sparkline(values: Sequence[float], blocks: str = BLOCKS, width: int = LONGEST_SPARKLINE) -> str:
    """Values as characters from low to high; of more than `width` values so many evenly spaced, with the last."""
    if len(values) > width:
        values = [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]
    low, high = min(values), max(values)
    steps = len(blocks) - 1
    return "".join(blocks[round(steps * (value - low) / (high - low)) if high > low else 0] for value in values)


def _page(job: TuningJob, trial: Trial, epochs: Sequence[Epoch]) -> str:
    from pipeline.cli.views import charts

    best = max(epochs, key=lambda epoch: epoch.validation_accuracy)
    values = ", ".join(f"{name} {_value(value)}" for name, value in sorted(trial.values.items()))
    title = f"Trial {trial.number}{', the best of' if trial.best else ' of'} {len(job.trials)}"
    lead = (
        f"{trial.name}, run {job.run}: {values}. Best validation accuracy {best.validation_accuracy:.4f} with RMSE"
        f" {best.validation_rmse:.4f} in epoch {best.epoch} (dashed) of {epochs[-1].epoch}."
    )
    loss = {
        "training": [epoch.train_loss for epoch in epochs],
        "validation": [epoch.validation_loss for epoch in epochs],
    }
    figures = [
        charts.Chart("Loss", loss),
        charts.Chart("Validation accuracy", {"accuracy": [epoch.validation_accuracy for epoch in epochs]}),
        charts.Chart("Validation RMSE", {"RMSE": [epoch.validation_rmse for epoch in epochs]}),
    ]
    return charts.page(title, lead, [epoch.epoch for epoch in epochs], figures, marked=best.epoch)


def _short(metric: str) -> str:
    return metric.rsplit(":", 1)[-1].replace("_", " ")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _value(text: str) -> str:
    """A hyperparameter: numbers with the digits that tell trials apart, words without the service's quotes."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text.strip('"')
