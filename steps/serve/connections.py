"""Limits for clients that connect and do not go on: time, number, and lines of the log.

uvicorn has no time limit for a request's head, and beyond its limit of connections it answers 503 to everybody, also to
/ping: some thousand half requests would have SageMaker replace the container. Here the head of a request has a time
limit, and beyond the limit of connections the one that has waited longest makes room.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from dataclasses import dataclass, field
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

# Far above what SageMaker opens.
MAX_CONNECTIONS = 4096
# Files and sockets of the server itself: listening, the model, the event loop, threads of libraries.
OWN_FILES = 64
_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
SHORTEST_BACKLOG, LONGEST_BACKLOG = 16, 1024
# Turns of the event loop until an accepted connection counts; in each a backlog of connections is accepted.
TURNS = 4


@dataclass(frozen=True)
class Limits:
    """Connections at a time, and connections that are accepted in one turn of the event loop."""

    connections: int
    backlog: int

    @classmethod
    def of(cls, files: int) -> Limits:
        """The limits of a process with this many open files. Without a free one, not even /ping would be accepted."""
        backlog = min(LONGEST_BACKLOG, max(SHORTEST_BACKLOG, files // 16))
        return cls(max(1, min(MAX_CONNECTIONS, files - OWN_FILES - TURNS * backlog)), backlog)


def raise_file_limit() -> int:
    """Raise this process's limit of open files to what it may be and the connections need. Returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OWN_FILES + TURNS * LONGEST_BACKLOG
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


@dataclass
class Open:
    """The open connections, each kind in the order in which it began to wait."""

    most: int
    idle: dict[Connection, None] = field(default_factory=dict)
    """Connections without a complete head: new ones, those between two requests, and those that send a head."""
    busy: dict[Connection, None] = field(default_factory=dict)
    """Connections with a request in progress."""

    def make_room(self, new: Connection) -> None:
        """Close a connection if a new one is one too many: that without a head for the longest, or without a body.

        If all requests are complete, the new one is closed.
        """
        if len(self.idle) + len(self.busy) <= self.most:
            return
        waiting = (connection for connection in self.idle if connection is not new)
        sending = (connection for connection in self.busy if connection.awaits_body)
        victim = next(waiting, None) or next(sending, new)
        self.forget(victim)
        victim.transport.abort()

    def move(self, connection: Connection, *, busy: bool) -> None:
        """Put a connection at the end of those that are busy, or idle."""
        self.forget(connection)
        (self.busy if busy else self.idle)[connection] = None

    def forget(self, connection: Connection) -> None:
        """Remove a connection."""
        self.idle.pop(connection, None)
        self.busy.pop(connection, None)


class Connection(H11Protocol):
    """A client's connection. uvicorn makes it, with arguments of its own: the limits are the class's."""

    open: ClassVar[Open] = Open(MAX_CONNECTIONS)
    head_seconds: ClassVar[float] = 20.0
    """From the first byte of a request's head to its last."""
    _head_timer: asyncio.TimerHandle | None = None

    @property
    def has_request(self) -> bool:
        """Whether a request is in progress."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def awaits_body(self) -> bool:
        """Whether the request in progress has no end yet."""
        return self.has_request and self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, which has the time that a later one has."""
        super().connection_made(transport)
        # Head and body leave as two packets. Without this the second waits for the client to acknowledge the first,
        # which on a connection that is kept open it does 40 ms later. asyncio sets it for sockets whose protocol is
        # TCP by number; those of `uvicorn.Config.bind_socket` have 0.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open.move(self, busy=False)
        self.open.make_room(self)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limits too."""
        self.open.forget(self)
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Begin or end the time for a head."""
        super().data_received(data)
        self._settle()

    def on_response_complete(self) -> None:
        """The next head may have begun, or be complete: uvicorn reads it here."""
        super().on_response_complete()
        self._settle()

    def _settle(self) -> None:
        if self.transport.is_closing():
            return
        is_busy = self.has_request
        if is_busy != (self in self.open.busy):
            self.open.move(self, busy=is_busy)
        if is_busy:
            self._stop_head_timer()
        elif self._head_timer is None and self.conn.trailing_data[0]:
            self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _give_up(self) -> None:
        if not self.has_request and not self.transport.is_closing():
            self.transport.write(_LATE)
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Sparing(logging.Filter):
    """Lets a few records of the same template pass per minute, then one with the number of those that did not.

    For loggers whose records a client can cause as fast as it can send bytes. The template is the first line: those
    behind it have addresses and names that are new each time.
    """

    RECORDS, SECONDS = 10, 60.0

    def __init__(self) -> None:
        super().__init__()
        self._begun: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        template = str(record.msg).partition("\n")[0][:100]
        now = time.monotonic()
        if now - self._begun.get(template, -self.SECONDS) >= self.SECONDS:
            left_out = self._counts.get(template, 0) - self.RECORDS
            if left_out > 0:
                record.msg, record.args = f"{record.getMessage()} ({left_out} more before this)", ()
            self._begun[template], self._counts[template] = now, 0
        self._counts[template] += 1
        return self._counts[template] <= self.RECORDS
