"""Starts, finds and stops the local cloud's process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import secrets
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.aws.waiting import wait_until
from pipeline.local import health
from pipeline.local.environment import NO_PROFILES, inherited, without_proxy
from pipeline.local.machine import background, own_folder
from pipeline.local.machine.ports import is_free
from steps.contracts.errors import PipelineError

# The folder of the S3 server.
OBJECTS = "objects"
LOG = "cloud.log"
API_PORT = 8770
S3_PORT = 8771
START_SECONDS = 120
# Life of the temporary credentials of jobs and functions.
CREDENTIAL_SECONDS = 3600
# A job has two minutes to end, and the object store some seconds.
STOP_SECONDS = 180
# Another command may be stopping the cloud, and then starting it.
LOCK_SECONDS = START_SECONDS + STOP_SECONDS
# Its server starts a dead object server again within this.
RESTART_SECONDS = 40.0
PROBE_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cloud:
    """A local cloud: its folder, ports, credentials and account. `pid` is 0 until it is ready.

    `credential_seconds` is the life of the temporary credentials that jobs and functions get. With `audit` requests
    that policies refuse are recorded and answered.
    """

    directory: Path
    api_port: int
    s3_port: int
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    account_id: str
    credential_seconds: int = CREDENTIAL_SECONDS
    audit: bool = False
    pid: int = 0
    stopping: bool = False
    """Its process ends its jobs and itself."""


def environment(cloud: Cloud) -> dict[str, str]:
    """The variables that point any AWS client at the cloud."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cloud.api_port}",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{cloud.s3_port}",
        "AWS_ACCESS_KEY_ID": cloud.access_key,
        "AWS_SECRET_ACCESS_KEY": cloud.secret_key,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_REGION": cloud.region,
        **NO_PROFILES,
        **without_proxy(),
    }


def find(directory: Path) -> Cloud | None:
    """The running cloud, or None."""
    directory = directory.resolve()
    if not _file(directory).exists():
        return None
    cloud = read(directory)
    return cloud if cloud.pid and _is_ours(cloud.pid, directory) else None


@dataclass(frozen=True)
class State:
    """What is known of a folder's cloud: the running one, its parts that do not answer, and what it wrote down."""

    running: Cloud | None
    silent: list[str]
    health: health.Health
    starting: int | None
    """Process that starts or stops it now, 0 where its number is unknown; None if there is none."""

    @property
    def answers(self) -> bool:
        """Whether both its ports answer, and it is not about to end."""
        return self.running is not None and not self.silent and not self.running.stopping

    @property
    def changing(self) -> bool:
        """Whether a process starts or stops it now."""
        return self.starting is not None


def silent_parts(cloud: Cloud, seconds: float = PROBE_SECONDS) -> list[str]:
    """The parts of a running cloud that do not answer a request within `seconds`: AWS APIs, S3."""
    from pipeline.local.s3 import probe
    from pipeline.local.s3.signatures import Keys

    keys = Keys(cloud.access_key, cloud.secret_key)
    parts = {
        "AWS APIs": probe.answers(cloud.api_port, seconds),
        "S3": probe.s3_answers(cloud.s3_port, keys, cloud.region, seconds),
    }
    return [name for name, answers in parts.items() if not answers]


def state(directory: Path) -> State:
    """Ask the running cloud on both ports."""
    directory = directory.resolve()
    running = find(directory)
    silent = silent_parts(running) if running else []
    record = health.read(directory) if running else health.Health()
    return State(running, silent, record, own_folder.holder(directory))


def up(
    directory: Path,
    account_id: str,
    region: str,
    *,
    api_port: int = 0,
    s3_port: int = 0,
    credential_seconds: int | None = None,
    audit: bool = False,
) -> Cloud:
    """Start the cloud and wait until it answers; a running one is not changed, unless a part of it does not answer.

    Ports that are 0 and a life of credentials that is None are those of the last start, or the defaults. Raises
    PipelineError if the folder is another program's, a port is in use, the process ends, or a running cloud has other
    values.
    """
    directory = directory.resolve()
    own_folder.claim(directory)
    with own_folder.locked(directory, LOCK_SECONDS) as lock:
        if running := _answering(directory):
            _compare(running, api_port, s3_port, credential_seconds, audit=audit)
            return running
        following = _next(
            directory,
            account_id,
            region,
            api_port=api_port,
            s3_port=s3_port,
            credential_seconds=credential_seconds,
            audit=audit,
        )
        return _start(following, lock)


