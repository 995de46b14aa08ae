"""A client's connection to the S3 door, with its connection to the object server.

Requests of one connection are handled one after another: the next one is read when the response to the one before is
complete, so that the door's own answers come in their place. Each side is read only as fast as the other one writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.local.s3.answers import Answer, error
from pipeline.local.s3.framing import (
    Body,
    Head,
    MalformedRequestError,
    joined_chunks,
    parse_head,
    parse_response_head,
    split_head,
)

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
# Connections that wait to be accepted: a client opens all of its own at once.
BACKLOG = 1024
# A document in a body that the door reads: DeleteObjects names 1,000 keys of 1,024 bytes, which may be escaped.
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
# How long a client may take to read a refusal, or go on sending a body that nobody reads.
DRAIN_SECONDS = 30.0
# An object server that has died is started again meanwhile.
RECONNECT_SECONDS = 15.0
_RECONNECT_PAUSE = 0.1
NO_OBJECT_SERVER = "The object server does not answer."
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class Plan:
    """What is done with a request: it is answered here, or passed on."""

    answer: Answer | None = None
    """The door's own answer; nothing is passed on."""
    request: bytes | None = None
    """A complete request that is passed on in place of the client's."""
    method: str = ""
    """Method of `request`, where it is not the client's."""
    after: Callable[[int, bytes], Answer | Plan | None] | None = None
    """Called with the response's status; an answer takes the response's place, and so does another plan's outcome."""
    head: bytes | None = None
    """A head that is passed on in place of the client's, with the client's body."""
    amend: Callable[[bytes], bytes] | None = None
    """Changes the head of the response."""
    reads: frozenset[int] = frozenset()
    """Statuses of responses whose body `after` needs; it gets an empty body for others."""


class Judge(Protocol):
    """Decides about requests."""

    def reads_body(self, head: Head) -> bool:
        """Whether the decision needs the request's body."""

    def plan(self, head: Head, body: bytes) -> Plan:
        """What is done with a request; `body` is empty unless `reads_body`."""


