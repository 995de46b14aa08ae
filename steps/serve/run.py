"""Load the model, warm it up, and serve it until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from datetime import UTC, datetime
from types import FrameType

import uvicorn

from steps.model.predictor import Predictor
from steps.runtime import container
from steps.serve.app import Application
from steps.serve.connections import Connection, Limits, Open, Sparing, raise_file_limit
from steps.serve.counting import warm_up
from steps.serve.rights import drop_rights
from steps.serve.settings import ServingSettings

log = logging.getLogger(__name__)

# SageMaker sends SIGKILL 30 seconds after SIGTERM: seconds for the answers, then for connections that do not end.
DRAIN_SECONDS = 20
GRACE_SECONDS = 3
KEEP_ALIVE_SECONDS = 75  # longer than clients keep theirs, so that no request meets a connection that is being closed
MAX_HEADER_BYTES = 16 * 1024
WAITING_CONNECTIONS = 2048  # connections that the system keeps until they are accepted


class JsonLines(logging.Formatter):
    """One JSON object per line, for CloudWatch Logs' filters and Logs Insights: time, level, logger and content.

    The content is a record's `json` (from `extra`) or its message, and the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        figures = getattr(record, "json", None)
        line |= figures if isinstance(figures, dict) else {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def use_json() -> None:
    """Write every further record of this process as JSON."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())


class Server(uvicorn.Server):
    """uvicorn's server, which on SIGTERM answers accepted requests before it closes.

    Until then it still listens, so that /ping can answer 503.
    """

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application
        self._stop: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, with room for clients that wait while the event loop accepts `backlog` of them at a time."""
        await super().startup(sockets)
        for listening in sockets or []:
            listening.listen(WAITING_CONNECTIONS)

    async def main_loop(self) -> None:
        """Run until the end; keeps the event loop for the signal handler."""
        self._loop = asyncio.get_running_loop()
        await super().main_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to stop; a second signal stops at once."""
        del sig, frame
        if self._stop is None and self.started:
            self._loop.call_soon_threadsafe(self._start_to_stop)
        else:
            self.should_exit = True

    def _start_to_stop(self) -> None:
        self._stop = self._stop or asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        log.info("stopping: answering accepted requests")
        try:
            await self._application.drain(DRAIN_SECONDS)
        finally:
            self.should_exit = True


def run() -> None:
    """Serve /opt/ml/model until SIGTERM, then return. Raises StepError when the model or a setting is unusable."""
    settings = ServingSettings.read()
    # Spinning threads would take the cores from the decoding threads.
    predictor = Predictor.load(container.model_dir(), settings.threads, spinning=False)
    warm_up(predictor, settings.max_batch)
    drop_rights(settings.uid)
    description = predictor.description
    log.info("serving %s for quantities %s with %s", description.architecture, description.classes, settings)
    application = Application(predictor, settings)
    limits = Limits.of(raise_file_limit())
    Connection.open, Connection.head_seconds = Open(limits.connections), settings.body_seconds
    for name in ("asyncio", "uvicorn.error"):
        logging.getLogger(name).addFilter(Sparing())
    config = uvicorn.Config(
        application,
        http=Connection,
        backlog=limits.backlog,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    Server(config, application).run(sockets=[config.bind_socket()])
    log.info("stopped")
