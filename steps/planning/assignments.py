"""Split assignments as Parquet files in S3, from which later runs start, so that an earlier photo keeps its split.

A lineage is the photos of a location, split in one way with one seed. It is a sequence of objects, 000001.parquet and
on, each with the photos that one run added: a wave. An object is created and never replaced (S3 refuses the second
writer), so that jobs at the same time agree: the second writer reads what the first one wrote. The photos of a large
wave are in files below parts/, which its object lists.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.planning.settings import DatasetSettings
from steps.runtime.s3 import list_objects, read_object, write_object

# Image ids with their splits.
ASSIGNMENTS = pa.schema([("image_id", pa.string()), ("split", pa.string())])
# Photos of a wave that are in its own object.
IN_OBJECT = 5_000_000
# Objects that are read at once: each has up to 60 MB.
AT_ONCE = 4
_PARTS = b"parts"


@dataclass(frozen=True)
class Wave:
    """Photos that were assigned to splits together: their number, and the places of Parquet files of ASSIGNMENTS."""

    number: int
    photos: int
    files: tuple[S3Uri, ...]


@dataclass(frozen=True)
class Lineage:
    """The assignments below `folder`."""

    folder: S3Uri

    @classmethod
    def of(cls, settings: DatasetSettings, root: S3Uri) -> Lineage:
        """The lineage of these settings; another seed, other fractions or other photos have another lineage."""
        depends: list[object] = [str(settings.image_location), settings.split, settings.seed]
        if settings.split != "file":
            depends.append(settings.fractions)
        digest = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:12]
        return cls(root.join(f"{settings.split}-{settings.seed}-{digest}"))

    def waves(self) -> list[Wave]:
        """The waves so far, in their order. Raises StepError for a damaged object."""
        parts = f"{self._parts.key}/"
        keys = [key for key, _ in list_objects(S3Uri(self.folder.bucket, f"{self.folder.key}/"))]
        uris = [S3Uri(self.folder.bucket, key) for key in keys if not key.startswith(parts)]
        for number, uri in enumerate(uris, start=1):
            if uri != self._place(number):
                raise StepError(f"{uri}: assignments are numbered without a gap; restore {self._place(number)}")
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="wave") as threads:
            return list(threads.map(self._wave, range(1, len(uris) + 1), uris))

    def _wave(self, number: int, uri: S3Uri) -> Wave:
        file = parquet_file(uri, read_object(uri))
        listed = (file.schema_arrow.metadata or {}).get(_PARTS)
        if listed is None:
            return Wave(number, file.metadata.num_rows, (uri,))
        parts = json.loads(listed)
        return Wave(number, sum(parts.values()), tuple(self._parts.join(name) for name in parts))

    def append(self, number: int, files: Sequence[pa.Table]) -> bool:
        """Write wave `number`, whose photos are in `files`; False where another job wrote this wave with other photos.

        Raises StepError when S3 fails.
        """
        if len(files) == 1:
            return self._create(number, files[0].cast(ASSIGNMENTS))
        return self.append_parts(number, {self.write_part(file): len(file) for file in files})

    def write_part(self, photos: pa.Table) -> str:
        """Write a file of a large wave. Returns its name, which is the hash of its content."""
        content = _parquet(photos.cast(ASSIGNMENTS))
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.parquet"
        write_object(self._parts.join(name), content)
        return name

    def append_parts(self, number: int, parts: dict[str, int]) -> bool:
        """Write wave `number` of parts that are written already, with their numbers of photos, as `append` does."""
        metadata = {_PARTS: json.dumps(dict(sorted(parts.items()))).encode()}
        return self._create(number, ASSIGNMENTS.with_metadata(metadata).empty_table())

    def _create(self, number: int, photos: pa.Table) -> bool:
        uri, content = self._place(number), _parquet(photos)
        return write_object(uri, content, replace=False) or read_object(uri) == content

    @property
    def _parts(self) -> S3Uri:
        return self.folder.join("parts")

    def _place(self, number: int) -> S3Uri:
        return self.folder.join(f"{number:06d}.parquet")


def parquet_file(uri: S3Uri, content: bytes) -> pq.ParquetFile:
    """A file of assignments. Raises StepError where the content is none."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        file.schema_arrow.empty_table().select(ASSIGNMENTS.names).cast(ASSIGNMENTS)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise StepError(f"{uri}: not split assignments: {error}; restore an earlier version of it") from error
    return file


def _parquet(photos: pa.Table) -> bytes:
    buffer = io.BytesIO()
    # In one piece, so that the same photos are the same bytes whichever engine they come from.
    pq.write_table(photos.combine_chunks(), buffer, compression="snappy")
    return buffer.getvalue()
