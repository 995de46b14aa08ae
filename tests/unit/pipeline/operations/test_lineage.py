"""From a version back to its raw data, with links that are gone."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import PipelineError
from pipeline.operations import lineage
from pipeline.settings import Settings

from .test_registry import register, sagemaker

__all__ = ["sagemaker"]
pytestmark = pytest.mark.usefixtures("account")
ORIGIN = {
    "pipeline_execution_arn": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/abc123",
    "tuning_job": "abc123-TuneMode",
    "training_job": "abc123-TuneMode-001",
    "dataset_sha256": "0" * 64,
    "index": "s3://bins-gone/runs/abc123/shard/index",
    "query_execution_id": "11111111-1111-1111-1111-111111111111",
    "training_image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-training:train-abc",
    "parameter_ImageLocation": "s3://photos",
    "parameter_DataVersion": "1",
}


class Athena:
    """An Athena that forgot the query, as it does after 45 days; moto raises a KeyError there."""

    def get_query_execution(self, QueryExecutionId: str) -> None:
        error = {"Code": "InvalidRequestException", "Message": f"QueryExecution {QueryExecutionId} was not found"}
        raise ClientError({"Error": error}, "GetQueryExecution")


@pytest.fixture
def package(sagemaker: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A version whose origin a test may change; moto forgets what the service keeps of it."""
    arn = register(sagemaker, settings, "a.json")
    told: dict[str, Any] = {"CustomerMetadataProperties": dict(ORIGIN), "MetadataProperties": {}}
    found = sagemaker.describe_model_package(ModelPackageName=arn) | told
    monkeypatch.setattr("pipeline.operations.registry.describe", lambda settings, arn: found)
    monkeypatch.setattr(lineage, "client", lambda settings, name: Athena() if name == "athena" else sagemaker)
    return told


def test_what_is_gone_is_said_to_be_and_the_rest_is_told(package: dict[str, Any], settings: Settings) -> None:
    links = {link.kind: link for link in lineage.read(settings, "1").links}
    for kind in ("run", "tuning job", "training job", "query"):
        assert (links[kind].note, links[kind].facts) == (lineage.GONE, {}), kind
    assert "bins-gone" in links["dataset index"].note
    assert links["raw data"].name == "s3://photos"
    assert links["raw data"].facts == {"data version": "1"}
    assert links["images"].facts == {"training": "bins-training:train-abc"}


def test_the_commit_is_the_first_link(package: dict[str, Any], settings: Settings) -> None:
    assert lineage.read(settings, "1").links[0].note == "upsert was run outside a git repository"
    package["MetadataProperties"] |= {"CommitId": "0123abcd", "Repository": "https://example.com/owner/name"}
    first = lineage.read(settings, "1").links[0]
    assert (first.name, first.facts) == ("0123abcd", {"repository": "https://example.com/owner/name"})


def test_a_version_of_an_earlier_release_tells_what_it_knows(package: dict[str, Any], settings: Settings) -> None:
    for key in ("tuning_job", "training_job", "index", "query_execution_id"):
        del package["CustomerMetadataProperties"][key]
    kinds = [link.kind for link in lineage.read(settings, "1").links]
    assert kinds == ["commit", "run", "raw data", "images"]


def test_a_version_of_somebody_else_is_said_to_be(package: dict[str, Any], settings: Settings) -> None:
    package["CustomerMetadataProperties"].clear()
    with pytest.raises(PipelineError, match="not registered by this pipeline"):
        lineage.read(settings, "1")


def test_a_version_that_is_not_there_is_named(sagemaker: Any, settings: Settings) -> None:
    with pytest.raises(PipelineError, match="has no version 7"):
        lineage.read(settings, "7")
