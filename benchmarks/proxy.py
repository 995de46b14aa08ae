"""The latency of S3 between machines: a proxy on 127.0.0.1 that delays every GET.

Each connection of a client is one connection to the server. Responses are passed on unread; requests are read only to
find where one ends and the next begins. No byte changes, so a signature over the Host header remains valid.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Connections that wait to be accepted: a client opens all of its own at once.
BACKLOG = 1024
# The limit of servers, too.
MAX_HEAD_BYTES = 64 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_LINE = b"\r\n"
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding):[ \t]*([^\r\n]*)", re.IGNORECASE)

Piece = tuple[bytes, bool]


class MalformedRequestError(Exception):
    """Bytes that are no HTTP/1.1 request."""


class RequestReader:
    """Cuts the bytes of a client into pieces, each with whether it is the head of a GET."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._read: Callable[[], Piece | None] = self._head

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The pieces that `data` completes; together they are all bytes so far. Raises MalformedRequestError."""
        self._buffer += data
        while self._buffer:
            piece = self._read()
            if piece is None:
                return
            yield piece

    def _head(self) -> Piece | None:
        head = self._take_to(_END_OF_HEAD)
        if head is None:
            return None
        framing = {name.lower(): value for name, value in _FRAMING.findall(head)}
        if b"chunked" in framing.get(b"transfer-encoding", b"").lower():
            self._read = self._chunk_size
        elif length := _number(framing.get(b"content-length", b"0"), 10):
            self._expect(length, self._body)
        return head, head.startswith(b"GET ")

    def _body(self) -> Piece:
        return self._take_some(then=self._head)

    def _chunk_size(self) -> Piece | None:
        line = self._take_to(_END_OF_LINE)
        if line is None:
            return None
        size = _number(line.partition(b";")[0].strip(), 16)
        if size:
            self._expect(size + len(_END_OF_LINE), self._chunk)
        else:
            self._read = self._trailer
        return line, False

    def _chunk(self) -> Piece:
        return self._take_some(then=self._chunk_size)

    def _trailer(self) -> Piece | None:
        line = self._take_to(_END_OF_LINE)
        if line is None:
            return None
        if line == _END_OF_LINE:
            self._read = self._head
        return line, False

    def _expect(self, size: int, read: Callable[[], Piece]) -> None:
        self._left, self._read = size, read

    def _take_to(self, end: bytes) -> bytes | None:
        """The bytes so far up to `end`; None while `end` is missing."""
        position = self._buffer.find(end)
        if position < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise MalformedRequestError(f"no end of a head or line within {MAX_HEAD_BYTES} bytes")
            return None
        position += len(end)
        taken, self._buffer = self._buffer[:position], self._buffer[position:]
        return taken

    def _take_some(self, then: Callable[[], Piece | None]) -> Piece:
        """The bytes so far of a body."""
        taken, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(taken)
        if not self._left:
            self._read = then
        return taken, False


def _number(text: bytes, base: int) -> int:
    try:
        return int(text, base)
    except ValueError as error:
        raise MalformedRequestError(f"{text!r} is not a length") from error


class _Client(asyncio.Protocol):
    """A client's connection: its GETs are delayed, and all bytes after a GET with it."""

    def __init__(self, upstream_port: int, seconds: float) -> None:
        self._upstream_port = upstream_port
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._requests = RequestReader()
        self._pieces: deque[Piece] = deque()
        self._waiting: asyncio.TimerHandle | None = None
        self._upstream: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the server before reading."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            upstream, _ = await self._loop.create_connection(lambda: _Upstream(self), LOOPBACK, self._upstream_port)
        except OSError:
            self.transport.abort()
            return
        self._upstream = upstream
        if self.transport.is_closing():
            upstream.abort()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on all requests but GETs; the delay of a GET starts here."""
        try:
            self._pieces.extend(self._requests.feed(data))
        except MalformedRequestError as error:
            print(f"a request was refused: {error}", file=sys.stderr, flush=True)
            self.transport.abort()
            return
        if self._waiting is None:
            self._pass_on()
        else:
            # Without this, a client that does not wait for answers could fill the memory.
            self.transport.pause_reading()

    def _pass_on(self) -> None:
        while self._pieces:
            if self._pieces[0][1]:
                self._waiting = self._loop.call_later(self._seconds, self._release)
                return
            self._send()

    def _release(self) -> None:
        self._waiting = None
        self._send()
        self.transport.resume_reading()
        self._pass_on()

    def _send(self) -> None:
        assert self._upstream is not None
        self._upstream.write(self._pieces.popleft()[0])

    def pause_writing(self) -> None:
        """The client reads more slowly than the server sends."""
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._upstream is not None:
            self._upstream.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Abort the connection to the server."""
        del error
        if self._waiting is not None:
            self._waiting.cancel()
        if self._upstream is not None:
            self._upstream.abort()


class _Upstream(asyncio.Protocol):
    """The server's end of a client's connection."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        """Pass on a part of a response."""
        self._client.transport.write(data)

    def pause_writing(self) -> None:
        """The server reads more slowly than the client sends."""
        self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        """The server has caught up."""
        self._client.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Close the connection to the client, once it has all of the response."""
        del error
        self._client.transport.close()


async def serve(upstream_port: int, seconds: float) -> asyncio.Server:
    """A proxy to 127.0.0.1:`upstream_port`, on a free port of 127.0.0.1, that delays each GET by `seconds`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Client(upstream_port, seconds), LOOPBACK, 0, backlog=BACKLOG)


@contextmanager
def running(upstream_port: int, seconds: float) -> Iterator[int]:
    """Start a proxy in a process of its own; yields its port."""
    command = [sys.executable, "-m", "benchmarks.proxy", str(upstream_port), str(seconds)]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


async def _serve_until_stdin_ends(upstream_port: int, seconds: float) -> None:
    """Print the port, and stop when the parent process closes its end of the pipe, or has ended."""
    server = await serve(upstream_port, seconds)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = asyncio.Event()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            over.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), read)
    await over.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.proxy", description=__doc__)
    parser.add_argument("upstream_port", type=int)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    # Ctrl-C in a terminal also reaches this process, which its parent still needs while it stops its own work.
    asyncio.run(_serve_until_stdin_ends(**vars(arguments)))
