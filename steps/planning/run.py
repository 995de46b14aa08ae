"""Make the plan of a data set once, and store it by its content."""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steps.contracts.dataset import SPLITS, Sharding
from steps.contracts.errors import StepError
from steps.contracts.parsing import Contract, parse
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import BUCKETS, DESCRIPTION, LEFT_OUT, LEFT_OUT_NAME, NAME, ShardPlan
from steps.contracts.wording import count_of
from steps.planning.assignments import Lineage
from steps.planning.buckets import bucket_count
from steps.planning.engine import Engine, PlanSession
from steps.planning.local import LocalEngine, tables
from steps.planning.rule import Decision, decide
from steps.planning.settings import DatasetSettings
from steps.planning.split_file import read_split_file
from steps.runtime import container
from steps.runtime.s3 import list_objects, read_object, write_object

log = logging.getLogger(__name__)

# Attempts at a plan while other jobs assign splits at the same time.
ATTEMPTS = 5
# Photos that are left out, per row group of their file.
_ROWS = 100_000


@dataclass(frozen=True)
class Places:
    """Where split assignments and plans are stored: the outputs of the job that last."""

    assignments: S3Uri
    plans: S3Uri

    @classmethod
    def declared(cls) -> Places:
        """The outputs of the processing job's configuration."""
        return cls(*(S3Uri.parse(container.processing_output_uri(name)) for name in ("assignments", "plans")))


@dataclass(frozen=True)
class StoredPlan:
    """A plan, and the URI of its description (`plans/KEY/description`)."""

    uri: S3Uri
    plan: ShardPlan


class Layout(Contract):
    """How a data set began: the waves that were dealt to buckets together, and the number of these buckets."""

    waves: int
    buckets: int


def make_plan(settings: DatasetSettings, labels: Path, places: Places, engine: Engine | None = None) -> StoredPlan:
    """The plan for the labels in a folder, stored in `places`; `engine` is DuckDB where none is given.

    A plan that exists already is marked as used.

    Photos of earlier runs keep their split. Raises StepError for labels or splits without a usable data set.
    """
    lineage = Lineage.of(settings, places.assignments)
    given = None
    if settings.split_file_location is not None:
        given = numbered(read_split_file(settings.split_file_location))
    for _ in range(ATTEMPTS):
        waves = lineage.waves()
        with (engine or LocalEngine()).session(settings, labels, waves, given) as session:
            decision = decide(session, settings)
            new = len(waves) + 1
            if decision.assigned and not session.write_wave(lineage, new, _NEW):
                log.info("another job has just assigned splits below %s; planning again", lineage.folder)
                continue
            photos = {wave.number: wave.photos for wave in waves}
            if decision.assigned:
                photos[new] = decision.assigned
            return _store(session, settings, decision, photos, places)
    raise StepError(f"{lineage.folder}: other jobs assign splits at the same time; run a job at a time")


_NEW = f"""
    SELECT image_id, CASE split WHEN 0 THEN '{SPLITS[0]}' WHEN 1 THEN '{SPLITS[1]}' ELSE '{SPLITS[2]}' END AS split
    FROM planned WHERE wave = 0 AND split >= 0 ORDER BY image_id
"""


