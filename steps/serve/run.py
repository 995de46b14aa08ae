"""Load the model, warm it up, and serve it until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
from types import FrameType

import uvicorn

from steps.model.predictor import Predictor
from steps.runtime import container
from steps.serve.app import Application
from steps.serve.counting import warm_up
from steps.serve.settings import ServingSettings

log = logging.getLogger(__name__)

# SageMaker sends SIGKILL 30 seconds after SIGTERM: time for the answers, then for connections that do not end.
DRAIN_SECONDS = 20
GRACE_SECONDS = 3
# Connections at a time, far above what SageMaker opens: it bounds what idle and broken clients cost. Beyond it uvicorn
# answers 503 itself, to /ping too.
MAX_CONNECTIONS = 4096
KEEP_ALIVE_SECONDS = 75  # longer than clients keep theirs, so that none meets a connection that is just being closed
MAX_HEADER_BYTES = 16 * 1024


class Server(uvicorn.Server):
    """uvicorn's server, which on SIGTERM answers what it has accepted before it closes its doors.

    In the meantime it listens on, so that /ping can say 503.
    """

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application
        self._stop: asyncio.Task[None] | None = None

    async def main_loop(self) -> None:
        """Run until the end; remembers the event loop for the signal handler."""
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
        log.info("told to stop: answering what is accepted")
        try:
            await self._application.drain(DRAIN_SECONDS)
        finally:
            self.should_exit = True


def run() -> None:
    """Serve /opt/ml/model until SIGTERM, then return. Raises StepError when the model or a setting is not usable."""
    settings = ServingSettings.read()
    # Threads that spin would take the cores from those that decode.
    predictor = Predictor.load(container.model_dir(), settings.threads, spinning=False)
    warm_up(predictor, settings.max_batch)
    description = predictor.description
    log.info("serving %s for quantities %s with %s", description.architecture, description.classes, settings)
    application = Application(predictor, settings)
    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    Server(config, application).run()
    log.info("stopped")
