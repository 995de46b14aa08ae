"""From what SageMaker says of a job to the lines of a bill. Pure: the answers of Describe calls go in.

Instances are billed by the second between a job's start and end, whatever its end was; a training job says itself how
many seconds are billed (of each of its instances), which spot capacity makes less than it trained for.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html (BillableTimeInSeconds)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pipeline.aws import instances
from pipeline.operations.cost.money import (
    ATHENA_MEGABYTE,
    ATHENA_TERABYTE,
    INSTANCE_HOURS,
    NOTHING,
    Item,
    Range,
    instance_hours,
    volume_months,
)
from pipeline.operations.cost.prices import Prices
from pipeline.operations.cost.rates import ATHENA_LEAST_MEGABYTES


@dataclass(frozen=True)
class Job:
    """What is billed of a job: `seconds` of each of `count` instances, with a volume of `gigabytes` each.

    `unbilled_seconds` are those of each instance that spot capacity saved.
    """

    part: str
    usage: Literal["processing", "training", "transform"]
    instance_type: str
    count: int
    gigabytes: int
    seconds: int
    unbilled_seconds: int = 0
    note: str = ""

    def items(self, prices: Prices) -> list[Item]:
        """The job's lines: its instances, and their volumes where the type has any."""
        price = prices.instance(self.instance_type, self.usage)
        missing = prices.missing(self.instance_type, self.usage) if price is None else ""
        what = f"{self.count} x {self.instance_type}" if self.count > 1 else self.instance_type
        hours = instance_hours(self.seconds, self.count)
        found = [Item(self.part, what, hours, INSTANCE_HOURS, price, self.note, missing)]
        if self.usage != "transform" and self.gigabytes and not instances.has_own_disks(self.instance_type):
            volume = prices.service("training_volume" if self.usage == "training" else "processing_volume")
            months = volume_months(self.gigabytes, self.count, self.seconds)
            found.append(Item(self.part, "volumes", months, volume.unit, volume))
        return found

    def saved(self, prices: Prices) -> Decimal:
        """USD that spot capacity saved; zero where the type's price is not known."""
        price = prices.instance(self.instance_type, self.usage)
        if price is None:
            return Decimal(0)
        return instance_hours(self.unbilled_seconds, self.count).low * price.usd


def processing(part: str, answer: Mapping[str, Any], now: datetime) -> Job:
    """A processing job by DescribeProcessingJob's answer; one that runs is billed until `now`."""
    cluster = answer["ProcessingResources"]["ClusterConfig"]
    return Job(
        part=part,
        usage="processing",
        instance_type=cluster["InstanceType"],
        count=cluster["InstanceCount"],
        gigabytes=cluster.get("VolumeSizeInGB", 0),
        seconds=_elapsed(answer.get("ProcessingStartTime"), answer.get("ProcessingEndTime"), now),
        note=_state(answer["ProcessingJobStatus"], "ProcessingStartTime" in answer),
    )


def training(part: str, answer: Mapping[str, Any], now: datetime) -> list[Job]:
    """A training job by DescribeTrainingJob's answer: a job a kind of instance, since there may be several.

    One that runs is billed until `now`, in full, though spot capacity may turn out cheaper.
    """
    resources = answer["ResourceConfig"]
    trained = _elapsed(answer.get("TrainingStartTime"), answer.get("TrainingEndTime"), now)
    if (told := answer.get("TrainingTimeInSeconds")) is not None:
        trained = told
    billed = answer.get("BillableTimeInSeconds", trained)
    note = _state(answer["TrainingJobStatus"], bool(trained or answer.get("TrainingStartTime")))
    if answer.get("EnableManagedSpotTraining") and trained > billed:
        note = ", ".join(filter(None, [note, f"spot saved {1 - billed / trained:.0%}"]))
    groups = resources.get("InstanceGroups") or [resources]
    return [
        Job(
            part=part,
            usage="training",
            instance_type=group["InstanceType"],
            count=group["InstanceCount"],
            gigabytes=resources.get("VolumeSizeInGB", 0),
            seconds=billed,
            unbilled_seconds=max(0, trained - billed),
            note=note,
        )
        for group in groups
    ]


def transform(part: str, answer: Mapping[str, Any], now: datetime) -> Job:
    """A batch transform job by DescribeTransformJob's answer."""
    resources = answer["TransformResources"]
    return Job(
        part=part,
        usage="transform",
        instance_type=resources["InstanceType"],
        count=resources["InstanceCount"],
        gigabytes=0,
        seconds=_elapsed(answer.get("TransformStartTime"), answer.get("TransformEndTime"), now),
        note=_state(answer["TransformJobStatus"], "TransformStartTime" in answer),
    )


def queries(part: str, scanned: Iterable[int], prices: Prices) -> Item:
    """Athena's queries by the bytes each has scanned: whole megabytes, ten at least; one that scans none is free.

    https://aws.amazon.com/athena/pricing/
    """
    billed = [max(ATHENA_LEAST_MEGABYTES, math.ceil(one / ATHENA_MEGABYTE)) for one in scanned if one]
    price = prices.service("athena_scan")
    quantity = Range.of(sum(billed) * ATHENA_MEGABYTE / ATHENA_TERABYTE)
    what = f"Athena, {len(billed)} quer{'y' if len(billed) == 1 else 'ies'}"
    return Item(part, what, quantity, price.unit, price)


def free(part: str, note: str) -> Item:
    """A line for what costs nothing, and why."""
    return Item(part, "", NOTHING, "", None, note)


def _elapsed(started: datetime | None, ended: datetime | None, now: datetime) -> int:
    """Seconds that have begun between two times, until now where it has not ended; 0 for what never started."""
    if started is None:
        return 0
    return max(0, math.ceil(((ended or now) - started).total_seconds()))


def _state(status: str, started: bool) -> str:
    """What a reader has to know of a job that did not just complete."""
    if status == "Completed":
        return ""
    if status in ("InProgress", "Stopping"):
        return "so far" if started else "waits for instances"
    return status.lower() if started else f"{status.lower()} before it started"
