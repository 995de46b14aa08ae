"""A photo for the endpoint: how it comes, what is sent, and what is shown of the answer."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import simplejpeg
from botocore.exceptions import ClientError
from PIL import Image
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.console.pages.account_of_models import AccountOfModels
from tests.unit.pipeline.console.pages.test_models import text_of
from tests.unit.pipeline.operations import conftest
from tests.unit.pipeline.operations.serving.test_photos import jpeg

moto = conftest.account
ANSWER = {"count": 3, "expected": 2.75, "probabilities": {"2": 0.25, "3": 0.75}, "model_version": "1"}
PHOTO = jpeg()


@pytest.fixture
def account(moto: None, settings: Settings) -> AccountOfModels:
    """A version that serves, with a raw photo of its test split."""
    account = AccountOfModels(settings)
    account.create_group()
    arn = account.register("a")
    account.describe(arn, {"parameter_ImageLocation": "s3://raw-photos-of-a-test"})
    account.approve(arn)
    account.serve(arn)
    account.s3.create_bucket(Bucket="raw-photos-of-a-test")
    return account


Send = Callable[..., str]


@pytest.fixture
def send(browser: TestClient, console: Console) -> Send:
    """Send a form as a browser does; the answer as text."""

    def post(content: bytes = b"", name: str = "a.jpg", **fields: str) -> str:
        answer = browser.post("/endpoint", data={"token": console.token, **fields}, files={"photo": (name, content)})
        assert answer.status_code == 200
        return answer.text

    return post


@pytest.mark.parametrize(("name", "identity"), [("bin 1.JPG", "bin 1"), ("photo", None), ("\u00fc.jpg", None)])
def test_a_request_has_the_photos_id_which_its_true_count_has_later(
    account: AccountOfModels, send: Send, sent: list[bytes], name: str, identity: str | None
) -> None:
    headers: list[Any] = []
    boto3.DEFAULT_SESSION.events.register(
        "before-call.sagemaker-runtime.InvokeEndpoint", lambda params, **_: headers.append(params["headers"])
    )
    send(PHOTO, name)
    assert sent == [PHOTO]
    assert headers[0].get("X-Amzn-SageMaker-Inference-Id") == identity


@pytest.fixture
def sent() -> list[bytes]:
    """The bodies that reach the endpoint, which answers each."""
    bodies: list[bytes] = []
    Answers().say("sagemaker-runtime.InvokeEndpoint", ANSWER)

    def note(params: dict[str, Any], **_: Any) -> None:
        bodies.append(params["body"])

    boto3.DEFAULT_SESSION.events.register("before-call.sagemaker-runtime.InvokeEndpoint", note)
    return bodies


def test_a_photo_has_count_probabilities_time_and_the_version_that_answered(
    account: AccountOfModels, send: Send, sent: list[bytes]
) -> None:
    page = send(PHOTO)
    shown = text_of(page)
    assert sent == [PHOTO]
    assert "3 objects in a.jpg" in shown
    assert "confidence 75.0%" in shown
    assert "expected 2.75" in shown
    assert "ms from request to answer" in shown
    assert "answered by version 1" in shown
    assert '<rect class="full"' in page
    assert "2 25.00% 3 75.00%" in shown
    assert 'src="data:image/jpeg;base64,' in page
    assert "the true count" not in shown


@pytest.mark.parametrize(
    ("sure", "members", "shown"),
    [
        (True, [3], "sure sure prediction set 3 (the truth"),
        (False, [2, 3], "sure not sure (a person should count) prediction set 2, 3 (the truth"),
    ],
)
def test_a_calibrated_model_is_sure_or_not_and_has_a_prediction_set(
    account: AccountOfModels, send: Send, sure: bool, members: list[int], shown: str
) -> None:
    Answers().say("sagemaker-runtime.InvokeEndpoint", {**ANSWER, "sure": sure, "prediction_set": members})
    assert shown in text_of(send(PHOTO))


def test_a_model_without_a_calibration_is_neither(account: AccountOfModels, send: Send, sent: list[bytes]) -> None:
    shown = text_of(send(PHOTO))
    assert "sure" not in shown
    assert "prediction set" not in shown


def test_the_answer_stands_where_the_script_looks_for_it(
    account: AccountOfModels, send: Send, sent: list[bytes]
) -> None:
    page = send(PHOTO)
    assert page.index('<div id="answer" role="status">') < page.index('<div class="answer card">')
    assert page.index('<div class="answer card">') < page.index('id="live-traffic"')


def test_a_png_is_sent_as_a_jpeg(account: AccountOfModels, send: Send, sent: list[bytes]) -> None:
    png = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 20, 30)).save(png, "PNG")
    shown = text_of(send(png.getvalue(), "a.png"))
    assert simplejpeg.decode_jpeg_header(sent[0])[:2] == (30, 40)
    assert "Sent as a JPEG" in shown


@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        (b"", "", "choose a photo first"),
        (b"<html>", "a.jpg", "a.jpg is neither a JPEG nor a PNG, by its content"),
        (b"GIF89a", "<b>.jpg", "<b>.jpg is neither a JPEG nor a PNG"),
        (b"\x89PNG\r\n\x1a\n damaged", "a.png", "a.png: cannot be decoded"),
        (b"\xff\xd8\xff" + bytes(6_291_456), "a.jpg", "a real-time endpoint accepts at most 6,291,456"),
    ],
)
def test_what_is_no_usable_photo_is_one_line_and_not_sent(
    account: AccountOfModels, send: Send, sent: list[bytes], content: bytes, name: str, problem: str
) -> None:
    page = send(content, name)
    assert problem in text_of(page)
    assert (sent, "<b>.jpg" in page) == ([], False)


def test_a_photo_that_the_model_refuses_has_its_reason(account: AccountOfModels, send: Send) -> None:
    answer: Any = {
        "Error": {"Code": "ModelError", "Message": "Received client error (400) from primary; see CloudWatch"},
        "OriginalStatusCode": 400,
        "OriginalMessage": '{"error": "not a JPEG: truncated"}',
    }
    Answers().raises("sagemaker-runtime.InvokeEndpoint", ClientError(answer, "InvokeEndpoint"))
    assert "a.jpg has no count: the model answered 400: not a JPEG: truncated" in text_of(send(PHOTO))


def test_without_an_endpoint_the_next_step_is_one_line(account: AccountOfModels, send: Send) -> None:
    account.sagemaker.delete_endpoint(EndpointName="bins")
    Answers().error("sagemaker-runtime.InvokeEndpoint", "ValidationError", "Endpoint bins not found.")
    assert "there is no endpoint bins, although version 1 is approved" in text_of(send(PHOTO))


def test_a_photo_of_the_test_split_is_counted_next_to_the_truth(
    account: AccountOfModels, send: Send, sent: list[bytes], browser: TestClient
) -> None:
    page = browser.get("/endpoint").text
    picked = page.partition('name="test" value="')[2].partition('"')[0]
    account.s3.put_object(Bucket="raw-photos-of-a-test", Key=f"bin-images/{picked}.jpg", Body=PHOTO)
    assert browser.get(f"/models/1/photos/{picked}").content == PHOTO
    shown = text_of(send(test=picked))
    assert sent == [PHOTO]
    assert f"3 objects in {picked}.jpg" in shown
    assert "wrong the true count is 1; the evaluation counted 1" in shown


@pytest.mark.parametrize("picked", ["../x", "00000", "<b>"])
def test_another_photo_of_the_raw_bucket_is_not_sent(
    account: AccountOfModels, send: Send, sent: list[bytes], picked: str
) -> None:
    """A page offers few ids; any other would be a way to read the bucket."""
    page = send(test=picked)
    assert "is none of the photos of the test split on this page" in page
    assert sent == []


def test_a_photo_of_the_test_split_that_is_gone_is_one_line(
    account: AccountOfModels, send: Send, sent: list[bytes], browser: TestClient
) -> None:
    picked = browser.get("/endpoint").text.partition('name="test" value="')[2].partition('"')[0]
    assert f"there is no photo {picked} in the location of the version" in send(test=picked)
    assert sent == []


def test_without_the_token_nothing_is_sent(account: AccountOfModels, browser: TestClient, sent: list[bytes]) -> None:
    answer = browser.post("/endpoint", data={"token": "x"}, files={"photo": ("a.jpg", PHOTO)})
    assert (answer.status_code, "reload its page" in answer.text, sent) == (403, True, [])


def test_another_origin_sends_nothing(
    account: AccountOfModels, browser: TestClient, console: Console, sent: list[bytes]
) -> None:
    answer = browser.post(
        "/endpoint",
        data={"token": console.token},
        files={"photo": ("a.jpg", PHOTO)},
        headers={"origin": "http://example.com"},
    )
    assert (answer.status_code, sent) == (403, [])


def test_a_body_that_is_too_large_is_one_line(account: AccountOfModels, browser: TestClient) -> None:
    answer = browser.post("/endpoint", files={"photo": ("a.jpg", bytes(7_000_000))})
    assert (answer.status_code, "a photo may have 6.4 MB" in answer.text) == (413, True)
