"""A change of the endpoint under way: the new version's share of the traffic, and when the next stage begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

# The stage in which the alarms are watched, during the canary and after it:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariantStatus.html
BAKING = "Baking"


@dataclass(frozen=True)
class Pending:
    """A change in progress: the new version, and its present share of the traffic.

    `stage` is SageMaker's word for what the new instances do, empty where it names none. `moves` is when a canary ends
    and all traffic moves, `ends` when the old instances go; None where that is not known, or is past.
    """

    version: int | None
    share: float
    stage: str = ""
    moves: datetime | None = None
    ends: datetime | None = None


def pending(version: int | None, summary: Mapping[str, Any], deployment: Mapping[str, Any]) -> Pending:
    """The change of a PendingDeploymentSummary.

    `deployment` is DescribeEndpoint's LastDeploymentConfig. It is assumed to be the configuration of the change under
    way, and a variant's weight to be its share of the traffic: the API reference has neither.
    """
    variant: Mapping[str, Any] = next(iter(summary.get("ProductionVariants") or ()), {})
    share = float(variant.get("CurrentWeight", 0.0))
    statuses = [status for status in variant.get("VariantStatus") or () if "StartTime" in status]
    if not statuses:
        return Pending(version, share)
    latest = max(statuses, key=lambda status: status["StartTime"])
    policy = deployment.get("BlueGreenUpdatePolicy")
    if latest["Status"] != BAKING or policy is None:
        return Pending(version, share, latest["Status"])
    canary = timedelta(seconds=policy["TrafficRoutingConfiguration"].get("WaitIntervalInSeconds", 0))
    baking = timedelta(seconds=policy.get("TerminationWaitInSeconds", 0))
    since = latest["StartTime"]
    if share < 1:
        return Pending(version, share, BAKING, moves=since + canary, ends=since + canary + baking)
    return Pending(version, share, BAKING, ends=since + baking)
