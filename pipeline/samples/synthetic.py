"""Synthetic bins: photos that a person could count, with the metadata the real data set would have.

They stand in for real photos where there are none, so that the whole pipeline can be run and tested anywhere. They
are made so that counting must be learnt: how much of a bin is filled does not follow from how many units are in it,
and cloth, prints and tape have edges of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pipeline.samples import photo
from pipeline.samples.items import Item, metadata, random_item
from pipeline.samples.layout import Bin
from pipeline.samples.photo import Backdrop
from pipeline.samples.scene import Scene, arrange
from pipeline.samples.shapes import SHAPES, Sprite

__all__ = ["Bin", "generate"]

# Out of 100 bins with 0 to 7 units; the real data set's order (3 most, 0 few), with more empty bins, so that a few
# hundred photos have all classes in all splits.
QUANTITIES = (5, 11, 17, 20, 17, 13, 10, 7)
# Photos of the same physical bin, one after another; in the real data 40% of neighbours share an item.
PHOTOS_PER_BIN = (0.62, 0.28, 0.10)
ANOTHER_OF_THE_SAME = 0.2
# The share of the opening that all units would cover side by side, and a unit's own least and greatest share.
FILL = (0.16, 0.66)
UNIT_AREA = (0.042, 0.17)


def generate(count: int, seed: int, maximum_quantity: int = 7) -> Iterator[Bin]:
    """`count` photos with their metadata, ids from `00001` on; the same bytes for the same seed.

    A bin holds 0 to `maximum_quantity` (at most 7) units. The first photos of a longer sequence are those of a
    shorter one. Raises ValueError for a maximum outside 1..7.
    """
    if not 1 <= maximum_quantity < len(QUANTITIES):
        raise ValueError(f"maximum_quantity is {maximum_quantity}; synthetic bins hold at most {len(QUANTITIES) - 1}")
    number, physical_bin = 0, 0
    while number < count:
        for jpeg, document in _photos_of_one_bin((seed, physical_bin), maximum_quantity):
            if number == count:
                return
            number += 1
            yield Bin(f"{number:05d}", jpeg, document)
        physical_bin += 1


def _photos_of_one_bin(seed: tuple[int, int], maximum_quantity: int) -> Iterator[tuple[bytes, bytes]]:
    rng = np.random.default_rng(seed)
    shares = np.array(QUANTITIES[: maximum_quantity + 1], float)
    quantity = int(rng.choice(len(shares), p=shares / shares.sum()))
    contents = _contents(quantity, rng)
    empty = photo.backdrop(rng)
    areas = _areas(quantity, rng)
    document = metadata(contents, seed)
    for _ in range(1 + int(rng.choice(len(PHOTOS_PER_BIN), p=PHOTOS_PER_BIN))):
        # Photographed again after someone has put things back in another way.
        scene = _scene(contents, areas, empty, rng)
        yield photo.develop(photo.paint(scene, empty), rng), document


def _contents(quantity: int, rng: np.random.Generator) -> list[tuple[Item, int]]:
    """Which items the units are, and how many of each; the numbers add up to `quantity`."""
    contents: list[tuple[Item, int]] = []
    for _ in range(quantity):
        if contents and rng.random() < ANOTHER_OF_THE_SAME:
            item, number = contents[-1]
            contents[-1] = (item, number + 1)
        else:
            contents.append((random_item(rng), 1))
    return contents


def _areas(quantity: int, rng: np.random.Generator) -> list[float]:
    """Each unit's share of the opening: the sum is drawn first and does not depend on the number of units."""
    if not quantity:
        return []
    weights = rng.uniform(0.6, 1.4, quantity)
    fill = rng.uniform(*FILL)
    return [float(area) for area in np.clip(fill * weights / weights.sum(), *UNIT_AREA)]


def _scene(
    contents: Sequence[tuple[Item, int]], areas: Sequence[float], empty: Backdrop, rng: np.random.Generator
) -> Scene:
    units = [item for item, number in contents for _ in range(number)]
    opening = empty.cavity.width * empty.cavity.height
    sprites = [_draw(units[i], areas[i] * opening, rng) for i in rng.permutation(len(units))]
    return arrange(sprites, empty.cavity, empty.size, rng)


def _draw(item: Item, area: float, rng: np.random.Generator) -> tuple[Sprite, float]:
    """A unit of `item` that covers about `area` pixels, and the degrees it leans (90 more where it lies)."""
    shape = SHAPES[item.kind]
    height = (area / item.aspect) ** 0.5
    sprite = shape.draw(max(8, round(height * item.aspect)), max(8, round(height)), np.random.default_rng(item.look))
    lean = float(rng.normal(0, 5))
    return (_lying(sprite), lean) if rng.random() < shape.lies else (sprite, lean)


def _lying(sprite: Sprite) -> Sprite:
    """Turned by a right angle, without loss."""
    return replace(
        sprite,
        pixels=np.ascontiguousarray(np.rot90(sprite.pixels)),
        mask=np.ascontiguousarray(np.rot90(sprite.mask)),
    )
