"""What goes on costing by the month after a run: the endpoint, its monitor, what is kept in S3."""

from __future__ import annotations

from decimal import Decimal

from pipeline.operations.cost import rates
from pipeline.operations.cost.estimate import instance_item, processing, service_item
from pipeline.operations.cost.facts import Facts
from pipeline.operations.cost.money import GIGABYTE, HOURS_A_MONTH, KILOBYTE, MEGABYTE, Bill, Item, Range
from pipeline.operations.cost.prices import Prices
from pipeline.operations.cost.rates import Assumption
from pipeline.settings import Settings

DAYS_A_MONTH = Decimal(365) / 12


def month(
    settings: Settings, facts: Facts, prices: Prices, requests: int, runs: int = 1
) -> tuple[Bill, tuple[Assumption, ...]]:
    """A month of an endpoint that answers `requests` of a photo each and of what `runs` leave; what the lines rest on.

    Nothing deletes models, so that those of each run stay.
    """
    items, assumptions = _serving(settings, facts, prices, requests)
    items.append(service_item("S3", "shards", Range.of(facts.shard_gigabytes), "s3_storage", prices))
    left = rates.MODEL_MEGABYTES.value * settings.tuning.trials * runs * MEGABYTE / GIGABYTE
    items.append(
        service_item("S3", "models of a run" if runs == 1 else f"models of {runs} runs", left, "s3_storage", prices)
    )
    return Bill(tuple(items)), (*assumptions, rates.MODEL_MEGABYTES)


def _serving(settings: Settings, facts: Facts, prices: Prices, requests: int) -> tuple[list[Item], list[Assumption]]:
    endpoint = settings.endpoint
    traffic = requests * facts.kilobytes * KILOBYTE / GIGABYTE
    data = service_item("endpoint", "photos in", Range.of(traffic), "hosting_data", prices)
    if endpoint.mode == "serverless":
        memory = Decimal(endpoint.serverless_memory_megabytes) / 1024
        quantity = rates.SERVERLESS_SECONDS.value * requests * memory
        what = f"serverless, {endpoint.serverless_memory_megabytes} MB"
        computed = service_item("endpoint", what, quantity, "serverless_inference", prices)
        return [computed, data], [rates.SERVERLESS_SECONDS]
    least, most = endpoint.instance_count, max(endpoint.instance_count, endpoint.maximum_instance_count)
    count = str(least) if least == most else f"{least} to {most}"
    hours = Range.of(least, most) * HOURS_A_MONTH
    chosen, what = endpoint.instance_type, f"{count} x {endpoint.instance_type}"
    items = [instance_item("endpoint", what, hours, instance_type=chosen, usage="hosting", prices=prices), data]
    if not endpoint.capture_percent:
        return items, []
    kept = rates.CAPTURED.value * traffic * endpoint.capture_percent / 100
    # What is captured in a month is kept for its days, so that so many months of it lie there at a time.
    kept = kept * (Decimal(settings.retention.capture_days) / DAYS_A_MONTH)
    items.append(service_item("endpoint", "captures kept", kept, "s3_storage", prices))
    windows = max(1, round(HOURS_A_MONTH / settings.monitoring.hours))
    watching, often = settings.monitoring.instance_type, f"if scheduled, each {settings.monitoring.hours} h"
    watched = processing("monitor", watching, 1, rates.STARTUP.value * windows, prices, note=often)
    return [*items, *watched], [rates.CAPTURED, rates.STARTUP]
