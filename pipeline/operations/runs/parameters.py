"""Values for a run's parameters, checked against the pipeline's declarations before the start."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.aws.parameter_values import typed
from pipeline.aws.validation import validate_values
from pipeline.settings import Settings
from pipeline.settings.parameters import declarations
from pipeline.settings.parameters import problems as declared_problems
from steps.contracts import package_properties
from steps.contracts.errors import PipelineError

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Parameter.html
VALUE_LIMIT = 1024
# Characters of a value in a message.
_SHOWN = 80


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


def defaults(definition: Mapping[str, Any]) -> dict[str, str]:
    """The defaults of a definition's parameters, as text; those without a default are left out."""
    declared = definition.get("Parameters", [])
    return {str(entry["Name"]): str(entry["DefaultValue"]) for entry in declared if "DefaultValue" in entry}


def checked(settings: Settings, definition: dict[str, Any], given: Mapping[str, str]) -> list[dict[str, str]]:
    """`given` as StartPipelineExecution's PipelineParameters, checked against the pipeline's definition and settings.

    Raises PipelineError with one line per unknown name, value of the wrong type, value that is not allowed, value that
    pipeline.yaml could not have in its place, and value with which SageMaker would refuse the request of a later step.
    """
    if lines := problems(settings, definition, given):
        raise PipelineError("\n".join(lines))
    return [{"Name": name, "Value": value} for name, value in given.items()]


def problems(settings: Settings, definition: dict[str, Any], given: Mapping[str, str]) -> list[str]:
    """The lines of `checked`'s error; none for values that are accepted."""
    declared = {str(parameter["Name"]): parameter for parameter in definition.get("Parameters", [])}
    lines = [problem for name, value in given.items() if (problem := _problem(declared, name, value))]
    return lines or list(declared_problems(settings, given)) or list(_refused_requests(definition, given))


def problems_by_name(settings: Settings, definition: dict[str, Any], given: Mapping[str, str]) -> dict[str, list[str]]:
    """The problems of each of the `given` parameters, for a form; those of none of them are under the empty name.

    Unlike `checked`, a value of the wrong type does not hide the problems of other values.
    """
    lines = problems(settings, definition, given)
    wrong = {name for line in lines if (name := _subject(line, given))}
    if wrong:
        rest = {name: value for name, value in given.items() if name not in wrong}
        lines += [line for line in problems(settings, definition, rest) if line not in lines]
    by_name: dict[str, list[str]] = {}
    for line in lines:
        by_name.setdefault(_subject(line, given), []).append(line)
    return by_name


def _subject(line: str, names: Iterable[str]) -> str:
    """The parameter that a problem begins with; empty where it begins with none."""
    word = line.split(" ", 1)[0].removesuffix(":")
    return word if word in names else ""


@dataclass(frozen=True)
class Field:
    """A parameter of a pipeline as a form shows it.

    `choices` are its only values, empty for any; `limits` are those of a number, in words.
    """

    name: str
    kind: str
    default: str
    description: str
    choices: tuple[str, ...]
    limits: str


def fields(settings: Settings, definition: Mapping[str, Any]) -> tuple[Field, ...]:
    """The parameters of a definition, with the limits and the meaning of their settings where they are of these."""
    return tuple(_field(settings, parameter) for parameter in definition.get("Parameters", []))


def _field(settings: Settings, parameter: Mapping[str, Any]) -> Field:
    name, kind = str(parameter["Name"]), str(parameter["Type"])
    declaration = declarations().get(name)
    limits = declaration.limits(settings) if declaration and kind in ("Integer", "Float") else ""
    return Field(
        name=name,
        kind=kind,
        default=str(parameter.get("DefaultValue", "")),
        description=(declaration.field.description or "") if declaration else "",
        choices=tuple(map(str, parameter.get("EnumValues", []))),
        limits=str(limits),
    )


def _refused_requests(definition: dict[str, Any], given: Mapping[str, str]) -> Iterator[str]:
    """A problem for each of the `given` values with which a step's request would be refused."""
    if not given:
        return
    without = validate_values(definition)
    for name, value in given.items():
        added = [problem for problem in validate_values(definition, {name: value}) if problem not in without]
        if not added:
            continue
        # A model package accepts less than other requests do, and its pattern is not for people.
        recorded = any("CustomerMetadataProperties" in problem.path for problem in added)
        if reason := package_properties.refusal(value) if recorded else "":
            yield f"{name} {reason}"
        else:
            yield f"{name} cannot be {_shown(value)}: {added[0]}"


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")


def _problem(declared: Mapping[str, Mapping[str, Any]], name: str, value: str) -> str | None:
    if name not in declared:
        close = difflib.get_close_matches(name, declared, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(declared)}"
        return f"the pipeline has no parameter {name}; {hint}"
    try:
        typed(declared[name]["Type"], value)
    except ValueError as error:
        return f"{name} needs {error}, not {_shown(value)}"
    allowed = declared[name].get("EnumValues")
    if allowed and value not in map(str, allowed):
        listed = list(map(str, allowed))
        if close := difflib.get_close_matches(value, listed, n=1):
            return f"{name} cannot be {_shown(value)}; did you mean {close[0]}? It is one of: {', '.join(listed)}"
        return f"{name} cannot be {_shown(value)}; it is one of: {', '.join(listed)}"
    if len(value) > VALUE_LIMIT:
        return f"{name} has {len(value):,} characters; SageMaker accepts at most {VALUE_LIMIT:,}"
    return None
