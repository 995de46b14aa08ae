"""Photos to count: files, folders and S3 objects, listed first and read one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.aws.pages import items
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

# InvokeEndpoint's limits in bytes: the maximum of BodyBlob in botocore's model, and
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-containers
PAYLOAD_LIMITS = {"real-time": 6_291_456, "serverless": 4 * 1024 * 1024}
SUFFIXES = (".jpg", ".jpeg")
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Cameras add bytes after the end marker; the steps search the same number of bytes.
_JPEG_TAIL = 1024
_S3 = "s3://"


@dataclass(frozen=True)
class Photo:
    """A JPEG and its source."""

    source: str
    data: bytes = field(repr=False)


class Reader:
    """Reads photos by name; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._s3 = client(settings, "s3")
        self._mode = settings.endpoint.mode

    def names(self, sources: Iterable[str]) -> list[str]:
        """The photos of files, folders (their JPEGs, sorted) and S3 URIs (an object, or a prefix ending in /).

        Raises PipelineError for a folder or prefix without photos.
        """
        return [name for source in sources for name in self._expand(source)]

    def read(self, name: str) -> Photo:
        """A photo. Raises PipelineError for a missing one, and for one that is no complete JPEG within the limits.

        Raises botocore's ClientError when S3 refuses for another reason.
        """
        photo = Photo(name, _content(self._s3, name))
        check_jpeg(photo, self._mode)
        return photo

    def _expand(self, source: str) -> list[str]:
        if source.startswith(_S3):
            return self._in_s3(source)
        path = Path(source)
        if not path.is_dir():
            return [source]
        files = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise PipelineError(f"{path}: no .jpg files in this folder")
        return files

    def _in_s3(self, uri: str) -> list[str]:
        location = S3Uri.parse(uri)
        if location.key and not location.key.endswith("/"):
            return [uri]
        paginator = self._s3.get_paginator("list_objects_v2")
        listed = items(paginator, "Contents", Bucket=location.bucket, Prefix=location.key)
        with error_if_missing(f"{uri}: there is no such bucket"):
            keys = [entry["Key"] for entry in listed if entry["Key"].lower().endswith(SUFFIXES)]
        if not keys:
            raise PipelineError(f"{uri}: no .jpg objects below this prefix")
        return [str(S3Uri(location.bucket, key)) for key in keys]


def _content(s3: Any, name: str) -> bytes:
    if not name.startswith(_S3):
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise PipelineError(f"{name}: cannot be read: {error.strerror}") from error
    content = fetch(s3, name)
    if content is None:
        raise PipelineError(f"{name}: there is no such object; a prefix ends with /")
    return content


def check_jpeg(photo: Photo, mode: str) -> None:
    """Raise PipelineError unless the photo is a complete JPEG within the limit of an endpoint of this mode."""
    if not photo.data.startswith(_JPEG_START):
        raise PipelineError(f"{photo.source}: not a JPEG; the endpoint accepts JPEG photos only")
    if _JPEG_END not in photo.data[-_JPEG_TAIL:]:
        raise PipelineError(f"{photo.source}: the JPEG has no end marker; it is incomplete, copy it again")
    most = PAYLOAD_LIMITS[mode]
    if len(photo.data) > most:
        raise PipelineError(f"{photo.source}: {len(photo.data):,} bytes; a {mode} endpoint accepts at most {most:,}")
