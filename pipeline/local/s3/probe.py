"""Whether ports of a running cloud answer."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing

from pipeline.local.machine.ports import LOOPBACK
from pipeline.local.s3.connections import NO_OBJECT_SERVER
from pipeline.local.s3.signatures import Keys, signed_request


def answers(port: int, seconds: float) -> bool:
    """Whether a port has an answer to a request by HTTP within `seconds`, whatever the answer."""
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=seconds)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
    return True


def s3_answers(port: int, keys: Keys, region: str, seconds: float) -> bool:
    """Whether S3 lists its buckets within `seconds`: the door alone would answer without an object server."""
    try:
        with socket.create_connection((LOOPBACK, port), seconds) as connection:
            connection.settimeout(seconds)
            connection.sendall(signed_request("GET /", f"{LOOPBACK}:{port}", region, keys))
            with closing(http.client.HTTPResponse(connection)) as response:
                response.begin()
                # A 503 that is injected (`local chaos`) is an answer.
                return NO_OBJECT_SERVER.encode() not in response.read()
    except (OSError, http.client.HTTPException):
        return False
