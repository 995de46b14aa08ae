"""Where a bin's units stand: placed one by one, never so that a unit could not be counted any more.

Units stand on the bin's floor, some on top of others; what stands further forward is drawn later and hides what is
behind it. A place is taken only if every unit keeps `MINIMUM_VISIBLE` of its own outline in sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.samples.shapes import Pixels, Sprite

# Of each unit's outline, in front of the tape. A unit that shows less can hardly be told from its neighbours.
MINIMUM_VISIBLE = 0.55
# Tries per size before a unit is drawn smaller, and how much smaller then.
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
        """Of the opening."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Of the opening."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Placed:
    """A unit in its place: the sprite as it is drawn, and where its upper left corner is."""

    sprite: Sprite
    x: int
    y: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the picture that the sprite covers."""
        height, width = self.sprite.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


class Scene:
    """Units from back to front, and which of them is seen at each pixel."""

    def __init__(self, width: int, height: int) -> None:
        self.units: list[Placed] = []
        # Of each pixel the position in `units`, -1 where there is none; of each unit its pixels in all and in sight.
        self.owner: NDArray[np.int16] = np.full((height, width), -1, np.int16)
        self._areas: list[int] = []
        self._seen: NDArray[np.int64] = np.zeros(0, np.int64)

    def visible(self) -> list[float]:
        """Of each unit the share of its outline that no other unit hides."""
        return [float(seen / area) for seen, area in zip(self._seen, self._areas, strict=True)]

    def add(self, unit: Placed) -> bool:
        """Put `unit` in front of all others and say whether that could be: not if it hid one of them too much."""
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
    """The sprite turned about its middle and scaled, in a picture that just holds it."""
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
    """Place every sprite, given with the degrees it leans, in a picture of `size` (width, height).

    All of them are in the scene that is returned: what finds no place is made smaller until it does.
    """
    scene = Scene(*size)
    # From back to front; evenly spread depths keep the last ones from hiding all others.
    depths = np.sort(rng.random(len(sprites)))
    for (sprite, lean), depth in zip(sprites, depths, strict=True):
        # The far end of the floor is drawn smaller, as the camera sees it.
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
