"""The forecast of a run's cached steps is correct; `--fresh` runs a step and what follows."""

import json
import uuid
from datetime import UTC, datetime

import pytest

from pipeline import ROOT
from pipeline.operations.caching import freshness, reuse, savings
from pipeline.operations.caching.reuse import Planned
from pipeline.operations.runs import executions, progress
from pipeline.settings.file import load_settings
from tests.integration.conftest import ROLE
from tests.integration.test_pipelines import COUNT, finish, processing

CACHED = ("QueryMetadata", "ShardImages", "TuneModel")
NOTHING = freshness.Fresh((), {})
CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT6H"}}


def place(step):
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['result'].S3Output.S3Uri"}


def content(step):
    value = {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{step}.PropertyFiles.Result"}, "Path": "score.value"}}
    return {"Std:Join": {"On": "", "Values": [value]}}


def small(local_cloud, handed_on):
    """The pipeline's steps as programs of a few lines; `handed_on` makes what each gets from the one before it."""
    image, output = local_cloud.image(COUNT), f"s3://{local_cloud.bucket()}/runs"
    query, shard, tune = CACHED
    steps = [
        processing(query, image, output, ["1", {"Get": "Parameters.DataVersion"}], **CACHE),
        processing(shard, image, output, ["2", handed_on(query)], **CACHE),
        processing(tune, image, output, ["3", handed_on(shard), {"Get": "Parameters.TrainingVersion"}], **CACHE),
        processing("EvaluateModel", image, output, ["4", handed_on(tune)]),
    ]
    steps[1]["Arguments"]["Environment"] = {"SHARD_VERSION": {"Get": "Parameters.ShardVersion"}}
    return {
        "Version": "2020-12-01",
        "Parameters": [{"Name": name, "Type": "String", "DefaultValue": "1"} for name in freshness.VERSIONS.values()],
        "Steps": steps,
    }


class Project:
    """A pipeline, the forecasts of its runs, and the runs themselves."""

    def __init__(self, sagemaker, definition):
        local = load_settings(ROOT / "pipeline.yaml", "local")
        self.settings = local.model_copy(update={"name": f"p-{uuid.uuid4().hex[:10]}"})
        self.sagemaker = sagemaker
        sagemaker.create_pipeline(
            PipelineName=self.settings.name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE
        )

    def predicted(self, fresh=NOTHING, **values):
        """The outcome of each cached step, or the run that it comes from."""
        definition = executions.definition(self.sagemaker, self.settings)
        planned = Planned(definition, {**values, **fresh.values}, fresh.steps)
        return reuse.forecast(self.settings, planned, savings.reader(self.settings), datetime.now(UTC))

    def run(self, **values):
        """Run it to its end; of each cached step the run that it came from, or `runs`."""
        execution = executions.start(self.settings, values)
        described, steps = finish(self.sagemaker, execution.arn)
        assert described["PipelineExecutionStatus"] == "Succeeded"
        return execution.arn, {
            name: steps[name].get("CacheHitResult", {}).get("SourcePipelineExecutionArn", "runs") for name in CACHED
        }


def sources(expected):
    """The outcome of each cached step, or the run that it comes from."""
    return {
        forecast.step: forecast.source if forecast.outcome == "cached" else str(forecast.outcome)
        for forecast in expected[:3]
    }


@pytest.fixture
def project(local_cloud, sagemaker):
    return lambda handed_on: Project(sagemaker, small(local_cloud, handed_on))


@pytest.mark.parametrize("handed_on", [place, content])
def test_a_second_run_is_foretold_and_fresh_runs_a_step_and_what_follows_again(project, handed_on):
    mine = project(handed_on)
    assert sources(mine.predicted()) == dict.fromkeys(CACHED, "runs")
    first, _ = mine.run()

    expected = mine.predicted()
    assert sources(expected) == dict.fromkeys(CACHED, first)
    assert (expected[3].step, expected[3].outcome) == ("EvaluateModel", "runs")
    _, outcomes = mine.run()
    assert outcomes == sources(expected)

    again = freshness.of(["ShardImages"], {}, datetime.now(UTC))
    predicted = sources(mine.predicted(again))
    assert predicted == {"QueryMetadata": first, "ShardImages": "runs", "TuneModel": "runs"}
    _, outcomes = mine.run(**again.values)
    assert outcomes == predicted

    # The next run has the old versions again, and their results.
    predicted = sources(mine.predicted())
    assert predicted == dict.fromkeys(CACHED, first)
    _, outcomes = mine.run()
    assert outcomes == predicted


def test_a_step_that_reads_the_place_of_one_that_runs_runs(project):
    mine = project(place)
    mine.run()
    predicted = sources(mine.predicted(DataVersion="2"))
    assert predicted == dict.fromkeys(CACHED, "runs")
    _, outcomes = mine.run(DataVersion="2")
    assert outcomes == predicted


def test_a_step_that_reads_the_content_of_one_that_runs_is_unsure_until_a_run_has_shown_it(project):
    mine = project(content)
    first, _ = mine.run()
    expected = mine.predicted(DataVersion="2")
    assert sources(expected) == {"QueryMetadata": "runs", "ShardImages": "unsure", "TuneModel": "unsure"}
    assert {forecast.condition for forecast in expected[1:3]} == {"QueryMetadata finds the same photos"}

    second, outcomes = mine.run(DataVersion="2")
    assert outcomes == {"QueryMetadata": "runs", "ShardImages": first, "TuneModel": first}

    predicted = sources(mine.predicted(DataVersion="2"))
    assert predicted == {"QueryMetadata": second, "ShardImages": first, "TuneModel": first}
    _, outcomes = mine.run(DataVersion="2")
    assert outcomes == predicted


def test_a_cached_step_has_saved_what_it_took_in_the_run_that_it_comes_from(project):
    mine = project(place)
    first, _ = mine.run()
    second, _ = mine.run()
    ran = {step.name: step for step in progress.read(mine.settings, first).steps}
    read = savings.reader(mine.settings)
    annotated = {step.name: step for step in read.annotated(progress.read(mine.settings, second)).steps}
    for name in CACHED:
        saving = annotated[name].saving
        assert saving.seconds == (ran[name].ended - ran[name].started).total_seconds()
        assert saving.usd > 0  # ml.m5.large has a price
        assert saving == read.of(name, first)
    assert annotated["EvaluateModel"].saving is None
