"""Cost before money: what a run that is about to start will cost, and what an endpoint costs per hour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.operations.cost import measured
from pipeline.operations.cost.estimate import Estimate, estimate
from pipeline.operations.cost.measured import Photos
from pipeline.operations.cost.money import HOURS_PER_MONTH, ZERO, Bill, Range
from pipeline.operations.cost.prices import Machines, Prices
from pipeline.operations.runs import parameters
from pipeline.operations.serving.monitoring import VOLUME_GB
from pipeline.settings import Settings
from pipeline.settings.parameters import replaced

SERVERLESS = "serverless"


@dataclass(frozen=True)
class HourlyCost:
    """What an endpoint costs per hour, from the least to the most instances that it scales to.

    `usd` is None where the price is missing, and zero for a serverless endpoint, which is billed per request; `missing`
    states what to do about a missing price.
    """

    machines: str
    usd: Range | None
    missing: str = ""

    @property
    def month(self) -> Range | None:
        """USD per month of 730 hours."""
        return None if self.usd is None else self.usd * HOURS_PER_MONTH

    @property
    def per_request(self) -> bool:
        """Whether nothing is billed without requests."""
        return self.machines == SERVERLESS


@dataclass(frozen=True)
class RunCost:
    """The estimate of a run with its parameters and cached steps.

    `endpoint` is what the run's own deployment costs per hour; None for a run whose version waits for an approval.
    """

    estimate: Estimate
    photos: Photos
    endpoint: HourlyCost | None


def of_run(
    settings: Settings,
    definition: Mapping[str, Any],
    values: Mapping[str, str],
    prices: Prices,
    *,
    cached: Collection[str] = (),
    unsure: Collection[str] = (),
) -> RunCost:
    """The cost of a run of `definition` with `values` for its parameters.

    The steps `cached` come from the step cache and cost nothing; those of `unsure` may. Raises the errors that
    `measured.unanswered` has, and ValueError for a value of another type.
    """
    effective = {**parameters.defaults(definition), **values}
    changed = replaced(settings, effective)
    elsewhere = changed.data.image_location != settings.data.image_location
    # The latest run's data set is of the location in the settings.
    photos = measured.photos(changed, None, None, is_new=elsewhere)
    rate = None if settings.account.target == "local" else measured.training_rate(changed)[0]
    deploys = effective.get("ApprovalStatus", settings.registry.approval) == "Approved"
    return RunCost(
        estimate(changed, photos, prices, rate).with_cache(cached, unsure),
        photos,
        of_endpoint(settings, prices) if deploys else None,
    )


def of_endpoint(settings: Settings, prices: Prices) -> HourlyCost:
    """What the endpoint of the settings costs per hour."""
    endpoint = settings.endpoint
    if endpoint.mode == SERVERLESS:
        return of_instances(prices, SERVERLESS, Range.of(0))
    least, most = endpoint.instance_count, max(endpoint.instance_count, endpoint.maximum_instance_count)
    return of_instances(prices, endpoint.instance_type, Range.of(least, most))


def of_monitor(settings: Settings, prices: Prices, seconds: Range) -> Bill:
    """What a job of the monitor that takes `seconds` costs."""
    machines = Machines(settings.monitoring.instance_type, 1, VOLUME_GB)
    return Bill(tuple(prices.job_items("monitor", machines, "processing_volume", seconds)))


def of_instances(prices: Prices, instance_type: str, count: Range) -> HourlyCost:
    """What `count` instances of a type cost per hour; the type may be `serverless`."""
    if instance_type == SERVERLESS:
        return HourlyCost(SERVERLESS, ZERO)
    most = int(count.high)
    item = prices.instance_item("endpoint", Machines(instance_type, most), count)
    machines = f"{int(count.low)} to {item.what}" if count.low < count.high else item.what
    return HourlyCost(machines, item.usd, item.missing)
