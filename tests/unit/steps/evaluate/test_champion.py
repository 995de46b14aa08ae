"""The champion: read from the registry, evaluated on the same photos, compared in pairs."""

import numpy as np
import pytest
from botocore.exceptions import ClientError

from steps.contracts.errors import StepError
from steps.contracts.statistics.tally import Tally
from steps.evaluate.champion import ChampionModel, compare, load_champion
from steps.model.predictor import Predictor
from tests.unit.steps.evaluate.conftest import mislabelled
from tests.unit.steps.evaluate.networks import pack, write_artifact
from tests.unit.steps.train.photos import CLASSES, photos

GROUP = "bins"


class Registry:
    """SageMaker's two operations that versions are found with, answered in pages of one version."""

    def __init__(self, versions):
        self.versions = versions

    def get_paginator(self, operation):
        assert operation == "list_model_packages"
        return self

    def paginate(self, ModelPackageGroupName, ModelApprovalStatus=None, **_):
        assert ModelPackageGroupName == GROUP
        for version, (status, _) in self.versions.items():
            summary = {"ModelPackageVersion": version, "ModelPackageArn": f"arn:{version}"}
            matching = [{**summary, "ModelPackageStatus": "Completed"}]
            yield {"ModelPackageSummaryList": matching if ModelApprovalStatus in (None, status) else []}

    def describe_model_package(self, ModelPackageName):
        version = int(ModelPackageName.removeprefix("arn:"))
        uri = self.versions[version][1]
        return {
            "ModelApprovalStatus": self.versions[version][0],
            "ModelPackageVersion": version,
            "ModelPackageArn": ModelPackageName,
            "InferenceSpecification": {"Containers": [{"ModelDataUrl": uri}]},
        }


@pytest.fixture
def registry(job, monkeypatch):
    """A function that puts models into S3 and registers them: version -> (status, facts of the artifact)."""

    def register(versions):
        registered = {}
        for version, (status, facts) in versions.items():
            key = f"models/{version}/model.tar.gz"
            if facts is not None:
                archive = pack(write_artifact(job.base / f"version-{version}", facts.pop("classes", CLASSES), **facts))
                job.s3.put_object(Bucket=job.bucket, Key=key, Body=archive)
            registered[version] = (status, f"s3://{job.bucket}/{key}")
        monkeypatch.setattr("boto3.client", lambda service: Registry(registered))

    return register


def test_without_an_approved_version_there_is_none_and_nothing_is_lost(job, registry):
    job.store(photos(6, 100))
    job.put_model()
    registry({1: ("Rejected", {}), 2: ("PendingManualApproval", {})})
    evaluation = job.run(group=GROUP)
    assert evaluation["champion"] is None
    assert evaluation["gate"]["accuracy_loss"] == 0
    assert evaluation["gate"]["champion"] == "none (no version is approved yet)"


def test_the_latest_approved_version_is_evaluated_on_the_same_photos(job, registry):
    test = [*photos(9, 100), mislabelled("far", 0, 2)]
    job.store(test)
    job.put_model()
    registry(
        {
            1: ("Approved", {}),
            9: ("Approved", {"classes": (0, 1)}),
            10: ("Approved", {"classes": (0, 2)}),
            11: ("Rejected", {}),
        }
    )
    evaluation = job.run(group=GROUP)
    assert evaluation["champion"]["version"] == 10
    assert evaluation["champion"]["package_arn"] == "arn:10"
    # It does not know 1, of which there are three photos.
    assert evaluation["champion"]["score"]["accuracy"] == pytest.approx(6 / 10)
    assert evaluation["champion"]["accuracy"]["value"] == pytest.approx(9 / 10 - 6 / 10)
    assert evaluation["gate"]["accuracy_loss"] == pytest.approx(-3 / 10)
    assert "Against version 10" in job.report()


