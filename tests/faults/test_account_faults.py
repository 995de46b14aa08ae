"""What an account may answer a command with: one line that says what to do, exit status 1, and nothing half-done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pipeline.aws.validation.definition import MAX_CHARACTERS
from pipeline.compiling.display import pipeline_display
from pipeline.operations import upsert as upsert_module
from tests.answers import Answers
from tests.unit.pipeline.conftest import Call, Outcome, call, project

__all__ = ["call", "project"]  # fixtures

DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 1}],
    "Steps": [{"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "meant to"}}],
}
ROLE = "arn:aws:iam::123456789012:role/bins-pipeline"
Compiled = Callable[[dict[str, Any]], None]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Compiled:
    """Let a small definition be compiled, or another one: the real definition takes long and is tested by itself."""

    def to(definition: dict[str, Any]) -> None:
        text = json.dumps(definition)
        monkeypatch.setattr("pipeline.definition.compile_definition", lambda settings, source=None: text)

    to(DEFINITION)
    return to


@pytest.fixture
def answers(project: Path, compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """An account that moto pretends, and whatever a test lets it answer instead. Nobody waits between two tries."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    monkeypatch.setattr(upsert_module, "CONFLICT_PAUSE_SECONDS", 0.001)
    with mock_aws():
        yield Answers()


def sagemaker() -> Any:
    return boto3.client("sagemaker", region_name="us-east-1")


def made() -> tuple[list[str], list[str]]:
    """Names of the pipelines and of the model package groups in the account."""
    groups = sagemaker().list_model_package_groups()["ModelPackageGroupSummaryList"]
    pipelines = sagemaker().list_pipelines()["PipelineSummaries"]
    return [item["PipelineName"] for item in pipelines], [item["ModelPackageGroupName"] for item in groups]


def line_of(outcome: Outcome) -> str:
    """The one line that a failed command leaves."""
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.error.count("\n") == 1, outcome.error
    assert "Traceback" not in outcome.error
    return outcome.error.rstrip("\n")


# ------------------------------------------------------------------------------------------------- credentials


@pytest.mark.parametrize("command", [("upsert",), ("start",), ("delete", "--yes"), ("approve", "1")])
def test_expired_credentials_want_a_new_sign_in(call: Call, answers: Answers, command: tuple[str, ...]) -> None:
    answers.error("sts.GetCallerIdentity", "ExpiredToken", "The security token is expired", status=403)
    line = line_of(call(*command))
    assert line == "the AWS credentials have expired; sign in again: aws sso login, or set AWS_PROFILE"
    assert made() == ([], [])


def test_credentials_that_expire_on_the_way_leave_nothing_behind(call: Call, answers: Answers) -> None:
    answers.error("sagemaker.CreatePipeline", "ExpiredTokenException", "The security token is expired")
    assert "have expired; sign in again" in line_of(call("upsert"))
    assert made() == ([], [])


def test_check_says_that_credentials_have_expired_and_what_was_not_checked(call: Call, answers: Answers) -> None:
    answers.error("sts.GetCallerIdentity", "ExpiredToken", "The security token is expired", status=403)
    outcome = call("check")
    assert (outcome.code, outcome.error) == (
        1,
        "account: the AWS credentials have expired; sign in again: aws sso login, or set AWS_PROFILE\n",
    )
    assert "\nnot checked  roles, permissions, quotas, images, bucket, " in outcome.out


# ---------------------------------------------------------------------------------------------------- the region


def test_a_region_that_the_account_has_not_enabled_is_named_as_a_cause(call: Call, answers: Answers) -> None:
    answers.error("sts.GetCallerIdentity", "InvalidClientTokenId", "The token is invalid", status=403)
    line = line_of(call("upsert"))
    assert line.startswith("AWS does not accept the credentials (InvalidClientTokenId)")
    assert line.endswith("see account.region")


def test_a_bucket_of_another_region_is_said_to_be_there(call: Call, answers: Answers) -> None:
    answers.error("s3.GetObject", "PermanentRedirect", "The bucket must be addressed elsewhere", status=301)
    line = line_of(call("dataset", "s3://some-bucket/index"))
    assert "the bucket is in another region than account.region" in line


