"""Which of the shards that are there a bucket uses, by records that are made for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import obstore
import pyarrow as pa
import pytest

from steps.contracts.names import COMPLETE_MARKER
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import BUCKET
from steps.runtime.listings import StoredObject
from steps.runtime.s3 import open_store
from steps.shard import catalog
from steps.shard.bucket import Photo, Remaining
from steps.shard.catalog import Catalog, Selection, select
from steps.shard.ledger import Record, photos_table, record_of

TRAINING, TESTING = 40, 20


def photos_of(train: int = TRAINING) -> pa.Table:
    """The photos of a bucket: so many of training and some of testing, in the order of writing."""
    rows = [
        (f"{split}-{number:03d}", f"{number}.jpg", number % 3, f"etag-{split}-{number}", 100, place)
        for place, split, count in ((0, "train", train), (2, "test", TESTING))
        for number in range(count)
    ]
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, BUCKET, strict=True)], BUCKET)


class Shards:
    """Shards of a bucket's training photos, in the order that a test gives them."""

    def __init__(self, bucket: str) -> None:
        self.folder, self.photos = S3Uri(bucket, "shards/key/bucket"), photos_of()
        self.train = list(Remaining("train", self.photos.slice(0, TRAINING)))

    def put(self, generation: str, *shards: range, whole: bool = True) -> None:
        """A generation whose shards hold the training photos at these places."""
        store = open_store(self.folder.bucket)
        for number, places in enumerate(shards):
            uri = self.folder.join(generation, "train", f"train-{number:06d}.tar")
            photos: list[tuple[Photo, str | None]] = [(self.train[place], None) for place in places]
            obstore.put(store, uri.key, b"tar")
            obstore.put(store, record_of(uri).key, Record(uri, 3, "0" * 64, photos_table(photos)).content())
        if whole:
            obstore.put(store, self.folder.join(generation, COMPLETE_MARKER).key, b"{}")

    def generations(self) -> list[str]:
        return list(dict.fromkeys(shard.generation for shard in Catalog.of(self.folder).shards))

    def select(self, maximum_removed: float = 0.2) -> Selection:
        return select(self.photos, Catalog.of(self.folder).shards, maximum_removed)

    def used(self, selection: Selection) -> list[tuple[str, int]]:
        """Generation and photos that count of each shard that is used."""
        return [(each.shard.uri.split("/")[-3], each.shard.samples) for each in selection.reused["train"]]

    def missing(self, selection: Selection) -> set[int]:
        """Places of the training photos that are to be written, among the first twenty."""
        ids = set(self.photos["image_id"].take(selection.missing).to_pylist())
        return {place for place, photo in enumerate(self.train[:20]) if photo.image_id in ids}


@pytest.fixture
def shards(s3: Any, bucket: str) -> Shards:
    return Shards(bucket)


def test_what_is_added_does_not_take_the_place_of_what_is_used(shards: Shards) -> None:
    shards.put("000001-z", range(20))
    first = shards.select()
    shards.put("000002-a", range(10), range(10, 20))

    assert shards.select().reused == first.reused
    assert shards.used(first) == [("000001-z", 20)]


def test_generations_that_are_not_whole_come_last_whatever_their_number(shards: Shards) -> None:
    shards.put("000001-unfinished", range(20), whole=False)
    shards.put("000002-whole", range(20))

    assert shards.generations() == ["000002-whole", "000001-unfinished"]
    assert shards.used(shards.select()) == [("000002-whole", 20)]
    listed = Catalog.of(shards.folder)
    assert {shard.generation for shard in listed.settled()} == {"000002-whole"}
    assert (listed.has_begun("000001-unfinished"), listed.has_begun("000003-none")) == (True, False)


def test_a_generation_of_the_same_number_is_taken_as_a_whole(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs at a time: their shards were written by turns, and each lacks what makes the other's whole."""
    shards.put("000001-a", range(8), range(8, 16))
    shards.put("000001-b", range(4, 14), range(14, 20))
    minutes = {("a", "0"): 2, ("b", "0"): 1, ("a", "1"): 3, ("b", "1"): 4}
    listed = catalog.stored_objects

    def by_turns(uri: S3Uri) -> Iterator[StoredObject]:
        for entry in listed(uri):
            minute = minutes.get((entry.key.split("/")[3][-1], entry.key.rpartition(".")[0][-1]), 5)
            yield replace(entry, modified=datetime(2026, 1, 1, 0, minute, tzinfo=UTC))

    monkeypatch.setattr(catalog, "stored_objects", by_turns)
    generations = [shard.generation for shard in Catalog.of(shards.folder).shards]
    assert generations == ["000001-b"] * 2 + ["000001-a"] * 2


def test_the_younger_generation_is_used_where_it_leaves_less_to_be_written(shards: Shards) -> None:
    """A job had two photos more than another at the same time, in a shard that overlaps with the other's."""
    shards.put("000001-a", range(8), range(8, 16))
    shards.put("000002-b", range(8, 18))

    selection = shards.select()

    assert sorted(shards.used(selection)) == [("000001-a", 8), ("000002-b", 10)]
    assert shards.missing(selection) == {18, 19}
    assert shards.missing(catalog._select(shards.photos, Catalog.of(shards.folder).shards, 0.2)) == {16, 17, 18, 19}


def test_what_was_rewritten_gives_way_when_its_photos_come_back(shards: Shards) -> None:
    shards.put("000001-a", range(20))
    shards.put("000002-b", range(12))  # the rest of it, while eight photos were removed

    assert shards.used(shards.select()) == [("000001-a", 20)]


def test_many_small_shards_are_held_against_a_bucket_in_few_batches(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards.put("000001-a", *(range(place, place + 1) for place in range(20)))
    batches = []
    match_all = catalog._match_all

    def counted(photos: pa.Table, records: Any) -> Any:
        batches.append(len(records))
        return match_all(photos, records)

    monkeypatch.setattr(catalog, "_match_all", counted)
    monkeypatch.setattr(catalog, "_RECORDS", 3)
    assert shards.missing(shards.select()) == set()
    assert sum(batches) == 20
    assert len([number for number in batches if number]) == 1


@pytest.mark.parametrize(
    ("removed", "share", "used"), [(4, 0.2, True), (5, 0.2, False), (20, 1.0, False), (0, 0.0, True)]
)
def test_a_shard_is_used_up_to_the_share_that_may_be_removed(
    s3: Any, bucket: str, removed: int, share: float, used: bool
) -> None:
    whole = Shards(bucket)
    whole.put("000001-a", range(20))
    gone = {photo.image_id for photo in whole.train[:removed]}
    left = whole.photos.filter([row not in gone for row in whole.photos["image_id"].to_pylist()])

    selection = select(left, Catalog.of(whole.folder).shards, share)

    reused = selection.reused["train"]
    assert [each.shard.samples for each in reused] == ([20 - removed] if used else [])
    if used:
        assert reused[0].shard.excluded == sorted(gone)
