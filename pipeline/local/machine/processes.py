"""Processes of containers and functions, found by a mark in their environment wherever they are in the process tree.

A container ends with all of its processes. Here it has no namespace of its own, and a signal to its process group does
not reach all of it: torchrun starts each rank in a session of its own, and a rank outlives a launcher that was killed.
The mark is a folder: that of the container or of the function's call, below the cloud's.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

MARK = "PIPELINE_LOCAL_PROCESS_OF"
ROUNDS = 10
"""A process may start another one while it is looked for."""
END_SECONDS = 5.0


def end(folder: Path, session: int = 0) -> int:
    """End all processes whose mark is the folder or below it, by SIGKILL. Returns their number.

    `session` is the process that the folder's session began with, if that is known.
    """
    ended: set[tuple[int, float]] = set()
    for _ in range(ROUNDS):
        processes = below(folder, session)
        if not processes:
            break
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
                ended.add((process.pid, process.create_time()))
        psutil.wait_procs(processes, END_SECONDS)
    return len(ended)


def below(folder: Path, session: int = 0) -> list[psutil.Process]:
    """The processes with a mark of this folder, those of their sessions, and the descendants of all of these.

    Sessions and descendants count because a process may have cleared its environment.
    """
    processes = [process for process in psutil.process_iter() if process.pid != os.getpid()]
    members = {process.pid for process in processes if _is_marked(process, str(folder))}
    sessions = {session, *map(_session, members)} - {_session(0), None, 0}
    members |= {process.pid for process in processes if _session(process.pid) in sessions}
    children: dict[int, list[int]] = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            children.setdefault(process.ppid(), []).append(process.pid)
    waiting = list(members)
    while waiting:
        new = set(children.get(waiting.pop(), ())) - members
        members |= new
        waiting += new
    return [process for process in processes if process.pid in members and _runs(process)]


def _is_marked(process: psutil.Process, folder: str) -> bool:
    try:
        mark = process.environ().get(MARK, "")
        is_marked = mark == folder or mark.startswith(f"{folder}/")
        return bool(is_marked and _has_our_files(process.pid))
    except (psutil.Error, OSError):
        return False  # another user's, or one that has ended


def _has_our_files(pid: int) -> bool:
    """Whether the process's paths are this process's: a container's cloud may be in a folder of the same name."""
    if not os.path.isdir("/proc/self/root"):  # macOS, where a container has a kernel of its own
        return True
    return os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
