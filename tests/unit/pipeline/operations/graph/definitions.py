"""Definitions to draw."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests import golden


def job(name: str, *after: str, kind: str = "Processing", **more: Any) -> dict[str, Any]:
    """A step that waits for others."""
    return {"Name": name, "Type": kind, "Arguments": {}, "DependsOn": list(after), **more}


def condition(name: str, after: str, then: list[dict[str, Any]], otherwise: list[dict[str, Any]]) -> dict[str, Any]:
    """A condition on a file of a step; no step can be named by its DependsOn."""
    file = {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{after}.PropertyFiles.F"}, "Path": "a"}}
    comparison = {"Type": "Equals", "LeftValue": file, "RightValue": 1}
    arguments = {"Conditions": [comparison], "IfSteps": then, "ElseSteps": otherwise}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def definition(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2020-12-01", "Parameters": [], "Steps": list(steps)}


def reviewed() -> dict[str, Any]:
    """The pipeline's definition in its file."""
    document: dict[str, Any] = json.loads(golden.path("prod").read_text())
    return document


def all_steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps with those of branches."""
    branches = [step["Arguments"].get(key, []) for step in steps for key in ("IfSteps", "ElseSteps")]
    return [*steps, *(inner for branch in branches for inner in all_steps(branch))]


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Steps that wait for some of those before them, and conditions with steps in their branches, in any order."""
    count = draw(st.integers(0, 14))
    names = [f"S{number}" for number in range(count)]
    steps: list[dict[str, Any]] = []
    places = [steps]
    waited: list[str] = []
    for name in names:
        # A step before this one, of whatever branch: nothing in the graph forbids it.
        after = draw(st.lists(st.sampled_from(waited), max_size=3, unique=True)) if waited else []
        place = draw(st.sampled_from(places))
        if after and draw(st.booleans()):
            then: list[dict[str, Any]] = []
            otherwise: list[dict[str, Any]] = []
            place.append(condition(name, after[0], then, otherwise))
            places += [then, otherwise]
        else:
            place.append(job(name, *after))
            waited.append(name)
    return definition(*draw(st.permutations(steps)))
