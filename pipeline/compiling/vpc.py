"""The settings' network and key, as the members of requests that they become.

What a group does not set is left out of a request, so that AWS's defaults hold and a step's cached result stays valid.
https://docs.aws.amazon.com/sagemaker/latest/dg/infrastructure-give-access.html
"""

from __future__ import annotations

from typing import Any

from pipeline.aws import instances
from pipeline.settings import Settings

Members = dict[str, Any]


def vpc(settings: Settings) -> Members:
    """`VpcConfig` of a model or of a trial; nothing without subnets."""
    network = settings.network
    if not network.subnets:
        return {}
    return {"VpcConfig": {"SecurityGroupIds": list(network.security_groups), "Subnets": list(network.subnets)}}


def trial(settings: Settings) -> Members:
    """The network members of a tuning job's training job definition.

    Trials may have several instances, so their traffic is encrypted for any value of the run's parameter.
    """
    network = settings.network
    members = vpc(settings)
    if network.isolation:
        members["EnableNetworkIsolation"] = True
    if network.encrypt_traffic:
        members["EnableInterContainerTrafficEncryption"] = True
    return members


def processing(settings: Settings, *, several_instances: bool = False) -> Members:
    """`NetworkConfig` of a processing job, which is never isolated: it calls AWS. Nothing where nothing is set."""
    members = vpc(settings)
    if several_instances and settings.network.encrypt_traffic:
        members["EnableInterContainerTrafficEncryption"] = True
    return {"NetworkConfig": {"EnableNetworkIsolation": False, **members}} if members else {}


def output_key(settings: Settings) -> Members:
    """`KmsKeyId` of what a job leaves in S3; nothing without a key."""
    return {"KmsKeyId": settings.encryption.kms_key} if settings.encryption.kms_key else {}


def volume_key(settings: Settings, instance_type: str) -> Members:
    """`VolumeKmsKeyId` of a job's volumes; nothing without a key, and for types that SageMaker refuses one for."""
    if not settings.encryption.kms_key or instances.has_own_disks(instance_type):
        return {}
    return {"VolumeKmsKeyId": settings.encryption.kms_key}
