"""The pictures of the console in the documents: wide enough to be read, and small enough for a repository."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.screenshots import BYTES, PICTURES, WIDTH, small

NAMES = ("data", "endpoint", "overview", "run", "trials", "version")


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_has_its_width_and_is_small(name: str) -> None:
    file = PICTURES / f"console-{name}.png"
    assert file.stat().st_size <= BYTES, "make screenshots writes it again"
    assert Image.open(file).width == WIDTH


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_picture_gets_as_many_colours_as_the_limit_allows() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert len(small(png(noise))) <= BYTES < len(png(noise))
    steps = np.zeros((100, 100, 3), dtype=np.uint8)
    steps[50:] = 200
    assert len(Image.open(io.BytesIO(small(png(steps)))).getcolors()) == 2


def test_a_picture_that_no_palette_makes_small_is_refused() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (900, 1100, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="cut it"):
        small(png(noise))
