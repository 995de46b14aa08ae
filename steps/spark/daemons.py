"""Spark's master and workers as child processes, each a process group of its own with a log file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from steps.contracts.errors import StepError
from steps.spark.configuration import home
from steps.spark.sizes import Sizes

END_SECONDS = 10.0
_PACKAGE = "org.apache.spark.deploy"
_PORTS = 3
_REASON = re.compile(r" ERROR |Exception|Error:|error:")
_REASON_LENGTH = 300


class Daemon:
    """A process of Spark that runs until it is ended."""

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name, self._log = name, log
        command = [str(home() / "bin" / "spark-class"), *arguments]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "SPARK_LOG_LEVEL": "info"},
                start_new_session=True,
            )

    @property
    def fault(self) -> str:
        """Why it does not run any more, in one line; empty while it runs."""
        status = self._process.poll()
        if status is None:
            return ""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        reasons = [line for line in lines if _REASON.search(line)] or lines or ["its log is empty"]
        return f"Spark's {self.name} ended with status {status}: {reasons[-1][:_REASON_LENGTH]}"

    def end(self) -> None:
        """End it, with the executors that it started: by SIGTERM, or by SIGKILL after END_SECONDS."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            # The group has members after its first process has ended, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)


def start_master(address: str, folder: Path, seconds: float) -> tuple[Daemon, str]:
    """A master that listens at `address`, and its URL. Raises StepError where none does within `seconds`."""
    until = time.monotonic() + seconds
    for attempt in range(_PORTS):
        port = _free_port(address)
        arguments = ["--host", address, "--port", str(port), "--webui-port", "0"]
        master = Daemon("master", [f"{_PACKAGE}.master.Master", *arguments], folder / f"master-{attempt}.log")
        try:
            while not master.fault and time.monotonic() < until:
                if answers(address, port):
                    return master, f"spark://{address}:{port}"
                time.sleep(0.2)
        except BaseException:
            master.end()
            raise
        fault = master.fault
        master.end()
        # Another process may have taken the port in the meantime.
        if "BindException" not in fault:
            break
    raise StepError(fault or f"Spark's master does not listen at {address} within {seconds:.0f} seconds")


def start_worker(master: str, address: str, sizes: Sizes, folder: Path) -> Daemon:
    """A worker at `address`, which offers what `sizes` states to the cluster of `master`."""
    offer = ["--cores", str(sizes.worker_cores), "--memory", f"{sizes.worker_megabytes}m"]
    place = ["--host", address, "--webui-port", "0", "--work-dir", str(folder / "work")]
    return Daemon("worker", [f"{_PACKAGE}.worker.Worker", *place, *offer, master], folder / "worker.log")


def answers(address: str, port: int) -> bool:
    """Whether a server accepts connections there."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
