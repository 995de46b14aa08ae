"""Photos and their features, for tests of the monitor: real photos where they are installed, else synthetic ones."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.samples.synthetic import generate
from steps.photos.statistics import SCHEMA, measure

Pixels = NDArray[np.uint8]
MOST = 450


@lru_cache(maxsize=1)
def jpegs() -> tuple[bytes, ...]:
    """Photos from cameras."""
    default = Path(__file__).parents[5] / "shared" / "data" / "abid"
    archive = Path(os.environ.get("ABID_SAMPLE", default)) / "originals.tar"
    if not archive.exists():
        return tuple(photo.jpeg for photo in generate(MOST, seed=1))
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.name.endswith(".jpg")]
        return tuple(tar.extractfile(member).read() for member in members[:MOST])  # type: ignore[union-attr]


def edited(jpeg: bytes, edit: Callable[[Pixels], Pixels]) -> bytes:
    """The photo with its pixels changed, encoded again."""
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(edit(simplejpeg.decode_jpeg(jpeg))), quality=90)
    return encoded


def darker(pixels: Pixels) -> Pixels:
    return (pixels * 0.7).astype(np.uint8)


def blurred(pixels: Pixels) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), 2.0)  # type: ignore[return-value]


def same(pixels: Pixels) -> Pixels:
    return pixels


@lru_cache(maxsize=4)
def population(edit: Callable[[Pixels], Pixels] = same) -> dict[str, NDArray[Any]]:
    """The features of all photos, optionally with their pixels changed; the answers are random."""
    measured = [vars(measure(edited(jpeg, edit) if edit is not same else jpeg)) for jpeg in jpegs()]
    chance = np.random.default_rng(1)
    answers = {
        "predicted": chance.binomial(5, 0.5, len(measured)).astype(np.int32),
        "confidence": chance.beta(4, 3, len(measured)),
        "sure": (chance.random(len(measured)) < 0.8).astype(np.int8),
    }
    columns = {name: np.array([row[name] for row in measured]) for name in measured[0]}
    return {name: {**answers, **columns}[name] for name in SCHEMA.names if name != "image_id"}


def draw(columns: dict[str, NDArray[Any]], number: int, chance: np.random.Generator) -> dict[str, NDArray[Any]]:
    """A number of photos of the population, drawn with replacement."""
    places = chance.integers(0, len(columns["predicted"]), number)
    return {name: values[places] for name, values in columns.items()}
