"""Processor time and memory of a process with all that it starts, by Linux's /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PERIOD = 0.25
# Fields of /proc/PID/stat after the name of the program: the parent, and ticks in user mode and in the kernel.
_PARENT, _USER, _KERNEL = 1, 11, 12


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Figures of this process and its descendants during the block, complete at its end.

    `tree_cpu` is seconds of processor time, without the last quarter of a second of a process that ended; `tree_peak`
    the largest sum of proportional set sizes, in bytes.
    """
    figures: dict[str, float] = {}
    seconds: dict[int, float] = {}
    before = {pid: cpu for pid, (_, cpu) in _processes().items()}
    peak, done = 0.0, threading.Event()

    def look() -> None:
        nonlocal peak
        here = _tree(os.getpid())
        seconds.update(here)
        peak = max(peak, sum(map(_memory, here)))

    def watch() -> None:
        while not done.wait(_PERIOD):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield figures
    finally:
        done.set()
        thread.join()
        look()
        figures["tree_cpu"] = sum(cpu - before.get(pid, 0.0) for pid, cpu in seconds.items())
        figures["tree_peak"] = peak


def _processes() -> dict[int, tuple[int, float]]:
    """Parent and seconds of processor time of every process."""
    processes = {}
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                values = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks = int(values[_USER]) + int(values[_KERNEL])
                processes[int(folder.name)] = (int(values[_PARENT]), ticks / _TICKS)
    return processes


def _tree(root: int) -> dict[int, float]:
    """Seconds of a process and of its descendants."""
    processes = _processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    tree, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if pid in processes:
            tree[pid] = processes[pid][1]
        waiting += children.get(pid, [])
    return tree


def _memory(pid: int) -> float:
    """Proportional set size of a process, in bytes; 0 when it has ended."""
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024.0 * int(line.split()[1])
    return 0.0
