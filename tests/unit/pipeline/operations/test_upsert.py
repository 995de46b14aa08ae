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
