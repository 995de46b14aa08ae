"""Drawings of the units in synthetic bins: boxes, books, bottles, cans, pouches, cards.

A unit is drawn upright, from the front, into a picture of its own with a mask. The random generator determines the
product: the same state of the generator draws the same product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
# Left, top, right, bottom, in pixels from the unit's upper left corner.
Area = tuple[float, float, float, float]

# Pixels around a drawing for its antialiased outline.
MARGIN = 2
# Brightness of the outline, which separates neighbours that touch, as the shade between them does in a photo.
RIM = 0.45
KRAFT = (168, 124, 84)


@dataclass(frozen=True)
class Sprite:
    """`pixels` (height, width, 3) in RGB and `mask` (height, width), 255 on the unit."""

    pixels: Pixels
    mask: Pixels


def colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    """A random RGB colour of any hue, with saturation and value (0..1) within the given ranges."""
    hue, s, v = 6 * rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    channels = [v * (1 - s * float(np.clip(abs((hue + shift) % 6 - 3) - 1, 0, 1))) for shift in (3.0, 1.0, 5.0)]
    return (int(255 * channels[0]), int(255 * channels[1]), int(255 * channels[2]))


def shade(base: Colour, factor: float) -> Colour:
    """A brighter or darker colour: `factor` times each channel."""
    red, green, blue = (min(255, int(channel * factor)) for channel in base)
    return (red, green, blue)


def _contrast(base: Colour) -> Colour:
    """The colour of ink that is readable on `base`."""
    light = 0.299 * base[0] + 0.587 * base[1] + 0.114 * base[2] > 120
    return (35, 30, 40) if light else (235, 232, 222)


class _Canvas:
    """The picture and the mask of one unit; coordinates are pixels from the unit's upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels: Pixels = np.zeros((height + 2 * MARGIN, width + 2 * MARGIN, 3), np.uint8)
        self.mask: Pixels = np.zeros(self.pixels.shape[:2], np.uint8)

    def polygon(self, points: list[tuple[float, float]], fill: Colour) -> None:
        """Paint a polygon that belongs to the unit's outline."""
        corners = np.rint(np.asarray(points) + MARGIN).astype(np.int32)
        cv2.fillPoly(self.pixels, [corners], fill)
        cv2.fillPoly(self.mask, [corners], 255)

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """Paint an upright rectangle on the unit, which does not change the outline."""
        x0, y0 = max(0, round(left)) + MARGIN, max(0, round(top)) + MARGIN
        x1, y1 = min(self.width, round(right)) + MARGIN, min(self.height, round(bottom)) + MARGIN
        if x1 > x0 and y1 > y0:
            self.pixels[y0:y1, x0:x1] = fill

    def ellipse(self, x: float, y: float, across: float, down: float, fill: Colour) -> None:
        """Paint an ellipse (half axes `across` and `down`) that belongs to the unit's outline."""
        centre, axes = (round(x) + MARGIN, round(y) + MARGIN), (max(1, round(across)), max(1, round(down)))
        cv2.ellipse(self.pixels, centre, axes, 0, 0, 360, fill, -1)
        cv2.ellipse(self.mask, centre, axes, 0, 0, 360, 255, -1)

    def round_off(self, strength: float) -> None:
        """Shade from the middle to both sides, as on a cylinder."""
        across = np.linspace(-1, 1, self.pixels.shape[1])
        profile = 1.12 - strength * np.abs(across + 0.25) ** 1.6
        profile += 0.5 * np.exp(-(((across + 0.4) / 0.07) ** 2)) * strength
        factors = np.broadcast_to(profile.astype(np.float32)[None, :, None], self.pixels.shape)
        cv2.multiply(self.pixels, np.ascontiguousarray(factors), self.pixels, dtype=cv2.CV_8U)

    def sprite(self) -> Sprite:
        """The finished unit with its darkened rim."""
        inner = cv2.erode(self.mask, np.ones((3, 3), np.uint8))
        rim = (self.mask > 0) & (inner == 0)
        self.pixels[rim] = (self.pixels[rim] * RIM).astype(np.uint8)
        return Sprite(self.pixels, self.mask)


