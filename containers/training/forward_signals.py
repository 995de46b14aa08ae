"""Run a command as the container's first process, and pass SIGTERM and SIGINT on to all that it starts.

    python3 forward_signals.py COMMAND [ARGUMENT ...]

A spot interruption is SIGTERM to the container's first process, then 120 seconds
(https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html). AWS's start script, a shell, passes nothing
on (sagemaker-training-toolkit issues 125 and 173), so training would never know. And it ends at once itself: if the
first process ended with it, the kernel would kill the training processes while they save. So a signal goes to the
whole session, and after one this process waits for everything that is left.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# SageMaker kills the container 120 seconds after SIGTERM; its upload of the checkpoints wants some of them.
GRACE_SECONDS = 110.0
_POLL_SECONDS = 0.1
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(command: list[str], grace: float = GRACE_SECONDS) -> int:
    """Run the command in a session of its own; gives its exit status, 128 + N where signal N ended it."""
    # The first process of a container inherits orphans anyway; elsewhere this makes it so.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        # Before the start: to a container's first process the kernel delivers no signal that it has no handler for.
        signal.signal(number, note)
    process = subprocess.Popen(command, start_new_session=True)
    status, deadline = None, None
    while True:
        while received:
            signal_session(process.pid, received.pop(0))
            deadline = deadline or time.monotonic() + grace
        ended, remaining = _reap()
        status = ended.get(process.pid, status)
        # Nobody waits for what a command leaves running at its own end, as in any container.
        if status is not None and (deadline is None or not remaining):
            return status
        if deadline is not None and time.monotonic() > deadline:
            signal_session(process.pid, signal.SIGKILL)
            return status if status is not None else 128 + signal.SIGKILL
        time.sleep(_POLL_SECONDS)


def signal_session(session: int, number: int) -> None:
    """Send a signal to every process of a session.

    Not to a process group: `bash -m`, which runs AWS's start script, gives each of its commands a group of its own.
    torchrun gives its workers even sessions of their own, and passes the signal on to them itself.
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    os.kill(int(entry.name), number)
            except ProcessLookupError:
                continue  # it ended in this moment


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
