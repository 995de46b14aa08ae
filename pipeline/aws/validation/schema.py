"""The structure of a pipeline definition: its objects, lists, texts and numbers.

https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/ (version 2020-12-01) in
the form of botocore's models, so that the same code checks definitions and requests. Values of the shape `JSON` are
checked elsewhere: by the service's model, or in `definition`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from pipeline.aws.validation.shapes import Problem, Shape, check


def _structure(required: str = "", **members: str) -> dict[str, Any]:
    return {
        "type": "structure",
        "required": required.split(),
        "members": {name: {"shape": shape} for name, shape in members.items()},
    }


def _list(member: str) -> dict[str, Any]:
    return {"type": "list", "member": {"shape": member}}


# Members of some types of step only: Lambda, Callback, EMR, and the checks of data and models.
_OTHER_MEMBERS = (
    *("FunctionArn", "SqsQueueUrl", "ClusterId", "ClusterConfig", "ExecutionRoleArn", "CheckType"),
    *("ModelPackageGroupName", "SkipCheck", "FailOnViolation", "RegisterNewBaseline"),
    *("SuppliedBaselineStatistics", "SuppliedBaselineConstraints"),
)
_SHAPES: dict[str, dict[str, Any]] = {
    "String": {"type": "string"},
    "Boolean": {"type": "boolean"},
    "Integer": {"type": "integer"},
    "Float": {"type": "double"},
    "JSON": {"type": "structure", "members": {}, "document": True},
    "Object": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "JSON"}},
    "Strings": _list("String"),
    "Values": _list("JSON"),
    "Definition": _structure(
        "Version Steps",
        Version="String",
        Metadata="Object",
        Parameters="Parameters",
        PipelineExperimentConfig="ExperimentConfig",
        MlflowConfig="Object",
        Steps="Steps",
    ),
    "Parameters": _list("Parameter"),
    "Parameter": _structure("Name Type", Name="String", Type="String", DefaultValue="JSON", EnumValues="Values"),
    "ExperimentConfig": _structure(ExperimentName="JSON", TrialName="JSON"),
    "Steps": _list("Step"),
    "Step": _structure(
        "Name Type",
        Name="String",
        Type="String",
        DisplayName="String",
        Description="String",
        Arguments="Object",
        DependsOn="Strings",
        CacheConfig="CacheConfig",
        RetryPolicies="RetryPolicies",
        PropertyFiles="PropertyFiles",
        OutputParameters="OutputParameters",
        **dict.fromkeys(_OTHER_MEMBERS, "JSON"),
    ),
    "CacheConfig": _structure("Enabled", Enabled="Boolean", ExpireAfter="String"),
    "RetryPolicies": _list("RetryPolicy"),
    "RetryPolicy": _structure(
        "ExceptionType",
        ExceptionType="Strings",
        IntervalSeconds="Integer",
        BackoffRate="Float",
        MaxAttempts="Integer",
        ExpireAfterMin="Integer",
    ),
    "PropertyFiles": _list("PropertyFile"),
    "PropertyFile": _structure(
        "PropertyFileName OutputName FilePath", PropertyFileName="String", OutputName="String", FilePath="String"
    ),
    "OutputParameters": _list("OutputParameter"),
    "OutputParameter": _structure("OutputName OutputType", OutputName="String", OutputType="String"),
    "ConditionArguments": _structure("Conditions", Conditions="Conditions", IfSteps="Steps", ElseSteps="Steps"),
    "Conditions": _list("Condition"),
    "Condition": _structure(
        "Type",
        Type="String",
        LeftValue="JSON",
        RightValue="JSON",
        QueryValue="JSON",
        Values="Values",
        Expression="Condition",
        Conditions="Conditions",
    ),
    "FailArguments": _structure(ErrorMessage="JSON"),
}
_ARGUMENTS = {"Condition": "ConditionArguments", "Fail": "FailArguments"}


@functools.cache
def _shape(name: str) -> Shape:
    from botocore.model import ShapeResolver

    return ShapeResolver(_SHAPES).get_shape_by_name(name)


def check_structure(definition: Any) -> Iterator[Problem]:
    """The members of a definition that have a wrong type, are missing, or are unknown.

    A definition without problems can be read without checks of types: objects are dicts, names are text.
    """
    problems = list(check(definition, _shape("Definition"), ""))
    yield from problems
    if not problems:
        yield from _steps(definition["Steps"])


def _steps(steps: list[dict[str, Any]]) -> Iterator[Problem]:
    for step in steps:
        shape = _ARGUMENTS.get(step["Type"])
        if shape is None:
            continue
        arguments = step.get("Arguments", {})
        problems = list(check(arguments, _shape(shape), f"step {step['Name']}"))
        yield from problems
        if not problems:
            yield from _steps(arguments.get("IfSteps", []) + arguments.get("ElseSteps", []))
