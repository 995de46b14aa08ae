"""What a request holds: photos, or the reason for which it is refused."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

JPEG_TYPES = ("image/jpeg", "application/x-image")
JSON_TYPE = "application/json"
MAX_BYTES = 6 * 1024 * 1024  # a real-time endpoint's own limit
MAX_PHOTOS = 64


class RefusedError(Exception):
    """A request that is not answered with a count. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Payload:
    """The JPEGs of a request; `many` when it asked with a list and wants a list."""

    photos: list[bytes]
    many: bool


def read_payload(content_type: str, body: bytes) -> Payload:
    """Photos of a request's body. Raises RefusedError: 400 for a malformed body, 415 for another content type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in JPEG_TYPES:
        if not body:
            raise RefusedError(400, "the body is empty; send one JPEG")
        return Payload([body], many=False)
    if kind == JSON_TYPE:
        return Payload(_decoded(body), many=True)
    raise RefusedError(415, f"content type {kind or 'none'!r}; send {', '.join(JPEG_TYPES)} or {JSON_TYPE}")


def _decoded(body: bytes) -> list[bytes]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not valid JSON") from None
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not images or not all(isinstance(image, str) for image in images):
        raise RefusedError(400, 'want {"images": [one or more JPEGs in base64]}')
    if len(images) > MAX_PHOTOS:
        raise RefusedError(413, f"{len(images)} photos; at most {MAX_PHOTOS} a request")
    photos = []
    for number, image in enumerate(images):
        try:
            photos.append(base64.b64decode(image, validate=True))
        except (binascii.Error, ValueError):
            raise RefusedError(400, f"images[{number}] is not base64") from None
    return photos
