"""What cached steps saved: the seconds and the bill of the jobs that made their results."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from pipeline import parallel
from pipeline.operations.caching import savings
from pipeline.operations.caching.savings import Savings, Total
from pipeline.operations.cost import actual
from pipeline.operations.cost.prices import Prices
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun
from pipeline.settings import Settings
from tests.unit.pipeline.operations.cost.conftest import PRICES, START, processing, stubbed, training

pytestmark = pytest.mark.usefixtures("no_account")
PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
TUNING = f"{PREFIX}:hyper-parameter-tuning-job/tune-1"


def run_of(name: str) -> str:
    return f"{PREFIX}:pipeline/bins/execution/{name}"


def step(name: str, kind: str = "", job: str = "job", minutes: float = 60, source: str = "") -> dict[str, Any]:
    """A step of ListPipelineExecutionSteps' answer."""
    answer: dict[str, Any] = {"StepName": name, "StepStatus": "Succeeded", "StartTime": START}
    answer["EndTime"] = START + timedelta(minutes=minutes)
    if kind:
        answer["Metadata"] = {kind: {"Arn": f"{PREFIX}:{kind.lower()}/{job}"}}
    if source:
        answer["CacheHitResult"] = {"SourcePipelineExecutionArn": run_of(source)}
    return answer


@functools.cache
def _client() -> Any:
    """A client of its own: the answers themselves are checked with the shared one."""
    return stubbed.__wrapped__("sagemaker")


class Account:
    """SageMaker's answers in the order in which they are asked for."""

    def __init__(self) -> None:
        self.client = _client()
        self.stubber = Stubber(self.client)

    def run(self, name: str, *steps: dict[str, Any]) -> None:
        self.stubber.add_response(
            "list_pipeline_execution_steps",
            {"PipelineExecutionSteps": list(steps)},
            {"PipelineExecutionArn": run_of(name), "SortOrder": "Ascending"},
        )

    def process(self, answer: dict[str, Any]) -> None:
        self.stubber.add_response("describe_processing_job", _plain(answer), {"ProcessingJobName": "job"})

    def trials(self, *answers: dict[str, Any]) -> None:
        summaries = [
            {
                "TrainingJobName": f"trial-{number}",
                "TrainingJobArn": f"{PREFIX}:training-job/trial-{number}",
                "CreationTime": START + timedelta(minutes=number),
                "TrainingJobStatus": "Completed",
                "TunedHyperParameters": {},
            }
            for number, _ in enumerate(answers, 1)
        ]
        self.stubber.add_response(
            "list_training_jobs_for_hyper_parameter_tuning_job",
            {"TrainingJobSummaries": summaries},
            {"HyperParameterTuningJobName": "tune-1"},
        )
        for number, answer in enumerate(answers, 1):
            self.stubber.add_response("describe_training_job", _plain(answer), {"TrainingJobName": f"trial-{number}"})


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


