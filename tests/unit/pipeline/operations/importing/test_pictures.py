"""Pictures of the formats that cameras, phones and the web write.

The kind: a photo that every other program reads.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from pipeline.operations.importing import pictures
from pipeline.operations.importing.pictures import PictureError, as_jpeg

register_heif_opener()


def picture(width: int = 80, height: int = 60) -> Image.Image:
    """Dark at the left, light at the right, red at the top left corner."""
    shades = np.linspace(0, 255, width, dtype=np.uint8)
    pixels = np.repeat(np.tile(shades, (height, 1))[..., None], 3, axis=2)
    pixels[: height // 4, : width // 4] = (200, 0, 0)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    image.load()
    return image


@pytest.mark.parametrize(
    ("kind", "title", "options"),
    [
        ("PNG", "PNG", {}),
        ("HEIF", "HEIF", {"quality": 90}),
        ("WEBP", "WEBP", {"quality": 95}),
        ("AVIF", "AVIF", {"quality": 95}),
        ("BMP", "BMP", {}),
        ("TIFF", "TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_other_formats_are_converted(kind: str, title: str, options: dict[str, Any]) -> None:
    made = as_jpeg(saved(picture(), kind, **options))
    assert made.converted_from == title
    image = opened(made.jpeg)
    assert (image.mode, image.size) == ("RGB", (80, 60))
    assert np.abs(np.asarray(image, float) - np.asarray(picture(), float)).mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "HEIF", "WEBP", "TIFF"])
def test_a_converted_photo_is_upright_and_a_jpeg_keeps_its_bytes_and_orientation(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for viewing
    data = saved(picture(), kind, exif=exif.tobytes())
    made = as_jpeg(data)
    if kind == "JPEG":
        assert made == pictures.Picture(data, "")
        return
    image = opened(made.jpeg)
    assert image.size == (60, 80)
    assert image.getexif().get(0x0112, 1) == 1
    red, green, _ = image.getpixel((55, 5))  # type: ignore[misc]
    assert red > 120 > green


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "I;16"])
def test_every_mode_of_a_png_is_converted(mode: str) -> None:
    if mode == "I;16":
        grey = np.asarray(picture().convert("L")).astype(np.uint16) * 257
        image = Image.fromarray(grey)
    else:
        image = picture().convert("L" if mode == "I;16" else mode)
    shades = np.asarray(opened(as_jpeg(saved(image, "PNG")).jpeg).convert("L"), float)
    assert shades[:, -8:].mean() > 200
    assert shades[-8:, :8].mean() < 60


def test_what_is_transparent_becomes_white() -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert np.asarray(opened(as_jpeg(saved(image, "PNG")).jpeg)).min() > 250


@pytest.mark.parametrize("tail", [b"", bytes(5_000), b"ftypmp42" * 1_000])
def test_a_jpeg_keeps_its_bytes_with_anything_behind_its_end(tail: bytes) -> None:
    data = saved(picture(), "JPEG") + tail
    assert as_jpeg(data) == pictures.Picture(data, "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"GIF89a" + bytes(100),
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        saved(picture(), "JPEG")[:500],
        saved(picture(), "PNG")[:100],
        saved(picture(), "HEIF")[:-200],
        saved(picture(), "JPEG")[:-2],
        saved(picture(), "JPEG")[:-300] + b"\xff\xd9",
    ],
)
def test_a_damaged_file_and_another_format_have_a_reason(data: bytes) -> None:
    with pytest.raises(PictureError) as caught:
        as_jpeg(data)
    assert caught.value.reason == "damaged"


def test_a_picture_of_too_many_pixels_or_bytes_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture(), "PNG")
    for name, limit in (("MAX_PIXELS", 80 * 60 - 1), ("MAX_BYTES", len(data) - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(pictures, name, limit)
            with pytest.raises(PictureError) as caught:
                as_jpeg(data)
            assert caught.value.reason == "too-large"
