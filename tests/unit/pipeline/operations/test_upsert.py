"""Creating the pipeline, and bringing it up to date."""

from __future__ import annotations

import json

import boto3
import pytest

from pipeline.operations import check
from pipeline.operations import upsert as module
from pipeline.operations.upsert import upsert
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

pytestmark = pytest.mark.usefixtures("account")
DEFINITION = {"Version": "2020-12-01", "Parameters": [], "Steps": []}


@pytest.fixture(autouse=True)
def small_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling the real one takes seconds and is tested by itself."""
    monkeypatch.setattr(module, "checked_definition", lambda settings, source: json.dumps(DEFINITION))


def test_the_first_upsert_creates_the_pipeline_and_its_package_group(settings: Settings) -> None:
    result = upsert(settings)
    assert (result.change, result.model_package_group) == ("created", "created")
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    pipeline = sagemaker.describe_pipeline(PipelineName="bins")
    assert json.loads(pipeline["PipelineDefinition"]) == DEFINITION
    assert pipeline["RoleArn"] == "arn:aws:iam::111122223333:role/bins-pipeline"
    assert sagemaker.describe_model_package_group(ModelPackageGroupName="bins")["ModelPackageGroupName"] == "bins"


def test_the_pipeline_has_a_display_name_and_a_description(settings: Settings) -> None:
    upsert(settings)
    pipeline = boto3.client("sagemaker", region_name="us-east-1").describe_pipeline(PipelineName="bins")
    assert pipeline["PipelineDisplayName"] == "bin-counting-bins"
    assert pipeline["PipelineDescription"].startswith("Photos of warehouse bins")


def tags_of(arn: str) -> dict[str, str]:
    tags = boto3.client("sagemaker", region_name="us-east-1").list_tags(ResourceArn=arn)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def tagged(settings: Settings, **tags: str) -> Settings:
    return settings.model_copy(update={"tags": tags})


GROUP_ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/bins"


def test_the_pipeline_and_its_group_are_created_with_the_tags(settings: Settings) -> None:
    result = upsert(tagged(settings, team="vision", stage="test"))
    assert tags_of(result.arn) == {"team": "vision", "stage": "test"}
    assert tags_of(GROUP_ARN) == {"team": "vision", "stage": "test"}


def test_other_tags_are_set_on_what_exists_and_those_of_others_are_left(settings: Settings) -> None:
    arn = upsert(settings).arn
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    for resource in (arn, GROUP_ARN):
        sagemaker.add_tags(ResourceArn=resource, Tags=[{"Key": "created-by", "Value": "somebody"}])
    result = upsert(tagged(settings, team="vision"))
    assert (result.change, result.model_package_group) == ("updated", "updated")
    assert tags_of(arn) == tags_of(GROUP_ARN) == {"team": "vision", "created-by": "somebody"}
    again = upsert(tagged(settings, team="vision"))
    assert (again.change, again.model_package_group) == ("unchanged", "unchanged")


def test_an_upsert_of_the_same_definition_changes_nothing(settings: Settings) -> None:
    upsert(settings)
    again = upsert(settings)
    assert (again.change, again.model_package_group) == ("unchanged", "unchanged")


def test_another_definition_updates_the_pipeline(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    upsert(settings)
    another = json.dumps({**DEFINITION, "Metadata": {}})
    monkeypatch.setattr(module, "checked_definition", lambda settings, source: another)
    assert upsert(settings).change == "updated"
    pipeline = boto3.client("sagemaker", region_name="us-east-1").describe_pipeline(PipelineName="bins")
    assert "Metadata" in json.loads(pipeline["PipelineDefinition"])


def test_a_limit_on_parallel_steps_is_set_and_then_kept(settings: Settings) -> None:
    upsert(settings, parallelism=3)
    assert upsert(settings, parallelism=3).change == "unchanged"
    assert upsert(settings).change == "unchanged"
    pipeline = boto3.client("sagemaker", region_name="us-east-1").describe_pipeline(PipelineName="bins")
    assert pipeline["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 3}


def test_a_definition_with_problems_lists_them_all_and_touches_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {
        "Name": "Query",
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": "image"},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 0, "InstanceType": "ml.huge", "VolumeSizeInGB": 30}
            },
            "RoleArn": "arn:aws:iam::111122223333:role/bins-job",
        },
    }
    definition = json.dumps({**DEFINITION, "Steps": [broken]})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("pipeline.definition.compile_definition", lambda settings, source: definition)
    monkeypatch.setattr(module, "checked_definition", check.checked_definition)
    with pytest.raises(PipelineError) as caught:
        upsert(settings)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert [word for word in ("InstanceCount", "ml.huge") if word not in str(caught.value)] == []
    assert boto3.client("sagemaker", region_name="us-east-1").list_pipelines()["PipelineSummaries"] == []


def test_a_pipeline_without_its_initial_weights_is_not_upserted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hyperparameters = {"architecture": "resnet34", "weights": settings.weights_uri}
    trial = {"TrainingJobDefinition": {"StaticHyperParameters": hyperparameters}}
    definition = {**DEFINITION, "Steps": [{"Name": "TuneModel", "Type": "Tuning", "Arguments": trial}]}
    monkeypatch.setattr(module, "checked_definition", lambda settings, source: json.dumps(definition))
    with pytest.raises(PipelineError, match=f"there is no object {settings.weights_uri}; .* pipeline weights"):
        upsert(settings)
    assert boto3.client("sagemaker", region_name="us-east-1").list_pipelines()["PipelineSummaries"] == []
