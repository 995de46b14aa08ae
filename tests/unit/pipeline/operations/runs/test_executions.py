"""Starting, finding and stopping runs."""

from __future__ import annotations

import json

import boto3
import pytest

from pipeline.operations.runs import executions
from pipeline.settings import Settings
from steps.contracts import imagenet_weights
from steps.contracts.errors import PipelineError

pytestmark = pytest.mark.usefixtures("account")
DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 30}],
    "Steps": [],
}


@pytest.fixture
def upserted(account: None, settings: Settings) -> None:
    boto3.client("sagemaker", region_name="us-east-1").create_pipeline(
        PipelineName=settings.name,
        PipelineDefinition=json.dumps(DEFINITION),
        RoleArn=settings.role_arn("pipeline"),
        ClientRequestToken="x" * 32,
    )


def test_a_run_of_a_pipeline_that_is_not_there_is_answered_with_upsert(settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"bins is not in account 111122223333.*upsert"):
        executions.start(settings, {})


@pytest.mark.usefixtures("upserted")
def test_a_started_run_has_the_parameters_that_were_given(settings: Settings) -> None:
    run = executions.start(settings, {"Epochs": "3"}, name="try")
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    values = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=run.arn)["PipelineParameters"]
    assert values == [{"Name": "Epochs", "Value": "3"}]
    assert run.arn.endswith(f"pipeline/bins/execution/{run.id}")


@pytest.mark.usefixtures("upserted")
def test_a_wrong_parameter_starts_nothing(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="Epochs needs a whole number"):
        executions.start(settings, {"Epochs": "many"})
    assert executions.runs(settings) == []


@pytest.mark.usefixtures("upserted")
def test_a_run_is_found_by_latest_by_id_and_by_arn(settings: Settings) -> None:
    executions.start(settings, {})
    run = executions.start(settings, {})
    assert executions.resolve(settings, run.id).arn == run.arn
    assert executions.resolve(settings, run.arn).arn == run.arn
    assert executions.resolve(settings, "latest").arn in {one.arn for one in executions.runs(settings)}


@pytest.mark.usefixtures("upserted")
def test_latest_of_no_runs_is_answered_with_start(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="no runs yet; start one"):
        executions.resolve(settings, "latest")


@pytest.mark.usefixtures("upserted")
def test_a_run_that_is_not_there_is_named(settings: Settings) -> None:
    executions.start(settings, {})
    with pytest.raises(PipelineError, match="has no run nothere"):
        executions.resolve(settings, "nothere")


@pytest.mark.usefixtures("upserted")
def test_a_run_that_has_ended_cannot_be_stopped(settings: Settings) -> None:
    run = executions.start(settings, {})  # moto ends it at once
    with pytest.raises(PipelineError, match=f"{run.id} has already ended: Succeeded"):
        executions.stop(settings, run.id)


@pytest.mark.usefixtures("upserted")
def test_the_list_is_cut_to_its_limit(settings: Settings) -> None:
    for _ in range(3):
        executions.start(settings, {})
    assert len(executions.runs(settings, limit=2)) == 2


def test_no_run_begins_without_its_initial_weights(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    hyperparameters = {"architecture": "resnet34", "weights": settings.weights_uri}
    trial = {"TrainingJobDefinition": {"StaticHyperParameters": hyperparameters}}
    steps = [{"Name": "TuneModel", "Type": "Tuning", "Arguments": trial}]
    monkeypatch.setattr(executions, "definition", lambda *_: {**DEFINITION, "Steps": steps})
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    sagemaker.create_pipeline(
        PipelineName=settings.name,
        PipelineDefinition=json.dumps(DEFINITION),
        RoleArn=settings.role_arn("pipeline"),
        ClientRequestToken="x" * 32,
    )
    with pytest.raises(PipelineError, match=f"there is no object {settings.weights_uri}; .* pipeline weights"):
        executions.start(settings, {})
    assert executions.runs(settings) == []
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)
    s3.put_object(Bucket=settings.data.bucket, Key="bin-counting/weights/resnet34-b627a593.pth", Body=b"x")
    with pytest.raises(PipelineError, match=r"has 1 byte, and torchvision's file about 87\.3 MB; replace it: "):
        executions.start(settings, {})
    assert executions.runs(settings) == []
    published = imagenet_weights.FILES["resnet34"]._replace(mebibytes=1 / 2**20)
    monkeypatch.setitem(imagenet_weights.FILES, "resnet34", published)
    executions.start(settings, {})
    assert len(executions.runs(settings)) == 1
