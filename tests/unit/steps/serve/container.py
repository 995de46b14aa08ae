"""A serving container as a process of its own, with a network whose answers are known."""

import base64
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import simplejpeg
from onnx import TensorProto, helper

from pipeline import ROOT
from pipeline.local.machine.ports import free_port
from steps.contracts.artifact import DESCRIPTION, ONNX, ModelDescription

SIZE = 8


def write_model(folder, calibration=None):
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
    description = ModelDescription(
        architecture="red", classes=[0, 1, 2], image_size=SIZE, dataset_sha256="x", calibration=calibration
    )
    (folder / DESCRIPTION).write_text(description.model_dump_json())


def photo(red, width=40, height=30):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = red
    return simplejpeg.encode_jpeg(pixels, quality=95)


@dataclass
class Server:
    port: int
    process: subprocess.Popen
    log: Path

    def send(self, body=b"", content_type="image/jpeg", method="POST", path="/invocations", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": content_type, **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), dict(answer.getheaders())
        finally:
            connection.close()

    def begin(self, body, part):
        """A connection that has sent a request for `body`, but only its first `part` bytes."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = (
            f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:part])
        return connection

    def lines(self):
        """What the server has logged, a dictionary a line."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self):
        """End it as SageMaker does; its exit status."""
        self.process.terminate()
        return self.process.wait(180)


def status_of(connection):
    """The status of the answer on a raw connection."""
    with connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status


def start(base, files=None, **settings):
    """Serve a network that counts by the red of a photo, in a process with at most this many open `files`."""
    write_model(base / "model")
    return serve(base, files, **settings)


def serve(base, files=None, **settings):
    """Serve the model in `base/model`."""
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_VERSION": "7",
        **settings,
    }
    command = [sys.executable, "-m", "steps.serve", "serve"]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *command]
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    server = Server(port, process, base / "log")
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.send(method="GET", path="/ping")[0] == 200:
                return server
        except OSError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError((base / "log").read_text())


def text(photo):
    """A photo as JSON carries it."""
    return base64.b64encode(photo).decode()


def padded(photo, size):
    """The same picture in a file of at least `size` bytes: comments stand before it."""
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
    return photo[:2] + comment * (1 + (size - len(photo)) // len(comment)) + photo[2:]


def forged(photo, width, height):
    """A photo whose header says that it has other dimensions."""
    data = bytearray(photo)
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))  # sequential or progressive
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)
