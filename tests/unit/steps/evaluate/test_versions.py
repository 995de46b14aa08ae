"""The version that is this model already: found by its identity, and not registered a second time."""

import datetime
import json

import pytest
from botocore.exceptions import ClientError

from steps.contracts.errors import StepError
from steps.contracts.evaluation import FILE
from steps.evaluate import versions
from steps.evaluate.settings import Settings
from steps.evaluate.versions import Identity, same_artifact
from tests.unit.steps.arguments import EVALUATE
from tests.unit.steps.evaluate.networks import pack, write_artifact
from tests.unit.steps.evaluate.test_trials import STARTED, Tuning, summary
from tests.unit.steps.train.photos import CLASSES, photos

GROUP = "bins"
MODEL = "s3://bucket/models/run-TuneMod-001/output/model.tar.gz"
SAME = Identity(
    artifact=MODEL, dataset_sha256="d" * 64, decision="argmax", evaluation_image="train:e1", serving_image="serve:s1"
)
ENDED = datetime.datetime(2026, 1, 1, 12, 3, tzinfo=datetime.UTC)
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListModelPackages")


def recorded(**changes):
    """The customer metadata of a version that is the same, with changes; None leaves one out."""
    whole = {name: value for name, value in vars(SAME).items() if name != "artifact"} | {"tuning_job": "t", **changes}
    return {name: value for name, value in whole.items() if value is not None}


def package(status="PendingManualApproval", artifact=MODEL, properties=None, package_status="Completed", age=0, **more):
    """A version, `age` seconds older than the others."""
    return {
        "ModelApprovalStatus": status,
        "ModelPackageStatus": package_status,
        "CreationTime": ENDED + datetime.timedelta(hours=1, seconds=-age),
        "InferenceSpecification": {"Containers": [{"Image": "serve:s1", "ModelDataUrl": artifact}]},
        "CustomerMetadataProperties": recorded() if properties is None else properties,
        **more,
    }


class Registry(Tuning):
    """The operations on versions as SageMaker answers them, and those on the tuning job; counts what is described."""

    def __init__(self, *packages):
        super().__init__([summary("good", 0.5)])
        self.packages = {f"arn:{number}": made for number, made in enumerate(packages, 1)}
        self.described, self.since, self.operation = [], None, ""

    def describe_hyper_parameter_tuning_job(self, HyperParameterTuningJobName):
        job = super().describe_hyper_parameter_tuning_job(HyperParameterTuningJobName)
        job["BestTrainingJob"]["TrainingEndTime"] = ENDED
        return job

    def get_paginator(self, operation):
        self.operation = operation
        return self

    def paginate(self, **request):
        if self.operation != "list_model_packages":
            yield from super().paginate(**request)
            return
        assert request["ModelPackageGroupName"] == GROUP
        since = request.get("CreationTimeAfter")
        wanted = request.get("ModelApprovalStatus")
        listed = [
            {"ModelPackageArn": arn, "ModelPackageVersion": int(arn.removeprefix("arn:")), **made}
            for arn, made in self.packages.items()
            if wanted in (None, made["ModelApprovalStatus"]) and (since is None or made["CreationTime"] > since)
        ]
        if wanted is None:
            self.since = since
            assert (request["SortBy"], request["SortOrder"]) == ("CreationTime", "Descending")
            listed.sort(key=lambda made: (made["CreationTime"], made["ModelPackageVersion"]), reverse=True)
        size = request.get("PaginationConfig", {}).get("PageSize", 10)
        assert size <= 100
        for start in range(0, len(listed), size):
            yield {"ModelPackageSummaryList": listed[start : start + size]}
        if not listed:
            yield {"ModelPackageSummaryList": []}

    def describe_model_package(self, ModelPackageName):
        self.described.append(ModelPackageName)
        made = self.packages[ModelPackageName]
        number = int(ModelPackageName.removeprefix("arn:"))
        return {"ModelPackageArn": ModelPackageName, "ModelPackageVersion": number, **made}


@pytest.fixture
def registry(monkeypatch):
    """A function that makes the registry of these packages, numbered from 1."""

    def make(*packages, kind=Registry):
        made = kind(*packages)
        monkeypatch.setattr("boto3.client", lambda service: made)
        return made

    return make


def asked(**more):
    return versions.registration(Settings(**{**EVALUATE, "group": GROUP, **more}), SAME, ENDED)


def test_in_an_empty_group_there_is_none(registry):
    made = registry()
    answer = asked()
    assert (answer.wanted, answer.version, answer.package_arn, answer.status) == (1, None, "", "")
    assert answer.reason == "no version of bins has the same model, data, evaluation code and serving code"
    assert made.since == ENDED
    assert made.described == []


