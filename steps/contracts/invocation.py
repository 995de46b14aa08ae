"""The forms of a photo in a request to the endpoint, which serving reads, and monitoring reads again from captures."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re

# image/jpg and image/pjpeg are no registered names, but browsers and libraries send them for nothing else.
JPEG_TYPES = ("image/jpeg", "application/x-image", "image/jpg", "image/pjpeg")
JSON_TYPE = "application/json"
# https://www.rfc-editor.org/rfc/rfc2397: data:[type][;parameter]*;base64,DATA
_DATA_URI = re.compile(r"data:(?P<type>[^,;]*)(?:;[^,;]*)*?;base64,", re.IGNORECASE)
_SPACE = str.maketrans("", "", " \t\r\n\f\v")
# https://www.rfc-editor.org/rfc/rfc4648#section-5: the alphabet for URLs has other characters for the same values.
_OF_URLS = str.maketrans("-_", "+/")
_LONGEST_HEAD = 200  # characters of a data URI before its data


def media_type(content_type: str) -> str:
    """The type in a Content-Type header, in lower case and without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def jpeg_of_text(text: str) -> bytes:
    """The bytes of a photo in base64, in any form that leaves no doubt about them.

    Lines, as MIME and `base64` of the shell break them; without the padding; in the alphabet for URLs; as a data URI of
    a JPEG. Raises ValueError with the reason, as the end of a sentence that begins with the photo's name.
    """
    with contextlib.suppress(ValueError):  # the usual form, in a tenth of the time
        return base64.b64decode(text, validate=True)
    if head := _DATA_URI.match(text, 0, _LONGEST_HEAD):
        if head["type"].strip() and media_type(head["type"]) not in JPEG_TYPES:
            raise ValueError(f"is a data URI of {head['type'][:60]!r}; send a JPEG")
        text = text[head.end() :]
    compact = text.translate(_SPACE).rstrip("=")
    if not ({"-", "_"} & set(compact) and {"+", "/"} & set(compact)):
        compact = compact.translate(_OF_URLS)
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
