"""The list of versions, and two of them compared."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import models
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.console.pages.account_of_models import BETTER, TAMPERED, WORSE, AccountOfModels
from tests.unit.pipeline.console.pages.conftest import Clock
from tests.unit.pipeline.operations import conftest

moto = conftest.account


@pytest.fixture
def account(moto: None, settings: Settings) -> AccountOfModels:
    account = AccountOfModels(settings)
    account.create_group()
    return account


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_versions_stand_side_by_side_with_their_figures_and_the_one_that_serves(
    browser: TestClient, account: AccountOfModels
) -> None:
    first = account.register("a", WORSE)
    account.approve(first)
    account.register("b", BETTER, champion=(1, WORSE))
    account.serve(first)
    page = browser.get("/models").text
    shown = text_of(page)
    assert re.findall(r'href="/models/(\d+)"', page) == ["2", "1"]
    assert "1 serves Approved" in shown
    assert re.search(r"0\.7500\* ± 0\.\d{4}", shown)
    assert re.search(r"0\.5000 ± 0\.\d{4}", shown)
    assert "+0.2500 to 1" in shown


def test_versions_are_linked_to_studio(
    browser: TestClient, account: AccountOfModels, settings: Settings, clock: Clock
) -> None:
    Answers().say("sagemaker.ListDomains", {"Domains": [{"DomainId": "d-abc", "Status": "InService"}]})
    assert "Open in Studio" not in browser.get("/models").text
    account.register("a")
    clock.now += 60
    page = browser.get("/models").text
    group = f"studio-d-abc.studio.us-east-1.sagemaker.aws/models/registered-models/{settings.registry.group}/versions"
    assert f'href="https://{group}" target="_blank"' in page


def test_two_versions_are_chosen_for_a_comparison_the_serving_one_first(
    browser: TestClient, account: AccountOfModels
) -> None:
    for run in "abc":
        account.register(run)
    account.serve(account.arn_of(1))
    chosen = re.findall(r"<option selected>(\d+)</option>", browser.get("/models").text)
    assert chosen == ["1", "3"]


def test_a_group_without_versions_leads_to_a_run(browser: TestClient, account: AccountOfModels) -> None:
    page = browser.get("/models")
    assert (page.status_code, "python -m pipeline start" in page.text) == (200, True)


def test_an_account_without_the_group_leads_to_the_command_that_creates_it(
    browser: TestClient, account: AccountOfModels
) -> None:
    Answers().error("sagemaker.ListModelPackages", "ValidationException", "ModelPackageGroup bins does not exist.")
    page = browser.get("/models")
    assert (page.status_code, "python -m pipeline upsert" in page.text) == (200, True)


def test_a_version_whose_evaluation_was_changed_is_listed_with_that(
    browser: TestClient, account: AccountOfModels
) -> None:
    account.describe(account.register("a"), TAMPERED)
    assert "was changed after the registration" in browser.get("/models").text


def test_a_comment_is_shown_as_text(browser: TestClient, account: AccountOfModels) -> None:
    arn = account.register("a")
    account.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription="<script>alert(1)</script>"
    )
    page = browser.get("/models").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_two_hundred_versions_have_pages_of_which_each_describes_what_it_shows(
    browser: TestClient, account: AccountOfModels
) -> None:
    account.register_many(200)
    account.asked.clear()
    first = browser.get("/models").text
    assert re.findall(r'th scope="row"><a href="/models/(\d+)"', first) == [
        str(number) for number in range(200, 180, -1)
    ]
    assert (account.asked["ListModelPackages"], account.asked["DescribeModelPackage"]) == (1, 20)
    last = browser.get("/models?page=10").text
    assert re.findall(r'th scope="row"><a href="/models/(\d+)"', last) == list(map(str, range(20, 0, -1)))
    assert ('rel="prev"' in last, 'rel="next"' in last) == (True, False)
    assert account.asked["DescribeModelPackage"] == 40


@pytest.mark.parametrize("page", ["0", "x", "-1", "51", "1.5", "²"])
def test_a_page_that_the_list_does_not_have_is_not_found(browser: TestClient, page: str) -> None:
    assert browser.get("/models", params={"page": page}).status_code == 404


def test_an_idle_list_makes_few_requests(console: Console, account: AccountOfModels, clock: Clock) -> None:
    account.register_many(30)
    account.serve(account.arn_of(1))
    view = models.models(console, {})
    account.asked.clear()
    for _ in range(int(60 / view.refresh)):
        clock.now += view.refresh
        models.models(console, {})
    assert 0 < account.asked.total() <= 10


def test_a_decision_by_somebody_else_is_seen_within_a_minute(
    console: Console, account: AccountOfModels, clock: Clock
) -> None:
    arn = account.register("a")
    assert models.models(console, {}).values["versions"][0].status == "PendingManualApproval"
    account.approve(arn)
    clock.now += 60
    assert models.models(console, {}).values["versions"][0].status == "Approved"


def test_a_comparison_has_the_differences_and_whether_they_are_chance(
    browser: TestClient, account: AccountOfModels
) -> None:
    account.register("a", WORSE)
    account.register("b", BETTER)
    shown = text_of(browser.get("/models/compare?first=1&second=2").text)
    assert "Version 2 less version 1" in shown
    assert "On 200 photos that both counted" in shown
    assert "version 2 is better" in shown
    assert "accuracy 0.5000 0.7500 +0.2500" in shown
    assert "3 50 0.0000 1.0000 +1.0000" in shown


def test_a_comparison_over_other_data_is_marked(browser: TestClient, account: AccountOfModels) -> None:
    account.register("a", WORSE)
    account.register("b", BETTER, sha256="b" * 64)
    shown = text_of(browser.get("/models/compare?first=1&second=2").text)
    assert "these figures do not compare" in shown


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("first=1&second=1", "are both version 1"),
        ("first=1&second=9", "has no version 9"),
        ("first=1&second=%3Cb%3E", "is no version"),
        ("", "Choose two versions"),
        ("first=1", "Choose two versions"),
    ],
)
def test_a_comparison_that_cannot_be_made_has_the_reason_and_the_choice(
    browser: TestClient, account: AccountOfModels, query: str, why: str
) -> None:
    account.register("a")
    page = browser.get(f"/models/compare?{query}")
    assert (page.status_code, why in page.text, "<b>" in page.text) == (200, True, False)
    assert 'name="first"' in page.text
