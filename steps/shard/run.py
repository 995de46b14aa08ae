"""What the shard step does, from the first to the last line."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.common import container
from steps.common.dataset import IndexPart, Split, SplitName, merge, part_name
from steps.common.labels import read_labels
from steps.common.s3 import S3Uri, open_store
from steps.shard.photos import open_source
from steps.shard.plan import Photo, Share, describe, make_plan
from steps.shard.rejects import Rejects
from steps.shard.settings import Settings
from steps.shard.split_file import read_split_file
from steps.shard.writing import ShardWriter, write_share

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Write this instance's share of the data set: shards to S3, its part of the index, and its split assignments.

    Raises StepError for labels, splits or photos that make no data set; see the modules called here.
    """
    instance = container.instance()
    labels = read_labels(container.processing_input("labels"))
    location = settings.split_file_location
    plan = make_plan(labels, settings, None if location is None else read_split_file(location))
    share = plan.share(instance)
    log.info("instance %d of %d writes %d of %d photos", instance.index, instance.count, len(share), labels.num_rows)

    rejects = Rejects(total=len(share), maximum_share=settings.maximum_rejects)
    for refusal in share.refusals:
        rejects.add(refusal.image_id, refusal.reason)
    splits = asyncio.run(_write(settings, share, instance, rejects))

    part = IndexPart(
        instance=instance.index,
        instances=instance.count,
        sharding=describe(settings, labels, plan),
        splits=splits,
        rejects={reason: sorted(ids) for reason, ids in sorted(rejects.by_reason.items())},
    )
    if instance.count == 1:
        merge([part])  # the readers' own check, while it can still be told which step failed
    _write_assignments(share.photos, container.processing_output("assignments"), instance.index)
    index = container.processing_output("index") / part_name(instance.index)
    index.write_text(part.model_dump_json(indent=2))


async def _write(
    settings: Settings, share: Share, instance: container.Instance, rejects: Rejects
) -> dict[SplitName, Split]:
    target = S3Uri.parse(container.processing_output_uri("shards"))
    writer = ShardWriter(target, open_store(target.bucket), instance.index, settings.shard_bytes)
    async with open_source(settings.image_location, settings.image_size, settings.quality) as source:
        return await write_share(share, source, writer, rejects)


def _write_assignments(photos: list[Photo], folder: Path, instance: int) -> None:
    """image_id, split and group of every photo in this instance's share, by image_id; a split file for a later run."""
    rows = sorted(photos, key=lambda photo: photo.image_id)
    columns = {name: pa.array([getattr(p, name) for p in rows], pa.string()) for name in ("image_id", "split", "group")}
    pq.write_table(pa.table(columns), folder / f"part-{instance:03d}.parquet")
