"""The page of a version, and what it shows of its photos and its report."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import reads, version
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.console.pages.account_of_models import BETTER, JPEG, TAMPERED, WORSE, AccountOfModels
from tests.unit.pipeline.console.pages.conftest import Clock
from tests.unit.pipeline.console.pages.test_models import text_of
from tests.unit.pipeline.operations import conftest

moto = conftest.account
LIMITS = {
    "parameter_MinimumAccuracy": "0.5",
    "parameter_MaximumRmse": "0.1",
    "parameter_MaximumAccuracyLoss": "0.01",
    "parameter_MinimumSureAccuracy": "0.8",
    "parameter_ImageLocation": "s3://raw-photos-of-a-test",
}
CARD = {
    "intended_uses": {"purpose_of_model": "Count <objects>."},
    "training_details": {"training_job_details": {"hyper_parameters": [{"name": "rate", "value": "0.1"}]}},
}


@pytest.fixture
def account(moto: None, settings: Settings) -> AccountOfModels:
    account = AccountOfModels(settings)
    account.create_group()
    account.s3.create_bucket(Bucket="raw-photos-of-a-test")
    return account


@pytest.fixture
def registered(account: AccountOfModels) -> str:
    """A version with all that a run registers."""
    arn = account.register("a", BETTER, champion=(7, WORSE))
    properties = {**LIMITS, **account.golden("a")}
    account.describe(arn, properties, ModelCard={"ModelCardContent": json.dumps(CARD), "ModelCardStatus": "Draft"})
    account.put("runs/a/report.html", b"<title>report</title><script>document.title = 'seen'</script>")
    account.s3.put_object(Bucket="raw-photos-of-a-test", Key="bin-images/00003.jpg", Body=JPEG)
    return arn


def test_a_version_has_what_a_decision_rests_on(browser: TestClient, registered: str) -> None:
    page = browser.get("/models/1").text
    shown = text_of(page)
    assert "Accuracy 0.7500 ±" in shown
    assert "accuracy 0.7500 at least 0.5 passed" in shown
    assert "RMSE 0.5000 at most 0.1 not passed" in shown
    assert "loss of accuracy against version 7" in shown
    assert "This version counts 25.0% of the photos by itself at 75.0% right (wanted: 90%)." in shown
    assert "accuracy of the surest 50% 0.7500 at least 0.8 not passed" in shown
    assert "4 50 0.0000 1.0000" in shown
    assert "true 4, predicted 5 00003 confidence 100%" in shown
    assert "count 1 golden1 2: 75.0%, 0: 25.0%" in shown
    assert "Count <objects>." in shown
    assert "rate 0.1" in shown
    assert '<iframe class="report"' in page
    assert 'sandbox="allow-scripts"' in page


def test_the_newest_version_has_its_page_by_that_word(browser: TestClient, registered: str) -> None:
    assert "<h1>Version 1</h1>" in browser.get("/models/latest").text


@pytest.mark.parametrize("reference", ["9", "x", "1;2", "²", "arn:aws:sagemaker:us-east-1:1:model-package"])
def test_what_is_no_version_is_not_found(browser: TestClient, registered: str, reference: str) -> None:
    assert browser.get(f"/models/{reference}").status_code == 404


def test_the_report_is_shown_in_a_sandbox(browser: TestClient, registered: str) -> None:
    answer = browser.get("/models/1/report")
    assert (answer.status_code, "<title>report" in answer.text) == (200, True)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy


def test_a_report_that_no_longer_exists_is_not_found(
    browser: TestClient, account: AccountOfModels, registered: str, settings: Settings
) -> None:
    account.s3.delete_object(Bucket=settings.data.bucket, Key="runs/a/report.html")
    assert browser.get("/models/1/report").status_code == 404


@pytest.mark.parametrize("path", ["/models/1/golden/0", "/models/1/photos/00003"])
def test_photos_are_answered_as_jpeg_that_no_browser_reads_as_a_page(
    browser: TestClient, registered: str, path: str
) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, JPEG, "image/jpeg")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["golden/2", "golden/x", "golden/-1", "photos/00000", "photos/..%2Fsecret", "photos/"])
def test_other_photos_are_not_shown(browser: TestClient, registered: str, path: str) -> None:
    """00000 was counted right: its photo exists in no page."""
    assert browser.get(f"/models/1/{path}").status_code == 404


def test_a_file_that_is_no_jpeg_is_not_shown(browser: TestClient, account: AccountOfModels, registered: str) -> None:
    account.s3.put_object(Bucket="raw-photos-of-a-test", Key="bin-images/00003.jpg", Body=b"<script>")
    answer = browser.get("/models/1/photos/00003")
    assert (answer.status_code, "is no JPEG" in answer.text, "<script>" in answer.text) == (502, True, False)


def test_photos_that_these_credentials_may_not_read_are_not_asked_for_by_the_page(
    browser: TestClient, registered: str
) -> None:
    Answers().error("s3.GetObject", "AccessDenied", "no", status=403, at="raw-photos-of-a-test")
    page = browser.get("/models/1").text
    assert "The photos are not shown: " in page
    assert "GetObject" in page
    assert "true 4, predicted 5 00003" in text_of(page)
    assert "/models/1/photos/" not in page
    assert "/models/1/golden/0" in page


def test_golden_photos_that_were_changed_are_not_shown(
    browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.golden("a", photos=3)
    assert "golden.json was changed after the registration" in browser.get("/models/1").text
    assert browser.get("/models/1/golden/0").status_code == 404


def test_a_version_without_its_files_is_still_shown(
    browser: TestClient, account: AccountOfModels, settings: Settings
) -> None:
    account.register("a")
    for key in ("predictions.parquet", "evaluation.json"):
        account.s3.delete_object(Bucket=settings.data.bucket, Key=f"runs/a/{key}")
    answer = browser.get("/models/1")
    shown = text_of(answer.text)
    assert answer.status_code == 200
    assert "Nothing shows what this version counts right" in shown
    assert "the predictions of version 1 no longer exist" in shown
    assert "the version has no golden photos" in shown
    assert "registered without a model card" in shown
    assert "limits of its run are not recorded" in shown
    assert "was not registered by a run of this pipeline" in shown


def test_a_model_card_of_another_form_is_named_and_hides_nothing(
    browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.describe(registered, LIMITS, ModelCard={"ModelCardContent": "[1]", "ModelCardStatus": "Draft"})
    shown = text_of(browser.get("/models/1").text)
    assert "the model card of version 1 cannot be read" in shown
    assert "accuracy 0.7500 at least 0.5 passed" in shown


def test_who_may_not_read_the_endpoint_sees_the_version_and_the_reason(browser: TestClient, registered: str) -> None:
    Answers().error("sagemaker.DescribeEndpoint", "AccessDeniedException", "no", status=403)
    answer = browser.get("/models/1")
    assert (answer.status_code, "these credentials may not DescribeEndpoint" in answer.text) == (200, True)


def test_an_idle_page_makes_few_requests(
    console: Console, account: AccountOfModels, clock: Clock, registered: str
) -> None:
    account.serve(registered)
    view = version.version(console, {"version": "1"})
    account.asked.clear()
    for _ in range(int(60 / view.refresh)):
        clock.now += view.refresh
        version.version(console, {"version": "1"})
    assert 0 < account.asked.total() <= 10


Post = Callable[..., str]


@pytest.fixture
def post(browser: TestClient, console: Console) -> Post:
    def send(path: str, comment: str = "") -> str:
        answer = browser.post(path, data={"token": console.token, "comment": comment}, follow_redirects=False)
        return f"{answer.status_code} {answer.headers.get('location', text_of(answer.text))}"

    return send


def status_of(account: AccountOfModels, number: int = 1) -> tuple[str, str]:
    described = account.sagemaker.describe_model_package(ModelPackageName=account.arn_of(number))
    return described["ModelApprovalStatus"], described.get("ApprovalDescription", "")


def test_an_approval_is_kept_with_its_comment(post: Post, account: AccountOfModels, registered: str) -> None:
    assert post("/models/1/approve", " counts \n well ").startswith("303 /")
    assert status_of(account) == ("Approved", "counts well")


def test_a_rejection_is_kept_and_shown(
    post: Post, browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    assert post("/models/1/reject", "misses <small> objects") == "303 /models/1"
    assert status_of(account) == ("Rejected", "misses <small> objects")
    page = browser.get("/models/1").text
    assert "misses &lt;small&gt; objects" in page
    assert "/models/1/approve" in page
    assert "/models/1/reject" not in page


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_a_decision_without_the_token_changes_nothing(
    browser: TestClient, account: AccountOfModels, registered: str, act: str
) -> None:
    assert browser.post(f"/models/1/{act}", data={"comment": "x"}).status_code == 403
    assert status_of(account)[0] == "PendingManualApproval"


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_who_may_not_decide_is_answered_with_the_permission_and_the_policy(
    post: Post, account: AccountOfModels, registered: str, act: str
) -> None:
    message = "User: arn:x is not authorized to perform: sagemaker:UpdateModelPackage on resource: y"
    Answers().error("sagemaker.UpdateModelPackage", "AccessDeniedException", message, status=400)
    answer = post(f"/models/1/{act}")
    assert answer.startswith("400")
    for part in (f"may not {act} version 1", "sagemaker:UpdateModelPackage", "the policy bins-approver", "arn:x"):
        assert part in answer
    assert status_of(account)[0] == "PendingManualApproval"


def test_an_evaluation_that_was_changed_is_named_and_not_approved(
    post: Post, browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.describe(registered, TAMPERED)
    page = browser.get("/models/1").text
    assert "Do not approve this version." in page
    assert ("/models/1/approve" in page, "/models/1/reject" in page) == (False, True)
    assert "was changed after the registration" in post("/models/1/approve")
    assert status_of(account)[0] == "PendingManualApproval"


def test_a_version_whose_evaluation_is_missing_is_not_approved_here(
    post: Post, browser: TestClient, account: AccountOfModels, registered: str, settings: Settings
) -> None:
    account.s3.delete_object(Bucket=settings.data.bucket, Key="runs/a/evaluation.json")
    page = browser.get("/models/1").text
    assert ("/models/1/approve" in page, "/models/1/reject" in page) == (False, True)
    assert "python -m pipeline approve 1" in post("/models/1/approve")
    assert status_of(account)[0] == "PendingManualApproval"


def test_a_comment_that_the_registry_would_refuse_is_refused_before(
    post: Post, account: AccountOfModels, registered: str
) -> None:
    assert "the comment has 1,025 characters" in post("/models/1/reject", "x" * 1025)
    assert status_of(account)[0] == "PendingManualApproval"


def test_a_decision_that_stands_is_not_offered_nor_taken_again(
    post: Post, browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.approve(registered)
    page = browser.get("/models/1").text
    assert ("/models/1/approve" in page, "/models/1/reject" in page) == (False, True)
    assert "approved already" in post("/models/1/approve")


def test_before_an_approval_its_cost_and_what_it_creates_are_shown(browser: TestClient, registered: str) -> None:
    shown = text_of(browser.get("/models/1").text)
    assert "An approval creates the endpoint bins with this version." in shown
    assert "an hour" in shown
    assert "until it is deleted" in shown


def test_before_an_approval_what_it_replaces_is_shown_and_asked(
    browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.approve(registered)
    account.serve(registered)
    account.register("b")
    page = browser.get("/models/2").text
    assert "An approval replaces version 1 on the endpoint bins" in text_of(page)
    assert 'data-ask="Approve this version? An approval replaces version 1' in page


def test_an_approval_that_deploys_nothing_is_shown_as_such(
    browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.approve(account.register("b"))
    shown = text_of(browser.get("/models/1").text)
    assert "Version 2 is approved too, and newer, so an approval deploys nothing" in shown
    assert "python -m pipeline rollback --to 1" in shown


def test_a_rejection_of_what_serves_is_asked_with_its_consequence(
    browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.approve(registered)
    account.serve(registered)
    assert "goes on serving it until another version is deployed" in browser.get("/models/1").text


def test_after_a_decision_the_endpoint_is_looked_at_often_for_a_while(
    post: Post, console: Console, clock: Clock, account: AccountOfModels, registered: str
) -> None:
    """A deployment begins some seconds after its approval."""
    assert version.version(console, {"version": "1"}).refresh == reads.IDLE
    post("/models/1/approve")
    assert version.version(console, {"version": "1"}).refresh == 5
    account.serve(registered)
    clock.now += 5
    assert version.version(console, {"version": "1"}).values["choice"].serves
    clock.now += 180
    assert version.version(console, {"version": "1"}).refresh == reads.IDLE


def test_an_approved_version_before_the_one_that_serves_leads_to_going_back(
    browser: TestClient, account: AccountOfModels, registered: str
) -> None:
    account.approve(registered)
    newer = account.register("b")
    account.approve(newer)
    account.serve(newer)
    assert 'href="/endpoint/rollback?to=1"' in browser.get("/models/1").text
    assert "/endpoint/rollback" not in browser.get("/models/2").text
