"""The plan of a job: its input, or made by its first instance; and a plan that is not what it should be."""

from __future__ import annotations

import json

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.planning.run import StoredPlan
from steps.shard import planned
from tests.unit.steps.shard.conftest import Job, samples, tars

SMALL = ("--image-size", "64", "--shard-megabytes", "0.05")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each time that a plan is made."""
    made: list[int] = []
    make_plan = planned.make_plan

    def counted(*arguments: object) -> StoredPlan:
        made.append(1)
        return make_plan(*arguments)

    monkeypatch.setattr(planned, "make_plan", counted)
    monkeypatch.setattr("tests.unit.steps.shard.conftest.make_plan", counted)
    return made


def replace(job: Job, uri: S3Uri, content: bytes) -> None:
    job.s3.put_object(Bucket=uri.bucket, Key=uri.key, Body=content)


def test_a_plan_as_input_and_one_made_by_the_job_lead_to_the_same_shards(job: Job, calls: list[int]) -> None:
    job.add_bins(120)
    plan = job.plan(*SMALL)
    given = job.run(*SMALL, instances=2, plan=plan)
    job.run(*SMALL, instances=2, output="own")

    assert len(calls) == 2
    assert tars(job, "own") == tars(job, "out")
    assert sum(len(split) for split in samples(given).values()) == 120
    assert job.objects("out/assignments")
    assert job.summary.photos.written == 120


def test_a_second_attempt_at_a_job_takes_the_plan_of_the_first(job: Job, calls: list[int]) -> None:
    job.add_bins(120)
    job.run(*SMALL)
    index, before = job.index, job.versions("out/plans")
    job.runs -= 1  # the same job again
    job.folder = job.folder / "again"
    job.run(*SMALL)

    assert (job.index, len(calls)) == (index, 1)
    assert job.versions("out/plans") == before


def test_a_job_that_uses_a_plan_renews_its_date_and_nothing_else(job: Job) -> None:
    job.add_bins(60)
    plan = job.plan(*SMALL)
    before, contents = job.versions("out/plans"), job.objects("out/plans")
    job.run(*SMALL, instances=2, plan=plan)

    renewed = {key for key, version in job.versions("out/plans").items() if version != before[key]}
    assert renewed <= {f"{plan.uri.key}/plan.json"}
    assert job.objects("out/plans") == contents
    assert job.versions("out/plans")[f"{plan.uri.key}/plan.json"][0] >= before[f"{plan.uri.key}/plan.json"][0]


def test_a_plan_of_another_data_set_is_refused(job: Job) -> None:
    job.add_bins(60)
    plan = job.plan(*SMALL)
    with pytest.raises(StepError, match=rf"^{plan.uri}/plan.json is a plan of the data set {plan.plan.dataset}, and"):
        job.run(*SMALL, "--quality", "70", plan=plan)
    assert job.objects("out/shards") == {}


def test_a_bucket_that_was_changed_or_removed_is_named(job: Job) -> None:
    job.add_bins(60)
    plan = job.plan(*SMALL)
    (bucket,) = plan.plan.buckets
    uri = S3Uri(job.bucket, f"out/plans/{plan.plan.key}/buckets/{bucket.name}.parquet")
    replace(job, uri, b"PAR1")
    with pytest.raises(StepError, match=rf"^{uri} is not the file that the plan names: its SHA-256 is another"):
        job.run(*SMALL, plan=plan)
    job.s3.delete_object(Bucket=uri.bucket, Key=uri.key)
    with pytest.raises(StepError, match=rf"^{uri} does not exist: the plan was removed meanwhile; make it again"):
        job.run(*SMALL, plan=plan)


def test_a_list_of_left_out_photos_that_was_changed_is_named(job: Job) -> None:
    job.add_bins(60)
    plan = job.plan(*SMALL)
    replace(job, plan.uri.join("left_out.parquet"), b"PAR1")
    with pytest.raises(StepError, match=r"left_out.parquet is not the file that the plan names: its SHA-256"):
        job.run(*SMALL, plan=plan)


def test_a_plan_that_is_not_valid_is_named(job: Job) -> None:
    job.add_bins(60)
    plan = job.plan(*SMALL)
    uri = plan.uri.join("plan.json")
    document = json.loads(job.objects(uri.key)[uri.key])
    replace(job, uri, json.dumps({**document, "version": 2}).encode())
    with pytest.raises(StepError, match=r"plan.json: not a shard plan of version 1: version: "):
        job.run(*SMALL, plan=plan)


def test_too_many_photos_that_the_plan_leaves_out_end_the_job_before_it_writes(job: Job) -> None:
    job.add_bins(60)
    for number in range(8):
        job.add(f"a.b.{number}", 1, [f"X{number}"], None)
    message = r"^8 of 68 photos cannot be used so far, .*: unsafe-id 8 \(a.b.0, a.b.1, a.b.2, ...\)$"
    with pytest.raises(StepError, match=message):
        job.run(*SMALL, "--maximum-rejects", "0.1")
    assert job.objects("out/shards") == {}


def test_a_job_without_labels_and_plan_says_so(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(job.folder))
    with pytest.raises(StepError, match=r"processing/input/labels: no labels, and the job has no input plan"):
        planned.check_inputs()
