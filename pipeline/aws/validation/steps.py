"""Validates a step of a definition: its arguments by botocore's model of their request, and its other members.

The structure of the definition has been checked before (`schema`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipeline.aws import instances, step_cache
from pipeline.aws.expressions import targets
from pipeline.aws.validation.references import JOB_NAMES, References, output_names
from pipeline.aws.validation.shapes import Problem, check, service_model

Step = dict[str, Any]

# The operation whose request a step's arguments are, and the member that the service generates, by type of step.
REQUESTS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "Tuning": ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName"),
    "Transform": ("CreateTransformJob", "TransformJobName"),
    "AutoML": ("CreateAutoMLJobV2", "AutoMLJobName"),
    "Model": ("CreateModel", "ModelName"),
    "RegisterModel": ("CreateModelPackage", ""),
    "EndpointConfig": ("CreateEndpointConfig", "EndpointConfigName"),
    "Endpoint": ("CreateEndpoint", "EndpointName"),
}
# The members with a step's instances and their volumes' key.
_RESOURCES = {
    "Processing": ("ProcessingResources", "ClusterConfig"),
    "Training": ("ResourceConfig",),
    "Tuning": ("TrainingJobDefinition", "ResourceConfig"),
    "Transform": ("TransformResources",),
}
OTHER_TYPES = ("Condition", "Fail", "Lambda", "Callback", "QualityCheck", "ClarifyCheck", "EMR")
COMPARISONS = ("Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
CONDITIONS = (*COMPARISONS, "In", "Not", "Or")
# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
RETRIED_TYPES = ("Processing", "Training", "Tuning", "AutoML", "Model", "RegisterModel", "Transform")
EXCEPTIONS = (
    *("Step.SERVICE_FAULT", "Step.THROTTLING"),
    *("SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"),
)
_STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")


def check_step(step: Step, references: References) -> Iterator[Problem]:
    """All reasons for which SageMaker would refuse the step, without the steps in its branches."""
    name, kind = step["Name"], step["Type"]
    path = f"step {name or '?'}"
    if not _STEP_NAME.fullmatch(name):
        yield Problem(path, f"the name does not match {_STEP_NAME.pattern}")
    arguments = step.get("Arguments", {})
    if kind in REQUESTS:
        yield from _request(kind, arguments, path, references)
    elif kind == "Condition":
        if not arguments["Conditions"]:
            yield Problem(path, "must have at least one condition")
        yield from _conditions(arguments["Conditions"], f"{path}.Conditions", references)
    elif kind == "Fail":
        yield from _fail(arguments, path, references)
    elif kind == "Lambda":
        yield from _lambda(step, path, references)
    elif kind not in OTHER_TYPES:
        yield Problem(path, f"type {kind!r} is none of {', '.join(sorted([*REQUESTS, *OTHER_TYPES]))}")
    yield from check_job_names(arguments.get("Conditions") if kind == "Condition" else arguments, kind, path)
    yield from _dependencies(step, path, references)
    yield from _cache(step, path)
    yield from _retries(step, path)
    yield from _property_files(step, path)


def check_job_names(value: Any, kind: str, path: str) -> Iterator[Problem]:
    """The names of jobs that expressions in a step of type `kind` ask for, and that only another type of step has."""
    for target in dict.fromkeys(targets(value)):
        owner = next((owner for owner, name in JOB_NAMES.items() if target == f"Execution.{name}"), kind)
        if owner != kind:
            yield Problem(path, f"{target} has a value in the arguments of {owner} steps only")


def _dependencies(step: Step, path: str, references: References) -> Iterator[Problem]:
    """Steps that DependsOn may not name.

    "A condition step cannot be added as an explicit dependency in a subsequent step (pipeline creation will fail with
    an error if trying to do so)": https://github.com/aws/sagemaker-python-sdk/issues/3565
    """
    for target in step.get("DependsOn", []):
        if target not in references.steps:
            yield Problem(f"{path}.DependsOn", f"there is no step {target!r}")
        elif references.steps[target]["Type"] == "Condition":
            yield Problem(f"{path}.DependsOn", f"no step can depend on {target!r}, a Condition step: use its branches")


def _request(kind: str, arguments: dict[str, Any], path: str, references: References) -> Iterator[Problem]:
    operation, generated = REQUESTS[kind]
    request = {generated: "generated", **arguments} if generated else arguments
    shape = service_model("sagemaker").operation_model(operation).input_shape
    yield from check(request, shape, path, placeholder=references.check)
    yield from _volume(kind, arguments, path, references)


def _volume(kind: str, arguments: dict[str, Any], path: str, references: References) -> Iterator[Problem]:
    """Refuse a key, and a size above the disks', for instances with own disks; the service's model permits both.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProcessingClusterConfig.html
    """
    place = _RESOURCES.get(kind, ())
    resources: Any = arguments
    for member in place:
        resources = resources.get(member) if isinstance(resources, dict) else None
    if not place or not isinstance(resources, dict):
        return
    where, size = ".".join((path, *place)), resources.get("VolumeSizeInGB")
    for instance_type in references.values(resources.get("InstanceType")):
        if "VolumeKmsKeyId" in resources and instances.has_own_disks(instance_type):
            yield Problem(
                f"{where}.VolumeKmsKeyId", f"{instance_type} has disks of its own, for which SageMaker accepts no key"
            )
        if isinstance(size, int) and not instances.fits_volume(instance_type, size):
            most = instances.own_disk_gigabytes(instance_type)
            yield Problem(
                f"{where}.VolumeSizeInGB", f"{size} is more than the {most} GB of the disks that {instance_type} has"
            )


def _conditions(conditions: list[dict[str, Any]], path: str, references: References) -> Iterator[Problem]:
    for number, condition in enumerate(conditions):
        yield from _condition(condition, f"{path}[{number}]", references)


def _condition(condition: dict[str, Any], path: str, references: References) -> Iterator[Problem]:
    kind = condition["Type"]
    # Not has a Condition: AWS answers "unknown property 'Expression'", which SDK 2 sent before version 2.203.
    # https://github.com/aws/sagemaker-python-sdk/issues/2746, https://github.com/aws/sagemaker-python-sdk/pull/4351
    wanted = {"In": ("QueryValue", "Values"), "Not": ("Condition",), "Or": ("Conditions",)}
    if kind not in CONDITIONS:
        yield Problem(path, f"type {kind!r} is none of {', '.join(CONDITIONS)}")
        return
    for member in wanted.get(kind, ("LeftValue", "RightValue")):
        here = f"{path}.{member}"
        if member not in condition:
            yield Problem(path, f"{member} is missing")
        elif member == "Condition":
            yield from _condition(condition[member], here, references)
        elif member == "Conditions":
            yield from _conditions(condition[member], here, references)
        else:
            for value in condition[member] if member == "Values" else [condition[member]]:
                yield from references.check_flat(value, here, "a condition compares")


def _fail(arguments: dict[str, Any], path: str, references: References) -> Iterator[Problem]:
    message = arguments.get("ErrorMessage")
    if isinstance(message, str) or references.is_placeholder(message):
        yield from references.check_all(message, f"{path}.ErrorMessage")
    else:
        yield Problem(f"{path}.ErrorMessage", "must be text, or a Std:Join of text")


def _lambda(step: Step, path: str, references: References) -> Iterator[Problem]:
    arn = step.get("FunctionArn")
    if references.is_placeholder(arn):
        yield from references.check_all(arn, f"{path}.FunctionArn")
    elif not isinstance(arn, str) or not arn.startswith("arn:"):
        yield Problem(f"{path}.FunctionArn", "must be the function's ARN")
    else:
        shape = service_model("lambda").operation_model("Invoke").input_shape.members["FunctionName"]
        yield from check(arn, shape, f"{path}.FunctionArn")
    for name, value in step.get("Arguments", {}).items():
        yield from references.check_flat(value, f"{path}.Arguments.{name}", "a Lambda step accepts")
    for output in step.get("OutputParameters", []):
        if output["OutputType"] not in ("String", "Integer", "Float", "Boolean"):
            message = f"type {output['OutputType']!r} is none of String, Integer, Float, Boolean"
            yield Problem(f"{path}.OutputParameters", f"{output['OutputName']}: {message}")


def _cache(step: Step, path: str) -> Iterator[Problem]:
    expiry = step.get("CacheConfig", {}).get("ExpireAfter")
    if expiry is None:
        return
    try:
        step_cache.seconds(expiry)
    except ValueError:
        yield Problem(f"{path}.CacheConfig.ExpireAfter", f"{expiry!r} is no ISO 8601 duration such as PT12H or P30D")


def _retries(step: Step, path: str) -> Iterator[Problem]:
    policies = step.get("RetryPolicies", [])
    if policies and step["Type"] not in RETRIED_TYPES:
        yield Problem(f"{path}.RetryPolicies", f"only steps of type {', '.join(RETRIED_TYPES)} are retried")
    for number, policy in enumerate(policies):
        yield from _retry(policy, f"{path}.RetryPolicies[{number}]")


def _retry(policy: dict[str, Any], path: str) -> Iterator[Problem]:
    for kind in policy["ExceptionType"]:
        if kind not in EXCEPTIONS:
            yield Problem(path, f"exception type {kind!r} is none of {', '.join(EXCEPTIONS)}")
    if not policy["ExceptionType"]:
        yield Problem(path, f"must have at least one exception type of {', '.join(EXCEPTIONS)}")
    if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
        yield Problem(path, "must have either MaxAttempts or ExpireAfterMin")
    for key, low, high in (("MaxAttempts", 1, 20), ("ExpireAfterMin", 0, 14_400)):
        if key in policy and not low <= policy[key] <= high:
            yield Problem(f"{path}.{key}", f"{policy[key]} is not between {low} and {high}")
    for key in ("IntervalSeconds", "BackoffRate"):
        if policy.get(key, 0) < 0:
            yield Problem(f"{path}.{key}", "must not be negative")


def _property_files(step: Step, path: str) -> Iterator[Problem]:
    outputs = output_names(step)
    for file in step.get("PropertyFiles", []):
        if file["OutputName"] not in outputs:
            names, where = ", ".join(sorted(outputs)) or "none", f"{path}.PropertyFiles"
            yield Problem(where, f"the step has no output {file['OutputName']!r}; its outputs: {names}")
