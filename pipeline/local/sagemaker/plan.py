"""The steps of a definition as a graph: what each waits for, and the branch of a condition that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.aws import expressions

Step = dict[str, Any]


@dataclass(frozen=True)
class PlannedStep:
    """A step, the steps it waits for, and the condition and branch that it belongs to."""

    step: Step
    waits_for: frozenset[str]
    condition: str | None = None
    branch: bool = True

    @property
    def parents(self) -> frozenset[str]:
        """The steps before it in the graph: those it waits for, and its condition."""
        return self.waits_for if self.condition is None else self.waits_for | {self.condition}


def plan(steps: list[Step]) -> dict[str, PlannedStep]:
    """All steps by name, including those in branches of conditions."""
    return {planned.step["Name"]: planned for planned in _plan(steps, None, True)}


def _plan(steps: list[Step], condition: str | None, branch: bool) -> Iterator[PlannedStep]:
    for step in steps:
        arguments, is_condition = step.get("Arguments", {}), step["Type"] == "Condition"
        referring = arguments["Conditions"] if is_condition else [arguments, step.get("FunctionArn")]
        references = expressions.references(referring)
        yield PlannedStep(step, frozenset({*references, *step.get("DependsOn", [])}), condition, branch)
        if is_condition:
            yield from _plan(arguments.get("IfSteps", []), step["Name"], True)
            yield from _plan(arguments.get("ElseSteps", []), step["Name"], False)
