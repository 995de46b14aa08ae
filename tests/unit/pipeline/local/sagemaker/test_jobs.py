"""The life that all kinds of jobs have in common."""

import threading
from types import SimpleNamespace

import pytest

from pipeline.local.context import Context, ServiceError
from pipeline.local.sagemaker.jobs import JobFailedError, Jobs
from pipeline.local.sagemaker.quotas import Quotas
from pipeline.local.store import Store
from tests.unit.pipeline.local.identities import Permissive


class TransformJobs(Jobs):
    """Jobs that wait until they are stopped, or fail at once with the reason in their request."""

    kind = "transform-job"
    prefix = "Transform"

    def role_of(self, document):
        return "arn:aws:iam::123456789012:role/serving"

    def execute(self, name, request, stop):
        if "Environment" in request:
            raise JobFailedError(request["Environment"]["reason"])
        assert stop.wait(30)
        return {}


@pytest.fixture
def services(tmp_path):
    context = Context(tmp_path, "123456789012", "us-east-1", Store(tmp_path / "cloud.sqlite"), {})
    return SimpleNamespace(
        context=context, identity=Permissive(), discard=lambda kind, name: None, quotas=Quotas(context)
    )


@pytest.fixture
def jobs(services):
    jobs = TransformJobs(services)
    yield jobs
    jobs.close()


def test_a_job_that_is_stopped_is_described_with_the_members_of_the_service(jobs):
    jobs.create({"TransformJobName": "j", "ModelName": "m", "Tags": []})
    jobs.stop({"TransformJobName": "j"})
    job = jobs.wait("j")
    assert job["TransformJobStatus"] == "Stopped"
    assert job["TransformJobArn"].endswith(":transform-job/j")
    assert not {"LastModifiedTime", "Tags"} & set(job)
    [summary] = jobs.list_jobs({"StatusEquals": "Stopped"})["TransformJobSummaries"]
    assert summary["LastModifiedTime"] >= job["CreationTime"]
    assert "ModelName" not in summary


def test_a_job_that_fails_has_its_reason_and_keeps_its_name(jobs):
    jobs.create({"TransformJobName": "j", "Environment": {"reason": "ClientError: no"}})
    assert jobs.wait("j")["FailureReason"] == "ClientError: no"
    jobs.stop({"TransformJobName": "j"})
    assert jobs.describe({"TransformJobName": "j"})["TransformJobStatus"] == "Failed"
    with pytest.raises(ServiceError, match="already exists"):
        jobs.create({"TransformJobName": "j"})


def test_a_job_that_ran_when_the_cloud_was_stopped_has_failed(services):
    services.context.store.put("transform-job", "j", {"TransformJobName": "j", "TransformJobStatus": "InProgress"})
    assert TransformJobs(services).describe({"TransformJobName": "j"})["TransformJobStatus"] == "Failed"
    assert not [thread for thread in threading.enumerate() if thread.name == "j"]
