"""In which numbers the network computes, and how its tensors lie in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from steps.common.errors import StepError
from steps.train import recipe


@dataclass(frozen=True)
class Precision:
    """fp32, or bf16 where autocast takes it; channels last either way, the layout that convolutions are fastest in."""

    device: torch.device
    bf16: bool

    @classmethod
    def choose(cls, requested: recipe.Precision, device: torch.device) -> Precision:
        """What was requested; `auto` is bf16 on a GPU that computes in it (Ampere and later)."""
        able = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        if requested == "bf16" and device.type == "cuda" and not able:
            raise StepError("--precision bf16 wants a GPU of the Ampere generation or later; use auto or fp32")
        return cls(device, requested == "bf16" or (requested == "auto" and able))

    def autocast(self) -> AbstractContextManager[object]:
        """The context to run the network in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    @staticmethod
    def laid_out(photos: Tensor) -> Tensor:
        """A batch (N, 3, H, W) in channels-last memory."""
        return photos.contiguous(memory_format=torch.channels_last)
