"""Versions of the model, their metrics, and the decision on each."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import boto3
import pytest

from pipeline.operations.models import evaluations, registry
from pipeline.operations.models.evaluations import Evaluation
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.models import evaluated

pytestmark = pytest.mark.usefixtures("account")
EVALUATION = {
    "multiclass_classification_metrics": {"accuracy": {"value": 0.58, "standard_deviation": 0.01}},
    "regression_metrics": {"rmse": {"value": 0.91, "standard_deviation": 0.02}},
}


@pytest.fixture
def sagemaker(account: None, settings: Settings) -> Any:
    client = boto3.client("sagemaker", region_name="us-east-1")
    client.create_model_package_group(ModelPackageGroupName=settings.registry.group)
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)
    return client


def register(sagemaker: Any, settings: Settings, key: str, body: bytes | None = None) -> str:
    """A version with its evaluation at `key`; without `body` the evaluation is not in S3."""
    bucket = settings.data.bucket
    if body is not None:
        boto3.client("s3", region_name="us-east-1").put_object(Bucket=bucket, Key=key, Body=body)
    statistics = {"ContentType": "application/json", "S3Uri": f"s3://{bucket}/{key}"}
    arn: str = sagemaker.create_model_package(
        ModelPackageGroupName=settings.registry.group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        ModelMetrics={"ModelQuality": {"Statistics": statistics}},
    )["ModelPackageArn"]
    return arn


def test_a_version_is_listed_with_the_metrics_of_its_evaluation(sagemaker: Any, settings: Settings) -> None:
    evaluated.register(settings, "a", [1, 2, 3, 4], [1, 2, 5, 5])
    [version] = registry.versions(settings)
    found = version.evaluation
    assert (version.version, version.status, version.package_status) == (1, "PendingManualApproval", "Completed")
    assert (found.accuracy, found.mae, found.within_one) == (0.5, 0.75, 0.75)
    assert found.rmse == pytest.approx((5 / 4) ** 0.5)
    assert (found.photos, found.dataset_sha256, found.split) == (4, "a" * 64, "grouped")
    assert [one.accuracy for one in found.per_class.values()] == [1, 1, 0, 0]
    assert found.champion is None


def test_a_version_is_listed_with_the_champion_that_it_was_judged_beside(sagemaker: Any, settings: Settings) -> None:
    evaluated.register(settings, "a", [1, 2, 3, 4] * 25, [1, 2, 3, 4] * 25, champion=(7, [1, 2, 3, 5] * 25))
    [version] = registry.versions(settings)
    champion = version.evaluation.champion
    assert champion is not None
    assert (champion.version, champion.accuracy.value, champion.rmse.value) == (7, 0.25, -0.5)
    assert 0.1 < champion.accuracy.lower < 0.25 < champion.accuracy.upper < 0.4


def test_versions_are_listed_newest_first_and_flat_for_machines(sagemaker: Any, settings: Settings) -> None:
    for name in "abc":
        evaluated.register(settings, name, [1, 2], [1, 2])
    registry.decide(settings, "2", "Rejected", "no")
    listed = [one.flat() for one in registry.versions(settings)]
    assert [one["version"] for one in listed] == [3, 2, 1]
    assert [one["status"] for one in listed] == ["PendingManualApproval", "Rejected", "PendingManualApproval"]
    assert {name: listed[0][name] for name in ("accuracy", "rmse", "mae", "within_one", "package_status")} == {
        "accuracy": 1,
        "rmse": 0,
        "mae": 0,
        "within_one": 1,
        "package_status": "Completed",
    }


def test_a_version_whose_evaluation_is_gone_is_listed_without_metrics(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "gone.json")
    [version] = registry.versions(settings)
    assert version.evaluation == Evaluation()


def test_an_evaluation_without_a_figure_is_listed_with_the_others(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "a.json", json.dumps(EVALUATION).encode())
    [version] = registry.versions(settings)
    deviations = {"accuracy": 0.01, "rmse": 0.02}
    assert version.evaluation == Evaluation(accuracy=0.58, rmse=0.91, deviations=deviations)


@pytest.mark.parametrize(
    ("body", "what"), [(b"{", "not JSON"), (b"[]", "not an evaluation"), (b'{"within_one": 1}', "not an evaluation")]
)
def test_an_evaluation_that_is_damaged_is_named_and_hides_no_other(
    sagemaker: Any, settings: Settings, body: bytes, what: str
) -> None:
    register(sagemaker, settings, "a.json", json.dumps(EVALUATION).encode())
    register(sagemaker, settings, "damaged.json", body)
    damaged, good = registry.versions(settings)
    assert damaged.evaluation.problem.startswith(f"s3://{settings.data.bucket}/damaged.json: {what}")
    assert damaged.evaluation.problem.endswith("; restore the file, or reject the version")
    assert good.evaluation.accuracy == 0.58
    with pytest.raises(PipelineError, match=f"version 2 cannot be approved: s3://.*damaged.json: {what}"):
        registry.decide(settings, "2", "Approved")
    assert registry.decide(settings, "2", "Rejected").status == "Rejected"


def test_an_evaluation_that_was_changed_after_the_registration_is_none(sagemaker: Any, settings: Settings) -> None:
    body = json.dumps(EVALUATION).encode()
    register(sagemaker, settings, "a.json", body)
    s3, uri = boto3.client("s3", region_name="us-east-1"), f"s3://{settings.data.bucket}/a.json"
    assert evaluations.read(s3, uri, hashlib.sha256(body).hexdigest()).accuracy == 0.58
    assert evaluations.read(s3, uri, hashlib.sha256(b"better").hexdigest()) == Evaluation(
        problem=f"{uri} was changed after the registration of the version; reject the version"
    )


def test_a_version_is_found_by_latest_by_number_and_by_arn(sagemaker: Any, settings: Settings) -> None:
    first = register(sagemaker, settings, "a.json")
    second = register(sagemaker, settings, "b.json")
    assert registry.resolve(settings, "1").arn == first
    assert registry.resolve(settings, second).version == 2
    assert registry.resolve(settings, "latest").version in (1, 2)


def test_a_version_that_is_not_there_is_named(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "a.json")
    with pytest.raises(PipelineError, match="has no version 7"):
        registry.resolve(settings, "7")


@pytest.mark.parametrize("reference", ["newest", "arn:aws:s3:::bucket", ""])
def test_what_names_no_version_is_refused_before_it_is_asked_for(settings: Settings, reference: str) -> None:
    with pytest.raises(PipelineError, match=f"'{reference}' is no version"):
        registry.resolve(settings, reference)


def test_latest_of_none_is_said(sagemaker: Any, settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"no versions in the group \w+ yet; .* one: python -m pipeline start"):
        registry.resolve(settings, "latest")


def test_an_approval_is_kept_with_its_comment(sagemaker: Any, settings: Settings) -> None:
    arn = register(sagemaker, settings, "a.json")
    approved = registry.decide(settings, "latest", "Approved", "looks good")
    assert (approved.status, approved.comment) == ("Approved", "looks good")
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"


@pytest.mark.parametrize("decision", ["Approved", "Rejected"])
def test_a_decision_that_stands_is_not_taken_again(
    sagemaker: Any, settings: Settings, decision: registry.Decision
) -> None:
    register(sagemaker, settings, "a.json")
    registry.decide(settings, "1", decision)
    with pytest.raises(PipelineError, match=f"version 1 is {decision.lower()} already"):
        registry.decide(settings, "1", decision)


def test_an_approved_version_can_be_rejected(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "a.json")
    registry.decide(settings, "1", "Approved")
    assert registry.decide(settings, "1", "Rejected", "counts badly").status == "Rejected"


def test_summaries_are_those_of_a_status_in_pages_of_a_hundred(sagemaker: Any, settings: Settings) -> None:
    for name in "abc":
        register(sagemaker, settings, f"{name}.json")
    registry.decide(settings, "2", "Rejected")
    sizes: list[int] = []
    boto3.DEFAULT_SESSION.events.register(
        "provide-client-params.sagemaker.ListModelPackages", lambda params, **_: sizes.append(params["MaxResults"])
    )
    assert [each.version for each in registry.summaries(settings, 250, "PendingManualApproval")] == [3, 1]
    assert [each.version for each in registry.summaries(settings, 2)] == [3, 2]
    assert sizes == [100, 2]


@pytest.mark.parametrize("decision", ["Approved", "Rejected"])
def test_a_refusal_is_the_reason_that_a_decision_has(
    sagemaker: Any, settings: Settings, decision: registry.Decision
) -> None:
    register(sagemaker, settings, "a.json")
    version = registry.resolve(settings, "1")
    assert registry.refusal(version, decision) == ""
    assert "already; nothing was changed" in registry.refusal(registry.decide(settings, "1", decision), decision)
