"""Photos sent to the endpoint over HTTP, and what comes back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import simplejpeg
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from pipeline.aws.validation.shapes import service_model
from pipeline.operations.serving import photos, predictions
from pipeline.operations.serving.photos import Photo, Reader
from pipeline.operations.serving.predictions import Answer, NotCounted, Prediction, predict
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.answers import Answers
from tests.unit.pipeline.operations.serving.test_photos import jpeg


class Runtime:
    """SageMaker's runtime over HTTP: answers each photo with a count made of its shade, in the time it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self.inference_ids: list[str | None] = []
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.together = 0
        self._open = 0
        self._gate = threading.Condition()
        self.wait_for = 1
        self.silent_at: int | None = None
        self.hang_up_at: int | None = None
        self.ended = threading.Event()
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                runtime.requests.append((self.path, self.headers["Content-Type"], len(body)))
                runtime.inference_ids.append(self.headers["X-Amzn-SageMaker-Inference-Id"])
                runtime.arrive()
                if len(body) == runtime.silent_at:
                    runtime.ended.wait(60)
                if len(body) in (runtime.silent_at, runtime.hang_up_at):
                    self.close_connection = True
                    return
                status, headers, content = runtime.answer or (200, {}, runtime.count(body))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @staticmethod
    def count(body: bytes) -> bytes:
        shade = int(simplejpeg.decode_jpeg(body)[0, 0, 0]) // 40
        answer = {"count": shade, "expected": shade + 0.25, "probabilities": {str(shade): 0.75, "9": 0.25}}
        return json.dumps({**answer, "model_version": "3"}).encode()

    def arrive(self) -> None:
        """Hold each request until as many are open as the test waits for."""
        with self._gate:
            self._open += 1
            self.together = max(self.together, self._open)
            self._gate.notify_all()
            self._gate.wait_for(lambda: self.together >= self.wait_for, timeout=60)
            self._open -= 1


