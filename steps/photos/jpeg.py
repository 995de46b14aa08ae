"""Photos in and out: one decoder for sharding, training, evaluation and serving, so that all see the same pixels."""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

# A photo above this is refused before it is decoded: it would cost memory, not add information.
MAX_PIXELS = 50_000_000
# A file above this is refused before it is read. JPEGs of MAX_PIXELS stay below it at any usual quality.
MAX_BYTES = 32 * 1024 * 1024
# Every scan of a progressive JPEG passes over the whole picture again, and one that adds nothing has some 75 bytes:
# without a limit a small file decodes for minutes. libjpeg writes 10 scans of a colour photo, 18 of one in CMYK
# (jpeg_simple_progression of https://github.com/libjpeg-turbo/libjpeg-turbo/blob/main/src/jcparam.c).
MAX_SCANS = 32
# JPEG markers of the application segments and comments that stand before the picture: APP0 to APP15, COM.
_LEADING_SEGMENTS = frozenset([*range(0xE0, 0xF0), 0xFE])
# What begins a segment wherever it stands: in a scan's data 0xFF is followed by 0x00 or is a restart marker
# (ITU-T T.81, section B.1.1).
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE, _WITHOUT_LENGTH = 0xDA, 0xD9, 0x01
# A JPEG is decoded at a fraction of its size for less, but not at more than half: libjpeg-turbo has no vector code for
# fractions between a half and the whole.
_SMALLEST_SCALING = 2
# Up to here bilinear interpolation reads most of the pixels; against area averaging it is 44 dB off and 6 times faster.
_LARGEST_BILINEAR = 3


class ImageError(Exception):
    """A photo that is not used. `reason` is one of a small fixed set, for counting; the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check_jpeg(data: bytes) -> tuple[int, int]:
    """The height and width in pixels of what has a JPEG's beginning and end. Nothing is decoded: it costs little.

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
    if _has_too_many_scans(data):
        raise ImageError("too-large", f"more than {MAX_SCANS} scans of {width}x{height} pixels; fewer are decoded")
    if b"\xff\xd9" not in data[-1024:]:
        raise ImageError("truncated", "the JPEG ends before its end marker")
    return height, width


def decode_rgb(data: bytes, shorter_side: int = 0) -> NDArray[np.uint8]:
    """Decode a JPEG (colour, grayscale or CMYK) to upright RGB, shape (height, width, 3).

    Upright: turned as its EXIF orientation says, so that a phone's photo means the same with and without its EXIF.
    With `shorter_side` > 0 the decoder may scale down while it decodes, by 2 or more and never below that size.
    Raises ImageError with reason `not-jpeg`, `truncated`, `too-large` or `undecodable`.
    """
    import simplejpeg

    height, width = check_jpeg(data)
    minimum = {}
    if 0 < shorter_side < min(height, width):
        scale = shorter_side / min(height, width)
        minimum = {
            "min_height": int(np.ceil(height * scale)),
            "min_width": int(np.ceil(width * scale)),
            "min_factor": _SMALLEST_SCALING,
        }
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", **minimum)
    except ValueError as error:
        raise ImageError("undecodable", f"the JPEG cannot be decoded: {error}") from error
    return _upright(pixels, _orientation(data))


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
    photo = np.empty((3, image_size, image_size), np.uint8)
    write_network_input(data, photo)
    return photo


def write_network_input(data: bytes, photo: NDArray[np.uint8]) -> None:
    """Write `network_input` of a JPEG into `photo`, contiguous uint8 of shape (3, S, S): a place in a batch."""
    import cv2

    _, height, width = photo.shape
    pixels = decode_rgb(data, max(height, width))
    shrinks = max(pixels.shape[0] / height, pixels.shape[1] / width)
    if shrinks <= _LARGEST_BILINEAR:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        pixels = resize(pixels, width, height)
    # Four times faster than to transpose and copy.
    cv2.split(pixels, list(photo))


def shrink_jpeg(data: bytes, shorter_side: int, quality: int) -> bytes:
    """The photo with its shorter side at `shorter_side` pixels, as an upright RGB JPEG of `quality` (1 to 100).

    A photo that is not larger keeps its bytes: enlarging adds no information, encoding again loses some. It is
    decoded all the same, so that what this returns can be used. Raises ImageError as `decode_rgb` does.
    """
    import simplejpeg

    pixels = decode_rgb(data, shorter_side)
    if min(check_jpeg(data)) <= shorter_side:
        return data
    height, width = pixels.shape[:2]
    scale = shorter_side / min(height, width)
    pixels = resize(pixels, round(width * scale), round(height * scale))
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")
    return encoded


def _has_too_many_scans(data: bytes) -> bool:
    """Whether a decoder meets more than MAX_SCANS. A thumbnail's are inside a segment, those of a second picture behind
    the end of the first: neither are among them.
    """
    if data.count(bytes([0xFF, _START_OF_SCAN])) <= MAX_SCANS:
        return False  # of nearly all photos: it takes no walk to know
    scans, position = 0, 2
    while scans <= MAX_SCANS and (found := _MARKER.search(data, position)):
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        if marker != _WITHOUT_LENGTH:
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return scans > MAX_SCANS


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels turned and mirrored as EXIF orientation 1 to 8 says (EXIF 2.32, section 4.6.4)."""
    if orientation == 1:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG; 1 (upright) where it has none or none that can be read."""
    position = 2
    while data[position : position + 1] == b"\xff" and data[position + 1] in _LEADING_SEGMENTS:
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position + 4 : position + 2 + length]
        if data[position + 1] == 0xE1 and segment.startswith(b"Exif\0\0"):
            try:
                return _tiff_orientation(segment[6:])
            except struct.error:
                return 1
        position += 2 + length
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    """Tag 0x0112 of a TIFF header's first directory: 12 bytes an entry, the value in the last four."""
    order = "<" if tiff.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == 0x0112:
            return int(value) if 1 <= value <= 8 else 1
    return 1
