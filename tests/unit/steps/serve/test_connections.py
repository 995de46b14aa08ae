"""Kind: clients that connect and do not go on cost the others nothing."""

import asyncio
import logging
import resource
import socket
from types import SimpleNamespace

import pytest
import uvicorn

from steps.serve import connections
from steps.serve.connections import MAX_CONNECTIONS, Connection, Limits, Open, Sparing, raise_file_limit


@pytest.mark.parametrize("files", [64, 200, 256, 1024, 4096, 20_000, 1_048_576])
def test_whatever_is_accepted_before_it_is_counted_has_a_file(files):
    limits = Limits.of(files)
    assert 1 <= limits.connections <= MAX_CONNECTIONS
    if files >= 256:
        assert limits.connections + connections.TURNS * limits.backlog + connections.OWN_FILES <= files
    assert Limits.of(20_000).connections == MAX_CONNECTIONS


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [(1024, 4096, 4096), (1024, 1_000_000, 8256), (1024, resource.RLIM_INFINITY, 8256), (20_000, 20_000, 20_000)],
)
def test_the_limit_of_files_is_raised_as_far_as_it_may_be_and_never_lowered(monkeypatch, soft, hard, raised):
    calls = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: calls.append(limits))
    assert raise_file_limit() == raised
    assert calls == ([(raised, hard)] if raised > soft else [])


class Client:
    def __init__(self, awaits_body=False):
        self.awaits_body, self.closed = awaits_body, False
        self.transport = SimpleNamespace(abort=lambda: setattr(self, "closed", True))


def test_the_longest_without_a_head_makes_room_then_the_longest_without_a_body_then_the_new_one_itself():
    served, sending, idle, kept, new = Client(), Client(awaits_body=True), Client(), Client(), Client()
    open_ = Open(2)
    for client in (served, sending):
        open_.move(client, busy=True)
    for client in (idle, kept, new):
        open_.move(client, busy=False)
    closed = []
    for expected in (idle, kept, sending):
        open_.make_room(new)
        closed.append(expected.closed)
    assert closed == [True] * 3
    open_.make_room(new)
    assert not new.closed  # two are within the limit
    late = Client()
    open_.move(new, busy=True)
    open_.move(late, busy=False)
    open_.make_room(late)
    assert late.closed
    assert not served.closed


def test_the_body_of_a_response_does_not_wait_until_its_head_is_acknowledged():
    """The option TCP_NODELAY, of a connection that is accepted by a socket as steps/serve/run.py has it."""
    accepted = []

    async def application(scope, receive, send):
        raise AssertionError("nothing is asked")

    async def accept():
        config = uvicorn.Config(application, host="127.0.0.1", port=0, http=Connection, log_config=None)
        config.load()
        server = uvicorn.Server(config)
        listening = config.bind_socket()
        connected = asyncio.Event()

        class Seen(Connection):
            def connection_made(self, transport):
                super().connection_made(transport)
                accepted.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                connected.set()

        serving = await asyncio.get_running_loop().create_server(
            lambda: Seen(config=config, server_state=server.server_state, app_state={}), sock=listening
        )
        async with serving:
            _, writer = await asyncio.open_connection(*listening.getsockname())
            await connected.wait()
            writer.close()

    asyncio.run(accept())
    assert [value != 0 for value in accepted] == [True]


def test_a_log_has_some_of_the_records_that_are_alike_and_the_number_of_the_others(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: now[0]))
    sparing, written = Sparing(), []

    def log(message, *arguments):
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, message, arguments, None)
        if sparing.filter(record):
            written.append(record.getMessage())

    for number in range(1000):
        log("broken request %d", number)
    log("another message")
    assert written == [f"broken request {number}" for number in range(10)] + ["another message"]
    now[0] = 61.0
    log("broken request %d", 1000)
    assert written[-1] == "broken request 1000 (990 more before this)"


def test_records_that_differ_behind_their_first_line_are_of_one_kind():
    """As asyncio writes them: with the connection's address, or a task's number."""
    sparing, written = Sparing(), []
    for number in range(1000):
        message = f"Task exception was never retrieved\nfuture: <Task finished name='Task-{number}'>"
        written += [number] * sparing.filter(logging.LogRecord("asyncio", logging.ERROR, "", 0, message, (), None))
    assert written == list(range(10))
    assert len(sparing._counts) == 1
