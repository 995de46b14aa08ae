"""Downloads of torchvision's published files: from its server alone, of their published size and digest."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from steps.contracts.errors import PipelineError
from steps.contracts.imagenet_files import PublishedFile
from steps.contracts.imagenet_weights import ORIGIN, digits_of

# Seconds without a byte.
SECONDS = 30
_CHUNK = 1 << 20
_ELSEWHERE = "or download it on another machine and pass it: python -m pipeline weights --file PATH"
# Factor on the published size in MiB, which has three decimals.
_TOLERANCE = 1.01
# torchvision rounds the size of its file to three decimals: get_weight_size_mb in
# https://github.com/pytorch/vision/blob/main/test/common_extended_utils.py
_LAST_DIGIT = 0.001


@dataclass(frozen=True)
class Origin:
    """A server of published files. Redirects lead to its own scheme, host and port only."""

    url: str = ORIGIN

    def permits(self, url: str) -> bool:
        """Whether a URL is on this server."""
        own, other = urlsplit(self.url), urlsplit(url)
        return (own.scheme, own.netloc) == (other.scheme, other.netloc)

    def fetch(self, published: PublishedFile, place: Path, report: Callable[[int], None] = lambda _: None) -> None:
        """Write a published file to `place`; `report` gets the bytes so far.

        Raises PipelineError where the server does not send it, sends more bytes than are published, or another file.
        """
        url = f"{self.url}/{published.name}"
        request = Request(url, headers={"User-Agent": "bin-counting-pipeline"})  # noqa: S310  # below ORIGIN, https
        try:
            with build_opener(_SameServer(self)).open(request, timeout=SECONDS) as answer:
                digest = _write(answer, place, url, most_bytes(published), report)
        except HTTPError as error:
            raise PipelineError(
                f"{url}: the server answers {error.code} {error.reason}; try again, {_ELSEWHERE}"
            ) from error
        except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise PipelineError(
                f"{url} cannot be downloaded: {reason or type(error).__name__}; try again, {_ELSEWHERE}"
            ) from error
        if not digest.startswith(digits_of(published.name)):
            raise PipelineError(
                f"{url}: the SHA-256 of what was downloaded begins with {digest[:8]}, not with"
                f" {digits_of(published.name)}; nothing was uploaded; try again, {_ELSEWHERE}"
            )


class _SameServer(HTTPRedirectHandler):
    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:  # noqa: PLR0917
        """The request for a redirect. Raises PipelineError for another server."""
        if not self._origin.permits(newurl):
            raise PipelineError(
                f"{req.full_url} leads to another server, {newurl}, from which nothing is downloaded; try again,"
                f" {_ELSEWHERE}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def most_bytes(published: PublishedFile) -> int:
    """The most bytes that a published file may have."""
    return int(published.mebibytes * 2**20 * _TOLERANCE)


def has_size(published: PublishedFile, size: int) -> bool:
    """Whether a published file may have `size` bytes."""
    return abs(size / 2**20 - published.mebibytes) <= _LAST_DIGIT


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(answer: Any, place: Path, url: str, most: int, report: Callable[[int], None]) -> str:
    """Write the body to a file, and return its SHA-256."""
    digest, total = hashlib.sha256(), 0
    with place.open("wb") as file:
        while chunk := answer.read(_CHUNK):
            total += len(chunk)
            if total > most:
                raise PipelineError(
                    f"{url} has more than the {most:,} bytes that torchvision publishes; nothing was uploaded;"
                    f" try again, {_ELSEWHERE}"
                )
            digest.update(chunk)
            file.write(chunk)
            report(total)
    declared = answer.headers.get("Content-Length")
    if declared and total < int(declared):
        raise PipelineError(f"{url}: the connection ended after {total:,} of {declared} bytes; try again, {_ELSEWHERE}")
    return digest.hexdigest()
