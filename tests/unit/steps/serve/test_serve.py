"""The serving container over HTTP: what it answers, and what it says of what it does not take."""

import base64
import json
import os
import subprocess
import sys

import pytest

from pipeline import ROOT
from tests.unit.steps import bombs
from tests.unit.steps.serve.container import forged, padded, photo, start, text


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start(tmp_path_factory.mktemp("serve"))
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize(("red", "count"), [(0, 0), (128, 1), (250, 2)])
@pytest.mark.parametrize("content_type", ["image/jpeg", "application/x-image", "Image/JPEG; charset=binary"])
def test_a_photo_is_answered_with_its_count(server, red, count, content_type):
    status, answer, _ = server.send(photo(red), content_type)
    assert status == 200
    assert set(answer) == {"count", "probabilities", "expected", "model_version", "confidence"}
    assert (answer["count"], answer["model_version"]) == (count, "7")
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert answer["expected"] == pytest.approx(sum(int(q) * p for q, p in answer["probabilities"].items()), abs=1e-3)


def test_one_photo_in_json_is_answered_as_its_bytes_are(server):
    status, answer, _ = server.send(json.dumps({"image": text(photo(250))}), "application/json")
    assert (status, answer) == (200, server.send(photo(250))[1])


def test_several_photos_are_answered_in_their_order(server):
    images = [text(photo(red)) for red in (250, 0, 128) * 7]
    status, answer, _ = server.send(json.dumps({"images": images}), "application/json")
    assert status == 200
    assert [prediction["count"] for prediction in answer["predictions"]] == [2, 0, 1] * 7


@pytest.mark.parametrize("content_type", ["image/jpg", "image/pjpeg", "IMAGE/JPG; name=a.jpg"])
def test_other_names_of_the_type_are_taken(server, content_type):
    assert server.send(photo(250), content_type)[1]["count"] == 2


FORMS = {
    "lines of MIME": lambda b: base64.encodebytes(b).decode(),
    "lines of Windows": lambda b: base64.encodebytes(b).decode().replace("\n", "\r\n"),
    "spaces around": lambda b: f"  {text(b)}\t ",
    "no padding": lambda b: text(b).rstrip("="),
    "for URLs": lambda b: base64.urlsafe_b64encode(b).decode(),
    "for URLs, no padding": lambda b: base64.urlsafe_b64encode(b).decode().rstrip("="),
    "data URI": lambda b: f"data:image/jpeg;base64,{text(b)}",
    "data URI of image/jpg, in lines": lambda b: f"data:image/jpg;base64,{base64.encodebytes(b).decode()}",
    "data URI with a parameter": lambda b: f"DATA:Image/JPEG;name=a.jpg;base64,{text(b)}",
    "data URI without a type": lambda b: f"data:;base64,{text(b)}",
}


@pytest.mark.parametrize("form", FORMS)
def test_base64_in_any_form_that_leaves_no_doubt_is_that_photo(server, form):
    photos = [photo(250) + bytes([0, 0xFB, 0xFF][:tail]) for tail in range(3)]  # with each length of padding
    answer = server.send(many(*map(FORMS[form], photos)), "application/json")[1]
    assert [prediction["count"] for prediction in answer["predictions"]] == [2, 2, 2]


def many(*images):
    return json.dumps({"images": list(images)})


def single(image):
    return json.dumps({"image": image})


