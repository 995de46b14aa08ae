"""Forms with a file, which stays in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

# The largest body of a form. InvokeEndpoint takes photos of 6,291,456 bytes, and the form has parts of its own.
BODY_LIMIT = 6_400_000
_MOST_FIELDS = 20
_MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Sent:
    """A form's fields, and its file: the name, and the content, which is empty where no file was chosen."""

    fields: Mapping[str, str]
    name: str = ""
    content: bytes = field(default=b"", repr=False)


class UploadError(Exception):
    """A form that is not taken, with the status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _InMemory(MultiPartParser):
    """A parser that writes no file to the disk: a photo is not stored."""

    spool_max_size = BODY_LIMIT


async def read(request: Request) -> Sent:
    """The form of a request with at most one file. Raises UploadError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _MULTIPART:
        raise UploadError(415, f"send a form as {_MULTIPART}")
    body, size = bytearray(), 0
    # Read to the end where it is too large, too: a browser shows no answer before it has sent everything.
    async for chunk in request.stream():
        size += len(chunk)
        if size <= BODY_LIMIT:
            body += chunk
    if size > BODY_LIMIT:
        raise UploadError(413, f"{size / 1e6:.1f} MB; a photo may have {BODY_LIMIT / 1e6:.1f} MB: send a smaller one")
    parser = _InMemory(
        request.headers, _once(bytes(body)), max_files=1, max_fields=_MOST_FIELDS, max_part_size=BODY_LIMIT
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise UploadError(400, f"not a form with a file: {error}") from error
    return await _sent(form)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _sent(form: FormData) -> Sent:
    fields: dict[str, str] = {}
    name, content = "", b""
    for key, value in form.items():
        if isinstance(value, str):
            fields[key] = value
        else:
            name, content = value.filename or "", await value.read()
    await form.close()
    return Sent(fields, name, content)
