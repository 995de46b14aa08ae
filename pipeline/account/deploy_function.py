"""What watches and brings about deployments, as data: the deploy function's environment, its rules, and the alarms."""

from __future__ import annotations

from typing import Any

from pipeline.settings import Settings
from steps.contracts.names import VARIANT


def function_environment(settings: Settings) -> dict[str, str]:
    """The deploy function's environment; `steps.deploy.settings` reads it."""
    endpoint = settings.endpoint
    return {
        "ENDPOINT_NAME": endpoint.name,
        "MODEL_PACKAGE_GROUP": settings.registry.group,
        "SERVING_ROLE_ARN": settings.role_arn("serving"),
        "MODE": endpoint.mode,
        "INSTANCE_TYPE": endpoint.instance_type,
        "INSTANCE_COUNT": str(endpoint.instance_count),
        "MAXIMUM_INSTANCE_COUNT": str(endpoint.maximum_instance_count),
        "INVOCATIONS_PER_INSTANCE": str(endpoint.invocations_per_instance),
        "SERVERLESS_MEMORY_MEGABYTES": str(endpoint.serverless_memory_megabytes),
        "SERVERLESS_CONCURRENCY": str(endpoint.serverless_concurrency),
        "CANARY_PERCENT": str(endpoint.canary_percent),
        "CANARY_SECONDS": str(endpoint.canary_seconds),
        "BAKING_SECONDS": str(endpoint.baking_seconds),
        "ALARMS": ",".join(settings.alarms),
        "CAPTURE_URI": settings.captures_uri,
        "CAPTURE_PERCENT": str(endpoint.capture_percent),
        "KMS_KEY": settings.encryption.kms_key,
        "SUBNETS": ",".join(settings.network.subnets),
        "SECURITY_GROUPS": ",".join(settings.network.security_groups),
    }


def alarms(settings: Settings) -> list[dict[str, Any]]:
    """PutMetricAlarm's requests for the endpoint's alarms. An endpoint that nobody asks is not in alarm."""
    errors, latency = settings.alarms
    dimensions = [
        {"Name": "EndpointName", "Value": settings.endpoint.name},
        {"Name": "VariantName", "Value": VARIANT},
    ]
    common = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": dimensions,
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    return [
        {
            **common,
            "AlarmName": errors,
            "AlarmDescription": "The endpoint answers with errors of its own",
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Sum",
            "Threshold": float(settings.endpoint.maximum_errors),
        },
        {
            **common,
            "AlarmName": latency,
            "AlarmDescription": "The endpoint's slowest answers take too long",
            "MetricName": "ModelLatency",
            "ExtendedStatistic": "p99",
            "Threshold": settings.endpoint.maximum_latency_milliseconds * 1000.0,  # the metric is in microseconds
        },
    ]


def deployment_rules(settings: Settings) -> dict[str, dict[str, Any]]:
    """Patterns of the EventBridge rules that invoke the deploy function, by the rule's name.

    An approval in our group, and each change of our endpoint: its end is judged, and a version that was approved while
    the endpoint was busy is deployed then.
    """
    return {
        f"{settings.name}-deploy-on-approval": {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Package State Change"],
            "detail": {
                "ModelPackageGroupName": [settings.registry.group],
                "ModelApprovalStatus": ["Approved"],
                "UpdatedModelPackageFields": ["ModelApprovalStatus"],
            },
        },
        f"{settings.name}-deploy-after-change": {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Endpoint State Change"],
            "detail": {"EndpointName": [settings.endpoint.name]},
        },
    }
