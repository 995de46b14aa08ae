"""The object server and the door in front of it, watched: one that dies is started again, a few times."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime

from pipeline.local import health, threads
from pipeline.local.machine.objects import ObjectStore
from pipeline.local.s3.judge import Settings
from pipeline.local.s3.process import Door
from steps.contracts.errors import PipelineError

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
# What dies more often has a cause that a restart does not mend, such as a full disk.
RESTARTS, WITHIN_SECONDS = 5, 600.0
OBJECT_SERVER, DOOR = "object server", "S3 door"


class S3Servers:
    """Both processes. Restarts are in the cloud's log and in its health file, which `local status` reads."""

    def __init__(self, settings: Settings, objects: ObjectStore, port: int) -> None:
        self._settings = settings
        self._objects = objects
        self._port = port
        self._door: Door | None = None
        self._health = health.Health()
        self._failed: dict[str, str] = {}
        """Why the last restart of a part failed."""
        self._attempts: deque[float] = deque(maxlen=RESTARTS)
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    def start(self) -> None:
        """Start both, and watch them. Raises PipelineError where one does not start; then none runs."""
        health.write(self._settings.directory, self._health)
        try:
            self._objects.start()
            self._start_door()
        except BaseException:
            self._stop_both()
            raise
        self._watch = threads.start("watch of S3", self._watch_until_stopped, self._lose_watch)

    def stop(self) -> None:
        """Stop both and return when they have ended."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.join()
        self._stop_both()

    def _start_door(self) -> None:
        # The object server may have changed its port.
        self._door = Door(self._settings, self._port, self._objects.port)
        self._door.start()

    def _stop_both(self) -> None:
        if self._door is not None:
            self._door.stop()
        self._objects.stop()

    def _watch_until_stopped(self) -> None:
        while not self._stopping.wait(CHECK_SECONDS):
            for name, part in ((OBJECT_SERVER, self._objects), (DOOR, self._door)):
                reason = self._failed.get(name) or (part.how_it_ended() if part is not None else None)
                if reason is not None and not self._restart(name, reason):
                    return

    def _restart(self, name: str, reason: str) -> bool:
        """Start a part again. Returns False where it is given up."""
        now = time.monotonic()
        if len(self._attempts) == RESTARTS and now - self._attempts[0] < WITHIN_SECONDS:
            self._health.given_up = f"the {name} has ended again by {reason}, after {RESTARTS} restarts"
            log.error("%s; it is not started again; mend it: python -m pipeline local up", self._health.given_up)
            self._note()
            return False
        self._attempts.append(now)
        log.warning("the %s has ended by %s; starting it again", name, reason)
        try:
            self._start_again(name)
        except (PipelineError, OSError) as error:
            # The next look counts as a further attempt.
            log.error("the %s did not start: %s", name, error)
            self._failed[name] = str(error)
            self._stopping.wait(CHECK_SECONDS * 2 ** len(self._attempts))
            return True
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._failed.pop(name, None)
        self._health.restarts.append(health.Restart(at, name, reason))
        self._note()
        log.warning("the %s runs again", name)
        return True

    def _lose_watch(self, error: Exception) -> None:
        """Write down that nobody watches any more."""
        self._health.given_up = f"the watch of S3 has ended by {type(error).__name__}: {error}"
        self._note()

    def _note(self) -> None:
        try:
            health.write(self._settings.directory, self._health)
        except OSError as error:
            log.error("%s is not written: %s", health.FILE, error)

    def _start_again(self, name: str) -> None:
        if name == OBJECT_SERVER:
            self._objects.stop()
            self._objects.start()
            if self._door is not None and self._door.upstream_port == self._objects.port:
                return
        if self._door is not None:
            self._door.stop()
            self._door = None
        self._start_door()
