"""The S3 door's process: `python -m pipeline.local.s3.door`, with its settings as JSON on stdin.

It listens on the cloud's S3 port and passes requests on to the object server's, until SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.local import faults
from pipeline.local.identity.journal import FOLDER, Journal
from pipeline.local.identity.policies import Decision, Request
from pipeline.local.s3.connections import BACKLOG, LOOPBACK, ClientConnection, Judge
from pipeline.local.s3.judge import PolicyJudge, Settings

log = logging.getLogger(__name__)

DECISIONS = f"{FOLDER}/s3.jsonl"


@dataclass(frozen=True)
class Ports:
    """Where the door listens, and where the object server does."""

    listen: int
    upstream: int


async def listening(judge: Judge, ports: Ports) -> asyncio.Server:
    """A door on 127.0.0.1; a port of 0 is a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: ClientConnection(judge, ports.upstream), LOOPBACK, ports.listen, backlog=BACKLOG
    )


async def _serve(judge: Judge, ports: Ports) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await listening(judge, ports)
    log.info("ready on port %d, in front of port %d", ports.listen, ports.upstream)
    await stop.wait()
    server.close()


def main() -> None:
    """The process's entry point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    values = json.load(sys.stdin)
    ports = Ports(**values.pop("ports"))
    settings = Settings(**{**values, "directory": Path(values["directory"])})
    journal = Journal(settings.directory / DECISIONS)

    def record(request: Request, decision: Decision, operation: str) -> None:
        if not request.principal.is_root:
            journal.record(request, decision, service="s3", operation=operation)

    asyncio.run(_serve(PolicyJudge(settings, record, faults.of(settings.directory).fault), ports))


if __name__ == "__main__":
    main()
