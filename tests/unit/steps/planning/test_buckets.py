"""The number of buckets of a wave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.planning.buckets import PHOTOS, bucket_count


@pytest.mark.parametrize(
    ("photos", "first", "buckets"),
    [
        (1, True, 1),
        (99, True, 1),
        (100, True, 4),
        (100, False, 1),
        (PHOTOS, False, 1),
        (PHOTOS + 1, False, 2),
        (4 * PHOTOS, True, 4),
        (4 * PHOTOS + 1, True, 8),
        (5_000_000, True, 256),
    ],
)
def test_small_waves_have_few_buckets_and_large_ones_a_power_of_two(photos: int, first: bool, buckets: int) -> None:
    assert bucket_count(photos, first=first) == buckets


@given(st.integers(1, 10**10), st.booleans())
def test_no_bucket_is_larger_than_a_writer_holds_and_none_could_be_twice_as_large(photos: int, first: bool) -> None:
    count = bucket_count(photos, first=first)
    assert count.bit_count() == 1
    assert photos <= count * PHOTOS
    assert count <= 4 or photos > count // 2 * PHOTOS
