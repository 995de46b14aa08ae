"""What the pipeline has to know of ml.* instance types: how many GPUs, whether SMDDP runs there, whose disks they have.

Source: https://aws.amazon.com/sagemaker/ai/pricing/ (accelerated computing),
https://docs.aws.amazon.com/sagemaker/latest/dg/distributed-data-parallel-support.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/InstanceStorage.html
"""

from __future__ import annotations

import re

GPUS = {
    "ml.g4dn.xlarge": 1,
    "ml.g4dn.2xlarge": 1,
    "ml.g4dn.4xlarge": 1,
    "ml.g4dn.8xlarge": 1,
    "ml.g4dn.12xlarge": 4,
    "ml.g4dn.16xlarge": 1,
    "ml.g5.xlarge": 1,
    "ml.g5.2xlarge": 1,
    "ml.g5.4xlarge": 1,
    "ml.g5.8xlarge": 1,
    "ml.g5.12xlarge": 4,
    "ml.g5.16xlarge": 1,
    "ml.g5.24xlarge": 4,
    "ml.g5.48xlarge": 8,
    "ml.g6.xlarge": 1,
    "ml.g6.2xlarge": 1,
    "ml.g6.4xlarge": 1,
    "ml.g6.8xlarge": 1,
    "ml.g6.12xlarge": 4,
    "ml.g6.16xlarge": 1,
    "ml.g6.24xlarge": 4,
    "ml.g6.48xlarge": 8,
    "ml.p3.2xlarge": 1,
    "ml.p3.8xlarge": 4,
    "ml.p3.16xlarge": 8,
    "ml.p3dn.24xlarge": 8,
    "ml.p4d.24xlarge": 8,
    "ml.p4de.24xlarge": 8,
    "ml.p5.48xlarge": 8,
}

# SMDDP's newest release, 2.6.0, supports these only.
SMDDP = ("ml.p3dn.24xlarge", "ml.p4d.24xlarge", "ml.p4de.24xlarge")

CPU = (
    "ml.m5.large",
    "ml.m5.xlarge",
    "ml.m5.2xlarge",
    "ml.m5.4xlarge",
    "ml.c5.xlarge",
    "ml.c5.2xlarge",
    "ml.c5.4xlarge",
    "ml.c5.9xlarge",
)

# Families with NVMe disks of their own. Their hardware encrypts these, with keys of its own, and SageMaker refuses a
# VolumeKmsKeyId: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html
# The deploy function has the same pattern, since it imports nothing from here; a test holds them together.
OWN_DISKS = re.compile(r"ml\.(g[4-9]|p[4-9]|trn|dl|i[0-9]|[a-z]+[0-9]+[a-z]*d)[a-z0-9-]*\.")


def has_own_disks(instance_type: str) -> bool:
    """Whether the type brings NVMe disks, which no KMS key of the account can encrypt."""
    return OWN_DISKS.match(instance_type) is not None


def gpus(instance_type: str) -> int:
    """Number of GPUs; 0 for a type that is not in the table of GPU types."""
    return GPUS.get(instance_type, 0)


def alternatives(instance_type: str, backend: str, *, same_disks: bool = False) -> list[str]:
    """The types that may replace `instance_type` in a compiled definition: those that suit its launcher and image.

    With `same_disks` they have disks of their own only if `instance_type` has, so that one request fits them all.
    """
    if backend == "smddp":
        suited: tuple[str, ...] = SMDDP
    elif gpus(instance_type):
        suited = tuple(GPUS)
    else:
        suited = CPU
    if same_disks:
        suited = tuple(one for one in suited if has_own_disks(one) == has_own_disks(instance_type))
    return sorted({*suited, instance_type})
