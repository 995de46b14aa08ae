"""A change under way: its share of the traffic, and when the next stage begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.operations.serving.rollout import Pending, pending

AT = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
POLICY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 60},
        "TerminationWaitInSeconds": 100,
    }
}


def summary(share: float, *statuses: tuple[str, datetime]) -> dict[str, Any]:
    stages = [{"Status": status, "StartTime": at} for status, at in statuses]
    return {"ProductionVariants": [{"VariantName": "v", "CurrentWeight": share, "VariantStatus": stages}]}


def test_a_canary_has_the_time_when_all_traffic_moves_and_when_the_old_instances_go() -> None:
    change = pending(4, summary(0.1, ("Creating", AT - timedelta(hours=1)), ("Baking", AT)), POLICY)
    assert change == Pending(4, 0.1, "Baking", AT + timedelta(seconds=60), AT + timedelta(seconds=160))


def test_after_the_canary_only_the_old_instances_are_waited_for() -> None:
    change = pending(4, summary(1.0, ("Baking", AT)), POLICY)
    assert (change.moves, change.ends) == (None, AT + timedelta(seconds=100))


@pytest.mark.parametrize(
    ("statuses", "deployment", "stage"),
    [
        ((), POLICY, ""),
        ((("Creating", AT),), POLICY, "Creating"),
        ((("Baking", AT),), {}, "Baking"),
        ((("Baking", AT),), {"RollingUpdatePolicy": {}}, "Baking"),
    ],
)
def test_a_time_that_aws_does_not_tell_is_left_open(statuses: Any, deployment: Any, stage: str) -> None:
    assert pending(None, summary(0.0, *statuses), deployment) == Pending(None, 0.0, stage)


def test_a_change_without_variants_yet_has_no_traffic() -> None:
    assert pending(4, {}, POLICY) == Pending(4, 0.0)
