"""Servers to compare with, as processes: `python -m benchmarks.contenders.serving KIND MODEL_FOLDER PORT`.

All run in the same uvicorn as ours, answer POST /invocations with a JPEG's count, and process one request at a time on
all cores, as a serving worker does; in a thread, so that they accept connections meanwhile.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steps.contracts.artifact import IMAGENET_MEAN, IMAGENET_STD

Count = Callable[[bytes], int]


def plain(folder: Path) -> Count:
    """The same ONNX file in ONNX Runtime with its defaults, our decoder, one photo after another."""
    import onnxruntime

    from steps.contracts.artifact import ONNX, read_description
    from steps.photos.jpeg import network_input

    description = read_description(folder)
    session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def count(jpeg: bytes) -> int:
        (logits,) = session.run(None, {name: network_input(jpeg, description.image_size)[None]})
        return description.classes[int(logits[0].argmax())]

    return count


def prepared(folder: Path) -> Count:
    """Our session with its folded graph, but one photo after another: shows the effect of the queue."""
    from steps.model.predictor import Predictor, decide
    from steps.photos.jpeg import network_input

    predictor = Predictor.load(folder)
    description = predictor.description

    def count(jpeg: bytes) -> int:
        probabilities = predictor.probabilities(network_input(jpeg, description.image_size)[None])
        return int(decide(probabilities, description.classes, description.decision)[0])

    return count


def eager(folder: Path) -> Count:
    """A usual PyTorch handler: PIL, torchvision's transforms, the network in eval mode."""
    import torch
    from PIL import Image

    from steps.contracts.artifact import read_description
    from steps.model.network import import_torchvision

    description = read_description(folder)
    models = import_torchvision()
    from torchvision import transforms

    network = models.get_model(description.architecture, weights=None, num_classes=len(description.classes)).eval()
    size = description.image_size
    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    transform = transforms.Compose(steps)

    def count(jpeg: bytes) -> int:
        with torch.inference_mode():
            photo = transform(Image.open(io.BytesIO(jpeg)).convert("RGB"))
            return description.classes[int(network(photo.unsqueeze(0)).argmax())]

    return count


CONTENDERS: dict[str, Callable[[Path], Count]] = {"plain": plain, "prepared": prepared, "eager": eager}


def application(count: Count) -> Callable[..., Any]:
    """An ASGI application around a handler that takes one request at a time."""
    busy = threading.Lock()

    def one_at_a_time(jpeg: bytes) -> int:
        with busy:
            return count(jpeg)

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        document = {"count": await asyncio.to_thread(one_at_a_time, body)} if body else {"status": "healthy"}
        content = json.dumps(document).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return answer


def main() -> None:
    """Serve until SIGTERM."""
    import uvicorn

    kind, folder, port = sys.argv[1:]
    served = application(CONTENDERS[kind](Path(folder)))
    uvicorn.run(served, host="127.0.0.1", port=int(port), lifespan="off", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
