"""Photos in and out: one decoder for sharding, training, evaluation and serving, so that all see the same pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A photo above this is refused before it is decoded: it would cost memory, not add information.
MAX_PIXELS = 50_000_000


class ImageError(Exception):
    """A photo that is not used. `reason` is one of a small fixed set, for counting; the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def decode_rgb(data: bytes, shorter_side: int = 0) -> NDArray[np.uint8]:
    """Decode a JPEG to RGB, shape (height, width, 3).

    With `shorter_side` > 0 the decoder may scale by n/8 while it decodes, never below that size (3x cheaper).
    Raises ImageError with reason `not-jpeg`, `truncated`, `too-large` or `undecodable`.
    """
    import simplejpeg

    if not data.startswith(b"\xff\xd8\xff"):
        raise ImageError("not-jpeg", "not a JPEG")
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise ImageError("undecodable", f"the JPEG header cannot be read: {error}") from error
    if height * width > MAX_PIXELS:
        raise ImageError("too-large", f"{width}x{height} pixels; at most {MAX_PIXELS:,} are decoded")
    if b"\xff\xd9" not in data[-1024:]:
        raise ImageError("truncated", "the JPEG ends before its end marker")
    minimum = {}
    if 0 < shorter_side < min(height, width):
        scale = shorter_side / min(height, width)
        minimum = {
            "min_height": int(np.ceil(height * scale)),
            "min_width": int(np.ceil(width * scale)),
            "min_factor": 1,
        }
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", **minimum)
    except ValueError as error:
        raise ImageError("undecodable", f"the JPEG cannot be decoded: {error}") from error
    return pixels


def resize(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize (height, width, 3) pixels: area averaging when shrinking, bilinear when enlarging."""
    import cv2

    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] * pixels.shape[1] > width * height
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.ascontiguousarray(resized, dtype=np.uint8)


def network_input(data: bytes, image_size: int) -> NDArray[np.uint8]:
    """A JPEG as the network wants it: stretched to a square, uint8, shape (3, image_size, image_size).

    Stretched, not cropped: a crop can cut counted objects out of the picture.
    """
    pixels = resize(decode_rgb(data, image_size), image_size, image_size)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
