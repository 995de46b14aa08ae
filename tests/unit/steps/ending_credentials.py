"""Credentials that end, as a job's do: their endpoint on 127.0.0.1, and an S3 server that refuses ended keys."""

import http.server
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

TOKEN = "container-token"
KEY = re.compile(r"Credential=(\w+)/")


class Account:
    """Keys that were given out and when they end, the objects of every bucket, and the requests per key."""

    def __init__(self, life: timedelta, objects: dict[str, bytes]) -> None:
        self.life, self.objects = life, objects
        self.ends: dict[str, datetime] = {}
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.refusal = (400, "ExpiredToken")
        self.accepts_none = False
        self._lock = threading.Lock()

    def issue(self) -> dict[str, str]:
        """New credentials, as the endpoint of a container returns them."""
        with self._lock:
            key = f"ASIA{len(self.ends):04d}"
            self.ends[key] = datetime.now(UTC) + self.life
        end = self.ends[key].strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"AccessKeyId": key, "SecretAccessKey": "secret", "Token": f"token-{key}", "Expiration": end}

    def revoke(self) -> None:
        """End every key that was given out."""
        with self._lock:
            self.ends = dict.fromkeys(self.ends, datetime.min.replace(tzinfo=UTC))

    def accepts(self, key: str) -> bool:
        """Whether `key` may be used now; counts the request."""
        with self._lock:
            accepted = not self.accepts_none and datetime.now(UTC) < self.ends[key]
            (self.accepted if accepted else self.refused)[key] += 1
            return accepted


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    account: Account

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/credentials":
            right = self.headers.get("Authorization") == TOKEN
            self.respond(200 if right else 403, json.dumps(self.account.issue() if right else {}).encode())
        elif self.is_allowed():
            self.get(self.account.objects.get(self.path))

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.is_allowed():
            self.account.objects[self.path] = content
            self.respond(200, b"")

    def is_allowed(self) -> bool:
        key = KEY.search(self.headers["Authorization"])
        allowed = self.account.accepts(key[1])
        if not allowed:
            status, code = self.account.refusal
            self.respond(status, f"<Error><Code>{code}</Code><Message>No longer.</Message></Error>".encode())
        return allowed

    def get(self, content: bytes | None) -> None:
        if content is None:
            self.respond(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        start, _, last = (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(start) : int(last) + 1 if last else None]
        headers = {"Content-Range": f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}"}
        self.respond(206 if self.headers.get("Range") else 200, part, headers)

    def respond(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        always = {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 03:16:39 GMT", "Content-Length": str(len(content))}
        for name, value in {**always, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serve(patch, *, life: timedelta, objects: dict[str, bytes]) -> Iterator[Account]:
    """Give this process the credentials of a container whose keys end after `life`; `objects` by `/bucket/key`."""
    account = Account(life, objects)
    handler = type("Handler", (_Handler,), {"account": account})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        patch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        patch.setenv(name, "/dev/null")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_ENDPOINT_URL_S3", address)
    patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/credentials")
    patch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN)
    try:
        yield account
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
