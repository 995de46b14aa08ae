"""What one run will cost and how long it takes, from settings, photos and prices. Nothing here asks anybody.

A job costs instances x (its work / rate + start and end); a rate is a range, so an amount is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from pipeline.aws import instances
from pipeline.operations.cost import rates
from pipeline.operations.cost.facts import Facts
from pipeline.operations.cost.money import (
    ATHENA_MEGABYTE,
    ATHENA_TERABYTE,
    GIGABYTE,
    INSTANCE_HOURS,
    KILOBYTE,
    MEGABYTE,
    Bill,
    Item,
    Range,
    instance_hours,
    total,
    volume_months,
)
from pipeline.operations.cost.prices import Prices, Service, Usage
from pipeline.operations.cost.rates import Assumption
from pipeline.settings import Choices, Settings, seconds

LEFT_OUT = (
    "S3 reads of trials, logs, metrics, the deploy function, events, ECR storage, CodeBuild minutes, KMS, NAT gateways,"
    " VPC endpoints, traffic between regions, taxes, discounts"
)


@dataclass(frozen=True)
class Estimate:
    """A run's bill, the seconds from its start to its end, and what both rest on."""

    bill: Bill
    seconds: Range
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A step of a run: its lines, how long it takes from its start to its end, and what that rests on."""

    items: tuple[Item, ...]
    seconds: Range
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...] = ()


def run(settings: Settings, facts: Facts, prices: Prices, photos_per_second: Range | None = None) -> Estimate:
    """The estimate of one run in which nothing comes from the step cache.

    `photos_per_second` is what a trial trains on, all its instances together, where it has been measured.
    """
    parts = [
        query_metadata(settings, facts, prices),
        shard_images(settings, facts, prices),
        tune_model(settings, facts, prices, photos_per_second),
        evaluate_model(settings, facts, prices),
    ]
    assumptions = dict.fromkeys([rates.STARTUP, rates.WAIT, *(one for part in parts for one in part.assumptions)])
    return Estimate(
        bill=Bill(tuple(item for part in parts for item in part.items)),
        seconds=total(part.seconds for part in parts),
        assumptions=tuple(assumptions),
        notes=tuple(note for part in parts for note in part.notes),
    )


def query_metadata(settings: Settings, facts: Facts, prices: Prices) -> Part:
    """One instance that waits for Athena, the bytes that Athena scans, and its requests for files and lists."""
    step = "QueryMetadata"
    pages = -(-facts.photos // rates.LIST_PAGE)
    listed = 2 * pages  # metadata and photos
    work = Range.of(facts.photos) / rates.METADATA.value + Range.of(listed * rates.LIST_SECONDS)
    metadata = facts.photos * rates.METADATA_KILOBYTES * KILOBYTE
    least = rates.ATHENA_LEAST_MEGABYTES * ATHENA_MEGABYTE
    scanned = max(metadata, least) + rates.LATER_STATEMENTS * max(metadata * rates.CONSOLIDATED_SHARE, least)
    return Part(
        items=(
            *processing(step, settings.data.instance_type, 1, work + rates.STARTUP.value, prices),
            service_item(step, "Athena", Range.of(scanned / ATHENA_TERABYTE), "athena_scan", prices),
            service_item(step, "S3 reads", Range.of(Decimal(facts.photos) / 1000), "s3_get", prices),
            service_item(step, "S3 lists", Range.of(Decimal(listed) / 1000), "s3_put", prices),
        ),
        seconds=work + rates.STARTUP.value + rates.WAIT.value,
        assumptions=(rates.METADATA,),
    )


def shard_images(settings: Settings, facts: Facts, prices: Prices) -> Part:
    """Instances that read each photo once and write shards."""
    step, shard = "ShardImages", settings.shard
    rate = rates.RESIZED if shard.image_size else rates.MOVED
    # Larger photos take longer in proportion: to decode, and to move.
    heavier = max(Decimal(1), facts.kilobytes / rates.PHOTO_KILOBYTES)
    each = (rate.value * instances.vcpus(shard.instance_type)).at_most(rates.INTERPRETER.value) / heavier
    work = Range.of(facts.photos) / (each * shard.instance_count)
    shards = max(1, round(facts.shard_gigabytes * GIGABYTE / (shard.megabytes * MEGABYTE)))
    return Part(
        items=(
            *processing(step, shard.instance_type, shard.instance_count, work + rates.STARTUP.value, prices),
            service_item(step, "S3 reads", Range.of(Decimal(facts.photos) / 1000), "s3_get", prices),
            service_item(step, "S3 writes", Range.of(Decimal(shards) / 1000), "s3_put", prices),
        ),
        seconds=work + rates.STARTUP.value + rates.WAIT.value,
        assumptions=(rate, rates.INTERPRETER),
    )


def tune_model(settings: Settings, facts: Facts, prices: Prices, photos_per_second: Range | None) -> Part:
    """All trials. How many run at a time changes how long that takes, not what it costs."""
    training, tuning = settings.training, settings.tuning
    trial, assumptions = trial_seconds(settings, facts, photos_per_second)
    limit = seconds(training.run_time)
    notes = []
    if trial.high > limit:
        notes.append(
            f"a trial may want {trial.high / 3600:.1f} h, but training.run_time stops it after {training.run_time}"
        )
        trial = trial.at_most(limit)
    billed = trial
    if training.spot:
        billed = trial * rates.SPOT_BILLED.value
        assumptions.append(rates.SPOT_BILLED)
    what = f"{tuning.trials} x {_machines(training.instance_type, training.instance_count)}"
    spot = "spot" if training.spot else ""
    hours = instance_hours(billed, training.instance_count) * tuning.trials
    items = [
        instance_item(
            "TuneModel", what, hours, instance_type=training.instance_type, usage="training", prices=prices, note=spot
        )
    ]
    if not instances.has_own_disks(training.instance_type):
        months = volume_months(training.volume_gigabytes, training.instance_count, billed) * tuning.trials
        items.append(service_item("TuneModel", "volumes", months, "training_volume", prices))
    rounds = -(-tuning.trials // tuning.parallel)
    return Part(tuple(items), trial * rounds + rates.WAIT.value, tuple(assumptions), tuple(notes))


def trial_seconds(settings: Settings, facts: Facts, photos_per_second: Range | None) -> tuple[Range, list[Assumption]]:
    """Seconds of a trial on its instances, start and end included, and what they rest on."""
    training = settings.training
    assumptions = []
    if photos_per_second is not None:
        rate = photos_per_second
    else:
        rate, assumption = rates.training_rate(training.instance_type, architectures(settings), training.image_size)
        assumptions += [assumption, *([rates.LOADED] if instances.has_gpus(training.instance_type) else [])]
        if training.instance_count > 1:
            rate = rate * training.instance_count * rates.SCALING.value
        if training.instance_count > 1 or instances.gpus(training.instance_type) > 1:
            assumptions.append(rates.SCALING)
    # An epoch also validates, which is a forward pass only.
    photos = facts.train + Decimal(facts.validation) / rates.TRAINING_PASSES
    share = epochs_run(settings)
    if not share.known:
        assumptions.append(rates.Assumption(rates.EPOCHS_RUN.name, share, "", rates.EPOCHS_RUN.why))
    return Range.of(photos * training.epochs) * share / rate + rates.STARTUP.value, assumptions


def epochs_run(settings: Settings) -> Range:
    """Of all epochs, the share that a trial trains for on average."""
    training, tuning = settings.training, settings.tuning
    if tuning.strategy == "Hyperband":
        maximum = tuning.hyperband.maximum_epochs or training.epochs
        least = halving_share(settings.hyperband_minimum(), maximum) * maximum / training.epochs
        return Range(least, Decimal(maximum) / training.epochs)
    return rates.EPOCHS_RUN.value if tuning.stops_early or training.patience else Range.of(1)


def halving_share(minimum: int, maximum: int) -> Decimal:
    """Of `maximum` epochs, the share that a trial runs on average where each halt lets a third go on.

    The first halt is at `minimum`, each other one at three times the epochs: https://arxiv.org/abs/1810.05934
    """
    epochs, going_on, spent, done = minimum, Decimal(1), Decimal(0), 0
    while epochs < maximum:
        spent += going_on * (epochs - done)
        going_on, done, epochs = going_on / 3, epochs, epochs * 3
    return (spent + going_on * (maximum - done)) / maximum


def evaluate_model(settings: Settings, facts: Facts, prices: Prices) -> Part:
    """One instance that runs the test photos through the model, and through the champion."""
    chosen = settings.evaluation.instance_type
    work = rates.multiply_adds(architectures(settings), settings.training.image_size) * facts.test
    each = rates.PREDICTED.value * instances.vcpus(chosen)
    duration = work * rates.CHAMPION.value / each + rates.STARTUP.value
    return Part(
        items=tuple(processing("EvaluateModel", chosen, 1, duration, prices)),
        seconds=duration + rates.WAIT.value,
        assumptions=(rates.PREDICTED, rates.CHAMPION),
    )


def architectures(settings: Settings) -> list[str]:
    """The networks that trials may train."""
    searched = settings.tuning.ranges.get("architecture")
    return list(map(str, searched.values)) if isinstance(searched, Choices) else [settings.training.architecture]


def processing(
    part: str, instance_type: str, count: int, duration: Range, prices: Prices, *, note: str = ""
) -> Iterator[Item]:
    """A processing job's instances, and their volumes where they have any."""
    what = _machines(instance_type, count)
    yield instance_item(
        part,
        what,
        instance_hours(duration, count),
        instance_type=instance_type,
        usage="processing",
        prices=prices,
        note=note,
    )
    if not instances.has_own_disks(instance_type):
        months = volume_months(rates.PROCESSING_GIGABYTES, count, duration)
        yield service_item(part, "volumes", months, "processing_volume", prices)


def _machines(instance_type: str, count: int) -> str:
    return f"{count} x {instance_type}" if count > 1 else instance_type


def instance_item(
    part: str, what: str, hours: Range, *, instance_type: str, usage: Usage, prices: Prices, note: str = ""
) -> Item:
    """A line of instance hours; without an amount where nobody knows the type's price."""
    price = prices.instance(instance_type, usage)
    missing = prices.missing(instance_type, usage) if price is None else ""
    return Item(part, what, hours, INSTANCE_HOURS, price, note, missing)


def service_item(part: str, what: str, quantity: Range, name: Service, prices: Prices) -> Item:
    """A line of a service's units."""
    price = prices.service(name)
    return Item(part, what, quantity, price.unit, price)
