"""Photos to be counted: files, folders and S3 objects, named first and read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# InvokeEndpoint's limits in bytes: the maximum of BodyBlob in the service's model, and
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-containers
PAYLOAD_LIMITS = {"real-time": 6_291_456, "serverless": 4 * 1024 * 1024}
SUFFIXES = (".jpg", ".jpeg")
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Cameras pad behind the end marker; the steps look for it in as many bytes.
_JPEG_TAIL = 1024
_S3 = "s3://"


@dataclass(frozen=True)
class Photo:
    """A JPEG and where it came from."""

    source: str
    data: bytes = field(repr=False)


class Reader:
    """Reads photos by their names; may be used from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._s3 = client(settings, "s3")
        self._mode = settings.endpoint.mode

    def names(self, sources: Iterable[str]) -> list[str]:
        """What files, folders (their JPEGs, sorted) and S3 URIs (an object, or a prefix ending in /) name.

        Raises PipelineError for a folder or prefix without photos.
        """
        return [name for source in sources for name in self._expanded(source)]

    def read(self, name: str) -> Photo:
        """One photo. Raises PipelineError that names it when it is not there, or no whole JPEG that an endpoint takes.

        Raises botocore's ClientError when S3 refuses for another reason.
        """
        photo = Photo(name, self._read_s3(name) if name.startswith(_S3) else _read_file(name))
        check_jpeg(photo, self._mode)
        return photo

    def _expanded(self, source: str) -> Iterator[str]:
        if source.startswith(_S3):
            return self._in_s3(source)
        path = Path(source)
        if not path.is_dir():
            return iter([source])
        files = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise PipelineError(f"{path}: no .jpg files in this folder")
        return iter(files)

    def _in_s3(self, uri: str) -> Iterator[str]:
        bucket, _, key = uri.removeprefix(_S3).partition("/")
        if key and not key.endswith("/"):
            yield uri
            return
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        found = False
        with error_if_missing(f"{uri}: there is no such bucket"):
            for page in pages:
                for entry in page.get("Contents", []):
                    if entry["Key"].lower().endswith(SUFFIXES):
                        found = True
                        yield f"{_S3}{bucket}/{entry['Key']}"
        if not found:
            raise PipelineError(f"{uri}: no .jpg objects below this prefix")

    def _read_s3(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix(_S3).partition("/")
        with error_if_missing(f"{uri}: there is no such object; a prefix ends with /"):
            data: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}") from error


def check_jpeg(photo: Photo, mode: str) -> None:
    """Raise PipelineError unless the photo is a whole JPEG that an endpoint of this mode can take."""
    if not photo.data.startswith(_JPEG_START):
        raise PipelineError(f"{photo.source}: not a JPEG; the endpoint counts in JPEG photos only")
    if _JPEG_END not in photo.data[-_JPEG_TAIL:]:
        raise PipelineError(f"{photo.source}: the JPEG ends before its end marker; it was cut off on the way")
    most = PAYLOAD_LIMITS[mode]
    if len(photo.data) > most:
        raise PipelineError(f"{photo.source}: {len(photo.data):,} bytes; a {mode} endpoint takes at most {most:,}")


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI. Raises PipelineError for something else."""
    bucket, _, key = uri.removeprefix(_S3).partition("/")
    if not uri.startswith(_S3) or not bucket:
        raise PipelineError(f"{uri!r} is no S3 URI; write s3://BUCKET/PREFIX")
    return bucket, key
