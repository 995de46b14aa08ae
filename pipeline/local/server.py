"""The local cloud's process: `python -m pipeline.local.server DIRECTORY`, started by `pipeline.local.cloud`.

It starts the object store and answers AWS's APIs on one port, until SIGTERM ends it and its children. Its settings and,
once it is ready, its pid are in DIRECTORY/cloud.json.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from pipeline.local import cloud, threads
from pipeline.local.context import Context
from pipeline.local.identity.sessions import Sessions
from pipeline.local.machine.objects import ObjectStore
from pipeline.local.s3.judge import Settings
from pipeline.local.s3.process import Door
from pipeline.local.store import Store
from steps.contracts.errors import PipelineError

log = logging.getLogger("pipeline.local")


class QuietHandler(WSGIRequestHandler):
    """Logs no requests; HTTP/1.1 keeps clients' connections open."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def serve(settings: cloud.Cloud) -> None:
    """Run until SIGTERM or SIGINT."""
    # moto's own account id and AWS clients in this process read these.
    os.environ.update(cloud.environment(settings), MOTO_ACCOUNT_ID=settings.account_id)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with start_s3(settings):
        _serve_api(settings, stop)


def start_s3(settings: cloud.Cloud) -> ExitStack:
    """Start the object server on a port of its own, and the door in front of it on the cloud's S3 port.

    The result stops both when it is closed.
    """
    with ExitStack() as started:
        objects = ObjectStore(
            settings.directory / cloud.OBJECTS,
            0,
            settings.access_key,
            settings.secret_key,
            sessions=Sessions(settings.directory),
            account_id=settings.account_id,
            reserved=frozenset((settings.api_port, settings.s3_port)),
        )
        started.callback(objects.stop)
        objects.start()
        door = Door(
            Settings(
                settings.directory,
                settings.region,
                settings.account_id,
                settings.access_key,
                settings.secret_key,
                settings.audit,
            ),
            settings.s3_port,
            objects.port,
        )
        started.callback(door.stop)
        door.start()
        return started.pop_all()


def _serve_api(settings: cloud.Cloud, stop: threading.Event) -> None:
    from pipeline.local.services import Services
    from pipeline.local.wire.protocol import Application, moto_application

    store = Store(settings.directory / "cloud.sqlite")
    context = Context(
        settings.directory,
        settings.account_id,
        settings.region,
        store,
        cloud.environment(settings),
        settings.credential_seconds,
    )
    services = Services(context, audit=settings.audit)
    application = Application(services, moto_application())
    try:
        server = make_server("127.0.0.1", settings.api_port, application, threaded=True, request_handler=QuietHandler)
    except (OSError, SystemExit) as error:
        raise PipelineError(f"port {settings.api_port} is in use; pass another one with --port") from error
    threads.start("api", server.serve_forever, lambda _: stop.set())
    services.restore()
    cloud.mark_ready(settings, os.getpid())
    log.info("ready: APIs on port %d, S3 on port %d", settings.api_port, settings.s3_port)
    stop.wait()
    log.info("stopping")
    services.close()
    server.shutdown()
    store.close()


def main() -> None:
    """The process's entry point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("werkzeug", "botocore", "urllib3", "moto"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = cloud.read(Path(sys.argv[1]))
    try:
        serve(settings)
    except PipelineError as error:
        # The parent process reports the last line to the user.
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
