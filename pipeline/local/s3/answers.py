"""The door's own answers, in S3's words.

Codes, statuses and the form: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from xml.sax.saxutils import escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, body and headers besides those of its framing."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/xml"

    def encode(self, method: str, *, close: bool) -> bytes:
        """The bytes of the response to a request of `method`; HEAD has no body."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"x-amz-request-id: {secrets.token_hex(8).upper()}")
        if self.body:
            lines.append(f"Content-Type: {self.content_type}")
        if method != "HEAD" and self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(self.body)}")
        if close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if method == "HEAD" else head + self.body


def xml(text: str, **headers: str) -> Answer:
    """A successful answer with an XML document."""
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(HTTPStatus.OK, (_XML + text).encode(), fields)


def error(
    status: int, code: str, message: str, *, headers: tuple[tuple[str, str], ...] = (), **elements: str
) -> Answer:
    """An error; `elements` are those that the code has besides."""
    more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements.items())
    identity = f"<RequestId>{secrets.token_hex(8).upper()}</RequestId><HostId>{secrets.token_hex(16)}</HostId>"
    body = f"{_XML}<Error><Code>{code}</Code><Message>{escape(message)}</Message>{more}{identity}</Error>"
    return Answer(status, body.encode(), headers)