def _answering(directory: Path) -> Cloud | None:
    """The running cloud, if all of it answers; None where none runs. One that does not answer is ended."""
    running = find(directory)
    if running is None:
        return None
    if not running.stopping:
        # Its server may be starting a dead part again.
        seconds = 0.0 if health.read(directory).given_up else RESTART_SECONDS
        if wait_until(lambda: not silent_parts(running) or None, seconds, 0.5):
            return running
        log.warning("the local cloud (pid %d) does not answer; it is started again", running.pid)
    _stop(running, must=False)
    return None


def _compare(running: Cloud, api_port: int, s3_port: int, credential_seconds: int | None, *, audit: bool) -> None:
    """Raises PipelineError if the running cloud has other values than those asked for."""
    if (api_port or running.api_port, s3_port or running.s3_port) != (running.api_port, running.s3_port):
        raise PipelineError(
            f"the local cloud already runs on ports {running.api_port} and {running.s3_port}; stop it first:"
            " python -m pipeline local down"
        )
    if credential_seconds not in (None, running.credential_seconds):
        raise PipelineError(
            f"the local cloud runs with credentials of {running.credential_seconds} seconds, but"
            f" local.credential_seconds is {credential_seconds}; stop it first: python -m pipeline local down"
        )
    if audit and not running.audit:
        raise PipelineError("the local cloud runs without --audit; stop it first: python -m pipeline local down")


def _next(
    directory: Path,
    account_id: str,
    region: str,
    *,
    api_port: int,
    s3_port: int,
    credential_seconds: int | None,
    audit: bool,
) -> Cloud:
    """The cloud to start in a folder in which none runs, with the keys and values of the last start."""
    _end_leftovers(directory)
    before = read(directory) if _file(directory).exists() else None
    if before is not None and (before.account_id, before.region) != (account_id, region):
        raise PipelineError(
            f"{directory} belongs to account {before.account_id} in {before.region}, but the settings name"
            f" {account_id} in {region}; remove it: python -m pipeline local reset"
        )
    cloud = Cloud(
        directory=directory,
        api_port=api_port or (before.api_port if before else API_PORT),
        s3_port=s3_port or (before.s3_port if before else S3_PORT),
        # The keys of the S3 objects' owner: they are retained with the objects.
        access_key=before.access_key if before else f"LOCAL{secrets.token_hex(8).upper()}",
        secret_key=before.secret_key if before else secrets.token_urlsafe(24),
        region=region,
        account_id=account_id,
        credential_seconds=credential_seconds or (before.credential_seconds if before else CREDENTIAL_SECONDS),
        audit=audit,
    )
    for name, port in (("the APIs", cloud.api_port), ("S3", cloud.s3_port)):
        if not is_free(port):
            option = "--port" if port == cloud.api_port else "--s3-port"
            raise PipelineError(
                f"port {port} for {name} is in use; choose another: python -m pipeline local up {option} N"
            )
    _write(cloud)
    return cloud


def _start(cloud: Cloud, lock: int) -> Cloud:
    """Start the process, which has the lock too until it is ready."""

    def ready(pid: int) -> Cloud | None:
        started = read(cloud.directory)
        return started if started.pid == pid else None

    return background.start(
        "the local cloud",
        ["-m", "pipeline.local.server", str(cloud.directory), str(lock)],
        cloud.directory / LOG,
        ready,
        seconds=START_SECONDS,
        # Its jobs can read a parent's environment: no keys of the person who starts it.
        env=inherited(),
        cwd=Path(__file__).resolve().parents[2],  # where `pipeline` is importable
        pass_fds=(lock,),
    )


def preparing(directory: Path) -> contextlib.AbstractContextManager[int]:
    """Be the only process that prepares the account in this folder."""
    return own_folder.locked(directory.resolve(), LOCK_SECONDS, own_folder.ACCOUNT_LOCK)


