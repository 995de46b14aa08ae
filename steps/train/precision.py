"""Number format of the network's computation, and memory layout of its tensors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from steps.contracts.errors import StepError
from steps.train.recipe import PrecisionName


@dataclass(frozen=True)
class Precision:
    """fp32, or autocast to another format; in both with channels-last tensors, the fastest layout for convolutions."""

    device: torch.device
    autocast_to: torch.dtype | None

    @classmethod
    def choose(cls, requested: PrecisionName, device: torch.device) -> Precision:
        """The requested precision; `auto` is the format of a GPU's tensor cores, and fp32 elsewhere.

        That is bf16 from Ampere on (compute capability 8.0), and fp16 on Volta and Turing (7.0, 7.5).
        Raises StepError for a precision that the device does not support.
        """
        capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
        if requested == "bf16" and device.type == "cuda" and capability < (8, 0):
            raise StepError("--precision bf16 needs a GPU of the Ampere generation or later; use auto, fp16 or fp32")
        if requested == "fp16" and device.type != "cuda":
            raise StepError("--precision fp16 needs a GPU; use auto, fp32 or bf16")
        if requested == "auto":
            requested = "bf16" if capability >= (8, 0) else "fp16" if capability >= (7, 0) else "fp32"
        return cls(device, {"bf16": torch.bfloat16, "fp16": torch.float16}.get(requested))

    @property
    def name(self) -> str:
        """fp32, bf16 or fp16, for the log."""
        return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(self.autocast_to or torch.float32, "fp32")

    def autocast(self) -> AbstractContextManager[object]:
        """The context for a forward pass."""
        return torch.autocast(self.device.type, self.autocast_to) if self.autocast_to else nullcontext()

    def gradient_scaler(self) -> torch.amp.GradScaler:
        """A scaler that prevents small gradients from becoming zero in fp16; without effect in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.autocast_to is torch.float16)

    @staticmethod
    def laid_out(photos: Tensor) -> Tensor:
        """A batch (N, 3, H, W) in channels-last memory."""
        return photos.contiguous(memory_format=torch.channels_last)
