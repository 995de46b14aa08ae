"""The folder of a local cloud: what is ours in it, and a lock on its start, stop and removal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.aws.waiting import wait_until
from steps.contracts.errors import PipelineError

MARKER = "cloud.json"
# The marker while it is written; a start on a full disk leaves it behind.
PARTIAL = "cloud.partial"
# The locks of starting and stopping, and of preparing the account.
LOCK, ACCOUNT_LOCK = "cloud.lock", "cloud.account.lock"
# Everything that the local cloud writes; `reset` removes nothing else.
OWN = (
    "cloud.*",
    "buckets.json*",
    "console",
    "decisions",
    "demo",
    "endpoints",
    "faults.json*",
    "functions",
    "health.json*",
    "identity.json*",
    "images",
    "inbox.jsonl",
    "jobs",
    "logs",
    "objects",
    "quotas.json*",
    "s3-door",
    "sts.key*",
)
# What a file system or a desktop puts into an empty folder.
_NOBODYS = ("lost+found", ".DS_Store")
_POLL_SECONDS = 0.1


def claim(directory: Path) -> None:
    """Create the folder. Raises PipelineError if it cannot be, or has files and is no local cloud's."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = {entry.name for entry in os.scandir(directory)} - {PARTIAL, LOCK, ACCOUNT_LOCK, *_NOBODYS}
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise PipelineError(
            f"{directory} cannot be the folder of the local cloud: {error.strerror}; set PIPELINE_LOCAL_DIR to another"
        ) from None
    if names and MARKER not in names:
        raise PipelineError(
            f"{directory} has files that are not the local cloud's ({min(names)}); set PIPELINE_LOCAL_DIR to an empty"
            " folder"
        )


@contextlib.contextmanager
def locked(directory: Path, seconds: float, name: str = LOCK) -> Iterator[int]:
    """Be the only process that starts, stops or prepares this folder's cloud. The result is the lock's descriptor.

    A process that inherits the descriptor has the lock too, until it ends or closes it. Raises PipelineError if the
    lock is not free within `seconds`.
    """
    descriptor = wait_until(lambda: _lock(directory, name), seconds, _POLL_SECONDS)
    if descriptor is None:
        raise PipelineError(
            f"process {holder(directory, name) or 'unknown'} has been starting, stopping or preparing the local cloud"
            f" in {directory} for {seconds:.0f} seconds; wait for its end, or end it"
        )
    try:
        yield descriptor
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def holder(directory: Path, name: str = LOCK) -> int | None:
    """The process that has this lock now, 0 if its number is unknown; None if there is none."""
    path = directory / name
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = path.read_text(errors="replace").strip()
        return int(text) if text.isdecimal() else 0
    finally:
        os.close(descriptor)
    return None


def remove(directory: Path) -> list[str]:
    """Remove what is ours, and the folder if nothing else is in it. Returns the names of what is left.

    Call it with the lock. A removal that is interrupted can be repeated, since the marker is last but for the locks;
    and no other command has the lock before the end.
    """
    last = (MARKER, ACCOUNT_LOCK, LOCK)
    own = sorted(path for path in directory.iterdir() if any(path.match(pattern) for pattern in OWN))
    for path in sorted(own, key=lambda path: last.index(path.name) if path.name in last else -1):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    left = sorted(path.name for path in directory.iterdir())
    if not left:
        with contextlib.suppress(OSError):  # another command has begun to use it
            directory.rmdir()
    return left


def _lock(directory: Path, name: str) -> int | None:
    """The locked file's descriptor, or None if another process has it."""
    path = directory / name
    # A reset may have removed the folder meanwhile.
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Or the file, between the two calls.
        if os.fstat(descriptor).st_ino != path.stat().st_ino:
            raise FileNotFoundError
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    with contextlib.suppress(OSError):  # a full disk: its number is unknown, and a cloud on it can be stopped
        os.write(descriptor, str(os.getpid()).encode())
    return descriptor