def _store(
    session: PlanSession, settings: DatasetSettings, decision: Decision, waves: dict[int, int], places: Places
) -> StoredPlan:
    plans = places.plans
    layout = _layout(plans.join("layouts", f"{settings.dataset}.json"), waves)
    new = max(waves)
    masks = {wave: bucket_count(photos, first=False) - 1 for wave, photos in waves.items() if wave > layout.waves}
    masks[layout.waves] = layout.buckets - 1
    session.register("mask", pa.table({"wave": list(masks), "mask": list(masks.values())}, _MASKS))
    wave = f"greatest(CASE WHEN p.wave = 0 THEN {new} ELSE p.wave END, {layout.waves})"
    buckets = session.write_buckets(bucket_rows(wave))
    left_out = _left_out(session)
    first = f"{layout.waves:06d}-"
    plan = ShardPlan(
        dataset=settings.dataset,
        sharding=_sharding(settings, decision),
        labelled=decision.labelled,
        left_out=decision.left_out,
        left_out_sha256=hashlib.sha256(left_out).hexdigest(),
        later=sum(bucket.photos for bucket in buckets if not bucket.name.startswith(first)),
        class_counts=decision.class_counts,
        leakage=decision.leakage,
        largest_group=decision.largest_group,
        uneven=decision.uneven,
        calibration=decision.calibration,
        assignments=str(settings.split_file_location or Lineage.of(settings, places.assignments).folder),
        buckets=buckets,
    )
    folder = plans.join(plan.key)
    description = folder.join(DESCRIPTION)
    # The description comes last, so that it describes what exists; what a prune or a person removed is written again.
    stored = {key for key, _ in list_objects(folder)}
    files = [*(folder.join(BUCKETS, f"{bucket.name}.parquet") for bucket in buckets), description.join(LEFT_OUT_NAME)]
    if not {file.key for file in (*files, description.join(NAME))} <= stored:
        session.publish(buckets, folder.join(BUCKETS))
        write_object(description.join(LEFT_OUT_NAME), left_out)
    # Also if it exists: its date is that of the last job with this plan, which `dataset prune` uses.
    write_object(description.join(NAME), plan.model_dump_json().encode())
    log.info(
        "plan %s: %d photos in %s, %d of %d left out",
        *(description, plan.photos, count_of(len(buckets), "bucket"), sum(plan.left_out.values()), plan.labelled),
    )
    return StoredPlan(description, plan)


def bucket_rows(wave: str) -> str:
    """A query of the rows of buckets; `wave` is the wave of a photo `p` of the table `planned`, by the table `mask`."""
    return f"""
        SELECT b.wave, CAST(p.key & b.mask AS BIGINT) AS number, p.image_id, w.image_key, p.quantity, w.image_etag,
            w.image_bytes, p.split, p.key
        FROM planned p JOIN wide w ON w.n = p.n JOIN mask b ON b.wave = {wave} WHERE p.split >= 0
    """


_MASKS = pa.schema([("wave", pa.int64()), ("mask", pa.int64())])


def _layout(place: S3Uri, waves: dict[int, int]) -> Layout:
    """How the data set began: now, if it has not."""
    layout = Layout(waves=max(waves), buckets=bucket_count(sum(waves.values()), first=True))
    if write_object(place, layout.model_dump_json().encode(), replace=False):
        return layout
    return parse(Layout, read_object(place), str(place), "layout of a data set's buckets")


def _left_out(session: PlanSession) -> bytes:
    """The photos that are left out, as a Parquet file: the same bytes whatever batches an engine returns."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, LEFT_OUT, compression="zstd") as writer:
        for table in tables(session.batches("SELECT image_id, reason FROM left_out ORDER BY image_id"), _ROWS):
            writer.write_table(table.cast(LEFT_OUT).combine_chunks())
    return buffer.getvalue()


def _sharding(settings: DatasetSettings, decision: Decision) -> Sharding:
    """The settings as the index records them; for a given split with its own fractions."""
    fractions = settings.fractions
    if settings.split == "file":
        photos = {split: sum(counts.values()) for split, counts in decision.class_counts.items()}
        fractions = {split: photos[split] / sum(photos.values()) for split in SPLITS}
    return Sharding(
        split=settings.split,
        seed=settings.seed,
        fractions={split: round(fraction, 6) for split, fraction in fractions.items()},
        image_size=settings.image_size,
        quality=settings.quality,
    )


def numbered(splits: pa.Table) -> pa.Table:
    """A table of image ids and the names of splits as image_id, split (a position in SPLITS)."""
    places = pc.index_in(splits["split"], value_set=pa.array(SPLITS, pa.string()))
    return pa.table({"image_id": splits["image_id"], "split": places})