class ClientConnection(asyncio.Protocol):
    """The client's side."""

    def __init__(self, judge: Judge, upstream_port: int) -> None:
        self._judge = judge
        self._upstream_port = upstream_port
        self._loop = asyncio.get_running_loop()
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._unsent: list[bytes] = []
        """Bytes for the object server until it is connected."""
        self._buffer = b""
        self._head: Head | None = None
        """The request in progress; None between two requests."""
        self._body = Body(0)
        self._plan: Plan | None = None
        """None while the body is collected for the decision."""
        self._document = b""
        self._response_done = False
        self._draining: asyncio.TimerHandle | None = None
        """Set once the connection will not be used again: whatever still comes is dropped."""
        self._ended = False
        """Whether the client will send nothing more."""
        self._paused: set[str] = set()

    # ---------------------------------------------------------------------------------------------- the transport
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Go on with the requests."""
        if self._draining is not None:
            self._drop(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    def eof_received(self) -> bool:
        """The client may still read the response to its last request."""
        self._ended = True
        return self._head is not None and self._body.done and self._draining is None

    def connection_lost(self, error: Exception | None) -> None:
        """End the connection to the object server."""
        del error
        if self._draining is not None:
            self._draining.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._upstream is not None:
            self._upstream.abandon()

    def pause_writing(self) -> None:
        """The client reads more slowly than the object server sends."""
        if self._upstream is not None:
            self._upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._upstream is not None:
            self._upstream.transport.resume_reading()

    def pause(self, reason: str) -> None:
        """Read nothing from the client until every reason has gone."""
        if not self._paused and not self.transport.is_closing():
            self.transport.pause_reading()
        self._paused.add(reason)

    def resume(self, reason: str) -> None:
        """Take a reason back."""
        if reason in self._paused:
            self._paused.discard(reason)
            if not self._paused and not self.transport.is_closing():
                self.transport.resume_reading()

    # ------------------------------------------------------------------------------------------------- requests
    def _advance(self) -> None:
        """Read requests and bodies as far as the bytes go."""
        try:
            while self._buffer and self._draining is None:
                if self._head is None:
                    if not self._read_head():
                        return
                elif self._body.done:
                    # The next request waits for the response to this one.
                    self.pause("order")
                    return
                else:
                    self._read_body()
        except MalformedRequestError as malformed:
            self._refuse_bytes(malformed)

    def _read_head(self) -> bool:
        if self._buffer.startswith(b"\r\n"):
            # Left behind by some clients after a body: https://www.rfc-editor.org/rfc/rfc9112#section-2.2
            self._buffer = self._buffer[2:]
            return bool(self._buffer)
        end = split_head(self._buffer)
        if not end:
            return False
        head = parse_head(self._buffer[:end])
        self._buffer = self._buffer[end:]
        self._head, self._body, self._response_done = head, Body(head.length), False
        self._plan, self._document = None, b""
        if not self._judge.reads_body(head):
            self.carry_out(self._judge.plan(head, b""))
        elif self._body.done:
            self._decide()
        elif head.expects_continue:
            self.transport.write(_CONTINUE)
        return True

    def _read_body(self) -> None:
        end = self._body.measure(self._buffer)
        piece = self._buffer if end == len(self._buffer) else self._buffer[:end]
        self._buffer = self._buffer[end:]
        if self._plan is None:
            self._document += piece
            if len(self._document) > MAX_DOCUMENT_BYTES:
                self._document = b""
                self.carry_out(Plan(error(400, "MaxMessageLengthExceeded", "Your request was too large.")))
                return
            if self._body.done:
                self._decide()
                return
        elif self._plan.answer is None and self._plan.request is None:
            self._pass_on(piece)
        if self._body.done:
            self._finish_request()

    def _decide(self) -> None:
        assert self._head is not None
        content = joined_chunks(self._document) if self._head.length < 0 else self._document
        self.carry_out(self._judge.plan(self._head, content))

    def carry_out(self, plan: Plan) -> None:
        """Answer the request in progress, or pass it on."""
        assert self._head is not None
        self._plan = plan
        if plan.answer is None:
            head = plan.head if plan.head is not None else self._head.raw
            self._start(plan.request if plan.request is not None else head + self._document)
        elif not self._body.done and self._head.expects_continue:
            # The client sends the body after status 100 or after a second, or not at all: the connection cannot be
            # used again.
            self.answer(plan.answer)
            return
        if self._body.done:
            self._finish_request()

    def _finish_request(self) -> None:
        """The request has been read to its end."""
        assert self._plan is not None
        if self._plan.answer is not None and not self._response_done:
            # Only now, since some clients do not read a response before they have sent the whole body.
            self.answer(self._plan.answer)
        elif self._response_done:
            self._next()

    def _next(self) -> None:
        self._head = None
        if self._buffer:
            self._loop.call_soon(self._advance)
        elif self._ended:
            self.transport.close()
        self.resume("order")

    # ------------------------------------------------------------------------------------------------- responses
    @property
    def method(self) -> str:
        """The method of the request that the object server has."""
        assert self._head is not None
        return self.plan.method or self._head.method

    @property
    def plan(self) -> Plan:
        """What is done with the request in progress."""
        assert self._plan is not None
        return self._plan

    @property
    def sent_continue(self) -> bool:
        """Whether the client has had status 100 already."""
        return self._head is not None and bool(self._document) and self._head.expects_continue

    def answer(self, answer: Answer) -> None:
        """Answer the request in progress from here."""
        assert self._head is not None
        close = not self._head.keeps_alive or not self._body.done
        self.transport.write(answer.encode(self._head.method, close=close))
        self.finish_response(close=close)

    def finish_response(self, *, close: bool = False) -> None:
        """The response is complete; with `close`, no other request follows on this connection."""
        assert self._head is not None
        self._response_done = True
        if close or not self._head.keeps_alive:
            self._drain()
        elif self._body.done:
            self._next()

    def upstream_closed(self) -> None:
        """The object server has closed its connection; the next request opens another one."""
        self._upstream = None
        if self._head is None or self.transport.is_closing() or self._draining is not None:
            return
        if self._response_done:
            # It will not read the rest of the body.
            self._drain()
        elif self._plan is not None and self._plan.answer is None:
            self.transport.abort()

    def _refuse_bytes(self, malformed: MalformedRequestError) -> None:
        log.info("a request was refused: %s", malformed)
        if self._head is None:
            answer = error(400, "BadRequest", f"An error occurred when parsing the HTTP request: {malformed}.")
            self.transport.write(answer.encode("GET", close=True))
            self._drain()
        else:
            self.transport.abort()

    def _drain(self) -> None:
        """Close the connection once the client has had time to read the response.

        A connection that is closed while unread bytes are on their way is reset, and the client may lose the response.
        """
        if self._draining is not None or self.transport.is_closing():
            return
        finished = self._head is not None and self._body.done
        if finished or self._ended:
            self.transport.close()
            return
        self._draining = self._loop.call_later(DRAIN_SECONDS, self.transport.abort)
        if self._upstream is not None:
            self._upstream.abandon()
            self._upstream = None
        self._paused.clear()
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        rest, self._buffer = self._buffer, b""
        self._drop(rest)

    def _drop(self, data: bytes) -> None:
        """Measure what nobody reads; close at its end."""
        if self._head is None:
            return
        try:
            if data:
                self._body.measure(data)
        except MalformedRequestError:
            self.transport.abort()
            return
        if self._body.done:
            self.transport.close()

    # --------------------------------------------------------------------------------------------- the object server
    def _start(self, data: bytes) -> None:
        """Pass on the first bytes of a request, over a new connection if there is none."""
        if self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.write(data)
            return
        self._unsent.append(data)
        self.pause("connecting")
        self._connecting = self._loop.create_task(self._connect())

    def _pass_on(self, data: bytes) -> None:
        """Pass on more of a body; nobody reads it if the connection that had its head is closed."""
        if self._connecting is not None:
            self._unsent.append(data)
        elif self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.write(data)

    async def _connect(self) -> None:
        upstream = await self._connection()
        if upstream is None:
            self._connecting = None
            self._unsent.clear()
            self.carry_out(Plan(error(503, "ServiceUnavailable", NO_OBJECT_SERVER)))
            self.resume("connecting")
            return
        self._connecting = None
        self._upstream = upstream
        unsent, self._unsent = self._unsent, []
        upstream.transport.write(b"".join(unsent))
        self.resume("connecting")

    async def _connection(self) -> UpstreamConnection | None:
        """A connection to the object server; None if it does not accept one in time."""
        end = self._loop.time() + RECONNECT_SECONDS
        while True:
            try:
                _, upstream = await self._loop.create_connection(
                    lambda: UpstreamConnection(self), LOOPBACK, self._upstream_port
                )
            except OSError:
                if self._loop.time() >= end:
                    return None
                await asyncio.sleep(_RECONNECT_PAUSE)
            else:
                return upstream


class UpstreamConnection(asyncio.Protocol):
    """The object server's side of a client's connection."""

    def __init__(self, client: ClientConnection) -> None:
        self._client: ClientConnection | None = client
        self._buffer = b""
        self._body: Body | None = None
        """Body of the response in progress; None before its head."""
        self._status = 0
        self._passes = True
        self._kept: list[bytes] | None = None
        """The response so far where its body is read."""
        self._head_length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request's response."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def abandon(self) -> None:
        """Close the connection; the client has gone."""
        self._client = None
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on a part of a response."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        try:
            while data and self._client is not None:
                data = self._read(self._client, data)
        except MalformedRequestError as malformed:
            log.warning("%s", malformed)
            self.transport.abort()

    def _read(self, client: ClientConnection, data: bytes) -> bytes:
        """Handle the first part of `data`, a head with the bytes of its body; returns the rest."""
        start = 0
        if self._body is None:
            start = split_head(data)
            if not start:
                self._buffer = data
                return b""
            head = parse_response_head(data[:start], client.method)
            if head.status < 200:
                if not client.sent_continue:
                    client.transport.write(data[:start])
                return data[start:]
            if client.plan.amend is not None:
                amended = client.plan.amend(data[:start])
                data, start = amended + data[start:], len(amended)
            self._begin(client, head.status, Body(head.length), start)
        assert self._body is not None
        end = self._body.measure(data, start)
        if self._kept is not None:
            self._keep(data[:end])
        elif self._passes:
            client.transport.write(data if end == len(data) else data[:end])
        if self._body.done:
            self._finish(client)
        return data[end:]

    def _begin(self, client: ClientConnection, status: int, body: Body, head_length: int) -> None:
        self._body, self._status, self._passes, self._kept = body, status, True, None
        self._replacement: Answer | Plan | None = None
        plan = client.plan
        if plan.after is None:
            return
        if status in plan.reads:
            self._kept, self._head_length = [], head_length
        else:
            self._replacement = plan.after(status, b"")
            self._passes = self._replacement is None

    def _keep(self, data: bytes) -> None:
        assert self._kept is not None
        self._kept.append(data)
        if sum(map(len, self._kept)) > MAX_DOCUMENT_BYTES:
            raise MalformedRequestError(f"the object server's answer has more than {MAX_DOCUMENT_BYTES} bytes")

    def _finish(self, client: ClientConnection) -> None:
        chunked = self._body is not None and self._body.chunked
        self._body = None
        if self._kept is not None:
            response, self._kept = b"".join(self._kept), None
            content = response[self._head_length :]
            after = client.plan.after
            assert after is not None
            self._replacement = after(self._status, joined_chunks(content) if chunked and content else content)
            if self._replacement is None:
                client.transport.write(response)
        replacement, self._replacement = self._replacement, None
        if replacement is None:
            client.finish_response()
        elif isinstance(replacement, Answer):
            client.answer(replacement)
        else:
            client.carry_out(replacement)

    def pause_writing(self) -> None:
        """The object server reads more slowly than the client sends."""
        if self._client is not None:
            self._client.pause("upstream")

    def resume_writing(self) -> None:
        """The object server has caught up."""
        if self._client is not None:
            self._client.resume("upstream")

    def connection_lost(self, error: Exception | None) -> None:
        """End the response, and the connection of the client where nothing else can follow."""
        del error
        client, self._client = self._client, None
        if client is None:
            return
        client.resume("upstream")
        if self._body is not None and self._body.endless:
            client.finish_response(close=True)
        client.upstream_closed()
