"""Downloads from a server of this machine: its digest, its size, its redirects and its failures."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pipeline.operations.weights.download import Origin, has_size
from steps.contracts.errors import PipelineError
from steps.contracts.imagenet_files import PublishedFile

CONTENT = b"weights" * 100_000
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]
MEBIBYTES = round(len(CONTENT) / 2**20, 3)
FILE = PublishedFile(f"resnet18-{DIGITS}.pth", "IMAGENET1K_V1", MEBIBYTES)


class Server(ThreadingHTTPServer):
    """Answers each GET with `status`, `headers` and `body`."""

    status = 200
    body = CONTENT
    headers: Mapping[str, str] = MappingProxyType({})
    asked: list[str]

    @property
    def origin(self) -> Origin:
        return Origin(f"http://127.0.0.1:{self.server_port}/models")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        # A redirect leads to the file itself.
        moved = self.server.status == 302 and len(self.server.asked) > 1
        self.send_response(200 if moved else self.server.status)
        headers = {"Content-Length": str(len(self.server.body)), **({} if moved else self.server.headers)}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_arrives_whole_and_its_progress_is_reported(server: Server, tmp_path: Path) -> None:
    totals: list[int] = []
    server.origin.fetch(FILE, tmp_path / "w.pth", totals.append)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert server.asked == [f"/models/{FILE.name}"]
    assert totals[-1] == len(CONTENT)


def refused(server: Server, tmp_path: Path, file: PublishedFile = FILE) -> str:
    with pytest.raises(PipelineError) as caught:
        server.origin.fetch(file, tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert "--file PATH" in str(caught.value)
    return str(caught.value)


def test_another_file_is_refused_by_its_digest(server: Server, tmp_path: Path) -> None:
    server.body = CONTENT[:-1] + b"!"
    digits = hashlib.sha256(server.body).hexdigest()[:8]
    assert f"begins with {digits}, not with {DIGITS}; nothing was uploaded" in refused(server, tmp_path)


def test_more_bytes_than_are_published_are_not_read(server: Server, tmp_path: Path) -> None:
    server.body = CONTENT * 3
    assert "has more than the 7" in refused(server, tmp_path)
    assert (tmp_path / "w.pth").stat().st_size <= len(CONTENT) * 2


def test_a_connection_that_ends_early_is_named(server: Server, tmp_path: Path) -> None:
    server.headers = {"Content-Length": str(len(CONTENT) + 5)}
    message = refused(server, tmp_path)
    assert f"ended after {len(CONTENT):,} of {len(CONTENT) + 5} bytes" in message or "IncompleteRead" in message


def test_a_server_without_the_file_is_named_with_its_answer(server: Server, tmp_path: Path) -> None:
    server.status = 403
    assert f"/models/{FILE.name}: the server answers 403 Forbidden" in refused(server, tmp_path)


def test_no_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(PipelineError, match=r"cannot be downloaded: .*refused.*--file PATH"):
        Origin("http://127.0.0.1:9/models").fetch(FILE, tmp_path / "w.pth")


def test_a_redirect_within_the_server_is_followed(server: Server, tmp_path: Path) -> None:
    server.status, server.headers = 302, {"Location": "/elsewhere"}
    server.origin.fetch(FILE, tmp_path / "w.pth")
    assert server.asked[-1] == "/elsewhere"


@pytest.mark.parametrize(
    ("mebibytes", "fits"),
    [(44.66051, True), (44.66149, True), (44.659, False), (44.663, False), (0, False), (89.322, False)],
)
def test_a_size_fits_up_to_the_rounding_of_the_published_one(mebibytes: float, fits: bool) -> None:
    file = PublishedFile("resnet18-f37072fd.pth", "IMAGENET1K_V1", 44.661)
    assert has_size(file, round(mebibytes * 2**20)) == fits


@pytest.mark.parametrize("target", ["https://127.0.0.1:{port}/x", "http://localhost:{port}/x", "ftp://127.0.0.1/x"])
def test_a_redirect_to_another_server_is_refused(server: Server, tmp_path: Path, target: str) -> None:
    place = target.format(port=server.server_port)
    server.status, server.headers = 302, {"Location": place}
    assert f"leads to another server, {place}, from which nothing is downloaded" in refused(server, tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("url", "permitted"),
    [
        ("https://download.pytorch.org/models/x.pth", True),
        ("http://download.pytorch.org/models/x.pth", False),
        ("https://download.pytorch.org:8443/models/x.pth", False),
        ("https://download.pytorch.org.example.com/x.pth", False),
        ("https://user@download.pytorch.org/x.pth", False),
        ("file:///etc/passwd", False),
    ],
)
def test_files_come_over_https_from_the_server_of_torchvision_alone(url: str, permitted: bool) -> None:
    assert Origin().permits(url) == permitted
