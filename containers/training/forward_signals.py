"""Run a command as the container's first process, and pass SIGTERM and SIGINT on to its processes.

    python3 forward_signals.py COMMAND [ARGUMENT ...]

A spot interruption is SIGTERM to the container's first process, then 120 seconds
(https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html). AWS's start script, a shell, passes no
signal on (sagemaker-training-toolkit issues 125 and 173), so that the training would not get it. Therefore SIGTERM goes
to the process that handles it, the launcher, and this process then waits for all remaining ones: if it ended first, the
kernel would kill the training processes while they save.

After SIGTERM this process does not end with an error, but waits until SageMaker kills the container. The exit status of
a container is its job's result, a status other than 0 is "Failed"
(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-signal-success-failure.html), and a failed job
is not restarted as an interrupted one is. Whether SageMaker would take an exit within the 120 seconds for a failure is
not documented (assumed). The price is at most two minutes of a job that a person or the tuner stops.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

# SageMaker kills the container 120 seconds after SIGTERM; its upload of the checkpoints needs some of them.
GRACE_SECONDS = 110.0
# After SIGTERM. If nobody has killed the container by then, nobody will: it was not SageMaker that sent it.
LAST_SECONDS = 180.0
_POLL_SECONDS = 0.1
# Launchers that pass SIGTERM on too late.
_LATE = ("mpirun", "orterun")
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(command: list[str], grace: float = GRACE_SECONDS, last: float = LAST_SECONDS) -> int:
    """Run the command in a session of its own. Returns its exit status, 128 + N if signal N ended it.

    `grace`: seconds from the first signal till the processes are killed. `last`: seconds from SIGTERM till it returns
    a status other than 0.
    """
    # The first process of a container inherits orphans anyway; elsewhere this call is needed.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    received: list[int] = []
    terminated: list[float] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        if number == signal.SIGTERM:
            terminated.append(time.monotonic())

    for number in (signal.SIGTERM, signal.SIGINT):
        # Before the start: the kernel delivers no signal without a handler to a container's first process.
        signal.signal(number, note)
    process = subprocess.Popen(command, start_new_session=True)
    status = _run(process, received, grace)
    if status and terminated:
        print(f"SIGTERM: all processes have ended, the command with status {status}; waiting for SIGKILL", flush=True)
        while time.monotonic() < terminated[0] + last:
            time.sleep(_POLL_SECONDS)
    return status


def _run(process: subprocess.Popen[bytes], received: list[int], grace: float) -> int:
    """Pass the signals in `received` on until the command, and after a signal all others, have ended."""
    status, deadline = None, None
    while True:
        while received:
            signal_session(process.pid, received.pop(0))
            deadline = deadline or time.monotonic() + grace
        ended, remaining = _reap()
        status = ended.get(process.pid, status)
        # Processes that the command leaves at its normal end are not waited for, as in any container.
        if status is not None and (deadline is None or not remaining):
            return status
        if deadline is not None and time.monotonic() > deadline:
            signal_session(process.pid, signal.SIGKILL)
            return status if status is not None else 128 + signal.SIGKILL
        time.sleep(_POLL_SECONDS)


def signal_session(session: int, number: int) -> None:
    """Send a signal to a session: SIGTERM to those that handle it, any other to every process.

    SIGTERM would end a shell and the toolkit at once, and the toolkit relays the log: the training's messages while it
    saves would be lost. So it goes to the first process of each branch with a handler (torchrun, or a program), which
    ends its children; without any handler it goes to all. mpirun counts as without one: it sends SIGCONT first, and
    SIGTERM only after odls_base_sigkill_timeout (measured with Open MPI 4.1.4), so its ranks get the signal from here.
    The ranks agree before each step, so those of other hosts stop with them.

    Not to a process group: `bash -m`, which runs AWS's start script, starts each command in a group of its own.
    torchrun starts its workers even in sessions of their own, and passes the signal on to them itself.
    """
    members = _members(session, number)
    targets = list(members)
    if number == signal.SIGTERM:
        targets = [pid for pid in members if members[pid].handles and not _is_below_a_handler(pid, members)] or targets
    for pid in targets:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, number)


class _Member(NamedTuple):
    parent: int
    handles: bool


def _members(session: int, number: int) -> dict[int, _Member]:
    """The processes of a session by their ids, and whether they handle the signal (proc_pid_status(5), SigCgt)."""
    members: dict[int, _Member] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    lines = (entry / "status").read_text().splitlines()
                    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
                    handled = int(status["SigCgt"], 16) >> (number - 1) & 1
                    handles = bool(handled) and status["Name"] not in _LATE
                    members[int(entry.name)] = _Member(int(status["PPid"]), handles)
            except (ProcessLookupError, FileNotFoundError):
                continue  # it has just ended
    return members


def _is_below_a_handler(pid: int, members: dict[int, _Member]) -> bool:
    parent = members[pid].parent
    while parent in members:
        if members[parent].handles:
            return True
        parent = members[parent].parent
    return False


def _reap() -> tuple[dict[int, int], bool]:
    """Exit statuses of the children that have ended, by process id, and whether there are others."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        code = os.waitstatus_to_exitcode(status)
        ended[pid] = code if code >= 0 else 128 - code


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: forward_signals.py COMMAND [ARGUMENT ...]")
    sys.exit(main(sys.argv[1:]))
