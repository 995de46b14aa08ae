"""What may go and what stays, by what S3 and the registry say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.operations.dataset import prune_plan as plan
from pipeline.operations.dataset import stored
from pipeline.operations.dataset.prune_plan import Amount, PrunePlan
from pipeline.operations.dataset.stored import Entry, Generation, Shard, Stored
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import COMPLETE_MARKER
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import BUCKETS, DESCRIPTION, KEY_DIGITS, LEFT_OUT_NAME, NAME
from steps.planning.bucket_files import bucket_name
from steps.query import labels as query_labels
from steps.shard import catalog, ledger
from tests.answers import Answers
from tests.unit.pipeline.operations.dataset.data import KEY, NOW, Data, generation

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def data(account: None, settings: Settings) -> Data:
    return Data(settings.data.bucket, settings.data.prefix)


def make(settings: Settings, days: int = 90) -> PrunePlan:
    return plan.make(settings, days, NOW)


def going(planned: PrunePlan) -> set[str]:
    """The URIs of the shards that go."""
    return {shard.key for item in planned.generations for shard in item.shards}


def keys(uris: list[str]) -> set[str]:
    return {uri.split("/", 3)[3] for uri in uris}


def test_nothing_is_nothing_to_prune(settings: Settings, data: Data) -> None:
    planned = make(settings)
    assert planned.empty
    assert (planned.shards, planned.size, planned.retained.used) == (0, 0, Amount())


def test_a_bucket_that_is_not_there_is_one_line(settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"^there is no bucket .*; create it: python -m pipeline bootstrap$"):
        make(settings)


def test_what_an_index_of_the_last_days_names_stays_however_old_it_is(settings: Settings, data: Data) -> None:
    old = data.generation(1, age=400, shards=6)
    data.index(old[:3], age=89)
    data.index(old[:4], age=91)
    planned = make(settings)
    assert going(planned) == keys(old[3:])
    assert planned.retained.used == Amount(3, 3_003)
    [item] = planned.generations
    # The marker says that what is left is whole.
    assert (item.place, item.total, item.marker) == (generation(1), 6, None)


def test_the_newest_index_counts_however_old_it_is(settings: Settings, data: Data) -> None:
    uris = data.generation(1, age=800, shards=4)
    data.index(uris, age=800)
    data.index(uris[:3], age=700)
    assert going(make(settings)) == keys(uris[3:])


def test_what_was_written_in_the_last_days_stays_whatever_names_it(settings: Settings, data: Data) -> None:
    place = generation(1)
    uris = [data.shard(place, "train", 0, age=91), data.shard(place, "train", 1, age=89)]
    assert going(make(settings)) == keys(uris[:1])
    # Its record is written after the tar: the later of both counts.
    data.put(f"shards/{place}/train/train-000-000000.parquet", age=1)
    planned = make(settings)
    assert planned.empty
    assert planned.retained.young.shards == 2


def test_a_generation_of_which_nothing_stays_goes_with_its_marker(settings: Settings, data: Data) -> None:
    data.generation(1, age=100)
    data.put(f"shards/{generation(2)}/complete.json", age=100)  # all that a broken-off prune has left
    data.put(f"shards/{generation(3)}/complete.json", age=1)
    planned = make(settings)
    assert [(item.place, item.total, item.marker is not None) for item in planned.generations] == [
        (generation(1), 3, True),
        (generation(2), 0, True),
    ]


def test_tars_and_records_without_the_other_go_by_the_same_rules(settings: Settings, data: Data) -> None:
    tar = data.shard(generation(1), "train", 0, age=100, record=False)
    data.put(f"shards/{generation(1)}/test/test-000-000004.parquet", age=100)
    planned = make(settings)
    assert going(planned) == {tar.split("/", 3)[3], f"{data.prefix}/shards/{generation(1)}/test/test-000-000004.tar"}
    assert [len(shard.entries) for item in planned.generations for shard in item.shards] == [1, 1]


def test_label_sets_go_but_for_those_of_the_last_days_and_the_newest(settings: Settings, data: Data) -> None:
    gone = [data.labels(1, age=100), data.labels(2, age=200)]
    data.labels(3, age=95)
    planned = make(settings)
    assert [item.key for item in planned.labels] == gone
    assert (planned.retained.label_sets, planned.empty) == (1, False)
    data.put(f"labels/{gone[0]}/part-00001-of-00002.parquet", age=3)  # a query came to it again
    assert [item.key for item in make(settings).labels] == [gone[1], f"{3:032x}"]


def test_buckets_have_generations_of_their_own_next_to_those_without(settings: Settings, data: Data) -> None:
    bucket = f"{KEY}/000001-00003/{generation(1).partition('/')[2]}"
    uris = [data.put(f"shards/{bucket}/test/test-000000{suffix}", 100) for suffix in (".tar", ".parquet")]
    data.put(f"shards/{bucket}/complete.json", 100)
    data.generation(1, age=100)
    planned = make(settings)
    assert [(item.place, item.total) for item in planned.generations] == [(generation(1), 3), (bucket, 1)]
    assert uris[0] in going(planned)
    assert all(item.marker for item in planned.generations)


def test_plans_go_but_for_those_used_in_the_last_days_and_the_newest(settings: Settings, data: Data) -> None:
    old, renewed, young = (data.plan(number, age=age) for number, age in ((1, 200), (2, 300), (3, 5)))
    assert [item.key for item in make(settings).plans] == [old, renewed]
    data.put(f"plans/{renewed}/description/plan.json", age=10)  # a job used it
    planned = make(settings)
    assert [(item.key, item.size) for item in planned.plans] == [(old, 4)]
    assert (planned.retained.plans, planned.empty) == (2, False)
    data.put(f"plans/{young}/description/plan.json", age=400)
    assert young not in [item.key for item in make(settings).plans]  # its buckets are of five days ago


def test_the_newest_plan_stays_however_old_it_is(settings: Settings, data: Data) -> None:
    gone = data.plan(1, age=300)
    data.plan(2, age=200)
    assert [item.key for item in make(settings).plans] == [gone]


def test_a_layout_stays_as_long_as_its_data_set_has_shards(settings: Settings, data: Data) -> None:
    other, young = KEY[::-1], "f" * 16
    for key, age in ((KEY, 300), (other, 300), (young, 3)):
        data.put(f"plans/layouts/{key}.json", age)
    data.index(data.generation(1, age=300), age=1)
    data.generation(1, age=300, key=other)
    planned = make(settings)
    assert [entry.key for entry in planned.layouts] == [f"{data.prefix}/plans/layouts/{other}.json"]
    assert {item.place for item in planned.generations} == {generation(1, other)}


def test_shards_of_approved_versions_stay_and_are_told(settings: Settings, data: Data) -> None:
    approved, rejected, now = (data.generation(number, age=300) for number in (1, 2, 3))
    data.index(now, age=1)
    data.approve(data.index(rejected, age=300), status="Rejected")
    place = data.index(approved, age=300)
    data.approve(place)
    data.approve(f"{place}/")
    planned = make(settings)
    assert going(planned) == keys(rejected)
    assert (planned.retained.approved.shards, planned.versions, planned.notes) == (3, (2, 3), ())


def test_an_approved_version_whose_index_is_not_there_is_told(settings: Settings, data: Data) -> None:
    data.approve(None)
    data.approve("s3://elsewhere/indexes/1")
    planned = make(settings)
    assert planned.notes == (
        "approved version 1 names no index: shards of that data set are not retained for it",
        "approved version 2 names the index s3://elsewhere/indexes/1, which does not exist: shards of that data set are"
        " not retained for it",
    )


def test_what_has_another_name_than_the_steps_give_is_counted_and_left_alone(settings: Settings, data: Data) -> None:
    place = generation(1)
    foreign = [
        "shards/notes.txt",
        "shards/",
        f"shards/{KEY}/complete.json",
        f"shards/{place}/train/train-000-000000.tar.bak",
        f"shards/{place}/train/test-000-000000.tar",
        f"shards/{place}/train/train-000-000000.tar/x",
        f"shards/{place.upper()}/train/train-000-000000.tar",
        f"shards/x/{place}/train/train-000-000000.tar",
        f"shards/{place}/other/other-000-000000.tar",
        "labels/mine/part-00000-of-00001.parquet",
        f"labels/{7:032x}/readme",
        f"plans/{7:032x}/description/plan.json.bak",
        f"plans/{7:032x}/buckets/1.parquet",
        "plans/layouts/x.json",
    ]
    for key in foreign:
        data.put(key, age=900)
    planned = make(settings)
    assert planned.empty
    assert (planned.foreign.objects, planned.foreign.size) == (len(foreign), len(foreign))
    assert planned.foreign.example.startswith(f"{data.prefix}/shards/")


def test_other_folders_are_not_looked_at(settings: Settings, data: Data) -> None:
    for key in (f"shards2/{generation(1)}/train/train-000-000000.tar", "runs/a/summary/shard.json", "assignments/a/1"):
        data.put(key, age=900)
    planned = make(settings)
    assert (planned.empty, planned.foreign.objects) == (True, 0)


@pytest.mark.parametrize("content", [b"{", b"", b'{"version": 1}'])
def test_an_index_that_counts_and_cannot_be_read_is_named(settings: Settings, data: Data, content: bytes) -> None:
    data.generation(1, age=300)
    data.put("indexes/abc/index.json", 10, content)
    with pytest.raises(
        PipelineError, match=r"indexes/abc/index.json: not a dataset index.* nothing can be deleted; restore"
    ):
        make(settings)


def test_an_old_index_that_cannot_be_read_matters_only_where_a_version_names_it(settings: Settings, data: Data) -> None:
    uris = data.generation(1, age=300)
    data.index(uris, age=1)
    data.put("indexes/abc/index.json", 300, b"{")
    assert make(settings).empty
    data.approve(f"s3://{data.bucket}/{data.prefix}/indexes/abc")
    with pytest.raises(PipelineError, match=r"indexes/abc/index.json: not a dataset index"):
        make(settings)


@pytest.mark.parametrize("status", ["Executing", "Stopping"])
def test_runs_under_way_have_to_end_first(settings: Settings, data: Data, status: str) -> None:
    run = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/abc123"
    summary = {"PipelineExecutionArn": run, "PipelineExecutionStatus": status}
    Answers().say("sagemaker.ListPipelineExecutions", {"PipelineExecutionSummaries": [summary]})
    with pytest.raises(PipelineError, match=r"1 run in progress.*wait.*python -m pipeline stop abc123"):
        make(settings)


@pytest.mark.parametrize(
    ("keep_for", "fresh_for", "least"),
    [("30d", "12h", 31), ("1h", "12h", 2), ("49h", "12h", 4), ("1d", "10d", 11), ("90m", "90m", 2)],
)
def test_fewer_days_than_the_step_cache_keeps_are_refused(
    settings: Settings, data: Data, keep_for: str, fresh_for: str, least: int
) -> None:
    cache = settings.cache.model_copy(update={"keep_for": keep_for, "fresh_for": fresh_for})
    chosen = settings.model_copy(update={"cache": cache})
    for days in (least - 1, 0, -5):
        with pytest.raises(PipelineError, match=rf"^--days {days} is below the least, {least}: .*cache\.keep_for"):
            make(chosen, days)
    assert make(chosen, least).empty


def test_long_lists_are_read_to_their_end(settings: Settings, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        data.generation(number, age=100, shards=9)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    assert make(settings).shards == 36


def test_names_are_those_that_the_steps_give() -> None:
    bucket = bucket_name(12, 345)
    folder = S3Uri("b", f"{KEY}/{bucket}/{catalog.Catalog(S3Uri('b', KEY), (), frozenset()).name('0' * 16)}")
    for number in (0, 999_999, 1_000_000):
        place = ledger.Ledger(folder, None).place("validation", number)
        for key in (place.key, ledger.record_of(place).key):
            assert stored._SHARD.fullmatch(key)
    for name in (f"{NAME}", f"{LEFT_OUT_NAME}"):
        assert stored._PLAN.fullmatch(f"{'0' * KEY_DIGITS}/{DESCRIPTION}/{name}")
    assert stored._PLAN.fullmatch(f"{'0' * KEY_DIGITS}/{BUCKETS}/{bucket}.parquet")
    assert stored._LAYOUT.fullmatch(f"layouts/{KEY}.json")
    assert stored._MARKER.fullmatch(folder.join(COMPLETE_MARKER).key)
    assert query_labels.KEY_DIGITS == 32


@st.composite
def listings(draw: st.DrawFn) -> tuple[Stored, set[str], set[str]]:
    """Shards of several generations, and what indexes name of them and of what is not there."""
    generations = []
    tars = []
    for number in range(draw(st.integers(0, 4))):
        place = generation(number)
        shards = []
        for n in range(draw(st.integers(0, 4))):
            stem = f"shards/{place}/train/train-000-{n:06d}"
            written = NOW - timedelta(days=draw(st.integers(0, 200)))
            parts = draw(st.sampled_from(["both", "tar", "record"]))
            tar = Entry(f"{stem}.tar", 1_000, written) if parts != "record" else None
            shards.append(Shard(tar, Entry(f"{stem}.parquet", 1, written) if parts != "tar" else None))
            tars.append(f"{stem}.tar")
        marker = Entry(f"shards/{place}/complete.json", 3, NOW - timedelta(days=draw(st.integers(0, 200))))
        generations.append(Generation(place, tuple(shards), draw(st.sampled_from([marker, None]))))
    named = st.sets(st.sampled_from([*tars, "shards/elsewhere.tar"]))
    return Stored(tuple(generations)), draw(named), draw(named)


@given(listings())
def test_what_goes_is_old_and_unnamed_and_all_the_rest_stays(listing: Any) -> None:
    listed, used, approved = listing
    since = NOW - timedelta(days=90)
    planned, staying = plan.decide(listed, used, approved, since)
    gone = [shard for item in planned for shard in item.shards]
    for shard in gone:
        assert shard.key not in used | approved
        assert all(entry.modified < since for entry in shard.entries)
    everything = [shard for item in listed.generations for shard in item.shards]
    left = [shard for shard in everything if shard not in gone]
    assert all(shard.key in used | approved or shard.modified >= since for shard in left)
    counts = (staying.used, staying.approved, staying.young)
    assert sum(kept.shards for kept in counts) == len(left)
    assert sum(kept.size for kept in counts) == sum(shard.size for shard in left)
    places = {item.place: item for item in listed.generations}
    for item in planned:
        assert item.marker is None or len(item.shards) == len(places[item.place].shards)
        assert item.size == sum(shard.size for shard in item.shards)
        assert item.modified < since
