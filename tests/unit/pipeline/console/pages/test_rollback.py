"""Going back to an earlier version: what a person sees before, and what is done by whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.settings import Settings
from tests.unit.pipeline.console.pages.account_of_models import AccountOfModels
from tests.unit.pipeline.console.pages.test_endpoint import denied_by_lambda
from tests.unit.pipeline.console.pages.test_models import text_of
from tests.unit.pipeline.operations import conftest
from tests.unit.pipeline.operations.serving.test_deployment import functions

moto = conftest.account
Post = Callable[..., str]


@pytest.fixture
def account(moto: None, settings: Settings) -> AccountOfModels:
    """Four versions, of which the second is rejected and the others are approved; the fourth serves."""
    account = AccountOfModels(settings)
    account.create_group()
    versions = [account.register(run) for run in "abcd"]
    for place in (0, 2, 3):
        account.approve(versions[place])
    account.sagemaker.update_model_package(ModelPackageArn=versions[1], ModelApprovalStatus="Rejected")
    account.serve(versions[3])
    return account


@pytest.fixture
def post(browser: TestClient, console: Console) -> Post:
    def send(to: str, comment: str = "") -> str:
        data = {"token": console.token, "to": to, "comment": comment}
        answer = browser.post("/endpoint/rollback", data=data, follow_redirects=False)
        return f"{answer.status_code} {answer.headers.get('location', text_of(answer.text))}"

    return send


def test_the_approved_version_before_the_one_that_serves_is_proposed(
    browser: TestClient, account: AccountOfModels
) -> None:
    page = browser.get("/endpoint/rollback").text
    shown = text_of(page)
    assert "Go back to version 3?" in shown
    assert "bins serves version 4 now; version 3 gets all of the traffic at once" in shown
    assert "Rejected, so that none of them is deployed again: version 4 ." in shown
    assert '<input type="hidden" name="to" value="3">' in page


def test_another_approved_version_can_be_chosen(browser: TestClient, account: AccountOfModels) -> None:
    page = browser.get("/endpoint/rollback").text
    assert ('href="/endpoint/rollback?to=1"' in page, "rollback?to=2" in page) == (True, False)
    shown = text_of(browser.get("/endpoint/rollback?to=1").text)
    assert "Go back to version 1?" in shown
    assert "version 4 , version 3 ." in shown


def test_who_may_and_who_may_not_is_said_before(browser: TestClient, account: AccountOfModels) -> None:
    shown = text_of(browser.get("/endpoint/rollback").text)
    assert "The policy bins-approver allows to invoke it; the policy of operators does not" in shown
    assert "Who approves versions may do that" in text_of(browser.get("/endpoint").text)


@pytest.mark.parametrize(("to", "problem"), [("2", "version 2 is Rejected"), ("9", "has no version 9")])
def test_a_version_that_is_not_approved_is_not_offered(
    browser: TestClient, account: AccountOfModels, to: str, problem: str
) -> None:
    page = browser.get(f"/endpoint/rollback?to={to}").text
    assert (problem in page, 'name="to"' in page) == (True, False)


def test_a_text_that_is_no_version_is_not_found(browser: TestClient, account: AccountOfModels) -> None:
    assert browser.get("/endpoint/rollback?to=<b>").status_code == 404


def test_without_an_earlier_version_there_is_none_to_go_back_to(browser: TestClient, account: AccountOfModels) -> None:
    for number in (1, 3):
        account.sagemaker.update_model_package(ModelPackageArn=account.arn_of(number), ModelApprovalStatus="Rejected")
    page = browser.get("/endpoint/rollback").text
    assert ("there is none to roll back to" in page, 'name="to"' in page) == (True, False)


def test_without_an_endpoint_there_is_nothing_to_go_back_from(browser: TestClient, account: AccountOfModels) -> None:
    account.sagemaker.delete_endpoint(EndpointName="bins")
    answer = browser.get("/endpoint/rollback")
    assert (answer.status_code, "there is no endpoint bins" in answer.text) == (200, True)


def test_going_back_invokes_the_rollback_function_with_the_comment(
    post: Post, account: AccountOfModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = functions(monkeypatch, {"decision": "updating", "reason": "the endpoint moves to version 3"})
    assert post("3", " dark \n photos ") == "303 /endpoint"
    assert made.requests == [("bins-rollback", {"model_package_arn": account.arn_of(3), "comment": "dark photos"})]


def test_a_refusal_is_one_line_with_the_policy_that_allows_it(
    post: Post, account: AccountOfModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions(monkeypatch, denied_by_lambda())
    answer = post("3")
    for part in ("400", "may not go back to version 3", "lambda:InvokeFunction", "the policy bins-approver", "arn:x"):
        assert part in answer


def test_what_the_function_refuses_is_shown(
    post: Post, account: AccountOfModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions(monkeypatch, {"errorMessage": "endpoint bins is Updating; deploy version 3 again after that"})
    assert "endpoint bins is Updating" in post("3")


@pytest.mark.parametrize("to", ["", "latest", "2", "<b>"])
def test_only_an_approved_version_by_its_number_is_gone_back_to(
    post: Post, account: AccountOfModels, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    made = functions(monkeypatch)
    assert post(to).startswith("400")
    assert made.requests == []


def test_a_comment_that_the_registry_would_refuse_rejects_nothing(
    post: Post, account: AccountOfModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = functions(monkeypatch)
    assert "the comment has 1,025 characters" in post("3", "x" * 1025)
    assert made.requests == []


def test_without_the_token_nothing_is_done(
    browser: TestClient, account: AccountOfModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = functions(monkeypatch)
    assert browser.post("/endpoint/rollback", data={"to": "3"}).status_code == 403
    assert made.requests == []
