"""The container when it has too much to do, with clients that do not behave, and when it is told to stop."""

import contextlib
import socket
import threading
import time

import pytest

from steps.serve.connections import Sparing
from tests.unit.steps.serve.container import photo, start, status_of

GOOD = photo(250)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start(tmp_path_factory.mktemp("serve"), SERVING_MAX_QUEUE="4")
    yield server
    assert server.stop() == 0


def test_what_is_beyond_the_queue_is_refused_at_once_with_a_time_to_try_again(server):
    accepted = [server.begin(GOOD, 50) for _ in range(4)]
    assert eventually(lambda: server.send(GOOD)[0], 503)
    status, answer, headers = server.send(GOOD)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "try again" in answer["error"]
    assert server.send(method="GET", path="/ping")[0] == 200
    for connection in accepted:
        connection.sendall(GOOD[50:])
    assert [status_of(connection) for connection in accepted] == [200] * 4
    assert server.send(GOOD)[0] == 200


def test_under_more_load_than_it_can_take_it_answers_or_refuses_and_pings(server):
    large, statuses, pings = photo(128, 4000, 3000), [], []
    threads = [threading.Thread(target=lambda: statuses.append(server.send(large)[0])) for _ in range(40)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        pings.append(server.send(method="GET", path="/ping")[0])
    assert set(statuses) == {200, 503}
    assert set(pings) == {200}
    assert server.send(GOOD)[0] == 200


def test_a_request_of_more_photos_than_ever_fit_is_too_large(server):
    status, answer, _ = server.send('{"images": ["", "", "", "", ""]}', "application/json")
    assert (status, "at a time" in answer["error"]) == (413, True)


def test_a_body_that_does_not_come_in_time_is_given_up(tmp_path):
    server = start(tmp_path, SERVING_BODY_SECONDS="1")
    started = time.monotonic()
    assert status_of(server.begin(GOOD, 50)) == 408
    assert time.monotonic() - started > 0.8
    assert server.send(GOOD)[0] == 200
    assert server.stop() == 0


HALF = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
WHOLE = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(server, data):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(data)
    return connection


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server with a second for a head, and few files: a tenth of the connections that are opened here."""
    server = start(tmp_path_factory.mktemp("strict"), files=256, SERVING_BODY_SECONDS="1")
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("data", [HALF, b"P", HALF + b"X: " + b"a" * 8000, HALF + b"Content-Length"])
def test_a_head_that_does_not_come_in_time_is_given_up(strict, data):
    assert status_of(connect(strict, data)) == 408
    assert strict.send(GOOD)[0] == 200


def test_a_head_that_comes_byte_by_byte_is_given_up_too(strict):
    with connect(strict, HALF) as connection:
        connection.settimeout(0.2)
        answer, deadline = b"", time.monotonic() + 60
        while not answer and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"x")
                answer = connection.recv(100)
        assert answer.startswith(b"HTTP/1.1 408")


def test_the_second_request_of_a_connection_has_the_same_time_and_silence_is_not_a_head(strict):
    with connect(strict, WHOLE) as connection, connect(strict, b"") as silent:
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(1000)
        connection.sendall(HALF)
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        silent.sendall(WHOLE)
        assert silent.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("data", [b"", HALF, HALF + b"Content-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n", WHOLE])
def test_with_more_connections_than_files_pings_and_photos_are_answered_and_the_log_is_short(strict, data):
    before = strict.log.stat().st_size
    connections = []
    try:
        for _ in range(2):
            for _ in range(300):
                with contextlib.suppress(OSError):
                    connections.append(connect(strict, data))
            assert strict.send(method="GET", path="/ping")[0] == 200
            assert strict.send(GOOD)[0] == 200
    finally:
        for connection in connections:
            connection.close()
    assert len(connections) > 400
    assert strict.log.stat().st_size - before < 1_000_000


def test_requests_that_are_broken_fill_no_log(strict):
    began, before = time.monotonic(), len(strict.lines())
    for _ in range(200):
        status_of(connect(strict, b"\0\r\n\r\n"))
    minutes = 1 + int((time.monotonic() - began) // Sparing.SECONDS)
    # Clients of other tests that went away are in the log of requests, some of them only now.
    lines = [line for line in strict.lines()[before:] if line.get("path") != "/invocations"]
    assert 0 < len(lines) <= minutes * Sparing.RECORDS


def test_clients_that_go_away_leave_their_places_to_others(server):
    for part in (0, 50, len(GOOD)) * 4:
        server.begin(GOOD, part).close()
    assert eventually(lambda: server.send(GOOD)[0], 200)


def test_what_is_accepted_is_answered_before_it_stops_and_nothing_else(tmp_path):
    server = start(tmp_path)
    accepted = server.begin(GOOD, 50)
    assert server.send(GOOD)[0] == 200  # so that what was begun before is accepted by now
    server.process.terminate()
    assert eventually(lambda: server.send(method="GET", path="/ping")[0], 503)
    assert server.send(GOOD)[0] == 503
    assert server.process.poll() is None
    accepted.sendall(GOOD[50:])
    assert status_of(accepted) == 200
    assert server.process.wait(60) == 0
    assert server.lines()[-1]["message"] == "stopped"


def eventually(ask, wanted):
    """Whether `ask` gives what is wanted within a minute."""
    deadline = time.monotonic() + 60
    while (found := ask()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return found == wanted