def test_a_worse_model_loses_accuracy_against_its_champion(job, registry):
    job.store(photos(9, 100))
    job.put_model(classes=(0, 1))
    registry({3: ("Approved", {})})
    evaluation = job.run(group=GROUP, maximum_accuracy_loss=0.01)
    assert evaluation["gate"]["accuracy_loss"] == pytest.approx(3 / 9)
    assert evaluation["gate"]["champion"] == "version 3"
    assert evaluation["gate"]["shown"] == {"accuracy": "0.6667", "rmse": "0.5774", "accuracy_loss": "0.3333"} | {
        "sure_accuracy": f"50% of the photos {evaluation['gate']['sure_accuracy']:.4f} (no threshold)"
    }
    report = job.report()
    assert "does not pass the gate" in report
    assert "33.3 points of accuracy lost against version 3, required: a loss of at most 1.0" in report


def test_a_champion_may_see_photos_of_another_size_and_decide_otherwise(job, registry):
    job.store(photos(9, 100))
    job.put_model()
    registry({1: ("Approved", {"decision": "expected"})})
    assert job.run(group=GROUP)["champion"]["score"]["accuracy"] == 1


def test_the_same_model_is_no_different(job, registry):
    job.store([*photos(9, 100), mislabelled("far", 0, 2)])
    job.put_model()
    registry({1: ("Approved", {})})
    comparison = job.run(group=GROUP)["champion"]
    nothing = {"value": 0, "lower": 0, "upper": 0}
    assert comparison["accuracy"] == comparison["rmse"] == nothing


def test_a_champion_whose_artifact_is_gone_ends_the_step_with_what_to_do(job, registry):
    job.store(photos(3, 100))
    job.put_model()
    registry({4: ("Approved", None)})
    with pytest.raises(StepError, match=r"version 4 of bins, cannot be evaluated: .*reject that version"):
        job.run(group=GROUP)


def test_a_registry_that_does_not_answer_ends_the_step_with_the_rights_it_wants(monkeypatch, tmp_path):
    class Denied(Registry):
        def paginate(self, **request):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListModelPackages")

    monkeypatch.setattr("boto3.client", lambda service: Denied({}))
    with pytest.raises(StepError, match="sagemaker:ListModelPackages"):
        load_champion(GROUP, tmp_path)


def champion(tmp_path):
    predictor = Predictor.load(write_artifact(tmp_path, CLASSES))
    return ChampionModel(1, "arn:1", predictor, "s3://bucket/models/1/model.tar.gz")


def by_resampling_photos(truth, ours, theirs):
    rng = np.random.default_rng(5)
    accuracy, rmse = [], []
    for _ in range(2000):
        rows = rng.integers(0, len(truth), len(truth))
        t, a, b = truth[rows], ours[rows], theirs[rows]
        accuracy.append(np.mean(t == a) - np.mean(t == b))
        rmse.append(np.sqrt(np.mean((t - a) ** 2)) - np.sqrt(np.mean((t - b) ** 2)))
    return np.percentile(accuracy, (2.5, 97.5)), np.percentile(rmse, (2.5, 97.5))


def test_the_interval_is_that_of_resampling_photos_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 800)
    ours = np.where(rng.random(800) < 0.5, truth, rng.integers(0, 6, 800))
    theirs = np.where(rng.random(800) < 0.4, truth, rng.integers(0, 6, 800))
    pairs = Tally()
    pairs.add(truth, ours, theirs)
    comparison = compare(champion(tmp_path), pairs, "s3://bucket/models/2")
    accuracy, rmse = by_resampling_photos(truth, ours, theirs)
    assert (comparison.accuracy.lower, comparison.accuracy.upper) == pytest.approx(tuple(accuracy), abs=0.006)
    assert (comparison.rmse.lower, comparison.rmse.upper) == pytest.approx(tuple(rmse), abs=0.02)
    assert comparison.accuracy.value == pytest.approx(np.mean(truth == ours) - np.mean(truth == theirs))


def test_many_quantities_are_compared_too(tmp_path):
    rng = np.random.default_rng(0)
    pairs = Tally()
    pairs.add(*(rng.integers(0, 60, 30_000) for _ in range(3)))
    comparison = compare(champion(tmp_path), pairs, "s3://bucket/models/2")
    assert comparison.accuracy.lower <= comparison.accuracy.value <= comparison.accuracy.upper
    assert comparison.rmse.lower <= comparison.rmse.value <= comparison.rmse.upper