def test_a_region_that_is_none_does_not_answer(call: Call, answers: Answers, project: Path) -> None:
    from botocore.exceptions import EndpointConnectionError

    settings = project / "pipeline.yaml"
    settings.write_text(settings.read_text().replace("us-east-1", "us-nowhere-1"))
    url = "https://sts.us-nowhere-1.amazonaws.com/"
    answers.raises("sts.GetCallerIdentity", EndpointConnectionError(endpoint_url=url))
    assert line_of(call("upsert")).endswith("check the network, proxy and account.region")


# -------------------------------------------------------------------------------------------------- permissions


def test_what_is_denied_is_named_and_nothing_was_made(call: Call, answers: Answers) -> None:
    message = f"User: u is not authorized to perform: iam:PassRole on resource: {ROLE}"
    answers.error("sagemaker.CreatePipeline", "AccessDeniedException", message)
    line = line_of(call("upsert"))
    assert line.startswith("access denied: these credentials may not iam:PassRole; ask for that permission")
    assert made() == ([], [])


def test_who_may_not_look_for_the_group_makes_no_pipeline(call: Call, answers: Answers) -> None:
    message = "User: u is not authorized to perform: sagemaker:DescribeModelPackageGroup on resource: g"
    answers.error("sagemaker.DescribeModelPackageGroup", "AccessDeniedException", message)
    assert "may not sagemaker:DescribeModelPackageGroup" in line_of(call("upsert"))
    assert made() == ([], [])


def test_a_group_that_may_not_be_made_takes_the_new_pipeline_away_again(call: Call, answers: Answers) -> None:
    message = "User: u is not authorized to perform: sagemaker:CreateModelPackageGroup on resource: g"
    answers.error("sagemaker.CreateModelPackageGroup", "AccessDeniedException", message)
    assert "may not sagemaker:CreateModelPackageGroup" in line_of(call("upsert"))
    assert answers.asked["sagemaker.CreateModelPackageGroup"] == 1
    assert made() == ([], [])


def test_a_pipeline_that_cannot_be_taken_away_again_is_said_to_be_there(call: Call, answers: Answers) -> None:
    for operation in ("CreateModelPackageGroup", "DeletePipeline"):
        message = f"User: u is not authorized to perform: sagemaker:{operation} on resource: x"
        answers.error(f"sagemaker.{operation}", "AccessDeniedException", message)
    line = line_of(call("upsert"))
    assert line.startswith("the pipeline bins was created, its model package group could not be created")
    assert "sagemaker:CreateModelPackageGroup" in line
    assert "sagemaker:DeletePipeline" in line


def test_an_older_pipeline_stays_when_its_group_cannot_be_made(call: Call, answers: Answers) -> None:
    sagemaker().create_pipeline(PipelineName="bins", PipelineDefinition=json.dumps(DEFINITION), RoleArn=ROLE)
    answers.error("sagemaker.CreateModelPackageGroup", "AccessDeniedException", "no")
    line_of(call("upsert"))
    assert made() == (["bins"], [])


# ------------------------------------------------------------------------------------------ quotas and throttling


def test_a_quota_that_is_used_up_is_told_in_awss_words(call: Call, answers: Answers) -> None:
    call("upsert")
    message = "The account-level service limit 'ml.g5.2xlarge for spot training job usage' is 0 Instances"
    answers.error("sagemaker.StartPipelineExecution", "ResourceLimitExceeded", message)
    outcome = call("start")
    line = f"a quota of the account is used up; raise it in Service Quotas. AWS's message: {message}\n"
    assert (outcome.code, outcome.error) == (1, line)
    assert sagemaker().list_pipeline_executions(PipelineName="bins")["PipelineExecutionSummaries"] == []


def test_throttling_to_the_last_try_is_one_line(call: Call, answers: Answers) -> None:
    answers.error("sagemaker.CreatePipeline", "ThrottlingException", "Rate exceeded")
    assert line_of(call("upsert")) == "AWS throttled CreatePipeline; wait a little and try again"
    assert answers.asked["sagemaker.CreatePipeline"] == 5
    assert made() == ([], [])


def test_throttling_that_ends_is_not_even_mentioned(call: Call, answers: Answers) -> None:
    answers.error("sagemaker.CreatePipeline", "ThrottlingException", "Rate exceeded", times=3)
    outcome = call("upsert")
    assert (outcome.code, outcome.error) == (0, "")
    assert made() == (["bins"], ["bins"])


