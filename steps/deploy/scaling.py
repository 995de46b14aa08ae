"""Autoscaling of the endpoint's instances: registered for a version that has been accepted.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html
"""

from __future__ import annotations

from typing import Any

from steps.deploy.requests import VARIANT
from steps.deploy.settings import Settings

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
POLICY = "invocations-per-instance"
# Load that falls is trusted later than load that rises.
SCALE_IN_SECONDS, SCALE_OUT_SECONDS = 600, 120


def follow(autoscaling: Any, settings: Settings) -> None:
    """Let the number of instances follow the traffic where the settings want it, else leave it alone."""
    if not settings.scales:
        deregister(autoscaling, settings.endpoint_name)
        return
    target = _target(settings.endpoint_name)
    autoscaling.register_scalable_target(
        **target, MinCapacity=settings.instance_count, MaxCapacity=settings.maximum_instance_count
    )
    autoscaling.put_scaling_policy(
        **target,
        PolicyName=POLICY,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": float(settings.invocations_per_instance),
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleInCooldown": SCALE_IN_SECONDS,
            "ScaleOutCooldown": SCALE_OUT_SECONDS,
        },
    )


def deregister(autoscaling: Any, endpoint: str) -> None:
    """End the scaling; its policies go with it. Nothing happens where there is none."""
    target = _target(endpoint)
    found = autoscaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]], ScalableDimension=DIMENSION
    )
    if found["ScalableTargets"]:
        autoscaling.deregister_scalable_target(**target)


def _target(endpoint: str) -> dict[str, str]:
    resource = f"endpoint/{endpoint}/variant/{VARIANT}"
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}
