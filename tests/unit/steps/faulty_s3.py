"""An S3 endpoint that serves one object badly, on purpose: what a client does about it is what is tested."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Fault = Callable[[int], str]


class FaultyS3:
    """Answers every GET with `body`; `fault(n)` says how request n (from 1) goes: "", "503", "403" or "cut"."""

    def __init__(self, body: bytes, fault: Fault) -> None:
        self.body, self.fault = body, fault
        self.ranges: list[str | None] = []


@contextmanager
def serve(body: bytes, fault: Fault, patch) -> Iterator[FaultyS3]:
    """Point AWS_ENDPOINT_URL_S3 at such an endpoint."""
    state = FaultyS3(body, fault)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            state.ranges.append(self.headers.get("Range"))
            how = state.fault(len(state.ranges))
            if how in ("503", "403"):
                self.respond(int(how), b"<Error><Code>SlowDown</Code></Error>", {})
                return
            start, _, last = (state.ranges[-1] or "bytes=0-").removeprefix("bytes=").partition("-")
            content = state.body[int(start) : int(last) + 1 if last else None]
            headers = {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 03:16:39 GMT"}
            headers["Content-Range"] = f"bytes {start}-{int(start) + len(content) - 1}/{len(state.body)}"
            self.respond(206 if state.ranges[-1] else 200, content, headers, cut=how == "cut")

        def respond(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
