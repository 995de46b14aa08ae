"""Augmentation of a batch, on its device. No crop: it can cut counted objects out of the picture."""

from __future__ import annotations

import torch
from torch import Tensor

# Brightness and contrast of a photo change by up to this share.
COLOUR = 0.2


def augment(photos: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) to float in 0..255: each photo mirrored with probability 1/2, and its light changed a little.

    Draws from torch's global generator.
    """
    shape = (photos.shape[0], 1, 1, 1)
    mirrored = torch.rand(shape, device=photos.device) < 0.5
    brightness, contrast = 1 + COLOUR * (2 * torch.rand((2, *shape), device=photos.device) - 1)
    values = torch.where(mirrored, photos.flip(-1), photos).float()
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    # One multiply-add a pixel: (v - mean) * contrast + mean * brightness.
    return torch.addcmul(mean * (brightness - contrast), values, contrast).clamp_(0, 255)
