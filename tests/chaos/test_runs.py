"""A run under faults as AWS has them ends as a calm run does: the same data, the same accuracy, one version."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline import ROOT
from pipeline.cli import demo_run
from pipeline.clients import client
from pipeline.connection import act_as, as_administrator
from pipeline.local import faults
from pipeline.operations.account import local as account
from pipeline.operations.account import people
from pipeline.operations.models import registry, trials
from pipeline.operations.runs import executions, progress
from pipeline.operations.serving import endpoint
from pipeline.operations.upsert import upsert
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.integration.conftest import keys, read, running

BINS = demo_run.Bins(source=None, count=700, seed=5)
SEEDS = (1, 2, 3)
# A trial has more epochs than one and a half times the mean; the trainer needs far less than the notice.
PLAN = {"throttled": 0.05, "capacity_errors": 1, "spot_interruptions": 1, "slow_downs": 40}
TIMES = {"spot_after_lines": 4, "notice_seconds": 30.0}


@dataclass(frozen=True)
class Outcome:
    """What a run has left in its account."""

    index: str
    evaluated: int
    accuracy: float
    deviation: float
    rmse: float
    rmse_deviation: float
    trials: list[str]
    versions: int
    models: int
    served: int
    attempts: dict[str, int]
    injected: Counter[str]


@pytest.fixture(scope="module")
def settings() -> Settings:
    values = load_settings(ROOT / "pipeline.yaml", "demo").model_dump()
    values["training"].update(epochs=10, image_size=64, spot=True, wait_time="2h")
    values["gate"].update(minimum_accuracy=0.0, maximum_rmse=10.0)
    return Settings.model_validate(values)


def carry_out(settings: Settings, directory: Path, plan: faults.Plan) -> Outcome:
    """A whole run in a cloud of its own, from the bins to the endpoint. Faults begin once the bins are there."""
    with running(directory):
        with as_administrator():
            account.prepare(settings)
        with act_as(people.sign_in(settings, "admin")):
            demo_run.put_bins(settings, BINS, Console(file=io.StringIO()))
        faults.write(directory, plan)
        with act_as(people.sign_in(settings, "ci")):
            upsert(settings)
        with act_as(people.sign_in(settings, "operator")):
            run = executions.start(settings, {"DataVersion": BINS.version})
            *_, last = progress.follow(settings, run.arn, interval=1.0)
        assert last.execution.status == "Succeeded", last.execution.failure
        (arn,) = filter(None, (step.arn("RegisterModel") for step in last.steps))
        with act_as(people.sign_in(settings, "approver")):
            version = registry.decide(settings, arn, "Approved", "after chaos")
            served = endpoint.wait(settings, version.arn, timeout=600, interval=0.5)
        injected = faults.counts(directory)
        faults.write(directory, faults.Plan())
        s3, sagemaker = client(settings, "s3"), client(settings, "sagemaker")
        evaluation = json.loads(read(s3, version.evaluation_uri))
        listed = sagemaker.list_model_packages(ModelPackageGroupName=settings.registry.group)
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=run.arn)["PipelineExecutionSteps"]
        accuracy = evaluation["multiclass_classification_metrics"]["accuracy"]
        rmse = evaluation["regression_metrics"]["rmse"]
        return Outcome(
            index=index_key(settings, s3),
            evaluated=evaluation["dataset"]["item_count"],
            accuracy=accuracy["value"],
            deviation=accuracy["standard_deviation"],
            rmse=rmse["value"],
            rmse_deviation=rmse["standard_deviation"],
            trials=[trial.status for trial in trials.read(settings, run.id).trials],
            versions=len(listed["ModelPackageSummaryList"]),
            models=len([key for key in keys(s3, settings.data.bucket, "") if key.endswith("model.tar.gz")]),
            served=int(served.version),
            attempts={step["StepName"]: step["AttemptCount"] for step in steps},
            injected=injected,
        )


def index_key(settings: Settings, s3: Any) -> str:
    """Key of the one index of the run: it contains the hash of all shards with their photos."""
    (key,) = [key for key in keys(s3, settings.data.bucket, "") if key.endswith("/index.json")]
    return key


@pytest.fixture(scope="module")
def calm(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    outcome = carry_out(settings, tmp_path_factory.mktemp("calm") / "cloud", faults.Plan())
    assert not outcome.injected
    return outcome


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_under_faults_ends_as_a_calm_one(seed: int, settings: Settings, calm: Outcome, tmp_path: Path) -> None:
    outcome = carry_out(settings, tmp_path / "cloud", faults.Plan(seed, **PLAN, **TIMES))
    print(f"seed {seed}: {outcome}; calm: accuracy {calm.accuracy}, RMSE {calm.rmse}")
    assert outcome.injected[faults.THROTTLED] > 0
    assert outcome.injected[faults.CAPACITY] == 1
    assert outcome.injected[faults.INTERRUPTED] == len(outcome.trials)
    assert outcome.injected[faults.SLOW_DOWN] == PLAN["slow_downs"]
    assert (outcome.index, outcome.evaluated) == (calm.index, calm.evaluated)
    assert outcome.trials == calm.trials == ["Completed", "Completed"]
    assert outcome.versions == calm.versions == outcome.served == 1
    assert outcome.models == calm.models
    assert outcome.accuracy == pytest.approx(calm.accuracy, abs=calm.deviation)
    assert outcome.rmse == pytest.approx(calm.rmse, abs=calm.rmse_deviation)
