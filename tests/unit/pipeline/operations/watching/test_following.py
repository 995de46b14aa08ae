"""What a look at a run reads besides its progress: a bounded number of requests, and errors that become lines."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.operations.caching import savings
from pipeline.operations.cost.prices import Prices
from pipeline.operations.models import curves
from pipeline.operations.runs import progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.operations.watching import epochs, following, spending
from pipeline.settings import Settings
from steps.train.log_lines import epoch_line
from tests.unit.pipeline.operations.cost.conftest import PRICES, START, processing, training
from tests.unit.steps.contracts.test_metrics import history

pytestmark = pytest.mark.usefixtures("account")
ARN = "arn:aws:sagemaker:us-east-1:111122223333"
RUN = Execution(f"{ARN}:pipeline/bins/execution/run1", "Executing", START)
EVALUATE = StepRun("EvaluateModel", "Succeeded", metadata={"ProcessingJob": {"Arn": f"{ARN}:processing-job/job"}})


class SageMaker:
    """Describes jobs; counts how often each was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.training = training("Completed", 3600, 3600, HyperParameters={"epochs": '"30"'})
        self.refuses = False

    def describe_training_job(self, TrainingJobName: str) -> Any:
        self.asked[TrainingJobName] += 1
        if self.refuses:
            answer = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
            raise ClientError(answer, "DescribeTrainingJob")
        return self.training

    def describe_processing_job(self, ProcessingJobName: str) -> Any:
        self.asked[ProcessingJobName] += 1
        return processing("Completed", 0, 3600)


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return Prices(path, "us-east-1")


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> SageMaker:
    service = SageMaker()
    monkeypatch.setattr(spending, "client", lambda settings, name: service)
    monkeypatch.setattr("pipeline.operations.cost.actual.client", lambda settings, name: service)
    return service


