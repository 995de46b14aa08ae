"""Selective execution: which steps may be selected, and the results of an earlier execution that they use.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-selective-ex.html and
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_SelectiveExecutionConfig.html. Only the message about
missing dependencies is AWS's own text (https://github.com/aws/sagemaker-python-sdk/issues/4444); the others are not
recorded anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.local.context import Request, now
from pipeline.local.sagemaker.plan import PlannedStep
from pipeline.local.sagemaker.resources import chosen, invalid


def reused(planned: Mapping[str, PlannedStep], selected: list[str], source: Request | None) -> dict[str, Request]:
    """The steps that `source` has done for the selected ones, as steps of the new execution.

    Raises ServiceError for a selection that AWS refuses, and for a source that lacks what the selected steps need.
    """
    _check_selection(planned, selected)
    needed = sorted({name for step in selected for name in planned[step].parents} - set(selected))
    if source is None:
        if needed:
            raise invalid(
                f"Invalid SourcePipelineExecutionArn: null. The selected steps [{', '.join(selected)}] have"
                f" dependencies on [{', '.join(needed)}]"
            )
        return {}
    arn, at = source["PipelineExecutionArn"], now()
    # The reference says "Failed or Success", the SDK's documentation "Stopped, Failed, or Succeeded".
    if (status := source["PipelineExecutionStatus"]) not in ("Succeeded", "Failed", "Stopped"):
        raise invalid(f"Invalid SourcePipelineExecutionArn: {arn}. The execution is {status}.")
    done = {name: step for name, step in source["Steps"].items() if step["StepStatus"] == "Succeeded"}
    if missing := [name for name in needed if name not in done]:
        raise invalid(
            f"Invalid SourcePipelineExecutionArn: {arn}. The selected steps [{', '.join(selected)}] have dependencies"
            f" on [{', '.join(missing)}], which did not succeed in that execution."
        )
    _check_branches(planned, selected, done, arn)
    upstream = set().union(*(_ancestors(planned, name) for name in selected)) - set(selected)
    return {name: _copied(done[name], arn, at) for name in planned if name in upstream and name in done}


def _check_selection(planned: Mapping[str, PlannedStep], selected: list[str]) -> None:
    """Selected steps exist, are connected, and no step on a path between two of them is left out."""
    if unknown := [name for name in selected if name not in planned]:
        raise invalid(f"Invalid SelectedSteps: the pipeline has no step [{', '.join(unknown)}].")
    ancestors = {name: _ancestors(planned, name) for name in planned}
    chosen_steps = set(selected)
    between = [
        name
        for name in planned
        if name not in chosen_steps
        and ancestors[name] & chosen_steps
        and any(name in ancestors[step] for step in selected)
    ]
    if between:
        raise invalid(
            "Invalid SelectedSteps: all steps in all paths between two selected steps must be selected;"
            f" [{', '.join(between)}] are not."
        )
    # "any subset of steps as long as they are connected in the directed acyclic graph (DAG)": by the letter, two steps
    # with nothing but an unselected step in common are not.
    reached, last = {selected[0]}, set[str]()
    while reached != last:
        last = set(reached)
        reached |= {name for name in chosen_steps if planned[name].parents & last}
        reached |= {parent for name in last for parent in planned[name].parents & chosen_steps}
    if apart := sorted(chosen_steps - reached):
        raise invalid(f"Invalid SelectedSteps: [{', '.join(apart)}] are not connected with {selected[0]}.")


def _check_branches(planned: Mapping[str, PlannedStep], selected: list[str], done: Mapping[str, Any], arn: str) -> None:
    """Refuse a step of a branch that the source's condition did not choose: it could not run (assumed)."""
    for name in selected:
        condition, branch = planned[name].condition, planned[name].branch
        if condition is None or condition in selected:
            continue
        if done[condition]["Properties"]["Outcome"] != branch:
            raise invalid(f"Invalid SelectedSteps: [{name}] is in the branch of {condition} that {arn} did not take.")


def _ancestors(planned: Mapping[str, PlannedStep], name: str) -> set[str]:
    """All steps that a step waits for, directly or by others."""
    ancestors, unread = set[str](), [name]
    while unread:
        new = planned[unread.pop()].parents - ancestors
        ancestors |= new
        unread += new
    return ancestors


def _copied(step: Request, arn: str, at: float) -> Request:
    return {
        **chosen(step, ("StepName", "StepDisplayName", "StepDescription", "StepStatus", "Metadata", "Properties")),
        "StartTime": at,
        "EndTime": at,
        "SelectiveExecutionResult": {"SourcePipelineExecutionArn": arn},
    }
