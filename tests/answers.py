"""AWS's answers to single operations, put on the wire below boto3, so that its own retries and parsing are at work."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import boto3
from botocore.awsrequest import AWSResponse

NOBODY = "https://nobody.invalid/"
_XML = ("sts", "iam", "s3", "sns", "ec2")


class _Raw(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk


@dataclass
class Answers:
    """Operations of the default session's clients that answer what a test says; all else goes on to moto."""

    asked: Counter[str] = field(default_factory=Counter)

    def error(
        self,
        operation: str,
        code: str,
        message: str = "",
        *,
        status: int = 400,
        times: int = 0,
        before: Callable[[], None] = lambda: None,
        at: str = "",
    ) -> None:
        """`service.Operation` fails, after `before` was called; with `times` so many times, and then it is let by.

        With `at` only requests fail whose address has this text.
        """
        service = operation.split(".", maxsplit=1)[0]
        self._answer(operation, status, _error(service, code, message), times, before=before, at=at)

    def say(self, operation: str, answer: dict[str, Any], *, times: int = 0) -> None:
        """`service.Operation` of a JSON protocol answers."""
        self._answer(operation, 200, json.dumps(answer).encode(), times)

    def say_xml(
        self,
        operation: str,
        body: str,
        *,
        status: int = 200,
        times: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`service.Operation` of an XML protocol answers."""
        self._answer(operation, status, body.encode(), times, headers)

    def raises(self, operation: str, error: Exception) -> None:
        """`service.Operation` does not come through."""

        def handler(**_: Any) -> None:
            self.asked[operation] += 1
            raise error

        _session().events.register_first(f"before-send.{operation}", handler)

    def _answer(
        self,
        operation: str,
        status: int,
        body: bytes,
        times: int,
        headers: dict[str, str] | None = None,
        before: Callable[[], None] = lambda: None,
        at: str = "",
    ) -> None:
        def handler(request: Any, **_: Any) -> AWSResponse | None:
            if at not in request.url:
                return None
            self.asked[operation] += 1
            if times and self.asked[operation] > times:
                return None
            before()
            # moto is asked too, whatever is answered here, and would do what the request says.
            request.url = NOBODY
            return AWSResponse(request.url, status, headers or {}, _Raw(body))

        _session().events.register_first(f"before-send.{operation}", handler)


def _session() -> Any:
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    return boto3.DEFAULT_SESSION


def _error(service: str, code: str, message: str) -> bytes:
    if service not in _XML:
        return json.dumps({"__type": code, "message": message}).encode()
    error = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    if service == "s3":
        return error.encode()
    return f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>".encode()
