"""All checks together: who is asked, and what becomes of the others when one fails."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.operations.preflight import CHECKS, online
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.operations.preflight.conftest import changed, client

STS = "sts.GetCallerIdentity"


@pytest.fixture(autouse=True)
def _unknown_to_moto(answers: Answers) -> None:
    """What moto does not answer, or not as AWS does."""
    answers.error("iam.SimulatePrincipalPolicy", "AccessDenied", "no", status=403)
    answers.error("service-quotas.ListServiceQuotas", "AccessDeniedException", "no")
    answers.error("athena.GetWorkGroup", "InvalidRequestException", "WorkGroup bins is not found.")


def statuses(settings: Settings) -> dict[str, str]:
    return {one.check: one.status for one in online(settings)}


def test_every_check_of_an_empty_account_says_something_and_none_hides_another(settings: Settings) -> None:
    found = statuses(settings)
    assert list(found) == ["account", *CHECKS]
    assert found["account"] == "ok"
    assert found["permissions"] == found["quotas"] == "not checked"
    assert found["bucket"] == found["roles"] == found["images"] == "failed"
    assert found["network"] == found["key"] == "ok"


def test_nothing_is_written(settings: Settings) -> None:
    online(settings)
    assert client("s3").list_buckets()["Buckets"] == []
    assert client("iam").list_roles()["Roles"] == []
    assert client("sagemaker").list_pipelines()["PipelineSummaries"] == []


def test_without_credentials_nothing_was_checked_and_nothing_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, answers: Answers
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = online(settings)
    assert {(one.status, one.detail) for one in found} == {("not checked", "no AWS credentials")}
    assert len(found) == 1 + len(CHECKS)
    assert not answers.asked


def test_expired_credentials_are_a_failure_with_the_remedy(settings: Settings, answers: Answers) -> None:
    answers.error(STS, "ExpiredToken", "The security token included in the request is expired", status=403)
    first, *others = online(settings)
    assert (first.status, first.detail) == (
        "failed",
        "the AWS credentials have expired; sign in again: aws sso login, or set AWS_PROFILE",
    )
    assert {one.status for one in others} == {"not checked"}


def test_credentials_of_another_account_look_at_nothing(settings: Settings, answers: Answers) -> None:
    found = online(changed(settings, "account", id="999999999999"))
    assert found[0].detail.startswith("the credentials are of account 111122223333, the settings name 999999999999")
    assert {one.status for one in found[1:]} == {"not checked"}
    assert not answers.asked


def test_without_a_network_nothing_was_checked(settings: Settings, answers: Answers) -> None:
    answers.raises(STS, EndpointConnectionError(endpoint_url="https://sts.us-east-1.amazonaws.com/"))
    found = online(settings)
    assert {one.status for one in found} == {"not checked"}
    assert "cannot be reached at https://sts.us-east-1.amazonaws.com/" in found[0].detail


SIGN_IN_PAGE = "<html><body>Welcome<br></body></html>"


def test_where_a_sign_in_page_answers_in_place_of_aws_nothing_was_checked(settings: Settings, answers: Answers) -> None:
    answers.say_xml(STS, SIGN_IN_PAGE)
    found = online(settings)
    assert {one.status for one in found} == {"not checked"}
    assert found[0].detail.startswith("a proxy or a sign-in page of the network answered instead of AWS")


def test_a_sign_in_page_that_answers_one_check_leaves_the_others(settings: Settings, answers: Answers) -> None:
    answers.say_xml("iam.GetRole", SIGN_IN_PAGE)
    found = [one for one in online(settings) if one.check == "roles"]
    assert found[-1].status == "not checked"
    assert found[-1].detail.startswith("a proxy or a sign-in page of the network answered")
    assert statuses(settings)["network"] == "ok"


def test_a_region_that_does_not_answer_and_is_not_known_is_a_failure(settings: Settings, answers: Answers) -> None:
    answers.raises(STS, EndpointConnectionError(endpoint_url="https://sts.eu-centrall-1.amazonaws.com/"))
    first = online(changed(settings, "account", region="eu-centrall-1"))[0]
    assert first.status == "failed"
    assert "did you mean eu-central-1" in first.detail


def test_a_shell_that_is_pointed_at_this_machine_is_a_failure_for_an_account(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    first = online(settings)[0]
    assert (first.status, "leads to this machine" in first.detail) == ("failed", True)


def test_a_local_cloud_that_does_not_run_is_nobody_to_ask(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path))
    found = online(changed(settings, "account", target="local"))
    assert {one.status for one in found} == {"not checked"}
    assert "start it: python -m pipeline local up" in found[0].detail
