"""The version that serves, and the baseline that its evaluation wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steps.contracts.errors import StepError
from steps.contracts.names import package_of


@dataclass(frozen=True)
class ServedVersion:
    """The number of the version that the endpoint serves, and the S3 URI of its baseline."""

    version: str
    baseline: str


def find(sagemaker: Any, endpoint: str, baseline: str = "") -> ServedVersion:
    """The version of the endpoint, with `baseline` or, by default, the baseline that it was registered with.

    Raises StepError if the endpoint is missing, serves no registered version, or the version has no baseline.
    """
    from botocore.exceptions import ClientError

    try:
        described = sagemaker.describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if "could not find" not in error.response["Error"]["Message"].lower():
            raise
        raise StepError(f"endpoint {endpoint} does not exist; approve a model first") from None
    config = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    arn = package_of(model)
    if not arn:
        raise StepError(f"endpoint {endpoint} serves {model['ModelName']}, which is not a registered version")
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    statistics = package.get("DriftCheckBaselines", {}).get("ModelDataQuality", {}).get("Statistics", {})
    version, uri = arn.rsplit("/", 1)[-1], baseline or statistics.get("S3Uri", "")
    if not uri:
        raise StepError(f"version {version} has no baseline; set --baseline, or train a model again")
    return ServedVersion(version, uri)
