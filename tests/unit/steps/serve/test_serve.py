"""The serving container over HTTP, as a process of its own."""

import base64
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pipeline.images import ROOT
from steps.common.artifact import DESCRIPTION, ONNX, ModelDescription

SIZE = 8


def write_model(folder):
    """A network whose class is how red a photo is: 0 for none, 1 for some, 2 for all red."""
    folder.mkdir(parents=True)
    nodes = [
        helper.make_node("Cast", ["photos"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
        helper.make_tensor("weights", TensorProto.FLOAT, [3, 3], [-0.2, 0.0, 0.2, 0, 0, 0, 0, 0, 0]),
        helper.make_tensor("bias", TensorProto.FLOAT, [3], [15.0, 0.0, -36.0]),
    ]
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("photos", TensorProto.UINT8, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / ONNX)
    description = ModelDescription(architecture="red", classes=[0, 1, 2], image_size=SIZE, dataset_sha256="x")
    (folder / DESCRIPTION).write_text(description.model_dump_json())


def photo(red, width=40, height=30):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = red
    return simplejpeg.encode_jpeg(pixels, quality=95)


@dataclass
class Server:
    port: int
    process: subprocess.Popen

    def send(self, body=b"", content_type="image/jpeg", method="POST", path="/invocations", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": content_type, **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), dict(answer.getheaders())
        finally:
            connection.close()


def start(base):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_VERSION": "7",
        "SERVING_MAX_QUEUE": "64",
    }
    log = (base / "log").open("wb")
    command = [sys.executable, "-m", "steps.serve", "serve"]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    server = Server(port, process)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.send(method="GET", path="/ping")[0] == 200:
                return server
        except OSError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError((base / "log").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("serve")
    write_model(base / "model")
    server = start(base)
    yield server
    server.process.terminate()
    assert server.process.wait(40) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(("red", "count"), [(0, 0), (128, 1), (250, 2)])
def test_a_photo_is_answered_with_its_count(server, red, count):
    status, answer, _ = server.send(photo(red))
    assert status == 200
    assert answer["count"] == count
    assert answer["model_version"] == "7"
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert answer["expected"] == pytest.approx(sum(int(q) * p for q, p in answer["probabilities"].items()), abs=1e-3)


def test_several_photos_are_answered_in_their_order(server):
    images = [base64.b64encode(photo(red)).decode() for red in (250, 0, 128)]
    status, answer, _ = server.send(json.dumps({"images": images}), "application/json")
    assert status == 200
    assert [prediction["count"] for prediction in answer["predictions"]] == [2, 0, 1]


def bomb():
    """A small file whose header says 60,000 x 60,000 pixels."""
    data = bytearray(photo(0))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


def many(*images):
    return json.dumps({"images": list(images)})


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "image/jpeg", 400, "not a JPEG"),
        (b"", "image/jpeg", 400, "empty"),
        (photo(0)[:-200], "image/jpeg", 400, "JPEG"),
        (b"\xff\xd8\xff\xe0" + b"\x00" * 50, "image/jpeg", 400, "JPEG"),
        (b"a,b", "text/csv", 415, "text/csv"),
        (photo(0), "", 415, "none"),
        (bomb(), "image/jpeg", 413, "pixels"),
        (b"x" * (7 * 1024 * 1024), "image/jpeg", 413, "bytes"),
        ("{", "application/json", 400, "not valid JSON"),
        ("[" * 100_000, "application/json", 400, "not valid JSON"),
        ("[]", "application/json", 400, "images"),
        (many(), "application/json", 400, "images"),
        (many(1), "application/json", 400, "images"),
        (many("not base64!"), "application/json", 400, "images[0] is not base64"),
        (many(base64.b64encode(photo(0)).decode(), "eHg="), "application/json", 400, "images[1]: not a JPEG"),
        (many(*["eHg="] * 65), "application/json", 413, "65 photos"),
    ],
)
def test_a_bad_payload_is_refused_with_its_reason_and_the_server_lives(server, body, content_type, status, said):
    answered, answer, _ = server.send(body, content_type)
    assert answered == status
    assert said in answer["error"]
    assert server.send(photo(0))[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/invocations", 405), ("GET", "/other", 404)])
def test_other_requests_are_refused(server, method, path, status):
    assert server.send(method=method, path=path)[0] == status


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 400),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8),
    content_type=st.sampled_from(["image/jpeg", "application/json"]),
)
def test_no_damaged_photo_makes_the_server_fail(server, cut, changes, content_type):
    data = bytearray(photo(128)[: len(photo(128)) - cut])
    for place, value in changes:
        if place < len(data):
            data[place] = value
    body = many(base64.b64encode(data).decode()) if content_type == "application/json" else bytes(data)
    assert server.send(body, content_type)[0] in (200, 400, 413)


def test_more_requests_than_it_can_hold_are_refused_with_a_time_to_try_again(server):
    body = photo(128, 4000, 3000)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(server.send(body))) for _ in range(160)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = {status for status, _, _ in answers}
    assert statuses == {200, 503}
    assert all(
        {name.lower(): value for name, value in headers.items()}["retry-after"]
        for status, _, headers in answers
        if status == 503
    )
    assert server.send(photo(0))[0] == 200


def test_the_log_holds_a_line_a_request_and_no_content(tmp_path):
    write_model(tmp_path / "model")
    server = start(tmp_path)
    server.send(b"secret content", "image/jpeg")
    server.process.terminate()
    server.process.wait(40)
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if '"status": 400' in line]
    assert len(lines) == 1
    assert "secret content" not in (tmp_path / "log").read_text()


def test_a_folder_without_a_model_ends_with_one_line_that_names_it(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SAGEMAKER_BASE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "steps.serve"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "model.json: missing" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
