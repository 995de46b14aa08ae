"""Random changes of a batch's photos, on the device. No crop: it can cut counted objects out of the picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Largest change of a photo's brightness and contrast, as a share.
COLOUR = 0.2
# Largest rotation to each side, in degrees; the smallest share of its side that a photo is shrunk to.
DEGREES, SMALLEST = 8.0, 0.8


def augment(photos: Tensor, *, random_affine: bool = False) -> Tensor:
    """uint8 (N, 3, H, W) to float in 0..255: photos mirrored with probability 1/2, brightness and contrast changed.

    With `random_affine` they are then `moved`. Draws from torch's global generator. Call it without autocast, whose
    coarser format would displace pixels.
    """
    shape = (photos.shape[0], 1, 1, 1)
    mirrored = torch.rand(shape, device=photos.device) < 0.5
    brightness, contrast = 1 + COLOUR * (2 * torch.rand((2, *shape), device=photos.device) - 1)
    values = torch.where(mirrored, photos.flip(-1), photos).float()
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    # One multiply-add per pixel: (v - mean) * contrast + mean * brightness.
    changed = torch.addcmul(mean * (brightness - contrast), values, contrast).clamp_(0, 255)
    return moved(changed) if random_affine else changed


def moved(photos: Tensor) -> Tensor:
    """Float (N, C, S, S), each rotated by up to DEGREES and shrunk to SMALLEST or more of its side, then moved.

    A photo is moved by no more than it was shrunk. Only its rotation can push something out of the picture: wedges
    along the edges, 1% of the photo on average and 7% at most. Pixels beyond the photo are those of its border.
    """
    count, _, height, width = photos.shape
    angle, scale, right, down = torch.rand(4, count, 1, 1, device=photos.device)
    angle = math.radians(DEGREES) * (2 * angle - 1)
    # From a place in the result to a place in the photo, both from -1 to 1: a larger factor shrinks it.
    factor = 1 / (SMALLEST + (1 - SMALLEST) * scale)
    room = factor - 1
    cosine, sine = factor * angle.cos(), factor * angle.sin()
    across, along = _centres(width, photos.device), _centres(height, photos.device)[:, None]
    # Not torch.affine_grid: its matrix product is in TF32 where that is permitted, too coarse for places.
    grid = torch.stack(
        [
            cosine * across - sine * along + room * (2 * right - 1),
            sine * across + cosine * along + room * (2 * down - 1),
        ],
        dim=-1,
    )
    return functional.grid_sample(photos, grid, padding_mode="border", align_corners=False)


def _centres(side: int, device: torch.device) -> Tensor:
    """The places of the pixels of a side, from -1 to 1 (side,)."""
    return (2 * torch.arange(side, device=device) + 1) / side - 1


def halved(photos: Tensor) -> Tensor:
    """Float (N, 3, S, S) to (N, 3, S // 2, S // 2): the means of areas of four pixels, or a few more if S is odd."""
    side = photos.shape[-1] // 2
    return functional.interpolate(photos, size=(side, side), mode="area")
