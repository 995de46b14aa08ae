"""The photos of a request, or the reason for refusing it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from steps.contracts import invocation
from steps.contracts.invocation import JPEG_TYPES, JSON_TYPE, jpeg_of_text

MAX_BYTES = 6 * 1024 * 1024  # an endpoint's own limit (a batch job has another); base64 in JSON decodes to less
MAX_PHOTOS = 64
# The quality of a type that a client excludes: https://www.rfc-editor.org/rfc/rfc9110#name-quality-values
_NEVER = re.compile(r"(?:^|;)\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)
_SHOWN = 60  # characters of a client's header that an error repeats


class RefusedError(Exception):
    """A request without a count as its answer. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Payload:
    """The JPEGs of a request, and the name of each for an error; `many` if the answer is a list."""

    photos: list[bytes]
    names: list[str]
    many: bool


def check_accept(accept: str) -> None:
    """Raise RefusedError 406 when a client does not accept JSON; without the header it accepts anything."""
    kinds = {kind: parameters for kind, _, parameters in (part.partition(";") for part in accept.split(","))}
    accepted = {kind.strip().lower() for kind, parameters in kinds.items() if not _NEVER.search(parameters)}
    # Some clients write * for */*, as Java's own does.
    if accept.strip() and not {JSON_TYPE, "application/*", "*/*", "*"} & accepted:
        raise RefusedError(406, f"Accept is {accept[:_SHOWN]!r}; answers are {JSON_TYPE}")


def media_type(content_type: str) -> str:
    """The type in a Content-Type header, without its parameters. Raises RefusedError 415 for an unsupported one."""
    kind = invocation.media_type(content_type)
    if kind not in (*JPEG_TYPES, JSON_TYPE):
        raise RefusedError(
            415, f"content type {kind[:_SHOWN] or 'none'!r}; send {', '.join(JPEG_TYPES)} or {JSON_TYPE}"
        )
    return kind


def read_payload(kind: str, body: bytes) -> Payload:
    """Photos of a body of media type `kind`. Raises RefusedError: 400 for a malformed body, 413 for too many photos."""
    if kind != JSON_TYPE:
        if not body:
            raise RefusedError(400, "the body is empty; send one JPEG")
        return Payload([body], [""], many=False)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not valid JSON") from None
    if isinstance(document, dict) and set(document) == {"image"}:
        return Payload([_decode("image", document["image"])], ["image"], many=False)
    images = document["images"] if isinstance(document, dict) and set(document) == {"images"} else None
    if not isinstance(images, list) or not images:
        raise RefusedError(400, 'send {"image": "a JPEG in base64"} or {"images": [JPEGs in base64]}')
    if len(images) > MAX_PHOTOS:
        raise RefusedError(413, f"{len(images)} photos; at most {MAX_PHOTOS} per request")
    names = [f"images[{number}]" for number in range(len(images))]
    return Payload([_decode(*pair) for pair in zip(names, images, strict=True)], names, many=True)


def _decode(name: str, image: object) -> bytes:
    if not isinstance(image, str):
        raise RefusedError(400, f"{name} is not a string; send a JPEG in base64")
    try:
        return jpeg_of_text(image)
    except ValueError as error:
        raise RefusedError(400, f"{name} {error}") from None
