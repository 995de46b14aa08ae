"""Where bins are read from: the generator, a folder, a tar or a public bucket; each gives photos with metadata."""

from __future__ import annotations

import itertools
import tarfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.bins import layout, synthetic
from pipeline.bins.layout import Bin
from pipeline.errors import PipelineError

# Requests under way to a public bucket, and the bins that wait for their turn.
CONCURRENCY = 32


class Source(ABC):
    """Bins, read once. `count` is how many there will be, None where that is not known before; `skipped` counts, by
    reason, what was found and could not be given, as far as it has been read.
    """

    count: int | None = None

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()

    @abstractmethod
    def __iter__(self) -> Iterator[Bin]:
        """The bins, in the order of their ids where the source has an order."""


def open_source(text: str | None, *, count: int, seed: int, limit: int | None = None) -> Source:
    """The source that `text` names: a folder, a tar file or s3://BUCKET/PREFIX; None for `count` synthetic bins.

    `limit` takes the first so many of a source that is not synthetic. Raises PipelineError when there is nothing of
    that name, or it holds no bins.
    """
    if text is None:
        return SyntheticSource(count, seed)
    if text.startswith("s3://"):
        return BucketSource(text, limit)
    if "://" in text:
        raise PipelineError(f"{text}: bins come from a folder, a tar or s3://BUCKET/PREFIX")
    path = Path(text).expanduser()
    if path.is_dir():
        return FolderSource(path, limit)
    if path.is_file():
        return TarSource(path, limit)
    raise PipelineError(f"{path}: there is no such folder or file")


class SyntheticSource(Source):
    """Generated bins."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__()
        self.count = count
        self._seed = seed

    def __iter__(self) -> Iterator[Bin]:
        """All of them."""
        assert self.count is not None
        return synthetic.generate(self.count, self._seed)


class FolderSource(Source):
    """A folder that holds bin-images/ and metadata/."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        super().__init__()
        self._folder = folder
        names = (path.relative_to(folder).as_posix() for path in folder.glob("*/*") if path.is_file())
        self._ids = _pairs(names, self.skipped, limit, str(folder))
        self.count = len(self._ids)

    def __iter__(self) -> Iterator[Bin]:
        """All pairs, by id."""
        for image_id in self._ids:
            photo, metadata = layout.image_key(image_id), layout.metadata_key(image_id)
            yield Bin(image_id, (self._folder / photo).read_bytes(), (self._folder / metadata).read_bytes())


class TarSource(Source):
    """A tar of bin-images/ and metadata/. Nothing is extracted: members are read from where they lie."""

    def __init__(self, path: Path, limit: int | None) -> None:
        super().__init__()
        try:
            self._archive = tarfile.open(path)  # noqa: SIM115  # read as long as the source is
            members = [member for member in self._archive if member.isfile()]
        except (tarfile.TarError, OSError, EOFError) as error:
            raise PipelineError(f"{path}: not a tar that can be read: {error}") from None
        self._members = {member.name.removeprefix("./"): member for member in members}
        self._ids = _pairs(self._members, self.skipped, limit, str(path))
        self.count = len(self._ids)

    def __iter__(self) -> Iterator[Bin]:
        """All pairs, by id."""
        for image_id in self._ids:
            photo, metadata = self._read(layout.image_key(image_id)), self._read(layout.metadata_key(image_id))
            yield Bin(image_id, photo, metadata)

    def _read(self, name: str) -> bytes:
        file = self._archive.extractfile(self._members[name])
        assert file is not None  # only files were taken in
        return file.read()


class BucketSource(Source):
    """A public bucket, read with unsigned requests and from AWS, whatever this process's own endpoint is."""

    def __init__(self, uri: str, limit: int | None, s3: Any = None) -> None:
        super().__init__()
        self._uri = uri
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self._limit = limit
        self.count = limit
        self._s3 = s3 if s3 is not None else _public_client()

    def __iter__(self) -> Iterator[Bin]:
        """Bins in the order of their keys, fetched many at a time."""
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            ids = self._ids()
            given = 0
            while chunk := list(itertools.islice(ids, CONCURRENCY)):
                for found in pool.map(self._fetch, chunk):
                    if self._limit is not None and given == self._limit:
                        return
                    if found is None:
                        self.skipped["without-photo"] += 1
                        continue
                    given += 1
                    yield found
        if not given:
            raise PipelineError(f"{self._uri}: no {layout.METADATA}/ID.json is there; name the prefix that holds it")

    def _ids(self) -> Iterator[str]:
        prefix = f"{self._prefix}{layout.METADATA}/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        for page in self._asked(lambda: iter(pages)):
            for entry in page.get("Contents", []):
                parsed = layout.parse(entry["Key"][len(self._prefix) :])
                if parsed is not None:
                    yield parsed[1]
                else:
                    self.skipped["not-a-bin"] += 1

    def _fetch(self, image_id: str) -> Bin | None:
        from botocore.exceptions import ClientError

        try:
            photo, metadata = (
                self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}{key}")["Body"].read()
                for key in (layout.image_key(image_id), layout.metadata_key(image_id))
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        return Bin(image_id, photo, metadata)

    def _asked(self, pages: Callable[[], Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield from pages()
        except (BotoCoreError, ClientError) as error:
            raise PipelineError(f"{self._uri} cannot be read without credentials: {error}") from None


def _public_client() -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        signature_version=UNSIGNED,
        ignore_configured_endpoint_urls=True,
        region_name="us-east-1",
        max_pool_connections=CONCURRENCY,
        retries={"mode": "standard", "total_max_attempts": 5},
    )
    return boto3.client("s3", config=config)


def _pairs(names: Iterable[str], skipped: Counter[str], limit: int | None, where: str) -> list[str]:
    """Sorted ids that have both a photo and metadata; the others are counted. Raises PipelineError for none."""
    found: dict[str, set[str]] = {"image": set(), "metadata": set()}
    for name in names:
        parsed = layout.parse(name)
        if parsed is None:
            skipped["not-a-bin"] += 1
        else:
            found[parsed[0]].add(parsed[1])
    ids = sorted(found["image"] & found["metadata"])
    for reason, alone in (
        ("without-metadata", found["image"] - found["metadata"]),
        ("without-photo", found["metadata"] - found["image"]),
    ):
        if alone:
            skipped[reason] += len(alone)
    if not ids:
        raise PipelineError(f"{where}: no bins there; want {layout.IMAGES}/ID.jpg and {layout.METADATA}/ID.json")
    return ids[:limit]
