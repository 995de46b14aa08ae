"""Starts, finds and stops the local cloud's process."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.aws.waiting import wait_until
from pipeline.local.machine.ports import is_free
from steps.contracts.errors import PipelineError

# The folder of the S3 server.
OBJECTS = "objects"
API_PORT = 8770
S3_PORT = 8771
START_SECONDS = 120
# Life of the temporary credentials of jobs and functions.
CREDENTIAL_SECONDS = 3600
# A job has two minutes to end, and the object store some seconds.
STOP_SECONDS = 180


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


def environment(cloud: Cloud) -> dict[str, str]:
    """The variables that point any AWS client at the cloud."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cloud.api_port}",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{cloud.s3_port}",
        "AWS_ACCESS_KEY_ID": cloud.access_key,
        "AWS_SECRET_ACCESS_KEY": cloud.secret_key,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_REGION": cloud.region,
    }


def find(directory: Path) -> Cloud | None:
    """The running cloud, or None."""
    directory = directory.resolve()
    if not _file(directory).exists():
        return None
    cloud = read(directory)
    return cloud if cloud.pid and _is_ours(cloud.pid, directory) else None


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
    """Start the cloud and wait until it answers; a running one is not changed.

    Ports that are 0 and a life of credentials that is None are those of the last start, or the defaults. Raises
    PipelineError if a port is in use, the process ends, or a running cloud has other values.
    """
    directory = directory.resolve()
    if running := find(directory):
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
        return running
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
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(cloud)
    return _start(cloud)


def _start(cloud: Cloud) -> Cloud:
    log = cloud.directory / "cloud.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.local.server", str(cloud.directory)],
            cwd=Path(__file__).resolve().parents[2],  # where `pipeline` is importable
            # Its jobs can read a parent's environment: no keys of the person who starts it.
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready() -> Cloud | None:
        started = read(cloud.directory)
        if started.pid == process.pid:
            return started
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or [""]
            raise PipelineError(f"the local cloud did not start: {lines[-1]} (log: {log})")
        return None

    if running := wait_until(ready, START_SECONDS, 0.05):
        return running
    process.terminate()
    raise PipelineError(f"the local cloud was not ready within {START_SECONDS} seconds (log: {log})")


def down(directory: Path) -> bool:
    """Stop the cloud and its processes, or the processes that a killed cloud left. Returns False if none ran."""
    directory = directory.resolve()
    cloud = find(directory)
    if cloud is None:
        return _end_leftovers(directory) > 0
    os.kill(cloud.pid, signal.SIGTERM)
    if not wait_until(lambda: not _is_ours(cloud.pid, directory) or None, STOP_SECONDS, 0.05):
        raise PipelineError(f"the local cloud (pid {cloud.pid}) does not end; see {cloud.directory / 'cloud.log'}")
    _write(dataclasses.replace(cloud, pid=0))
    return True


def _end_leftovers(directory: Path) -> int:
    """End the processes that a killed cloud left. Returns their number."""
    from pipeline.local.machine import containers, objects
    from pipeline.local.s3 import process

    ended = containers.end_leftovers(directory) + process.end_leftover(directory)
    return ended + objects.end_leftover(directory / OBJECTS)


def reset(directory: Path) -> None:
    """Stop the cloud and delete its folder. Raises PipelineError for a folder without a cloud."""
    down(directory)
    if directory.exists() and not _file(directory).exists() and any(directory.iterdir()):
        raise PipelineError(f"{directory} is not the folder of a local cloud; nothing was deleted")
    if directory.exists():
        shutil.rmtree(directory)


def read(directory: Path) -> Cloud:
    """The cloud's settings in its folder. Raises PipelineError."""
    try:
        values: dict[str, Any] = json.loads(_file(directory).read_text())
        return Cloud(**{**values, "directory": directory})
    except (OSError, ValueError, TypeError) as error:
        raise PipelineError(f"{_file(directory)}: {error}; remove the folder and start again") from None


def mark_ready(cloud: Cloud, pid: int) -> None:
    """Record that the process `pid` answers requests."""
    _write(dataclasses.replace(cloud, pid=pid))


def _file(directory: Path) -> Path:
    return directory / "cloud.json"


def _write(cloud: Cloud) -> None:
    """Replace the file in one step, readable by its owner only: it contains the secret key."""
    values = {key: value for key, value in dataclasses.asdict(cloud).items() if key != "directory"}
    partial = _file(cloud.directory).with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(values, file)
    partial.replace(_file(cloud.directory))


def _is_ours(pid: int, directory: Path) -> bool:
    """Whether `pid` is this folder's cloud, and not a later process with the same number."""
    import psutil

    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        return bool(process.status() != psutil.STATUS_ZOMBIE) and command[-2:] == [
            "pipeline.local.server",
            str(directory),
        ]
    except psutil.Error:
        return False
