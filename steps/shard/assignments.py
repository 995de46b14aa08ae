"""Split assignments as data: Parquet in S3 that later runs start from, so that a known photo keeps its split.

One lineage is what belongs together: the photos of one location, split in one way by one seed. It is a sequence of
objects, 000001.parquet and on, each with the photos that one run added. An object is only ever created, never
replaced (S3 refuses the second writer), so that the instances of a job and jobs at the same time agree: whoever comes
second finds what the first one wrote.
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
from steps.runtime.s3 import list_objects, open_store
from steps.shard.plan import ASSIGNMENTS
from steps.shard.settings import Settings


@dataclass(frozen=True)
class Lineage:
    """The assignments below `folder`."""

    folder: S3Uri

    @classmethod
    def of(cls, settings: Settings, root: S3Uri) -> Lineage:
        """The lineage of these settings: another seed, other fractions or other photos begin another."""
        depends = [str(settings.image_location), settings.split, settings.seed, settings.fractions]
        digest = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:12]
        return cls(root.join(f"{settings.split}-{settings.seed}-{digest}"))

    def read(self) -> tuple[pa.Table, int]:
        """What is assigned so far, and how many objects hold it. Raises StepError for one that is damaged."""
        import obstore

        store = open_store(self.folder.bucket)
        tables = [ASSIGNMENTS.empty_table()]
        for number, (key, _) in enumerate(list_objects(S3Uri(self.folder.bucket, f"{self.folder.key}/")), start=1):
            uri = S3Uri(self.folder.bucket, key)
            if uri != self._place(number):
                raise StepError(f"{uri}: assignments are numbered without a gap; restore {self._place(number)}")
            try:
                tables.append(pq.read_table(pa.BufferReader(bytes(obstore.get(store, key).bytes()))).cast(ASSIGNMENTS))
            except (pa.ArrowException, ValueError) as error:
                raise StepError(f"{uri}: not split assignments: {error}; restore an earlier version of it") from error
        return pa.concat_tables(tables), len(tables) - 1

    def append(self, assigned: pa.Table, objects: int) -> bool:
        """Write `assigned` after the `objects` that were read; False when somebody else has written something there."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        buffer = io.BytesIO()
        pq.write_table(assigned, buffer, compression="snappy")
        uri, store = self._place(objects + 1), open_store(self.folder.bucket)
        try:
            obstore.put(store, uri.key, buffer.getvalue(), mode="create")
        except AlreadyExistsError:
            # Another instance of this job has the same to say.
            return bytes(obstore.get(store, uri.key).bytes()) == buffer.getvalue()
        except BaseError as error:
            raise StepError(
                f"{uri}: writing it failed, with all retries: {str(error).partition(chr(10))[0]}"
            ) from error
        return True

    def _place(self, number: int) -> S3Uri:
        return self.folder.join(f"{number:06d}.parquet")
