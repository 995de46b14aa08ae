"""The endpoint: what it serves, and photos sent to it over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import simplejpeg

from pipeline.errors import PipelineError
from pipeline.operations import endpoint
from pipeline.operations.endpoint import Photo, read_photos
from pipeline.settings import Settings

PACKAGE = "arn:aws:sagemaker:us-east-1:111122223333:model-package/bins/3"


def jpeg(shade: int = 128) -> bytes:
    pixels = np.full((16, 16, 3), shade, dtype=np.uint8)
    data: bytes = simplejpeg.encode_jpeg(pixels)
    return data


# ---------------------------------------------------------------------------------------------- reading photos


def test_files_and_folders_are_read_in_order(tmp_path: Path, settings: Settings) -> None:
    for name in ("b.jpg", "a.JPEG", "notes.txt"):
        (tmp_path / name).write_bytes(jpeg())
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "c.jpg").write_bytes(jpeg())
    photos = read_photos(settings, [str(tmp_path / "single" / "c.jpg"), str(tmp_path)])
    assert [Path(photo.source).name for photo in photos] == ["c.jpg", "a.JPEG", "b.jpg"]
    assert photos[0].data == jpeg()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"0" * 100, "not a JPEG"),
        (b"", "not a JPEG"),
        (jpeg()[:-20], "the JPEG ends before its end marker"),
        (jpeg()[:-2] + b"0" * 6_291_456 + b"\xff\xd9", "an endpoint takes at most 6,291,456"),
    ],
)
def test_what_the_endpoint_cannot_take_is_refused_by_name(
    tmp_path: Path, settings: Settings, content: bytes, message: str
) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        read_photos(settings, [str(path)])
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_bytes_that_a_camera_pads_behind_the_end_are_taken(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg() + b"\0" * 100)
    assert len(read_photos(settings, [str(path)])) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"absent\.jpg: cannot be read: No such file"):
        read_photos(settings, [str(tmp_path / "absent.jpg")])


def test_a_folder_without_photos_is_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"no \.jpg files in this folder"):
        read_photos(settings, [str(tmp_path)])


@pytest.mark.usefixtures("account")
def test_objects_and_prefixes_in_s3_are_read(settings: Settings) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="photos")
    for key in ("bin-images/2.jpg", "bin-images/1.jpg", "bin-images/readme"):
        s3.put_object(Bucket="photos", Key=key, Body=jpeg())
    photos = read_photos(settings, ["s3://photos/bin-images/", "s3://photos/bin-images/2.jpg"])
    assert [photo.source.rsplit("/", 1)[-1] for photo in photos] == ["1.jpg", "2.jpg", "2.jpg"]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://photos/absent.jpg", "there is no such object"),
        ("s3://photos/empty/", "no .jpg objects below this prefix"),
        ("s3://nowhere-at-all/", "there is no such bucket"),
    ],
)
def test_what_is_not_in_s3_is_named(settings: Settings, uri: str, message: str) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="photos")
    with pytest.raises(PipelineError) as caught:
        read_photos(settings, [uri])
    assert str(caught.value).startswith(f"{uri}: {message}")


# ------------------------------------------------------------------------------------------------- predicting


class Runtime:
    """SageMaker's runtime over HTTP: answers each photo with a count made of its shade, in the time it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.together = 0
        self._open = 0
        self._gate = threading.Condition()
        self.wait_for = 1
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                runtime.requests.append((self.path, self.headers["Content-Type"], len(body)))
                runtime.arrive()
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
            self._gate.wait_for(lambda: self.together >= self.wait_for, timeout=10)
            self._open -= 1


@pytest.fixture
def runtime(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    runtime = Runtime()
    thread = threading.Thread(target=runtime.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{runtime.server.server_address[1]}")
    yield runtime
    runtime.server.shutdown()
    runtime.server.server_close()


def test_answers_come_in_the_order_of_the_photos_with_all_they_hold(runtime: Runtime, settings: Settings) -> None:
    photos = [Photo(f"{n}.jpg", jpeg(n * 40 + 20)) for n in (4, 0, 2)]
    answers = list(endpoint.predict(settings, photos))
    assert [(one.source, one.count) for one in answers] == [("4.jpg", 4), ("0.jpg", 0), ("2.jpg", 2)]
    assert answers[0].confidence == 0.75
    assert answers[0].expected == 4.25
    assert answers[0].model_version == "3"
    assert {(path, kind) for path, kind, _ in runtime.requests} == {("/endpoints/bins/invocations", "image/jpeg")}


def test_photos_are_sent_at_the_same_time(runtime: Runtime, settings: Settings) -> None:
    runtime.wait_for = 3
    list(endpoint.predict(settings, [Photo(str(n), jpeg()) for n in range(6)], concurrency=3))
    assert runtime.together == 3


def test_a_models_refusal_is_told_with_the_photo_and_its_own_words(runtime: Runtime, settings: Settings) -> None:
    body = {"Message": "Received client error", "OriginalStatusCode": 400, "OriginalMessage": '{"error": "truncated"}'}
    runtime.answer = (424, {"x-amzn-errortype": "ModelError"}, json.dumps(body).encode())
    with pytest.raises(PipelineError, match=r'a\.jpg: the model answered 400: \{"error": "truncated"\}'):
        list(endpoint.predict(settings, [Photo("a.jpg", jpeg())]))


def test_an_endpoint_that_is_not_there_is_answered_with_approve(runtime: Runtime, settings: Settings) -> None:
    body = json.dumps({"Message": "Endpoint bins of account 111122223333 not found."}).encode()
    runtime.answer = (400, {"x-amzn-errortype": "ValidationError"}, body)
    with pytest.raises(PipelineError, match="there is no endpoint bins; approve a model"):
        list(endpoint.predict(settings, [Photo("a.jpg", jpeg())]))


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"count": "many", "expected": 1, "probabilities": {}}', b"[]"])
def test_an_answer_of_another_model_is_not_taken_for_a_count(runtime: Runtime, settings: Settings, body: bytes) -> None:
    runtime.answer = (200, {}, body)
    with pytest.raises(PipelineError, match=r"a\.jpg: not an answer of this pipeline's model"):
        list(endpoint.predict(settings, [Photo("a.jpg", jpeg())]))


# ------------------------------------------------------------------------------------------------- describing


@pytest.fixture
def deployed(account: None, settings: Settings) -> None:
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    role = settings.role_arn("serving")
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, Containers=[{"ModelPackageName": PACKAGE}])
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.c5.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=settings.endpoint.name, EndpointConfigName="c")


@pytest.mark.usefixtures("deployed")
def test_an_endpoint_is_described_with_the_version_it_serves(settings: Settings) -> None:
    found = endpoint.describe(settings)
    assert (found.name, found.status, found.config, found.version) == ("bins", "InService", "c", 3)


@pytest.mark.usefixtures("account")
def test_no_endpoint_is_answered_with_approve(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="there is no endpoint bins; approve a model"):
        endpoint.describe(settings)


@pytest.mark.usefixtures("deployed")
def test_waiting_ends_when_the_package_is_in_service(settings: Settings) -> None:
    assert endpoint.wait(settings, PACKAGE, timeout=5).package == PACKAGE


@pytest.mark.usefixtures("deployed")
def test_waiting_for_another_package_ends_in_time_and_says_what_is_served(settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"does not serve .*bins/4 after 0 s \(it is InService with .*bins/3\)"):
        endpoint.wait(settings, PACKAGE.replace("/3", "/4"), timeout=0.2, interval=0.05)
