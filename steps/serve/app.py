"""SageMaker's serving contract as an ASGI application: GET /ping and POST /invocations.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from steps.serve.counting import Counter
from steps.serve.payload import MAX_BYTES, RefusedError, read_payload

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Application:
    """Answers in JSON; every request is one line of the log, without its content."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            started = time.monotonic()
            status, answer = await self._answer(scope, receive)
            await _send(send, status, answer)
            self._log(scope, status, time.monotonic() - started, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                self._counter.close()
                return

    async def _answer(self, scope: Message, receive: Receive) -> tuple[int, dict[str, Any]]:
        route = (scope["method"], scope["path"])
        try:
            if route == ("GET", "/ping"):
                return 200, {"status": "healthy"}
            if route == ("POST", "/invocations"):
                headers = {name.lower(): value for name, value in scope["headers"]}
                body = await _read(receive, headers)
                content_type = headers.get(b"content-type", b"").decode("latin-1")
                return 200, await self._counter.count(read_payload(content_type, body))
            if scope["path"] in ("/ping", "/invocations"):
                return 405, {"error": f"{scope['path']} does not take {scope['method']}"}
            return 404, {"error": "there are /ping and /invocations"}
        except RefusedError as refused:
            return refused.status, {"error": str(refused)}
        except Exception:
            # The worker lives on; the request's content stays out of the log.
            log.exception("a request failed")
            return 500, {"error": "the model could not answer; see the endpoint's log"}

    def _log(self, scope: Message, status: int, seconds: float, answer: dict[str, Any]) -> None:
        if scope["path"] == "/ping" and status == 200:
            return
        line = {"path": scope["path"], "status": status, "milliseconds": round(seconds * 1000, 1)}
        if "error" in answer:
            line["error"] = answer["error"]
        log.info("%s", json.dumps(line))


async def _read(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    """The body, as long as it is not too large: what is beyond the limit is never kept."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > MAX_BYTES:
        raise RefusedError(413, f"the body has more than {MAX_BYTES:,} bytes")
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the client went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BYTES:
            raise RefusedError(413, f"the body has more than {MAX_BYTES:,} bytes")
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _send(send: Send, status: int, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
