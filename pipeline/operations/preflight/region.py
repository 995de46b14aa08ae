"""The region: one that there is, in the partition that the definition's ARNs are of, and what its instances can."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from pipeline.aws import instances
from pipeline.operations.preflight.results import Finding, failed, ok, warning
from pipeline.settings import Settings

PARTITION = "aws"
# The newest PyTorch with SMDDP; of AWS's images those from 2.6 on carry none.
LAST_SMDDP_PYTORCH = (2, 5, 1)
_PYTORCH_IMAGE = re.compile(r"pytorch-training[a-z0-9-]*:(\d+)\.(\d+)\.(\d+)")


def check(settings: Settings) -> Iterator[Finding]:
    """The region, as far as boto3 knows regions."""
    import boto3
    from botocore.exceptions import UnknownRegionError

    region = settings.account.region
    try:
        partition = boto3.Session(region_name=region).get_partition_for_region(region)
    except UnknownRegionError:
        # Of no partition's form, as xx-east-1; one that only is not listed yet is of its partition.
        yield failed(unknown_region(settings))
        return
    if partition != PARTITION:
        yield failed(
            f"account.region {region} is in the partition {partition}, and the definition's ARNs are of the partition"
            f" {PARTITION}; take a region of that one"
        )
    elif unknown := unknown_region(settings):
        yield warning(unknown)
    else:
        yield ok(region)


def unknown_region(settings: Settings) -> str:
    """What to do about a region that boto3 knows no SageMaker in; empty for one that it knows. It may be new."""
    import boto3

    region = settings.account.region
    known = boto3.Session(region_name=region).get_available_regions("sagemaker")
    if region in known:
        return ""
    close = difflib.get_close_matches(region, known, 1)
    meant = f"did you mean {close[0]}" if close else "correct it"
    return f"account.region {region}: this boto3 knows no SageMaker there; {meant}, or update boto3"


def check_smddp(settings: Settings) -> Iterator[Finding]:
    """Whether SMDDP can be used where it is asked for. The settings have refused instance types without it."""
    training = settings.training
    if training.launcher != "smddp":
        capable = training.instance_type in instances.SMDDP
        unused = f"; {training.instance_type} could: training.backend smddp" if capable else ""
        yield ok(f"not asked for, training.backend is {training.backend}{unused}")
        return
    base = settings.images.training_base
    match = _PYTORCH_IMAGE.search(base)
    if match and tuple(map(int, match.groups())) > LAST_SMDDP_PYTORCH:
        yield failed(
            f"images.training_base has PyTorch {'.'.join(match.groups())}, and no image after"
            f" {'.'.join(map(str, LAST_SMDDP_PYTORCH))} carries SMDDP; leave it out, or take training.backend auto"
        )
    elif base and not match:
        yield warning(f"images.training_base {base}: whether it carries SMDDP cannot be seen from its name")
    else:
        yield ok(f"{training.instance_count} x {training.instance_type}")
