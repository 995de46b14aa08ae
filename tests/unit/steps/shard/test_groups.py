"""Which photos show the same bin."""

import itertools
import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.shard import groups
from steps.shard.groups import alike_pairs, connect, item_sets
from steps.shard.links import link
from steps.shard.splits import NEW, join_earlier

bins = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=6), min_size=1, max_size=25)


def group_photos(items: list[list[str] | None]) -> list[int]:
    """The first photo of each photo's group, when none is known."""
    sets = item_sets(pa.chunked_array([pa.array(items, pa.list_(pa.string()))]))
    _, group = join_earlier(np.full(len(items), NEW), link(sets))
    return group.tolist()


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
    assert group_photos(items) == [min(together) for together in by_comparing_every_pair(items)]


@given(bins)
def test_a_pair_is_alike_when_half_of_what_either_holds_is_in_both(items: list[list[str]]):
    sets = item_sets(pa.chunked_array([pa.array(items, pa.list_(pa.string()))]))
    contents = {int(s): frozenset(items[photo]) for photo, s in enumerate(sets.of_photo) if s >= 0}

    expected = {
        (a, b)
        for a, b in itertools.combinations(sorted(contents), 2)
        if 2 * len(contents[a] & contents[b]) >= len(contents[a] | contents[b])
    }

    assert len(contents) == len(set(contents.values())) == len(sets)
    assert set(map(tuple, alike_pairs(sets).tolist())) == expected


@given(bins, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_items(items: list[list[str]], chance: random.Random):
    assert group_photos([chance.sample(held, len(held)) for held in items]) == group_photos(items)


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_what_is_connected_has_one_root(count: int, edges: list[tuple[int, int]]):
    pairs = np.array([edge for edge in edges if max(edge) < count], np.int64).reshape(-1, 2)
    expected = list(range(count))
    for _ in range(count):
        for a, b in pairs.tolist():
            expected[a] = expected[b] = min(expected[a], expected[b])

    assert connect(count, pairs).tolist() == expected


@pytest.mark.parametrize("empty", [[], None])
def test_each_empty_bin_is_a_group_of_its_own(empty):
    assert group_photos([empty, ["a"], empty]) == [0, 1, 2]


def test_one_item_more_or_less_is_the_same_bin_and_two_of_three_others_is_not():
    items = [["a", "b"], ["a", "b", "c"], ["x", "y", "z"], ["x", "p", "q"]]

    assert group_photos(items) == [0, 0, 2, 3]


def test_an_item_that_every_bin_holds_costs_no_comparison_of_every_pair(caplog: pytest.LogCaptureFixture):
    items = [["everywhere", f"own-{number}", f"other-{number}"] for number in range(40_000)]
    tracemalloc.start()
    try:
        assert len(set(group_photos(items))) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 200e6  # every pair would be 800 million
    finally:
        tracemalloc.stop()
    assert not caplog.records


def test_comparisons_that_are_skipped_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(groups, "MAX_CANDIDATES", 3)
    items = [["one", "two", f"own-{number}"] for number in range(20)]

    assert len(set(group_photos(items))) == 1  # the nearest still connect them all
    assert "bins were compared with their nearest only" in caplog.text
