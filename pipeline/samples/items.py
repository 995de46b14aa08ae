"""Products in synthetic bins and their metadata, in the layout of the Amazon Bin Image Dataset, with its defects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.samples.shapes import SHAPES

# Shares of products in the real data: of 10,000 bins, with about three products each, 609 have a product without a
# weight and 44 one without dimensions. A product's key that is not its `asin` occurs a few times.
NO_WEIGHT = 0.022
NO_DIMENSIONS = 0.0015
OTHER_KEY = 0.001

_ASIN = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MAKERS = ("Harbor", "Northwind", "Alder & Co", "Brightside", "Quill", "Summit", "Bluefern", "Oak Lane", "Tidewater")
_TRAITS = ("Compact", "Classic", "Large", "Travel", "Organic", "Deluxe", "Kids'", "Everyday", "Slim", "Café", "3-Pack")
_NAMES = {
    "box": ("LED Light Bulbs", "Storage Organizer", "Toaster Parts Kit", "Board Game", "Tea Assortment"),
    "book": ("Paperback Novel", "Field Guide to Birds", "Cookbook", "Blu-ray Collection", "Daily Planner"),
    "bottle": ("Shampoo, 12 oz", "Olive Oil", "Fish Oil, 60 Capsules", "Hand Lotion", "Dish Soap"),
    "can": ("Ground Coffee", "Protein Powder", "Mixed Nuts", "Scented Candle", "Tennis Balls"),
    "pouch": ("Cotton T-Shirt", "Dog Treats", "Fleece Socks", "Plush Rabbit", "Shower Curtain"),
    "card": ("Phone Case", "USB Cable, 6 Feet", "Screwdriver Bits", "Earbuds", "Travel Adapter"),
}


@dataclass(frozen=True)
class Product:
    """A product, and the seed that all its units are drawn from."""

    asin: str
    kind: str
    name: str
    look: int
    aspect: float


def random_product(rng: np.random.Generator) -> Product:
    """A new product of a random kind."""
    kinds = tuple(SHAPES)
    kind = kinds[int(rng.integers(len(kinds)))]
    asin = "B0" + "".join(_ASIN[i] for i in rng.integers(0, len(_ASIN), 8))
    words = (_pick(_MAKERS, rng), _pick(_TRAITS, rng), _pick(_NAMES[kind], rng))
    return Product(asin, kind, " ".join(words), int(rng.integers(2**31)), rng.uniform(*SHAPES[kind].aspect))


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def metadata(contents: Sequence[tuple[Product, int]], seed: Sequence[int]) -> bytes:
    """The JSON of a bin with its products and their quantities.

    A product's measures, and the missing ones, depend only on `seed` (that of the physical bin) and the product, so
    that two photos of one bin agree.
    """
    data = {}
    for product, quantity in contents:
        rng = np.random.default_rng([*seed, product.look])
        key = product.asin if rng.random() >= OTHER_KEY else f"X{product.asin[1:]}"
        data[key] = _entry(product, quantity, rng)
    total = sum(quantity for _, quantity in contents)
    document = {"BIN_FCSKU_DATA": dict(sorted(data.items())), "EXPECTED_QUANTITY": total}
    return json.dumps(document, indent=4).encode()


def _entry(product: Product, quantity: int, rng: np.random.Generator) -> dict[str, Any]:
    long = rng.uniform(4.0, 12.0)
    sides = sorted((long, long * min(product.aspect, 1 / product.aspect), rng.uniform(0.5, 3.0)))
    has_dimensions = rng.random() >= NO_DIMENSIONS
    height, width, length = ({"unit": "IN", "value": round(side, 12)} if has_dimensions else None for side in sides)
    weight = {"unit": "pounds", "value": round(rng.uniform(0.05, 4.0), 12)} if rng.random() >= NO_WEIGHT else None
    return {
        "asin": product.asin,
        "height": height,
        "length": length,
        "name": product.name,
        "normalizedName": product.name,
        "quantity": quantity,
        "weight": weight,
        "width": width,
    }
