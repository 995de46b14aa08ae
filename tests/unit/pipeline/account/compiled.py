"""A compiled definition, read for what its jobs are called, read, write and pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.unit.pipeline.account.policies import Context

# A run, and the names that Pipelines gives to its jobs.
EXECUTION = "k9j8h7g6f5d4"
TUNING = f"hyper-parameter-tuning-job/{EXECUTION}-TuneMod-aB3dE5fG7h"
TRIAL = f"training-job/{EXECUTION}-TuneMod-aB3dE5fG7h-001-12345678"
_OUTPUT = re.compile(r"Steps\.(\w+)\.ProcessingOutputConfig\.Outputs\['(\w+)'\]\.S3Output\.S3Uri")

# Below which output a place is that a step hands on.
_HANDED_ON = {
    "Steps.QueryMetadata.PropertyFiles.Labels": ("QueryMetadata", "labels"),
    "Steps.PlanShards.PropertyFiles.Plan": ("PlanShards", "plans"),
    "Steps.ShardImages.PropertyFiles.Index": ("ShardImages", "indexes"),
}


def all_steps(steps: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps and those of their branches."""
    for step in steps:
        yield step
        for branch in ("IfSteps", "ElseSteps"):
            yield from all_steps(step["Arguments"].get(branch, []))


def outputs_of(steps: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """URIs by step and name of the output."""
    return {
        (step["Name"], one["OutputName"]): concrete(one["S3Output"]["S3Uri"], steps)
        for step in steps
        for one in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])
    }


def concrete(value: Any, steps: list[dict[str, Any]]) -> str:
    """A value of the definition as it could be in a run."""
    match value:
        case str():
            return value
        case {"Std:Join": {"On": on, "Values": values}}:
            return str(on).join(concrete(one, steps) for one in values)
        case {"Get": "Execution.PipelineExecutionId"}:
            return EXECUTION
        case {"Get": str(reference)} if match := _OUTPUT.fullmatch(reference):
            return outputs_of(steps)[match[1], match[2]]
        case {"Get": str()}:
            return "value"
        case {"Std:JsonGet": {"PropertyFile": {"Get": str(file)}, "Path": "uri"}} if file in _HANDED_ON:
            return f"{outputs_of(steps)[_HANDED_ON[file]]}/0123456789abcdef"
    raise AssertionError(f"teach this test {value}")


def said_of_a_job(request: dict[str, Any]) -> Context:
    """What a request for a job, or for a tuning job, says under SageMaker's condition keys.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html
    """
    job = request.get("TrainingJobDefinition", request)
    network = job.get("NetworkConfig", job)
    resources = job.get("ProcessingResources", {}).get("ClusterConfig") or job.get("ResourceConfig", {})
    found: dict[str, str | list[str]] = {}
    if subnets := network.get("VpcConfig", {}).get("Subnets"):
        found["sagemaker:VpcSubnets"] = subnets
    if key := resources.get("VolumeKmsKeyId"):
        found["sagemaker:VolumeKmsKeyArn"] = key
    for name, member in (
        ("InterContainerTrafficEncryption", "EnableInterContainerTrafficEncryption"),
        ("NetworkIsolation", "EnableNetworkIsolation"),
    ):
        if member in network:
            found[f"sagemaker:{name}"] = str(network[member]).lower()
    return found


def roles_of(value: Any) -> set[str]:
    """ARNs of roles that a step's request passes."""
    if isinstance(value, list):
        return set().union(*map(roles_of, value))
    if not isinstance(value, dict):
        return set()
    own = {value[key] for key in ("RoleArn", "ExecutionRoleArn") if key in value}
    branches = ("IfSteps", "ElseSteps")
    return own.union(*(roles_of(one) for key, one in value.items() if key not in branches))


def image_of(step: dict[str, Any]) -> str:
    """The image that a job runs."""
    arguments = step["Arguments"]
    if step["Type"] == "Processing":
        return str(arguments["AppSpecification"]["ImageUri"])
    return str(arguments["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"])


def s3_arn(uri: str) -> str:
    """`s3://bucket/key` as an ARN."""
    return f"arn:aws:s3:::{uri.removeprefix('s3://').lstrip('/')}"
