"""Kind: a process that a container or a function started outlives it, or outlives the cloud that was killed."""

import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pipeline.local.context import Context
from pipeline.local.machine import containers, processes
from pipeline.local.machine.containers import Container
from pipeline.local.store import Store

# Writes its pid and sleeps.
SLEEP = "import os, sys, time; print(os.getpid(), flush=True); os.close(1); os.close(2); time.sleep(600)"
# Each starts a process as `how` says, writes its pid, and does what `then` says.
START = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE, text=True, **{how})
print(child.stdout.readline().strip(), flush=True)
{then}
"""
HOWS = {
    "a child": "{}",
    "a session of its own, as a rank of torchrun has": "dict(start_new_session=True)",
    "an environment of its own": "dict(env={})",
}


def source(how, then):
    return START.format(how=HOWS[how], then=then).replace("SLEEP", repr(SLEEP))


def started(tmp_path, program, name="algo-1"):
    """A container that runs this program, and a list of the lines that it writes."""
    lines, written = [], threading.Event()

    def on_line(line):
        lines.append(line)
        written.set()

    context = Context(tmp_path, "123456789012", "us-east-1", Store(tmp_path / "cloud.sqlite"), {})
    base = tmp_path / "jobs" / "training" / "j" / name
    container = Container(context, base, tmp_path, [sys.executable, "-c", program], on_line)
    container.start()
    assert written.wait(60)
    return container, lines


def runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("how", HOWS)
def test_what_a_container_started_ends_with_it(tmp_path, how):
    container, lines = started(tmp_path, source(how, "sys.exit(3)"))
    assert container.wait(60) == 3
    assert not runs(int(lines[0]))


@pytest.mark.parametrize("how", HOWS)
def test_what_a_killed_launcher_left_is_found_after_the_cloud_was_killed_too(tmp_path, how):
    container, lines = started(tmp_path, source(how, "time.sleep(600)"))
    other, _ = started(tmp_path / "other", "import time; print(1, flush=True); time.sleep(600)")
    try:
        if "environment" not in how:  # what has neither a mark nor a parent is found by its session
            container._process.kill()
            container._process.wait()
        assert runs(int(lines[0]))
        assert containers.end_leftovers(tmp_path / "jobs" / "training" / "another") == 0
        assert containers.end_leftovers(tmp_path / "jobs") >= 1
        assert not runs(int(lines[0]))
        assert other.poll() is None, "another cloud's"
    finally:
        other.stop(0)
        container.stop(0)


def test_a_process_without_mark_and_parent_is_found_by_its_session(tmp_path):
    program = source("an environment of its own", "import os; os._exit(0) if os.fork() else time.sleep(600)")
    container, lines = started(tmp_path, program)
    container._process.wait(60)
    assert runs(int(lines[0]))
    assert processes.end(container.base, container._process.pid) >= 1
    assert not runs(int(lines[0]))


def test_this_process_and_those_without_a_mark_are_left_alone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as bystander:
        try:
            assert processes.end(tmp_path) == 0
            assert bystander.poll() is None
            assert os.getpid() not in [process.pid for process in processes.below(tmp_path)]
        finally:
            bystander.kill()


def test_the_id_of_a_container_that_has_ended_may_be_another_processs(tmp_path):
    container, _ = started(tmp_path, "print(1, flush=True)")
    while container.poll() is None:
        time.sleep(0.01)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, start_new_session=True) as bystander:
        try:
            container._process.pid = bystander.pid
            container.terminate()
            assert container.stop(0) == 0
            assert bystander.poll() is None
        finally:
            bystander.kill()


@pytest.mark.skipif(not hasattr(os, "chroot") or os.geteuid() != 0, reason="only root may change its root")
def test_a_cloud_with_the_same_folder_in_a_container_is_another(tmp_path):
    program = "import os, sys, time; os.chroot(sys.argv[1]); print(1, flush=True); time.sleep(600)"
    command = [sys.executable, "-c", program, str(tmp_path)]
    environment = {processes.MARK: str(tmp_path / "jobs" / "a")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as bystander:
        try:
            assert bystander.stdout.readline() == b"1\n"
            assert containers.end_leftovers(tmp_path) == 0
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_an_output_that_cannot_be_recorded_is_read_on_and_is_why_a_job_fails(tmp_path):
    """A process whose output nobody reads waits for ever once 64 KB are in the pipe."""
    context = Context(tmp_path, "123456789012", "us-east-1", Store(tmp_path / "cloud.sqlite"), {})
    program = "import sys; [print('x' * 100) for _ in range(5000)]; print('end')"
    lines = []

    def on_line(line):
        if not 10 <= len(lines) < 20 or line == "end":
            lines.append(line)
        else:
            lines.append("")
            raise OSError(28, "No space left on device", "/logs/a.log")

    container = Container(context, tmp_path / "base", tmp_path, [sys.executable, "-c", program], on_line)
    container.start()
    assert container.wait(60) == 0
    assert str(container.output_error) == "[Errno 28] No space left on device: '/logs/a.log'"
    assert "10 lines of this log are lost: [Errno 28] No space left on device: '/logs/a.log'" in lines
    assert lines[-1] == "end"
