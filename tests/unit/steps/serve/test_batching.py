import asyncio
import threading

import numpy as np
import pytest

from steps.contracts.artifact import ModelDescription
from steps.model.predictor import Predictor
from steps.serve import batching
from steps.serve.app import Application
from steps.serve.batching import Batcher, StoppedError
from steps.serve.settings import ServingSettings
from tests.unit.steps.serve.container import photo

BAD, DEADLY = 200, 201


class Network:
    """Answers each photo with its first value, once it is let; some values fail the batch, or end the thread."""

    def __init__(self):
        self.let, self.sizes = threading.Event(), []

    def __call__(self, batch):
        self.let.wait(60)
        self.sizes.append(len(batch))
        values = batch[:, 0, 0, 0]
        if BAD in values:
            raise ValueError("cannot compute this")
        if DEADLY in values:
            raise SystemExit("gone")
        return values[:, None].astype(np.float32)


def of(value):
    return np.full((3, 2, 2), value, np.uint8)


def submitted(values, max_batch=4, network=None):
    """The answers to photos of these values, or their errors, when the first is computed before the others come."""
    network = network or Network()

    async def run():
        batcher = Batcher(network, max_batch)
        first = batcher.submit(of(values[0]))
        while batcher._waiting:
            await asyncio.sleep(0.001)
        answers = [first, *[batcher.submit(of(value)) for value in values[1:]]]
        network.let.set()
        found = await asyncio.gather(*answers, return_exceptions=True)
        healthy = batcher.healthy
        batcher.close(5)
        return [one if isinstance(one, Exception) else float(one[0]) for one in found], healthy

    found, healthy = asyncio.run(run())
    return found, network.sizes, healthy


def test_what_waits_while_a_batch_is_computed_is_the_next_batch():
    assert submitted([1, 2, 3, 4]) == ([1, 2, 3, 4], [1, 3], True)


def test_a_batch_is_never_larger_than_it_may_be():
    assert submitted(list(range(10)))[:2] == (list(range(10)), [1, 4, 4, 1])


def test_a_photo_that_fails_fails_alone():
    found, _, healthy = submitted([1, 2, BAD, 4])
    assert isinstance(found[2], ValueError)
    assert (found[0], found[1], found[3], healthy) == (1, 2, 4, True)


def test_when_the_thread_ends_everybody_is_told_and_it_is_not_healthy():
    found, _, healthy = submitted([1, 2, DEADLY, 4, 5, 6, 7])
    assert found[0] == 1
    assert all(isinstance(one, StoppedError) for one in found[1:])
    assert not healthy


def test_a_batch_that_does_not_end_is_not_healthy(monkeypatch):
    monkeypatch.setattr(batching, "STUCK_SECONDS", 0.05)
    network = Network()

    async def run():
        batcher = Batcher(network, 4)
        answer = batcher.submit(of(1))
        async with asyncio.timeout(60):
            while stuck := batcher.healthy:
                await asyncio.sleep(0.01)
        network.let.set()
        await answer
        return stuck, batcher.healthy

    assert asyncio.run(run()) == (False, True)


def test_nothing_is_taken_after_the_end():
    async def run():
        batcher = Batcher(Network(), 4)
        batcher.close(5)
        with pytest.raises(StoppedError):
            batcher.submit(of(1))

    asyncio.run(run())


class Mortal(Predictor):
    """A network whose computation ends its thread."""

    def __init__(self):
        self.description = ModelDescription(architecture="x", classes=[0, 1], image_size=8, dataset_sha256="x")

    def probabilities(self, batch):
        raise SystemExit("gone")


def test_a_container_whose_network_is_gone_pings_503():
    settings = ServingSettings(threads=1, decoders=1)

    async def run():
        application = Application(Mortal(), settings)
        messages, events = asyncio.Queue(), []

        async def note(message):
            events.append(message)

        life = asyncio.create_task(application({"type": "lifespan"}, messages.get, note))
        await messages.put({"type": "lifespan.startup"})
        while not events:
            await asyncio.sleep(0.001)

        async def ask(method, path, body=b""):
            answered = []
            scope = {"type": "http", "method": method, "path": path, "headers": [(b"content-type", b"image/jpeg")]}

            async def receive():
                return {"type": "http.request", "body": body}

            async def send(message):
                answered.append(message)

            await application(scope, receive, send)
            return answered[0]["status"]

        statuses = [await ask("GET", "/ping"), await ask("POST", "/invocations", photo(0)), await ask("GET", "/ping")]
        await messages.put({"type": "lifespan.shutdown"})
        await life
        return statuses

    assert asyncio.run(run()) == [200, 503, 503]
