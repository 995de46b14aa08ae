"""What a page says about a failed step: the reason, the last lines of its log, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.console.console import Console
from pipeline.console.pages import reads
from pipeline.console.parts import part
from pipeline.operations.runs import logs, tails
from pipeline.operations.runs.logs import Line
from pipeline.operations.runs.progress import Progress, StepRun
from pipeline.operations.runs.tails import LogPage
from steps.contracts.errors import PipelineError
from steps.contracts.names import GATE_FAILED

# Lines of the log that are shown with a failure, and the seconds after its end in which CloudWatch may still get some.
LINES = 20
LATE = 120.0


@dataclass(frozen=True)
class Remedy:
    """What to do, with a command or the path of a page for it; either may be empty."""

    text: str
    command: str = ""
    path: str = ""


@dataclass(frozen=True)
class Failure:
    """A failed step with its reason and the end of its log, whose source is `log`, empty for a step without one.

    `log_problem` is why the log cannot be read; empty where it can.
    """

    step: StepRun
    reason: str
    lines: tuple[Line, ...]
    log: str
    log_problem: str
    remedies: tuple[Remedy, ...]


# Steps that end a run on purpose: what to do, and on which page.
_OF_STEPS: tuple[tuple[str, str, str], ...] = (
    ("CheckParametersFailed", "Start again with values within their limits:", "/start?again={run}"),
    (
        GATE_FAILED,
        "The model is below the limits of the gate. Its report shows where it fails:",
        "/runs/{run}/report",
    ),
    (GATE_FAILED, "Then train longer or with more photos, or start with other limits:", "/start?again={run}"),
)
# A retry decides these again from what has succeeded, and ends as before.
ENDINGS = frozenset(name for name, _, _ in _OF_STEPS)
# Words of AWS, and of the steps, that lead to a remedy.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        r"ResourceLimitExceeded|service limit|quota",
        "A quota of the account is used up: raise it in Service Quotas, or take fewer or other instances. The check"
        " names each quota:",
        "check",
    ),
    (
        r"CapacityError|[Ii]nsufficient capacity|MaxWaitTimeExceeded",
        "AWS had no such instances: retry later, or start with another TrainingInstanceType, or without spot capacity.",
        "",
    ),
    (
        r"AccessDenied|not authorized|[Ff]orbidden",
        "A role lacks a permission: the check compares the roles with what the steps need, and bootstrap renews them.",
        "check",
    ),
    (
        r"MaxRuntimeExceeded|MaxRuntimeInSeconds",
        "The job had too little time: set a longer training.run_time in pipeline.yaml, then bring the pipeline up to"
        " date.",
        "upsert",
    ),
    (
        r"OutOfMemory|out of memory|exit code:? 137",
        "The instance had too little memory: use a larger instance type.",
        "",
    ),
    (
        r"\bimage\b.*(not found|does not exist)|CannotPullContainer",
        "An image is missing: build and push it.",
        "images push",
    ),
)


def failure_of(console: Console, run: Progress, step: StepRun) -> Failure:
    """What is known about a failed step of a run."""
    reason = step.failure or run.execution.failure or "AWS names no reason"
    lines, log, problem = _last_lines(console, run, step)
    return Failure(step, reason, lines, log, problem, tuple(_remedies(console, run, step, reason, has_log=bool(log))))


def _last_lines(console: Console, run: Progress, step: StepRun) -> tuple[tuple[Line, ...], str, str]:
    try:
        source = logs.step_source(run, step.name)
    except PipelineError:  # a step without a job has no log, which is no failure of the page
        return (), "", ""
    wanted = tails.excerpt(source, step)

    def read() -> LogPage:
        return console.readings.get(
            ("last lines", wanted), lambda: tails.page(console.settings, wanted, lines=LINES), lasting(step.ended)
        )

    page = part(console, read)
    return (page.value.lines if page.value else ()), source.title, page.problem


def is_complete(ended: datetime | None) -> bool:
    """Whether a log gets no more lines: some time after the end of what writes it."""
    return ended is not None and (datetime.now(UTC) - ended).total_seconds() > LATE


def lasting(ended: datetime | None) -> float:
    """The seconds that the end of a log stays true, by the end of what writes it; None while that goes on."""
    if ended is None:
        return reads.BUSY - 1
    return reads.LONG_AGO if is_complete(ended) else reads.IDLE - 1


def _remedies(console: Console, run: Progress, step: StepRun, reason: str, *, has_log: bool) -> list[Remedy]:
    identity = run.execution.id
    remedies = [Remedy(text, path=path.format(run=identity)) for name, text, path in _OF_STEPS if name == step.name]
    remedies += [
        Remedy(text, f"{console.command} {command}" if command else "")
        for pattern, text, command in _CAUSES
        if re.search(pattern, reason)
    ]
    if has_log:
        remedies.append(Remedy("The whole log:", f"{console.command} logs {step.name} --run {identity}"))
    return remedies