@pytest.fixture
def runtime(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    runtime = Runtime()
    thread = threading.Thread(target=runtime.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{runtime.server.server_address[1]}")
    yield runtime
    runtime.ended.set()
    runtime.server.shutdown()
    runtime.server.server_close()


def ask(settings: Settings, folder: Path, photos: dict[str, bytes], concurrency: int = 4) -> list[Answer]:
    """Write the photos to the folder and have them counted, in their order."""
    for name, data in photos.items():
        (folder / name).write_bytes(data)
    names = [str(folder / name) for name in photos]
    return list(predict(settings, Reader(settings), names, concurrency=concurrency))


def test_answers_come_in_the_order_of_the_photos_with_all_they_hold(
    runtime: Runtime, settings: Settings, tmp_path: Path
) -> None:
    answers = ask(settings, tmp_path, {f"{n}.jpg": jpeg(n * 40 + 20) for n in (4, 0, 2)})
    first = answers[0]
    assert [(Path(one.source).name, one.count) for one in answers if isinstance(one, Prediction)] == [
        ("4.jpg", 4),
        ("0.jpg", 0),
        ("2.jpg", 2),
    ]
    assert isinstance(first, Prediction)
    assert (first.confidence, first.expected, first.model_version) == (0.75, 4.25, "3")
    assert {(path, kind) for path, kind, _ in runtime.requests} == {("/endpoints/bins/invocations", "image/jpeg")}


def test_photos_are_sent_at_the_same_time(runtime: Runtime, settings: Settings, tmp_path: Path) -> None:
    runtime.wait_for = 3
    ask(settings, tmp_path, {f"{n}.jpg": jpeg() for n in range(6)}, concurrency=3)
    assert runtime.together == 3


def test_photos_are_read_as_they_are_needed(runtime: Runtime, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    taken = []

    def names() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield str(tmp_path / "a.jpg")

    answers = predict(settings, Reader(settings), names(), concurrency=2)
    next(answers)
    assert len(taken) < 20
    answers.close()  # type: ignore[attr-defined]


def test_a_photo_without_an_answer_says_why_and_the_others_go_on(
    runtime: Runtime, settings: Settings, tmp_path: Path
) -> None:
    answers = ask(settings, tmp_path, {"a.jpg": jpeg(), "b.jpg": b"no photo", "c.jpg": jpeg()})
    assert [type(one) for one in answers] == [Prediction, NotCounted, Prediction]
    assert isinstance(answers[1], NotCounted)
    assert answers[1].reason.startswith("not a JPEG; the endpoint accepts JPEG photos only")


def test_a_request_has_the_id_of_its_photo_where_it_fits(runtime: Runtime, settings: Settings, tmp_path: Path) -> None:
    names = [
        "00001.jpg",
        "a b~(2).JPEG",
        "x" * 64 + ".jpg",
        "x" * 65 + ".jpg",
        "\u00fc.jpg",
        " a.jpg",
        "a .jpg",
        "photo",
    ]
    ask(settings, tmp_path, {name: jpeg() for name in names}, concurrency=1)
    assert runtime.inference_ids == ["00001", "a b~(2)", "x" * 64, None, None, None, None, None]


def test_the_id_is_one_that_the_service_accepts() -> None:
    shape = service_model("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape.members["InferenceId"]
    assert (shape.metadata["min"], shape.metadata["max"], shape.metadata["pattern"]) == (1, 64, r"\A\S[\p{Print}]*\z")
    assert predictions.inference_id("s3://bucket/2026/bin-7.jpg") == "bin-7"
    assert predictions.inference_id("/photos/.jpg") == predictions.inference_id("a\n.jpg") == ""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients as the commands have them, but for how long they wait and how often they try."""
    config = Config(region_name="us-east-1", retries={"total_max_attempts": 1}, read_timeout=3)
    for module in (photos, predictions):
        monkeypatch.setattr(module, "client", lambda _, service: boto3.client(service, config=config))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("silent_at", "no answer: Read timeout"), ("hang_up_at", "no answer: Connection was closed")],
)
def test_a_photo_whose_answer_does_not_come_says_so_and_the_others_go_on(
    runtime: Runtime, settings: Settings, tmp_path: Path, fault: str, reason: str
) -> None:
    setattr(runtime, fault, len(jpeg() + b"\0" * 100))
    answers = ask(settings, tmp_path, {"a.jpg": jpeg(), "b.jpg": jpeg() + b"\0" * 100, "c.jpg": jpeg()})
    assert [type(one) for one in answers] == [Prediction, NotCounted, Prediction]
    assert isinstance(answers[1], NotCounted)
    assert answers[1].reason.startswith(reason)


@pytest.mark.usefixtures("impatient")
def test_where_nothing_listens_it_ends_with_that(runtime: Runtime, settings: Settings, tmp_path: Path) -> None:
    runtime.server.server_close()
    with pytest.raises(EndpointConnectionError):
        ask(settings, tmp_path, {"a.jpg": jpeg(), "b.jpg": jpeg()})


def test_a_models_refusal_is_told_in_its_own_words(runtime: Runtime, settings: Settings, tmp_path: Path) -> None:
    body = {"Message": "Received client error", "OriginalStatusCode": 400, "OriginalMessage": '{"error": "truncated"}'}
    runtime.answer = (424, {"x-amzn-errortype": "ModelError"}, json.dumps(body).encode())
    (answer,) = ask(settings, tmp_path, {"a.jpg": jpeg()})
    assert isinstance(answer, NotCounted)
    assert answer.reason == "the model answered 400: truncated"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("", "there is no endpoint bins; approve a model: python -m pipeline approve latest"),
        ("Creating", "the endpoint bins is being created and accepts no photos now; see: python -m pipeline endpoint"),
        ("Failed", "the endpoint bins is Failed and accepts no photos now; see: python -m pipeline endpoint"),
        ("InService", "the endpoint bins has just started; run this command again"),
    ],
)
def test_an_endpoint_that_takes_no_photos_is_answered_with_why_and_what_to_do(
    settings: Settings, tmp_path: Path, status: str, says: str
) -> None:
    answers = Answers()
    message = "Endpoint bins of account 111122223333 not found."
    answers.error("sagemaker-runtime.InvokeEndpoint", "ValidationError", message)
    if status:
        answers.say("sagemaker.DescribeEndpoint", {"EndpointStatus": status, "EndpointConfigName": "c"})
    with pytest.raises(PipelineError) as refused:
        ask(settings, tmp_path, {"a.jpg": jpeg()})
    assert str(refused.value) == says


@pytest.mark.usefixtures("account")
def test_who_may_not_look_at_the_endpoint_is_told_that_beside_it(settings: Settings, tmp_path: Path) -> None:
    answers = Answers()
    answers.error("sagemaker-runtime.InvokeEndpoint", "ValidationError", "Endpoint bins of account 1 not found.")
    answers.error("sagemaker.DescribeEndpoint", "AccessDeniedException", "no", status=403)
    with pytest.raises(PipelineError, match=r"bins accepts no photos, and these credentials may not look \(Desc"):
        ask(settings, tmp_path, {"a.jpg": jpeg()})


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"count": "many", "expected": 1, "probabilities": {}}', b"[]"])
def test_an_answer_of_another_model_is_not_taken_for_a_count(
    runtime: Runtime, settings: Settings, tmp_path: Path, body: bytes
) -> None:
    runtime.answer = (200, {}, body)
    (answer,) = ask(settings, tmp_path, {"a.jpg": jpeg()})
    assert isinstance(answer, NotCounted)
    assert answer.reason.startswith("not an answer of this pipeline's model")


# ------------------------------------------------------------------------------------- one photo, without a file


def test_one_photo_is_counted_without_a_file(runtime: Runtime, settings: Settings) -> None:
    answer = predictions.count(settings, Photo("a.jpg", jpeg(100)))
    assert isinstance(answer, Prediction)
    assert (answer.source, answer.count) == ("a.jpg", 2)


def test_a_photo_that_the_endpoint_would_refuse_is_not_sent(runtime: Runtime, settings: Settings) -> None:
    answers = [predictions.count(settings, Photo("a.jpg", data)) for data in (b"no photo", jpeg() + bytes(6_291_456))]
    reasons = [answer.reason for answer in answers if isinstance(answer, NotCounted)]
    assert [reason.split(";")[0] for reason in reasons] == ["not a JPEG", f"{6_291_456 + len(jpeg()):,} bytes"]
    assert runtime.requests == []


def test_one_photo_without_an_answer_in_time_has_no_count(runtime: Runtime, settings: Settings) -> None:
    runtime.hang_up_at = len(jpeg())
    assert isinstance(predictions.count(settings, Photo("a.jpg", jpeg())), NotCounted)
