"""What one run will cost and how long it takes, and what the endpoint costs per month, before they run.

A job costs instances x (its work / rate + startup); a rate is a range, so an amount is one. Nothing comes from the step
cache.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from pipeline.aws import instances
from pipeline.operations.cost import rates
from pipeline.operations.cost.measured import Photos, architectures, photos_per_epoch
from pipeline.operations.cost.money import HOURS_PER_MONTH, KILOBYTE, ZERO, Bill, Item, Range
from pipeline.operations.cost.prices import Machines, Prices
from pipeline.operations.cost.rates import Assumption
from pipeline.settings import Settings, seconds
from pipeline.settings.fields import PROCESSING_GIGABYTES
from steps.contracts.wording import count_of

NOT_INCLUDED = (
    "S3 storage and writes, S3 reads of trials, the endpoint's requests, captures and monitoring, logs, metrics, the"
    " deploy function, ECR, CodeBuild, KMS, network, taxes, discounts"
)


@dataclass(frozen=True)
class Estimate:
    """The bill of a run with the seconds of each step, the endpoint's bill per month, and their basis."""

    run: Bill
    step_seconds: Mapping[str, Range]
    endpoint: Bill
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...]

    @property
    def seconds(self) -> Range:
        """The seconds from a run's start to its end: steps follow each other, and the exploration has its own time."""
        first, explored = (self.step_seconds.get(step, ZERO) for step in ("QueryMetadata", "ExploreData"))
        rest = [taken for step, taken in self.step_seconds.items() if step not in ("QueryMetadata", "ExploreData")]
        return first + sum(rest, ZERO).at_least(explored)

    @property
    def bill(self) -> Bill:
        """All lines: a run and a month of the endpoint."""
        return Bill((*self.run.items, *self.endpoint.items))

    def with_cache(self, cached: Collection[str], unsure: Collection[str]) -> Estimate:
        """The estimate of a run whose steps `cached` come from the step cache, and possibly those of `unsure` too."""
        items = [
            replace(item, quantity=_or_nothing(item.quantity), note=item.note or "0 if cached")
            if item.part in unsure
            else item
            for item in self.run.items
            if item.part not in cached
        ]
        step_seconds = {
            step: _or_nothing(taken) if step in unsure else taken
            for step, taken in self.step_seconds.items()
            if step not in cached
        }
        return replace(self, run=Bill(tuple(items)), step_seconds=step_seconds)


def _or_nothing(amount: Range) -> Range:
    return Range(ZERO.low, amount.high)


def estimate(settings: Settings, photos: Photos, prices: Prices, photos_per_second: Range | None = None) -> Estimate:
    """The estimate for these photos; `photos_per_second` is a measured rate of all instances of a trial."""
    estimator = _Estimator(settings, photos, prices)
    estimator.query_metadata()
    estimator.explore_data()
    estimator.plan_shards()
    estimator.shard_images()
    estimator.tune_model(photos_per_second)
    estimator.evaluate_model()
    run = Bill(tuple(estimator.items))
    endpoint = Bill(tuple(estimator.endpoint()))
    return Estimate(run, estimator.step_seconds, endpoint, tuple(estimator.assumptions), tuple(estimator.notes))


