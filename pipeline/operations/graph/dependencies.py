"""The steps of a definition and what each waits for: references, DependsOn, property files, branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pipeline.aws.validation.references import step_references
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class Step:
    """A step of a definition. `condition` is the name of the condition in whose branch it is, empty for none."""

    name: str
    kind: str
    """Its type in the definition, as `Processing`."""
    title: str
    """Its display name, else its name."""
    description: str = ""
    condition: str = ""
    branch: bool = True
    """Whether it is among the condition's IfSteps, and not among its ElseSteps."""


@dataclass(frozen=True)
class Dependency:
    """`target` waits for `source`. `branch` is that of the condition `source` which contains `target`, else None."""

    source: str
    target: str
    branch: bool | None = None


def steps_of(definition: Mapping[str, Any]) -> dict[str, Step]:
    """The steps by name, in the definition's order, those of branches after their condition.

    Raises PipelineError where two steps have the same name.
    """
    steps: dict[str, Step] = {}
    for step, _ in _walk(definition["Steps"]):
        if step.name in steps:
            raise PipelineError(f"the definition has two steps with the name {step.name!r}; rename one of them")
        steps[step.name] = step
    return steps


def dependencies(definition: Mapping[str, Any]) -> tuple[Dependency, ...]:
    """The dependencies that do not follow from others: of A to B, B to C and A to C, the last is left out.

    Raises PipelineError where a step waits for one that does not exist, or for itself by way of others.
    """
    steps, waits_for = steps_of(definition), {}
    for step, references in _walk(definition["Steps"]):
        if unknown := references - set(steps):
            raise PipelineError(f"{step.name} waits for the step {min(unknown)!r}, which the definition does not have")
        waits_for[step.name] = references | ({step.condition} if step.condition else set())
    before = _all_before(waits_for)
    return tuple(
        Dependency(source, step.name, step.branch if source == step.condition else None)
        for step in steps.values()
        for source in steps
        if source in waits_for[step.name] and not _follows(source, step, waits_for[step.name], steps, before)
    )


def _walk(steps: list[dict[str, Any]], condition: str = "", branch: bool = True) -> Iterator[tuple[Step, set[str]]]:
    for step in steps:
        name, arguments = step["Name"], step.get("Arguments", {})
        title, description = step.get("DisplayName") or name, step.get("Description", "")
        yield Step(name, step["Type"], title, description, condition, branch), set(step_references(step))
        if step["Type"] == "Condition":
            yield from _walk(arguments.get("IfSteps", []), name, True)
            yield from _walk(arguments.get("ElseSteps", []), name, False)


def _all_before(waits_for: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """All steps that end before each step begins."""
    before: dict[str, set[str]] = {}
    try:
        for name in TopologicalSorter(waits_for).static_order():
            before[name] = waits_for[name].union(*(before[source] for source in waits_for[name]))
    except CycleError as error:
        raise PipelineError(f"steps of the definition wait for each other: {' -> '.join(error.args[1])}") from error
    return before


def _follows(
    source: str, step: Step, waits_for: set[str], steps: Mapping[str, Step], before: Mapping[str, set[str]]
) -> bool:
    """Whether the step's other dependencies already lead to `source`.

    A step's place in a branch follows only from a step of the same branch.
    """
    others = waits_for - {source}
    if source == step.condition:
        return any(_is_in_branch(steps[other], source, step.branch, steps) for other in others)
    return any(source in before[other] for other in others)


def _is_in_branch(step: Step, condition: str, branch: bool, steps: Mapping[str, Step]) -> bool:
    while step.condition:
        if step.condition == condition:
            return step.branch is branch
        step = steps[step.condition]
    return False
