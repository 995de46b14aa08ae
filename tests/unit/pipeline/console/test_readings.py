from __future__ import annotations

import itertools
import threading

import pytest

from pipeline.console.readings import FOREVER, Readings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Source:
    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> int:
        self.reads += 1
        return self.reads


def test_a_value_is_read_again_when_its_time_is_over(clock: Clock) -> None:
    readings, source = Readings(clock), Source()
    assert [readings.get("runs", source, 5.0) for _ in range(3)] == [1, 1, 1]
    clock.now += 5
    assert readings.get("runs", source, 5.0) == 2


def test_a_value_decides_how_long_it_stays_true(clock: Clock) -> None:
    readings, source = Readings(clock), Source()

    def seconds(value: int) -> float:
        return FOREVER if value == 2 else 1.0

    assert readings.get("run", source, seconds) == 1
    clock.now += 1
    assert readings.get("run", source, seconds) == 2
    clock.now += 1e9
    assert readings.get("run", source, seconds) == 2


def test_keys_are_kept_apart_and_forgotten_together(clock: Clock) -> None:
    readings, source = Readings(clock), Source()
    assert [readings.get(key, source, FOREVER) for key in ("a", ("a", 1), "a")] == [1, 2, 1]
    readings.forget()
    assert readings.get("a", source, FOREVER) == 3


def test_an_exception_is_not_kept(clock: Clock) -> None:
    readings = Readings(clock)

    def fails() -> int:
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        readings.get("runs", fails, FOREVER)
    assert readings.get("runs", lambda: 7, FOREVER) == 7


def test_threads_that_ask_at_once_read_once(clock: Clock) -> None:
    readings, source = Readings(clock), Source()
    begun, go = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go.wait(60)
        return source()

    values: list[int] = []
    threads = [threading.Thread(target=lambda: values.append(readings.get("runs", slow, FOREVER))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    go.set()
    for thread in threads:
        thread.join(60)
    assert values == [1] * 8


def test_the_oldest_values_make_room(clock: Clock) -> None:
    readings, source = Readings(clock, limit=2), Source()
    for key in "abc":
        readings.get(key, source, FOREVER)
    assert [readings.get(key, source, FOREVER) for key in "bca"] == [2, 3, 4]


def test_a_change_is_recent_for_a_while(clock: Clock) -> None:
    readings = Readings(clock)
    assert not readings.forgot_within(1e9)
    readings.forget()
    assert readings.forgot_within(60)
    clock.now += 60
    assert not readings.forgot_within(60)


def test_what_is_no_longer_true_and_nothing_asks_for_makes_room(clock: Clock) -> None:
    readings, source = Readings(clock), Source()
    readings.get("a page of a log", bytearray, 1.0)
    readings.get("run", source, FOREVER)
    clock.now += 3_600
    readings.get("another", source, FOREVER)
    assert list(readings._entries) == ["run", "another"]


def test_what_is_being_read_stays_however_long_that_takes(clock: Clock) -> None:
    readings, source = Readings(clock), Source()

    def slow() -> int:
        clock.now += 3_600
        readings.get("another", source, FOREVER)
        assert "slow" in readings._entries
        return 7

    assert readings.get("slow", slow, FOREVER) == 7


def test_readings_for_long_end_one_after_the_other(clock: Clock) -> None:
    readings = Readings(clock)
    sources = {f"run{number}": Source() for number in range(20)}
    ends: list[float] = []
    for _ in range(21):
        for key, source in sources.items():
            readings.get(key, source, 900.0)
        ends.append(sum(source.reads for source in sources.values()))
        clock.now += 90.0
    read = [after - before for before, after in itertools.pairwise(ends)]
    assert (sum(read[:9]), sum(read)) == (0, 20)
    assert max(read) <= 6
