"""Run a command and pass SIGTERM and SIGINT on to it and to all that it starts.

    python3 forward_signals.py COMMAND [ARGUMENT ...]

A spot interruption is SIGTERM to the container's first process, then 120 seconds. AWS's start script, a shell, waits
for its child and passes nothing on (sagemaker-training-toolkit issues 125 and 173), so training would never know.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def main(command: list[str]) -> int:
    """Run the command in a session of its own; gives its exit status, 128 + N where signal N ended it."""
    process = subprocess.Popen(command, start_new_session=True)

    def forward(number: int, _: object) -> None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return  # it ended in this moment

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    status = process.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: forward_signals.py COMMAND [ARGUMENT ...]")
    sys.exit(main(sys.argv[1:]))
