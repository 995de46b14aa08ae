"""SageMaker's serving contract as an ASGI application: GET /ping and POST /invocations.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from steps.model.predictor import Predictor
from steps.serve.admission import Admission
from steps.serve.counting import Counter
from steps.serve.payload import RefusedError, check_accept, media_type
from steps.serve.settings import ServingSettings

log = logging.getLogger("requests")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Statuses for a faulty photo, which must not end a batch job with other photos.
PHOTOS_FAULT = (400, 413)
_SHOWN = 100  # characters of an unknown path


@dataclass
class Exchange:
    """A request and its outcome, for its line in the log."""

    path: str
    headers: dict[bytes, bytes]
    started: float = field(default_factory=time.monotonic)
    photos: int = 0
    size: int = 0
    status: int = 200
    error: str = ""

    def header(self, name: bytes) -> str:
        """A header's value; empty where it is missing."""
        return self.headers.get(name, b"").decode("latin-1")

    def line(self) -> dict[str, Any]:
        """The path, figures and the error of the request, without its content."""
        figures = {"path": self.path[:_SHOWN], "status": self.status, "photos": self.photos, "bytes": self.size}
        figures["milliseconds"] = round((time.monotonic() - self.started) * 1000, 1)
        return figures | ({"error": self.error} if self.error else {})


class Application:
    """Answers in JSON; every request is one line of the log, without its content.

    Threads start with the server (ASGI's lifespan), since they belong to its event loop.
    """

    def __init__(self, predictor: Predictor, settings: ServingSettings) -> None:
        self._predictor, self._settings = predictor, settings

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            exchange = Exchange(scope["path"], {name.lower(): value for name, value in scope["headers"]})
            answer = await self._answer(scope["method"], exchange, receive)
            if not (exchange.path == "/ping" and exchange.status == 200):
                log.log(logging.WARNING if exchange.error else logging.INFO, "request", extra={"json": exchange.line()})
            await _send(send, exchange.status, answer)

    async def drain(self, timeout: float) -> None:
        """Refuse new requests, and wait at most `timeout` seconds for the answers to accepted ones."""
        await self._admission.drain(timeout)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._admission = Admission(self._settings.max_queue)
                self._counter = Counter(self._predictor, self._settings)
            else:
                await asyncio.to_thread(self._counter.close)
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, method: str, exchange: Exchange, receive: Receive) -> dict[str, Any]:
        try:
            if (method, exchange.path) == ("GET", "/ping"):
                return self._ping()
            if (method, exchange.path) == ("POST", "/invocations"):
                return await self._invoke(exchange, receive)
            if exchange.path in ("/ping", "/invocations"):
                raise RefusedError(405, f"{exchange.path} does not support {method[:_SHOWN]}")
            raise RefusedError(404, "unknown path; the paths are /ping and /invocations")
        except RefusedError as refused:
            exchange.status, exchange.error = refused.status, str(refused)
            if self._settings.batch and refused.status in PHOTOS_FAULT:
                exchange.status = 200
        except Exception as error:
            # The server continues; the request's content stays out of the log.
            exchange.status, exchange.error = 500, f"{type(error).__name__}: see the previous line"
            log.exception("a request failed")
            return {"error": "the model could not answer; see the endpoint's log"}
        return {"error": exchange.error}

    def _ping(self) -> dict[str, Any]:
        if self._admission.draining:
            raise RefusedError(503, "the server stops")
        if not self._counter.healthy:
            raise RefusedError(503, "the network does not answer; replace this container")
        return {"status": "healthy"}

    async def _invoke(self, exchange: Exchange, receive: Receive) -> dict[str, Any]:
        kind = media_type(exchange.header(b"content-type"))
        check_accept(exchange.header(b"accept"))
        most = self._declared_size(exchange.header(b"content-length"))
        with self._admission.enter(most) as place:
            body = await self._body(receive)
            exchange.size = len(body)
            payload = await self._counter.read(kind, body)
            del body  # of JSON only the photos are needed
            exchange.photos = len(payload.photos)
            place.widen(exchange.photos)
            return await self._counter.count(payload)

    async def _body(self, receive: Receive) -> bytes:
        """The body. Raises RefusedError when it is late or too large; bytes beyond the limit are not kept."""
        chunks, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "the client disconnected before the end of its body")
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    self._check_size(size)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RefusedError(408, f"the body did not arrive within {self._settings.body_seconds} s") from None
        return b"".join(chunks)

    def _declared_size(self, content_length: str) -> int:
        """The declared size of a body in bytes or, for a body in chunks, the largest size that is accepted."""
        # h11 accepts up to 20 ASCII digits, and nothing else.
        size = int(content_length) if content_length else self._settings.max_bytes
        self._check_size(size)
        return size

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_bytes:
            raise RefusedError(413, f"the body has more than {self._settings.max_bytes:,} bytes")


async def _send(send: Send, status: int, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    if status == 408:
        headers.append((b"connection", b"close"))  # the rest of the body may never arrive
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
