"""Values for a run's parameters, checked against the pipeline's declarations before the start."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from steps.contracts.errors import PipelineError

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Parameter.html
VALUE_LIMIT = 1024


def _is_finite(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


# What a value of each type has to be, in words and as a test.
_TYPES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "String": ("text that is not empty", bool),
    "Integer": ("a whole number", lambda value: re.fullmatch(r"[+-]?[0-9]+", value) is not None),
    "Float": ("a number", _is_finite),
    "Boolean": ("true or false", lambda value: value.lower() in ("true", "false")),
}


def parse(assignments: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` strings as a mapping. Raises PipelineError for any other string, and for a repeated name."""
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise PipelineError(f"{assignment!r} is no parameter; write NAME=VALUE, as in Epochs=5")
        if name in values:
            raise PipelineError(f"the parameter {name} is given twice")
        values[name] = value
    return values


def checked(declared: Iterable[Mapping[str, Any]], given: Mapping[str, str]) -> list[dict[str, str]]:
    """`given` as StartPipelineExecution's PipelineParameters, checked against the definition's `Parameters`.

    Raises PipelineError with one line per unknown name, value of the wrong type or value that is not allowed.
    """
    by_name = {str(parameter["Name"]): parameter for parameter in declared}
    if problems := [problem for name, value in given.items() if (problem := _problem(by_name, name, value))]:
        raise PipelineError("\n".join(problems))
    return [{"Name": name, "Value": value} for name, value in given.items()]


def _problem(declared: Mapping[str, Mapping[str, Any]], name: str, value: str) -> str | None:
    if name not in declared:
        close = difflib.get_close_matches(name, declared, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(declared)}"
        return f"the pipeline has no parameter {name}; {hint}"
    wanted, is_valid = _TYPES[declared[name]["Type"]]
    if not is_valid(value):
        return f"{name} needs {wanted}, not {value!r}"
    allowed = declared[name].get("EnumValues")
    if allowed and value not in map(str, allowed):
        return f"{name} cannot be {value!r}; it is one of: {', '.join(map(str, allowed))}"
    if len(value) > VALUE_LIMIT:
        return f"{name} has {len(value):,} characters; SageMaker accepts at most {VALUE_LIMIT:,}"
    return None
