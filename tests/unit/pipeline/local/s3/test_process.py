"""The door's process: when it is ready, where it listens, and what is left of it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.local.machine.ports import LOOPBACK
from pipeline.local.s3 import process
from pipeline.local.s3.judge import Settings
from pipeline.local.s3.process import Door
from steps.contracts.errors import PipelineError
from tests.conftest import free_port

SECRET = "a-secret-that-nobody-sees"


@pytest.fixture
def make_door(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    doors: list[Door] = []

    def make(port: int | None = None) -> Door:
        settings = Settings(tmp_path, "us-east-1", "123456789012", "KEY", SECRET)
        doors.append(Door(settings, port or free_port(), 1))
        return doors[-1]

    yield make
    for door in doors:
        door.stop()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def test_it_listens_on_loopback_until_it_is_stopped(make_door):
    door = make_door()
    door.start()
    listening = [item.laddr for item in door._process.net_connections("inet") if item.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [(LOOPBACK, door.port)]
    door.stop()
    assert not answers(door.port)
    door.start()
    assert answers(door.port)


def test_the_secret_key_is_in_no_command_environment_or_file(make_door, tmp_path: Path):
    door = make_door()
    door.start()
    started = psutil.Process(door._process.pid)
    assert SECRET not in " ".join(started.cmdline())
    assert SECRET not in str(started.environ())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


def test_a_door_left_by_a_killed_owner_is_replaced(make_door):
    abandoned = make_door()
    abandoned.start()
    door = make_door(abandoned.port)
    door.start()
    assert abandoned._process.poll() is not None
    assert answers(door.port)


def test_a_door_that_was_left_is_ended(make_door, tmp_path: Path):
    door = make_door()
    door.start()
    assert process.end_leftover(tmp_path) == 1
    assert not answers(door.port)
    assert process.end_leftover(tmp_path) == 0


def test_a_taken_port_is_named(make_door):
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PipelineError, match=f"port {port} .* is taken"):
            make_door(port).start()


def test_a_door_that_cannot_start_is_reported_with_its_last_words(make_door, tmp_path: Path):
    (tmp_path / "decisions").mkdir()
    (tmp_path / "decisions" / "s3.jsonl").write_text("nonsense\n")
    with pytest.raises(PipelineError, match=r"S3 door ended with status 1: .*s3\.jsonl:1"):
        make_door().start()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may end a stopped process otherwise")
def test_a_door_that_ignores_sigterm_is_killed(make_door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "STOP_SECONDS", 0.5)
    door = make_door()
    door.start()
    pid = door._process.pid
    os.kill(pid, signal.SIGSTOP)
    door.stop()
    assert not psutil.pid_exists(pid)
