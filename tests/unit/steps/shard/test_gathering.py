"""How a job's instances agree through S3, and what is said when S3, or what lies there, is not right."""

from __future__ import annotations

from typing import Any

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.container import Instance
from steps.runtime.s3 import write_object
from steps.shard.gathering import Agreement, Gathering, Part


def gatherings(bucket: str, count: int) -> list[Gathering]:
    return [Gathering(S3Uri(bucket, "run/jobs/j"), Instance(n, count, f"algo-{n + 1}")) for n in range(count)]


def part(instance: int) -> Part:
    return Part(instance=instance, shards={}, rejects={"truncated": [f"{instance}"]}, kept=instance)


def test_all_take_what_the_first_proposed(s3: Any, bucket: str) -> None:
    first, second = gatherings(bucket, 2)
    proposal = Agreement(shards=["a.tar"], generation="000001-a")
    assert first.agree(proposal) == proposal
    assert second.agree(Agreement(shards=[], generation="000001-b")) == proposal
    assert first.agree(Agreement(shards=[], generation="000001-c")) == proposal


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


def test_an_agreement_that_is_damaged_is_named(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="run/jobs/j/agreement.json", Body=b"{")
    (only,) = gatherings(bucket, 1)
    with pytest.raises(StepError, match=rf"^s3://{bucket}/run/jobs/j/agreement.json: not a proposal of an instance: "):
        only.agree(Agreement(shards=[], generation="000001-a"))


def test_a_bucket_that_takes_nothing_is_named(s3: Any) -> None:
    (only,) = gatherings("no-such-bucket", 1)
    with pytest.raises(StepError, match=r"^s3://no-such-bucket/run/jobs/j/agreement.json: writing it failed"):
        only.agree(Agreement(shards=[], generation="000001-a"))
    with pytest.raises(StepError, match=r"^s3://no-such-bucket/run/jobs/j/part-000.json: writing it failed"):
        only.deliver(part(0))
    with pytest.raises(StepError, match=r"^s3://no-such-bucket/indexes/0: writing it failed"):
        write_object(S3Uri("no-such-bucket", "indexes/0"), b"{}")
