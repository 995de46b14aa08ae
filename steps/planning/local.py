"""Plans in this process, by DuckDB."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from steps.contracts.labels import SCHEMA, label_files
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import Bucket
from steps.planning.assignments import AT_ONCE, IN_OBJECT, Lineage, Wave, parquet_file
from steps.planning.bucket_files import bucket_file, bucket_name
from steps.planning.duckdb_engine import DuckSession, memory_share
from steps.planning.engine import PlanSession
from steps.planning.settings import DatasetSettings
from steps.runtime import container
from steps.runtime.machine import available_cores
from steps.runtime.s3 import read_object, write_object

# Buckets that are written at once.
_UPLOADS = 16
ASSIGNED = pa.schema([("image_id", pa.string()), ("split", pa.int8()), ("wave", pa.int32())])


class LocalSession(DuckSession):
    """A DuckDB session whose buckets wait in files of its folder (steps.planning.run.PlanSession)."""

    def write_wave(self, lineage: Lineage, number: int, query: str) -> bool:
        """See PlanSession."""
        return write_wave(lineage, number, self.batches(query))

    def write_buckets(self, query: str) -> list[Bucket]:
        """See PlanSession."""
        (self.folder / "buckets").mkdir()
        buckets = []
        for wave, number, rows in by_bucket(self.batches(f"{query} ORDER BY 1, 2, p.split, p.key, p.image_id")):
            bucket, content = bucket_file(bucket_name(wave, number), rows)
            self._file(bucket).write_bytes(content)
            buckets.append(bucket)
        return buckets

    def publish(self, buckets: list[Bucket], folder: S3Uri) -> None:
        """See PlanSession."""

        def upload(bucket: Bucket) -> None:
            write_object(folder.join(f"{bucket.name}.parquet"), self._file(bucket).read_bytes())

        with ThreadPoolExecutor(_UPLOADS, thread_name_prefix="bucket") as threads:
            for _ in threads.map(upload, buckets):
                pass

    def _file(self, bucket: Bucket) -> Path:
        return self.folder / "buckets" / f"{bucket.name}.parquet"


def write_wave(lineage: Lineage, number: int, photos: Iterator[pa.RecordBatch]) -> bool:
    """Write the photos (of the columns of ASSIGNMENTS, in the order of ids) as a wave; see Lineage.append."""
    files = tables(photos, IN_OBJECT)
    first, second = next(files), next(files, None)
    if second is None:
        return lineage.append(number, [first])
    parts = {lineage.write_part(file): len(file) for file in itertools.chain([first, second], files)}
    return lineage.append_parts(number, parts)


def tables(batches: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.Table]:
    """The rows as tables of `most` rows; the last has fewer."""
    waiting, rows = [], 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch)
        while rows >= most:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, most)
            waiting, rows = table.slice(most).to_batches(), rows - most
    if rows:
        yield pa.Table.from_batches(waiting)


def by_bucket(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, int, pa.Table]]:
    """The rows of each bucket, which follow each other."""
    waiting: list[pa.RecordBatch] = []
    place: tuple[int, int] | None = None
    for batch in batches:
        waves, numbers = (np.asarray(batch.column(name)) for name in ("wave", "number"))
        changes = np.flatnonzero((waves[1:] != waves[:-1]) | (numbers[1:] != numbers[:-1])) + 1
        for begin, end in itertools.pairwise([0, *changes.tolist(), len(batch)]):
            if begin == end:
                continue
            here = (int(waves[begin]), int(numbers[begin]))
            if place is not None and here != place:
                yield *place, pa.Table.from_batches(waiting)
                waiting = []
            place = here
            waiting.append(batch.slice(begin, end - begin))
    if place is not None:
        yield *place, pa.Table.from_batches(waiting)


def _fetched(waves: list[Wave], folder: Path) -> dict[Path, int]:
    """The files of all waves, in a folder, with the wave of each."""
    listed = [(wave.number, part, uri) for wave in waves for part, uri in enumerate(wave.files)]
    files = {folder / f"wave-{number}-{part}.parquet": number for number, part, _ in listed}

    def fetch(file: Path, uri: S3Uri) -> None:
        content = read_object(uri)
        parquet_file(uri, content)
        file.write_bytes(content)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="wave") as threads:
        for _ in threads.map(fetch, files, (uri for _, _, uri in listed)):
            pass
    return files


@dataclass(frozen=True)
class LocalEngine:
    """DuckDB in this process, with `memory` bytes (default: a share of what the process may use) and the disk."""

    memory: int | None = None
    threads: int | None = None

    @contextmanager
    def session(
        self, settings: DatasetSettings, labels: Path, waves: list[Wave], given: pa.Table | None
    ) -> Iterator[PlanSession]:
        """See Engine."""
        files = label_files(labels)
        # Next to the job's inputs, which SageMaker puts on the job's volume; its pages do not name the disk of /tmp.
        parent = container.base() / "processing"
        parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=parent, prefix="planning-") as folder,
            LocalSession(
                Path(folder),
                seed=settings.seed,
                memory=self.memory or memory_share(),
                threads=self.threads or available_cores(),
            ) as session,
        ):
            session.read_parquet("labels", files, SCHEMA)
            session.register("assigned", ASSIGNED.empty_table())
            if waves:
                session.read_waves(_fetched(waves, Path(folder)))
            if given is not None:
                session.register("given", given)
            yield session
