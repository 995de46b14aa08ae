"""The plan that the job writes: its input, or the plan that its first instance makes."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts import shard_plan
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import LEFT_OUT, LEFT_OUT_NAME, NAME, ShardPlan, parse_plan, read_plan
from steps.planning.local import LocalEngine
from steps.planning.run import Places, make_plan
from steps.runtime import container
from steps.runtime.machine import available_cores
from steps.runtime.s3 import read_object, write_object
from steps.shard.gathering import Gathering
from steps.shard.rejects import by_reason
from steps.shard.settings import Settings

log = logging.getLogger(__name__)

# Inputs of the job: the description of a plan, or labels.
PLAN, LABELS = "plan", "labels"


@dataclass(frozen=True)
class Planned:
    """The plan of the job, and the URI of its description."""

    uri: S3Uri
    plan: ShardPlan

    @property
    def buckets(self) -> S3Uri:
        """The folder of its buckets."""
        return S3Uri(self.uri.bucket, self.uri.key.rpartition("/")[0]).join(shard_plan.BUCKETS)

    def left_out(self) -> dict[str, list[str]]:
        """The ids of the photos that the plan leaves out, by reason.

        Raises StepError for a file that is missing or is not the one that the plan names.
        """
        uri = self.uri.join(LEFT_OUT_NAME)
        content = read_object(uri)
        if hashlib.sha256(content).hexdigest() != self.plan.left_out_sha256:
            raise StepError(
                f"{uri} is not the file that the plan names: its SHA-256 is another; delete it, and make the plan again"
            )
        try:
            table = pq.read_table(pa.BufferReader(content), use_threads=False).select(LEFT_OUT.names).cast(LEFT_OUT)
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise StepError(f"{uri}: not the photos that a plan leaves out: {error}") from error
        return by_reason(zip(table["image_id"].to_pylist(), table["reason"].to_pylist(), strict=True))


def check_inputs() -> None:
    """Raise StepError for a job with neither of the inputs."""
    labels = container.processing_input(LABELS)
    if not container.processing_input_uri(PLAN) and not labels.is_dir():
        raise StepError(f"{labels}: no labels, and the job has no input {PLAN}; it needs either")


def obtain(settings: Settings, gathering: Gathering) -> Planned:
    """The job's plan; with an input `plan` that plan, else the one that the first instance makes of the `labels`.

    Raises StepError for a plan that is not valid, and for a plan of another data set.
    """
    uri, folder = container.processing_input_uri(PLAN).rstrip("/"), container.processing_input(PLAN)
    if uri:
        planned = Planned(S3Uri.parse(uri), read_plan(folder))
        _check(planned, settings)
        if gathering.instance.index == 0:
            # Its date is that of the last job with this plan, which `dataset prune` uses.
            write_object(planned.uri.join(NAME), (folder / NAME).read_bytes())
        return planned
    planned = _plan_of_job(settings, container.processing_input(LABELS), gathering)
    _check(planned, settings)
    return planned


def _plan_of_job(settings: Settings, labels: Path, gathering: Gathering) -> Planned:
    if gathering.instance.index:
        return _stored(gathering.wait_for_plan())
    earlier = gathering.published()
    if earlier is not None:
        log.info("an earlier attempt at this job made the plan %s", earlier)
        return _stored(earlier)
    try:
        made = make_plan(settings, labels, _places(), LocalEngine(threads=available_cores()))
    except BaseException as error:
        if gathering.instance.count > 1:
            gathering.fail(str(error) or type(error).__name__)
        raise
    uri = gathering.publish(made.uri)
    return Planned(made.uri, made.plan) if uri == made.uri else _stored(uri)


def _stored(uri: S3Uri) -> Planned:
    place = uri.join(NAME)
    return Planned(uri, parse_plan(read_object(place), str(place)))


def _places() -> Places:
    """Where the job stores assignments and plans. Raises StepError for a job without these outputs."""
    try:
        return Places.declared()
    except KeyError as error:
        raise StepError(f"a job that plans needs the outputs assignments and plans: {error.args[0]}") from error


def _check(planned: Planned, settings: Settings) -> None:
    if planned.plan.dataset != settings.dataset:
        raise StepError(
            f"{planned.uri.join(NAME)} is a plan of the data set {planned.plan.dataset}, and these arguments describe"
            f" {settings.dataset}: photos, sizes, quality, split and libraries must be those of the plan; make it again"
        )
