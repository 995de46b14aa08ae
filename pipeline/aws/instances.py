"""Facts about ml.* instance types: GPUs, support of SMDDP and CUDA 13, own disks, virtual CPUs.

Sources: https://aws.amazon.com/sagemaker/ai/pricing/ and https://aws.amazon.com/ec2/instance-types/ (accelerated
computing),
https://docs.aws.amazon.com/sagemaker/latest/dg/distributed-data-parallel-support.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/InstanceStorage.html
"""

from __future__ import annotations

import re

from steps.contracts.names import GPU_INSTANCES, OWN_DISKS, SMDDP_INSTANCES

_G5 = {
    **dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1),
    **{"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
}
_FAMILIES = {
    "g4dn": {"xlarge": 1, "2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "12xlarge": 4, "16xlarge": 1},
    **dict.fromkeys(("g5", "g6", "g6e"), _G5),
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    **{family: {"24xlarge": 8} for family in ("p3dn", "p4d", "p4de")},
    **{family: {"48xlarge": 8} for family in ("p5", "p5e", "p5en")},
}
GPUS = {f"ml.{family}.{size}": gpus for family, sizes in _FAMILIES.items() for size, gpus in sizes.items()}

SMDDP = SMDDP_INSTANCES

# K80 and V100. PyTorch's builds for CUDA 13 have kernels from compute capability 7.5 on, and a V100 has 7.0:
# https://github.com/pytorch/pytorch/blob/main/RELEASE.md#pytorch-cuda-support-matrix
_BEFORE_CUDA_13 = re.compile(r"ml\.p[23][a-z]*\.")
# M60, T4 and V100 compute no bfloat16, which begins with compute capability 8.0: https://developer.nvidia.com/cuda-gpus
_BEFORE_AMPERE = re.compile(r"ml\.(p[23]|g[34])[a-z]*\.")

# Total size of the NVMe disks that a type has of its own, in GB: InstanceStorageInfo of EC2's DescribeInstanceTypes, as
# moto has recorded it (a test compares both). SageMaker's ml types are assumed to have the disks of EC2's.
_D_DISKS = {
    **{"large": 75, "xlarge": 150, "2xlarge": 300, "4xlarge": 600, "8xlarge": 1200},
    **{"12xlarge": 1800, "16xlarge": 2400, "24xlarge": 3600},
}
_C5D_DISKS = {
    **{"large": 50, "xlarge": 100, "2xlarge": 200, "4xlarge": 400, "9xlarge": 900},
    **{"12xlarge": 1800, "18xlarge": 1800, "24xlarge": 3600},
}
_G5_DISKS = {
    **{"xlarge": 250, "2xlarge": 450, "4xlarge": 600, "8xlarge": 900, "16xlarge": 1900},
    **{"12xlarge": 3800, "24xlarge": 3800, "48xlarge": 7600},
}
_G6_DISKS = {**_G5_DISKS, "12xlarge": 3760, "16xlarge": 1880, "24xlarge": 3760, "48xlarge": 7520}
_P4_DISKS, _P5_DISKS = {"24xlarge": 8000}, {"4xlarge": 3800, "48xlarge": 30_400}
_OWN_DISKS = {
    **{"m5d": _D_DISKS, "r5d": _D_DISKS, "c5d": _C5D_DISKS},
    "g4dn": {"xlarge": 125, "2xlarge": 225, "4xlarge": 225, "8xlarge": 900, "12xlarge": 900, "16xlarge": 900},
    **{"g5": _G5_DISKS, "g6": _G6_DISKS, "g6e": _G5_DISKS},
    **{"p3dn": {"24xlarge": 1800}, "p4d": _P4_DISKS, "p4de": _P4_DISKS},
    **{"p5": _P5_DISKS, "p5e": {"48xlarge": 30_400}, "p5en": {"48xlarge": 30_400}},
}

CPU = (
    *("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge"),
    *("ml.c5.xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge", "ml.c5.9xlarge"),
)


def has_own_disks(instance_type: str) -> bool:
    """Whether the type has NVMe disks, which have no extra cost and cannot be encrypted with a KMS key."""
    return OWN_DISKS.match(instance_type) is not None


def own_disk_gigabytes(instance_type: str) -> int | None:
    """Total size of a type's own NVMe disks, which are its storage volume; None for a type without, or an unknown one.

    "You can't request a VolumeSizeInGB greater than the total size of the local instance storage":
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProcessingClusterConfig.html, and likewise
    API_HyperParameterTuningResourceConfig.html
    """
    family, _, size = instance_type.removeprefix("ml.").partition(".")
    return _OWN_DISKS.get(family, {}).get(size)


def gpus(instance_type: str) -> int:
    """Number of GPUs; 0 for a type that is not in the table of GPU types."""
    return GPUS.get(instance_type, 0)


def has_gpus(instance_type: str) -> bool:
    """Whether a type has GPUs, including types of GPU families that are missing in the table."""
    return gpus(instance_type) > 0 or GPU_INSTANCES.match(instance_type) is not None


def runs_cuda_13(instance_type: str) -> bool:
    """Whether PyTorch's builds for CUDA 13 run on the type; True for a type without GPUs."""
    return _BEFORE_CUDA_13.match(instance_type) is None


def computes_bfloat16(instance_type: str) -> bool:
    """Whether bf16 runs on the type: on GPUs from Ampere on, and on CPUs."""
    return _BEFORE_AMPERE.match(instance_type) is None


def fits_volume(instance_type: str, gigabytes: int) -> bool:
    """Whether a request for the type may have this VolumeSizeInGB: at most that of its own disks, if it has any."""
    size = own_disk_gigabytes(instance_type)
    return size is None or gigabytes <= size


def alternatives(
    instance_type: str, launcher: str, *, cuda_13: bool = True, same_disks: bool = False, gigabytes: int = 0
) -> list[str]:
    """The types that may replace `instance_type` in a compiled definition: those that suit its launcher and image.

    `cuda_13`: with torchrun only types for PyTorch with CUDA 13, which the default image has. `same_disks`: only types
    that have own disks if `instance_type` has, so that one request is valid for all; `gigabytes`: the size of the
    request's volume.
    """
    if launcher == "smddp":
        suited: tuple[str, ...] = SMDDP
    elif has_gpus(instance_type):
        suited = tuple(gpu_type for gpu_type in GPUS if runs_cuda_13(gpu_type) or not cuda_13)
    else:
        suited = CPU
    if same_disks:
        suited = tuple(name for name in suited if has_own_disks(name) == has_own_disks(instance_type))
    return sorted({*(name for name in suited if fits_volume(name, gigabytes)), instance_type})


def vcpus(instance_type: str) -> int:
    """Virtual CPUs, two per core, by the size in the name: `large` 2, `xlarge` 4, `9xlarge` 36; 1 for other sizes.

    Source: https://aws.amazon.com/ec2/instance-types/
    """
    size = instance_type.rsplit(".", 1)[-1]
    if size in ("medium", "large"):
        return 2
    times = size.removesuffix("xlarge")
    return 4 * int(times or 1) if size.endswith("xlarge") and (times or "1").isdecimal() else 1
