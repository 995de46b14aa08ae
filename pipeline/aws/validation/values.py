"""A definition with the values of a run: the requests of its steps, as far as they are determined before the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.expressions import as_text
from pipeline.aws.parameter_values import typed
from pipeline.aws.validation.definition import validate_definition
from pipeline.aws.validation.shapes import Problem

# An execution's id has 12 characters in the examples of DescribePipelineExecution and in recorded runs; its length
# counts in the URIs that contain it.
_EXECUTION = {"Execution.PipelineExecutionId": "a1b2c3d4e5f6"}


def validate_values(definition: dict[str, Any], values: Mapping[str, str] | None = None) -> list[Problem]:
    """The reasons for which SageMaker would refuse a request of a run with `values`; other parameters are defaults.

    The values must be of their parameters' types. A definition that is refused in itself has its own problems.
    """
    defaults = {
        parameter["Name"]: parameter["DefaultValue"]
        for parameter in definition.get("Parameters", [])
        if "DefaultValue" in parameter
    }
    kinds = {parameter["Name"]: parameter["Type"] for parameter in definition.get("Parameters", [])}
    defaults |= {name: typed(kinds[name], value) for name, value in (values or {}).items()}
    contents = _EXECUTION | {f"Parameters.{name}": value for name, value in defaults.items()}
    return validate_definition({**definition, "Steps": _substituted(definition.get("Steps"), contents)})


def _substituted(value: Any, contents: Mapping[str, Any]) -> Any:
    """`value` with the expressions in `contents` replaced, and each Std:Join joined that has no other ones."""
    if isinstance(value, list):
        return [_substituted(item, contents) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Get": str(target)} if len(value) == 1:
            return contents.get(target, value)
        case {"Std:Join": {"On": str(on), "Values": [*items]}} if len(value) == 1:
            parts = [_substituted(item, contents) for item in items]
            if any(isinstance(part, dict | list) for part in parts):
                return {"Std:Join": {"On": on, "Values": parts}}
            return on.join(map(as_text, parts))
    return {key: _substituted(item, contents) for key, item in value.items()}
