"""The process in which MLflow's and Weights & Biases' clients run; `steps.train.tracking_client` starts and calls it.

`python -m steps.train.tracking_process FD`: calls come over the socket FD as JSON, each is answered with the error or
none. It ends when the other side is closed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from multiprocessing.connection import Connection

from steps.train.tracking_services import Run, Service, TrackedRun, begin

# A call that takes longer is given up by the other side; should that be gone, this ends the process all the same.
ALARM_SECONDS = 90
ERROR_LENGTH = 400


class Calls:
    """The calls that may come, on one run."""

    def __init__(self) -> None:
        self._run: TrackedRun | None = None
        self._secrets: list[str] = []

    def answer(self, message: bytes) -> bytes:
        """Do one call; gives `{"error": null}` or `{"error": "why not"}`."""
        call = json.loads(message)
        try:
            self._do(call["name"], call["arguments"])
        except Exception as error:
            return json.dumps({"error": self._reason(error)}).encode()
        return json.dumps({"error": None}).encode()

    def _do(self, name: str, arguments: dict[str, object]) -> None:
        match name, arguments:
            case "begin", {"service": dict(service), "run": dict(run)}:
                self._run = begin(Service(**service), Run(**run), self._secrets.append)
            case "log", {"epoch": int(epoch), "metrics": dict(metrics)} if self._run:
                self._run.log(epoch, metrics)
            case "finish", {"best": dict(best), "status": "finished" | "failed" | "stopped" as status} if self._run:
                self._run.finish(best, status)
            case _:
                raise ValueError(f"no such call: {name}")

    def _reason(self, error: Exception) -> str:
        """The first line of an error, with no secret in it."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:ERROR_LENGTH]


def main() -> None:
    """Answer calls until the other side is closed."""
    # The training has the machine; this has what is left of it.
    os.nice(10)
    calls = Calls()
    with Connection(int(sys.argv[1])) as connection:
        while True:
            try:
                message = connection.recv_bytes()
            except EOFError:
                return
            # The default action of SIGALRM ends the process, in whatever library it hangs.
            signal.alarm(ALARM_SECONDS)
            answer = calls.answer(message)
            signal.alarm(0)
            connection.send_bytes(answer)


if __name__ == "__main__":
    main()