@pytest.fixture
def account(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    account = Account()
    for module in (savings, actual):
        monkeypatch.setattr(module, "client", lambda settings, name: account.client)
    # The stub has its answers in one order.
    monkeypatch.setattr(parallel, "THREADS", 1)
    with account.stubber:
        yield account
        account.stubber.assert_no_pending_responses()


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return Prices(path, "us-east-1")


@pytest.fixture
def read(account: Account, settings: Settings, prices: Prices) -> Savings:
    return Savings(settings, prices)


def test_a_processing_step_saves_its_instances_and_volumes(account: Account, read: Savings) -> None:
    account.run("a", step("ShardImages", "ProcessingJob", minutes=62))
    # 2 x 0.23 an hour, and 2 x 73 GB for 1 of 730 h: 0.2 GB-months at 0.10
    account.process(processing("Completed", 0, 3600, VolumeSizeInGB=73, InstanceCount=2))
    assert read.of("ShardImages", run_of("a")) == Saving(62 * 60.0, 7200, Decimal("0.48"))


def test_a_tuning_step_saves_all_its_trials_as_they_were_billed(account: Account, read: Savings) -> None:
    account.run("a", step("TuneModel", "TuningJob", "tune-1", minutes=150))
    # Spot capacity: 2,400 of 7,200 seconds were billed.
    account.trials(training("Completed", 7200, 2400), training("Stopped", 1200, 1200))
    assert read.of("TuneModel", run_of("a")) == Saving(9000.0, 3600, Decimal("1.515"))


def test_prices_of_another_region_are_no_saving(account: Account, settings: Settings, prices: Prices) -> None:
    elsewhere = settings.model_copy(update={"account": settings.account.model_copy(update={"region": "eu-west-1"})})
    account.run("a", step("ShardImages", "ProcessingJob", minutes=62))
    account.process(processing("Completed", 0, 3600, VolumeSizeInGB=73, InstanceCount=2))
    assert Savings(elsewhere, prices).of("ShardImages", run_of("a")) == Saving(62 * 60.0, 7200, None)


def test_a_hit_is_followed_to_the_run_that_ran_the_step(account: Account, read: Savings) -> None:
    account.run("c", step("Ask", source="b"))
    account.run("b", step("Ask", source="a"))
    account.run("a", step("Ask", minutes=1))
    assert read.of("Ask", run_of("c")) == Saving(60.0, 0, Decimal(0))


def test_hits_in_a_circle_end(account: Account, read: Savings) -> None:
    account.run("a", step("Ask", source="b"))
    account.run("b", step("Ask", source="a"))
    assert read.of("Ask", run_of("a")) is None


def test_without_a_price_the_time_is_known(account: Account, read: Savings) -> None:
    account.run("a", step("ShardImages", "ProcessingJob"))
    account.process(processing("Completed", 0, 3600, InstanceType="ml.c5.9xlarge"))
    assert read.of("ShardImages", run_of("a")) == Saving(3600.0, 3600, None)


@pytest.mark.parametrize(
    ("code", "message"),
    [("ValidationException", "Could not find requested job with name: job"), ("AccessDeniedException", "no")],
)
def test_without_a_job_the_time_is_known(account: Account, read: Savings, code: str, message: str) -> None:
    account.run("a", step("ShardImages", "ProcessingJob"))
    account.stubber.add_client_error("describe_processing_job", code, message)
    assert read.of("ShardImages", run_of("a")) == Saving(3600.0, 0, None)


def test_a_run_that_cannot_be_read_is_asked_for_once_and_stops_nothing(account: Account, read: Savings) -> None:
    account.stubber.add_client_error("list_pipeline_execution_steps", "AccessDeniedException", "no")
    assert read.of("ShardImages", run_of("a")) is None
    assert read.of("ShardImages", run_of("a")) is None


def test_a_step_that_the_run_does_not_have_saves_nothing_known(account: Account, read: Savings) -> None:
    account.run("a", step("Other"))
    assert read.of("ShardImages", run_of("a")) is None


def test_a_run_as_it_goes_gets_its_savings_and_each_job_is_asked_for_once(account: Account, read: Savings) -> None:
    account.run("a", step("QueryMetadata", "ProcessingJob"))
    account.process(processing("Completed", 0, 3600, VolumeSizeInGB=73))
    query = StepRun("QueryMetadata", "Succeeded", START, START, cached_from=run_of("a"))
    state = Progress(Execution(run_of("b"), "Executing", START), (query, StepRun("TuneModel", "Waiting")), ())
    first, second = read.each([state, dataclasses.replace(state)])
    assert first == second
    assert first.steps[0].saving == Saving(3600.0, 3600, Decimal("0.24"))
    assert first.steps[1] is state.steps[1]


@pytest.mark.parametrize(
    ("each", "sum_of"),
    [
        ([], Total(0, None, True)),
        ([Saving(60, 1, Decimal("0.5")), Saving(30, 1, Decimal("0.25"))], Total(90, Decimal("0.75"), True)),
        ([Saving(60, 1, Decimal("0.5")), Saving(30, 1, None)], Total(90, Decimal("0.5"), False)),
        ([Saving(60, 1, Decimal("0.5")), None], Total(60, Decimal("0.5"), False)),
        ([Saving(60, 1, None)], Total(60, None, False)),
    ],
)
def test_a_sum_says_whether_it_is_all(each: list[Saving | None], sum_of: Total) -> None:
    assert savings.total(each) == sum_of


def test_a_reader_counts_at_the_prices_of_the_file(account: Account, settings: Settings) -> None:
    account.run("a", step("ShardImages", "ProcessingJob"))
    account.process(processing("Completed", 0, 3600, VolumeSizeInGB=73))
    saving = savings.reader(settings).of("ShardImages", run_of("a"))
    assert saving is not None
    assert saving.usd == Decimal("0.24")