@pytest.mark.parametrize("status", ["PendingManualApproval", "Approved", "Rejected"])
def test_the_same_is_found_whatever_was_decided_on_it_and_is_not_registered_again(registry, status):
    registry(package("Approved", artifact="s3://bucket/models/other/output/model.tar.gz", age=9), package(status))
    answer = asked()
    assert (answer.wanted, answer.version, answer.package_arn, answer.status) == (0, 2, "arn:2", status)
    assert answer.reason == f"version 2 ({status}) is this model already"


def test_the_newest_of_several_is_named(registry):
    registry(package(age=2), package("Rejected", age=1), package(artifact="s3://bucket/models/other"))
    assert asked().version == 2


def test_it_is_registered_again_where_that_is_asked_for(registry):
    registry(package())
    answer = asked(register_again="yes")
    assert (answer.wanted, answer.version) == (1, 1)
    assert answer.reason == "version 1 (PendingManualApproval) is this model already, and another was asked for"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("PendingManualApproval", "; to have it Approved, as this run asks, approve version 1"),
        ("Rejected", "; to have it Approved, as this run asks, approve version 1"),
        ("Approved", ""),
    ],
)
def test_a_run_that_asks_for_an_approved_version_has_the_reason_to_approve_that_one(registry, status, words):
    registry(package(status))
    answer = asked(approval="Approved")
    assert answer.wanted == 0
    assert answer.reason == f"version 1 ({status}) is this model already{words}"


@pytest.mark.parametrize(
    "different",
    [
        pytest.param(package(artifact="s3://bucket/models/run-TuneMod-002/output/model.tar.gz"), id="another model"),
        pytest.param(package(properties=recorded(dataset_sha256="e" * 64)), id="other data"),
        pytest.param(package(properties=recorded(evaluation_image="train:e2")), id="other evaluation code"),
        pytest.param(package(properties=recorded(serving_image="serve:s2")), id="other serving code"),
        pytest.param(package(properties=recorded(decision="expected")), id="another decision"),
        pytest.param(package(properties=recorded(decision=None)), id="an older release's"),
        pytest.param(package(properties={}), id="registered by hand"),
        pytest.param(package(InferenceSpecification={}), id="without a container"),
        pytest.param(package(InferenceSpecification={"Containers": [{"Image": "x"}]}), id="without an artifact"),
        pytest.param(package(package_status="Failed"), id="failed"),
        pytest.param(package(package_status="Deleting"), id="being deleted"),
    ],
)
def test_what_differs_is_another_version(registry, different):
    registry(different)
    assert asked().wanted == 1


def test_a_package_without_any_metadata_is_another_version(registry):
    bare = package()
    del bare["CustomerMetadataProperties"]
    registry(bare)
    assert asked().wanted == 1


def test_without_the_images_no_version_is_the_same(registry):
    registry(package(properties=recorded(evaluation_image="", serving_image="")))
    unknown = Identity(MODEL, "d" * 64, "argmax", "", "")
    assert versions.find(GROUP, unknown, None) is None


def test_a_job_without_a_group_asks_nobody():
    answer = versions.registration(Settings(**EVALUATE), SAME, None)
    assert (answer.wanted, answer.reason) == (1, "no model package group was given")


def test_of_300_versions_those_since_the_training_are_described_alone(registry):
    others = [
        package(artifact=f"s3://bucket/models/{number}/output/model.tar.gz", age=86_400 + number)
        for number in range(297)
    ]
    newer = [package(artifact="s3://bucket/models/newer", age=age) for age in (2, 1)]
    made = registry(*others, package(age=3), *newer)
    assert asked().version == 298
    assert made.described == ["arn:300", "arn:299", "arn:298"]


def test_all_of_300_versions_are_looked_at_where_the_end_of_the_training_is_not_known(registry):
    others = [package(artifact="s3://bucket/models/other", age=number) for number in range(299)]
    made = registry(*others, package(age=86_400))
    assert versions.find(GROUP, SAME, None).number == 300
    assert len(made.described) == 300


def test_a_version_that_is_deleted_meanwhile_is_none(registry):
    class Deleting(Registry):
        def describe_model_package(self, ModelPackageName):
            if ModelPackageName == "arn:2":
                message = f"ModelPackage {ModelPackageName} does not exist."
                raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "Describe")
            return super().describe_model_package(ModelPackageName)

    registry(package(age=1), package(), kind=Deleting)
    assert asked().version == 1


class ListDenied(Registry):
    def paginate(self, **request):
        raise DENIED


class DescribeDenied(Registry):
    def describe_model_package(self, ModelPackageName):
        raise DENIED


@pytest.mark.parametrize("kind", [ListDenied, DescribeDenied])
def test_a_registry_that_does_not_answer_ends_the_step_with_the_rights_it_wants(registry, kind):
    registry(package(), kind=kind)
    with pytest.raises(StepError, match=r"group bins cannot be read for a version of this model: .*allow the job's"):
        asked()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (MODEL, MODEL, True),
        (MODEL, MODEL.removesuffix("/model.tar.gz"), True),
        (MODEL.removesuffix("model.tar.gz"), MODEL, True),
        (MODEL, MODEL.replace("001", "002"), False),
        ("", "", False),
    ],
)
def test_an_artifact_is_known_with_and_without_its_archives_name(first, second, same):
    assert same_artifact(first, second) is same