BOMB = forged(photo(0), 60_000, 60_000)
# Some 15 KB for a minute of decoding, were its width and height of the largest size too.
SCANS = bombs.scans(200)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "image/jpeg", 400, "not a JPEG"),
        (b"", "image/jpeg", 400, "empty"),
        (photo(0)[:-200], "image/jpeg", 400, "JPEG"),
        (b"\xff\xd8\xff\xe0" + b"\x00" * 50, "image/jpeg", 400, "JPEG"),
        (b"a,b", "text/csv", 415, "text/csv"),
        (photo(0), "", 415, "none"),
        (photo(0), "image/" + "x" * 5000, 415, "image/xxx"),
        (BOMB, "image/jpeg", 413, "pixels"),
        (single(text(BOMB)), "application/json", 413, "image: 60000x60000 pixels"),
        (many(text(photo(0)), text(BOMB)), "application/json", 413, "images[1]: 60000x60000 pixels"),
        (SCANS, "image/jpeg", 413, "more than 32 scans"),
        (many(text(photo(0)), text(SCANS)), "application/json", 413, "images[1]: more than 32 scans"),
        (b"x" * (7 * 1024 * 1024), "image/jpeg", 413, "bytes"),
        (single(text(b"x" * (6 * 1024 * 1024))), "application/json", 413, "bytes"),
        ("{", "application/json", 400, "not valid JSON"),
        (b"\xff\xfe", "application/json", 400, "not valid JSON"),
        ("[" * 100_000, "application/json", 400, "not valid JSON"),
        ("1" * 10_000, "application/json", 400, "not valid JSON"),
        ("[]", "application/json", 400, "images"),
        ("NaN", "application/json", 400, "images"),
        (many(), "application/json", 400, "images"),
        (many(1), "application/json", 400, "images[0] is not a string"),
        (single(None), "application/json", 400, "image is not a string"),
        (single("not base64!"), "application/json", 400, "image is not base64"),
        (single("\u00e9"), "application/json", 400, "image is not base64"),
        (single("-_+/"), "application/json", 400, "image is not base64"),
        (single("eHg=eHg="), "application/json", 400, "image is not base64"),
        (single("data:image/jpeg,eHg="), "application/json", 400, "image is not base64"),
        (single("data:image/png;base64,eHg="), "application/json", 400, "image is a data URI of 'image/png'"),
        (many("data:text/html;base64,eHg="), "application/json", 400, "images[0] is a data URI of 'text/html'"),
        (single(""), "application/json", 400, "image: not a JPEG"),
        (json.dumps({"image": "", "images": []}), "application/json", 400, "send {"),
        (many("not base64!"), "application/json", 400, "images[0] is not base64"),
        (many(text(photo(0)), "eHg="), "application/json", 400, "images[1]: not a JPEG"),
        (many("eHg=", text(photo(0)), "eHg="), "application/json", 400, "images[0]: not a JPEG"),
        (many(*["eHg="] * 65), "application/json", 413, "65 photos"),
    ],
)
def test_a_bad_payload_is_refused_with_its_reason_and_the_server_lives(server, body, content_type, status, said):
    answered, answer, _ = server.send(body, content_type)
    assert answered == status
    assert said in answer["error"]
    assert len(answer["error"]) < 250
    assert server.send(photo(0))[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/invocations", 405), ("GET", "/other", 404)])
def test_other_requests_are_refused(server, method, path, status):
    assert server.send(method=method, path=path)[0] == status


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("text/html, application/*;q=0.5", 200),
        ("*", 200),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("*/*;q=0", 406),
        ("application/json; q=0.0, text/csv", 406),
        ("*/json", 406),
        ("", 200),
        ("text/csv", 406),
        ("image/jpeg, text/plain", 406),
    ],
)
def test_an_answer_is_json_or_none(server, accept, status):
    assert server.send(photo(0), Accept=accept)[0] == status


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(server):
    assert server.send(b"", **{"Content-Length": "9" * 15})[0] == 413
    assert server.send(photo(0))[0] == 200


def test_a_body_in_chunks_is_stopped_at_the_limit(server):
    assert server.send(iter([photo(250)[:100], photo(250)[100:]]))[1]["count"] == 2
    assert server.send(iter([b"x" * 1024 * 1024] * 7))[0] == 413


def test_the_log_is_json_with_a_line_a_request_and_no_content(tmp_path):
    server = start(tmp_path)
    server.send(b"secret content", "image/jpeg")
    server.send(json.dumps({"image": "secret content"}), "application/json")
    server.send(photo(0))
    server.send(path="/" + "x" * 5000)
    assert server.stop() == 0
    requests = [line for line in server.lines() if line["logger"] == "requests"]
    assert [line["status"] for line in requests] == [400, 400, 200, 404]
    assert (requests[2]["photos"], requests[2]["bytes"], requests[2]["path"]) == (1, len(photo(0)), "/invocations")
    assert requests[2]["milliseconds"] >= 0
    assert "error" not in requests[2]
    assert "secret content" not in server.log.read_text()
    assert max(map(len, server.log.read_text().splitlines())) < 1000


def test_in_a_batch_job_a_photo_may_be_as_large_as_the_job_says(tmp_path):
    server = start(tmp_path, SAGEMAKER_BATCH="true", SAGEMAKER_MAX_PAYLOAD_IN_MB="12")
    status, answer, _ = server.send(padded(photo(250), 11 * 1024 * 1024))
    assert (status, answer.get("count")) == (200, 2)
    status, answer, _ = server.send(padded(photo(250), 12 * 1024 * 1024))
    assert (status, answer) == (200, {"error": "the body has more than 12,582,912 bytes"})
    assert server.stop() == 0


def test_in_a_batch_job_a_bad_photo_is_answered_with_its_reason_and_does_not_end_the_others(tmp_path):
    server = start(tmp_path, SAGEMAKER_BATCH="true")
    status, answer, _ = server.send(b"no photo", "image/jpeg")
    assert (status, answer) == (200, {"error": "not a JPEG"})
    assert server.send(b"1,2", "text/csv")[0] == 415
    assert server.send(photo(250))[1]["count"] == 2
    assert server.stop() == 0


def test_a_folder_without_a_model_ends_with_one_line_that_names_it(tmp_path):
    assert "model.json: missing" in refusal({"SAGEMAKER_BASE_DIR": str(tmp_path)})


def test_a_setting_that_is_no_number_ends_with_one_line_that_names_it(tmp_path):
    said = refusal({"SAGEMAKER_BASE_DIR": str(tmp_path), "SERVING_MAX_BATCH": "many"})
    assert "SERVING_MAX_BATCH is 'many'; use a whole number from 1 to 256" in said


def refusal(environment):
    """The one line of a server that does not start."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "steps.serve"], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "traceback" not in line.lower()
    return json.loads(line)["message"]
