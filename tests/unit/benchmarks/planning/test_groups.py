"""Which photos show the same bin."""

import itertools
import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contenders.planning import alike as groups_alike
from benchmarks.contenders.planning.alike import alike
from benchmarks.contenders.planning.groups import ItemSets, connect, item_sets
from benchmarks.contenders.planning.links import link
from benchmarks.contenders.planning.splits import NEW, join_earlier

# Bins of few and of many items, also more than those whose subsets are compared.
bins = st.lists(st.lists(st.sampled_from("abcdefghijklmno"), max_size=14), min_size=1, max_size=25) | st.lists(
    st.lists(st.sampled_from("abcdefghij"), max_size=6), min_size=1, max_size=25
)


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
    assert pairs_of(sets) == expected


def pairs_of(sets: ItemSets) -> set[tuple[int, int]]:
    """All alike pairs, by asking for each set which others reach it."""
    similar = alike(sets)
    pairs = set()
    for one in range(len(sets)):
        reached = similar.near(np.eye(1, len(sets), one, dtype=np.int64)[0])
        pairs |= {(min(one, other), max(one, other)) for other in np.flatnonzero(reached).tolist() if other != one}
    return pairs


@given(bins, st.data())
def test_the_edges_among_some_sets_connect_what_their_alike_pairs_connect(
    items: list[list[str]], data: st.DataObject
) -> None:
    sets = item_sets(pa.chunked_array([pa.array(items, pa.list_(pa.string()))]))
    present = np.array(data.draw(st.lists(st.booleans(), min_size=len(sets), max_size=len(sets))), bool)
    pairs = [pair for pair in pairs_of(sets) if present[list(pair)].all()]
    edges = alike(sets).edges(present)
    assert present[edges].all()
    assert set(map(tuple, np.sort(edges, axis=1).tolist())) <= set(pairs)
    expected = connect(len(sets), np.array(pairs, np.int64).reshape(-1, 2))
    assert connect(len(sets), edges).tolist() == expected.tolist()


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


@pytest.mark.parametrize("size", [3, 9])
def test_hot_items_hide_no_alike_bins(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bins that share a hot item with thousands of others, and are alike to a single other bin."""
    monkeypatch.setattr(groups_alike, "PAIRS_AT_ONCE", 1_000)
    own = [[f"own-{number}-{item}" for item in range(size - 1)] for number in range(1_500)]
    items = [["everywhere", *mine] for mine in own] + [["everywhere", *mine, "one more"] for mine in own]
    assert group_photos(items) == [*range(1_500), *range(1_500)]


def test_subsets_are_compared_in_slices_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    items = [chance.sample("abcdefghij", chance.randint(1, 7)) for _ in range(300)]
    sets = item_sets(pa.chunked_array([pa.array(items, pa.list_(pa.string()))]))
    whole = pairs_of(sets)
    monkeypatch.setattr(groups_alike, "SUBSETS_AT_ONCE", 500)
    assert len(whole) > 1_000
    assert pairs_of(sets) == whole


def test_many_pairs_of_large_sets_are_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(groups_alike, "_MANY_PAIRS", 100)
    group_photos([["everywhere", *(f"{number}-{item}" for item in range(9))] for number in range(20)])
    assert not caplog.records  # the item that they share is their commonest, and in no first half
    group_photos([[*"abcdefgh", f"own-{number}", f"other-{number}"] for number in range(200)])
    assert "pairs of bins with more than 8 items share items" in caplog.text


def test_a_set_that_only_a_photo_that_is_left_out_has_connects_nothing() -> None:
    items = [["a", "b", "c"], ["b", "c", "d"], ["c", "d", "e"]]
    sets = item_sets(pa.chunked_array([pa.array(items, pa.list_(pa.string()))]))
    assert set(join_earlier(np.full(3, NEW), link(sets))[1].tolist()) == {0}
    sets.of_photo[1] = -1
    assert join_earlier(np.full(3, NEW), link(sets))[1].tolist() == [0, 1, 2]
