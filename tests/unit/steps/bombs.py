"""Small JPEGs that cost much to decode."""

import io
import struct

from PIL import Image

START_OF_SCAN = b"\xff\xda"


def progressive(width, height):
    """A progressive JPEG of 10 scans, as libjpeg writes it."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (250, 60, 30)).save(buffer, "JPEG", progressive=True, subsampling=0)
    return buffer.getvalue()


def scans(number, width=700, height=700):
    """A progressive JPEG of so many scans: its last one, which adds nothing to the picture, again and again."""
    data = progressive(width, height)
    last = bytearray(data[data.rindex(START_OF_SCAN) : -2])
    (length,) = struct.unpack_from(">H", last, 2)
    # Successive approximation "from the beginning, to the last bit": what a decoder takes any number of times.
    last[2 + length - 1] = 0
    return data[:-2] + bytes(last) * (number - data.count(START_OF_SCAN)) + data[-2:]
