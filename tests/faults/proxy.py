"""An S3 endpoint that hands requests on to the real server, but for those that it spoils on purpose."""

from __future__ import annotations

import http.client
import http.server
import os
import socket
import struct
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

# How a request of a method for a path goes, its `n`-th time: "" (well), "503", "reset" (before the answer), "cut" (a
# reset in the middle of the body).
Fault = Callable[[str, str, int], str]


@dataclass
class Spoiler:
    """What was spoiled so far."""

    fault: Fault
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    spoiled: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, method: str, path: str) -> str:
        """How this request goes."""
        with self.lock:
            self.seen[method, path] += 1
            how = self.fault(method, path, self.seen[method, path])
            self.spoiled[how] += 1
        return how


@contextmanager
def spoiling(fault: Fault, patch: pytest.MonkeyPatch) -> Iterator[Spoiler]:
    """Put such an endpoint in front of the one that AWS_ENDPOINT_URL_S3 names."""
    upstream = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])
    state = Spoiler(fault)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _hand_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            how = state.judge(self.command, urllib.parse.urlsplit(self.path).path)
            if how == "503":
                self._answer(503, b"<Error><Code>SlowDown</Code></Error>", {})
                return
            if how == "reset":
                self._reset()
                return
            connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=20)
            try:
                # The signature covers the Host header, so it stays the one that the client sent.
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding")}
            self._answer(answer.status, content, headers, cut=how == "cut")

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _hand_on  # noqa: N815

        def _answer(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False):
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.wfile.flush()
                self._reset()

        def _reset(self):
            # Closed with data unsent and no lingering: the client sees a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        with patch.context() as inside:
            inside.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
            yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
