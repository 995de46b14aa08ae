"""HTTP/1.1 as far as the S3 door reads it: heads are parsed, bodies are only measured.

The door and the object server must agree on where a request ends and who sends it, so whatever two readers could
understand in two ways is refused (https://www.rfc-editor.org/rfc/rfc9112#name-security-considerations).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# The object server's own limit is larger; a session's token has one kilobyte, S3's limit of a head is 8 kilobytes.
MAX_HEAD_BYTES = 64 * 1024
_MAX_LINE_BYTES = 4096
_END_OF_HEAD = b"\r\n\r\n"
_LINE = re.compile(r"([!-~]+) (/[!-~]*) HTTP/1\.([01])")
# A continued line (obs-fold) begins with no name.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(r"[\r\n\0]")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?\r\n")
# Headers that decide about the caller or the request's end, of which a second one could be read by another reader.
_SINGLE = frozenset(
    (
        "authorization",
        "content-length",
        "expect",
        "host",
        "transfer-encoding",
        "x-amz-content-sha256",
        "x-amz-copy-source",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-tagging",
    )
)


class MalformedRequestError(Exception):
    """Bytes that are no HTTP/1.1 request, or one that two readers could understand differently."""


# Not frozen, as other classes of which there is an object per request: these take three times as long to create.
@dataclass(slots=True)
class Head:
    """A request's line and headers; names of headers are in lower case, and values of equal names joined by commas."""

    raw: bytes
    method: str
    target: str
    headers: Mapping[str, str]
    length: int
    """Length of the body in bytes; -1 if it is chunked."""
    keeps_alive: bool
    """Whether the client may send another request on this connection."""

    @property
    def has_body(self) -> bool:
        """Whether anything follows the head."""
        return self.length != 0

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for status 100 before it sends the body."""
        return self.has_body and self.headers.get("expect", "").lower() == "100-continue"


def split_head(data: bytes) -> int:
    """The length of the head at the start of `data`, with its empty line; 0 while it is incomplete.

    Raises MalformedRequestError if it is too long.
    """
    end = data.find(_END_OF_HEAD, 0, MAX_HEAD_BYTES)
    if end < 0 and len(data) >= MAX_HEAD_BYTES:
        raise MalformedRequestError(f"the request's head has more than {MAX_HEAD_BYTES} bytes")
    return end + len(_END_OF_HEAD) if end >= 0 else 0


def parse_head(raw: bytes) -> Head:
    """The request's head. Raises MalformedRequestError."""
    line, *fields = raw[: -len(_END_OF_HEAD)].decode("latin-1").split("\r\n")
    request = _LINE.fullmatch(line)
    if request is None:
        raise MalformedRequestError("the request's first line is not METHOD /PATH HTTP/1.1")
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or _NAME.fullmatch(name) is None or _CONTROLS.search(value) is not None:
            raise MalformedRequestError("a header is not NAME: VALUE on one line")
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            if name in _SINGLE:
                raise MalformedRequestError(f"the header {name} occurs twice")
            value = f"{headers[name]},{value}"
        headers[name] = value
    method, target, minor = request.groups()
    closing = "close" in headers.get("connection", "").lower() if "connection" in headers else False
    return Head(raw, method, target, headers, _body_length(headers, minor), minor == "1" and not closing)


def _body_length(headers: Mapping[str, str], minor: str) -> int:
    encoding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise MalformedRequestError("a request has Content-Length or Transfer-Encoding, not both")
        if encoding.lower() != "chunked" or minor == "0":
            raise MalformedRequestError(f"Transfer-Encoding: {encoding} is not supported")
        return -1
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise MalformedRequestError(f"Content-Length: {length} is no length")
    return int(length)


class Body:
    """Measures a body of `length` bytes: of any number until the connection closes if it is None, chunked if -1."""

    def __init__(self, length: int | None) -> None:
        self.done = length == 0
        self._left = length if length is not None and length > 0 else 0
        self.endless = length is None
        self.chunked = length == -1
        self._line = b""
        self._state = "size"

    def measure(self, data: bytes, start: int = 0) -> int:
        """The position after the last byte of `data` that is the body's. Raises MalformedRequestError."""
        if self.endless:
            return len(data)
        if self.chunked:
            return self._measure_chunks(data, start)
        end = min(start + self._left, len(data))
        self._left -= end - start
        self.done = not self._left
        return end

    def _measure_chunks(self, data: bytes, position: int) -> int:
        while position < len(data) and not self.done:
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
                continue
            end = data.find(b"\n", position)
            piece = data[position:] if end < 0 else data[position : end + 1]
            self._line += piece
            position += len(piece)
            if len(self._line) > _MAX_LINE_BYTES:
                raise MalformedRequestError(f"a line of a chunked body has more than {_MAX_LINE_BYTES} bytes")
            if end >= 0:
                line, self._line = self._line, b""
                self._read_line(line)
        return position

    def _read_line(self, line: bytes) -> None:
        """A chunk's size, the empty line after a chunk, or a line of the trailer."""
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise MalformedRequestError("a line of a chunked body does not end with CR and LF")
        if self._state == "size":
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise MalformedRequestError("a chunk does not begin with its size")
            self._left = int(size[1], 16)
            self._state = "end" if self._left else "trailer"
        elif self._state == "end":
            if line != b"\r\n":
                raise MalformedRequestError("a chunk is longer than its size")
            self._state = "size"
        else:
            self.done = line == b"\r\n"


def joined_chunks(body: bytes) -> bytes:
    """The content of a complete chunked body, without sizes and trailer."""
    content: list[bytes] = []
    position = 0
    while True:
        end = body.index(b"\r\n", position)
        size = int(body[position:end].partition(b";")[0], 16)
        if not size:
            return b"".join(content)
        content.append(body[end + 2 : end + 2 + size])
        position = end + 2 + size + 2


@dataclass(slots=True)
class ResponseHead:
    """A response's status, and what follows it."""

    status: int
    length: int | None
    """As that of Body; 0 for responses that have no body, also to HEAD."""


def parse_response_head(raw: bytes, method: str) -> ResponseHead:
    """The head of the object server's response to a request of `method`. Raises MalformedRequestError."""
    status = int(raw[9:12]) if raw[9:12].isdigit() and raw.startswith(b"HTTP/1.") else 0
    if not status:
        raise MalformedRequestError("the object server's response is not HTTP/1.1")
    if method == "HEAD" or status in (204, 304) or status < 200:
        return ResponseHead(status, 0)
    lower = raw.lower()
    begin = lower.find(b"\r\ncontent-length:")
    if begin >= 0:
        return ResponseHead(status, int(lower[begin + 17 : lower.index(b"\r\n", begin + 17)]))
    return ResponseHead(status, -1 if b"\r\ntransfer-encoding: chunked\r\n" in lower else None)