# ------------------------------------------------------------------------------------------------- the definition


def test_a_definition_that_is_too_large_never_reaches_the_account(
    call: Call, answers: Answers, compiled: Compiled
) -> None:
    compiled({**DEFINITION, "Parameters": [{"Name": "Long", "Type": "String", "DefaultValue": "x" * MAX_CHARACTERS}]})
    answers.error("sagemaker.CreatePipeline", "InternalFailure", "must not be asked")
    line = line_of(call("upsert"))
    assert line.startswith("definition: 1048")
    assert f"characters, at most {MAX_CHARACTERS} allowed" in line
    assert not answers.asked
    assert made() == ([], [])


# ------------------------------------------------------------------------------------------- two upserts at once


def other(definition: dict[str, Any]) -> Callable[[], None]:
    """Somebody else, whose upsert comes between our look and our change."""

    def create() -> None:
        shown = pipeline_display(SimpleNamespace(name="bins"))
        text = json.dumps(definition)
        sagemaker().create_pipeline(PipelineName="bins", PipelineDefinition=text, RoleArn=ROLE, **shown)
        sagemaker().create_model_package_group(ModelPackageGroupName="bins")

    return create


TAKEN = "Pipeline names must be unique within an AWS account and region. Pipeline with name (bins) already exists."


@pytest.mark.parametrize(
    ("theirs", "change"), [(DEFINITION, "unchanged"), ({**DEFINITION, "Parameters": []}, "updated")]
)
@pytest.mark.parametrize(
    ("code", "message"), [("ValidationException", TAKEN), ("ConflictException", ""), ("ResourceInUse", "")]
)
def test_of_two_first_upserts_the_second_goes_on_from_what_the_first_made(
    call: Call, answers: Answers, theirs: dict[str, Any], change: str, code: str, message: str
) -> None:
    # moto takes a second pipeline of the name, so the refusal is ours.
    them = other(theirs)
    answers.error("sagemaker.CreatePipeline", code, message, times=1, before=them)
    outcome = call("upsert")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.out.startswith(f"{change}: arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins\n")
    description = sagemaker().describe_pipeline(PipelineName="bins")
    assert json.loads(description["PipelineDefinition"]) == DEFINITION
    assert made() == (["bins"], ["bins"])


def test_a_group_that_somebody_else_has_just_made_is_no_error(call: Call, answers: Answers) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/bins"
    answers.error("sagemaker.CreateModelPackageGroup", "ValidationException", f"Group already exists: {arn}")
    outcome = call("upsert")
    assert (outcome.code, outcome.error) == (0, "")
    assert "created: model package group" not in outcome.out
    assert made()[0] == ["bins"]


def test_an_update_that_meets_another_is_tried_again(call: Call, answers: Answers, compiled: Compiled) -> None:
    call("upsert")
    compiled({**DEFINITION, "Parameters": []})
    answers.error("sagemaker.UpdatePipeline", "ConflictException", "An update is in progress", times=2)
    outcome = call("upsert")
    assert (outcome.code, outcome.out.split(":")[0]) == (0, "updated")
    assert answers.asked["sagemaker.UpdatePipeline"] == 3


def test_an_update_that_never_gets_its_turn_is_one_line(
    call: Call, answers: Answers, compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upsert_module, "CONFLICT_SECONDS", 0.1)
    call("upsert")
    compiled({**DEFINITION, "Parameters": []})
    answers.error("sagemaker.UpdatePipeline", "ConflictException", "An update is in progress")
    line = line_of(call("upsert"))
    assert line == (
        "another change of the pipeline bins is in progress; nothing was changed, try again (An update is in progress)"
    )
    before = sagemaker().describe_pipeline(PipelineName="bins")["PipelineDefinition"]
    assert json.loads(before) == DEFINITION


def test_a_refusal_that_is_no_race_is_not_tried_again(call: Call, answers: Answers) -> None:
    answers.error("sagemaker.CreatePipeline", "ValidationException", f"The role {ROLE} does not exist.")
    assert line_of(call("upsert")).endswith(f"The role {ROLE} does not exist.")
    assert answers.asked["sagemaker.CreatePipeline"] == 1
    assert made() == ([], [])
