"""Copies between S3 and the folders of a job, as SageMaker copies inputs, outputs, checkpoints and models."""

from __future__ import annotations

import json
import tarfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steps.contracts.archives import unpack_gzip
from steps.contracts.full_disk import is_disk_full
from steps.contracts.s3_uri import S3Uri

THREADS = 16


def list_keys(s3: Any, uri: str) -> list[str]:
    """Keys of all objects whose key starts with the URI's."""
    location = S3Uri.parse(uri)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@dataclass(frozen=True)
class Source:
    """An object of an input, and its path below the input's folder."""

    bucket: str
    key: str
    path: str


def prefix_sources(s3: Any, uri: str) -> list[Source]:
    """The objects below an S3 prefix, or the one object of that name, in the order of their keys."""
    source = S3Uri.parse(uri)
    prefix = source.key
    keys = [key for key in list_keys(s3, uri) if not key.endswith("/")]
    # A prefix without a slash at its end excludes its neighbours: `labels` is not `labels-old/`.
    if prefix and not prefix.endswith("/"):
        keys = [key for key in keys if key == prefix or key.startswith(f"{prefix}/")]
    return [Source(source.bucket, key, key[len(prefix) :].lstrip("/") or key.rsplit("/", 1)[-1]) for key in keys]


def manifest_sources(s3: Any, uri: str) -> list[Source]:
    """The objects that a manifest lists, in its order, at their paths below its prefix.

    Format: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html. The paths are assumed to be
    those of a channel with that prefix. Raises ValueError for another format.
    """
    place = S3Uri.parse(uri)
    match json.loads(s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()):
        case [{"prefix": str(prefix)}, *names] if names and all(isinstance(name, str) for name in names):
            source = S3Uri.parse(prefix)
        case _:
            raise ValueError(f'{uri} is no manifest; write [{{"prefix": "s3://BUCKET/PREFIX/"}}, "NAME", ...]')
    return [Source(source.bucket, f"{source.key}{name}", name.lstrip("/")) for name in names]


def copy(s3: Any, sources: list[Source], folder: Path) -> None:
    """Copy objects to their paths below `folder`. Raises ValueError for a path that would leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()

    def fetch(source: Source) -> None:
        target = (root / source.path).resolve()
        if root not in target.parents:
            raise ValueError(f"s3://{source.bucket}/{source.key} leaves the folder it is copied to")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(source.bucket, source.key, str(target))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, sources))


def download(s3: Any, uri: str, folder: Path) -> int:
    """Copy the objects below an S3 prefix into `folder`. Returns their number."""
    sources = prefix_sources(s3, uri)
    copy(s3, sources, folder)
    return len(sources)


def upload(s3: Any, folder: Path, uri: str, *, newer_than: float = 0.0) -> int:
    """Copy the files below `folder` that changed after `newer_than` (seconds since the epoch). Returns their number."""
    target = S3Uri.parse(uri)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_mtime > newer_than]

    def send(path: Path) -> None:
        s3.upload_file(str(path), target.bucket, target.join(path.relative_to(folder).as_posix()).key)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, files))
    return len(files)


def files(folder: Path) -> set[str]:
    """Paths of all files below a folder, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def delete(s3: Any, uri: str, names: set[str]) -> None:
    """Delete the objects of these names below a prefix; an object that does not exist is no error."""
    target = S3Uri.parse(uri)
    for name in sorted(names):
        s3.delete_object(Bucket=target.bucket, Key=target.join(name).key)


def upload_archive(s3: Any, folder: Path, uri: str, scratch: Path) -> None:
    """Pack a folder as `model.tar.gz` is packed, and copy it to `uri`."""
    target = S3Uri.parse(uri)
    with tarfile.open(scratch, "w:gz", compresslevel=1) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name)
    s3.upload_file(str(scratch), target.bucket, target.key)
    scratch.unlink()


def download_archive(s3: Any, uri: str, folder: Path) -> None:
    """Fetch a `model.tar.gz` and unpack it. Members that would leave the folder are refused.

    Raises ValueError that names the URI for an archive that is not whole.
    """
    source = S3Uri.parse(uri)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_suffix(".tar.gz")
    s3.download_file(source.bucket, source.key, str(scratch))
    try:
        unpack_gzip(scratch, folder)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        if is_disk_full(error):
            raise  # the archive is not to blame
        raise ValueError(f"{uri} is not a whole .tar.gz archive: {error}") from error
    scratch.unlink()
