"""A process in the background is waited for until it is ready, and its last line tells why it is not."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from pipeline.local.machine import background
from steps.contracts.errors import PipelineError


def start(tmp_path: Path, code: str, seconds: float = 30.0) -> int:
    """Start Python code that writes its number into a file when it is ready. Returns the number."""
    file = tmp_path / "ready"

    def ready(pid: int) -> int | None:
        return pid if file.exists() and file.read_text() == str(pid) else None

    arguments = ["-c", code, str(file)]
    return background.start(
        "the server", arguments, tmp_path / "log", ready, seconds=seconds, env=os.environ, cwd=tmp_path
    )


READY = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"


def test_a_process_is_ready_once_it_has_said_so_and_goes_on(tmp_path: Path) -> None:
    process = psutil.Process(start(tmp_path, READY))
    try:
        assert process.is_running()
        assert os.getsid(process.pid) == process.pid
    finally:
        process.terminate()
        process.wait(10)


def test_a_process_that_ends_is_told_by_its_own_last_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a line of an earlier start\n")
    with pytest.raises(PipelineError, match=r"^the server did not start: no room \(log: .*log\)$"):
        start(tmp_path, "import sys; print('begins'); sys.exit('no room')")
    with pytest.raises(PipelineError, match=r"^the server did not start: exit status 3 "):
        start(tmp_path, "import sys; sys.exit(3)")
    assert "a line of an earlier start" in (tmp_path / "log").read_text()


def test_a_process_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="was not ready within 1 seconds"):
        start(tmp_path, "import time; time.sleep(60)", seconds=1.0)
    children = psutil.Process().children()
    psutil.wait_procs(children, 10)
    assert [child for child in children if child.is_running() and str(tmp_path) in " ".join(child.cmdline())] == []