def down(directory: Path) -> bool:
    """Stop the cloud and its processes, or the processes that a killed cloud left. Returns False if none ran."""
    directory = directory.resolve()
    if not _file(directory).exists() and own_folder.holder(directory) is None:
        return False
    with own_folder.locked(directory, LOCK_SECONDS):
        return _down(directory)


def _down(directory: Path) -> bool:
    cloud = find(directory)
    if cloud is None:
        return _end_leftovers(directory) > 0
    _stop(cloud)
    return True


def _stop(cloud: Cloud, *, must: bool = True) -> None:
    """End the process and its children. With `must` raises PipelineError if it does not end; else kills it."""

    def ended() -> bool | None:
        return not _is_ours(cloud.pid, cloud.directory) or None

    with contextlib.suppress(ProcessLookupError):
        os.kill(cloud.pid, signal.SIGTERM)
        if not wait_until(ended, STOP_SECONDS, 0.05):
            if must:
                log_file = cloud.directory / LOG
                raise PipelineError(f"the local cloud (pid {cloud.pid}) does not end; see {log_file}")
            os.kill(cloud.pid, signal.SIGKILL)
            wait_until(ended, STOP_SECONDS, 0.05)
    _note(dataclasses.replace(cloud, pid=0, stopping=False))


def _end_leftovers(directory: Path) -> int:
    """End the processes that a killed cloud left. Returns their number."""
    from pipeline.local.machine import containers, objects
    from pipeline.local.s3 import process

    ended = containers.end_leftovers(directory) + process.end_leftover(directory)
    return ended + objects.end_leftover(directory / OBJECTS)


def reset(directory: Path) -> list[str]:
    """Stop the cloud and delete its data, and its folder where nothing else is in it. Returns the names of the rest.

    Raises PipelineError for a folder without a cloud.
    """
    directory = directory.resolve()
    if not directory.exists():
        return []
    if not _file(directory).exists() and own_folder.holder(directory) is None and any(directory.iterdir()):
        raise PipelineError(f"{directory} is not the folder of a local cloud; nothing was deleted")
    with own_folder.locked(directory, LOCK_SECONDS):
        _down(directory)
        return own_folder.remove(directory)


def read(directory: Path) -> Cloud:
    """The cloud's settings in its folder. Raises PipelineError."""
    try:
        values: dict[str, Any] = json.loads(_file(directory).read_text())
        return Cloud(**{**values, "directory": directory})
    except (OSError, ValueError, TypeError) as error:
        raise PipelineError(f"{_file(directory)}: {error}; remove the folder and start again") from None


def mark(cloud: Cloud, pid: int, *, stopping: bool = False) -> None:
    """Record that the process `pid` answers requests, or is about to end."""
    record = _note if stopping else _write
    record(dataclasses.replace(cloud, pid=pid, stopping=stopping))


def _file(directory: Path) -> Path:
    return directory / own_folder.MARKER


def _write(cloud: Cloud) -> None:
    """Replace the file in one step, readable by its owner only: it contains the secret key. Raises OSError."""
    values = {key: value for key, value in dataclasses.asdict(cloud).items() if key != "directory"}
    partial = cloud.directory / own_folder.PARTIAL
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(values, file)
    except OSError as error:
        # A full disk's error names no file.
        raise OSError(error.errno, error.strerror, str(partial)) from error
    partial.replace(_file(cloud.directory))


def _note(cloud: Cloud) -> None:
    """Replace the file where that is possible: on a full disk a cloud must end, too."""
    try:
        _write(cloud)
    except OSError as error:
        log.warning("%s is not written: %s", _file(cloud.directory), error)


def _is_ours(pid: int, directory: Path) -> bool:
    """Whether `pid` is this folder's cloud, and not a later process with the same number."""
    import psutil

    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        running = bool(process.status() != psutil.STATUS_ZOMBIE)
        server = ["pipeline.local.server", str(directory)]
        # An earlier version has started it without a lock.
        return running and server in (command[-3:-1], command[-2:])
    except psutil.Error:
        return False
