"""The console of the local cloud, as a process in the background: `local up` and `demo` start it, `local down` ends it.

Its file in the cloud's folder has the address. A console that is started again has the same port and key, so pages that
are open in a browser go on.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline import ROOT
from pipeline.local.environment import inherited
from pipeline.local.machine import background, own_folder

_FOLDER, _LOCK = "console", "cloud.console.lock"
START_SECONDS = 60.0
_END_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """A console in the background. `started` is its start time, which a later process with its number does not have."""

    pid: int
    started: float
    port: int
    key: str = field(repr=False)

    @property
    def address(self) -> str:
        """The address that opens it."""
        return self.page("/")

    def page(self, path: str) -> str:
        """The address of one page."""
        return f"http://127.0.0.1:{self.port}{path}?key={self.key}"

    @property
    def runs(self) -> bool:
        """Whether its process has not ended."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            return bool(process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - self.started) < 1)
        except psutil.Error:
            return False


def file_of(directory: Path, profile: str) -> Path:
    """The file of a profile's console in a cloud's folder."""
    return directory / _FOLDER / f"{profile}.json"


def find(directory: Path, profile: str) -> Running | None:
    """The console of a profile, or None where none runs."""
    console = _read(file_of(directory, profile))
    return console if console is not None and console.runs else None


def start(directory: Path, profile: str, options: Sequence[str]) -> Running:
    """Start the console of a profile, again where it runs: with the present settings, source and local cloud.

    `options` are the global options of the command line. Raises PipelineError with its last line where it does not
    start.
    """
    directory = directory.resolve()
    with own_folder.locked(directory, START_SECONDS * 2, _LOCK):
        file = file_of(directory, profile)
        before = _read(file)
        if before is not None:
            _end(before)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        return _start(directory, file, [*options, "console", "--background", str(file)])


def _start(directory: Path, file: Path, arguments: Sequence[str]) -> Running:
    log = file.with_suffix(".log")
    log.unlink(missing_ok=True)

    def ready(pid: int) -> Running | None:
        console = _read(file)
        return console if console is not None and console.pid == pid else None

    return background.start(
        "the console",
        ["-m", "pipeline", *arguments],
        log,
        ready,
        seconds=START_SECONDS,
        # The owner's root user, as commands without `local env --as`: no session of a person that would end.
        env={**inherited(), "PIPELINE_LOCAL_DIR": str(directory), "PYTHONPATH": str(ROOT)},
        cwd=Path.cwd(),
    )


def running(directory: Path) -> list[Running]:
    """The consoles of a cloud's folder that run."""
    consoles = [_read(file) for file in sorted((directory / _FOLDER).glob("*.json"))]
    return [console for console in consoles if console is not None and console.runs]


def end_all(directory: Path) -> int:
    """End the consoles of a cloud's folder. Returns their number."""
    directory = directory.resolve()
    if not (directory / _FOLDER).is_dir():
        return 0
    with own_folder.locked(directory, START_SECONDS * 2, _LOCK):
        return sum(_end(console) for console in running(directory))


def _end(console: Running) -> bool:
    """End a console; one that does not end in time is killed. Returns whether it ran."""
    import psutil

    if not console.runs:
        return False
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(console.pid)
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_END_SECONDS)
    return True


def earlier(file: Path) -> tuple[int, str]:
    """Port and key of the console that a file is of, to take them again; 0 and an empty key for a first start."""
    before = _read(file)
    return (0, "") if before is None else (before.port, before.key)


def write(file: Path, port: int, key: str) -> None:
    """Record that this process serves on the port: readable by its owner only, since it has the key."""
    import psutil

    console = Running(os.getpid(), psutil.Process().create_time(), port, key)
    partial = file.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(asdict(console), output)
    partial.replace(file)


def is_ours(file: Path) -> bool:
    """Whether the file still records this process: another console may have taken its place, or a reset removed it."""
    console = _read(file)
    return console is not None and console.pid == os.getpid()


def _read(file: Path) -> Running | None:
    try:
        return Running(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
