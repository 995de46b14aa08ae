"""The device that a process trains on; an instance whose GPUs cannot be used is an error, not a slow training."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping

import torch

from steps.contracts.errors import StepError
from steps.contracts.names import GPU_INSTANCES, LOCAL_CPU

log = logging.getLogger(__name__)


def choose_device(local_rank: int, instance_type: str, environ: Mapping[str, str] = os.environ) -> torch.device:
    """The GPU of this rank of the instance; the CPU on an instance without GPUs, and in the local cloud.

    Raises StepError on an instance with GPUs that PyTorch cannot use, with the driver's version and PyTorch's reason:
    the CPU would take many hours at the GPUs' price.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
        return torch.device("cuda", local_rank)
    gpus = _gpus(instance_type, environ)
    if gpus and environ.get(LOCAL_CPU) == "1":
        if local_rank == 0:
            log.warning("training on the CPU: the local cloud does not have %s", gpus)
    elif gpus:
        raise StepError(
            f"PyTorch {torch.__version__} cannot use {gpus}: {_reason()}; driver {_driver_version()}, CUDA of this "
            f"PyTorch {torch.version.cuda or 'none'}. For a driver that is too old, choose another instance type or an "
            "image with an older CUDA (images.training_base); for a broken GPU, start again"
        )
    return torch.device("cpu")


def _gpus(instance_type: str, environ: Mapping[str, str]) -> str:
    """A phrase for the GPUs that this instance should have; empty where it should have none.

    The training toolkit counts the lines of `nvidia-smi -L` for SM_NUM_GPUS, which are missing for a GPU that has
    fallen off the bus; the instance type remains.
    """
    counted = environ.get("SM_NUM_GPUS", "")
    number = int(counted) if counted.isdigit() else 0
    if number or GPU_INSTANCES.match(instance_type):
        return f"the GPUs of {instance_type or 'this machine'} (SM_NUM_GPUS={number})"
    return ""


def _reason() -> str:
    """PyTorch's own words, which name a driver that is too old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as error:
            return str(error).splitlines()[0].rstrip(".")
    return "CUDA is not available"


def _driver_version() -> str:
    """The NVIDIA driver's version; `unknown` where its library does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        return f"unknown ({error})"
