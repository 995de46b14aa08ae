"""AWS's Deep Learning Containers for PyTorch, the base of the training image: tags, and accounts by region.

Tags: https://github.com/aws/deep-learning-containers/blob/master/available_images.md
Accounts: https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html
"""

from __future__ import annotations

from typing import Literal

Device = Literal["gpu", "cpu"]

# The newest with the SageMaker training toolkit, and the last with SMDDP. Those for CPUs are much smaller. Both images
# of a launcher have the same PyTorch, so that evaluation uses the version of the training. The GPUs on which torchrun's
# image, of CUDA 13, runs: instances.runs_cuda_13.
_TAGS: dict[tuple[str, Device], str] = {
    ("torchrun", "gpu"): "2.10.0-gpu-py313-cu130-ubuntu22.04-sagemaker",
    ("torchrun", "cpu"): "2.10.0-cpu-py313-ubuntu22.04-sagemaker",
    ("smddp", "gpu"): "2.5.1-gpu-py311-cu124-ubuntu22.04-sagemaker",
    ("smddp", "cpu"): "2.5.1-cpu-py311-ubuntu22.04-sagemaker",
}
_ACCOUNT = "763104351884"
# Regions that must be enabled first, and GovCloud, have accounts of their own.
_ACCOUNTS = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "me-west-1": "124382933778",
    "mx-central-1": "637423239942",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
}


def account(region: str) -> str:
    """The account with AWS's containers in a region."""
    return _ACCOUNTS.get(region, _ACCOUNT)


def pytorch_training(region: str, launcher: Literal["torchrun", "smddp"], device: Device) -> str:
    """URI of AWS's PyTorch training image for a launcher, with CUDA (`gpu`) or without (`cpu`)."""
    return f"{account(region)}.dkr.ecr.{region}.amazonaws.com/pytorch-training:{_TAGS[launcher, device]}"
