"""Connections through the door, with an object server of this test that records what reaches it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.local.s3 import connections
from pipeline.local.s3.answers import Answer, error
from pipeline.local.s3.connections import LOOPBACK, Plan
from pipeline.local.s3.door import Ports, listening
from pipeline.local.s3.framing import Body, Head, parse_head

DENIED = error(403, "AccessDenied", "no")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Policy:
    """Decides by the path: /deny is refused, /read and /swap need the body, /hide has its 404 replaced."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def reads_body(self, head: Head) -> bool:
        return head.target.startswith(("/read", "/swap", "/readdeny", "/twice/read"))

    def plan(self, head: Head, body: bytes) -> Plan:
        if self.reads_body(head):
            self.bodies.append(body)
        if head.target.startswith(("/deny", "/readdeny")):
            return Plan(DENIED)
        if head.target.startswith("/swap"):
            return Plan(request=b"HEAD /other HTTP/1.1\r\nHost: x\r\n\r\n", method="HEAD", after=swapped)
        if head.target.startswith("/twice"):
            question = Plan(request=b"HEAD /first HTTP/1.1\r\nHost: x\r\n\r\n", method="HEAD")
            question.after = lambda status, body: Plan(after=lambda status, body: Answer(201))
            return question
        if head.target.startswith("/hide"):
            return Plan(after=hidden, reads=frozenset((404,)))
        return Plan()


def swapped(status: int, body: bytes) -> Answer:
    return Answer(200, f"{status}".encode())


def hidden(status: int, body: bytes) -> Answer | None:
    return DENIED if status == 404 and b"NoSuchKey" in body else None


@dataclass
class Server:
    """The object server: it answers each request by `respond`, or as soon as it has the head by `early`."""

    respond: Callable[[Head, bytes], bytes] = lambda head, body: OK
    early: Callable[[Head], bytes | None] = lambda head: None
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    raw: bytes = b""
    connections: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                raw = await reader.readuntil(b"\r\n\r\n")
                self.raw += raw
                head = parse_head(raw)
                if (answer := self.early(head)) is not None:
                    writer.write(answer)
                    break
                if head.expects_continue:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body, content = Body(head.length), b""
                while not body.done:
                    data = await reader.readexactly(1) if head.length < 0 else await reader.read(body._left)
                    if not data:
                        return
                    body.measure(data)
                    content += data
                self.raw += content
                self.requests.append((head.method, head.target, content))
                writer.write(self.respond(head, content))
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.close()


@dataclass
class Client:
    """A client's connection to the door."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, method: str = "GET") -> tuple[int, bytes]:
        """Status and body of the next response."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if method == "HEAD" or not length:
            return status, b""
        return status, await self.reader.readexactly(int(length[0].partition(b":")[2]))


@contextlib.asynccontextmanager
async def door(server: Server, judge: Policy | None = None) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    upstream = await asyncio.start_server(server.serve, LOOPBACK, 0)
    server.port = upstream.sockets[0].getsockname()[1]
    through = await listening(judge or Policy(), Ports(0, server.port))
    clients: list[Client] = []

    async def connect() -> Client:
        reader, writer = await asyncio.open_connection(*through.sockets[0].getsockname())
        clients.append(Client(reader, writer))
        return clients[-1]

    try:
        async with asyncio.timeout(120):
            yield connect
    finally:
        for client in clients:
            client.writer.close()
        through.close()
        upstream.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())


def get(path: str = "/b/k", *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def put(body: bytes, path: str = "/b/k", *fields: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *fields, method="PUT") + body


REQUESTS = [
    (get(), 200),
    (get("/deny"), 403),
    (put(b"12345"), 200),
    (put(b"GET / HTTP/1.1\r\n\r\n", "/deny"), 403),
    (get("/b/k", "Transfer-Encoding: chunked", method="PUT") + b"5\r\nabcde\r\n0\r\n\r\n", 200),
    (get("/deny/c", "Transfer-Encoding: chunked", method="PUT") + b"5\r\nabcde\r\n0\r\n\r\n", 403),
    (put(b"document", "/read"), 200),
    (get("/read/c", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200),
    (put(b"document", "/readdeny"), 403),
    (put(b"document", "/swap"), 200),
    (get("/hide"), 403),
    (get("/twice"), 201),
    (put(b"abc", "/twice/read"), 201),
]


def missing(head: Head, body: bytes) -> bytes:
    content = b"<Error><Code>NoSuchKey</Code></Error>"
    if head.target == "/hide":
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
    return b"HTTP/1.1 200 OK\r\n\r\n" if head.method == "HEAD" else OK


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(range(len(REQUESTS))), min_size=1, max_size=6),
    st.lists(st.integers(1, 120), max_size=30),
)
def test_however_requests_are_cut_each_has_its_own_response_in_order(chosen, cuts):
    requests = [REQUESTS[number] for number in chosen]

    async def ask() -> None:
        server = Server(respond=missing)
        async with door(server) as connect:
            client = await connect()
            rest = b"".join(request for request, _ in requests)
            for cut in [*cuts, len(rest)]:
                client.send(rest[:cut])
                rest = rest[cut:]
                await asyncio.sleep(0)
            assert [(await client.response())[0] for _ in requests] == [status for _, status in requests]

    run(ask)


