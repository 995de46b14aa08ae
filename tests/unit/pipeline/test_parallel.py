"""Work in threads, in order, within a window."""

import threading
import time

import pytest

from pipeline.parallel import bounded_map


def test_results_come_in_order_though_work_ends_out_of_order() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number * 10

    assert list(bounded_map(slow_first, range(30), workers=4, window=8)) == [n * 10 for n in range(30)]


def test_items_are_drawn_no_further_ahead_than_the_window() -> None:
    drawn: list[int] = []

    def items():
        for number in range(100):
            drawn.append(number)
            yield number

    results = bounded_map(lambda n: n, items(), workers=2, window=5)
    for _ in range(3):
        next(results)
    assert len(drawn) <= 5 + 3
    results.close()


def test_several_items_are_worked_on_at_once() -> None:
    together = threading.Barrier(3, timeout=60)
    assert len(list(bounded_map(lambda _: together.wait(), range(3), workers=3, window=6))) == 3


def test_the_first_error_reaches_the_caller_and_the_rest_is_given_up() -> None:
    done: list[int] = []

    def fail_at_two(number: int) -> None:
        if number == 2:
            raise LookupError("two")
        time.sleep(0.005)
        done.append(number)

    with pytest.raises(LookupError, match="two"):
        list(bounded_map(fail_at_two, range(1000), workers=2, window=10))
    assert len(done) < 20
