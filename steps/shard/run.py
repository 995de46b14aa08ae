"""What the shard step does, from the first to the last line."""

from __future__ import annotations

import asyncio
import logging

import pyarrow as pa

from steps.contracts.dataset import Facts, IndexPart, Leakage, Split, SplitName, merge, part_name
from steps.contracts.errors import StepError
from steps.contracts.labels import read_labels
from steps.runtime import container
from steps.runtime.s3 import S3Uri, open_store
from steps.shard.assignments import Lineage
from steps.shard.ledger import Ledger
from steps.shard.memory import large_arrays_given_back
from steps.shard.photos import open_source
from steps.shard.plan import Plan, Share, dataset_key, describe, make_plan
from steps.shard.rejects import Rejects
from steps.shard.settings import Settings
from steps.shard.split_file import read_split_file
from steps.shard.writing import ShardWriter

log = logging.getLogger(__name__)

# Plans that are made anew because another job has assigned splits at the same time.
ATTEMPTS = 5


def run(settings: Settings) -> None:
    """Write this instance's share of the data set: what is missing of its shards, and its part of the index.

    Raises StepError for labels, splits or photos that make no data set; see the modules called here.
    """
    instance = container.instance()
    with large_arrays_given_back():
        labels = read_labels(container.processing_input("labels"))
        plan, assignments = _plan(labels, settings)
        sharding = describe(settings, labels, plan)
        key = dataset_key(settings, sharding, plan, instance.count)
        kept = len(plan.order) - len(plan.assigned)
        del labels  # the items are most of it, and the plan has what it needs
    share = plan.share(instance)
    log.info("instance %d of %d writes %d of %d photos", instance.index, instance.count, len(share), len(plan.labels))
    _tell(plan.leakage)

    rejects = Rejects(total=len(share), maximum_share=settings.maximum_rejects)
    for refusal in share.refusals:
        rejects.add(refusal.image_id, refusal.reason)
    target = S3Uri.parse(container.processing_output_uri("shards")).join(key)
    splits = asyncio.run(_write(settings, share, Ledger(target, open_store(target.bucket), instance.index), rejects))

    part = IndexPart(
        instance=instance.index,
        instances=instance.count,
        sharding=sharding,
        splits=splits,
        rejects={reason: sorted(ids) for reason, ids in sorted(rejects.by_reason.items())},
        facts=Facts(leakage=plan.leakage, kept=kept, assignments=str(assignments)),
    )
    if instance.count == 1:
        merge([part])  # the readers' own check, while it can still be told which step failed
    index = container.processing_output("index") / part_name(instance.index)
    index.write_text(part.model_dump_json(indent=2))


def _plan(labels: pa.Table, settings: Settings) -> tuple[Plan, S3Uri]:
    """The plan, and where its assignments are; those that it decides are kept for later runs."""
    if settings.split_file_location is not None:
        return make_plan(labels, settings, read_split_file(settings.split_file_location)), settings.split_file_location
    lineage = Lineage.of(settings, S3Uri.parse(container.processing_output_uri("assignments")))
    for _ in range(ATTEMPTS):
        earlier, objects = lineage.read()
        plan = make_plan(labels, settings, earlier)
        if not len(plan.assigned) or lineage.append(plan.assigned, objects):
            return plan, lineage.folder
        log.info("another job has just assigned splits below %s; planning again", lineage.folder)
    raise StepError(f"{lineage.folder}: other jobs keep assigning splits there; run one of them at a time")


def _tell(leakage: Leakage) -> None:
    for kind, overlap in (("this split", leakage.split), ("a random split", leakage.random)):
        log.info(
            "%s: of %d validation and test photos %d show a bin and %d an item that is in training too",
            kind,
            overlap.photos,
            overlap.same_bin,
            overlap.same_item,
        )


async def _write(settings: Settings, share: Share, ledger: Ledger, rejects: Rejects) -> dict[SplitName, Split]:
    async with open_source(settings.image_location, settings.image_size, settings.quality) as source:
        return await ShardWriter(ledger, settings.shard_bytes).write(share, source, rejects)
