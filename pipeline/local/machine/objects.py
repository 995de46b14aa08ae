"""The local cloud's S3: a SeaweedFS server of its own, on loopback only, with its data in one folder.

SeaweedFS is several servers in one process, each with its HTTP and gRPC port. Callers choose the S3 port; the inner
ports are chosen here and kept with the data, because the master files its state under its own port.
"""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import psutil

from pipeline.local.machine.ports import LOOPBACK, free_ports, is_free
from steps.contracts.errors import PipelineError

log = logging.getLogger(__name__)

REGION = "us-east-1"
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
# Between choosing free inner ports and the server taking them another process may take one.
ATTEMPTS = 3

# The flags of the inner ports. With its web page switched off the admin server opens its gRPC port only, but the
# HTTP port must be named as well: two servers on one machine would both plan for the default and one would shift.
_SILENT = "admin.port"
_INNER = (
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    _SILENT,
    "admin.port.grpc",
)
_FLAGS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-admin.ui=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    # As S3: a write to a bucket that does not exist fails.
    "-s3.autoCreateBucket=false",
    # Every bucket takes a volume of its own; by default their number ends at the free disk space in gigabytes.
    # Volumes are not allocated before they are written.
    "-volume.max=100000",
    # There is no other volume server to wait for.
    "-volume.preStopSeconds=0",
)


PID_FILE = "server.pid"


class ObjectStore:
    """An S3 server on 127.0.0.1:`port` whose objects lie under `directory` and survive a restart.

    Requests are refused unless they are signed with `access_key` and `secret_key`.
    """

    def __init__(self, directory: Path, port: int, access_key: str, secret_key: str) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.access_key = access_key
        self.secret_key = secret_key
        self._process: psutil.Popen | None = None
        self._inner: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        """The URL that S3 clients take as their endpoint."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point boto3, obstore, awswrangler and the aws command at this server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
        }

    @property
    def log_file(self) -> Path:
        """What the server printed since its last start."""
        return self.directory / "server.log"

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises PipelineError when the port is taken, when the server ends or does not answer in time (with its last
        log lines), or when it listens anywhere but where it was told to.
        """
        if self._process is not None and self._process.is_running():
            return
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        end_leftover(self.directory)
        for _ in range(ATTEMPTS):
            if not is_free(self.port):
                raise PipelineError(
                    f"port {self.port} on {LOOPBACK} is taken by another process; stop it or choose another S3 port"
                )
            self._inner = self._choose_inner_ports()
            self._launch()
            try:
                misplaced = self._wait_until_ready()
            except BaseException:
                self.stop()
                raise
            if not misplaced:
                return
            log.warning("the S3 server shifted to %s; starting it again with other ports", misplaced)
            self.stop()
            self._ports_file.unlink(missing_ok=True)
        raise PipelineError(f"the S3 server does not stay on the ports it was given (see {self.log_file})")

    def stop(self) -> None:
        """Stop the server and return when its process has ended: SIGTERM first, SIGKILL after 15 seconds."""
        if self._process is not None:
            _end(self._process)
            self._process = None
            self._pid_file.unlink(missing_ok=True)
        for port in (self.port, *self._inner.values()):
            # The server leaves these behind, and a later server on the same port would trip over another user's.
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108  # the server's own choice
                path.unlink(missing_ok=True)

    # ---------------------------------------------------------------------------------------- inner parts

    @property
    def _pid_file(self) -> Path:
        return self.directory / PID_FILE

    @property
    def _ports_file(self) -> Path:
        return self.directory / "ports.json"

    def _launch(self) -> None:
        ports = {"s3.port": self.port, **self._inner}
        command = [
            _executable(),
            # Its own log files would otherwise go to /tmp; all it says is in server.log too.
            f"-logdir={self.directory / 'data'}",
            "mini",
            f"-dir={self.directory / 'data'}",
            *_FLAGS,
            *(f"-{flag}={port}" for flag, port in ports.items()),
        ]
        with self.log_file.open("wb") as output:
            # A session of its own: Ctrl-C in a terminal must not end it before those who still write to it.
            self._process = psutil.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={
                    "AWS_ACCESS_KEY_ID": self.access_key,
                    "AWS_SECRET_ACCESS_KEY": self.secret_key,
                    "HOME": str(self.directory),
                    "PATH": "/usr/bin:/bin",
                },
                start_new_session=True,
            )
        self._pid_file.write_text(json.dumps({"pid": self._process.pid, "started": self._process.create_time()}))

    def _wait_until_ready(self) -> list[str]:
        """Wait until every server listens and S3 answers; the addresses that are not as asked (empty when well)."""
        assert self._process is not None
        expected = {(LOOPBACK, port) for flag, port in self._inner.items() if flag != _SILENT}
        expected.add((LOOPBACK, self.port))
        # While it starts, the server tries every port that it was given, this one too, by listening for a moment.
        tried = {(LOOPBACK, self._inner[_SILENT])}
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise PipelineError(f"the S3 server ended with status {self._process.returncode}: {self._last_lines()}")
            listening = _listening(self._process) - tried
            misplaced = listening - expected
            if misplaced:
                return sorted(f"{address}:{port}" for address, port in misplaced)
            if listening == expected and self._holds_its_volumes() and self._answers():
                return []
            time.sleep(0.05)
        raise PipelineError(f"the S3 server did not answer within {READY_SECONDS:.0f} s: {self._last_lines()}")

    def _holds_its_volumes(self) -> bool:
        """Whether the volume server has registered with the master.

        Until then, up to five seconds after S3 answers, the server lists its objects but fails to read them.
        """
        connection = http.client.HTTPConnection(LOOPBACK, self._inner["master.port"], timeout=5)
        try:
            connection.request("GET", "/dir/status")
            return bool(json.load(connection.getresponse())["Topology"]["DataCenters"])
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return False
        finally:
            connection.close()

    def _answers(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client().list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
        )

    def _choose_inner_ports(self) -> dict[str, int]:
        """The ports of the last start where they are still free, new ones otherwise; kept for the next start."""
        try:
            known = json.loads(self._ports_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            known = {}
        usable = set(known) == set(_INNER) and self.port not in known.values()
        if not (usable and all(map(is_free, known.values()))):
            known = dict(zip(_INNER, free_ports(len(_INNER), frozenset({self.port})), strict=True))
            self._ports_file.write_text(json.dumps(known))
        return dict(known)

    def _last_lines(self) -> str:
        lines = self.log_file.read_text(errors="replace").strip().splitlines()[-5:]
        return " | ".join(line.strip() for line in lines) or "it printed nothing"


def end_leftover(directory: Path) -> int:
    """End the server that an interrupted run left on this folder (two would spoil each other's data); 1 if it was."""
    try:
        left = json.loads((directory / PID_FILE).read_text())
        process = psutil.Process(left["pid"])
        if process.create_time() != left["started"]:
            return 0
    except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
        return 0
    log.warning("stopping the S3 server (pid %d) that an interrupted run left behind", process.pid)
    _end(process)
    return 1


def _executable() -> str:
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise PipelineError("the S3 server is not installed; run pip install -r requirements/local.txt")
    return found


def _listening(process: psutil.Process) -> set[tuple[str, int]]:
    try:
        connections = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return set()
    return {(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}


def _end(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            log.warning("the S3 server (pid %d) did not stop within %.0f s; killing it", process.pid, STOP_SECONDS)
            process.kill()
            process.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        return