def test_allowed_requests_reach_the_server_byte_by_byte_and_refused_ones_do_not():
    sent = [get("/b/k?a=%20b", "X-Odd:  two  "), put(b"\x00\r\n\r\n\xff"), REQUESTS[4][0], put(b"doc", "/read")]

    async def ask() -> None:
        server, judge = Server(), Policy()
        async with door(server, judge) as connect:
            client = await connect()
            for request in (sent[0], put(b"no", "/deny"), *sent[1:], REQUESTS[7][0]):
                client.send(request)
                await client.response()
            assert server.raw == b"".join(sent) + REQUESTS[7][0]
            assert judge.bodies == [b"doc", b"abcde"]
            assert server.connections == 1

    run(ask)


def test_a_refused_upload_is_read_to_its_end_and_the_connection_lives_on():
    async def ask() -> None:
        server = Server()
        async with door(server) as connect:
            client = await connect()
            client.send(put(b"x" * 3_000_000, "/deny"))
            assert await client.response() == (403, DENIED.body)
            client.send(get())
            assert await client.response() == (200, b"ok")
            assert [target for _, target, _ in server.requests] == ["/b/k"]

    run(ask)


@pytest.mark.parametrize("sends_the_body", [False, True])
def test_a_client_that_waits_for_status_100_gets_the_refusal_at_once_and_its_body_is_no_request(sends_the_body):
    body = get("/b/smuggled").ljust(100_000)

    async def ask() -> None:
        server = Server()
        async with door(server) as connect:
            client = await connect()
            client.send(get("/deny", "Expect: 100-continue", f"Content-Length: {len(body)}", method="PUT"))
            assert await client.response() == (403, DENIED.body)
            if sends_the_body:
                client.send(body)
            assert await client.reader.read() == b""
            assert server.raw == b""

    run(ask)


def test_a_client_that_waits_for_status_100_gets_it_once():
    async def ask() -> None:
        server = Server()
        async with door(server) as connect:
            client = await connect()
            for path in ("/b/k", "/read"):
                client.send(get(path, "Expect: 100-continue", "Content-Length: 3", method="PUT"))
                assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                client.send(b"abc")
                assert await client.response() == (200, b"ok")
            assert [content for _, _, content in server.requests] == [b"abc", b"abc"]

    run(ask)


def test_a_response_before_the_end_of_an_upload_arrives_and_the_rest_of_the_body_is_no_request():
    late = get("/b/smuggled").ljust(4_000_000)

    def early(head: Head) -> bytes:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone"

    async def ask() -> None:
        server = Server(early=early)
        async with door(server) as connect:
            client = await connect()
            client.send(get("/b/k", f"Content-Length: {len(late)}", method="PUT"))
            assert await client.response() == (404, b"gone")
            client.send(late)
            assert await client.reader.read() == b""
            assert (server.requests, server.connections) == ([], 1)

    run(ask)


@pytest.mark.parametrize(
    "raw",
    [
        get("/b/k", "Content-Length: 4", "Transfer-Encoding: chunked", method="PUT") + b"0\r\n\r\n",
        get("/b/k", "Content-Length: 4", "Content-Length: 5", method="PUT") + b"abcde",
        get("/b/k", " folded: 1"),
        b"nonsense\r\n\r\n",
        b"GET /" + b"a" * 70_000,
    ],
)
def test_what_is_no_clear_request_is_answered_400_and_reaches_nobody(raw):
    async def ask() -> None:
        server = Server()
        async with door(server) as connect:
            client = await connect()
            client.send(raw)
            status, body = await client.response()
            assert (status, b"<Code>BadRequest</Code>" in body) == (400, True)
            assert await client.reader.read() == b""
            assert server.raw == b""

    run(ask)


def test_a_broken_chunk_ends_the_connection():
    async def ask() -> None:
        server = Server()
        async with door(server) as connect:
            client = await connect()
            client.send(get("/b/k", "Transfer-Encoding: chunked", method="PUT") + b"5\r\nabcdeXX" + get("/b/other"))
            with contextlib.suppress(ConnectionError):
                assert await client.reader.read() == b""
            assert server.requests == []

    run(ask)


def test_a_document_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(connections, "MAX_DOCUMENT_BYTES", 1000)

    async def ask() -> None:
        server, judge = Server(), Policy()
        async with door(server, judge) as connect:
            client = await connect()
            client.send(put(b"x" * 100_000, "/read"))
            status, body = await client.response()
            assert (status, b"MaxMessageLengthExceeded" in body) == (400, True)
            client.send(get())
            assert await client.response() == (200, b"ok")
            assert judge.bodies == []

    run(ask)


def test_a_client_that_only_closes_its_own_side_still_gets_its_responses():
    async def ask() -> None:
        server = Server()
        async with door(server) as connect:
            client = await connect()
            client.send(get() + put(b"abc") + get("/deny"))
            client.writer.write_eof()
            assert [(await client.response())[0] for _ in range(3)] == [200, 200, 403]
            assert await client.reader.read() == b""

    run(ask)


