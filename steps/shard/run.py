"""The shard step: write this instance's share of a plan's buckets, and the index after the last instance."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from steps.contracts import dataset, hand_over, shard_plan, shard_summary
from steps.contracts.dataset import SPLITS, DatasetIndex, Split
from steps.contracts.errors import StepError
from steps.contracts.hand_over import HandOver
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import ShardPlan
from steps.contracts.shard_summary import Leakage, Photos, ShardSummary
from steps.runtime import container
from steps.runtime.s3 import write_object
from steps.shard.dealing import write_buckets
from steps.shard.gathering import Gathering, Part
from steps.shard.opening import Place
from steps.shard.planned import Planned, check_inputs, obtain
from steps.shard.rejects import Rejects
from steps.shard.settings import Settings
from steps.shard.work import Work, combined

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """The S3 locations of this job's outputs: those that outlive the run, and the run's own summary."""

    shards: S3Uri
    indexes: S3Uri
    summary: S3Uri

    @classmethod
    def declared(cls) -> Outputs:
        """The outputs of the processing job's configuration."""
        return cls(*(S3Uri.parse(container.processing_output_uri(name)) for name in ("shards", "indexes", "summary")))


def run(settings: Settings) -> None:
    """Write this instance's share of the photos that are in no shard; the last instance writes the index.

    Raises StepError for a plan or photos without a usable data set; see the called modules.
    """
    check_inputs()
    instance, outputs = container.instance(), Outputs.declared()
    # Next to the summary, so that readers of the summary do not load it.
    run_folder = S3Uri(outputs.summary.bucket, outputs.summary.key.rpartition("/")[0])
    gathering = Gathering(run_folder.join("jobs", container.job_name() or "job"), instance)
    planned = obtain(settings, gathering)
    rejects = _left_out(planned, settings)
    buckets = planned.plan.share(instance.index, instance.count)
    log.info(
        "instance %d of %d writes %d of %d buckets, with %d of %d photos",
        *(instance.index, instance.count, len(buckets), len(planned.plan.buckets)),
        *(sum(bucket.photos for bucket in buckets), planned.plan.photos),
    )
    place = Place(planned.buckets, outputs.shards.join(planned.plan.dataset))
    work = combined(write_buckets(settings, place, buckets, rejects))
    log.info("%d photos are in shards of earlier runs, %d in new ones", work.photos_reused, work.photos_written)
    parts = gathering.deliver(Part(instance=instance.index, work=work))
    if parts is None:
        log.info("other instances are still writing; the last of them writes the index")
        return
    _finish(settings, planned, combined(part.work for part in parts), outputs)


def _left_out(planned: Planned, settings: Settings) -> Rejects:
    """A count of rejects that begins with the photos that the plan leaves out. Raises StepError for too many."""
    plan = planned.plan
    rejects = Rejects(plan.labelled, settings.maximum_rejects)
    too_many = rejects.exceeds(sum(plan.left_out.values()))
    rejects.add_counts(plan.left_out, planned.left_out() if too_many else {})
    return rejects


def _finish(settings: Settings, planned: Planned, work: Work, outputs: Outputs) -> None:
    """Write the index, its location for the next step, and the run's summary with the photos that are left out."""
    plan = planned.plan
    _log_leakage(plan.leakage)
    _left_out(planned, settings).add_all(work.rejects)
    rejects = planned.left_out()
    for reason, ids in work.rejects.items():
        rejects.setdefault(reason, []).extend(ids)
    refused = sum(len(set(ids)) for ids in work.rejects.values())
    if work.photos_reused + work.photos_written + refused != plan.photos:
        raise StepError(
            f"of {plan.photos} planned photos {work.photos_reused} are in shards of earlier runs, {work.photos_written}"
            f" in new ones, and {refused} are refused, which is another number: run the step again, and report this"
        )
    index = _index(plan, work)
    dataset.check(index)
    place = outputs.indexes.join(index.key)
    # Also if it exists: its date is that of the last job with this index, which `dataset prune` uses.
    write_object(place.join(dataset.NAME), index.content)
    manifest = place.join(dataset.MANIFEST)
    write_object(manifest, dataset.manifest(index, str(outputs.shards)))
    summary = ShardSummary(
        index=str(place),
        dataset_sha256=index.sha256,
        photos=Photos(reused=work.photos_reused, written=work.photos_written, excluded=work.photos_excluded),
        rejects={reason: sorted(ids) for reason, ids in sorted(rejects.items())},
        leakage=plan.leakage,
        kept=_kept(plan),
        assignments=plan.assignments,
    )
    folder = container.processing_output("summary")
    (folder / shard_summary.NAME).write_text(summary.model_dump_json(indent=2))
    (folder / shard_plan.NAME).write_text(plan.model_dump_json(indent=2))
    (folder / hand_over.NAME).write_text(HandOver(uri=str(place), manifest=str(manifest)).model_dump_json())
    new, every = work.photos_written, work.photos_written + work.photos_reused
    log.info("data set %s: %d photos, %d of them in new shards", place, every, new)


def _kept(plan: ShardPlan) -> int:
    """Photos of waves before the newest one."""
    newest = max((bucket.wave for bucket in plan.buckets), default="")
    return sum(bucket.photos for bucket in plan.buckets if bucket.wave != newest)


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


def _index(plan: ShardPlan, work: Work) -> DatasetIndex:
    splits = {}
    for name in SPLITS:
        pieces = [*work.reused[name], *work.written[name]]
        counts = Counter[int]()
        for piece in pieces:
            counts.update(piece.class_counts)
        # By URI, so that the same shards result in the same index, whichever run wrote them.
        shards = sorted((piece.shard for piece in pieces), key=lambda shard: shard.uri)
        splits[name] = Split(shards=shards, class_counts=dict(sorted(counts.items())))
    refused = {image_id for ids in work.rejects.values() for image_id in ids}
    calibration = [image_id for image_id in plan.calibration if image_id not in refused]
    return DatasetIndex(sharding=plan.sharding, splits=splits, calibration=calibration)
