"""The pages that steps write for people, in the files of a run: the evaluation's report and the page about the data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.aws.objects import fetch
from pipeline.clients import client
from pipeline.operations.models import registry
from pipeline.operations.runs import executions, outputs
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.s3_uri import S3Uri

REPORT, EDA, EXPLORATION = "report.html", "eda.html", "exploration.html"
EVALUATE, QUERY, EXPLORE = "EvaluateModel", "QueryMetadata", "ExploreData"
# A run's id has twelve characters, which may all be digits.
_VERSION = re.compile(r"[0-9]{1,11}|arn:[^:]+:sagemaker:[^:]+:[0-9]+:model-package/.+")


@dataclass(frozen=True)
class Page:
    """A page: what it belongs to, as part of a file's name, its place in S3, and its content."""

    subject: str
    uri: str
    content: bytes = field(repr=False)


def report(settings: Settings, reference: str) -> Page:
    """The report of a run (`latest`, an id, an ARN) or of a version (its number or ARN).

    Raises PipelineError where there is no such run or version, or it has no report (any more).
    """
    if _VERSION.fullmatch(reference):
        version = registry.resolve(settings, reference)
        if not version.evaluation_uri:
            raise PipelineError(
                f"{version.name} names no evaluation, so it has no report; see: python -m pipeline models"
            )
        return _page(settings, f"report-version-{version.version}", version.evaluation_uri.rpartition("/")[0], REPORT)
    run = executions.resolve(settings, reference)
    places = outputs.of_run(settings, run).places(EVALUATE, "no report")
    return _page(settings, f"report-{run.id}", places["evaluation"], REPORT)


def eda(settings: Settings, reference: str) -> Page:
    """The page about the data of a run (`latest`, an id, an ARN).

    Raises PipelineError where there is no such run, or it has no page (any more).
    """
    run = executions.resolve(settings, reference)
    places = outputs.of_run(settings, run).places(QUERY, "no page about its data")
    return _page(settings, f"eda-{run.id}", places["summary"], EDA)


def exploration(settings: Settings, reference: str) -> Page:
    """The page of the step that explores all data of a run (`latest`, an id, an ARN).

    Raises PipelineError where there is no such run, or it has no such page (any more).
    """
    run = executions.resolve(settings, reference)
    places = outputs.of_run(settings, run).places(EXPLORE, "explored no data; set explore.enabled")
    return _page(settings, f"exploration-{run.id}", places["exploration"], EXPLORATION)


def _page(settings: Settings, subject: str, folder: str, name: str) -> Page:
    uri = str(S3Uri.parse(folder).join(name))
    try:
        content = fetch(client(settings, "s3"), uri)
    except StepError as error:
        raise PipelineError(str(error)) from error
    if content is None:
        raise PipelineError(f"there is no {uri} any more; use another run: python -m pipeline runs")
    return Page(subject, uri, content)


def write(page: Page, path: Path) -> Path:
    """Write the page to `path`, with its folder; returns the absolute path. Raises PipelineError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page.content)
    except OSError as error:
        raise PipelineError(f"{path} cannot be written ({error.strerror}); name another file: --to FILE") from error
    return path.resolve()
