"""Worker processes that write an instance's buckets: started, listened to, and ended together.

A worker is a new interpreter (spawned, since S3 clients do not survive a fork). It sends what it refuses and what it
has written, and no photos. When it fails, or this process gets SIGTERM, all are ended; and a worker ends by itself when
this process is gone.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import NoReturn

from steps.contracts.errors import StepError
from steps.runtime.errors import LAST_ANSWER_SECONDS, log_to_stdout
from steps.shard.memory import use_system_allocator
from steps.shard.rejects import Rejects
from steps.shard.share import Share
from steps.shard.work import Work

log = logging.getLogger(__name__)

# Seconds in which a worker aborts its uploads before it is killed.
LAST_SECONDS = 10.0


@dataclass(frozen=True)
class Refused:
    """Photos that a worker refuses, to be counted with those of the others."""

    reason: str
    ids: Sequence[str]


@dataclass(frozen=True)
class Failed:
    """Why a worker ends early, in one line."""

    reason: str


def write_in_processes(shares: Sequence[Share], rejects: Rejects) -> list[Work]:
    """Write each share by a process of its own. Returns the work of all buckets.

    Raises StepError with the reason of the first worker that fails, or when the workers together refuse more photos
    than allowed; all workers have ended then.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, SpawnProcess] = {}
    works: list[Work] = []
    with _terminable():
        try:
            for number, share in enumerate(shares, start=1):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=run, args=(share, theirs), name=f"process {number}", daemon=True)
                process.start()
                theirs.close()  # so that the end of the worker is the end of the pipe
                workers[ours] = process
            listening = dict(workers)
            while listening:
                for ready in wait(list(listening)):
                    assert isinstance(ready, Connection)
                    _take(ready, listening, rejects, works)
        finally:
            _end(workers.values())
    return works


def _take(
    connection: Connection, listening: dict[Connection, SpawnProcess], rejects: Rejects, works: list[Work]
) -> None:
    """Take one message of a worker. Raises StepError when it fails."""
    try:
        message = connection.recv()
    except EOFError:
        process = listening.pop(connection)
        process.join()
        if process.exitcode:
            raise StepError(_reason(process.name, process.exitcode)) from None
        return
    if isinstance(message, Refused):
        rejects.add(message.reason, message.ids)
    elif isinstance(message, Work):
        works.append(message)
    elif isinstance(message, Failed):
        raise StepError(message.reason)


def _reason(name: str, status: int) -> str:
    if status < 0:
        name_of_signal = signal.Signals(-status).name
        hint = "; if memory was short, use an instance type with more" if name_of_signal == "SIGKILL" else ""
        return f"{name}, which writes shards, was ended by {name_of_signal}{hint}; start the run again to continue"
    return f"{name}, which writes shards, ended with status {status}; the log has the reason"


def _end(processes: Iterable[SpawnProcess]) -> None:
    """End all workers: by SIGTERM, and those that still run after LAST_SECONDS by SIGKILL."""
    remaining = list(processes)
    for process in remaining:
        process.terminate()
    deadline = time.monotonic() + LAST_SECONDS
    for process in remaining:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, which would end this process at once and leave its workers to themselves."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(share: Share, connection: Connection) -> None:
    """The work of a worker process: its share, with all messages to `connection`."""
    name = multiprocessing.current_process().name
    log_to_stdout(f" [{name}]")
    use_system_allocator()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and the parent ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    status = 0
    try:
        asyncio.run(_write(share, connection))
    except asyncio.CancelledError:
        status = 128 + signal.SIGTERM
    except StepError as error:
        status = _report(connection, str(error))
    except Exception as error:
        log.exception("unexpected error")
        status = _report(connection, f"{name}, which writes shards, failed: {type(error).__name__}: {error}")
    # A process that ends while obstore delivers its last answer sometimes aborts.
    time.sleep(LAST_ANSWER_SECONDS)
    logging.shutdown()
    sys.exit(status)


async def _write(share: Share, connection: Connection) -> None:
    task = asyncio.current_task()
    assert task is not None
    # Uploads are aborted, so that no parts of shards stay.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await share.write(
        share.openings(), lambda reason, ids: connection.send(Refused(reason, list(ids))), connection.send
    )


def _report(connection: Connection, reason: str) -> int:
    with suppress(OSError):  # a parent that is gone needs no reason
        connection.send(Failed(reason))
    return 1


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
