"""The expressions in a definition, evaluated while it runs: parameters, properties of steps, joins, JSON files.

https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/ (version 2020-12-01)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PATH_PART = re.compile(r"\.?([A-Za-z0-9_-]+)|\[(\d+)\]|\['([^']+)'\]")
# Names of members of lists: Outputs['labels'] is the member with the OutputName labels.
_NAMES = ("OutputName", "InputName", "ChannelName", "MetricName", "Name")


class ResolutionError(Exception):
    """An expression has no value; the message names it and the reason."""


@dataclass(frozen=True)
class Values:
    """The values that the expressions of one execution refer to."""

    parameters: dict[str, Any]
    execution: dict[str, str]
    # Properties of a step that has succeeded. Raises KeyError for other steps.
    properties: Callable[[str], dict[str, Any]]
    # Content of a step's property file.
    property_file: Callable[[str, str], Any]
    # Content of a JSON file in S3, by its URI.
    json_file: Callable[[str], Any]


def resolve(value: Any, values: Values) -> Any:
    """`value` with every expression in it replaced by its value. Raises ResolutionError."""
    if isinstance(value, list):
        return [resolve(item, values) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Get"}:
        return _get(value["Get"], values)
    if set(value) == {"Std:Join"}:
        join = value["Std:Join"]
        return str(join["On"]).join(as_text(resolve(item, values)) for item in join["Values"])
    if set(value) == {"Std:JsonGet"}:
        return _json_get(value["Std:JsonGet"], values)
    return {key: resolve(item, values) for key, item in value.items()}


def targets(value: Any) -> Iterator[str]:
    """What the expressions in `value` refer to: `Parameters.NAME`, `Execution.NAME`, `Steps.NAME.PATH`."""
    if isinstance(value, list):
        for item in value:
            yield from targets(item)
    elif isinstance(value, dict):
        target = value.get("Get")
        if len(value) == 1 and isinstance(target, str):
            yield target
        else:
            for item in value.values():
                yield from targets(item)


def references(value: Any) -> Iterator[str]:
    """Names of the steps that the expressions in `value` refer to."""
    for target in targets(value):
        if target.startswith("Steps."):
            yield re.split(r"[.\[]", target)[1]


def as_text(value: Any) -> str:
    """A value as text, in the form of Std:Join."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _get(expression: str, values: Values) -> Any:
    kind, _, rest = expression.partition(".")
    try:
        if kind == "Parameters":
            return values.parameters[rest]
        if kind == "Execution":
            return values.execution[rest]
        if kind == "Steps":
            step, _, path = rest.partition(".")
            return walk(values.properties(step), path)
    except (KeyError, IndexError, TypeError) as error:
        raise ResolutionError(f"{expression} has no value: {error}") from error
    raise ResolutionError(f"{expression}: expected Parameters, Execution or Steps")


def walk(value: Any, path: str) -> Any:
    """The value at a path like `Outputs['labels'].S3Output.S3Uri` or `TrainingJobSummaries[0].TrainingJobName`.

    Raises KeyError, IndexError or TypeError if there is none.
    """
    position = 0
    while position < len(path):
        match = PATH_PART.match(path, position)
        if match is None:
            raise KeyError(f"cannot read {path[position:]!r}")
        position = match.end()
        key, index, name = match.groups()
        if index is not None:
            value = value[int(index)]
        elif name is not None and isinstance(value, list):
            value = _named(value, name)
        else:
            value = value[name if name is not None else key]
    return value


def _named(items: list[Any], name: str) -> Any:
    for item in items:
        if any(item.get(field) == name for field in _NAMES):
            return item
    raise KeyError(name)


def _json_get(expression: dict[str, Any], values: Values) -> Any:
    if "S3Uri" in expression:
        # {"S3Uri": {"Std:Join": ...}, "Path": "a.b.value"}
        uri = as_text(resolve(expression["S3Uri"], values))
        place, document = uri, values.json_file(uri)
    else:
        # {"PropertyFile": {"Get": "Steps.EvaluateModel.PropertyFiles.Evaluation"}, "Path": "a.b.value"}
        _, step, _, file = expression["PropertyFile"]["Get"].split(".")
        place, document = f"property file {file} of step {step}", values.property_file(step, file)
    try:
        value = walk(document, expression["Path"])
    except (KeyError, IndexError, TypeError) as error:
        raise ResolutionError(f"{expression['Path']} is not in {place}") from error
    if isinstance(value, dict | list) or value is None:
        raise ResolutionError(f"{expression['Path']} in {place} is no single value")
    return value
