"""The places of a bin's units, chosen one by one so that every unit can be counted.

Units stand on the bin's floor, some on top of others; a unit further in front is drawn later and hides those behind it.
A unit gets a place only if each unit keeps the share `MINIMUM_VISIBLE` of its outline visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.samples.shapes import Pixels, Sprite

# Visible share of each unit's outline, without the tape. A less visible unit can hardly be distinguished.
MINIMUM_VISIBLE = 0.55
# Tries per size before a unit is drawn smaller, the factor of its size then, and the share of units on top of others.
TRIES = 24
SHRINK = 0.88
STACKED = 0.3


@dataclass(frozen=True)
class Cavity:
    """The inside of a bin in pixels of the picture: units stand between `back` (far) and `bottom` (near)."""

    left: int
    top: int
    right: int
    bottom: int
    back: int

    @property
    def width(self) -> int:
        """Width of the opening."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Height of the opening."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Placed:
    """A unit in its place: the sprite, and the position of its upper left corner."""

    sprite: Sprite
    x: int
    y: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the picture that the sprite covers."""
        height, width = self.sprite.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


class Scene:
    """Units from back to front, and the visible unit of each pixel."""

    def __init__(self, width: int, height: int) -> None:
        self.units: list[Placed] = []
        # The index in `units` per pixel, -1 for none; the pixels of each unit, and its visible ones.
        self.owner: NDArray[np.int16] = np.full((height, width), -1, np.int16)
        self._areas: list[int] = []
        self._seen: NDArray[np.int64] = np.zeros(0, np.int64)

    def visible(self) -> list[float]:
        """The share of each unit's outline that no other unit hides."""
        return [float(seen / area) for seen, area in zip(self._seen, self._areas, strict=True)]

    def add(self, unit: Placed) -> bool:
        """Put `unit` in front of all others. Returns False, and adds nothing, if it would hide one of them too much."""
        region, mask = self.owner[unit.window], unit.sprite.mask > 0
        hidden = np.bincount(region[mask] + 1, minlength=len(self.units) + 1)[1:]
        remain = self._seen - hidden
        if np.any(remain < MINIMUM_VISIBLE * np.array(self._areas)):
            return False
        region[mask] = len(self.units)
        area = int(np.count_nonzero(mask))
        self.units.append(unit)
        self._areas.append(area)
        self._seen = np.append(remain, area)
        return True


def turned(sprite: Sprite, degrees: float, scale: float) -> Sprite:
    """The sprite turned about its middle and scaled, in a picture of its new size."""
    height, width = sprite.mask.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(np.ceil(width * cos + height * sin)), int(np.ceil(width * sin + height * cos)))
    matrix[0, 2] += (size[0] - width) / 2
    matrix[1, 2] += (size[1] - height) / 2
    pixels: Pixels = cv2.warpAffine(sprite.pixels, matrix, size, flags=cv2.INTER_LINEAR)
    mask: Pixels = cv2.warpAffine(sprite.mask, matrix, size, flags=cv2.INTER_LINEAR)
    return Sprite(pixels, mask)


def arrange(
    sprites: Sequence[tuple[Sprite, float]], cavity: Cavity, size: tuple[int, int], rng: np.random.Generator
) -> Scene:
    """A scene of `size` (width, height) with all sprites, each given with the degrees that it leans.

    A sprite without a place is drawn smaller until it has one.
    """
    scene = Scene(*size)
    # From back to front. Depths over the whole floor prevent that the last units hide all others.
    depths = np.sort(rng.random(len(sprites)))
    for (sprite, lean), depth in zip(sprites, depths, strict=True):
        # Units at the far end of the floor are smaller in the picture.
        scale = 0.86 + 0.14 * float(depth)
        while not _place(scene, turned(sprite, lean, scale), float(depth), cavity, rng):
            scale *= SHRINK
    return scene


def _place(scene: Scene, sprite: Sprite, depth: float, cavity: Cavity, rng: np.random.Generator) -> bool:
    height, width = sprite.mask.shape
    if width > cavity.width or height > cavity.height:
        return False
    floor = round(cavity.back + depth * (cavity.bottom - cavity.back))
    for _ in range(TRIES):
        x, ground = int(rng.integers(cavity.left, cavity.right - width + 1)), floor
        if scene.units and rng.random() < STACKED:
            below = scene.units[int(rng.integers(len(scene.units)))]
            x = below.x + int(rng.normal(0, 0.2) * width) + (below.sprite.mask.shape[1] - width) // 2
            ground = below.y + 4
        y = ground - height
        inside = cavity.left <= x <= cavity.right - width and cavity.top <= y <= cavity.bottom - height
        if inside and scene.add(Placed(sprite, x, y)):
            return True
    return False
