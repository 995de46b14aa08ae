"""The command `retry`."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.console.pages.account_of_runs import AccountOfRuns


@pytest.fixture
def runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> AccountOfRuns:
    """An account that answers about runs; the newest one failed."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    account = AccountOfRuns()
    account.add("aaaaaaaaaaaa", "Stopped")
    account.add("bbbbbbbbbbbb", "Failed")
    session = boto3.Session(region_name="us-east-1")
    session.events.register_first("before-send.sagemaker", account.answer)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    return account


@pytest.mark.parametrize(
    ("arguments", "run"), [((), "bbbbbbbbbbbb"), (("latest",), "bbbbbbbbbbbb"), (("aaaaaaaaaaaa",), "aaaaaaaaaaaa")]
)
def test_a_run_that_failed_or_was_stopped_goes_on_and_the_next_command_is_named(
    call: Call, runs: AccountOfRuns, arguments: tuple[str, ...], run: str
) -> None:
    result = call("retry", *arguments)
    first, second = result.out.splitlines()
    assert first == f"Executing: {runs.runs[run]['PipelineExecutionArn']}"
    assert second.startswith("next: ")
    assert second.endswith(f" watch {run}")
    asked = [request for operation, request in runs.asked if operation == "RetryPipelineExecution"]
    assert [request["PipelineExecutionArn"].rsplit("/", 1)[-1] for request in asked] == [run]


@pytest.mark.parametrize("status", ["Executing", "Succeeded", "Stopping"])
def test_a_run_in_another_state_is_refused_and_nothing_is_asked(call: Call, runs: AccountOfRuns, status: str) -> None:
    runs.add("cccccccccccc", status)
    result = call("retry")
    assert result.code == 1
    assert f"the run cccccccccccc is {status}; only a run that failed or was stopped can be retried" in result.error
    assert runs.counts["RetryPipelineExecution"] == 0