# --------------------------------------------------------------------------------------------------- the whole step


@pytest.fixture
def configured(job):
    """The job with a model whose artifact is one in S3, and the folder's configuration that says so."""
    job.store(photos(9, 100))
    archive = pack(write_artifact(job.base / "artifact", CLASSES, dataset_sha256=job.dataset_sha256))
    job.put_archive(archive)
    key = "models/run-TuneMod-001/output/model.tar.gz"
    job.s3.put_object(Bucket=job.bucket, Key=key, Body=archive)
    uri = f"s3://{job.bucket}/{key}"
    inputs = [{"InputName": "model", "S3Input": {"S3Uri": uri}}]
    (job.base / "config").mkdir()
    (job.base / "config/processingjobconfig.json").write_text(json.dumps({"ProcessingInputs": inputs}))
    return job, uri


IMAGES = {"evaluation_image": "train:e1", "serving_image": "serve:s1"}


def test_the_evaluation_and_the_report_say_which_version_this_model_is(configured, registry, caplog):
    job, uri = configured
    registry()
    sha256 = job.run(group=GROUP, tuning_job="job", **IMAGES)["dataset"]["sha256"]
    made = registry(package(artifact=uri, properties=recorded(dataset_sha256=sha256)))
    with caplog.at_level("INFO"):
        evaluation = job.run(group=GROUP, tuning_job="job", **IMAGES)
    assert evaluation["registration"] == {
        "wanted": 0,
        "version": 1,
        "package_arn": "arn:1",
        "status": "PendingManualApproval",
        "reason": "version 1 (PendingManualApproval) is this model already",
    }
    assert made.since == ENDED > STARTED
    sentence = "version 1 (PendingManualApproval) is this model already. A run that passes the gate registers nothing."
    assert sentence in job.report()
    assert caplog.messages[-1] == "registry: version 1 (PendingManualApproval) is this model already"


def test_a_new_model_is_registered_and_the_report_says_so(configured, registry):
    job, _ = configured
    registry()
    assert job.run(group=GROUP, **IMAGES)["registration"]["wanted"] == 1
    assert "serving code. A run that passes the gate registers a version." in job.report()


@pytest.mark.parametrize(("allowed", "counted"), [(-0.01, -0.01), (0.01, 0), (None, 0)])
def test_a_champion_that_is_this_model_counts_as_no_loss(configured, registry, allowed, counted):
    job, uri = configured
    # Another evaluation image: it will be a version of its own, and is the same model all the same.
    registry(package("Approved", artifact=uri, properties={}))
    evaluation = job.run(group=GROUP, maximum_accuracy_loss=allowed, minimum_accuracy=0.5, **IMAGES)
    assert evaluation["gate"]["accuracy_loss"] == counted
    assert evaluation["gate"]["champion"] == "version 1, which is this model"
    assert evaluation["gate"]["shown"]["accuracy_loss"] == "0.0000"
    assert evaluation["champion"]["this_model"] is True
    assert evaluation["registration"]["wanted"] == 1
    report = job.report()
    assert "This model passes the gate" in report
    assert "The champion, version 1, is this model." in report
    if allowed is not None:
        assert "champion: version 1, which is this model, so no loss is counted" in report


def test_a_threshold_that_was_raised_fails_the_same_model_too(configured, registry):
    job, uri = configured
    registry(package("Approved", artifact=uri, properties={}))
    job.run(group=GROUP, minimum_accuracy=1.1, maximum_accuracy_loss=-0.01, **IMAGES)
    assert "This model does not pass the gate" in job.report()


def test_another_champion_still_has_to_be_beaten(configured, registry):
    job, uri = configured
    other = uri.replace("001", "002")
    job.s3.copy_object(
        Bucket=job.bucket,
        Key=other.removeprefix(f"s3://{job.bucket}/"),
        CopySource=uri.removeprefix("s3://"),
    )
    registry(package("Approved", artifact=other))
    evaluation = job.run(group=GROUP, maximum_accuracy_loss=-0.01, **IMAGES)
    assert (evaluation["champion"]["this_model"], evaluation["gate"]["accuracy_loss"]) == (False, 0)
    assert "does not pass the gate" in job.report()


def test_a_registry_that_cannot_be_read_leaves_no_evaluation_for_the_gate(configured, registry):
    job, _ = configured
    registry(kind=ListDenied)
    with pytest.raises(StepError, match="sagemaker:ListModelPackages"):
        job.run(group=GROUP, **IMAGES)
    assert not (job.output / FILE).exists()
