"""The local cloud's process: `python -m pipeline.local.server DIRECTORY LOCK`, started by `pipeline.local.cloud`.

It starts the object store and answers AWS's APIs on one port, until SIGTERM ends it and its children. Its settings and,
once it is ready, its pid are in DIRECTORY/cloud.json.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
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


class Stop:
    """The request to end, by a signal or a thread.

    Not a `threading.Event`: a handler that runs while the main thread is within `Event.wait` needs the lock which that
    call holds, and the process never ends. `SimpleQueue.put` is reentrant
    (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put).
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[None] = queue.SimpleQueue()

    def handle(self, *numbers: signal.Signals) -> None:
        """Take each of these signals as the request."""
        for number in numbers:
            signal.signal(number, lambda *_: self.request())

    def request(self) -> None:
        """Ask for the end; from any thread, or a signal's handler."""
        self._requests.put(None)

    def is_requested(self) -> bool:
        """Whether the end was asked for and nobody has waited for it."""
        return not self._requests.empty()

    def wait(self) -> None:
        """Return when the end is asked for."""
        self._requests.get()


def serve(settings: cloud.Cloud, lock: int) -> None:
    """Run until SIGTERM or SIGINT. `lock` is the descriptor of the folder's lock, which is left when it is ready."""
    # moto's own account id and AWS clients in this process read these.
    os.environ.update(cloud.environment(settings), MOTO_ACCOUNT_ID=settings.account_id)
    stop = Stop()
    stop.handle(signal.SIGTERM, signal.SIGINT)
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


def _serve_api(settings: cloud.Cloud, stop: Stop, lock: int) -> None:
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
    # How long it goes on after its end was asked for.
    threads.start("api", lambda: server.serve_forever(poll_interval=0.05), lambda _: stop.request())
    services.restore()
    # A start that was interrupted ends here, still with the lock.
    if not stop.is_requested():
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
