"""Which group goes into which split."""

import random
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contenders.planning.groups import item_sets
from benchmarks.contenders.planning.links import link
from benchmarks.contenders.planning.splits import NEW, SET_ASIDE, Grouped, assign, join_earlier
from steps.contracts.dataset import SPLITS

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
# Photos as (group, quantity): some groups of many photos, some of one.
photos = st.lists(st.tuples(st.integers(0, 40).map(str), st.integers(0, 5)), min_size=1, max_size=150)
seeds = st.integers(0, 2**31)


def split_of(photos, seed=1, held=None):
    names = sorted({group for group, _ in photos})
    group = np.array([names.index(group) for group, _ in photos], np.int64)
    grouped = Grouped(names, group, np.array([quantity for _, quantity in photos], np.int64))
    held = held or {split: Counter() for split in SPLITS}
    return [SPLITS[place] for place in assign(grouped, held, FRACTIONS, seed)]


@given(photos, seeds)
def test_no_group_is_in_two_splits(photos, seed: int):
    splits = defaultdict(set)
    for (group, _), split in zip(photos, split_of(photos, seed), strict=True):
        splits[group].add(split)

    assert all(len(found) == 1 for found in splits.values())


@given(photos, seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_photos_does_not_matter(photos, seed: int, chance: random.Random):
    expected = dict(zip([g for g, _ in photos], split_of(photos, seed), strict=True))
    chance.shuffle(photos)

    assert dict(zip([g for g, _ in photos], split_of(photos, seed), strict=True)) == expected


@given(photos, seeds)
def test_training_has_every_quantity(photos, seed: int):
    trained = {q for (_, q), split in zip(photos, split_of(photos, seed), strict=True) if split == "train"}

    assert trained == {q for _, q in photos}


@given(st.lists(st.integers(3, 60), min_size=1, max_size=6), seeds)
def test_single_photos_reach_every_split_in_proportion(numbers: list[int], seed: int):
    photos = [(f"{q}-{n}", q) for q, number in enumerate(numbers) for n in range(number)]

    counts = Counter(zip(split_of(photos, seed), (q for _, q in photos), strict=True))

    for quantity, number in enumerate(numbers):
        for split in SPLITS:
            assert counts[split, quantity] >= 1
            assert abs(counts[split, quantity] - FRACTIONS[split] * number) <= 1.5


@given(st.lists(st.integers(1, 8), min_size=60, max_size=120), seeds)
def test_groups_of_any_size_come_near_the_fractions(sizes: list[int], seed: int):
    chance = random.Random(seed)
    photos = [(str(group), chance.choice((1, 2, 3))) for group, size in enumerate(sizes) for _ in range(size)]

    counts = Counter(split_of(photos, seed))

    for split in SPLITS:
        assert abs(counts[split] - FRACTIONS[split] * len(photos)) <= max(sizes)


def test_a_quantity_of_two_bins_is_in_training_and_validation():
    photos = [(f"g{n}", 1) for n in range(50)] + [("rare-1", 0), ("rare-2", 0)]

    splits = split_of(photos)[50:]

    assert sorted(splits) == ["train", "validation"]


def test_held_out_photos_are_not_only_of_bins_that_were_photographed_once():
    photos = [(f"pair-{n // 2}", 1) for n in range(400)] + [(f"single-{n}", 1) for n in range(400)]

    of_pairs = Counter(split for (group, _), split in zip(photos, split_of(photos), strict=True) if "pair" in group)

    assert of_pairs["validation"] == pytest.approx(40, abs=2)
    assert of_pairs["test"] == pytest.approx(40, abs=2)


def test_another_seed_gives_another_split():
    photos = [(str(n), n % 3) for n in range(100)]

    assert split_of(photos, 1) != split_of(photos, 2)


def test_what_is_held_already_counts_towards_the_fractions():
    held = {"train": Counter({1: 800}), "validation": Counter({1: 100}), "test": Counter()}

    counts = Counter(split_of([(str(n), 1) for n in range(100)], held=held))

    assert counts["test"] == pytest.approx(100, abs=1)


def joined(items: list[list[str]], known: list[int]) -> list[int]:
    sets = item_sets(pa.chunked_array([pa.array(items, pa.list_(pa.string()))]))
    return join_earlier(np.array(known), link(sets))[0].tolist()


@pytest.mark.parametrize(
    ("items", "known", "expected"),
    [
        ([["a", "b"], ["a", "b"]], [1, NEW], [1, 1]),
        ([["a", "b"], ["a", "b", "c"]], [2, NEW], [2, 2]),
        ([["a", "b"], ["x", "y"]], [1, NEW], [1, NEW]),
        ([["a", "b"], ["a", "b", "c"], ["b", "c"]], [0, NEW, 1], [0, SET_ASIDE, 1]),
        # What is alike to one that stands between two stands there too; what is alike to a known one only does not.
        (
            [["a", "b"], ["a", "b", "c"], ["b", "c"], ["b", "c", "d", "a"]],
            [0, NEW, 1, NEW],
            [0, SET_ASIDE, 1, SET_ASIDE],
        ),
        ([["a"], [], ["a"], []], [0, 1, 2, NEW], [0, 1, 2, NEW]),
        ([["a"], ["a"], ["a"]], [0, 2, NEW], [0, 2, SET_ASIDE]),
    ],
)
def test_new_photos_join_those_that_they_are_alike_to(items, known, expected):
    assert joined(items, known) == expected


known_bins = st.lists(
    st.tuples(st.lists(st.sampled_from("abcdefgh"), max_size=5), st.sampled_from([NEW, NEW, 0, 1, 2])),
    min_size=1,
    max_size=25,
)


@given(known_bins)
def test_joining_again_changes_nothing_and_brings_no_alike_photos_into_two_splits(bins):
    items, known = [held for held, _ in bins], [split for _, split in bins]

    once = joined(items, known)

    assert [after for before, after in zip(known, once, strict=True) if before != NEW] == [k for k in known if k != NEW]
    assert joined(items, [NEW if split == SET_ASIDE else split for split in once]) == once
    for a, first in enumerate(items):
        for b, second in enumerate(items):
            alike = first and 2 * len(set(first) & set(second)) >= len(set(first) | set(second))
            if alike and known[a] == NEW and min(once[a], once[b]) >= 0:
                assert once[a] == once[b]