def _lines_of_text(canvas: _Canvas, rng: np.random.Generator, area: Area, ink: Colour, lines: int) -> None:
    """Paint words that are too small to read: rows of dashes inside `area`."""
    left, top, right, bottom = area
    pitch = (bottom - top) / max(1, lines)
    if pitch < 3:
        return
    for line in range(lines):
        x = left
        end = left + (right - left) * rng.uniform(0.55, 1)
        for length in rng.uniform(0.1, 0.35, size=4):
            width = length * (right - left)
            y = top + line * pitch
            canvas.rectangle(x, y, min(x + width, end), y + max(1.0, 0.5 * pitch), ink)
            x += width + 2


def _barcode(canvas: _Canvas, rng: np.random.Generator, area: Area) -> None:
    """Paint a white sticker with bars and a line of text, as warehouses put on products without a code."""
    x, y, width, height = area[0], area[1], area[2] - area[0], area[3] - area[1]
    canvas.rectangle(*area, (232, 230, 224))
    bar = x + 0.1 * width
    while bar < x + 0.86 * width:
        thick = 1 + int(rng.integers(0, 2))
        canvas.rectangle(bar, y + 0.12 * height, bar + thick, y + 0.68 * height, (40, 38, 42))
        bar += thick + 1 + int(rng.integers(0, 2))
    canvas.rectangle(x + 0.1 * width, y + 0.78 * height, x + 0.7 * width, y + 0.88 * height, (90, 88, 92))


def _sticker(canvas: _Canvas, rng: np.random.Generator, face: Area) -> None:
    """Paint a barcode sticker somewhere on `face`, on about half of all products."""
    left, top, right, bottom = face
    width, height = min(34.0, 0.55 * (right - left)), min(20.0, 0.3 * (bottom - top))
    if rng.random() < 0.5 and width > 12 and height > 8:
        x, y = rng.uniform(left + 2, right - width - 2), rng.uniform(top + 2, bottom - height - 2)
        _barcode(canvas, rng, (x, y, x + width, y + height))


def box(width: int, height: int, rng: np.random.Generator) -> Sprite:
    """A carton of plain or printed cardboard: front, lid and one side."""
    canvas = _Canvas(width, height)
    kraft = rng.random() < 0.45
    base = shade(KRAFT, rng.uniform(0.8, 1.2)) if kraft else colour(rng, (0.15, 0.8), (0.4, 0.92))
    lid, side = height * rng.uniform(0.1, 0.24), width * rng.uniform(0.06, 0.2)
    right, front = width - side, (0.0, lid, width - side, float(height))
    canvas.polygon([(0, lid), (side, 0), (width, 0), (right, lid)], shade(base, 1.25))
    canvas.polygon([(right, lid), (width, 0), (width, height - lid), (right, height)], shade(base, 0.62))
    canvas.polygon([(0, lid), (right, lid), (right, height), (0, height)], base)
    if kraft:
        seam = right * rng.uniform(0.35, 0.65)
        canvas.rectangle(seam - 0.05 * right, lid, seam + 0.05 * right, height, shade(base, 1.15))
    else:
        band = colour(rng, (0.2, 0.9), (0.3, 0.95))
        start = lid + (height - lid) * rng.uniform(0.05, 0.55)
        canvas.rectangle(0, start, right, start + (height - lid) * rng.uniform(0.15, 0.4), band)
        text = (0.12 * right, start + 4, 0.88 * right, start + 0.3 * (height - lid))
        _lines_of_text(canvas, rng, text, _contrast(band), 2)
    _sticker(canvas, rng, front)
    return canvas.sprite()


