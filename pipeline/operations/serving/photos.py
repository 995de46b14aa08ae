"""Photos to count: files, folders and S3 objects, listed first and read one by one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.aws.pages import items
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts import photo_files
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import LeftOut
from steps.contracts.s3_uri import S3Uri

# InvokeEndpoint's limits in bytes: the maximum of BodyBlob in botocore's model, and
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-containers
PAYLOAD_LIMITS = {"real-time": 6_291_456, "serverless": 4 * 1024 * 1024}
_JPEG_START = b"\xff\xd8\xff"
# Names of files that are left out, per reason.
_EXAMPLES = 3
_S3 = "s3://"
IMPORT = "python -m pipeline import"


@dataclass(frozen=True)
class Photo:
    """A JPEG and its source."""

    source: str
    data: bytes = field(repr=False)


class Reader:
    """Reads photos by name; safe to use from several threads.

    `left_out` are the files of the folders and prefixes that `names` listed, and that are no photos by their names.
    """

    def __init__(self, settings: Settings) -> None:
        self.left_out = LeftOut(_EXAMPLES)
        self._s3 = client(settings, "s3")
        self._mode = settings.endpoint.mode

    def names(self, sources: Iterable[str]) -> list[str]:
        """The photos of files, folders (their JPEGs, sorted) and S3 URIs (an object, or a prefix ending in /).

        A file or an object that is named itself is taken whatever its name is. Each is in the list once, where it is
        first: a file that is also in a named folder would be counted, and paid for, twice.

        Raises PipelineError for a folder or prefix without photos.
        """
        return _once(name for source in _once(sources) for name in self._expand(source))

    def read(self, name: str) -> Photo:
        """A photo. Raises PipelineError for a missing one, and for one that is no JPEG within the limits.

        The model decides whether the JPEG is complete.

        Raises botocore's ClientError when S3 refuses for another reason.
        """
        photo = Photo(name, _content(self._s3, name))
        check_jpeg(photo, self._mode)
        return photo

    def content(self, name: str) -> bytes:
        """The bytes of a photo, whatever they are. Raises as `read` does."""
        return _content(self._s3, name)

    def _expand(self, source: str) -> list[str]:
        if source.startswith(_S3):
            return self._in_s3(source)
        path = Path(source)
        if not path.is_dir():
            return [source]
        entries = sorted(path.iterdir())
        for folder in filter(Path.is_dir, entries):
            self.left_out.add(photo_files.FOLDER_BELOW, f"{folder.name}/")
        names = [entry.name for entry in entries if not entry.is_dir()]
        files = [str(path / name) for name in self._photos(names)]
        if not files:
            raise PipelineError(f"{path}: no .jpg files in this folder{self._others()}")
        return files

    def _photos(self, names: Iterable[str]) -> Iterator[str]:
        """The names (or keys) of photos; the others are counted."""
        for name in names:
            file = name.rpartition("/")[2]
            if photo_files.photo_id(file) is not None:
                yield name
            elif not photo_files.is_folder(name):
                self.left_out.add(photo_files.reason_of(file), file)

    def _others(self) -> str:
        return f"; left out: {sentence}" if (sentence := self.left_out.sentence()) else ""

    def _in_s3(self, uri: str) -> list[str]:
        location = S3Uri.parse(uri)
        if location.key and not location.key.endswith("/"):
            return [uri]
        paginator = self._s3.get_paginator("list_objects_v2")
        listed = items(paginator, "Contents", Bucket=location.bucket, Prefix=location.key)
        with error_if_missing(f"{uri}: there is no such bucket"):
            keys = list(self._photos(entry["Key"] for entry in listed))
        if not keys:
            raise PipelineError(f"{uri}: no .jpg objects below this prefix{self._others()}")
        return [str(S3Uri(location.bucket, key)) for key in keys]


def _once(names: Iterable[str]) -> list[str]:
    """The names without those that lead to an earlier one's object or place in a folder.

    Links of other names remain, since the name is that of the photo's record.
    """
    real_folder = cache(os.path.realpath)

    def place(name: str) -> str | tuple[str, str]:
        path = Path(name)
        return name if name.startswith(_S3) else (real_folder(path.parent), path.name)

    first: dict[str | tuple[str, str], str] = {}
    for name in names:
        first.setdefault(place(name), name)
    return list(first.values())


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
    """Raise PipelineError unless the photo begins as a JPEG and is within the limit of an endpoint of this mode."""
    if not photo.data.startswith(_JPEG_START):
        raise PipelineError(f"{photo.source}: not a JPEG; the endpoint accepts JPEG photos only; to convert: {IMPORT}")
    most = PAYLOAD_LIMITS[mode]
    if len(photo.data) > most:
        raise PipelineError(f"{photo.source}: {len(photo.data):,} bytes; a {mode} endpoint accepts at most {most:,}")
