"""How a job's instances agree through S3, and what is said when S3, or what lies there, is not right."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.container import Instance
from steps.runtime.s3 import write_object
from steps.shard import gathering
from steps.shard.gathering import Gathering, Part
from steps.shard.work import Work

FIRST, SECOND = S3Uri("bins", "plans/1/description"), S3Uri("bins", "plans/2/description")


def gatherings(bucket: str, count: int) -> list[Gathering]:
    return [Gathering(S3Uri(bucket, "run/jobs/j"), Instance(n, count, f"algo-{n + 1}")) for n in range(count)]


def part(instance: int) -> Part:
    return Part(instance=instance, work=Work(reused={}, written={}, rejects={"truncated": [f"{instance}"]}))


def test_the_plan_that_was_published_first_counts(s3: Any, bucket: str) -> None:
    first, second = gatherings(bucket, 2)
    assert first.published() is None
    assert first.publish(FIRST) == FIRST
    assert first.publish(SECOND) == FIRST  # a second attempt at the job
    assert second.published() == second.wait_for_plan() == FIRST


def test_an_instance_waits_until_the_plan_is_published(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = gatherings(bucket, 2)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 7:
            first.publish(FIRST)

    monkeypatch.setattr(gathering.time, "sleep", sleep)
    monkeypatch.setattr(gathering, "LOGGED_EACH", 0.0)
    with caplog.at_level(logging.INFO):
        assert second.wait_for_plan() == FIRST
    assert looks == [0.5, 1, 2, 4, 8, 15, 15]
    assert "waiting for the plan of the first instance, for 0 minutes so far" in caplog.messages


def test_an_instance_does_not_wait_for_a_plan_that_the_first_cannot_make(s3: Any, bucket: str) -> None:
    first, second = gatherings(bucket, 2)
    first.fail("no photo is in the test split")
    with pytest.raises(StepError, match=r"^the first instance could not plan: no photo is in the test split$"):
        second.wait_for_plan()


def test_an_instance_does_not_wait_forever(s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST_WAIT", -1.0)
    _, second = gatherings(bucket, 2)
    with pytest.raises(
        StepError, match=rf"^s3://{bucket}/run/jobs/j/plan.json: the first instance has published no plan"
    ):
        second.wait_for_plan()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_whoever_comes_last_gets_the_parts_of_all_in_their_order(s3: Any, bucket: str, order: tuple[int, ...]) -> None:
    instances = gatherings(bucket, 3)
    answers = [instances[number].deliver(part(number)) for number in order]
    assert answers == [None, None, [part(0), part(1), part(2)]]
    # One that is late to look sees the same.
    assert instances[order[0]].deliver(part(order[0])) == [part(0), part(1), part(2)]


def test_more_than_ten_instances_find_each_other(s3: Any, bucket: str) -> None:
    instances = gatherings(bucket, 12)
    answers = [instance.deliver(part(number)) for number, instance in enumerate(instances)]
    assert answers[:-1] == [None] * 11
    assert answers[-1] == [part(number) for number in range(12)]


def test_a_part_that_is_damaged_is_named(s3: Any, bucket: str) -> None:
    first, second = gatherings(bucket, 2)
    first.deliver(part(0))
    s3.put_object(Bucket=bucket, Key="run/jobs/j/part-000.json", Body=b'{"instance": "none"}')
    with pytest.raises(StepError, match=rf"^s3://{bucket}/run/jobs/j/part-000.json: not a part of an index: instance"):
        second.deliver(part(1))


def test_a_location_of_a_plan_that_is_damaged_is_named(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="run/jobs/j/plan.json", Body=b'{"plan": "/tmp"}')
    (only,) = gatherings(bucket, 1)
    with pytest.raises(StepError, match=rf"^s3://{bucket}/run/jobs/j/plan.json: not a location of a plan: plan: "):
        only.publish(FIRST)


def test_a_bucket_that_takes_nothing_is_named(s3: Any) -> None:
    (only,) = gatherings("no-such-bucket", 1)
    with pytest.raises(StepError, match=r"^s3://no-such-bucket/run/jobs/j/plan.json: writing it failed"):
        only.publish(FIRST)
    with pytest.raises(StepError, match=r"^s3://no-such-bucket/run/jobs/j/part-000.json: writing it failed"):
        only.deliver(part(0))
    with pytest.raises(StepError, match=r"^s3://no-such-bucket/indexes/0: writing it failed"):
        write_object(S3Uri("no-such-bucket", "indexes/0"), b"{}")
