"""The end of a log: its newest lines, older ones page by page, and new ones as they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from pipeline.aws.validation import validate_request
from pipeline.operations.runs import tails
from pipeline.operations.runs.logs import LogSource
from pipeline.operations.runs.progress import StepRun
from pipeline.operations.runs.tails import Excerpt, LogPage, Tail
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.console.pages.account_of_runs import STARTED, AccountOfRuns

SOURCE = LogSource("/aws/sagemaker/ProcessingJobs", "shard-1/", "job shard-1")


@pytest.fixture
def log(no_account: None) -> AccountOfRuns:
    """An account whose log has `lines`, a millisecond after each other."""
    account = AccountOfRuns()
    boto3.setup_default_session(region_name="us-east-1")
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register_first("before-send.logs", account.answer)
    return account


def texts(page: LogPage) -> list[str]:
    return [line.message for line in page.lines]


def test_the_newest_lines_are_in_their_order_and_lead_to_the_older_ones(log: AccountOfRuns, settings: Settings) -> None:
    log.lines = [f"line {number}" for number in range(7)]
    newest = tails.page(settings, Excerpt(SOURCE), lines=3)
    assert (texts(newest), newest.has_older) == (["line 4", "line 5", "line 6"], True)
    older = tails.page(settings, Excerpt(SOURCE), newest.older, lines=3)
    assert texts(older) == ["line 1", "line 2", "line 3"]
    oldest = tails.page(settings, Excerpt(SOURCE), older.older, lines=3)
    assert (texts(oldest), oldest.has_older, oldest.older) == (["line 0"], False, "")


def test_a_search_is_the_service_s_own(log: AccountOfRuns, settings: Settings) -> None:
    log.lines = ["one", 'an "error"', "three"]
    assert texts(tails.page(settings, Excerpt(SOURCE, search='"error"'))) == ['an "error"']


def test_empty_pages_are_passed_over_but_not_without_end(
    log: AccountOfRuns, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "FilterLogEvents", lambda _: {"events": [], "nextToken": "more"}, raising=False)
    page = tails.page(settings, Excerpt(SOURCE))
    assert (page.lines, page.older, log.counts["FilterLogEvents"]) == ((), "more", tails.PAGES)


def test_a_tail_asks_for_the_lines_since_the_last_one_and_has_each_once(log: AccountOfRuns, settings: Settings) -> None:
    tail = Tail(settings, Excerpt(SOURCE), lines=3)
    assert tail.read() == LogPage(())
    log.lines = ["a", "b"]
    assert (texts(tail.read()), tail.read().has_older) == (["a", "b"], False)
    log.lines += ["c", "d"]
    page = tail.read()
    assert (texts(page), page.has_older, page.older) == (["b", "c", "d"], True, "")
    since = [request["startTime"] for _, request in log.asked]
    assert since == sorted(since)
    assert since[-1] > since[0]


def test_a_log_that_does_not_exist_yet_has_no_lines(
    log: AccountOfRuns, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.pipeline.console.pages.account_of_runs import RefusedError

    def missing(_: Any) -> Any:
        raise RefusedError("ResourceNotFoundException", "The specified log group does not exist.")

    monkeypatch.setattr(log, "FilterLogEvents", missing, raising=False)
    assert tails.page(settings, Excerpt(SOURCE)) == LogPage(())
    assert Tail(settings, Excerpt(SOURCE)).read() == LogPage(())


def test_a_token_of_no_page_is_one_line(
    log: AccountOfRuns, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    from tests.unit.pipeline.console.pages.account_of_runs import RefusedError

    def refused(_: Any) -> Any:
        raise RefusedError("InvalidParameterException", "The specified nextToken is invalid.")

    monkeypatch.setattr(log, "FilterLogEvents", refused, raising=False)
    with pytest.raises(PipelineError, match="this page of the log does not exist any more"):
        tails.page(settings, Excerpt(SOURCE), "gone")
    with pytest.raises(ClientError, match="nextToken"):
        tails.page(settings, Excerpt(SOURCE))


def test_a_request_selects_the_instance_the_times_and_the_text() -> None:
    until = STARTED + timedelta(hours=1)
    request = Excerpt(SOURCE, STARTED, until, 'a "b" \\', host=2).request()
    assert request["logStreamNamePrefix"] == "shard-1/algo-2-"
    assert request["filterPattern"] == '"a \\"b\\" \\\\"'
    assert (request["startTime"], request["endTime"]) == tuple(
        int(moment.timestamp() * 1000) for moment in (STARTED, until)
    )
    assert validate_request("logs", "FilterLogEvents", request) == []


def test_a_function_s_log_is_cut_at_both_ends_since_other_calls_write_to_it() -> None:
    times = {"started": STARTED, "ended": STARTED + timedelta(minutes=1)}
    job = StepRun("ShardImages", "Succeeded", **times, metadata={"ProcessingJob": {"Arn": "arn:x"}})
    function = StepRun("DeployModel", "Succeeded", **times, metadata={"Lambda": {"Arn": "arn:x"}})
    assert tails.excerpt(SOURCE, job).until is None
    excerpt = tails.excerpt(SOURCE, function)
    assert excerpt.until is not None
    assert excerpt.since < STARTED < times["ended"] < excerpt.until
    # CloudWatch reads backwards from that day on only.
    old = StepRun("ShardImages", "Succeeded", started=datetime(2020, 1, 1, tzinfo=UTC))
    assert tails.excerpt(SOURCE, old).since == datetime(2024, 1, 1, tzinfo=UTC)
