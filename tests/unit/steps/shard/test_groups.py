"""Which photos show the same bin."""

import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.shard import groups
from steps.shard.groups import group_photos

bins = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=6), min_size=1, max_size=25)


def ids(count: int) -> list[str]:
    return [f"{number:04d}" for number in range(count)]


def by_comparing_every_pair(items: list[list[str]]) -> list[set[int]]:
    """The definition: photos linked by pairs with Jaccard >= 1/2."""
    linked = [{photo} for photo in range(len(items))]
    for a, b in itertools.combinations(range(len(items)), 2):
        union, shared = set(items[a]) | set(items[b]), set(items[a]) & set(items[b])
        if union and 2 * len(shared) >= len(union) and linked[a] is not linked[b]:
            linked[a] |= linked[b]
            for photo in linked[b]:
                linked[photo] = linked[a]
    return linked


@given(bins)
def test_groups_are_those_that_comparing_every_pair_finds(items: list[list[str]]):
    image_ids = ids(len(items))

    found = group_photos(image_ids, items)

    assert found == [image_ids[min(together)] for together in by_comparing_every_pair(items)]


@given(bins, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_photos_and_items(items: list[list[str]], chance: random.Random):
    image_ids = ids(len(items))
    expected = dict(zip(image_ids, group_photos(image_ids, items), strict=True))
    photos = list(zip(image_ids, items, strict=True))
    chance.shuffle(photos)

    shuffled = group_photos([i for i, _ in photos], [chance.sample(held, len(held)) for _, held in photos])

    assert dict(zip([i for i, _ in photos], shuffled, strict=True)) == expected


@pytest.mark.parametrize("empty", [[], None])
def test_each_empty_bin_is_a_group_of_its_own(empty):
    assert group_photos(["1", "2", "3"], [empty, ["a"], empty]) == ["1", "2", "3"]


def test_one_item_more_or_less_is_the_same_bin_and_two_of_three_others_is_not():
    items = [["a", "b"], ["a", "b", "c"], ["x", "y", "z"], ["x", "p", "q"]]

    assert group_photos(ids(4), items) == ["0000", "0000", "0002", "0003"]


def test_an_item_that_every_bin_holds_costs_no_comparison_of_every_pair(caplog: pytest.LogCaptureFixture):
    items = [["everywhere", f"own-{number}", f"other-{number}"] for number in range(40_000)]
    started = time.monotonic()

    assert len(set(group_photos(ids(40_000), items))) == 40_000
    assert time.monotonic() - started < 10  # every pair would be 800 million
    assert not caplog.records


def test_comparisons_that_are_skipped_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(groups, "MAX_CANDIDATES", 3)
    items = [["one", "two", f"own-{number}"] for number in range(20)]

    assert len(set(group_photos(ids(20), items))) == 1  # the nearest still connect them all
    assert "comparisons of bins were skipped" in caplog.text
