"""From a version back to its run, its training, its data set, its query and its photos; and what is gone by then."""

from __future__ import annotations

import hashlib
import json
import uuid

import pytest
from botocore.exceptions import ClientError

from pipeline import ROOT
from pipeline.operations.dataset import description as dataset
from pipeline.operations.models import lineage
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from steps.contracts.dataset import NAME, DatasetIndex, Shard, Sharding, Split
from steps.contracts.errors import PipelineError
from tests.integration.conftest import ROLE, wait_until
from tests.integration.test_pipelines import COUNT, finish, two_steps_and_a_gate
from tests.integration.test_tuning import TRAIN, finish_tuning, tuning
from tests.unit.pipeline.operations.models.evaluated import package, register

KINDS = [
    "artifact",
    "evaluation",
    "run",
    "commit",
    "tuning_job",
    "training_job",
    "index",
    "query",
    "raw_photos",
    "images",
]


@pytest.fixture(scope="module")
def settings(local_cloud):
    """Settings with a bucket and a group of their own."""
    values = load_settings(ROOT / "pipeline.yaml", "demo").model_dump()
    values["data"]["bucket"] = local_cloud.bucket()
    values["registry"]["group"] = f"g-{uuid.uuid4().hex[:10]}"
    sagemaker = local_cloud.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName=values["registry"]["group"])
    local_cloud.client("s3").put_object(Bucket=values["data"]["bucket"], Key="model.tar.gz", Body=b"model")
    return Settings.model_validate(values)


@pytest.fixture(scope="module")
def made(local_cloud, settings):
    """What a version is made from: a run, a tuning job, an index, a query, photos; as its package would name them."""
    sagemaker, s3, bucket = local_cloud.client("sagemaker"), local_cloud.client("s3"), settings.data.bucket
    name = f"p-{uuid.uuid4().hex[:10]}"
    definition = two_steps_and_a_gate(local_cloud, bucket, local_cloud.image(COUNT))
    sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE)
    run = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    finish(sagemaker, run)
    s3.put_object(Bucket=bucket, Key="index/part.json", Body=b"{}")
    job = finish_tuning(sagemaker, tuning(bucket, local_cloud.image(TRAIN, "train.py"), trials=2))
    s3.put_object(Bucket=bucket, Key="data/index.json", Body=index().model_dump_json().encode())
    s3.put_object(Bucket=bucket, Key="raw/bin-images/1.jpg", Body=b"photo")
    return {
        "pipeline_execution_arn": run,
        "parameter_Epochs": "3",
        "parameter_ImageLocation": f"s3://{bucket}/raw",
        "parameter_DataVersion": "2026-01",
        "tuning_job": job["HyperParameterTuningJobName"],
        "training_job": job["BestTrainingJob"]["TrainingJobName"],
        "dataset_sha256": dataset.read(settings, f"s3://{bucket}/data").sha256,
        "index": f"s3://{bucket}/data",
        "query_execution_id": query(local_cloud, bucket),
        "query_image": "registry/processing:query-1",
        "training_image": "registry/training:train-1",
    }


def index(seed: int = 1) -> DatasetIndex:
    splits = {
        name: Split(
            shards=[
                Shard(
                    uri=f"s3://b/{name}.tar",
                    samples=samples,
                    bytes=10,
                    sha256=hashlib.sha256(name.encode()).hexdigest(),
                )
            ],
            class_counts={1: samples},
        )
        for name, samples in (("train", 8), ("validation", 3), ("test", 2))
    }
    sharding = Sharding(
        split="grouped",
        seed=seed,
        fractions={"train": 0.8, "validation": 0.1, "test": 0.1},
        image_size=64,
        quality=90,
    )
    return DatasetIndex(sharding=sharding, splits=splits)


def query(local_cloud, bucket):
    athena = local_cloud.client("athena")
    query_id = athena.start_query_execution(
        QueryString="\nSELECT 1 AS one\nWHERE true", ResultConfiguration={"OutputLocation": f"s3://{bucket}/athena/"}
    )["QueryExecutionId"]

    def ended():
        state = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]["State"]
        return state in ("SUCCEEDED", "FAILED")

    wait_until(ended)
    return query_id


def links(settings, arn):
    history = lineage.read(settings, arn)
    return {link.kind: link for link in history.links}


