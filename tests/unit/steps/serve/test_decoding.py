"""The decoders' threads: their results, one that is stuck, and an end that does not wait for it."""

import asyncio
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from pipeline import ROOT
from steps.serve import counting, decoding
from steps.serve.counting import Counter
from steps.serve.decoding import Decoders
from steps.serve.payload import Payload
from steps.serve.settings import ServingSettings


def test_what_the_function_returns_or_raises_comes_with_the_future():
    async def run():
        decoders = Decoders(2)
        found = await asyncio.gather(decoders.submit(int, "7"), decoders.submit(int, "x"), return_exceptions=True)
        await asyncio.to_thread(decoders.close, 5)
        return found

    number, error = asyncio.run(run())
    assert number == 7
    assert isinstance(error, ValueError)


def test_a_photo_without_an_end_is_seen_and_the_others_are_decoded_on(monkeypatch: pytest.MonkeyPatch):
    async def run():
        decoders, begun, end = Decoders(2), threading.Event(), threading.Event()
        stuck = decoders.submit(lambda: begun.set() or end.wait(60))
        await asyncio.to_thread(begun.wait, 60)
        while_busy = decoders.healthy
        monkeypatch.setattr(decoding, "STUCK_SECONDS", -1.0)
        while_stuck, other = decoders.healthy, await decoders.submit(int, "7")
        end.set()
        await stuck
        after = decoders.healthy
        await asyncio.to_thread(decoders.close, 5)
        return while_busy, while_stuck, other, after

    assert asyncio.run(run()) == (True, False, 7, True)


def test_what_waits_behind_a_stuck_photo_is_dropped_at_the_end():
    async def run():
        decoders, begun, end, done = Decoders(1), threading.Event(), threading.Event(), []
        decoders.submit(lambda: begun.set() or end.wait(60))
        decoders.submit(done.append, "too late")
        await asyncio.to_thread(begun.wait, 60)
        await asyncio.to_thread(decoders.close, 0.01)
        end.set()
        await asyncio.to_thread(decoders.close, 60)
        return done

    assert asyncio.run(run()) == []


def test_a_process_ends_although_a_photo_does_not():
    program = """
import asyncio, threading
from steps.serve.decoding import Decoders

async def run():
    decoders = Decoders(1)
    decoders.submit(threading.Event().wait)
    await asyncio.to_thread(decoders.close, 0.1)

asyncio.run(run())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_container_with_a_photo_without_an_end_is_not_healthy(monkeypatch: pytest.MonkeyPatch):
    begun, end = threading.Event(), threading.Event()
    monkeypatch.setattr(counting, "network_input", lambda *_: begun.set() or end.wait(60))
    monkeypatch.setattr(decoding, "STUCK_SECONDS", -1.0)
    network = SimpleNamespace(description=SimpleNamespace(image_size=8), probabilities=None)

    async def run():
        counter = Counter(network, ServingSettings(threads=1, decoders=1))
        before = counter.healthy
        asking = asyncio.create_task(counter.count(Payload([b"photo"], [""], many=False)))
        await asyncio.to_thread(begun.wait, 60)
        during = counter.healthy
        asking.cancel()
        end.set()
        await asyncio.to_thread(counter.close)
        return before, during

    assert asyncio.run(run()) == (True, False)
