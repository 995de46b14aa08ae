"""Validates the placeholders of a definition: their targets must exist, and have a type that fits the place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipeline.aws.expressions import PATH_PART, references
from pipeline.aws.validation.shapes import Problem, Shape, check, service_model

EXECUTION = (
    *("PipelineName", "PipelineArn", "PipelineExecutionId", "PipelineExecutionArn", "StartDateTime", "CurrentDateTime"),
)
# The variables that only the arguments of a job's own step have, by the step's type. The SDK has both
# (sagemaker.core.workflow.execution_variables); that no other type of step has them is assumed.
JOB_NAMES = {"Training": "TrainingJobName", "Processing": "ProcessingJobName"}
# The operation whose answer has a step's properties, by type of step.
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
_TYPE_OF_SHAPE = {
    "string": "String",
    "integer": "Integer",
    "long": "Integer",
    "float": "Float",
    "double": "Float",
    "boolean": "Boolean",
}
# The types of parameters and properties that fit a shape.
_FITS = {shape: {"Float", "Integer"} if kind == "Float" else {kind} for shape, kind in _TYPE_OF_SHAPE.items()}


def step_references(step: dict[str, Any]) -> Iterator[str]:
    """Names of the steps that a step, or a condition without its branches, waits for."""
    yield from step.get("DependsOn", [])
    arguments = step.get("Arguments", {})
    is_condition = step.get("Type") == "Condition"
    yield from references(arguments.get("Conditions", []) if is_condition else [arguments, step.get("FunctionArn")])


class References:
    """The parameters and steps that placeholders may refer to."""

    def __init__(self, parameters: list[dict[str, Any]], steps: dict[str, dict[str, Any]]) -> None:
        self._parameters = {parameter["Name"]: parameter for parameter in parameters}
        self.steps = steps

    def is_placeholder(self, value: Any) -> bool:
        """Whether a value is an expression, which has a value only while the pipeline runs."""
        return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("Get", "Std:Join", "Std:JsonGet")

    def check(self, value: Any, shape: Shape, path: str) -> list[Problem] | None:
        """The problems of a placeholder in the place of a `shape`; None for a value that is no placeholder."""
        if not self.is_placeholder(value):
            return None
        problems: list[Problem] = []
        kind = self._resolve(value, path, problems)
        wanted = _FITS.get(shape.type_name)
        if wanted is None:
            problems.append(Problem(path, f"a placeholder cannot stand for a {shape.type_name}"))
        elif kind is not None and kind not in wanted:
            problems.append(Problem(path, f"must be {' or '.join(sorted(wanted))}, but {_shown(value)} is {kind}"))
        else:
            problems += self._parameter_values(value, shape, path)
        return problems

    def _parameter_values(self, value: dict[str, Any], shape: Shape, path: str) -> Iterator[Problem]:
        """The problems of the values that a parameter may have."""
        for content in self._possible_values(value):
            for problem in check(content, shape, path):
                name = str(value["Get"]).removeprefix("Parameters.")
                yield Problem(path, f"parameter {name} may be {content!r}: {problem.message}")

    def _possible_values(self, value: dict[str, Any]) -> list[Any]:
        """The default and the EnumValues of a parameter; empty for other expressions."""
        parameter = self._parameters.get(str(value.get("Get")).removeprefix("Parameters."))
        if parameter is None:
            return []
        default = [parameter["DefaultValue"]] if "DefaultValue" in parameter else []
        values = [*parameter.get("EnumValues", []), *default]
        return [content for number, content in enumerate(values) if content not in values[:number]]

    def values(self, value: Any) -> list[str]:
        """A value that is text, or the texts that a parameter in its place may have."""
        values = self._possible_values(value) if self.is_placeholder(value) else [value]
        return [content for content in values if isinstance(content, str)]

    def check_all(self, value: Any, path: str) -> Iterator[Problem]:
        """The problems of all placeholders in a value of any shape."""
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

    def check_flat(self, value: Any, path: str, subject: str) -> Iterator[Problem]:
        """The problems of a value that must be text, a number, true, false, or a placeholder for these."""
        if self.is_placeholder(value):
            yield from self.check_all(value, path)
        elif not isinstance(value, str | int | float | bool):
            yield Problem(path, f"{subject} flat values only: text, numbers, true and false")

    def _resolve(self, value: dict[str, Any], path: str, problems: list[Problem]) -> str | None:
        """The type of a placeholder's value; None if it is unknown before the run."""
        kind, content = next(iter(value.items()))
        if kind == "Get":
            return self._get(content, path, problems)
        if kind == "Std:Join":
            match content:
                case {"On": str(), "Values": [*items]}:
                    for item in items:
                        problems += self.check_flat(item, path, "Std:Join joins")
                case _:
                    problems.append(Problem(path, "Std:Join needs On (text) and Values (a list)"))
            return "String"
        self._json_get(content, path, problems)
        return None

    def _get(self, target: Any, path: str, problems: list[Problem]) -> str | None:
        scope, _, rest = str(target).partition(".")
        if scope == "Parameters":
            if rest not in self._parameters:
                names = ", ".join(self._parameters) or "none"
                problems.append(Problem(path, f"there is no parameter {rest!r}; there are {names}"))
                return None
            return str(self._parameters[rest]["Type"])
        if scope == "Execution":
            if rest not in (*EXECUTION, *JOB_NAMES.values()):
                names = ", ".join((*EXECUTION, *JOB_NAMES.values()))
                problems.append(Problem(path, f"there is no execution variable {rest!r}; there are {names}"))
            return "String"
        if scope == "Steps":
            name = re.split(r"[.\[]", rest)[0]
            step = self.steps.get(name)
            if step is None:
                problems.append(Problem(path, f"there is no step {name!r}"))
                return None
            return self._property(step, rest[len(name) :], f"Get {target}", path, problems)
        problems.append(Problem(path, f"Get {target!r}: must begin with Parameters., Execution. or Steps."))
        return None

    def _property(self, step: dict[str, Any], rest: str, what: str, path: str, problems: list[Problem]) -> str | None:
        """The type of a step's property, which must be in its description."""
        kind = step.get("Type")
        if kind == "Lambda":
            declared = {output["OutputName"]: output["OutputType"] for output in step.get("OutputParameters", [])}
            match = re.fullmatch(r"\.OutputParameters\['([^']+)'\]", rest)
            if match is None or match[1] not in declared:
                problems.append(Problem(path, f"{what}: the step has no such output"))
                return None
            return str(declared[match[1]])
        is_file = rest.startswith(".PropertyFiles")
        if is_file:
            problems.append(Problem(path, f"{what}: a property file has no value by itself: read it by Std:JsonGet"))
        if is_file or kind not in _PROPERTIES:
            return None
        summaries = kind == "Tuning" and rest.startswith(".TrainingJobSummaries")
        operation = "ListTrainingJobsForHyperParameterTuningJob" if summaries else _PROPERTIES[kind]
        shape = service_model("sagemaker").operation_model(operation).output_shape
        position = 0
        while position < len(rest):
            match = PATH_PART.match(rest, position)
            following = _following(shape, match) if match else None
            if match is None or following is None:
                problems.append(Problem(path, f"{what}: a {kind} step has no such property"))
                return None
            if match[3] is not None and rest[:position].endswith(".Outputs") and match[3] not in output_names(step):
                problems.append(Problem(path, f"{what}: the step has no output {match[3]!r}"))
                return None
            shape, position = following, match.end()
        if shape.type_name in ("structure", "list", "map"):
            problems.append(Problem(path, f"{what}: that is a {shape.type_name}, not a single value"))
        return _TYPE_OF_SHAPE.get(shape.type_name)

    def _json_get(self, content: Any, path: str, problems: list[Problem]) -> None:
        match content:
            case {"PropertyFile": {"Get": str(target)}, "Path": str()} if len(content) == 2:
                problems += self._property_file(target, path)
            case {"S3Uri": uri, "Path": str()} if len(content) == 2:
                # The SDK sends a Std:Join; text and other expressions for text are taken too (assumed).
                if isinstance(uri, str) and re.fullmatch(r"s3://[^/]+/.+", uri) is None:
                    problems.append(Problem(path, f"Std:JsonGet: {uri!r} is no S3 URI of a file"))
                elif not isinstance(uri, str) and not self.is_placeholder(uri):
                    problems.append(Problem(path, "Std:JsonGet: S3Uri must be text or a Std:Join"))
                elif not isinstance(uri, str) and self._resolve(uri, path, problems) not in ("String", None):
                    problems.append(Problem(path, f"Std:JsonGet: {_shown(uri)} is no text"))
            case _:
                needed = "PropertyFile {Get: Steps.STEP.PropertyFiles.NAME} or S3Uri, and Path"
                problems.append(Problem(path, f"Std:JsonGet needs {needed}"))

    def _property_file(self, target: str, path: str) -> Iterator[Problem]:
        match = re.fullmatch(r"Steps\.([^.]+)\.PropertyFiles\.([^.]+)", target)
        if match is None:
            yield Problem(path, f"Get {target!r}: must be Steps.STEP.PropertyFiles.NAME")
        elif (step := self.steps.get(match[1])) is None:
            yield Problem(path, f"there is no step {match[1]!r}")
        elif match[2] not in {file["PropertyFileName"] for file in step.get("PropertyFiles", [])}:
            yield Problem(path, f"step {match[1]} has no property file {match[2]!r}")


def _following(shape: Shape, part: re.Match[str]) -> Shape | None:
    """The shape after one more part of a path."""
    member, _, name = part.groups()
    if member is not None:
        return shape.members.get(member) if shape.type_name == "structure" else None
    if shape.type_name == "list":
        return shape.member
    return shape.value if shape.type_name == "map" and name is not None else None


def output_names(step: dict[str, Any]) -> frozenset[str]:
    """Names of a processing step's outputs. Names that are no text are problems by the service's model."""
    match step:
        case {"Arguments": {"ProcessingOutputConfig": {"Outputs": [*outputs]}}}:
            names = [output.get("OutputName") for output in outputs if isinstance(output, dict)]
            return frozenset(name for name in names if isinstance(name, str))
    return frozenset()


def _shown(value: dict[str, Any]) -> str:
    return str(value.get("Get") or next(iter(value)))
