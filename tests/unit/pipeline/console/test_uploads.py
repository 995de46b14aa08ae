"""Forms with a file: what is taken, what is refused, and that nothing is written to the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pipeline.console import uploads
from pipeline.console.uploads import BODY_LIMIT, UploadError

Post = Callable[..., tuple[int, object]]


@pytest.fixture
def browser() -> TestClient:
    async def answer(request: Request) -> JSONResponse:
        try:
            sent = await uploads.read(request)
        except UploadError as error:
            return JSONResponse(str(error), error.status)
        return JSONResponse([dict(sent.fields), sent.name, len(sent.content)])

    return TestClient(Starlette(routes=[Route("/", answer, methods=["POST"])]))


def test_a_form_has_its_fields_and_its_file(browser: TestClient) -> None:
    answer = browser.post("/", data={"token": "t"}, files={"photo": ("a.jpg", b"content")})
    assert answer.json() == [{"token": "t"}, "a.jpg", 7]


def test_a_form_without_a_chosen_file_is_one_too(browser: TestClient) -> None:
    """As a browser sends it: a part without a name and without content."""
    body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename=""\r\n\r\n\r\n--x--\r\n'
    answer = browser.post("/", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.json() == [{}, "", 0]


def test_a_file_is_not_written_to_the_disk(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> None:
        raise AssertionError("a file on the disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", write)
    answer = browser.post("/", files={"photo": ("a.jpg", bytes(6_000_000))})
    assert answer.json() == [{}, "a.jpg", 6_000_000]


def test_a_form_that_is_too_large_is_one_line(browser: TestClient) -> None:
    answer = browser.post("/", files={"photo": ("a.jpg", bytes(BODY_LIMIT))})
    assert (answer.status_code, "6.4 MB; a photo may have 6.4 MB" in answer.text) == (413, True)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("image/jpeg", b"\xff\xd8\xff", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"no form", 400),
    ],
)
def test_what_is_no_form_is_refused(browser: TestClient, kind: str, body: bytes, status: int) -> None:
    assert browser.post("/", content=body, headers={"content-type": kind}).status_code == status


def test_two_files_are_refused(browser: TestClient) -> None:
    files = [("photo", ("a.jpg", b"a")), ("photo", ("b.jpg", b"b"))]
    assert browser.post("/", files=files).status_code == 400
