"""Validates a compiled pipeline definition.

https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/ (version 2020-12-01)
and, for the steps' arguments, botocore's model of the requests that the service sends with them.
"""

from __future__ import annotations

import graphlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pipeline.aws.validation.references import References, step_references
from pipeline.aws.validation.schema import branches, check_structure
from pipeline.aws.validation.shapes import Problem
from pipeline.aws.validation.steps import Step, check_job_names, check_step

VERSION = "2020-12-01"
MAX_CHARACTERS = 1_048_576
MAX_PARAMETERS = 200
PARAMETER_TYPES: dict[str, type | tuple[type, ...]] = {
    "String": str,
    "Integer": int,
    "Float": (int, float),
    "Boolean": bool,
}
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_]{0,255}")


def validate_definition(definition: dict[str, Any]) -> list[Problem]:
    """All reasons for which SageMaker would refuse the definition.

    If the structure is wrong, or the definition is too large, no other reasons are listed.
    """
    if problems := list(check_structure(definition)) or list(_size(definition)):
        return problems
    if definition["Version"] != VERSION:
        problems.append(Problem("Version", f"must be {VERSION!r}, not {definition['Version']!r}"))
    if not definition["Steps"]:
        problems.append(Problem("Steps", "must have at least one step"))
    problems += _parameters(definition.get("Parameters", []))
    steps = list(all_steps(definition["Steps"]))
    names = [step["Name"] for step in steps]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(Problem(f"step {name}", "two steps have this name"))
    references = References(definition.get("Parameters", []), {step["Name"]: step for step in steps})
    for name in ("ExperimentName", "TrialName"):
        value = (definition.get("PipelineExperimentConfig") or {}).get(name, "")
        if not isinstance(value, str) and not references.is_placeholder(value):
            problems.append(Problem(f"PipelineExperimentConfig.{name}", "must be text, or a placeholder for text"))
        problems += references.check_all(value, f"PipelineExperimentConfig.{name}")
        problems += check_job_names(value, "", f"PipelineExperimentConfig.{name}")
    for step in steps:
        problems += check_step(step, references)
    return problems + list(_cycles(steps))


def all_steps(steps: list[Step]) -> Iterator[Step]:
    """The steps, including those in branches of conditions."""
    for step in steps:
        yield step
        yield from all_steps(branches(step))


def _size(definition: dict[str, Any]) -> Iterator[Problem]:
    """A problem that names the largest part: in a pipeline of few steps, one text in the settings is too long."""
    size = _characters(definition)
    if size > MAX_CHARACTERS:
        parts = {key: _characters(value) for key, value in definition.items() if key not in ("Parameters", "Steps")}
        for parameter in definition.get("Parameters", []):
            parts[f"parameter {parameter['Name']}"] = _characters(parameter)
        for step in definition["Steps"]:
            parts[f"step {step['Name']}"] = _characters(step)
        largest = max(parts, key=lambda part: parts[part])
        yield Problem(
            "definition",
            f"{size} characters, at most {MAX_CHARACTERS} allowed; {parts[largest]} of them are {largest}:"
            " shorten the settings in it",
        )


def _characters(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[Problem]:
    if len(parameters) > MAX_PARAMETERS:
        yield Problem("Parameters", f"{len(parameters)} parameters, at most {MAX_PARAMETERS} allowed")
    seen: set[str] = set()
    for parameter in parameters:
        path = f"parameter {parameter['Name'] or '?'}"
        if parameter["Name"] in seen:
            yield Problem(path, "two parameters have this name")
        seen.add(parameter["Name"])
        yield from _parameter(parameter, path)


def _parameter(parameter: dict[str, Any], path: str) -> Iterator[Problem]:
    if not _PARAMETER_NAME.fullmatch(parameter["Name"]):
        yield Problem(path, f"the name does not match {_PARAMETER_NAME.pattern}")
    kind = parameter["Type"]
    if kind not in PARAMETER_TYPES:
        yield Problem(path, f"type {kind!r} is none of {', '.join(PARAMETER_TYPES)}")
        return
    allowed = parameter.get("EnumValues")
    for value in allowed or []:
        if not _is_of(value, kind):
            yield Problem(path, f"the value {value!r} is no {kind}")
    if "DefaultValue" not in parameter:
        return
    default = parameter["DefaultValue"]
    if not _is_of(default, kind):
        yield Problem(path, f"the default {default!r} is no {kind}")
    elif allowed is not None and default not in allowed:
        yield Problem(path, f"the default {default!r} is none of {', '.join(map(str, allowed))}")


def _is_of(value: Any, kind: str) -> bool:
    # A boolean is an integer in Python, but not in SageMaker.
    return isinstance(value, PARAMETER_TYPES[kind]) and isinstance(value, bool) == (kind == "Boolean")


def _cycles(steps: list[Step]) -> Iterator[Problem]:
    """Steps that wait for each other. A step in a branch also waits for its condition."""
    waits: defaultdict[str, set[str]] = defaultdict(set)
    for step in steps:
        waits[step["Name"]].update(step_references(step))
        for inner in branches(step):
            waits[inner["Name"]].add(step["Name"])
    try:
        graphlib.TopologicalSorter({name: sorted(targets & set(waits)) for name, targets in waits.items()}).prepare()
    except graphlib.CycleError as error:
        cycle = sorted(set(error.args[1]))
        yield Problem(f"step {cycle[0]}", f"steps wait for each other: {', '.join(cycle)}")
