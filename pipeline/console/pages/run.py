"""A run: its steps as they go on, what it cost, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.responses import Response

from pipeline.aws.arns import name_of
from pipeline.console.console import Console, View
from pipeline.console.pages import reads
from pipeline.console.pages.failures import ENDINGS, failure_of, is_complete
from pipeline.console.parts import parts
from pipeline.console.readings import FOREVER
from pipeline.console.routes import Routes, Values
from pipeline.operations import links
from pipeline.operations.caching import freshness, savings
from pipeline.operations.caching.savings import Total
from pipeline.operations.cost.actual import NOT_INCLUDED
from pipeline.operations.graph import layout, states, svg
from pipeline.operations.runs import executions
from pipeline.operations.runs.progress import Progress, Reader, StepRun

_GRAPH_HEADERS = {"cache-control": "private, max-age=3600"}


def run(console: Console, values: Values) -> View:
    """A run with its drawing, steps, trials, parameters and cost; a part that cannot be read has the reason."""
    run_read = reads.progress_of(console, values["run"])
    reader = reads.reader_of(console, run_read.execution.arn)
    # At once: each is a request or several to AWS, and none needs another's answer.
    read = parts(
        console,
        {
            "savings": lambda: reads.with_savings(console, run_read),
            "cost": lambda: reads.cost_of(console, run_read),
            "parameters": lambda: _parameters(console, run_read),
            "failures": lambda: _failures(console, run_read),
            "domain": lambda: reads.studio_domain(console),
        },
    )
    progress: Progress = read["savings"].value or run_read
    shown = {
        "problems": {name: part.problem for name, part in read.items()},
        "progress": progress,
        "ended": _end(progress),
        "drawing": drawing(reader, progress, console),
        "notes": {step.name: _note(step) for step in progress.steps},
        "saved": _saved(progress),
        "cost": read["cost"].value,
        "not_included": NOT_INCLUDED,
        "parameters": read["parameters"].value,
        "failures": read["failures"].value or [],
        "fresh_steps": list(freshness.VERSIONS),
        "can_retry": _can_retry(progress),
        "away": links.of_run(console.settings, progress.execution.arn, read["domain"].value or ""),
        **_links(progress),
    }
    return View("run.html", shown, _refresh(progress))


def _can_retry(progress: Progress) -> bool:
    """Whether a retry can end in another way."""
    ended_on_purpose = progress.failed is not None and progress.failed.name in ENDINGS
    return progress.execution.status in executions.RETRIED and not ended_on_purpose


def _refresh(progress: Progress) -> float:
    if not progress.execution.ended:
        return reads.BUSY
    end = _end(progress)
    # The last lines of a failed step's log come after its end.
    return 0.0 if progress.failed is None or end is None or is_complete(end) else reads.IDLE


def drawing(reader: Reader, progress: Progress, console: Console) -> Markup:
    """The drawing of a run's definition with the states of its steps, each linked to its page."""
    graph = console.readings.get(("graph", reader.arn), lambda: layout.graph_of(reader.definition), FOREVER)
    identity = progress.execution.id
    links = {step.name: f"/runs/{identity}/steps/{quote(step.name, safe='')}" for step in progress.steps}
    drawn = svg.draw(graph, states.states_of(progress), links=links, title="Steps of the run", standalone=False)
    return Markup(drawn)  # noqa: S704  # `draw` escapes what is in the definition


def _end(progress: Progress) -> datetime | None:
    if not progress.execution.ended:
        return None
    ends = [step.ended for step in progress.steps if step.ended]
    return max(ends, default=progress.execution.changed)


def _saved(progress: Progress) -> Total | None:
    """What the steps from the cache saved together; None where there are none, or it is unknown."""
    cached = [step.saving for step in progress.steps if step.cached]
    return savings.total(cached) if any(cached) else None


def _parameters(console: Console, progress: Progress) -> Mapping[str, str]:
    arn = progress.execution.arn
    return console.readings.get(("values", arn), lambda: executions.values_of(console.settings, arn), FOREVER)


def _failures(console: Console, progress: Progress) -> list[Any]:
    return [failure_of(console, progress, step) for step in progress.steps if step.status == "Failed"]


def _note(step: StepRun) -> str:
    """A note on a step besides its state; the reason of a failure has its own place."""
    if step.cached:
        return ""
    outcome = step.metadata.get("Condition", {}).get("Outcome", "")
    parts = [
        f"attempt {step.attempts}" if step.attempts > 1 else "",
        {"True": "yes", "False": "no"}.get(outcome, ""),
        decision(step),
    ]
    return ", ".join(filter(None, parts))


def decision(step: StepRun) -> str:
    """The decision of the deploy function in a run's step, in words; empty for another step."""
    outputs = {each["Name"]: each["Value"] for each in step.metadata.get("Lambda", {}).get("OutputParameters", [])}
    return str(outputs.get("decision", "")).replace("-", " ")


def _links(progress: Progress) -> dict[str, Any]:
    """Which other pages there are about this run."""
    done = {step.name for step in progress.steps if step.status == "Succeeded"}
    tuned = any(step.arn("TuningJob") for step in progress.steps)
    version = next((arn for step in progress.steps if (arn := step.arn("RegisterModel"))), "")
    return {
        "has_eda": "QueryMetadata" in done,
        "has_report": "EvaluateModel" in done,
        "has_data": "ShardImages" in done,
        "has_exploration": "ExploreData" in done,
        "has_trials": tuned or "TuneModel" in done,
        "version": name_of(version) if version else "",
    }


def stop(console: Console, values: Values) -> str:
    """Stop a run."""
    execution = executions.stop(console.settings, values["run"])
    return f"/runs/{execution.id}"


def retry(console: Console, values: Values) -> str:
    """Retry a run."""
    execution = executions.retry(console.settings, values["run"])
    return f"/runs/{execution.id}"


def graph_style(console: Console, values: Values) -> Response:  # noqa: ARG001  # a download
    """The rules of drawings, which are not among the console's own static files."""
    return Response(svg.STYLE.read_bytes(), media_type="text/css", headers=_GRAPH_HEADERS)


ROUTES = Routes(
    {"/runs/{run}": run},
    actions={"/runs/{run}/stop": stop, "/runs/{run}/retry": retry},
    downloads={"/graph.css": graph_style},
)
