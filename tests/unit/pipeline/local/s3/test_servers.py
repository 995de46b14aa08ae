"""The kind: a part of the local cloud that dies, and that nobody notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.local import health
from pipeline.local.s3 import servers
from pipeline.local.s3.judge import Settings
from pipeline.local.s3.servers import S3Servers
from steps.contracts.errors import PipelineError


class Process:
    """A part whose process a test ends. `failures` is the number of starts that fail."""

    def __init__(self) -> None:
        self.port = self.upstream_port = 1
        self.ended: str | None = None
        self.starts = self.stops = self.failures = 0
        self.changed = threading.Condition()

    def start(self) -> None:
        with self.changed:
            self.starts += 1
            self.changed.notify_all()
            if self.failures:
                self.failures -= 1
                self.ended = None  # as a stopped process, which has not ended
                raise PipelineError("port 1 is taken")
            self.ended = None

    def stop(self) -> None:
        self.stops += 1

    def how_it_ended(self) -> str | None:
        return self.ended


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3Servers, Process, Process, list[int]]]:
    objects, door, upstreams = Process(), Process(), list[int]()

    def new_door(settings: Settings, port: int, upstream: int) -> Process:
        upstreams.append(upstream)
        door.upstream_port = upstream
        return door

    monkeypatch.setattr(servers, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(servers, "Door", new_door)
    settings = Settings(tmp_path, "us-east-1", "123456789012", "KEY", "secret", False)
    both = S3Servers(settings, objects, 8771)
    both.start()
    yield both, objects, door, upstreams
    both.stop()


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("reason", ["SIGKILL (out of memory?)", "status 1", "SIGSEGV"])
def test_a_part_that_ends_is_started_again_and_written_down(parts, tmp_path: Path, reason: str):
    _, objects, door, upstreams = parts
    objects.ended = reason
    eventually(lambda: len(health.read(tmp_path).restarts) == 1)
    door.ended = reason
    eventually(lambda: len(health.read(tmp_path).restarts) == 2)
    assert [(restart.part, restart.reason) for restart in health.read(tmp_path).restarts] == [
        (servers.OBJECT_SERVER, reason),
        (servers.DOOR, reason),
    ]
    assert (objects.starts, door.starts, upstreams) == (2, 2, [1, 1])


def test_an_object_server_on_another_port_gets_a_new_door(parts):
    _, objects, door, upstreams = parts
    objects.port = 2
    objects.ended = "SIGKILL"
    eventually(lambda: upstreams == [1, 2])
    eventually(lambda: door.starts == 2)


def test_a_restart_that_fails_is_tried_again(parts, tmp_path: Path):
    _, objects, _, _ = parts
    objects.failures = 2
    objects.ended = "SIGKILL"
    eventually(lambda: len(health.read(tmp_path).restarts) == 1)
    assert objects.starts == 4


def test_what_dies_again_and_again_is_given_up_and_said(parts, tmp_path: Path):
    _, objects, _, _ = parts
    for number in range(servers.RESTARTS):
        objects.ended = "SIGKILL"
        eventually(lambda number=number: len(health.read(tmp_path).restarts) == number + 1)
    objects.ended = "SIGKILL"
    eventually(lambda: bool(health.read(tmp_path).given_up))
    assert objects.starts == 1 + servers.RESTARTS
    assert "object server has ended again by SIGKILL" in health.read(tmp_path).given_up


def test_a_watch_that_ends_by_an_error_is_given_up_and_said(parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, objects, _, _ = parts

    def refuse() -> None:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(objects, "stop", refuse)
    objects.ended = "SIGKILL"
    eventually(lambda: "AccessDenied" in health.read(tmp_path).given_up)
    monkeypatch.undo()


def test_a_stop_is_no_death(parts, tmp_path: Path):
    both, objects, _, _ = parts
    both.stop()
    objects.ended = "SIGTERM"
    assert objects.starts == 1
    assert health.read(tmp_path) == health.Health()


def test_a_start_begins_a_new_record(tmp_path: Path, parts):
    health.write(tmp_path, health.Health([health.Restart("2026", "S3 door", "SIGKILL")], "given up"))
    assert health.read(tmp_path).given_up == "given up"
    (tmp_path / health.FILE).write_text("{ torn")
    assert health.read(tmp_path) == health.Health()
