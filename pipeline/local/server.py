"""The local cloud's process: `python -m pipeline.local.server DIRECTORY LOCK`, started by `pipeline.local.cloud`.

It starts the object store and answers AWS's APIs on one port, until SIGTERM ends it and its children. Its settings and,
once it is ready, its pid are in DIRECTORY/cloud.json.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from pipeline.local import cloud, threads
from pipeline.local.context import Context
from pipeline.local.identity.sessions import Sessions
from pipeline.local.machine.objects import ObjectStore
from pipeline.local.s3.judge import Settings
from pipeline.local.s3.servers import S3Servers
from pipeline.local.store import Store
from steps.contracts.errors import PipelineError
from steps.contracts.full_disk import explained, is_disk_full

log = logging.getLogger("pipeline.local")


class QuietHandler(WSGIRequestHandler):
    """Logs no requests; HTTP/1.1 keeps clients' connections open."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def serve(settings: cloud.Cloud, lock: int) -> None:
    """Run until SIGTERM or SIGINT. `lock` is the descriptor of the folder's lock, which is left when it is ready."""
    # moto's own account id and AWS clients in this process read these.
    os.environ.update(cloud.environment(settings), MOTO_ACCOUNT_ID=settings.account_id)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    servers = s3_servers(settings)
    servers.start()
    try:
        _serve_api(settings, stop, lock)
    finally:
        servers.stop()


def s3_servers(settings: cloud.Cloud) -> S3Servers:
    """The object server on a port of its own, and the door in front of it on the cloud's S3 port."""
    objects = ObjectStore(
        settings.directory / cloud.OBJECTS,
        0,
        settings.access_key,
        settings.secret_key,
        sessions=Sessions(settings.directory),
        account_id=settings.account_id,
        reserved=frozenset((settings.api_port, settings.s3_port)),
    )
    door = Settings(
        settings.directory,
        settings.region,
        settings.account_id,
        settings.access_key,
        settings.secret_key,
        settings.audit,
    )
    return S3Servers(door, objects, settings.s3_port)


def _serve_api(settings: cloud.Cloud, stop: threading.Event, lock: int) -> None:
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
    # A start that was interrupted ends here, still with the lock.
    if not stop.is_set():
        cloud.mark(settings, os.getpid())
        os.close(lock)
        log.info("ready: APIs on port %d, S3 on port %d", settings.api_port, settings.s3_port)
    stop.wait()
    log.info("stopping")
    cloud.mark(settings, os.getpid(), stopping=True)
    services.close()
    server.shutdown()
    store.close()


def main() -> None:
    """The process's entry point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("werkzeug", "botocore", "urllib3", "moto"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = cloud.read(Path(sys.argv[1]))
    # Its own children must not have the lock.
    os.set_inheritable(int(sys.argv[2]), False)
    try:
        serve(settings, int(sys.argv[2]))
    except Exception as error:
        # The parent process reports the last line to the user.
        if isinstance(error, PipelineError):
            sys.stderr.write(f"{error}\n")
        elif is_disk_full(error):
            sys.stderr.write(f"{explained(error, (settings.directory,))}\n")
        else:
            raise
        sys.exit(1)


if __name__ == "__main__":
    main()
