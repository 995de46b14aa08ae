"""Which log a step writes to, and reading it while it grows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.operations.runs import logs
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.logs import LogSource
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

ARN = "arn:aws:sagemaker:us-east-1:111122223333"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
# moto drops events that are older than the group's retention or in the future.
SECOND = int(datetime.now(UTC).timestamp() * 1000) - 60_000


def step(name: str, metadata: dict[str, Any] | None = None, **more: Any) -> StepRun:
    return StepRun(name, more.pop("status", "Succeeded"), metadata=metadata or {}, **more)


def trial(name: str, status: str) -> TrialJob:
    return TrialJob(name, status, NOW, NOW, NOW, None, "", {})


def run_with(*steps: StepRun, trials: tuple[TrialJob, ...] = ()) -> Progress:
    return Progress(Execution(f"{ARN}:pipeline/bins/execution/run1", "Executing", NOW), steps, trials)


@pytest.mark.parametrize(
    ("metadata", "source"),
    [
        ({"ProcessingJob": {"Arn": f"{ARN}:processing-job/j"}}, ("/aws/sagemaker/ProcessingJobs", "j/")),
        ({"TrainingJob": {"Arn": f"{ARN}:training-job/j"}}, ("/aws/sagemaker/TrainingJobs", "j/")),
        ({"Lambda": {"Arn": "arn:aws:lambda:us-east-1:1:function:bins-deploy"}}, ("/aws/lambda/bins-deploy", "")),
    ],
)
def test_a_steps_log_is_that_of_its_job(metadata: dict[str, Any], source: tuple[str, str]) -> None:
    found = logs.step_source(run_with(step("Query", metadata)), "query")
    assert (found.group, found.prefix) == source


def tuning() -> StepRun:
    return step("Tune", {"TuningJob": {"Arn": f"{ARN}:hyper-parameter-tuning-job/t"}})


def test_of_a_tuning_step_the_failed_trial_is_read_first() -> None:
    trials = (trial("a", "Completed"), trial("b", "Failed"), trial("c", "Completed"))
    assert logs.step_source(run_with(tuning(), trials=trials), "Tune").prefix == "b/"


def test_of_a_tuning_step_that_goes_well_the_newest_trial_is_read() -> None:
    trials = (trial("a", "Completed"), trial("b", "InProgress"))
    assert logs.step_source(run_with(tuning(), trials=trials), "Tune").prefix == "b/"


def test_a_trial_is_chosen_by_its_number() -> None:
    trials = (trial("a", "Completed"), trial("b", "InProgress"))
    assert logs.step_source(run_with(tuning(), trials=trials), "Tune", 1).prefix == "a/"
    with pytest.raises(PipelineError, match="there is no trial 3; the tuning job has trials 1 to 2"):
        logs.step_source(run_with(tuning(), trials=trials), "Tune", 3)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (step("Query", status="Waiting"), "Query has not started yet"),
        (step("Query", cached_from="x/execution/run0"), "logs Query --run run0"),
        (step("Query", {"Fail": {}}, failure="accuracy 0.1"), "writes no log; it failed: accuracy 0.1"),
    ],
)
def test_a_step_without_a_log_says_why(found: StepRun, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        logs.step_source(run_with(found), "Query")


def test_an_unknown_step_is_answered_with_the_steps_there_are() -> None:
    with pytest.raises(PipelineError, match="has no step Qery; it has: Query, Tune; or deploy, endpoint, alert"):
        logs.step_source(run_with(step("Query"), step("Tune")), "Qery")


def test_the_endpoint_and_the_functions_have_their_own_groups(settings: Settings) -> None:
    assert {name: source(settings).group for name, source in logs.OTHERS.items()} == {
        "deploy": "/aws/lambda/bins-deploy",
        "endpoint": "/aws/sagemaker/Endpoints/bins",
        "alert": "/aws/lambda/bins-alert",
    }


class Writer:
    """Writes to a log group as two instances of a job."""

    def __init__(self) -> None:
        self._logs = boto3.client("logs", region_name="us-east-1")
        self._logs.create_log_group(logGroupName="group")

    def write(self, stream: str, *events: tuple[int, str]) -> None:
        known = self._logs.describe_log_streams(logGroupName="group", logStreamNamePrefix=stream)["logStreams"]
        if not known:
            self._logs.create_log_stream(logGroupName="group", logStreamName=stream)
        entries = [{"timestamp": SECOND + at, "message": message} for at, message in events]
        self._logs.put_log_events(logGroupName="group", logStreamName=stream, logEvents=entries)


@pytest.fixture
def writer(account: None) -> Writer:
    return Writer()


SOURCE = LogSource("group", "job/", "job job")


@pytest.mark.usefixtures("no_account")
def test_a_jobs_streams_are_asked_for_by_prefix_and_read_page_by_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = boto3.client("logs", region_name="us-east-1")
    monkeypatch.setattr(logs, "client", lambda settings, service: client)
    asked = {"logGroupName": "group", "logStreamNamePrefix": "job/"}
    pages = [[("job/algo-1", "first"), ("job/algo-2", "second")], [("job/algo-1", "third\n")]]
    with Stubber(client) as stubber:
        for number, page in enumerate(pages):
            events = [
                {"logStreamName": stream, "timestamp": SECOND, "message": message, "eventId": message}
                for stream, message in page
            ]
            more = {"nextToken": "more"} if number == 0 else {}
            stubber.add_response("filter_log_events", {"events": events, **more}, asked)
            asked = {**asked, **more}
        lines = list(logs.read(settings, SOURCE))
    assert [(line.stream, line.message) for line in lines] == [
        ("job/algo-1", "first"),
        ("job/algo-2", "second"),
        ("job/algo-1", "third"),
    ]


def test_a_log_that_is_not_there_yet_is_said(account: None, settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"job job has written nothing yet \(no log group group\)"):
        list(logs.read(settings, SOURCE))


def test_an_empty_log_is_said(writer: Writer, settings: Settings) -> None:
    with pytest.raises(PipelineError, match="job job has written nothing to group yet"):
        list(logs.read(settings, SOURCE))


def test_following_returns_each_line_once_and_ends_after_the_last(
    writer: Writer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = [[(20, "two"), (20, "two again")], [(30, "three")]]
    writer.write("job/algo-1", (10, "one"))

    def sleep(_: float) -> None:
        if later:
            writer.write("job/algo-1", *later.pop(0))

    monkeypatch.setattr("time.sleep", sleep)
    lines = list(logs.follow(settings, SOURCE, lambda: not later))
    assert [line.message for line in lines] == ["one", "two", "two again", "three"]


def test_following_waits_for_a_log_that_does_not_exist_yet(
    account: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Writer] = []

    def sleep(_: float) -> None:
        written.append(Writer())
        written[0].write("job/algo-1", (10, "at last"))

    monkeypatch.setattr("time.sleep", sleep)
    lines = list(logs.follow(settings, SOURCE, lambda: bool(written)))
    assert [line.message for line in lines] == ["at last"]