class _Estimator:
    """Collects the lines of the steps, the time that they take one after another, and the assumptions behind both."""

    def __init__(self, settings: Settings, photos: Photos, prices: Prices) -> None:
        self._settings, self._photos, self._prices = settings, photos, prices
        self.items: list[Item] = []
        self.step_seconds: dict[str, Range] = {}
        self.assumptions: dict[Assumption, None] = {}
        self.notes: list[str] = []

    def query_metadata(self) -> None:
        """One instance that waits for Athena, the bytes that Athena scans, and its reads of the metadata files."""
        photos = self._photos.total
        work = Range.of(photos) / self._assume(rates.METADATA) + Range.of(photos * rates.LIST_SECONDS_PER_PHOTO)
        data = self._settings.data
        self._processing("QueryMetadata", data.instance_type, 1, work, data.volume_gigabytes)
        metadata = photos * rates.METADATA_KILOBYTES * KILOBYTE
        least = rates.ATHENA_LEAST_MEGABYTES * rates.ATHENA_MEGABYTE
        later = rates.LATER_STATEMENTS * max(metadata * rates.CONSOLIDATED_SHARE, least)
        scanned = Range.of((max(metadata, least) + later) / rates.ATHENA_TERABYTE)
        self.items.append(self._prices.service_item("QueryMetadata", "Athena", "athena_scan", scanned))
        self._reads("QueryMetadata")

    def explore_data(self) -> None:
        """The exploration of the metadata, where there is one."""
        explore = self._settings.explore
        if explore.image is None:
            return
        rate = self._assume(rates.EXPLORED) * instances.vcpus(explore.instance_type)
        work = Range.of(self._photos.total) / (rate * (explore.instance_count if explore.image == "spark" else 1))
        self._processing("ExploreData", explore.instance_type, explore.instance_count, work)

    def plan_shards(self) -> None:
        """The plan that is made apart from the shards, where it is; with DuckDB one of the instances works."""
        shard = self._settings.shard
        if shard.plan_image is None:
            return
        photos = Range.of(self._photos.total)
        spark = self._assume(rates.PLANNED_BY_SPARK) * (instances.vcpus(shard.plan_type) * shard.plan_instance_count)
        if shard.planner == "spark":
            work = photos / spark
        elif shard.planner == "local":
            work = photos / self._assume(rates.PLANNED)
        else:
            either = [photos / spark, photos / self._assume(rates.PLANNED)]
            work = Range(min(each.low for each in either), max(each.high for each in either))
        self._processing("PlanShards", shard.plan_type, shard.plan_instance_count, work, shard.plan_volume_gigabytes)

    def shard_images(self) -> None:
        """Instances that read each photo once."""
        shard = self._settings.shard
        rate = self._assume(rates.RESIZED if shard.image_size else rates.MOVED) * instances.vcpus(shard.instance_type)
        # Larger photos take longer in proportion: to decode, and to transfer.
        scale = max(Decimal(1), self._photos.kilobytes / rates.PHOTO_KILOBYTES)
        per_instance = rate.at_most(self._assume(rates.NETWORK)) / scale
        work = Range.of(self._photos.total) / (per_instance * shard.instance_count)
        if shard.plan_image is None:
            # The first instance plans, and the others wait for it.
            work += Range.of(self._photos.total) / self._assume(rates.PLANNED)
        self._processing("ShardImages", shard.instance_type, shard.instance_count, work)
        self._reads("ShardImages")

    def tune_model(self, photos_per_second: Range | None) -> None:
        """All trials. How many run in parallel changes the time, not the amount."""
        training, tuning = self._settings.training, self._settings.tuning
        rate = photos_per_second or self._training_rate()
        per_epoch = photos_per_epoch(self._photos.train, self._photos.validation)
        trial = self._epochs() * per_epoch / rate + self._assume(rates.STARTUP)
        limit = seconds(training.run_time)
        if trial.high > limit:
            self.notes.append(
                f"a trial may need {trial.high / 3600:.1f} h, but training.run_time stops it after {training.run_time}"
            )
            trial = trial.at_most(limit)
        rounds = -(-tuning.trials // tuning.parallel)
        self.step_seconds["TuneModel"] = trial * rounds + self._assume(rates.WAIT)
        billed = trial * self._assume(rates.SPOT_BILLED) if training.spot else trial
        machines = Machines(training.instance_type, tuning.trials * training.instance_count, training.volume_gigabytes)
        note = f"{count_of(tuning.trials, 'trial')}{', spot' if training.spot else ''}"
        self.items += self._prices.job_items("TuneModel", machines, "training_volume", billed, note)

    def evaluate_model(self) -> None:
        """One instance that runs the test photos through the model, and through the champion."""
        instance_type = self._settings.evaluation.instance_type
        work = rates.multiply_adds(architectures(self._settings), self._settings.training.image_size)
        rate = self._assume(rates.FORWARD_PASS) * instances.vcpus(instance_type)
        duration = work * self._photos.test * self._assume(rates.MODELS) / rate
        self._processing("EvaluateModel", instance_type, 1, duration)

    def endpoint(self) -> list[Item]:
        """The endpoint's instances for a month, from the least to the most that it scales to."""
        endpoint = self._settings.endpoint
        if endpoint.mode == "serverless":
            self.notes.append("the endpoint is serverless: it is billed per request, which is not included")
            return []
        least, most = endpoint.instance_count, max(endpoint.instance_count, endpoint.maximum_instance_count)
        note = f"scales to {most} instances" if most > least else ""
        hours = Range.of(least, most) * HOURS_PER_MONTH
        return [self._prices.instance_item("endpoint", Machines(endpoint.instance_type, least), hours, note)]

    def _assume(self, assumption: Assumption) -> Range:
        """The value of an assumption, which the estimate then lists."""
        self.assumptions[assumption] = None
        return assumption.value

    def _processing(
        self, step: str, instance_type: str, count: int, work: Range, gigabytes: int = PROCESSING_GIGABYTES
    ) -> None:
        duration = work + self._assume(rates.STARTUP)
        machines = Machines(instance_type, count, gigabytes)
        self.items += self._prices.job_items(step, machines, "processing_volume", duration)
        self.step_seconds[step] = duration + self._assume(rates.WAIT)

    def _reads(self, step: str) -> None:
        thousands = Range.of(Decimal(self._photos.total) / 1000)
        self.items.append(self._prices.service_item(step, "S3 reads", "s3_get", thousands))

    def _training_rate(self) -> Range:
        """Photos per second of all instances of a trial, from the tables."""
        training = self._settings.training
        rate, assumptions = rates.training_rate(
            training.instance_type, architectures(self._settings), training.image_size
        )
        self.assumptions.update(dict.fromkeys(assumptions))
        count = training.instance_count
        return rate * count * self._assume(rates.SCALING) if count > 1 else rate

    def _epochs(self) -> Range:
        training, tuning = self._settings.training, self._settings.tuning
        if tuning.strategy == "Hyperband":
            most = tuning.hyperband.maximum_epochs or training.epochs
            epochs, why = Range.of(self._settings.hyperband_minimum(), most), "Hyperband stops most of them early"
        elif tuning.stops_early or training.patience:
            epochs, why = rates.EARLY_STOPPING * training.epochs, "patience and early stopping end some"
        else:
            return Range.of(training.epochs)
        return self._assume(Assumption("epochs of a trial, on average", epochs, why))