def book(width: int, height: int, rng: np.random.Generator) -> Sprite:
    """A book or a disc case: a cover with a title and a picture, and the pages on one side."""
    canvas = _Canvas(width, height)
    cover = colour(rng, (0.25, 0.9), (0.3, 0.85))
    pages = max(2.0, 0.08 * width)
    canvas.polygon([(0, 0), (width, 0), (width, height), (0, height)], cover)
    canvas.rectangle(width - pages, 2, width - 1, height - 2, (222, 214, 192))
    canvas.rectangle(0, 0, 0.07 * width, height, shade(cover, 0.7))
    ink, right = _contrast(cover), width - pages
    _lines_of_text(canvas, rng, (0.16 * width, 0.1 * height, 0.92 * right, 0.32 * height), ink, 3)
    if rng.random() < 0.6:
        top = height * rng.uniform(0.42, 0.5)
        canvas.rectangle(0.2 * width, top, 0.85 * right, top + 0.35 * height, colour(rng, (0.2, 0.9), (0.4, 0.95)))
    _sticker(canvas, rng, (0.1 * width, 0.55 * height, right, float(height)))
    return canvas.sprite()


def bottle(width: int, height: int, rng: np.random.Generator) -> Sprite:
    """A bottle with shoulders, a cap and a label around it."""
    canvas = _Canvas(width, height)
    body = colour(rng, (0.1, 0.8), (0.45, 0.95))
    neck, cap = width * rng.uniform(0.2, 0.32), height * rng.uniform(0.1, 0.16)
    shoulder = height * rng.uniform(0.24, 0.34)
    middle = width / 2
    outline = [(middle - neck, cap), (middle + neck, cap), (width, shoulder), (width, 0.96 * height)]
    outline += [(0.92 * width, height), (0.08 * width, height), (0, 0.96 * height), (0, shoulder)]
    canvas.polygon(outline, body)
    label = colour(rng, (0.1, 0.9), (0.5, 1))
    top, bottom = shoulder + 0.08 * height, shoulder + 0.5 * height
    canvas.rectangle(0, top, width, bottom, label)
    _lines_of_text(canvas, rng, (0.15 * width, top + 4, 0.85 * width, bottom), _contrast(label), 3)
    stopper = colour(rng, (0.1, 0.9), (0.25, 0.95))
    wide = neck * 1.15
    canvas.polygon([(middle - wide, 0), (middle + wide, 0), (middle + wide, cap), (middle - wide, cap)], stopper)
    canvas.round_off(0.6)
    return canvas.sprite()


def can(width: int, height: int, rng: np.random.Generator) -> Sprite:
    """A tin or a jar: a cylinder with its lid."""
    canvas = _Canvas(width, height)
    body, lid = colour(rng, (0.2, 0.9), (0.4, 0.9)), height * rng.uniform(0.08, 0.14)
    middle = width / 2
    canvas.ellipse(middle, height - lid, middle - 1, lid, body)
    canvas.polygon([(0, lid), (width, lid), (width, height - lid), (0, height - lid)], body)
    band = colour(rng, (0.1, 0.9), (0.5, 1))
    top = height * rng.uniform(0.28, 0.42)
    canvas.rectangle(0, top, width, top + 0.34 * height, band)
    _lines_of_text(canvas, rng, (0.18 * width, top + 3, 0.85 * width, top + 0.32 * height), _contrast(band), 3)
    canvas.round_off(0.65)
    metal = int(rng.uniform(150, 215))
    canvas.ellipse(middle, lid, middle - 1, lid, (metal, metal, metal - 6))
    centre = (round(middle) + MARGIN, round(lid) + MARGIN)
    axes = (max(1, round(0.8 * middle)), max(1, round(0.7 * lid)))
    cv2.ellipse(canvas.pixels, centre, axes, 0, 0, 360, shade((metal, metal, metal), 0.75), 1)
    return canvas.sprite()