@pytest.fixture
def logs(account: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials whose logs were asked for; two epochs are in that of trial-1."""
    service = boto3.client("logs", region_name="us-east-1")
    service.create_log_group(logGroupName=curves.LOG_GROUP)
    stream = {"logGroupName": curves.LOG_GROUP, "logStreamName": "trial-1/algo-1-1"}
    service.create_log_stream(**stream)
    now = int(time.time() * 1000)
    lines = [epoch_line(history(number)) for number in (1, 2)]
    service.put_log_events(
        **stream, logEvents=[{"timestamp": now + place, "message": line} for place, line in enumerate(lines)]
    )
    asked: list[str] = []
    original = curves.logged

    def logged(settings: Settings, job: str, since: float = 0.0) -> Any:
        asked.append(job)
        return original(settings, job, since)

    monkeypatch.setattr(curves, "logged", logged)
    return asked


def trial(number: int, status: str = "InProgress") -> TrialJob:
    return TrialJob(f"trial-{number}", status, START, START, None, None, "", {})


def run(*trials: TrialJob, steps: tuple[StepRun, ...] = (), status: str = "Executing") -> Progress:
    return Progress(replace(RUN, status=status), steps, trials)


def test_a_running_trial_has_its_epochs_and_their_planned_number(
    settings: Settings, sagemaker: SageMaker, logs: list[str]
) -> None:
    snapshot = following.Details(settings).of(run(trial(1)))
    detail = snapshot.detail(trial(1))
    assert [epoch.epoch for epoch in detail.epochs] == [1, 2]
    assert (detail.best_accuracy, detail.planned_epochs) == (0.5, 30)
    assert snapshot.problems == ()


def test_a_look_reads_few_logs_and_jobs_however_many_trials_run(
    settings: Settings, sagemaker: SageMaker, logs: list[str]
) -> None:
    following.Details(settings).of(run(*map(trial, range(1, 51))))
    assert len(logs) == epochs.LOGS
    assert sum(sagemaker.asked.values()) == spending.JOBS


def test_the_next_look_reads_others_and_none_again_within_the_pace(
    settings: Settings, sagemaker: SageMaker, logs: list[str]
) -> None:
    details = following.Details(settings)
    for _ in range(4):
        details.of(run(*map(trial, range(1, 6))))
    assert sorted(logs) == [f"trial-{number}" for number in range(1, 6)]
    assert set(sagemaker.asked.values()) == {1}


def test_what_has_ended_is_read_once(settings: Settings, prices: Prices, sagemaker: SageMaker, logs: list[str]) -> None:
    reader, jobs = epochs.EpochReader(settings, 0.0), spending.JobReader(settings, prices, 0.0)
    state = run(trial(1, "Completed"), steps=(EVALUATE,))
    for now in range(3):
        reader.update(state.trials, now)
        jobs.update(state, now)
    assert logs == ["trial-1"]
    assert sagemaker.asked == {"trial-1": 1, "job": 1}


def test_a_job_that_starts_is_read_again(settings: Settings, prices: Prices, sagemaker: SageMaker) -> None:
    jobs = spending.JobReader(settings, prices, 0.0)
    for now, status in enumerate(("Starting", "Executing", "Succeeded", "Succeeded")):
        jobs.update(run(steps=(replace(EVALUATE, status=status),)), now)
    assert sagemaker.asked == {"job": 3}


def test_the_cost_is_that_of_all_jobs_with_the_date_of_its_prices(
    settings: Settings, prices: Prices, sagemaker: SageMaker
) -> None:
    jobs = spending.JobReader(settings, prices, 30.0)
    state = run(trial(1, "Completed"), steps=(EVALUATE,))
    assert jobs.cost(state) is None
    jobs.update(state, 0.0)
    cost = jobs.cost(state)
    assert cost is not None
    # An hour of ml.g5.2xlarge, and an hour of ml.m5.xlarge with 30 GB: 1.515 + 0.23 + 30 / 730 * 0.10
    assert (cost.instance_seconds, cost.complete, str(cost.priced)) == (7200, True, "2026-09-25")
    assert cost.usd is not None
    assert cost.usd.quantize(Decimal("0.0001")) == Decimal("1.7491")


def test_in_the_local_cloud_the_cost_is_time_alone(settings: Settings, prices: Prices, sagemaker: SageMaker) -> None:
    local = settings.model_copy(update={"account": settings.account.model_copy(update={"target": "local"})})
    jobs = spending.JobReader(local, prices, 30.0)
    jobs.update(run(trial(1, "Completed")), 0.0)
    assert jobs.cost(run(trial(1, "Completed"))) == spending.CostSoFar(3600, None, complete=True)


def test_a_cost_with_jobs_that_are_not_read_yet_is_not_complete(
    settings: Settings, prices: Prices, sagemaker: SageMaker
) -> None:
    jobs = spending.JobReader(settings, prices, 30.0)
    state = run(*map(trial, range(1, spending.JOBS + 2)))
    jobs.update(state, 0.0)
    cost = jobs.cost(state)
    assert cost is not None
    assert not cost.complete


def test_a_trial_without_its_instances_waits_for_them(
    settings: Settings, sagemaker: SageMaker, logs: list[str]
) -> None:
    sagemaker.training = training("InProgress", None, None, SecondaryStatus="Interrupted", TrainingStartTime=START)
    [waiting] = following.Details(settings).of(run(trial(1))).progress.trials
    assert (waiting.waiting, waiting.spot) == ("Interrupted", True)


def test_what_may_not_be_read_is_a_line_until_it_may(
    settings: Settings, sagemaker: SageMaker, logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PACE", following.Pace(0.0, 0.0))
    details = following.Details(settings)
    sagemaker.refuses = True
    snapshot = details.of(run(trial(1)))
    [problem] = snapshot.problems
    assert problem.startswith("cost: not known (")
    assert snapshot.detail(trial(1)).epochs
    sagemaker.refuses = False
    assert details.of(run(trial(1))).problems == ()


def test_a_summary_that_is_missing_is_asked_for_once_and_stays_a_line(
    settings: Settings, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def left_out_by(settings: Settings, run: Progress, name: str) -> Any:
        asked.append(name)
        raise following.PipelineError("there is no s3://b/shard.json; use another run")

    monkeypatch.setattr(following, "left_out_by", left_out_by)
    state = run(steps=(replace(EVALUATE, name="ShardImages"),))
    details = following.Details(settings)
    lines = ("photos left out by ShardImages: not known (there is no s3://b/shard.json)",)
    assert (details.of(state).problems, details.of(state).problems) == (lines, lines)
    assert asked == ["ShardImages"]


def test_following_tells_of_changes_alone_and_ends_with_the_run(
    settings: Settings, sagemaker: SageMaker, logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [run(trial(1)), run(trial(1)), run(trial(1, "Completed"), status="Succeeded")]
    monkeypatch.setattr(progress, "looks", lambda *_, **__: iter(states))
    monkeypatch.setattr(savings, "reader", lambda settings: savings.Savings(settings, None))  # type: ignore[arg-type]
    seen = list(following.follow(settings, RUN.arn))
    assert [each.progress.execution.status for each in seen] == ["Executing", "Succeeded"]


def test_without_details_no_job_and_no_log_is_read(
    settings: Settings, sagemaker: SageMaker, logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "follow", lambda *_, **__: iter([run(trial(1))]))
    [snapshot] = following.follow(settings, RUN.arn, details=False)
    assert (snapshot.trials, snapshot.cost, logs, sagemaker.asked) == ({}, None, [], {})


def test_the_limit_of_a_run_without_a_change_holds_while_it_is_looked_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unchanged:
        def read(self) -> Progress:
            return run()

    monkeypatch.setattr(progress, "Reader", lambda settings, arn: Unchanged())
    monkeypatch.setattr(progress, "UNCHANGED_SECONDS", -1.0)
    with pytest.raises(following.PipelineError, match="has not changed for"):
        list(progress.looks(settings, RUN.arn, interval=0))
