"""The trials of a run: what was searched, curves side by side, what each trial reached and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.console import search_charts
from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import reads, tuning
from pipeline.console.routes import Routes, Values
from pipeline.operations.models.curves import Epoch, best_of
from pipeline.operations.models.trials import STEP, Trial, TuningJob
from pipeline.operations.runs.progress import Progress
from pipeline.parallel import parallel_map
from pipeline.texts import shown_value
from steps.contracts.errors import PipelineError
from steps.reports.charts import Drawing, Within, lines, shown_values

# Rows of the table, and curves, on one page.
ROWS, CURVES = 50, 12
ORDERS = ("number", "objective")
Lines = Mapping[str, Callable[[Epoch], float]]
# Curves by the value of `curve`: the title, and what is drawn.
FIGURES: Mapping[str, tuple[str, Lines]] = {
    "accuracy": ("Validation accuracy", {"accuracy": lambda epoch: epoch.validation_accuracy}),
    "loss": (
        "Loss",
        {"training": lambda epoch: epoch.train_loss, "validation": lambda epoch: epoch.validation_loss},
    ),
    "rmse": ("Validation RMSE", {"RMSE": lambda epoch: epoch.validation_rmse}),
}


@dataclass(frozen=True)
class Row:
    """A trial of the table: its mark, its values in the order of the ranges, and its cost, None where unknown."""

    trial: Trial
    kind: str
    values: tuple[str, ...]
    usd: Decimal | None


@dataclass(frozen=True)
class Picture:
    """The curve of a trial; None before its first epoch has ended."""

    trial: Trial
    kind: str
    drawing: Drawing | None


@dataclass(frozen=True)
class Pages:
    """A list in pages of a size: the number of this page, from 1, and of the last one."""

    number: int
    last: int
    size: int

    @classmethod
    def of(cls, text: str, total: int, size: int) -> Pages:
        """The page that an address names; the first where it names none, the last where there are fewer."""
        last = max(1, -(-total // size))
        number = int(text) if text.isdecimal() and len(text) < 7 else 1
        return cls(min(max(number, 1), last), last, size)

    def part(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials on this page."""
        return list(trials[(self.number - 1) * self.size : self.number * self.size])


def newest(console: Console, values: Values) -> View:
    """The trials of the newest run that has any."""
    runs = reads.newest_runs(console)
    refresh = reads.BUSY if any(not run.ended for run in runs) else reads.IDLE
    for run in runs:
        progress = reads.progress_of_listed(console, run)
        if tuning.has_trials(console, progress):
            return View("trials.html", _values(console, progress, values, "/trials"), refresh)
    return View("trials.html", {"run": None, "looked": len(runs)}, refresh)


def trials(console: Console, values: Values) -> View:
    """The trials of a run."""
    progress = reads.progress_of(console, values["run"])
    refresh = 0.0 if progress.execution.ended else reads.BUSY
    place = f"/runs/{progress.execution.id}/trials"
    if not tuning.has_trials(console, progress):
        return View("trials.html", _without_trials(progress), refresh)
    return View("trials.html", _values(console, progress, values, place), refresh)


def trial(console: Console, values: Values) -> View:
    """A trial with all of its curves."""
    progress = reads.progress_of(console, values["run"])
    run = progress.execution
    if not values["trial"].isdecimal() or len(values["trial"]) > 6:
        raise NotFoundError(f"A trial has a number; those of the run {run.id} are on its page of trials.")
    number = int(values["trial"])
    try:
        job = tuning.job_of(console, progress, (number,))
        chosen = job.trial(number)
    except PipelineError as error:
        raise NotFoundError(console.pasted(str(error))) from error
    epochs = tuning.whole_history(console, chosen)
    shown = {
        "run": run,
        "job": job,
        "row": _row(console, job, chosen),
        "names": _names(job),
        "epochs": epochs,
        "best_epoch": best_of(epochs),
        "drawings": [_drawing(title, epochs, parts) for title, parts in FIGURES.values()] if epochs else [],
        "log": _log(job, number),
    }
    return View("trial.html", shown, 0.0 if chosen.is_final else reads.BUSY)


