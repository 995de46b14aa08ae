"""Pictures of usual formats as JPEGs: a JPEG keeps its bytes, another one is decoded, turned upright and encoded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import MAX_BYTES, MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow's names of the formats that are decoded; no others, as some of them run other programs.
FORMATS = ("JPEG", "PNG", "HEIF", "WEBP", "AVIF", "BMP", "TIFF")
QUALITY = 95
THUMBNAIL_QUALITY = 80
DAMAGED, TOO_LARGE = "damaged", "too-large"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_WHITE = (255, 255, 255)


class PictureError(Exception):
    """A picture that cannot be used, with the reason by which it is counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """A JPEG; `converted_from` is the other format that it was decoded from, or empty."""

    jpeg: bytes
    converted_from: str


def as_jpeg(data: bytes) -> Picture:
    """The picture as a JPEG. Every picture is decoded, so that a damaged one is noticed here.

    Raises PictureError for one that is damaged, of a format outside of FORMATS, or too large.
    """
    import simplejpeg

    pillow = _pillow()
    if len(data) > MAX_BYTES:
        raise PictureError(TOO_LARGE, f"{len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        with pillow.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(TOO_LARGE, f"{image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are read")
            if data.startswith(_JPEG_START):
                if _JPEG_END not in data:
                    raise PictureError(DAMAGED, "the JPEG ends before its end marker")
                # Pillow accepts gaps in a JPEG, which the decoder of a run refuses.
                simplejpeg.decode_jpeg(data, "RGB")
                return Picture(data, "")
            name = str(image.format)
            image.load()
            return Picture(_encoded(image), name)
    except PictureError:
        raise
    except Exception as error:  # damaged files make decoders raise errors of any type
        raise PictureError(DAMAGED, f"cannot be decoded: {error}") from error


def thumbnail(data: bytes, side: int) -> bytes:
    """A small JPEG of a picture, upright, with at most `side` pixels on its longer side.

    Raises PictureError as `as_jpeg` does, but reads no more of a large JPEG than the small one needs.
    """
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(TOO_LARGE, f"{image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are read")
            image.draft("RGB", (side, side))
            image.thumbnail((side, side))
            return _encoded(image, THUMBNAIL_QUALITY)
    except PictureError:
        raise
    except Exception as error:  # damaged files make decoders raise errors of any type
        raise PictureError(DAMAGED, f"cannot be decoded: {error}") from error


@lru_cache(maxsize=1)
def _pillow() -> Any:
    """Pillow, with its plug-in for HEIC. Raises PipelineError where they or simplejpeg are not installed."""
    try:
        import PIL.Image
        import simplejpeg  # noqa: F401
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise PipelineError(f"{error.name} is not installed; pip install -r requirements.txt") from error
    PIL.Image.init()
    register_heif_opener()
    return PIL.Image


def _encoded(image: Image, quality: int = QUALITY) -> bytes:
    from PIL import ImageOps

    profile = image.info.get("icc_profile")
    upright = _rgb(ImageOps.exif_transpose(image))
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG", quality=quality, icc_profile=profile if image.mode.startswith("RGB") else None)
    return buffer.getvalue()


def _rgb(image: Image) -> Image:
    """Eight bits per colour; what is transparent becomes white."""
    import numpy as np

    pillow = _pillow()
    if image.mode.startswith("I"):  # 16 bits of grey
        values = np.asarray(image).astype(np.int64)
        shades: Image = pillow.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
        return shades.convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        background: Image = pillow.new("RGB", image.size, _WHITE)
        background.paste(layers, mask=layers.getchannel("A"))
        return background
    return image.convert("RGB")
