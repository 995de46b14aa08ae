"""Photos that belong together without a common item: named groups, and equal bytes under other ids.

The kind: a leak that is counted as none, because nothing names what connects the photos.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contenders.planning.groups import item_sets
from benchmarks.contenders.planning.links import copies_of, groups_of, link
from benchmarks.contenders.planning.plan import ASSIGNMENTS, Plan, make_plan
from benchmarks.contenders.planning.splits import NEW, SET_ASIDE, join_earlier
from steps.contracts.dataset import SPLITS
from steps.contracts.labels import SCHEMA
from tests.unit.steps.planning.cases import settings

Row = dict[str, object]


def photo(number: int, *, items: tuple[str, ...] = (), group: str | None = None, etag: str = "", size: int = 9) -> Row:
    image_id = f"{number:04d}"
    values = (image_id, number % 3, list(items), f"{image_id}.jpg", etag or f"etag-{number}", size, group)
    return dict(zip(SCHEMA.names, values, strict=True))


def plan_of(rows: list[Row], earlier: dict[str, str] | None = None, **changes: object) -> Plan:
    pairs = list((earlier or {}).items())
    assigned = pa.table([[pair[0] for pair in pairs], [pair[1] for pair in pairs]], ASSIGNMENTS) if pairs else None
    return make_plan(
        pa.Table.from_pylist(rows, SCHEMA), settings(validation_fraction=0.1, test_fraction=0.1, **changes), assigned
    )


def splits_by(rows: list[Row], plan: Plan, name: str) -> dict[object, set[int]]:
    splits: dict[object, set[int]] = {}
    for row, split in zip(rows, plan.splits.tolist(), strict=True):
        splits.setdefault(row[name], set()).add(split)
    return splits


@pytest.mark.parametrize(
    "tie",
    [
        lambda number: {"group": f"bin {number // 6}"},
        lambda number: {"etag": f"copy-{number // 6}"},
        lambda number: {"etag": f"copy-{number // 6}-2"},
        # Photos of one bin by turns: group, bytes and items together make one chain.
        lambda number: {
            "group": f"bin {number // 6}" if number % 6 < 3 else None,
            "etag": f"copy-{number // 6}" if number % 6 in (2, 3) else "",
            "items": (f"B{number // 6}",) if number % 6 > 2 else (),
        },
    ],
    ids=["group", "bytes", "bytes in parts", "chain"],
)
def test_photos_of_a_group_and_copies_share_a_split_and_their_leak_is_counted(tie) -> None:
    rows = [photo(number, **tie(number)) for number in range(120)]
    grouped, by_chance = plan_of(rows, split="grouped"), plan_of(rows, split="random")
    for start in range(0, 120, 6):
        assert len(set(grouped.splits[start : start + 6].tolist())) == 1
    assert grouped.leakage.split.same_bin == 0
    assert grouped.leakage.random.same_bin > 0
    assert by_chance.leakage.split.same_bin > 0


def test_where_nothing_names_the_bins_the_leak_is_not_known() -> None:
    rows = [photo(number) for number in range(60)]
    leakage = plan_of(rows).leakage
    assert (leakage.photos, leakage.unknown, leakage.copies, leakage.is_known) == (40, 40, 0, False)
    assert leakage.caveat.startswith("not known: the metadata name no items and no group")
    rows[1]["bin_group"], rows[2]["asins"] = "a", ["B"]
    leakage = plan_of(rows).leakage
    assert (leakage.unknown, leakage.is_known) == (38, True)
    assert leakage.caveat == "not known for 38 of 40 photos, whose metadata name no items and no group"


def test_empty_bins_name_no_items_by_right() -> None:
    rows = [photo(number, items=(f"B{number}",) if number % 3 else ()) for number in range(60)]
    assert plan_of(rows).leakage.caveat == ""


def test_objects_without_bytes_and_equal_etags_of_other_sizes_are_no_copies() -> None:
    rows = [photo(1, etag="x", size=0), photo(2, etag="x", size=0), photo(3, etag="y"), photo(4, etag="y", size=8)]
    table = pa.Table.from_pylist([*rows, photo(5, etag="z"), photo(6, etag="z")], SCHEMA)
    usable = np.ones(6, bool)
    assert (copies_of(table, usable) >= 0).tolist() == [False] * 4 + [True] * 2
    usable[5] = False
    assert (copies_of(table, usable) >= 0).tolist() == [False] * 6


def test_a_copy_of_an_earlier_photo_joins_its_split_and_one_between_two_is_left_out() -> None:
    rows = [photo(number) for number in range(60)]
    first = plan_of(rows)
    earlier = dict(zip(*(first.assigned[name].to_pylist() for name in ASSIGNMENTS.names), strict=True))
    held_out = next(place for place, split in enumerate(first.splits) if SPLITS[split] == "test")
    trained = next(place for place, split in enumerate(first.splits) if SPLITS[split] == "train")
    copy = photo(60, etag=str(rows[held_out]["image_etag"]))
    between = photo(61, etag=str(rows[held_out]["image_etag"]), group="g")
    rows[trained] = {**rows[trained], "bin_group": "g"}
    second = plan_of([*rows, copy, between], earlier)
    assert SPLITS[second.splits[60]] == "test"
    assert second.refused == [(61, "between-two-splits")]
    assert second.splits[:60].tolist() == first.splits.tolist()


FEW = st.none() | st.integers(0, 5).map(str)
PHOTOS = st.lists(st.tuples(FEW, FEW, st.sets(st.sampled_from("ABCD"), max_size=2)), min_size=1, max_size=14)


@given(PHOTOS, st.data())
def test_joining_is_stable_and_brings_no_linked_photos_into_two_splits(photos, data: st.DataObject) -> None:
    assigned = data.draw(st.lists(st.sampled_from([NEW, NEW, 0, 1, 2]), min_size=len(photos), max_size=len(photos)))
    rows = [
        photo(number, items=tuple(sorted(items)), group=group, etag=f"c{copy}" if copy else "")
        for number, (group, copy, items) in enumerate(photos)
    ]
    table, everyone = pa.Table.from_pylist(rows, SCHEMA), np.ones(len(rows), bool)
    links = link(item_sets(table["asins"]), groups_of(table, everyone), copies_of(table, everyone))
    earlier = np.array(assigned)
    splits, group = join_earlier(earlier, links)
    assert (splits[earlier != NEW] == earlier[earlier != NEW]).all()
    for a, first in enumerate(rows):
        for b, second in enumerate(rows[:a]):
            linked = any(
                first[name] is not None and first[name] == second[name] for name in ("bin_group", "image_etag")
            )
            if not linked or earlier[a] != NEW or SET_ASIDE in (splits[a], splits[b]):
                continue
            assert splits[a] == splits[b]
            assert splits[a] != NEW or group[a] == group[b]
    again = np.where(splits == SET_ASIDE, NEW, splits)
    again[splits == NEW] = NEW
    repeated, _ = join_earlier(again, links)
    settled = splits >= 0
    assert (repeated[settled] == splits[settled]).all()
