"""Batch transform jobs: a container, a prefix of objects, an answer per object."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from pipeline.operations.serving import batch
from tests.integration.conftest import ROLE, keys, read, wait_until
from tests.integration.test_registry_and_endpoints import SERVE, archive

VPC = {"SecurityGroupIds": ["sg-01234567"], "Subnets": ["subnet-01234567"]}


@pytest.fixture
def model(local_cloud, sagemaker):
    """A model and its bucket."""
    bucket, name = local_cloud.bucket(), f"m-{uuid.uuid4().hex[:10]}"
    local_cloud.client("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=archive(b"mine"))
    container = {"Image": local_cloud.image(SERVE, "serve.py"), "ModelDataUrl": f"s3://{bucket}/model.tar.gz"}
    sagemaker.create_model(
        ModelName=name,
        PrimaryContainer=container,
        ExecutionRoleArn=ROLE,
        EnableNetworkIsolation=True,
        VpcConfig=VPC,
    )
    return name, bucket


def transform(sagemaker, model, bucket, source_more=None, output_more=None, **more):
    """Run a job over `in/` to its end. Returns its description."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in/"}}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=model,
        **{"MaxConcurrentTransforms": 4, **more},
        TransformInput={"DataSource": source, "ContentType": "image/jpeg", **(source_more or {})},
        TransformOutput={
            "S3OutputPath": f"s3://{bucket}/out",
            "Accept": "application/json",
            "KmsKeyId": "key",
            **(output_more or {}),
        },
        TransformResources={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeKmsKeyId": "key"},
    )

    def ended():
        description = sagemaker.describe_transform_job(TransformJobName=name)
        return description if description["TransformJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait_until(ended)


def test_every_object_below_the_prefix_has_its_answer(local_cloud, sagemaker, model):
    name, bucket = model
    s3 = local_cloud.client("s3")
    for number in range(30):
        s3.put_object(Bucket=bucket, Key=f"in/{number % 3}/{number}.jpg", Body=b"x" * number)
    job = transform(sagemaker, name, bucket, Environment={"MODEL_VERSION": "5"})
    assert job["TransformJobStatus"] == "Completed"
    answers = keys(s3, bucket, "out/")
    assert sorted(answers) == sorted(f"out/{number % 3}/{number}.jpg.out" for number in range(30))
    assert json.loads(read(s3, f"s3://{bucket}/out/1/7.jpg.out")) == {"model": "mine", "bytes": 7, "version": "5"}


def test_lines_are_records_that_are_filtered_and_joined_with_their_answers(local_cloud, sagemaker, model):
    name, bucket = model
    s3 = local_cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="in/a.jsonl", Body=b'{"id": 1, "x": "ab"}\n{"id": 2, "x": "abc"}\n')
    processing = {"InputFilter": "$.x", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}
    job = transform(
        sagemaker,
        name,
        bucket,
        {"ContentType": "application/jsonlines", "SplitType": "Line"},
        {"AssembleWith": "Line"},
        BatchStrategy="SingleRecord",
        DataProcessing=processing,
    )
    assert (job["TransformJobStatus"], job["DataProcessing"]) == ("Completed", processing), job.get("FailureReason")
    lines = read(s3, f"s3://{bucket}/out/a.jsonl.out").splitlines()
    joined = [(line["id"], line["SageMakerOutput"]["bytes"]) for line in map(json.loads, lines)]
    assert joined == [(1, 4), (2, 5)]  # JSON texts, with their quotes


def test_a_network_and_keys_are_kept_and_shown(local_cloud, sagemaker, model):
    name, bucket = model
    local_cloud.client("s3").put_object(Bucket=bucket, Key="in/a.jpg", Body=b"x")
    job = transform(sagemaker, name, bucket)
    assert job["TransformOutput"]["KmsKeyId"] == job["TransformResources"]["VolumeKmsKeyId"] == "key"
    described = sagemaker.describe_model(ModelName=name)
    assert (described["EnableNetworkIsolation"], described["VpcConfig"]) == (True, VPC)


def test_an_object_that_the_container_refuses_fails_the_job_with_its_key(local_cloud, sagemaker, model):
    name, bucket = model
    for key, body in (("in/a.jpg", b"good"), ("in/b.jpg", b"bad")):
        local_cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    job = transform(sagemaker, name, bucket)
    assert job["TransformJobStatus"] == "Failed"
    assert f's3://{bucket}/in/b.jpg: the container answered 400: {{"error": "not a JPEG"}}' in job["FailureReason"]


def test_an_object_above_the_payload_fails_the_job_and_one_below_it_does_not(local_cloud, sagemaker, model):
    name, bucket = model
    s3 = local_cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="in/a.jpg", Body=b"x" * 7_000_000)
    assert "in/a.jpg has 7000000 bytes, above MaxPayloadInMB" in transform(sagemaker, name, bucket)["FailureReason"]
    limits = {"MaxPayloadInMB": batch.MAX_PAYLOAD_MEGABYTES, "MaxConcurrentTransforms": batch.CONCURRENT_TRANSFORMS}
    assert transform(sagemaker, name, bucket, **limits)["TransformJobStatus"] == "Completed"
    assert json.loads(read(s3, f"s3://{bucket}/out/a.jpg.out"))["bytes"] == 7_000_000


def test_payload_and_concurrency_have_a_limit_together(sagemaker, model):
    with pytest.raises(ClientError, match=r"MaxConcurrentTransforms \(9\) x MaxPayloadInMB \(12\) exceeds 100 MB"):
        transform(sagemaker, *model, MaxPayloadInMB=12, MaxConcurrentTransforms=9)


def test_an_empty_prefix_fails_the_job(sagemaker, model):
    job = transform(sagemaker, *model)
    assert "No S3 objects found" in job["FailureReason"]


def test_a_model_that_is_not_there_is_named(sagemaker, model):
    with pytest.raises(ClientError, match="Could not find model"):
        transform(sagemaker, "absent", model[1])
