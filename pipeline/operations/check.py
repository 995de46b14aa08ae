"""Checks of the pipeline that need no account: it compiles, and its requests are valid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.compiling.source import Source
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class StepSummary:
    """A step of the definition; `image` is empty for a step without one."""

    name: str
    kind: str
    image: str


@dataclass(frozen=True)
class Summary:
    """A summary of a definition; `sha256` is the hash of its text."""

    name: str
    account: str
    region: str
    target: str
    steps: tuple[StepSummary, ...]
    parameters: tuple[str, ...]
    bytes: int
    sha256: str


def checked_definition(settings: Settings, source: Source | None = None) -> str:
    """The compiled definition, valid by botocore's model of the service.

    Raises PipelineError with one line per problem.
    """
    from pipeline.aws.validation import validate_definition, validate_values
    from pipeline.definition import compile_definition

    definition = compile_definition(settings, source)
    document = json.loads(definition)
    if problems := validate_definition(document) or validate_values(document):
        raise PipelineError("\n".join(map(str, problems)))
    return definition


def summarize(settings: Settings, text: str) -> Summary:
    """Summary of the compiled definition `text`."""
    definition = json.loads(text)
    return Summary(
        name=settings.name,
        account=settings.account.id,
        region=settings.account.region,
        target=settings.account.target,
        steps=tuple(_steps(definition["Steps"])),
        parameters=tuple(parameter["Name"] for parameter in definition["Parameters"]),
        bytes=len(text.encode()),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _steps(steps: list[dict[str, Any]]) -> Iterator[StepSummary]:
    for step in steps:
        arguments = step.get("Arguments", {})
        yield StepSummary(step["Name"], step["Type"], _image(arguments))
        yield from _steps([*arguments.get("IfSteps", []), *arguments.get("ElseSteps", [])])


def _image(arguments: dict[str, Any]) -> str:
    """Repository and tag of a step's image, without the registry's host."""
    match arguments:
        case (
            {"AppSpecification": {"ImageUri": str(uri)}}
            | {"TrainingJobDefinition": {"AlgorithmSpecification": {"TrainingImage": str(uri)}}}
            | {"InferenceSpecification": {"Containers": [{"Image": str(uri)}, *_]}}
        ):
            return uri.rsplit("/", 1)[-1]
    return ""
