"""What the pipeline has to know of ml.* instance types: how many GPUs, whether SMDDP runs there, whose disks they have.

Source: https://aws.amazon.com/sagemaker/ai/pricing/ and https://aws.amazon.com/ec2/instance-types/ (accelerated
computing),
https://docs.aws.amazon.com/sagemaker/latest/dg/distributed-data-parallel-support.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/InstanceStorage.html
"""

from __future__ import annotations

import re

from steps.contracts.names import OWN_DISKS, SMDDP_INSTANCES

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
    "ml.g6e.xlarge": 1,
    "ml.g6e.2xlarge": 1,
    "ml.g6e.4xlarge": 1,
    "ml.g6e.8xlarge": 1,
    "ml.g6e.12xlarge": 4,
    "ml.g6e.16xlarge": 1,
    "ml.g6e.24xlarge": 4,
    "ml.g6e.48xlarge": 8,
    "ml.p3.2xlarge": 1,
    "ml.p3.8xlarge": 4,
    "ml.p3.16xlarge": 8,
    "ml.p3dn.24xlarge": 8,
    "ml.p4d.24xlarge": 8,
    "ml.p4de.24xlarge": 8,
    "ml.p5.48xlarge": 8,
    "ml.p5e.48xlarge": 8,
    "ml.p5en.48xlarge": 8,
}

SMDDP = SMDDP_INSTANCES

# K80 and V100. PyTorch's builds for CUDA 13 have kernels from compute capability 7.5 on, and a V100 is of 7.0:
# https://github.com/pytorch/pytorch/blob/main/RELEASE.md#pytorch-cuda-support-matrix
_BEFORE_CUDA_13 = re.compile(r"ml\.p[23][a-z]*\.")

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


def has_own_disks(instance_type: str) -> bool:
    """Whether the type brings NVMe disks, which no KMS key of the account can encrypt, and which cost nothing more."""
    return OWN_DISKS.match(instance_type) is not None


def gpus(instance_type: str) -> int:
    """Number of GPUs; 0 for a type that is not in the table of GPU types."""
    return GPUS.get(instance_type, 0)


def accelerated(instance_type: str) -> bool:
    """Whether a type has GPUs, be it in the table of GPU types or newer than that."""
    return gpus(instance_type) > 0 or re.match(r"ml\.[gp][0-9]", instance_type) is not None


def runs_cuda_13(instance_type: str) -> bool:
    """Whether PyTorch's builds for CUDA 13 run on the type's GPUs; a type without any is not hindered."""
    return _BEFORE_CUDA_13.match(instance_type) is None


def alternatives(instance_type: str, launcher: str, *, cuda_13: bool = True, same_disks: bool = False) -> list[str]:
    """The types that may replace `instance_type` in a compiled definition: those that suit its launcher and image.

    `cuda_13`: under torchrun only GPUs that PyTorch for CUDA 13 runs on, as it is in the image that is built by
    default. With `same_disks` they have disks of their own only if `instance_type` has, so that one request fits all.
    """
    if launcher == "smddp":
        suited: tuple[str, ...] = SMDDP
    elif accelerated(instance_type):
        suited = tuple(one for one in GPUS if runs_cuda_13(one) or not cuda_13)
    else:
        suited = CPU
    if same_disks:
        suited = tuple(one for one in suited if has_own_disks(one) == has_own_disks(instance_type))
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
