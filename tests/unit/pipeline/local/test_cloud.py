"""The kind: a cloud whose process runs while a part of it is dead, hangs, or ends."""

from __future__ import annotations

import dataclasses
import errno
import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.local import cloud, health, server
from pipeline.local.machine import own_folder
from pipeline.local.s3.answers import error
from pipeline.local.s3.connections import NO_OBJECT_SERVER
from tests.conftest import free_port


def running(directory: Path, **values: object) -> cloud.Cloud:
    base = cloud.Cloud(directory, free_port(), free_port(), "KEY", "secret", "us-east-1", "123456789012", pid=1)
    return dataclasses.replace(base, **values)


@contextmanager
def answering(port: int, status: int, body: bytes = b"") -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("apis", "s3", "silent"),
    [
        (403, (200, b"<ListAllMyBucketsResult/>"), []),
        (None, (200, b""), ["AWS APIs"]),
        (404, None, ["S3"]),
        (None, None, ["AWS APIs", "S3"]),
        (403, (503, NO_OBJECT_SERVER.encode()), ["S3"]),
        # `local chaos` asks clients to slow down, and an old key is refused: both are answers.
        (403, (503, b"SlowDown"), []),
        (403, (403, b"SignatureDoesNotMatch"), []),
    ],
)
def test_both_ports_are_asked_and_s3_for_its_objects(tmp_path: Path, apis, s3, silent):
    asked = running(tmp_path)
    with maybe_answering(asked.api_port, apis and (apis, b"")), maybe_answering(asked.s3_port, s3):
        assert cloud.silent_parts(asked) == silent


@contextmanager
def maybe_answering(port: int, answer: tuple[int, bytes] | None) -> Iterator[None]:
    if answer is None:
        yield
    else:
        with answering(port, *answer):
            yield


def test_the_door_says_what_the_probe_reads():
    assert NO_OBJECT_SERVER.encode() in error(503, "ServiceUnavailable", NO_OBJECT_SERVER).body


@pytest.mark.parametrize(
    ("values", "silent", "given_up", "kept"),
    [
        ({}, [], "", True),
        ({}, ["S3"], "", False),
        ({}, ["AWS APIs"], "", False),
        ({}, ["S3"], "the object server has ended again", False),
        ({"stopping": True}, [], "", False),
    ],
)
def test_up_ends_what_does_not_answer_and_leaves_what_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values, silent, given_up, kept
):
    now, stopped = running(tmp_path, **values), list[cloud.Cloud]()
    monkeypatch.setattr(cloud, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(cloud, "find", lambda _: now)
    monkeypatch.setattr(cloud, "_stop", lambda which, must: stopped.append(which))
    monkeypatch.setattr(cloud, "silent_parts", lambda *_: silent)
    health.write(tmp_path, health.Health(given_up=given_up))
    assert cloud._answering(tmp_path) == (now if kept else None)
    assert stopped == ([] if kept else [now])


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        (["pipeline.local.server", "DIRECTORY", "3"], True),
        (["pipeline.local.server", "DIRECTORY"], True),  # as an earlier version started it
        (["pipeline.local.server", "DIRECTORY-2", "3"], False),
        (["pipeline.local.server", "/other"], False),
        (["DIRECTORY"], False),
    ],
)
def test_a_process_is_the_folders_cloud_by_its_command(tmp_path: Path, arguments, ours):
    words = [word.replace("DIRECTORY", str(tmp_path)) for word in arguments]
    with subprocess.Popen([sys.executable, "-c", "input()", *words], stdin=subprocess.PIPE) as process:
        cloud._write(running(tmp_path, pid=process.pid))
        assert (cloud.find(tmp_path) is not None) == ours
        process.communicate(b"\n")


@pytest.mark.parametrize("end", [lambda now: cloud.mark(now, 1, stopping=True), cloud._stop], ids=["server", "down"])
def test_a_full_disk_does_not_keep_a_cloud_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end):
    now = running(tmp_path)
    cloud._write(now)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "kill", lambda *_: None)
    monkeypatch.setattr(cloud, "_is_ours", lambda *_: False)
    monkeypatch.setattr(json, "dump", full)
    end(now)
    assert cloud.read(tmp_path) == now, "the record before is whole"


def test_a_start_on_a_full_disk_is_named_with_the_file_and_can_be_repeated(tmp_path: Path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(json, "dump", full)
        with pytest.raises(OSError, match=str(tmp_path)):
            cloud.up(tmp_path, "123456789012", "us-east-1", api_port=free_port(), s3_port=free_port())
    own_folder.claim(tmp_path)


def test_a_server_that_a_full_disk_ends_says_so_in_its_last_line(tmp_path: Path, monkeypatch, capsys):
    cloud._write(running(tmp_path))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(server, "serve", full)
    monkeypatch.setattr(os, "set_inheritable", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["server", str(tmp_path), "3"])
    with pytest.raises(SystemExit):
        server.main()
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"no space left on the disk of {tmp_path}")


def test_up_waits_while_the_server_starts_a_part_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now, answers = running(tmp_path), iter([["S3"], ["S3"], []])
    monkeypatch.setattr(cloud, "find", lambda _: now)
    monkeypatch.setattr(cloud, "silent_parts", lambda *_: next(answers))
    assert cloud._answering(tmp_path) == now
