"""The requests of a deployment: pure functions of the settings and the version."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from steps.contracts.names import OWN_DISKS, VARIANT, endpoint_config_name, model_name
from steps.deploy.events import Version
from steps.deploy.release import Release
from steps.deploy.settings import Settings

Request = dict[str, Any]

# Time to start and stop instances, in addition to the waiting times; SageMaker's minimum is ten minutes.
CHANGE_SECONDS = 1800


def model(settings: Settings, release: Release, name: str) -> Request:
    """CreateModel's request; `name` is that of the endpoint configuration.

    The container needs no network: SageMaker fetches its model and stores its captures, through the VPC where there is
    one. A serverless endpoint supports neither isolation nor a VPC:
    https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
    """
    return {
        "ModelName": model_name(name),
        "Containers": [
            {"Image": release.image, "ModelDataUrl": release.model, "Environment": dict(release.environment)}
        ],
        "ExecutionRoleArn": settings.serving_role_arn,
        **({"EnableNetworkIsolation": True, **_vpc(settings)} if settings.mode == "real-time" else {}),
    }


def _vpc(settings: Settings) -> Request:
    if not settings.subnets:
        return {}
    return {"VpcConfig": {"SecurityGroupIds": list(settings.security_groups), "Subnets": list(settings.subnets)}}


def endpoint_config(settings: Settings, version: Version, release: Release) -> Request:
    """CreateEndpointConfig's request. Its name ends in the version and a hash of the settings and the release."""
    if settings.mode == "serverless":
        memory, concurrency = settings.serverless_memory_megabytes, settings.serverless_concurrency
        where: Request = {"ServerlessConfig": {"MemorySizeInMB": memory, "MaxConcurrency": concurrency}}
    else:
        where = {"InstanceType": settings.instance_type, "InitialInstanceCount": settings.instance_count}
    content: Request = {"ProductionVariants": [{"VariantName": VARIANT, **where}]}
    if settings.mode == "real-time":
        if settings.capture_uri and settings.capture_percent:
            content["DataCaptureConfig"] = _capture(settings)
        if settings.kms_key and not OWN_DISKS.match(settings.instance_type):
            content["KmsKeyId"] = settings.kms_key
    # Role, VPC and the release belong to the model, not to the configuration; under the old name a change would not
    # reach the endpoint.
    described = json.dumps(
        [content, settings.serving_role_arn, release.model, *_vpc(settings).values()], sort_keys=True
    )
    suffix = f"-v{version.number}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    name = endpoint_config_name(settings.endpoint_name, suffix)
    content["ProductionVariants"][0]["ModelName"] = model_name(name)
    return {"EndpointConfigName": name, **content}


def _capture(settings: Settings) -> Request:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": settings.capture_percent,
        "DestinationS3Uri": settings.capture_uri,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    return {**capture, "KmsKeyId": settings.kms_key} if settings.kms_key else capture


def deployment_config(settings: Settings, instances: int) -> Request:
    """UpdateEndpoint's DeploymentConfig for a fleet of `instances`: a canary first, with the alarms for rollback.

    A canary is at most half of the fleet. With one instance, all traffic moves at once. The old fleet is kept for the
    baking time, in which an alarm rolls back.
    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
    """
    routing: Request = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    if instances > 1:
        canary = min(max(1, instances * settings.canary_percent // 100), instances // 2)
        routing = {
            "Type": "CANARY",
            "CanarySize": {"Type": "INSTANCE_COUNT", "Value": canary},
            "WaitIntervalInSeconds": settings.canary_seconds,
        }
    return _blue_green(settings, routing, settings.baking_seconds)


def swift_deployment_config(settings: Settings) -> Request:
    """A DeploymentConfig for the way back to a version that served well: all at once, without alarms."""
    return _blue_green(settings, {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}, baking=0, guarded=False)


def _blue_green(settings: Settings, routing: Request, baking: int, *, guarded: bool = True) -> Request:
    config: Request = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": baking,
            "MaximumExecutionTimeoutInSeconds": CHANGE_SECONDS + routing["WaitIntervalInSeconds"] + baking,
        }
    }
    if settings.alarms and guarded:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in settings.alarms]}
    return config
