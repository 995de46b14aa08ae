"""The labels of a job: how many there are, and all of them on one instance."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.labels import is_labels_file
from steps.contracts.s3_uri import S3Uri
from steps.runtime import container
from steps.runtime.s3 import list_objects, open_store, s3_errors, send

if TYPE_CHECKING:
    from obstore.store import S3Store

_INPUT = "labels"
# The end of a Parquet file: the length of its metadata, and its magic number.
# https://parquet.apache.org/docs/file-format/
_END = struct.Struct("<I4s")
_MAGIC = b"PAR1"
# Requests at a time. A file of labels has two, which wait for S3 and not for the processor.
_REQUESTS = 32


def count_labels() -> int:
    """Rows of the job's labels, from the metadata of their Parquet files in S3, wherever they are copied to.

    Raises StepError without a file of labels, and for a file that is not Parquet.
    """
    location = _location()
    store = open_store(location.bucket)
    with ThreadPoolExecutor(_REQUESTS) as pool:
        return sum(pool.map(lambda item: _rows(store, S3Uri(location.bucket, item[0]), item[1]), _files(location)))


def whole_labels(instances: int) -> Path:
    """The folder with all labels on this instance: the input itself, or where each of several `instances` has a share
    of it, a copy of the objects.
    """
    if instances == 1:
        return container.processing_input(_INPUT)
    location = _location()
    # On the job's volume, as the input is: the disk of the container itself may be small.
    folder = container.base() / "processing" / "whole" / _INPUT
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(location.bucket)
    for number, (key, _) in enumerate(_files(location)):
        _copy(store, S3Uri(location.bucket, key), folder / f"{number:06d}.parquet")
    return folder


def _location() -> S3Uri:
    return S3Uri.parse(container.processing_input_uri(_INPUT))


def _files(location: S3Uri) -> Iterator[tuple[str, int]]:
    """Keys and sizes of the files of labels, as `read_labels` would find them. Raises StepError for none."""
    files = [
        (key, size)
        for key, size in list_objects(S3Uri(location.bucket, f"{location.key}/"))
        if is_labels_file(key, size)
    ]
    if not files:
        raise StepError(f"{location}: no labels; the query step wrote no Parquet file there")
    yield from files


def _rows(store: S3Store, uri: S3Uri, size: int) -> int:
    """Rows of a Parquet object, by two requests for its end."""
    if size > _END.size:
        length, magic = _END.unpack(_read(store, uri, size - _END.size, size))
        begin = size - _END.size - length
        if magic == _MAGIC and begin > 0:
            try:
                return int(pq.read_metadata(pa.BufferReader(_read(store, uri, begin, size))).num_rows)
            except (pa.ArrowException, OSError) as error:
                reason = " ".join(str(error).split())
                raise StepError(f"{uri}: not Parquet: {reason}; run the query again") from error
    raise StepError(f"{uri}: not Parquet; run the query again")


def _read(store: S3Store, uri: S3Uri, start: int, end: int) -> bytes:
    import obstore

    with s3_errors(uri, "reading"):
        return bytes(send(lambda: obstore.get_range(store, uri.key, start=start, end=end)))


def _copy(store: S3Store, uri: S3Uri, path: Path) -> None:
    import obstore

    with s3_errors(uri, "reading"), path.open("wb") as file:
        for chunk in send(lambda: obstore.get(store, uri.key)):
            file.write(chunk)
