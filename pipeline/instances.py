"""What the pipeline has to know of ml.* instance types: how many GPUs, and whether SMDDP runs there.

Source: https://aws.amazon.com/sagemaker/ai/pricing/ (accelerated computing) and
https://docs.aws.amazon.com/sagemaker/latest/dg/distributed-data-parallel-support.html
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

# Families with disks of their own whose name does not say so by a d behind the generation.
LOCAL_STORAGE = ("g5", "g6", "p5")

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


def gpus(instance_type: str) -> int:
    """Number of GPUs; 0 for a type that is not in the table of GPU types."""
    return GPUS.get(instance_type, 0)


def alternatives(instance_type: str, backend: str) -> list[str]:
    """The types that may replace `instance_type` in a compiled definition: those that suit its launcher and image."""
    if backend == "smddp":
        suited: tuple[str, ...] = SMDDP
    elif gpus(instance_type):
        suited = tuple(GPUS)
    else:
        suited = CPU
    return sorted({*suited, instance_type})


def vcpus(instance_type: str) -> int:
    """Virtual CPUs by the size in the name, two of which are a core: `large` 2, `xlarge` 4, `9xlarge` 36; else 1.

    Source: https://aws.amazon.com/ec2/instance-types/
    """
    size = instance_type.rsplit(".", 1)[-1]
    if size in ("medium", "large"):
        return 2
    times = size.removesuffix("xlarge")
    return 4 * int(times or 1) if size.endswith("xlarge") and (times or "1").isdecimal() else 1


def has_local_storage(instance_type: str) -> bool:
    """Whether an instance brings disks of its own, so that SageMaker gives it no volume to pay for.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html (VolumeSizeInGB)
    """
    family = instance_type.split(".")[1]
    return family in LOCAL_STORAGE or bool(re.fullmatch(r"[a-z]+[0-9]+[a-z]*d[a-z]*", family))
