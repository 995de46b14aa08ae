"""Consoles in the background: their files, and the processes behind them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.operations.account import consoles
from steps.contracts.errors import PipelineError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = consoles.file_of(tmp_path, "demo")
    file.parent.mkdir(mode=0o700)
    return file


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Another program."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def record(file: Path, pid: int, started: float) -> None:
    file.write_text(json.dumps({"pid": pid, "started": started, "port": 8780, "key": "s3cret"}))


def test_a_console_is_found_by_its_file_which_its_owner_alone_reads(tmp_path: Path, file: Path) -> None:
    consoles.write(file, 8781, "s3cret")
    found = consoles.find(tmp_path, "demo")
    assert found is not None
    assert (found.pid, found.address) == (os.getpid(), "http://127.0.0.1:8781/?key=s3cret")
    assert consoles.running(tmp_path) == [found]
    assert "s3cret" not in repr(found)
    assert file.stat().st_mode & 0o777 == 0o600
    assert consoles.is_ours(file)


def test_one_that_is_started_again_takes_port_and_key_of_the_last(file: Path) -> None:
    assert consoles.earlier(file) == (0, "")
    consoles.write(file, 8781, "s3cret")
    assert consoles.earlier(file) == (8781, "s3cret")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1}'])
def test_a_damaged_file_is_of_no_console(tmp_path: Path, file: Path, content: str) -> None:
    file.write_text(content)
    assert consoles.find(tmp_path, "demo") is None
    assert consoles.earlier(file) == (0, "")
    assert not consoles.is_ours(file)


def test_all_consoles_of_a_folder_are_ended(tmp_path: Path, file: Path, process: subprocess.Popen[bytes]) -> None:
    record(file, process.pid, psutil.Process(process.pid).create_time())
    record(consoles.file_of(tmp_path, "gone"), 2**22 + 1, 0.0)
    assert consoles.end_all(tmp_path) == 1
    assert not psutil.pid_exists(process.pid)
    assert consoles.running(tmp_path) == []


def test_a_program_that_has_the_number_of_an_ended_console_is_left_alone(
    tmp_path: Path, file: Path, process: subprocess.Popen[bytes]
) -> None:
    record(file, process.pid, psutil.Process(process.pid).create_time() - 3_600)
    assert consoles.find(tmp_path, "demo") is None
    assert consoles.end_all(tmp_path) == 0
    assert process.poll() is None


def test_a_folder_without_consoles_has_none_to_end(tmp_path: Path) -> None:
    assert consoles.end_all(tmp_path / "none") == 0
    assert not (tmp_path / "none").exists()


def test_one_that_does_not_start_has_its_last_line(tmp_path: Path) -> None:
    settings = tmp_path / "none.yaml"
    with pytest.raises(PipelineError, match=rf"the console did not start: .*{settings}.* \(log: .*demo\.log\)"):
        consoles.start(tmp_path, "demo", ["--settings", str(settings)])
    assert consoles.find(tmp_path, "demo") is None