def pouch(width: int, height: int, rng: np.random.Generator) -> Sprite:
    """A soft product in a polybag: an uneven outline, folds that shine, a printed patch."""
    canvas = _Canvas(width, height)
    film = colour(rng, (0.02, 0.55), (0.55, 0.95))
    angles = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    corners = np.abs(np.cos(angles)) ** 5 + np.abs(np.sin(angles)) ** 5
    radius = corners ** (-1 / 5) * rng.uniform(0.88, 1.0, size=len(angles))
    xs = np.clip(width / 2 * (1 + radius * np.cos(angles)), 0, width)
    ys = np.clip(height / 2 * (1 + radius * np.sin(angles)), 0, height)
    canvas.polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), film)
    inside = canvas.mask > 0
    patch = colour(rng, (0.2, 0.9), (0.35, 0.9))
    left, top = width * rng.uniform(0.18, 0.3), height * rng.uniform(0.2, 0.35)
    right, bottom = width * rng.uniform(0.7, 0.82), height * rng.uniform(0.6, 0.8)
    canvas.rectangle(left, top, right, bottom, patch)
    _lines_of_text(canvas, rng, (left + 3, top + 3, right - 3, bottom), _contrast(patch), 3)
    for _ in range(int(rng.integers(3, 7))):
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.05, 0.8) * height
        end = (round(x + rng.normal(0, 0.22) * width) + MARGIN, round(y + rng.uniform(0.1, 0.4) * height) + MARGIN)
        shine = shade(film, 1.3) if rng.random() < 0.6 else shade(film, 0.72)
        cv2.line(canvas.pixels, (round(x) + MARGIN, round(y) + MARGIN), end, shine, 1 + int(rng.integers(0, 2)))
    canvas.pixels[~inside] = 0
    return canvas.sprite()


def card(width: int, height: int, rng: np.random.Generator) -> Sprite:
    """A blister card: printed cardboard with a hole, and the product under clear plastic."""
    canvas = _Canvas(width, height)
    print_, product = colour(rng, (0.3, 0.95), (0.45, 0.95)), colour(rng, (0.0, 0.5), (0.12, 0.6))
    bevel = 0.06 * width
    outline = [(bevel, 0), (width - bevel, 0), (width, bevel), (width, height - bevel)]
    outline += [(width - bevel, height), (bevel, height), (0, height - bevel), (0, bevel)]
    canvas.polygon(outline, print_)
    canvas.rectangle(0.4 * width, 0.05 * height, 0.6 * width, 0.09 * height, (60, 52, 38))
    _lines_of_text(canvas, rng, (0.15 * width, 0.14 * height, 0.9 * width, 0.32 * height), _contrast(print_), 2)
    canvas.rectangle(0.14 * width, 0.4 * height, 0.86 * width, 0.93 * height, shade(print_, 1.25))
    canvas.ellipse(0.5 * width, 0.67 * height, 0.3 * width, 0.22 * height, product)
    canvas.ellipse(0.42 * width, 0.58 * height, 0.08 * width, 0.05 * height, shade(product, 1.8))
    return canvas.sprite()


@dataclass(frozen=True)
class Shape:
    """A kind of unit: its drawing, the range of its width-to-height ratios, and the share that lies on its side."""

    draw: Callable[[int, int, np.random.Generator], Sprite]
    aspect: tuple[float, float]
    lies: float


SHAPES: dict[str, Shape] = {
    "box": Shape(box, (0.6, 1.6), lies=0.0),
    "book": Shape(book, (0.55, 0.8), lies=0.35),
    "bottle": Shape(bottle, (0.38, 0.55), lies=0.2),
    "can": Shape(can, (0.6, 0.95), lies=0.0),
    "pouch": Shape(pouch, (0.65, 1.4), lies=0.0),
    "card": Shape(card, (0.6, 0.85), lies=0.2),
}
