import asyncio

import pytest

from steps.serve.admission import Admission
from steps.serve.payload import RefusedError


def refusal(action):
    with pytest.raises(RefusedError) as refused:
        action()
    return refused.value.status


def test_photos_and_bytes_are_limited_and_given_back():
    admission = Admission(max_photos=3, max_bytes=100)
    with admission.enter(60) as place:
        assert refusal(lambda: admission.enter(41)) == 503
        with admission.enter(40):
            place.widen(2)
            assert refusal(lambda: admission.enter(0)) == 503
    with admission.enter(100) as place:
        place.widen(3)


def test_a_request_that_does_not_fit_now_keeps_nothing():
    admission = Admission(max_photos=3, max_bytes=100)
    with admission.enter(0), admission.enter(0) as place:
        assert refusal(lambda: place.widen(3)) == 503
        assert refusal(lambda: place.widen(4)) == 413
    with admission.enter(0) as place:
        place.widen(3)


def test_it_is_drained_when_the_last_place_is_given_back():
    async def run():
        admission = Admission(max_photos=3, max_bytes=100)
        with admission.enter(0):
            draining = asyncio.create_task(admission.drain(5))
            await asyncio.sleep(0.01)
            assert refusal(lambda: admission.enter(0)) == 503
            assert not draining.done()
        await asyncio.wait_for(draining, 60)

    asyncio.run(run())


def test_draining_ends_when_its_time_is_over():
    async def run():
        admission = Admission(max_photos=3, max_bytes=100)
        with admission.enter(0):
            await asyncio.wait_for(admission.drain(0.01), 60)

    asyncio.run(run())
