"""Automatic scaling of the endpoint's instances, registered once a version is accepted.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html
"""

from __future__ import annotations

from typing import Any

from steps.contracts.names import SCALABLE_DIMENSION, VARIANT
from steps.deploy.settings import Settings

POLICY = "invocations-per-instance"
# Scaling in waits longer than scaling out: load that falls may rise again.
SCALE_IN_SECONDS, SCALE_OUT_SECONDS = 600, 120


def follow(autoscaling: Any, settings: Settings) -> None:
    """Register or update the scaling of the settings; without scaling in the settings, deregister it."""
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
    """End the scaling with its policies, if it is registered."""
    target = _target(endpoint)
    registered = autoscaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]], ScalableDimension=SCALABLE_DIMENSION
    )
    if registered["ScalableTargets"]:
        autoscaling.deregister_scalable_target(**target)


def _target(endpoint: str) -> dict[str, str]:
    resource = f"endpoint/{endpoint}/variant/{VARIANT}"
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": SCALABLE_DIMENSION}
