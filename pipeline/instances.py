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


def accelerated(instance_type: str) -> bool:
    """Whether a type has GPUs, be it in the table of GPU types or newer than that."""
    return gpus(instance_type) > 0 or re.match(r"ml\.[gp][0-9]", instance_type) is not None


def alternatives(instance_type: str, backend: str) -> list[str]:
    """The types that may replace `instance_type` in a compiled definition: those that suit its launcher and image."""
    if backend == "smddp":
        suited: tuple[str, ...] = SMDDP
    elif gpus(instance_type):
        suited = tuple(GPUS)
    else:
        suited = CPU
    return sorted({*suited, instance_type})
