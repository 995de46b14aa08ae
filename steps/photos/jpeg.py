"""JPEG photos: one decoder for sharding, training, evaluation and serving, so that all get the same pixels."""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from steps.contracts.photo_files import MAX_PIXELS

# Every scan of a progressive JPEG passes over the whole picture again, and an empty one has about 75 bytes: without a
# limit a small file takes minutes to decode. libjpeg writes 10 scans of a colour photo, 18 of one in CMYK
# (jpeg_simple_progression of https://github.com/libjpeg-turbo/libjpeg-turbo/blob/main/src/jcparam.c).
MAX_SCANS = 32
# JPEG markers of the application segments and comments before the picture: APP0 to APP15, COM.
_LEADING_SEGMENTS = frozenset([*range(0xE0, 0xF0), 0xFE])
# The beginning of a segment at any position: in a scan's data 0xFF is followed by 0x00 or is a restart marker
# (ITU-T T.81, section B.1.1).
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE, _WITHOUT_LENGTH = 0xDA, 0xD9, 0x01
_END, _USUAL_TAIL = bytes([0xFF, _END_OF_IMAGE]), 64
# Decoding at half the size or less is faster, but not in between: libjpeg-turbo has no vector code for fractions
# between a half and the whole.
_SMALLEST_SCALING = 2
# Up to this factor bilinear interpolation reads most of the pixels; it is 6 times faster than area averaging, and the
# difference between them is 44 dB.
_LARGEST_BILINEAR = 3


class ImageError(Exception):
    """A photo that is not used. `reason` is one of a small fixed set, for counting; the message has the details."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check_jpeg(data: bytes) -> tuple[int, int]:
    """The height and width in pixels of data with a JPEG's beginning and end. Nothing is decoded, so this is cheap.

    Bytes behind the end are no fault: cameras pad files, and append videos, maps of depth and data of their own.
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
        raise ImageError(
            "too-large", f"more than {MAX_SCANS} scans of {width}x{height} pixels; at most {MAX_SCANS} are decoded"
        )
    if not _has_end(data):
        raise ImageError("truncated", "the JPEG ends before its end marker")
    return height, width


def decode_rgb(data: bytes, shorter_side: int = 0) -> NDArray[np.uint8]:
    """Decode a JPEG (colour, grayscale or CMYK) to upright RGB, shape (height, width, 3).

    Upright: rotated by its EXIF orientation, as viewers show a phone's photo.
    With `shorter_side` > 0 the decoder may scale down during decoding, by 2 or more and never below that size.
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
    """A JPEG as the network's input: stretched to a square, uint8, shape (3, image_size, image_size).

    Stretched, not cropped: a crop can cut counted objects out of the picture.
    """
    photo = np.empty((3, image_size, image_size), np.uint8)
    write_network_input(data, photo)
    return photo


def write_network_input(data: bytes, photo: NDArray[np.uint8]) -> None:
    """Write `network_input` of a JPEG into `photo`, contiguous uint8 of shape (3, S, S), such as a row of a batch."""
    import cv2

    _, height, width = photo.shape
    pixels = decode_rgb(data, max(height, width))
    shrinks = max(pixels.shape[0] / height, pixels.shape[1] / width)
    if shrinks <= _LARGEST_BILINEAR:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        pixels = resize(pixels, width, height)
    # Four times faster than transposing and copying.
    cv2.split(pixels, list(photo))


def shrink_jpeg(data: bytes, shorter_side: int, quality: int) -> bytes:
    """The photo with its shorter side at `shorter_side` pixels, as an upright RGB JPEG of `quality` (1 to 100).

    A photo that is not larger keeps its bytes: enlarging adds no information, encoding again loses some. It is decoded
    nevertheless, so that the returned photo is known to be usable. Raises ImageError as `decode_rgb` does.
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


def _has_end(data: bytes) -> bool:
    """Whether the end marker of the picture is in `data`, where a decoder finds it, with anything behind it."""
    if _END in data[-_USUAL_TAIL:]:
        return True  # nearly all photos, without a walk over the segments
    position = 2
    while match := _MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == _END_OF_IMAGE:
            return True
        if marker != _WITHOUT_LENGTH:
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return False


def _has_too_many_scans(data: bytes) -> bool:
    """Whether a decoder reads more than MAX_SCANS scans. Not counted are those of a thumbnail, which are inside a
    segment, and of a second picture, which are behind the end of the first.
    """
    if data.count(bytes([0xFF, _START_OF_SCAN])) <= MAX_SCANS:
        return False  # nearly all photos, without a walk over the segments
    scans, position = 0, 2
    while scans <= MAX_SCANS and (match := _MARKER.search(data, position)):
        marker, position = match[1][0], match.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        if marker != _WITHOUT_LENGTH:
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return scans > MAX_SCANS


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels rotated and mirrored by EXIF orientation 1 to 8 (EXIF 2.32, section 4.6.4)."""
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
    """The EXIF orientation of a JPEG; 1 (upright) where it is missing or unreadable."""
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
    """Tag 0x0112 of a TIFF header's first directory: 12 bytes per entry, the value in the last four."""
    order = "<" if tiff.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == 0x0112:
            return int(value) if 1 <= value <= 8 else 1
    return 1
