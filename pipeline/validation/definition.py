"""A compiled pipeline definition against what SageMaker Pipelines takes.

https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/ (version 2020-12-01)
and, for the steps' arguments, botocore's model of the requests that the service makes of them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.validation.references import References, step_references
from pipeline.validation.shapes import Problem, check, service_model

Step = dict[str, Any]

VERSION = "2020-12-01"
MAX_CHARACTERS = 1_048_576
MAX_PARAMETERS = 200
PARAMETER_TYPES = {"String": str, "Integer": int, "Float": (int, float), "Boolean": bool}
# Type of step -> the operation whose request its arguments are, and the member that the service fills in.
REQUESTS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "Tuning": ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName"),
    "Transform": ("CreateTransformJob", "TransformJobName"),
    "Model": ("CreateModel", "ModelName"),
    "RegisterModel": ("CreateModelPackage", ""),
    "EndpointConfig": ("CreateEndpointConfig", "EndpointConfigName"),
    "Endpoint": ("CreateEndpoint", "EndpointName"),
}
OTHER_TYPES = ("Condition", "Fail", "Lambda", "Callback", "QualityCheck", "ClarifyCheck", "EMR", "AutoML")
COMPARISONS = ("Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
EXCEPTIONS = (
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)
_STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_]{0,255}")
_DURATION = re.compile(r"P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?")
_TOP = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "Steps", "MlflowConfig")


def validate_definition(definition: dict[str, Any]) -> list[Problem]:
    """Every reason for which SageMaker would refuse the definition; an empty list where there is none."""
    problems = list(_top(definition))
    steps = definition.get("Steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in all_steps(steps)):
        return problems
    names = [step.get("Name") for step in all_steps(steps)]
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        problems.append(Problem(f"step {name}", "two steps have this name"))
    references = References(definition.get("Parameters", []), {step.get("Name", ""): step for step in all_steps(steps)})
    for step in all_steps(steps):
        problems += _step(step, references)
    return problems + list(_cycles(steps))


def all_steps(steps: list[Any]) -> Iterator[Any]:
    """The steps, and those in the branches of conditions."""
    for step in steps:
        yield step
        if isinstance(step, dict) and step.get("Type") == "Condition":
            arguments = step.get("Arguments", {})
            yield from all_steps(arguments.get("IfSteps", []) + arguments.get("ElseSteps", []))


# ---------------------------------------------------------------------------------------------------- the whole


def _top(definition: dict[str, Any]) -> Iterator[Problem]:
    size = len(json.dumps(definition, separators=(",", ":")))
    if size > MAX_CHARACTERS:
        yield Problem("definition", f"{size} characters, at most {MAX_CHARACTERS} allowed")
    if definition.get("Version") != VERSION:
        yield Problem("Version", f"want {VERSION!r}, not {definition.get('Version')!r}")
    for key in definition:
        if key not in _TOP:
            yield Problem(key, f"unknown; a definition has {', '.join(_TOP)}")
    steps = definition.get("Steps")
    if not isinstance(steps, list) or not steps:
        yield Problem("Steps", "want at least one step")
    yield from _parameters(definition.get("Parameters", []))


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[Problem]:
    if len(parameters) > MAX_PARAMETERS:
        yield Problem("Parameters", f"{len(parameters)} parameters, at most {MAX_PARAMETERS} allowed")
    seen: set[str] = set()
    for parameter in parameters:
        name = str(parameter.get("Name", ""))
        path = f"parameter {name or '?'}"
        if not _PARAMETER_NAME.fullmatch(name):
            yield Problem(path, f"the name does not match {_PARAMETER_NAME.pattern}")
        if name in seen:
            yield Problem(path, "two parameters have this name")
        seen.add(name)
        kind = PARAMETER_TYPES.get(parameter.get("Type", ""))
        if kind is None:
            yield Problem(path, f"type {parameter.get('Type')!r} is none of {', '.join(PARAMETER_TYPES)}")
            continue
        default, allowed = parameter.get("DefaultValue"), parameter.get("EnumValues")
        if default is not None and (
            not isinstance(default, kind) or (isinstance(default, bool) and parameter["Type"] != "Boolean")  # type: ignore[arg-type]
        ):
            yield Problem(path, f"the default {default!r} is no {parameter['Type']}")
        if default is not None and allowed is not None and default not in allowed:
            yield Problem(path, f"the default {default!r} is none of {', '.join(map(str, allowed))}")


def _cycles(steps: list[Step]) -> Iterator[Problem]:
    """Steps that wait for each other; a step in a branch waits for its condition too."""
    waits: dict[str, set[str]] = {}

    def collect(inner: list[Step], condition: str | None) -> None:
        for step in inner:
            name = step.get("Name", "")
            waits.setdefault(name, set()).update(step_references(step))
            if condition is not None:
                waits[name].add(condition)
            if step.get("Type") == "Condition":
                arguments = step.get("Arguments", {})
                collect(arguments.get("IfSteps", []) + arguments.get("ElseSteps", []), name)

    collect(steps, None)
    waiting = {name: targets & set(waits) for name, targets in waits.items()}
    while ready := [name for name, targets in waiting.items() if not targets]:
        for name in ready:
            del waiting[name]
        for targets in waiting.values():
            targets.difference_update(ready)
    # What only comes after a cycle is not part of it.
    while last := [name for name in waiting if not any(name in targets for targets in waiting.values())]:
        for name in last:
            del waiting[name]
    if waiting:
        yield Problem(f"step {min(waiting)}", f"steps wait for each other: {', '.join(sorted(waiting))}")


# ------------------------------------------------------------------------------------------------------ one step


def _step(step: Step, references: References) -> Iterator[Problem]:
    name = str(step.get("Name", ""))
    path = f"step {name or '?'}"
    if not _STEP_NAME.fullmatch(name):
        yield Problem(path, f"the name does not match {_STEP_NAME.pattern}")
    kind = step.get("Type")
    arguments = step.get("Arguments", {})
    if kind in REQUESTS:
        yield from _request(kind, arguments, path, references)
    elif kind == "Condition":
        yield from _conditions(arguments.get("Conditions", []), f"{path}.Conditions", references)
        if not arguments.get("Conditions"):
            yield Problem(path, "want at least one condition")
    elif kind == "Fail":
        yield from _fail(arguments, path, references)
    elif kind == "Lambda":
        yield from _lambda(step, path, references)
    elif kind not in OTHER_TYPES:
        known = sorted([*REQUESTS, *OTHER_TYPES])
        yield Problem(path, f"type {kind!r} is none of {', '.join(known)}")
    for target in step.get("DependsOn", []):
        if target not in references.steps:
            yield Problem(f"{path}.DependsOn", f"there is no step {target!r}")
    yield from _cache(step, path)
    for number, policy in enumerate(step.get("RetryPolicies", [])):
        yield from _retry(policy, f"{path}.RetryPolicies[{number}]")
    yield from _property_files(step, path)


def _request(kind: str, arguments: Any, path: str, references: References) -> Iterator[Problem]:
    operation, generated = REQUESTS[kind]
    if not isinstance(arguments, dict):
        yield Problem(path, "Arguments want an object")
        return
    request = {generated: "generated", **arguments} if generated else arguments
    shape = service_model("sagemaker").operation_model(operation).input_shape
    yield from check(request, shape, path, placeholder=references.check)


def _conditions(conditions: list[dict[str, Any]], path: str, references: References) -> Iterator[Problem]:
    for number, condition in enumerate(conditions):
        here = f"{path}[{number}]"
        kind = condition.get("Type")
        if kind in COMPARISONS:
            operands = ("LeftValue", "RightValue")
        elif kind == "In":
            operands = ("QueryValue", "Values")
        elif kind == "Not":
            yield from _conditions([condition.get("Expression", {})], f"{here}.Expression", references)
            continue
        elif kind == "Or":
            yield from _conditions(condition.get("Conditions", []), f"{here}.Conditions", references)
            continue
        else:
            yield Problem(here, f"type {kind!r} is none of {', '.join((*COMPARISONS, 'In', 'Not', 'Or'))}")
            continue
        for operand in operands:
            if operand not in condition:
                yield Problem(here, f"{operand} is missing")
            else:
                yield from references.check_all(condition[operand], f"{here}.{operand}")


def _fail(arguments: Any, path: str, references: References) -> Iterator[Problem]:
    message = arguments.get("ErrorMessage") if isinstance(arguments, dict) else None
    if not isinstance(message, str | dict):
        yield Problem(f"{path}.ErrorMessage", "want text, or a Std:Join of it")
        return
    yield from references.check_all(message, f"{path}.ErrorMessage")


def _lambda(step: Step, path: str, references: References) -> Iterator[Problem]:
    arn = step.get("FunctionArn")
    shape = service_model("lambda").operation_model("Invoke").input_shape.members["FunctionName"]
    if not isinstance(arn, str) or not arn.startswith("arn:"):
        yield Problem(f"{path}.FunctionArn", "want the function's ARN")
    else:
        yield from check(arn, shape, f"{path}.FunctionArn")
    for name, value in (step.get("Arguments") or {}).items():
        here = f"{path}.Arguments.{name}"
        if isinstance(value, list) or (isinstance(value, dict) and not references.is_placeholder(value)):
            yield Problem(here, "a Lambda step takes flat values only")
        yield from references.check_all(value, here)
    for output in step.get("OutputParameters", []):
        if output.get("OutputType") not in ("String", "Integer", "Float", "Boolean"):
            yield Problem(f"{path}.OutputParameters", f"{output.get('OutputName')}: type {output.get('OutputType')!r}")


def _cache(step: Step, path: str) -> Iterator[Problem]:
    config = step.get("CacheConfig")
    if config is None:
        return
    if not isinstance(config.get("Enabled"), bool):
        yield Problem(f"{path}.CacheConfig.Enabled", "want true or false")
    expiry = config.get("ExpireAfter")
    if expiry is not None and not _DURATION.fullmatch(str(expiry).upper()):
        yield Problem(f"{path}.CacheConfig.ExpireAfter", f"{expiry!r} is no ISO 8601 duration such as PT12H or P30D")


def _retry(policy: dict[str, Any], path: str) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html."""
    for kind in policy.get("ExceptionType", []):
        if kind not in EXCEPTIONS:
            yield Problem(path, f"exception type {kind!r} is none of {', '.join(EXCEPTIONS)}")
    if not policy.get("ExceptionType"):
        yield Problem(path, "ExceptionType is missing")
    if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
        yield Problem(path, "want either MaxAttempts or ExpireAfterMin")
    for key, low, high in (("MaxAttempts", 1, 20), ("ExpireAfterMin", 0, 14_400)):
        if key in policy and not low <= policy[key] <= high:
            yield Problem(f"{path}.{key}", f"{policy[key]} is not between {low} and {high}")
    for key in ("IntervalSeconds", "BackoffRate"):
        if policy.get(key, 0) < 0:
            yield Problem(f"{path}.{key}", "must not be negative")


def _property_files(step: Step, path: str) -> Iterator[Problem]:
    outputs = _output_names(json.dumps(step.get("Arguments", {}).get("ProcessingOutputConfig", {})))
    for file in step.get("PropertyFiles", []):
        if file.get("OutputName") not in outputs:
            yield Problem(f"{path}.PropertyFiles", f"the step has no output {file.get('OutputName')!r}")


@functools.lru_cache
def _output_names(config: str) -> frozenset[str]:
    return frozenset(output.get("OutputName", "") for output in json.loads(config).get("Outputs", []))