def test_a_client_that_leaves_in_the_middle_of_an_upload_takes_the_servers_connection_along():
    async def ask() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while await reader.read(1024):
                    pass
            gone.set()
            writer.close()

        server = Server()
        server.serve = serve  # type: ignore[method-assign]
        async with door(server) as connect:
            client = await connect()
            client.send(get("/b/k", "Content-Length: 1000", method="PUT") + b"half")
            await client.writer.drain()
            client.writer.close()
            await gone.wait()

    run(ask)


def test_a_server_that_closes_between_two_requests_is_connected_again():
    def respond(head: Head, body: bytes) -> bytes:
        return OK

    async def ask() -> None:
        server = Server(early=lambda head: OK)
        async with door(server) as connect:
            client = await connect()
            for _ in range(3):
                client.send(get())
                assert await client.response() == (200, b"ok")
                await asyncio.sleep(0.05)
            assert server.connections == 3

    run(ask)


def test_a_server_that_ends_a_response_too_early_ends_the_clients_connection():
    async def ask() -> None:
        server = Server(early=lambda head: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        async with door(server) as connect:
            client = await connect()
            client.send(get())
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.response()

    run(ask)


def test_a_response_without_a_length_ends_with_the_connection():
    async def ask() -> None:
        server = Server(early=lambda head: b"HTTP/1.1 200 OK\r\n\r\nall of it")
        async with door(server) as connect:
            client = await connect()
            client.send(get())
            assert (await client.reader.read()).endswith(b"\r\n\r\nall of it")

    run(ask)


def test_a_server_that_cannot_be_reached_is_reported(monkeypatch):
    monkeypatch.setattr(connections, "RECONNECT_SECONDS", 0.3)

    async def ask() -> None:
        through = await listening(Policy(), Ports(0, 1))  # nothing listens on port 1
        reader, writer = await asyncio.open_connection(*through.sockets[0].getsockname())
        client = Client(reader, writer)
        for request in (get(), put(b"x" * 200_000)):
            client.send(request)
            status, body = await client.response()
            assert (status, b"ServiceUnavailable" in body) == (503, True)
        writer.close()
        through.close()

    run(ask)


@pytest.mark.parametrize("raw", [get("/b/k", "Connection: close"), b"GET /b/k HTTP/1.0\r\nHost: x\r\n\r\n"])
@pytest.mark.parametrize("path", [b"/b/k", b"/deny"])
def test_a_client_that_wants_to_end_the_connection_sees_its_end(raw, path):
    async def ask() -> None:
        async with door(Server()) as connect:
            client = await connect()
            client.send(raw.replace(b"/b/k", path))
            await client.response()
            assert await client.reader.read() == b""

    run(ask)


def test_responses_to_head_have_no_body():
    async def ask() -> None:
        server = Server(respond=lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        async with door(server) as connect:
            client = await connect()
            for path, status in (("/b/k", 200), ("/deny", 403), ("/b/k", 200)):
                client.send(get(path, method="HEAD"))
                assert await client.response("HEAD") == (status, b"")

    run(ask)


def test_a_slow_reader_holds_the_server_back():
    size = 64 * 1024 * 1024

    async def ask() -> None:
        sent = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            with contextlib.suppress(ConnectionError):
                while sent < size:
                    writer.write(b"x" * 65536)
                    sent += 65536
                    await writer.drain()
                writer.close()

        server = Server()
        server.serve = serve  # type: ignore[method-assign]
        async with door(server) as connect:
            client = await connect()
            client.send(get())
            await client.reader.readexactly(1000)
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < size / 2
            received = 1000
            while data := await client.reader.read(1 << 20):
                received += len(data)
                if received >= size:
                    break
            assert received > size

    run(ask)


def test_a_slow_server_holds_the_client_back():
    size = 64 * 1024 * 1024

    async def ask() -> None:
        go = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await go.wait()
            await reader.readexactly(size)
            writer.write(OK)
            await writer.drain()
            writer.close()

        server = Server()
        server.serve = serve  # type: ignore[method-assign]
        async with door(server) as connect:
            client = await connect()
            client.send(get("/b/k", f"Content-Length: {size}", method="PUT"))
            sent, stuck = 0, False
            while sent < size:
                client.send(b"x" * 1_000_000)
                sent += 1_000_000
                try:
                    await asyncio.wait_for(client.writer.drain(), 1)
                except TimeoutError:
                    stuck = True
                    break
            assert stuck
            go.set()
            client.send(b"x" * (size - sent))
            assert await client.response() == (200, b"ok")

    run(ask)


def test_a_client_that_does_not_wait_for_responses_is_not_read_without_limit():
    async def ask() -> None:
        go = asyncio.Event()
        received = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    received += 1
                    await go.wait()
                    writer.write(OK)

        server = Server()
        server.serve = serve  # type: ignore[method-assign]
        async with door(server) as connect:
            client = await connect()
            client.send(get() * 200_000)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.writer.drain(), 1)
            assert received == 1
            go.set()
            assert await client.response() == (200, b"ok")

    run(ask)
