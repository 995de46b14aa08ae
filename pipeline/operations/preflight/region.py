"""The region exists, in the partition of the definition's ARNs; and SMDDP fits the instances."""

from __future__ import annotations

import re

from pipeline.aws import instances
from pipeline.operations.preflight.findings import Finding, failed, ok, warning
from pipeline.settings import Settings
from pipeline.settings.problems import nearest

PARTITION = "aws"
# The newest PyTorch with SMDDP; AWS's images from 2.6 on contain none.
LAST_SMDDP_PYTORCH = (2, 5, 1)
_PYTORCH_IMAGE = re.compile(r"pytorch-training[a-z0-9-]*:(\d+)\.(\d+)\.(\d+)")


def check(settings: Settings) -> Finding:
    """The region is one of boto3's, in the right partition."""
    import boto3
    from botocore.exceptions import UnknownRegionError

    region = settings.account.region
    try:
        partition = boto3.Session(region_name=region).get_partition_for_region(region)
    except UnknownRegionError:
        # A form of no partition, such as xx-east-1; a region that is not listed yet has its partition's form.
        return failed(unknown_region(settings))
    if partition != PARTITION:
        return failed(
            f"account.region {region} is in the partition {partition}, and the definition's ARNs are in the partition"
            f" {PARTITION}; set a region of that partition"
        )
    if unknown := unknown_region(settings):
        return failed(unknown)
    return ok(region)


def unknown_region(settings: Settings) -> str:
    """What to do about a region where boto3 lists no SageMaker; empty for a listed one. An unlisted one may be new."""
    import boto3

    region = settings.account.region
    regions = boto3.Session(region_name=region).get_available_regions("sagemaker")
    if region in regions:
        return ""
    close = nearest(region, regions)
    meant = f"did you mean {close}" if close else "correct it"
    return f"account.region {region}: this version of boto3 lists no SageMaker there; {meant}, or update boto3"


def check_smddp(settings: Settings) -> Finding:
    """SMDDP, where the settings ask for it, is in the image. The settings refuse instance types without it."""
    training = settings.training
    if training.launcher != "smddp":
        capable = training.instance_type in instances.SMDDP
        unused = f"; {training.instance_type} supports it: training.backend smddp" if capable else ""
        return ok(f"not used, training.backend is {training.backend}{unused}")
    base = settings.images.training_base
    match = _PYTORCH_IMAGE.search(base)
    if match and tuple(map(int, match.groups())) > LAST_SMDDP_PYTORCH:
        return failed(
            f"images.training_base has PyTorch {'.'.join(match.groups())}, and no image after"
            f" {'.'.join(map(str, LAST_SMDDP_PYTORCH))} contains SMDDP; leave it out, or set training.backend auto"
        )
    if base and not match:
        return warning(f"images.training_base {base}: its name does not show whether it contains SMDDP")
    return ok(f"{training.instance_count} x {training.instance_type}")
