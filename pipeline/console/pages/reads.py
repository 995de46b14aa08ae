"""What several pages read, each with the time that it stays true."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pipeline.aws.arns import name_of
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.console.console import Console, NotFoundError
from pipeline.console.readings import FOREVER
from pipeline.operations import links
from pipeline.operations.caching import savings
from pipeline.operations.cost import actual
from pipeline.operations.cost.actual import Cost
from pipeline.operations.cost.prices import FILE, Prices
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun
from pipeline.parallel import parallel_map
from steps.contracts.errors import PipelineError

# Seconds between two looks at what is under way, and at what may begin at any time: an idle page costs few requests.
BUSY, IDLE = 2.0, 30.0
RUNS_SHOWN = 20
# Seconds after which a run that failed is read again, as another program may have retried it: on its own page, and as
# one of a list of many.
MAY_BE_RETRIED, LONG_AGO = 30.0, 900.0
# A Studio domain is created or deleted rarely.
DOMAIN_SECONDS = 3_600.0


def newest_runs(console: Console, limit: int = RUNS_SHOWN) -> list[Execution]:
    """The newest runs, newest first."""
    settings = console.settings
    return console.readings.get(
        ("runs", limit),
        lambda: executions.runs(settings, limit),
        lambda runs: BUSY if any(not run.ended for run in runs) else IDLE - 1,
    )


def progress_of(console: Console, reference: str) -> Progress:
    """The state of the run that `latest`, an id or an ARN refers to. Raises NotFoundError where there is none."""
    reader = reader_of(console, reference)
    return console.readings.get(("progress", reader.arn), reader.read, _progress_lasts)


def progress_of_listed(console: Console, run: Execution) -> Progress:
    """The same for a run of a list that is read again by itself: a run that is retried has another status there."""
    reader = reader_of(console, run.arn)

    def lasts(now: Progress) -> float:
        return LONG_AGO if now.execution.status in executions.RETRIED else _progress_lasts(now)

    return console.readings.get(("progress", reader.arn, run.status), reader.read, lasts)


def reader_of(console: Console, reference: str) -> progress.Reader:
    """The reader of the run, which has its definition. Raises NotFoundError where there is no such run."""
    settings = console.settings
    arn = reference if reference.startswith("arn:") else f"{executions.pipeline_arn(settings)}/execution/{reference}"
    if reference == executions.LATEST:
        runs = newest_runs(console)
        arn = runs[0].arn if runs else executions.resolve(settings, reference).arn
    return console.readings.get(("reader", arn), lambda: _reader(console, arn), FOREVER)


def _reader(console: Console, arn: str) -> progress.Reader:
    missing = f"The pipeline {console.settings.name} has no run {name_of(arn)}; its runs are on the page Runs."
    try:
        with error_if_missing(missing):
            return progress.Reader(console.settings, arn)
    except PipelineError as error:
        raise NotFoundError(str(error)) from error


def _progress_lasts(now: Progress) -> float:
    """A run that has succeeded stays as it is; one that failed may be retried by another program."""
    if now.execution.status in executions.RETRIED:
        return MAY_BE_RETRIED
    return FOREVER if now.execution.ended else BUSY - 1


def steps_of(console: Console, run: Execution) -> list[StepRun]:
    """The steps that a run has reached, without its trials; read again while it goes on, or may be retried."""

    def lasts(_: list[StepRun]) -> float:
        if run.status in executions.RETRIED:
            return LONG_AGO
        return FOREVER if run.ended else BUSY - 1

    # With the status, since the list has no time of a change: a run that is retried has another.
    return console.readings.get(
        ("steps", run.arn, run.status),
        lambda: progress.steps_of(client(console.settings, "sagemaker"), run.arn),
        lasts,
    )


def with_savings(console: Console, run: Progress) -> Progress:
    """The run with what each of its steps from the cache saved; unknown savings are asked for again after a while."""

    def saving(step: StepRun) -> Saving | None:
        key = ("saving", step.name, step.cached_from)
        # A reader of its own: it keeps the steps of a run that may go on.
        return console.readings.get(
            key,
            lambda: savings.reader(console.settings).of(step.name, step.cached_from),
            lambda read: LONG_AGO if read is None else FOREVER,
        )

    cached = [step for step in run.steps if step.cached]
    by_name = dict(zip((step.name for step in cached), parallel_map(saving, cached), strict=True))
    steps = (replace(step, saving=by_name.get(step.name)) for step in run.steps)
    return replace(run, steps=tuple(steps))


def studio_domain(console: Console) -> str:
    """The id of the account's Studio domain; empty where there is no link to Studio."""
    return console.readings.get(
        "studio domain", lambda: links.domain(console.settings), lambda domain: DOMAIN_SECONDS if domain else LONG_AGO
    )


def cost_of(console: Console, run: Progress) -> Cost:
    """The cost of a run, so far where it goes on."""
    settings = console.settings
    # A run that is retried has later ends.
    ends = max((step.ended for step in run.steps if step.ended), default=None)
    return console.readings.get(
        ("cost", run.execution.arn, run.execution.status, ends if run.execution.ended else None),
        lambda: actual.of_progress(settings, run, Prices(FILE, settings.account.region), datetime.now(UTC)),
        FOREVER if run.execution.ended else IDLE,
    )
