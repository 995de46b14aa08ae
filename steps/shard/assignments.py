"""Split assignments as Parquet files in S3, from which later runs start, so that an earlier photo keeps its split.

A lineage is the photos of one location, split in one way with one seed. It is a sequence of objects, 000001.parquet and
on, each with the photos that one run added. An object is created and never replaced (S3 refuses the second writer), so
that the instances of a job, and jobs at the same time, agree: the second writer reads what the first one wrote.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, read_object, write_object
from steps.shard.plan import ASSIGNMENTS
from steps.shard.settings import Settings


@dataclass(frozen=True)
class Lineage:
    """The assignments below `folder`."""

    folder: S3Uri

    @classmethod
    def of(cls, settings: Settings, root: S3Uri) -> Lineage:
        """The lineage of these settings; another seed, other fractions or other photos have another lineage."""
        depends = [str(settings.image_location), settings.split, settings.seed, settings.fractions]
        digest = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:12]
        return cls(root.join(f"{settings.split}-{settings.seed}-{digest}"))

    def read(self) -> tuple[pa.Table, int]:
        """The assignments so far, and the number of their objects. Raises StepError for a damaged object."""
        tables = [ASSIGNMENTS.empty_table()]
        for number, (key, _) in enumerate(list_objects(S3Uri(self.folder.bucket, f"{self.folder.key}/")), start=1):
            uri = S3Uri(self.folder.bucket, key)
            if uri != self._place(number):
                raise StepError(f"{uri}: assignments are numbered without a gap; restore {self._place(number)}")
            try:
                tables.append(pq.read_table(pa.BufferReader(read_object(uri))).cast(ASSIGNMENTS))
            except (pa.ArrowException, ValueError) as error:
                raise StepError(f"{uri}: not split assignments: {error}; restore an earlier version of it") from error
        return pa.concat_tables(tables), len(tables) - 1

    def append(self, assigned: pa.Table, objects: int) -> bool:
        """Write `assigned` after the `objects` that were read; False where another job wrote other assignments."""
        buffer = io.BytesIO()
        pq.write_table(assigned, buffer, compression="snappy")
        uri, content = self._place(objects + 1), buffer.getvalue()
        # Another instance of this job writes the same.
        return write_object(uri, content, replace=False) or read_object(uri) == content

    def _place(self, number: int) -> S3Uri:
        return self.folder.join(f"{number:06d}.parquet")
