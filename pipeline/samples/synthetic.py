"""Synthetic bins: photos that a person could count, with metadata as in the real data set.

They replace real photos, so that the whole pipeline can run and be tested anywhere. A model has to learn counting from
them: the filled share of a bin does not depend on the number of units, and cloth, prints and tape have edges too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.samples import photo
from pipeline.samples.items import Product, metadata, random_product
from pipeline.samples.layout import Bin
from pipeline.samples.photo import Backdrop
from pipeline.samples.scene import Scene, arrange
from pipeline.samples.shapes import SHAPES, Sprite

# Numbers of bins with 0 to 7 units, of 100. As in the real data set, 3 is the most frequent and 0 is rare, but less so:
# a few hundred photos are to have all classes in all splits.
QUANTITIES = (5, 11, 17, 20, 17, 13, 10, 7)
# Shares of bins with one, two and three photos in sequence; in the real data 40% of neighbours share a product.
PHOTOS_PER_BIN = (0.62, 0.28, 0.10)
ANOTHER_OF_THE_SAME = 0.2
# The share of the opening that all units would cover side by side, and that of one unit.
FILL = (0.16, 0.66)
UNIT_AREA = (0.042, 0.17)


def generate(count: int, seed: int, maximum_quantity: int = 7) -> Iterator[Bin]:
    """`count` photos with their metadata, ids from `00001` on; the same bytes for the same seed.

    A bin holds 0 to `maximum_quantity` (at most 7) units. A longer sequence begins with the photos of a shorter one.
    Raises ValueError for a maximum outside 1..7.
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
        # Each photo has the same units in other places.
        scene = _scene(contents, areas, empty, rng)
        yield photo.develop(photo.paint(scene, empty), rng), document


def _contents(quantity: int, rng: np.random.Generator) -> list[tuple[Product, int]]:
    """The products of a bin with their numbers, which add up to `quantity`."""
    contents: list[tuple[Product, int]] = []
    for _ in range(quantity):
        if contents and rng.random() < ANOTHER_OF_THE_SAME:
            product, number = contents[-1]
            contents[-1] = (product, number + 1)
        else:
            contents.append((random_product(rng), 1))
    return contents


def _areas(quantity: int, rng: np.random.Generator) -> list[float]:
    """Each unit's share of the opening: the sum is drawn first and does not depend on the number of units."""
    if not quantity:
        return []
    weights = rng.uniform(0.6, 1.4, quantity)
    fill = rng.uniform(*FILL)
    return [float(area) for area in np.clip(fill * weights / weights.sum(), *UNIT_AREA)]


def _scene(
    contents: Sequence[tuple[Product, int]], areas: Sequence[float], empty: Backdrop, rng: np.random.Generator
) -> Scene:
    units = [product for product, number in contents for _ in range(number)]
    opening = empty.cavity.width * empty.cavity.height
    sprites = [_draw(units[i], areas[i] * opening, rng) for i in rng.permutation(len(units))]
    return arrange(sprites, empty.cavity, empty.size, rng)


def _draw(product: Product, area: float, rng: np.random.Generator) -> tuple[Sprite, float]:
    """A unit of `product` that covers about `area` pixels, and the degrees that it leans."""
    shape = SHAPES[product.kind]
    height = (area / product.aspect) ** 0.5
    width = max(8, round(height * product.aspect))
    sprite = shape.draw(width, max(8, round(height)), np.random.default_rng(product.look))
    lean = float(rng.normal(0, 5))
    if rng.random() < shape.lies:  # turned by a right angle, without loss
        sprite = Sprite(*(np.ascontiguousarray(np.rot90(layer)) for layer in (sprite.pixels, sprite.mask)))
    return sprite, lean
