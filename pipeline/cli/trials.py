"""Command: trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import PROGRAM, RUN, app, options_of
from pipeline.cli.output import AsJson, show, status, write_json
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.operations.models.trials import TuningJob


@app.command(rich_help_panel=RUN)
def trials(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or ARN of a run, or 'latest'.")] = "latest",
    trial: Annotated[
        int | None, typer.Option(min=1, help="Number of the trial whose curves are shown. Default: the best.")
    ] = None,
    curves: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the trial's curves to an HTML page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the trials of a run's tuning job, and the curves of the best one. Exit status 1 if the job failed."""
    from pipeline.operations.models import curves as histories
    from pipeline.operations.models import trials as operation

    if curves is not None and curves.suffix not in (".html", ".htm"):
        raise PipelineError(f"{curves}: curves are written as an HTML page; name it {curves.with_suffix('.html')}")
    settings = options_of(context).connected()
    with status("reading the trials"):
        job = operation.read(settings, run)
        chosen = None
        if trial is not None or curves is not None or any(each.best for each in job.trials):
            chosen = job.trial(trial)
        epochs = histories.read(settings, chosen) if chosen else []
    if as_json:
        history = {"trial": chosen.number, "epochs": [epoch.model_dump() for epoch in epochs]} if chosen else None
        write_json({"tuning_job": job, "curves": history})
    else:
        from pipeline.cli.views.trials import trials_page

        show(*trials_page(job, chosen, epochs))
    if chosen is not None and not epochs and (trial is not None or curves is not None):
        raise PipelineError(f"trial {chosen.number} ({chosen.status}) has finished no epoch and has no curves")
    if curves is not None and chosen is not None:
        from pipeline.cli.views.trials import curves_page

        _write(curves, curves_page(job, chosen, epochs))
        typer.echo(f"curves of trial {chosen.number}: {curves}", err=as_json)
    if job.status == "Failed":
        raise PipelineError(_failure(job))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"{path} cannot be written ({error.strerror}); name another file") from error


def _failure(job: TuningJob) -> str:
    from pipeline.texts import shortened

    run = job.cached_from or job.run
    failure = shortened(job.failure or "no reason was reported")
    return f"the tuning job {job.name} failed: {failure}; its log: {PROGRAM} logs TuneModel --run {run}"
