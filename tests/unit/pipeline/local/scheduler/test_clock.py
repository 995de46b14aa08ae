"""Tasks at their time, on one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.local.scheduler.clock import Clock


@pytest.fixture
def clock() -> Iterator[Clock]:
    made = Clock("test")
    made.start()
    yield made
    made.close()


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_tasks_run_in_the_order_of_their_times_and_not_before(clock: Clock) -> None:
    done: list[tuple[str, datetime]] = []
    ended = threading.Event()
    late, early = soon(0.3), soon(0.1)
    clock.at(late, lambda: (done.append(("late", datetime.now(UTC))), ended.set()))  # type: ignore[func-returns-value]
    clock.at(early, lambda: done.append(("early", datetime.now(UTC))))
    assert ended.wait(60)
    assert [name for name, _ in done] == ["early", "late"]
    assert done[0][1] >= early
    assert done[1][1] >= late


def test_a_task_that_fails_does_not_keep_the_next_from_running(clock: Clock) -> None:
    ended = threading.Event()

    def fail() -> None:
        raise RuntimeError("broken")

    clock.at(soon(0), fail)
    clock.at(soon(0.01), ended.set)
    assert ended.wait(60)


def test_a_closed_clock_ends_at_once_and_runs_nothing_more() -> None:
    ran = threading.Event()
    clock = Clock("test")
    clock.start()
    due = soon(3)
    clock.at(due, ran.set)
    clock.close()
    assert datetime.now(UTC) < due
    assert not clock._thread.is_alive()
    assert not ran.is_set()
