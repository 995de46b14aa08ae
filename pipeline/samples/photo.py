"""The photo of a synthetic bin: the yellow cloth, the units with their shadows, the tape in front, light and noise."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.samples.scene import Cavity, Placed, Scene
from pipeline.samples.shapes import Colour, Pixels, shade

# JPEG quality, and the standard deviation of the noise in grey levels: from the first, below the second.
QUALITY = (80, 93)
NOISE = (1, 6)
# No photo is wider or higher than this.
NOISE_SIDE = 480


@dataclass(frozen=True)
class Backdrop:
    """The picture of an empty bin, and its inside."""

    pixels: Pixels
    cavity: Cavity

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.pixels.shape[:2]
        return width, height


def backdrop(rng: np.random.Generator) -> Backdrop:
    """An empty bin: frame, three walls, a grey floor, creases and stains of the cloth, the label of the bin."""
    width, height = int(rng.integers(320, 421)), int(rng.integers(300, 401))
    red = rng.uniform(160, 215)
    cloth: Colour = (int(red), int(red * rng.uniform(0.8, 0.9)), int(red * rng.uniform(0.48, 0.68)))
    pixels = np.full((height, width, 3), shade(cloth, 1.08), np.uint8)
    left, right = int(rng.uniform(6, 26)), width - int(rng.uniform(6, 26))
    top, bottom = int(rng.uniform(8, 26)), height - int(rng.uniform(26, 44))
    inset = rng.uniform(0.05, 0.14)
    far_left, far_right = left + round(inset * (right - left)), right - round(inset * (right - left))
    far_top, back = top + round(0.5 * inset * (bottom - top)), bottom - round(rng.uniform(0.14, 0.24) * (bottom - top))

    def wall(points: list[tuple[int, int]], tone: Colour) -> None:
        cv2.fillPoly(pixels, [np.array(points, np.int32)], tone, cv2.LINE_AA)

    depth = rng.uniform(0.5, 0.8)
    floor = int(rng.uniform(105, 165))
    wall([(far_left, far_top), (far_right, far_top), (far_right, back), (far_left, back)], shade(cloth, depth))
    wall([(left, top), (far_left, far_top), (far_left, back), (left, bottom)], shade(cloth, depth + 0.16))
    wall([(right, top), (far_right, far_top), (far_right, back), (right, bottom)], shade(cloth, depth + 0.08))
    wall([(left, top), (right, top), (far_right, far_top), (far_left, far_top)], shade(cloth, depth * 0.75))
    wall([(left, bottom), (right, bottom), (far_right, back), (far_left, back)], (floor, floor - 6, floor - 18))
    _creases(pixels, Cavity(left, top, right, bottom, back), cloth, rng)
    _bin_label(pixels, bottom, rng)
    return Backdrop(pixels, Cavity(left + 2, top + 2, right - 2, bottom - 2, back))


def _creases(pixels: Pixels, cavity: Cavity, cloth: Colour, rng: np.random.Generator) -> None:
    """Draw seams, creases and printed patterns on the back wall: edges that belong to no unit."""
    for _ in range(int(rng.integers(0, 11))):
        x, y = rng.uniform(cavity.left, cavity.right), rng.uniform(cavity.top, cavity.back)
        end = (round(x + rng.normal(0, 40)), round(y + rng.normal(0, 60)))
        tone = shade(cloth, float(rng.choice((0.45, 0.62, 0.95))))
        cv2.line(pixels, (round(x), round(y)), end, tone, 1, cv2.LINE_AA)
    if rng.random() < 0.3:
        # A mesh or ribbed wall.
        pitch, tone = int(rng.integers(8, 18)), shade(cloth, float(rng.uniform(0.4, 0.55)))
        for x in range(cavity.left + pitch, cavity.right, pitch):
            cv2.line(pixels, (x, cavity.top + 6), (x, cavity.back), tone, 1)


def _bin_label(pixels: Pixels, bottom: int, rng: np.random.Generator) -> None:
    """Draw the label on the lip below the opening: a coloured plate and a square code."""
    height, width = pixels.shape[:2]
    x, y = int(width * rng.uniform(0.2, 0.6)), bottom + 5
    tall = min(20, height - y - 2)
    cv2.rectangle(pixels, (x - 6, y - 2), (x + 66, y + tall), (226, 224, 214), -1)
    plate: Colour = (int(rng.integers(40, 200)), int(rng.integers(40, 140)), int(rng.integers(60, 210)))
    cv2.rectangle(pixels, (x, y), (x + 38, y + tall - 3), plate, -1)
    code = (rng.random((7, 7)) < 0.5).astype(np.uint8) * 190 + 30
    side = max(7, tall - 4)
    square = cv2.resize(code, (side, side), interpolation=cv2.INTER_NEAREST)
    pixels[y : y + side, x + 44 : x + 44 + side] = square[..., None]


def paint(scene: Scene, empty: Backdrop) -> Pixels:
    """The picture of the bin with the units of `scene`, each with its shadow on the things behind it."""
    pixels = empty.pixels.copy()
    for unit in scene.units:
        _shadow(pixels, unit)
        window = unit.window
        share = (unit.sprite.mask.astype(np.float32) / 255)[..., None]
        behind = pixels[window].astype(np.float32)
        pixels[window] = (behind + share * (unit.sprite.pixels.astype(np.float32) - behind)).astype(np.uint8)
    return pixels


def _shadow(pixels: Pixels, unit: Placed, spread: int = 9, strength: float = 0.6) -> None:
    """Darken the surroundings of a unit, most of all below and to the right, away from the lamp."""
    height, width = pixels.shape[:2]
    mask = cv2.copyMakeBorder(unit.sprite.mask, spread, spread, spread, spread, cv2.BORDER_CONSTANT, value=0)
    soft = cv2.blur(mask, (2 * spread - 1, 2 * spread - 1))
    x, y = unit.x - spread + 2, unit.y - spread + 3
    left, top, right, bottom = max(0, x), max(0, y), min(width, x + soft.shape[1]), min(height, y + soft.shape[0])
    part = soft[top - y : bottom - y, left - x : right - x].astype(np.float32)
    region = pixels[top:bottom, left:right]
    region[:] = (region * (1 - (strength / 255) * part)[..., None]).astype(np.uint8)


def tape(pixels: Pixels, rng: np.random.Generator) -> None:
    """Draw the elastic bands in front of the bin: bundles of thin translucent lines with some glare."""
    height, width = pixels.shape[:2]
    for middle in np.sort(rng.uniform(0.15, 0.85, int(rng.integers(1, 4)))) * height:
        lines, pitch = int(rng.integers(4, 12)), rng.uniform(4, 7)
        slope, tone = rng.normal(0, 5), rng.uniform(150, 235)
        top = max(0, int(middle - abs(slope) - 3))
        bottom = min(height, int(middle + lines * pitch + abs(slope) + 3))
        if bottom - top < 4:
            continue
        opacity = np.zeros((bottom - top, width), np.uint8)
        weight = int(rng.uniform(70, 150))
        for line in range(lines):
            y = middle + line * pitch - top
            ends = (0, round(y - slope)), (width, round(y + slope))
            cv2.line(opacity, *ends, weight, 1 + int(rng.integers(0, 2)), cv2.LINE_AA)
        glare = 1 + 0.7 * np.exp(-(((np.linspace(0, 1, width) - rng.random()) / 0.12) ** 2))
        share = np.minimum(0.85, opacity / 255 * glare[None, :] + 0.06).astype(np.float32)[..., None]
        band = pixels[top:bottom]
        band[:] = (band + share * (np.float32(tone) - band)).astype(np.uint8)


@functools.cache
def _noise(strength: int) -> NDArray[np.int16]:
    """Sensor noise with a standard deviation of `strength` grey levels, drawn once; each photo has a window of it."""
    noise = np.random.default_rng(strength).standard_normal((NOISE_SIDE, NOISE_SIDE, 3), np.float32)
    return np.rint(strength * noise).astype(np.int16)


def develop(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """The JPEG of a picture: hand-held framing, strength, colour and fall-off of the light, blur, and noise."""
    import simplejpeg

    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 1.2), rng.uniform(1.0, 1.06))
    matrix[:, 2] += rng.normal(0, 2.5, 2)
    framed = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    tape(framed, rng)
    if rng.random() < 0.12:
        framed = cv2.GaussianBlur(framed, (5, 5), rng.uniform(0.6, 1.3))
    exposed = cv2.multiply(framed, _light(width, height, rng), dtype=cv2.CV_8U)
    y, x = (int(rng.integers(0, NOISE_SIDE - side + 1)) for side in (height, width))
    noise = _noise(int(rng.integers(*NOISE)))[y : y + height, x : x + width]
    exposed = cv2.add(exposed, noise, dtype=cv2.CV_8U)
    quality = int(rng.integers(*QUALITY))
    return bytes(simplejpeg.encode_jpeg(exposed, quality=quality, colorspace="RGB", colorsubsampling="420"))


def _light(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The light of the lamp: a factor per pixel and channel, (height, width, 3)."""
    strength, across, down = rng.uniform(0.72, 1.15), rng.uniform(-0.22, 0.22), rng.uniform(-0.22, 0.22)
    columns = np.linspace(1 - across, 1 + across, width, dtype=np.float32)
    rows = np.linspace(-down, down, height, dtype=np.float32)
    tint = (rng.uniform(0.96, 1.1), 1.0, rng.uniform(0.8, 1.02))
    fall_off = columns[None, :] + rows[:, None]
    light: NDArray[np.float32] = cv2.merge([fall_off * np.float32(strength * channel) for channel in tint])
    return light
