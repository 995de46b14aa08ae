"""The console's server: uvicorn on 127.0.0.1."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline import clients
from pipeline.console.console import Console
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
# The port after those of the local cloud; where it is taken, the next free one of ten.
PORT = 8780
_TRIED = 10
_BACKLOG = 100
_LOOK_SECONDS = 2.0


def listen(port: int = 0, *, otherwise: bool = False) -> socket.socket:
    """A socket that listens on `port` of 127.0.0.1; 0 is the first free port from PORT on.

    `otherwise` takes that for a used port, too. Requests wait until the server takes them. Raises PipelineError where
    no port is free.
    """
    free = range(PORT, PORT + _TRIED)
    tried = [port, *free] if port and otherwise else [port] if port else list(free)
    for number in tried:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, number))
            # Two sockets with SO_REUSEADDR may be bound to a port on which none listens yet: socket(7), ip(7).
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            continue
        return listening
    ports = f"port {port}" if len(tried) == 1 else f"ports {free[0]} to {free[-1]}"
    raise PipelineError(f"the console's {ports} on {HOST}: in use; choose another: python -m pipeline console --port N")


def address(console: Console, port: int) -> str:
    """The address that opens the console."""
    return f"http://{HOST}:{port}/?key={console.key}"


def serve(console: Console, listening: socket.socket, ended: Callable[[], bool] | None = None) -> None:
    """Serve until SIGINT or SIGTERM, or until `ended` says so, which is asked every two seconds."""
    import uvicorn

    from pipeline.console.app import application

    # A browser that leaves while its page is sent is no error: "socket.send() raised exception".
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    port = listening.getsockname()[1]
    config = uvicorn.Config(
        application(console, port),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        lifespan="off",
        ws="none",
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    if ended is not None:
        threading.Thread(target=_watch, args=(server, ended), daemon=True).start()
    with clients.shared():
        server.run(sockets=[listening])


def _watch(server: uvicorn.Server, ended: Callable[[], bool]) -> None:
    try:
        while not (server.should_exit or ended()):
            time.sleep(_LOOK_SECONDS)
    finally:
        # Also where `ended` fails: nothing else would end a console in the background.
        server.should_exit = True
