"""What a run did about the registry, read from the evaluation that it left."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.operations.models import registrations
from pipeline.operations.models.registrations import Registration
from pipeline.operations.runs.executions import Execution
from pipeline.settings import Settings
from steps.contracts import evaluation
from tests.unit.pipeline.operations.models.evaluated import judged

pytestmark = pytest.mark.usefixtures("account")
SAME = evaluation.Registration(
    wanted=0, version=3, package_arn="arn", status="Rejected", reason="version 3 (Rejected) is this model already"
)


def run(name: str, status: str = "Succeeded") -> Execution:
    arn = f"arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/{name}"
    return Execution(arn, status, datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture
def leave(account: None, settings: Settings) -> Any:
    """A function that puts a run's evaluation into S3."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)

    def put(name: str, body: str) -> None:
        key = registrations.evaluation_uri(settings, name).removeprefix(f"s3://{settings.data.bucket}/")
        s3.put_object(Bucket=settings.data.bucket, Key=key, Body=body.encode())

    return put


def test_what_the_evaluation_says_is_read_as_the_contract_writes_it(leave: Any, settings: Settings) -> None:
    leave("run1", judged([1, 2], [1, 2], registration=SAME).model_dump_json())
    same = registrations.of_run(settings, run("run1"))
    assert same == Registration(False, 3, "Rejected", "version 3 (Rejected) is this model already")
    assert same.withheld


def test_a_run_that_registered_withheld_nothing(leave: Any, settings: Settings) -> None:
    leave("run1", judged([1, 2], [1, 2]).model_dump_json())
    made = registrations.of_run(settings, run("run1"))
    assert made is not None
    assert (made.wanted, made.version, made.withheld) == (True, None, False)


@pytest.mark.parametrize("status", ["Failed", "Executing", "Stopped"])
def test_a_run_that_has_not_succeeded_is_not_asked_about(leave: Any, settings: Settings, status: str) -> None:
    leave("run1", judged([1, 2], [1, 2], registration=SAME).model_dump_json())
    assert registrations.of_run(settings, run("run1", status)) is None


def test_an_evaluation_that_is_gone_or_of_an_older_release_says_nothing(leave: Any, settings: Settings) -> None:
    older = judged([1, 2], [1, 2]).model_dump(mode="json")
    del older["registration"]
    leave("older", json.dumps(older))
    assert registrations.of_runs(settings, [run("older"), run("gone")]) == {}


@pytest.mark.parametrize("body", ["{", "[]", '{"registration": 1}', '{"registration": {"wanted": 0}}'])
def test_an_evaluation_that_is_damaged_is_named_and_hides_no_other(leave: Any, settings: Settings, body: str) -> None:
    leave("damaged", body)
    leave("good", judged([1, 2], [1, 2], registration=SAME).model_dump_json())
    answers = registrations.of_runs(settings, [run("damaged"), run("good"), run("failed", "Failed")])
    assert sorted(answers) == ["damaged", "good"]
    assert f"{registrations.evaluation_uri(settings, 'damaged')} is damaged" in answers["damaged"].problem
    assert (answers["damaged"].withheld, answers["good"].withheld) == (False, True)


def test_who_may_not_read_the_evaluation_is_told_so_and_sees_the_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    monkeypatch.setattr(registrations, "client", lambda settings, name: s3)
    with Stubber(s3) as stub:
        stub.add_client_error("get_object", "AccessDenied", "not for you", 403)
        answer = registrations.of_run(settings, run("run1"))
    assert answer is not None
    assert answer.problem == "access denied: these credentials may not GetObject"
    assert not answer.withheld