def test_each_link_of_a_version_is_there_with_its_facts(settings, made):
    arn = register(settings, uuid.uuid4().hex, [1, 2], [1, 2], metadata=made)
    listed = links(settings, arn)
    assert list(listed) == KINDS
    assert {kind for kind, link in listed.items() if link.exists} == set(KINDS) - {"commit", "images"}
    assert listed["artifact"].facts["bytes"] == 5
    run = listed["run"]
    assert (run.id, run.facts["status"]) == (made["pipeline_execution_arn"], "Succeeded")
    assert list(run.facts["steps"]) == ["First", "Second", "Gate", "Passed"]
    assert run.facts["parameters"]["Epochs"] == "3"
    tuned, trained = listed["tuning_job"].facts, listed["training_job"].facts
    assert (tuned["best"], tuned["objective"]) == (made["training_job"], "Maximize validation:best")
    assert tuned["best_objective"] == pytest.approx(trained["metrics"]["validation:best"])
    assert trained["hyperparameters"]["epochs"] == "2"
    assert float(tuned["searched"]["rate"]) == pytest.approx(tuned["best_objective"], abs=1e-4)
    assert listed["index"].facts == {
        "sha256": made["dataset_sha256"],
        "split": "grouped",
        "photos": {"train": 8, "validation": 3, "test": 2},
        "shards": 3,
    }
    asked = listed["query"].facts
    assert (asked["state"], asked["statement"]) == ("SUCCEEDED", "SELECT 1 AS one")
    assert listed["raw_photos"].facts == {"data_version": "2026-01"}
    assert listed["images"].facts == {"query": "registry/processing:query-1", "training": "registry/training:train-1"}
    assert listed["commit"].note == "not recorded"


def test_commit_and_repository_are_those_that_the_package_records(settings, made, sagemaker):
    source = {"CommitId": "0123abc", "Repository": "https://example.com/bins"}
    uri = f"s3://{settings.data.bucket}/evaluation.json"
    request = package(settings, uri, CustomerMetadataProperties=made, MetadataProperties=source)
    commit = links(settings, sagemaker.create_model_package(**request)["ModelPackageArn"])["commit"]
    assert (commit.id, commit.note, commit.facts) == ("0123abc", "", {"repository": "https://example.com/bins"})


def test_a_link_that_is_gone_says_so_and_the_others_stay(settings, made):
    bucket = settings.data.bucket
    lost = {
        "pipeline_execution_arn": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/gone00000000",
        "tuning_job": "gone",
        "training_job": "gone",
        "index": f"s3://{bucket}/gone",
        "query_execution_id": str(uuid.uuid4()),
        "parameter_ImageLocation": "s3://no-such-bucket-anywhere/raw",
    }
    listed = links(settings, register(settings, uuid.uuid4().hex, [1], [1], metadata={**made, **lost}))
    gone = {kind for kind, link in listed.items() if link.exists is False}
    assert gone == {"run", "tuning_job", "training_job", "index", "query", "raw_photos"}
    assert {listed[kind].note for kind in gone} == {"no longer exists"}
    assert listed["run"].facts["parameters"]["Epochs"] == "3"
    assert listed["index"].facts == {"sha256": made["dataset_sha256"]}
    assert listed["artifact"].exists


def test_an_index_that_was_written_anew_is_told_from_the_one_that_was_trained_on(settings, made, local_cloud):
    bucket = settings.data.bucket
    body = index(seed=2).model_dump_json().encode()
    local_cloud.client("s3").put_object(Bucket=bucket, Key=f"other/{NAME}", Body=body)
    arn = register(settings, uuid.uuid4().hex, [1], [1], metadata={**made, "index": f"s3://{bucket}/other"})
    link = links(settings, arn)["index"]
    assert link.exists
    assert link.note.startswith("written again after the run: its hash is ")
    assert link.note.endswith(f"not {made['dataset_sha256'][:12]}")


def test_a_model_whose_data_came_without_a_query_says_that_there_was_none(settings, made):
    metadata = {**made, "query_execution_id": "none"}
    asked = links(settings, register(settings, uuid.uuid4().hex, [1], [1], metadata=metadata))["query"]
    assert (asked.id, asked.exists, asked.note) == ("", None, "none in this run")


def test_a_link_that_one_may_not_look_at_says_so_and_the_others_stay(settings, made, monkeypatch):
    arn = register(settings, uuid.uuid4().hex, [1], [1], metadata=made)
    real = lineage.client

    def client(settings, service):
        made = real(settings, service)
        if service == "athena":
            made.meta.events.register("before-call.athena.GetQueryExecution", refuse)
        return made

    def refuse(**_):
        denied = {"Error": {"Code": "AccessDeniedException", "Message": "no athena:GetQueryExecution for you"}}
        raise ClientError(denied, "GetQueryExecution")

    monkeypatch.setattr(lineage, "client", client)
    listed = links(settings, arn)
    assert listed["query"].exists is None
    assert listed["query"].note == (
        "these credentials may not look (GetQueryExecution): no athena:GetQueryExecution for you"
    )
    assert listed["run"].exists


def test_a_version_that_no_run_registered_says_so_in_a_line(settings):
    arn = register(settings, uuid.uuid4().hex, [1], [1])
    with pytest.raises(PipelineError, match=r"version \d+ was not registered by a run of this pipeline: .*Properties"):
        lineage.read(settings, arn)