def _without_trials(progress: Progress) -> dict[str, object]:
    step = next((step for step in progress.steps if step.name == STEP), None)
    return {"run": progress.execution, "job": None, "step": step}


def _values(console: Console, progress: Progress, values: Values, place: str) -> dict[str, object]:
    order = values.get("order", "") if values.get("order") in ORDERS else ORDERS[0]
    figure = values.get("curve", "") if values.get("curve") in FIGURES else next(iter(FIGURES))
    job = tuning.job_of(console, progress, ())
    ordered = _in_order(job, order)
    rows = Pages.of(values.get("rows", ""), len(ordered), ROWS)
    pictures = Pages.of(values.get("curves", ""), len(ordered), CURVES)
    # The trials whose details are shown, and no others.
    job = tuning.job_of(console, progress, {each.number for each in rows.part(ordered)})
    ordered = _in_order(job, order)
    return {
        "run": progress.execution,
        "job": job,
        "place": place,
        "order": order,
        "figure": figure,
        "figures": {name: title for name, (title, _) in FIGURES.items()},
        "names": _names(job),
        "rows": [_row(console, job, each) for each in rows.part(ordered)],
        "row_pages": rows,
        "pictures": _pictures(console, pictures.part(ordered), figure),
        "picture_pages": pictures,
        "scatters": [search_charts.scatter(job, searched) for searched in job.ranges],
        "parallel": search_charts.parallel(job) if len(job.ranges) > 1 else None,
        "unjudged": sum(each.objective is None for each in job.trials),
        "log": {each.number: _log(job, each.number) for each in rows.part(ordered)},
    }


def _in_order(job: TuningJob, order: str) -> list[Trial]:
    if order == "number":
        return list(job.trials)
    sign = -1 if job.maximize else 1

    def place(each: Trial) -> tuple[bool, float, int]:
        return each.objective is None, sign * (each.objective or 0.0), each.number

    return sorted(job.trials, key=place)


def _names(job: TuningJob) -> list[str]:
    """The hyperparameters that were searched."""
    return [searched.name for searched in job.ranges] or sorted({name for each in job.trials for name in each.values})


def _row(console: Console, job: TuningJob, each: Trial) -> Row:
    values = tuple(shown_value(each.values.get(name, "")) for name in _names(job))
    return Row(each, search_charts.kind_of(each), values, tuning.cost_of(console, each))


def _log(job: TuningJob, number: int) -> str:
    """The page of a trial's log, which is that of the run that trained it."""
    return f"/runs/{job.cached_from or job.run}/steps/{STEP}?trial={number}"


def _pictures(console: Console, shown: Sequence[Trial], figure: str) -> list[Picture]:
    """The curves of these trials on the same axes."""
    title, parts = FIGURES[figure]
    histories = parallel_map(lambda each: tuning.epochs_of(console, each), shown)
    series = [[value(epoch) for epoch in epochs] for epochs in histories if epochs for value in parts.values()]
    within = None
    if series:
        numbers = [epoch.epoch for epochs in histories for epoch in epochs]
        within = Within(shown_values(series), min(numbers), max(numbers))
    return [
        Picture(each, search_charts.kind_of(each), _drawing(title, epochs, parts, within) if epochs else None)
        for each, epochs in zip(shown, histories, strict=True)
    ]


def _drawing(title: str, epochs: Sequence[Epoch], parts: Lines, within: Within | None = None) -> Drawing:
    best = best_of(epochs)
    return lines(
        title,
        {name: [value(epoch) for epoch in epochs] for name, value in parts.items()},
        [epoch.epoch for epoch in epochs],
        below="epoch",
        marked=best.epoch if best else None,
        within=within,
    )


ROUTES = Routes({"/trials": newest, "/runs/{run}/trials": trials, "/runs/{run}/trials/{trial}": trial})
