"""The shard step: plan, write this instance's share of the shards, and write the index after the last instance."""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from steps.contracts import dataset, hand_over, shard_summary
from steps.contracts.dataset import SPLITS, DatasetIndex, Sharding, Split, SplitName
from steps.contracts.errors import StepError
from steps.contracts.hand_over import HandOver
from steps.contracts.labels import read_labels
from steps.contracts.names import COMPLETE_MARKER
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_summary import Leakage, Photos, ShardSummary
from steps.runtime import container
from steps.runtime.s3 import open_store, write_object
from steps.shard import catalog
from steps.shard.assignments import Lineage
from steps.shard.catalog import Catalog, Selection, StoredShard
from steps.shard.gathering import Agreement, Gathering, NewShard, Part
from steps.shard.ledger import Ledger
from steps.shard.photos import open_source
from steps.shard.plan import Plan, Share, dataset_key, describe, generation_key, make_plan
from steps.shard.rejects import Rejects
from steps.shard.settings import Settings
from steps.shard.split_file import read_split_file
from steps.shard.writing import ShardWriter

log = logging.getLogger(__name__)

# Attempts at a plan while other jobs assign splits at the same time.
ATTEMPTS = 5
_M_MMAP_THRESHOLD = -3  # of malloc.h
_PLANNING_BYTES, _WRITING_BYTES = 1 << 20, 32 << 20


@dataclass(frozen=True)
class Outputs:
    """The S3 locations of this job's outputs: those that outlive the run, and the run's own summary."""

    shards: S3Uri
    assignments: S3Uri
    indexes: S3Uri
    summary: S3Uri

    @classmethod
    def declared(cls) -> Outputs:
        """The outputs of the processing job's configuration."""
        names = ("shards", "assignments", "indexes", "summary")
        return cls(*(S3Uri.parse(container.processing_output_uri(name)) for name in names))


@dataclass(frozen=True)
class Layout:
    """The result of planning: the shards to use again, and the generation with the rest.

    `photos` and `refusals` are those of the whole plan; `kept` photos have the split of an earlier run.
    """

    sharding: Sharding
    photos: int
    selection: Selection
    generation: S3Uri
    refusals: dict[str, list[str]]
    leakage: Leakage
    kept: int
    assignments: S3Uri

    def rejects(self, settings: Settings) -> Rejects:
        """The photos that are rejected before any is read. Raises StepError for too many."""
        rejects = Rejects(self.photos, settings.maximum_rejects)
        for by_reason in (self.refusals, self.selection.rejects):
            rejects.add_all(by_reason)
        return rejects


@contextmanager
def large_arrays_freed() -> Iterator[None]:
    """Return blocks of more than a megabyte to the system when they are freed, while the block runs.

    Otherwise glibc's allocator keeps large blocks after a while: 100 MB for 500,000 photos, in addition to the memory
    for writing. Afterwards blocks with parts of shards are kept again, as new ones for each part would cost time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # missing in other C libraries
    if mallopt is None:
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, _PLANNING_BYTES)
    try:
        yield
    finally:
        mallopt(_M_MMAP_THRESHOLD, _WRITING_BYTES)


def run(settings: Settings) -> None:
    """Write this instance's share of the photos that are in no shard; the last instance writes the index.

    Raises StepError for labels, splits or photos without a usable data set; see the called modules.
    """
    instance = container.instance()
    with large_arrays_freed():
        labels = read_labels(container.processing_input("labels"))
        outputs = Outputs.declared()
        plan, assignments = _plan(labels, settings, outputs)
        del labels  # mostly items, which the plan no longer needs
        # Next to the summary, so that readers of the summary do not load it.
        run_folder = S3Uri(outputs.summary.bucket, outputs.summary.key.rpartition("/")[0])
        gathering = Gathering(run_folder.join("jobs", container.job_name() or "job"), instance)
        listed = Catalog.of(outputs.shards.join(dataset_key(settings)))
        layout = _lay_out(plan, settings, listed, gathering, assignments)
    share = plan.share(layout.selection.missing, instance)
    log.info(
        "%d of %d photos are in %d shards of earlier runs; instance %d of %d writes %d of %d",
        layout.selection.reused,
        layout.photos,
        len(layout.selection.kept),
        instance.index,
        instance.count,
        len(share),
        len(layout.selection.missing),
    )
    _log_leakage(plan.leakage)
    rejects = layout.rejects(settings)
    before = {reason: len(ids) for reason, ids in rejects.by_reason.items()}
    ledger = Ledger(layout.generation, open_store(layout.generation.bucket), instance.index)
    written = asyncio.run(_write(settings, share, ledger, rejects))
    part = Part(
        instance=instance.index,
        shards=written,
        rejects={reason: ids[before.get(reason, 0) :] for reason, ids in rejects.by_reason.items()},
        kept=layout.kept,
    )
    parts = gathering.deliver(part)
    if parts is None:
        log.info("other instances are still writing; the last of them writes the index")
        return
    _finish(settings, layout, parts, outputs)


def _plan(labels: pa.Table, settings: Settings, outputs: Outputs) -> tuple[Plan, S3Uri]:
    """The plan, and the location of its assignments; those that it decides are stored for later runs."""
    if settings.split_file_location is not None:
        return make_plan(labels, settings, read_split_file(settings.split_file_location)), settings.split_file_location
    lineage = Lineage.of(settings, outputs.assignments)
    for _ in range(ATTEMPTS):
        earlier, objects = lineage.read()
        plan = make_plan(labels, settings, earlier)
        if not len(plan.assigned) or lineage.append(plan.assigned, objects):
            return plan, lineage.folder
        log.info("another job has just assigned splits below %s; planning again", lineage.folder)
    raise StepError(f"{lineage.folder}: other jobs assign splits at the same time; run one job at a time")


def _lay_out(plan: Plan, settings: Settings, listed: Catalog, gathering: Gathering, assignments: S3Uri) -> Layout:
    """The shards to use again and the photos to write, as the job's first instance decides."""
    instances = gathering.instance.count
    shards = listed.settled()
    selection = catalog.select(plan, shards, settings.maximum_removed)
    generation = listed.name(generation_key(plan, selection.missing, instances))
    if len(selection.missing) and len(shards) < len(listed.shards) and not listed.has_begun(generation):
        # Use also the complete shards of an interrupted job with another plan.
        shards = list(listed.shards)
        selection = catalog.select(plan, shards, settings.maximum_removed)
        generation = listed.name(generation_key(plan, selection.missing, instances))
    proposal = Agreement(shards=[shard.uri.key for shard in shards], generation=generation)
    agreed = gathering.agree(proposal)
    if agreed != proposal:
        log.info("another instance proposed other shards before; using those")
        selection = catalog.select(plan, _among(listed, agreed.shards), settings.maximum_removed)
        if not agreed.generation.endswith(generation_key(plan, selection.missing, instances)):
            raise StepError(
                f"{gathering.folder}: the instances of this job plan different shards; start the run again, and let no"
                " other job remove shards meanwhile"
            )
    return Layout(
        sharding=describe(settings, plan),
        photos=len(plan.labels),
        selection=selection,
        generation=listed.folder.join(agreed.generation),
        refusals=plan.refusals(),
        leakage=plan.leakage,
        kept=len(plan.order) - len(plan.assigned),
        assignments=assignments,
    )


