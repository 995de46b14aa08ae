"""The placeholders of a definition: what they refer to has to be there, and of a type that fits its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipeline.validation.shapes import Problem, Shape, service_model

EXECUTION = (
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "StartDateTime",
    "CurrentDateTime",
)
# Type of step -> the operation whose answer its properties are.
_PROPERTIES = {
    "Processing": "DescribeProcessingJob",
    "Training": "DescribeTrainingJob",
    "Tuning": "DescribeHyperParameterTuningJob",
    "Transform": "DescribeTransformJob",
    "Model": "DescribeModel",
    "RegisterModel": "DescribeModelPackage",
    "EndpointConfig": "DescribeEndpointConfig",
    "Endpoint": "DescribeEndpoint",
}
_PART = re.compile(r"\.?([A-Za-z0-9_-]+)|\[(\d+)\]|\['([^']+)'\]")
# What a parameter's type, or a property's, may stand for.
_FITS = {
    "string": {"String"},
    "integer": {"Integer"},
    "long": {"Integer"},
    "float": {"Float", "Integer"},
    "double": {"Float", "Integer"},
    "boolean": {"Boolean"},
}
_TYPE_OF_SHAPE = {"string": "String", "integer": "Integer", "long": "Integer", "float": "Float", "double": "Float"}


def step_references(step: dict[str, Any]) -> Iterator[str]:
    """Names of the steps that a step waits for; of a condition, without its branches."""
    yield from step.get("DependsOn", [])
    arguments = step.get("Arguments", {})
    yield from _targets(arguments.get("Conditions", []) if step.get("Type") == "Condition" else arguments)


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _targets(item)
    elif isinstance(value, dict):
        target = value.get("Get")
        if len(value) == 1 and isinstance(target, str):
            if target.startswith("Steps."):
                yield re.split(r"[.\[]", target)[1]
        else:
            for item in value.values():
                yield from _targets(item)


class References:
    """The parameters and steps that placeholders may refer to."""

    def __init__(self, parameters: list[dict[str, Any]], steps: dict[str, dict[str, Any]]) -> None:
        self._types = {str(parameter.get("Name")): str(parameter.get("Type")) for parameter in parameters}
        self.steps = steps

    def is_placeholder(self, value: Any) -> bool:
        """Whether a value is one that is known only while the pipeline runs."""
        return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("Get", "Std:Join", "Std:JsonGet")

    def check(self, value: Any, shape: Shape, path: str) -> list[Problem] | None:
        """The problems of a placeholder in the place of a `shape`; None for a value that is none."""
        if not self.is_placeholder(value):
            return None
        problems: list[Problem] = []
        kind = self._resolve(value, path, problems)
        wanted = _FITS.get(shape.type_name)
        if wanted is None:
            problems.append(Problem(path, f"a placeholder cannot stand for a {shape.type_name}"))
        elif kind is not None and kind not in wanted:
            problems.append(Problem(path, f"wants {' or '.join(sorted(wanted))}, and {_shown(value)} is {kind}"))
        return problems

    def check_all(self, value: Any, path: str) -> Iterator[Problem]:
        """The problems of every placeholder in a value of no particular shape."""
        if self.is_placeholder(value):
            problems: list[Problem] = []
            self._resolve(value, path, problems)
            yield from problems
        elif isinstance(value, list):
            for item in value:
                yield from self.check_all(item, path)
        elif isinstance(value, dict):
            for item in value.values():
                yield from self.check_all(item, path)

    def _resolve(self, value: dict[str, Any], path: str, problems: list[Problem]) -> str | None:
        """The type of a placeholder's value, None where it is not known before the run."""
        kind, content = next(iter(value.items()))
        if kind == "Get":
            return self._get(content, path, problems)
        if kind == "Std:Join":
            if not isinstance(content, dict) or not isinstance(content.get("On"), str) or "Values" not in content:
                problems.append(Problem(path, "Std:Join wants On and Values"))
                return "String"
            for item in content["Values"]:
                problems += self.check_all(item, path)
            return "String"
        self._json_get(content, path, problems)
        return None

    def _get(self, target: Any, path: str, problems: list[Problem]) -> str | None:
        scope, _, rest = str(target).partition(".")
        if scope == "Parameters":
            if rest not in self._types:
                known = ", ".join(self._types) or "none"
                problems.append(Problem(path, f"there is no parameter {rest!r}; there are {known}"))
            return self._types.get(rest)
        if scope == "Execution":
            if rest not in EXECUTION:
                problems.append(
                    Problem(path, f"there is no execution variable {rest!r}; there are {', '.join(EXECUTION)}")
                )
            return "String"
        if scope == "Steps":
            name = re.split(r"[.\[]", rest)[0]
            step = self.steps.get(name)
            if step is None:
                problems.append(Problem(path, f"there is no step {name!r}"))
                return None
            return self._property(step, rest[len(name) :], f"Get {target}", Problem(path, ""), problems)
        problems.append(Problem(path, f"Get {target!r}: want Parameters., Execution. or Steps."))
        return None

    def _property(
        self, step: dict[str, Any], rest: str, what: str, place: Problem, problems: list[Problem]
    ) -> str | None:
        """The type of a step's property; a property that its description does not have is a problem."""
        kind = step.get("Type")
        if kind == "Lambda":
            declared = {
                output.get("OutputName"): output.get("OutputType") for output in step.get("OutputParameters", [])
            }
            match = re.fullmatch(r"\.OutputParameters\['([^']+)'\]", rest)
            if match is None or match[1] not in declared:
                problems.append(Problem(place.path, f"{what}: the step has no such output"))
                return None
            return str(declared[match[1]])
        if kind not in _PROPERTIES or rest.startswith(".PropertyFiles."):
            return None
        shape = service_model("sagemaker").operation_model(_PROPERTIES[kind]).output_shape
        if kind == "Tuning" and rest.startswith(".TrainingJobSummaries"):
            shape = (
                service_model("sagemaker").operation_model("ListTrainingJobsForHyperParameterTuningJob").output_shape
            )
        position = 0
        while position < len(rest):
            match = _PART.match(rest, position)
            following = _following(shape, match) if match else None
            if match is None or following is None:
                problems.append(Problem(place.path, f"{what}: a {kind} step has no such property"))
                return None
            if match[3] is not None and not _names_an_output(step, match[3], rest[:position]):
                problems.append(Problem(place.path, f"{what}: the step has no output {match[3]!r}"))
                return None
            shape, position = following, match.end()
        return _TYPE_OF_SHAPE.get(shape.type_name)

    def _json_get(self, content: Any, path: str, problems: list[Problem]) -> None:
        target = str(content.get("PropertyFile", {}).get("Get", "")) if isinstance(content, dict) else ""
        match = re.fullmatch(r"Steps\.([^.]+)\.PropertyFiles\.([^.]+)", target)
        if match is None or not isinstance(content.get("Path"), str):
            problems.append(
                Problem(path, "Std:JsonGet wants PropertyFile {Get: Steps.STEP.PropertyFiles.NAME} and Path")
            )
            return
        step = self.steps.get(match[1])
        if step is None:
            problems.append(Problem(path, f"there is no step {match[1]!r}"))
        elif match[2] not in {file.get("PropertyFileName") for file in step.get("PropertyFiles", [])}:
            problems.append(Problem(path, f"step {match[1]} has no property file {match[2]!r}"))


def _following(shape: Shape, part: re.Match[str]) -> Shape | None:
    """The shape one part of a path further on."""
    member, _, name = part.groups()
    if member is not None:
        return shape.members.get(member) if shape.type_name == "structure" else None
    if shape.type_name == "list":
        return shape.member
    return shape.value if shape.type_name == "map" and name is not None else None


def _names_an_output(step: dict[str, Any], name: str, before: str) -> bool:
    if not before.endswith("Outputs"):
        return True
    outputs = step.get("Arguments", {}).get("ProcessingOutputConfig", {}).get("Outputs", [])
    return name in {output.get("OutputName") for output in outputs}


def _shown(value: dict[str, Any]) -> str:
    return str(value.get("Get") or next(iter(value)))
