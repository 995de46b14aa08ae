"""The kind: Ctrl-C ends the command, and nobody is told that what it waited for goes on and costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import typer

from pipeline.cli.output import goes_on
from pipeline.operations.models import registry
from pipeline.operations.serving import batch, deployment, endpoint, monitoring
from pipeline.operations.serving.batch import BatchJob
from pipeline.operations.serving.deployment import Deployment, Rollback
from pipeline.operations.serving.monitoring import MonitorJob
from tests.unit.pipeline.cli.test_registry import settings
from tests.unit.pipeline.conftest import Call

__all__ = ["settings"]


def interrupt(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


def returns(value: object) -> Callable[..., object]:
    return lambda *_, **__: value


def test_after_ctrl_c_a_thing_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, goes_on("the run x", "to stop it: stop x"):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "the run x goes on\nto stop it: stop x\n"


def test_other_errors_are_not_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="x"), goes_on("the run x"):
        raise ValueError("x")
    assert capsys.readouterr().err == ""


ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/2"


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["deploy", "2"],
            [
                "the deployment of version 2 goes on",
                "to see it: python -m pipeline --profile aws endpoint",
                "to serve an earlier version: python -m pipeline --profile aws rollback",
            ],
        ),
        (
            ["rollback", "--to", "2", "--yes"],
            [
                "the deployment of version 2 goes on",
                "to see it: python -m pipeline --profile aws endpoint",
                "to serve an earlier version: python -m pipeline --profile aws rollback",
            ],
        ),
        (
            ["batch", "s3://b/p/"],
            [
                "the job j goes on",
                "its answers: s3://b/out/",
                "to stop it: aws sagemaker stop-transform-job --transform-job-name j",
            ],
        ),
        (
            ["monitor"],
            [
                "the job j goes on",
                "its report: s3://b/out/report.html",
                "to stop it: aws sagemaker stop-processing-job --processing-job-name j",
            ],
        ),
    ],
)
def test_each_command_that_waits_says_what_goes_on(
    call: Call, monkeypatch: pytest.MonkeyPatch, words: list[str], lines: list[str]
) -> None:
    for module in (endpoint, batch, monitoring):
        monkeypatch.setattr(module, "wait", interrupt)
    monkeypatch.setattr(registry, "resolve", returns(None))
    monkeypatch.setattr(deployment, "rollback_target", returns(None))
    monkeypatch.setattr(deployment, "deploy", returns(Deployment(2, ARN, "updating", "as asked")))
    monkeypatch.setattr(deployment, "roll_back", returns(Rollback(2, ARN, (), "updating", "as asked")))
    monkeypatch.setattr(batch, "start", returns(BatchJob("j", "InProgress", 2, "s3://b/p/", "s3://b/out")))
    monkeypatch.setattr(monitoring, "start", returns(MonitorJob("j", "InProgress", "s3://b/out")))
    outcome = call(*words)
    assert outcome.code == 130
    assert outcome.error.splitlines()[-3:] == lines
