"""The labels of a job in S3: their number, and all of them on one instance."""

from __future__ import annotations

import pytest

from steps.contracts.errors import StepError
from steps.contracts.labels import read_labels
from steps.plan.labels import count_labels, whole_labels
from steps.runtime import container
from tests.unit.steps.plan.conftest import Job


def test_labels_are_counted_over_all_objects_on_every_instance(job: Job) -> None:
    job.add("part-0.parquet", ["a", "b", "c"])
    job.add("part-1", ["d"])
    job.add("part-2.parquet", [])
    job.put("query.json", b"{}")
    job.put("empty", b"")
    for instance in range(3):
        job.start(instance, 3)
        assert count_labels() == 4


def test_without_labels_the_prefix_is_named(job: Job) -> None:
    job.put("query.json", b"{}")
    job.start()
    with pytest.raises(StepError, match=rf"^{job.labels}: no labels"):
        count_labels()


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1",
        b"not Parquet at all",
        b"PAR1 nonsense for metadata\x10\x00\x00\x00PAR1",
        b"PAR1\xff\xff\xff\x7fPAR1",
    ],
)
def test_an_object_that_is_not_parquet_is_named(job: Job, content: bytes) -> None:
    job.add("part-0.parquet", ["a"])
    job.put("part-1.parquet", content)
    job.start()
    with pytest.raises(StepError, match=rf"^{job.labels}/part-1.parquet: not Parquet.*; run the query again$"):
        count_labels()


def test_an_instance_of_several_gets_all_labels_next_to_its_share(job: Job) -> None:
    job.add("a/part.parquet", ["1", "2"])
    job.add("b/part.parquet", ["3"])
    job.add("c/part", ["4"])
    base = job.start(0, 2)
    folder = whole_labels(2)
    assert folder.is_relative_to(base)
    assert read_labels(folder)["image_id"].to_pylist() == ["1", "2", "3", "4"]


def test_the_only_instance_reads_its_input(job: Job) -> None:
    job.add("part-0.parquet", ["1"])
    job.start()
    assert whole_labels(1) == container.processing_input("labels")
