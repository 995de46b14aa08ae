"""Which version serves, and the baseline that its evaluation has left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steps.contracts.errors import StepError


@dataclass(frozen=True)
class Served:
    """The version that the endpoint serves, by its number, and the S3 URI of its baseline."""

    version: str
    baseline: str


def find(sagemaker: Any, endpoint: str, baseline: str = "") -> Served:
    """The version behind the endpoint, and `baseline`, or the one that the version was registered with.

    Raises StepError where there is no endpoint, it serves no version of the registry, or that has no baseline.
    """
    from botocore.exceptions import ClientError

    try:
        found = sagemaker.describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if "could not find" not in error.response["Error"]["Message"].lower():
            raise
        raise StepError(f"there is no endpoint {endpoint} to monitor; approve a model first") from None
    config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    containers = model.get("Containers") or [model.get("PrimaryContainer", {})]
    arn = containers[0].get("ModelPackageName", "")
    if not arn:
        raise StepError(f"endpoint {endpoint} serves {model['ModelName']}, which is no version of the registry")
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    statistics = package.get("DriftCheckBaselines", {}).get("ModelDataQuality", {}).get("Statistics", {})
    place = baseline or statistics.get("S3Uri", "")
    if not place:
        raise StepError(f"version {arn.rsplit('/', 1)[-1]} has no baseline; give one by --baseline, or train it anew")
    return Served(arn.rsplit("/", 1)[-1], place)
