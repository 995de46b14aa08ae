"""Views of a tuning job: its trials, and how one of them went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from pipeline.cli.tables import Cell, Column, Table
from pipeline.cli.views.cells import reason, status_text
from pipeline.cli.views.sparkline import ASCII_BLOCKS, BLOCKS, sparkline
from pipeline.operations.models.curves import Epoch, best_of
from pipeline.operations.models.trials import Trial, TuningJob
from pipeline.texts import duration, shown_value
from steps.contracts.wording import count_of
from steps.reports.charts import lines
from steps.reports.page import render

TEMPLATE = Path(__file__).with_name("trials.html.template")
# Charts by title, each with the values of at most two lines by name.
Charts = Mapping[str, Mapping[str, Sequence[float]]]


def trials_page(job: TuningJob, chosen: Trial | None, epochs: Sequence[Epoch]) -> Iterator[RenderableType]:
    """The job with its trials, and the epochs of the chosen one."""
    method = f"{job.strategy}{', early stopping' if job.early_stopping else ''}"
    origin = f", cached from run {job.cached_from}" if job.cached_from else ""
    yield Text.assemble((job.name, "bold"), "  ", status_text(job.status), f"  {method}; run {job.run}{origin}")
    if not job.trials:
        yield "no trial has started yet"
        return
    yield _trials_table(job)
    if any(trial.best for trial in job.trials):
        yield Text("*: the best trial", style="dim")
    if chosen is not None and epochs:
        yield f"\ntrial {chosen.number}{', the best' if chosen.best else ''}: {count_of(len(epochs), 'epoch')}"
        yield _epochs_table(epochs)


def _trials_table(job: TuningJob) -> Table:
    searched = sorted({name for trial in job.trials for name in trial.values})
    has_savings = any(trial.saved is not None for trial in job.trials)
    has_failures = any(trial.failure for trial in job.trials)
    metric = job.objective.rsplit(":", 1)[-1].replace("_", " ")
    table = Table(
        Column("trial", "number"),
        Column("status", priority=4),
        *(Column(name, "number", 2) for name in searched),
        Column(metric, "number", 4),
        Column("accuracy", "number", 3),
        Column("RMSE", "number", 3),
        Column("loss", "number", 1),
        Column("epochs", "number", 1),
        Column("time", "time", 1),
        Column("billable", "number", 0),
        *([Column("saved", "number", 0)] if has_savings else []),
        *([Column("failure", priority=0)] if has_failures else []),
    )
    for trial in job.trials:
        cells: list[Cell] = [
            f"* {trial.number}" if trial.best else str(trial.number),
            Text.assemble(status_text(trial.status), f" {trial.note}" if trial.note else ""),
            *(shown_value(trial.values.get(name, "")) for name in searched),
            *(_number(metric) for metric in (trial.objective, trial.accuracy, trial.rmse, trial.loss)),
            "" if trial.epochs is None else str(trial.epochs),
            duration(trial.started, trial.ended),
            "" if trial.billable_seconds is None else f"{trial.billable_seconds:,} s",
        ]
        if has_savings:
            cells.append("" if trial.saved is None else f"{trial.saved:.0%}")
        if has_failures:
            cells.append(reason(trial.failure))
        table.add_row(*cells, style="bold" if trial.best else "")
    return table


def _epochs_table(epochs: Sequence[Epoch]) -> Table:
    blocks = ASCII_BLOCKS if Console().options.ascii_only else BLOCKS
    headings = ("first", "best", "at epoch", "last")
    table = Table("", Column("by epoch", "time", 2), *(Column(heading, "number") for heading in headings))
    series = {
        "train loss": ([epoch.train_loss for epoch in epochs], min),
        "validation loss": ([epoch.validation_loss for epoch in epochs], min),
        "accuracy": ([epoch.validation_accuracy for epoch in epochs], max),
        "RMSE": ([epoch.validation_rmse for epoch in epochs], min),
    }
    for name, (values, better) in series.items():
        first, best, last = values[0], better(values), values[-1]
        at = str(epochs[values.index(best)].epoch)
        table.add_row(name, sparkline(values, blocks), f"{first:.4f}", f"{best:.4f}", at, f"{last:.4f}")
    return table


def charts_page(title: str, lead: str, places: Sequence[int], charts: Charts, *, marked: int | None = None) -> str:
    """An HTML page of charts over the same `places`; `marked` is the place of an upright line (the best epoch).

    The page needs no script and no other file.
    """
    drawings = [lines(heading, series, places, below="epoch", marked=marked) for heading, series in charts.items()]
    return render(TEMPLATE, title=title, lead=lead, drawings=drawings)


def curves_page(job: TuningJob, trial: Trial, epochs: Sequence[Epoch]) -> str:
    """The curves of a trial as an HTML page."""
    best = best_of(epochs)
    assert best is not None
    values = ", ".join(f"{name} {shown_value(value)}" for name, value in sorted(trial.values.items()))
    title = f"Trial {trial.number}{', the best of' if trial.best else ' of'} {len(job.trials)}"
    lead = (
        f"{trial.name}, run {job.run}: {values}. Best epoch: {best.epoch} (dashed) of {epochs[-1].epoch}, with"
        f" validation accuracy {best.validation_accuracy:.4f} and RMSE {best.validation_rmse:.4f}."
    )
    figures: Charts = {
        "Loss": {
            "training": [epoch.train_loss for epoch in epochs],
            "validation": [epoch.validation_loss for epoch in epochs],
        },
        "Validation accuracy": {"accuracy": [epoch.validation_accuracy for epoch in epochs]},
        "Validation RMSE": {"RMSE": [epoch.validation_rmse for epoch in epochs]},
    }
    return charts_page(title, lead, [epoch.epoch for epoch in epochs], figures, marked=best.epoch)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