def _among(listed: Catalog, keys: Iterable[str]) -> list[StoredShard]:
    by_key = {shard.uri.key: shard for shard in listed.shards}
    try:
        return [by_key[key] for key in keys]
    except KeyError as error:
        raise StepError(f"s3://{listed.folder.bucket}/{error.args[0]} was removed while this job planned") from error


def _log_leakage(leakage: Leakage) -> None:
    if leakage.caveat:
        log.warning("leakage between the splits is %s", leakage.caveat)
    for kind, overlap in (("this split", leakage.split), ("a random split", leakage.random)):
        log.info(
            "%s: of %d validation and test photos %d show a bin and %d an item that is in training too",
            kind,
            overlap.photos,
            overlap.same_bin,
            overlap.same_item,
        )


async def _write(settings: Settings, share: Share, ledger: Ledger, rejects: Rejects) -> dict[SplitName, list[NewShard]]:
    if not len(share):
        return {name: [] for name in SPLITS}
    async with open_source(settings.image_location, settings.image_size, settings.quality) as source:
        return await ShardWriter(ledger, settings.shard_bytes).write(share, source, rejects)


def _finish(settings: Settings, layout: Layout, parts: list[Part], outputs: Outputs) -> None:
    """Write the index, its location for the next step, and the run's summary with the photos that are left out."""
    rejects = layout.rejects(settings)
    for part in parts:
        rejects.add_all(part.rejects)
    index = _index(layout, parts)
    dataset.check(index)
    if any(part.shards[name] for part in parts for name in SPLITS):
        write_object(layout.generation.join(COMPLETE_MARKER), b"{}\n")
    place = outputs.indexes.join(index.key)
    # Also if it exists: its date is that of the last job with this index, which `dataset prune` uses.
    write_object(place.join(dataset.NAME), index.model_dump_json().encode())
    manifest = place.join(dataset.MANIFEST)
    write_object(manifest, dataset.manifest(index, str(outputs.shards)))
    written = sum(new.shard.samples for part in parts for shards in part.shards.values() for new in shards)
    summary = ShardSummary(
        index=str(place),
        dataset_sha256=index.sha256,
        photos=Photos(reused=layout.selection.reused, written=written, excluded=layout.selection.excluded),
        rejects={reason: sorted(ids) for reason, ids in sorted(rejects.by_reason.items())},
        leakage=layout.leakage,
        # An instance that plans later also reads assignments of this job: the minimum is from before the job.
        kept=min(part.kept for part in parts),
        assignments=str(layout.assignments),
    )
    folder = container.processing_output("summary")
    (folder / shard_summary.NAME).write_text(summary.model_dump_json(indent=2))
    (folder / hand_over.NAME).write_text(HandOver(uri=str(place), manifest=str(manifest)).model_dump_json())
    log.info("data set %s: %d photos, %d of them in new shards", place, layout.selection.reused + written, written)


def _index(layout: Layout, parts: list[Part]) -> DatasetIndex:
    splits = {}
    for name in SPLITS:
        pieces = [(kept.shard, kept.class_counts) for kept in layout.selection.kept if kept.split == name]
        pieces += [(new.shard, new.class_counts) for part in parts for new in part.shards[name]]
        counts = Counter[int]()
        for _, classes in pieces:
            counts.update(classes)
        # By URI, so that the same shards result in the same index, whichever run wrote them.
        shards = sorted((shard for shard, _ in pieces), key=lambda shard: shard.uri)
        splits[name] = Split(shards=shards, class_counts=dict(sorted(counts.items())))
    return DatasetIndex(sharding=layout.sharding, splits=splits)
