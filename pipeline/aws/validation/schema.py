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


def _structure(members: str) -> dict[str, Any]:
    """A structure with members `Name:Shape`; an exclamation mark after the shape means that the member is required."""
    shapes = dict(member.split(":") for member in members.split())
    return {
        "type": "structure",
        "required": [name for name, shape in shapes.items() if shape.endswith("!")],
        "members": {name: {"shape": shape.removesuffix("!")} for name, shape in shapes.items()},
    }


def _list(member: str) -> dict[str, Any]:
    return {"type": "list", "member": {"shape": member}}


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
        "Version:String! Metadata:Object Parameters:Parameters PipelineExperimentConfig:ExperimentConfig"
        " MlflowConfig:Object Steps:Steps!"
    ),
    "Parameters": _list("Parameter"),
    "Parameter": _structure("Name:String! Type:String! Description:String DefaultValue:JSON EnumValues:Values"),
    "ExperimentConfig": _structure("ExperimentName:JSON TrialName:JSON"),
    "Steps": _list("Step"),
    "Step": _structure(
        "Name:String! Type:String! DisplayName:String Description:String Arguments:Object DependsOn:Strings"
        " CacheConfig:CacheConfig RetryPolicies:RetryPolicies PropertyFiles:PropertyFiles"
        " OutputParameters:OutputParameters"
        # Members of some types of step only: Lambda, Callback, EMR, and the checks of data and models.
        " FunctionArn:JSON SqsQueueUrl:JSON ClusterId:JSON ClusterConfig:JSON ExecutionRoleArn:JSON CheckType:JSON"
        " ModelPackageGroupName:JSON SkipCheck:JSON FailOnViolation:JSON RegisterNewBaseline:JSON"
        " SuppliedBaselineStatistics:JSON SuppliedBaselineConstraints:JSON"
    ),
    "CacheConfig": _structure("Enabled:Boolean! ExpireAfter:String"),
    "RetryPolicies": _list("RetryPolicy"),
    "RetryPolicy": _structure(
        "ExceptionType:Strings! IntervalSeconds:Integer BackoffRate:Float MaxAttempts:Integer ExpireAfterMin:Integer"
    ),
    "PropertyFiles": _list("PropertyFile"),
    "PropertyFile": _structure("PropertyFileName:String! OutputName:String! FilePath:String!"),
    "OutputParameters": _list("OutputParameter"),
    "OutputParameter": _structure("OutputName:String! OutputType:String!"),
    "ConditionArguments": _structure("Conditions:Conditions! IfSteps:Steps ElseSteps:Steps"),
    "Conditions": _list("Condition"),
    "Condition": _structure(
        "Type:String! LeftValue:JSON RightValue:JSON QueryValue:JSON Values:Values Condition:Condition"
        " Conditions:Conditions"
    ),
    "FailArguments": _structure("ErrorMessage:JSON"),
}
_ARGUMENTS = {"Condition": "ConditionArguments", "Fail": "FailArguments"}
# Members of a definition that the SDKs send as null where there is nothing: Pipeline.definition in
# sagemaker/mlops/workflow/pipeline.py (SDK 3), and sagemaker/workflow/pipeline.py (SDK 2) for the first one.
_NULLABLE = ("PipelineExperimentConfig", "MlflowConfig")


@functools.cache
def _shape(name: str) -> Shape:
    from botocore.model import ShapeResolver

    return ShapeResolver(_SHAPES).get_shape_by_name(name)


def check_structure(definition: Any) -> Iterator[Problem]:
    """The members of a definition that have a wrong type, are missing, or are unknown.

    A definition without problems can be read without checks of types: objects are dicts, names are text.
    """
    if isinstance(definition, dict):
        definition = {key: value for key, value in definition.items() if value is not None or key not in _NULLABLE}
    problems = list(check(definition, _shape("Definition"), ""))
    yield from problems or _steps(definition["Steps"])


def branches(step: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps in the branches of a condition; empty for other steps."""
    arguments = step.get("Arguments", {}) if step["Type"] == "Condition" else {}
    return [*arguments.get("IfSteps", []), *arguments.get("ElseSteps", [])]


def _steps(steps: list[dict[str, Any]]) -> Iterator[Problem]:
    for step in steps:
        if step["Type"] in _ARGUMENTS:
            shape = _shape(_ARGUMENTS[step["Type"]])
            problems = list(check(step.get("Arguments", {}), shape, f"step {step['Name']}"))
            yield from problems or _steps(branches(step))
