"""A batch transform job's requests, what is looked at before it starts, and what it left."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from pipeline.aws.validation import validate_request
from pipeline.operations.models import registry
from pipeline.operations.serving import batch
from pipeline.operations.serving.predictions import NotCounted, Prediction
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError, StepError
from tests.unit.pipeline.operations.conftest import KEY
from tests.unit.pipeline.operations.models import evaluated

Requests = dict[str, dict[str, Any]]


@pytest.fixture
def requests(account: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Requests:
    """What SageMaker was asked, by operation; the account has an approved version 1, and a photo."""
    made: Requests = {}
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(region_name="us-east-1"))
    boto3.DEFAULT_SESSION.events.register(
        "provide-client-params.sagemaker.*", lambda params, model, **_: made.update({model.name: dict(params)})
    )
    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="new/1.jpg", Body=b"a photo")
    s3.create_bucket(Bucket=settings.data.bucket)
    sagemaker.create_model_package_group(ModelPackageGroupName=settings.registry.group)
    sagemaker.create_model_package(
        ModelPackageGroupName=settings.registry.group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://photos/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    return made


def test_without_a_vpc_or_a_key_neither_is_asked_for(requests: Requests, settings: Settings) -> None:
    job = batch.start(settings, "s3://photos/new/")
    assert (job.version, job.source) == (1, "s3://photos/new/")
    model, transform = requests["CreateModel"], requests["CreateTransformJob"]
    assert model["EnableNetworkIsolation"] is True
    assert "VpcConfig" not in model
    assert "KmsKeyId" not in transform["TransformOutput"]
    assert "VolumeKmsKeyId" not in transform["TransformResources"]


def test_the_model_and_the_job_have_the_tags_of_the_settings(requests: Requests, settings: Settings) -> None:
    batch.start(settings.model_copy(update={"tags": {"team": "vision"}}), "s3://photos/new/")
    for operation in ("CreateModel", "CreateTransformJob"):
        assert requests[operation]["Tags"] == [{"Key": "team", "Value": "vision"}]


def test_the_model_runs_in_the_vpc_and_the_job_encrypts_what_it_keeps(requests: Requests, secure: Settings) -> None:
    batch.start(secure, "s3://photos/new/")
    model, transform = requests["CreateModel"], requests["CreateTransformJob"]
    assert model["VpcConfig"] == {"SecurityGroupIds": ["sg-01234567"], "Subnets": ["subnet-01234567"]}
    assert transform["TransformOutput"]["KmsKeyId"] == KEY
    assert transform["TransformResources"]["VolumeKmsKeyId"] == KEY
    for operation in ("CreateModel", "CreateTransformJob"):
        assert validate_request("sagemaker", operation, requests[operation]) == []


def test_a_type_with_disks_of_its_own_gets_no_key_for_them(requests: Requests, secure: Settings) -> None:
    endpoint = secure.endpoint.model_copy(update={"batch_instance_type": "ml.g5.xlarge"})
    batch.start(secure.model_copy(update={"endpoint": endpoint}), "s3://photos/new/")
    assert "VolumeKmsKeyId" not in requests["CreateTransformJob"]["TransformResources"]


@pytest.fixture
def s3(account: None, settings: Settings) -> Any:
    """The bucket, two photos below `photos/`, and an approved version."""
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    sagemaker.create_model_package_group(ModelPackageGroupName=settings.registry.group)
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)
    evaluated.register(settings, "a", [1, 2], [1, 2])
    registry.decide(settings, "1", "Approved")
    for name in ("a.jpg", "b.jpg"):
        s3.put_object(Bucket=settings.data.bucket, Key=f"photos/{name}", Body=b"x" * 7_000_000)
    return s3


def transform_jobs() -> list[dict[str, Any]]:
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    names = [one["TransformJobName"] for one in sagemaker.list_transform_jobs()["TransformJobSummaries"]]
    return [sagemaker.describe_transform_job(TransformJobName=name) for name in names]


def test_a_job_takes_photos_of_twelve_megabytes_within_the_limit_of_all_that_are_sent_at_a_time(
    s3: Any, settings: Settings
) -> None:
    job = batch.start(settings, f"s3://{settings.data.bucket}/photos/")
    [made] = transform_jobs()
    assert (job.version, job.output) == (1, made["TransformOutput"]["S3OutputPath"])
    assert made["MaxPayloadInMB"] == 12
    assert made["MaxPayloadInMB"] * made["MaxConcurrentTransforms"] <= 100


@pytest.mark.parametrize("source", ["photos", "photos/", "photos//"])
@pytest.mark.parametrize("neighbour", ["photos-old/1.jpg", "photos.jpg", "photos2/deep/1.jpg"])
def test_a_folder_is_a_folder_and_no_beginning_of_a_name(
    s3: Any, settings: Settings, source: str, neighbour: str
) -> None:
    """The kind: a prefix that also means its neighbours, which are then counted and paid for."""
    bucket = settings.data.bucket
    s3.put_object(Bucket=bucket, Key=neighbour, Body=b"x" * 12_000_001)
    batch.start(settings, f"s3://{bucket}/{source}")
    [request] = transform_jobs()
    assert request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == f"s3://{bucket}/photos/"


def test_an_object_that_would_end_the_job_is_named_before_it_starts(s3: Any, settings: Settings) -> None:
    s3.put_object(Bucket=settings.data.bucket, Key="photos/large.tiff", Body=b"x" * 12_000_001)
    with pytest.raises(PipelineError, match=r"photos/large\.tiff has 12,000,001 bytes; an object above 12,000,000"):
        batch.start(settings, f"s3://{settings.data.bucket}/photos/")
    assert transform_jobs() == []


def test_an_output_that_holds_something_is_refused_and_another_is_taken(s3: Any, settings: Settings) -> None:
    bucket = settings.data.bucket
    s3.put_object(Bucket=bucket, Key="counts/old.jpg.out", Body=b"{}")
    for output in (f"s3://{bucket}/counts", f"s3://{bucket}/counts/"):
        with pytest.raises(PipelineError, match=f"s3://{bucket}/counts/ contains objects already"):
            batch.start(settings, f"s3://{bucket}/photos/", output=output)
    assert transform_jobs() == []
    assert batch.start(settings, f"s3://{bucket}/photos/", output=f"s3://{bucket}/count").output.endswith("/count")


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("photo", "", "s3://{bucket}/nothing/: no objects in this folder"),
        ("nowhere", "", "s3://nowhere-at-all/: there is no such bucket"),
        ("photos", "s3://nowhere-at-all/x", "s3://nowhere-at-all/x: there is no such bucket"),
        ("photos", "folder", "'folder/' is not an S3 URI"),
    ],
)
def test_a_place_that_is_none_is_named(s3: Any, settings: Settings, source: str, output: str, message: str) -> None:
    bucket = settings.data.bucket
    uris = {
        "photo": f"s3://{bucket}/nothing/",
        "photos": f"s3://{bucket}/photos/",
        "nowhere": "s3://nowhere-at-all/",
    }
    with pytest.raises((PipelineError, StepError)) as caught:
        batch.start(settings, uris[source], output=output)
    assert message.format(bucket=bucket) in str(caught.value)
    assert transform_jobs() == []


def test_answers_and_reasons_are_read_in_the_order_of_their_names_and_counted(s3: Any, settings: Settings) -> None:
    job = batch.start(settings, f"s3://{settings.data.bucket}/photos/")
    bucket, prefix = job.output.removeprefix("s3://").split("/", 1)
    good = {"count": 3, "expected": 2.9, "probabilities": {"3": 0.8, "2": 0.2}, "model_version": "1"}
    left = {"b.jpg": {"error": "truncated"}, "a.jpg": good, "c/d.jpg": ["another model's"]}
    for name, answer in left.items():
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}.out", Body=json.dumps(answer))
    found = list(batch.results(settings, job))
    assert [(one.source, type(one)) for one in found] == [
        ("a.jpg", Prediction),
        ("b.jpg", NotCounted),
        ("c/d.jpg", NotCounted),
    ]
    counts, reasons = batch.tally(iter(found))
    assert counts == {3: 1}
    assert reasons["truncated"] == 1


def test_the_first_photo_of_a_folder_is_that_of_its_listing(s3: Any, settings: Settings) -> None:
    bucket = settings.data.bucket
    s3.put_object(Bucket=bucket, Key="photos-old/0.jpg", Body=b"x")
    for source in ("photos", "photos/"):
        assert batch.first_photo(settings, f"s3://{bucket}/{source}") == f"s3://{bucket}/photos/a.jpg"
    with pytest.raises(PipelineError, match="nothing/: no objects in this folder"):
        batch.first_photo(settings, f"s3://{bucket}/nothing")
    job = batch.BatchJob("job", "Completed", 1, f"s3://{bucket}/photos/", "s3://answers")
    assert batch.photo_uri(job, "shelf/a.jpg") == f"s3://{bucket}/photos/shelf/a.jpg"
