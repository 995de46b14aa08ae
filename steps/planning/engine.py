"""What an engine does for a plan: it runs the rule's SQL, and writes waves and buckets."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import Bucket
from steps.planning.assignments import Lineage, Wave
from steps.planning.rule import Session
from steps.planning.settings import DatasetSettings


class PlanSession(Session, Protocol):
    """An engine's session that also stores a plan."""

    def write_wave(self, lineage: Lineage, number: int, query: str) -> bool:
        """Write the photos of a query (image_id, split by name, in the order of ids) as a wave; see Lineage.append."""

    def write_buckets(self, query: str) -> list[Bucket]:
        """Write the rows of a query as a file per bucket, to where `publish` takes them from.

        Its columns are wave, number, and those of `steps.contracts.shard_plan.BUCKET`, in the order of all of them but
        the photos' own: wave, number, split, key. Returns the buckets in this order.
        """

    def publish(self, buckets: list[Bucket], folder: S3Uri) -> None:
        """Store the written buckets below `folder`."""


class Engine(Protocol):
    """What computes plans."""

    def session(
        self, settings: DatasetSettings, labels: Path, waves: list[Wave], given: pa.Table | None
    ) -> AbstractContextManager[PlanSession]:
        """A session with the tables `labels`, `assigned` and, for a given split, `given` (image_id, split, wave)."""
