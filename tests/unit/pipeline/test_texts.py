"""Numbers and shares in words."""

from __future__ import annotations

import pytest

from pipeline.texts import ranges, share_text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((), ""), ((3,), "3"), ((0, 1), "0-1"), ((0, 2, 3, 4, 7), "0, 2-4, 7"), ((0, 1, 2, 3, 4, 5), "0-5")],
)
def test_numbers_that_follow_each_other_are_a_range(numbers: tuple[int, ...], text: str) -> None:
    assert ranges(numbers) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "<0.1%"), (0.0004, "<0.1%"), (0.0006, "0.1%"), (0.5, "50.0%"), (0.9994, "99.9%"), (0.9996, ">99.9%")],
)
def test_a_probability_is_never_nothing_or_certain(share: float, text: str) -> None:
    assert share_text(share) == text
