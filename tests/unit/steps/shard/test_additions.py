"""Shards add up: what a run finds written it uses again, and what has gone is left out by the index."""

import itertools
import shutil
from collections import Counter

import pytest

from steps.contracts.errors import StepError
from steps.contracts.names import COMPLETE_MARKER, RECORD_SUFFIX
from steps.contracts.s3_uri import S3Uri
from steps.shard import tar
from steps.shard.ledger import Record
from steps.shards.reading import iterate
from tests.unit.steps.shard.conftest import Job, jpeg, samples, splits_of

# A shard has some ten photos.
SMALL = ("--shard-megabytes", "0.05", "--image-size", "64")


def written(job: Job) -> dict[str, tuple]:
    """The tars below `shards/`, and when and as what each was written."""
    return {key: version for key, version in job.versions("out/shards").items() if key.endswith(".tar")}


def is_record(key: str) -> bool:
    return key.endswith(RECORD_SUFFIX)


def quantities(job: Job) -> dict[str, int]:
    return {row["image_id"]: row["quantity"] for row in job.rows}


def assert_exact(job: Job) -> None:
    """The index holds each labelled photo once, with its label, and counts right."""
    index = job.index
    read = samples(index)  # compares digests and numbers of samples with the index
    refused = {image_id for ids in job.summary.rejects.values() for image_id in ids}
    labelled = {image_id: n for image_id, n in quantities(job).items() if image_id not in refused}
    ids = [sample.image_id for split in read.values() for sample in split]
    assert sorted(ids) == sorted(labelled)
    assert {s.image_id: s.quantity for split in read.values() for s in split} == labelled
    for name, split in index.splits.items():
        assert split.class_counts == Counter(sample.quantity for sample in read[name])
    photos = job.summary.photos
    assert photos.reused + photos.written == len(ids)
    assert photos.excluded == sum(len(shard.excluded) for s in index.splits.values() for shard in s.shards)


@pytest.mark.parametrize("instances", [1, 3])
def test_new_photos_go_into_new_shards_and_the_others_stay_as_they_are(job: Job, instances: int):
    job.add_bins(90)
    first = job.run(*SMALL, instances=instances)
    before = written(job)
    for row in job.rows:  # nothing is read again
        job.s3.delete_object(Bucket=job.bucket, Key=f"raw/{row['image_key']}")
    job.add_bins(100)

    second = job.run(*SMALL, instances=instances)

    assert_exact(job)
    assert (job.summary.photos.reused, job.summary.photos.written) == (90, 10)
    assert before.items() <= written(job).items()
    old = {shard.uri: shard for split in first.splits.values() for shard in split.shards}
    new = {shard.uri: shard for split in second.splits.values() for shard in split.shards}
    assert old.items() <= new.items()
    assert sum(shard.samples for uri, shard in new.items() if uri not in old) == 10
    assert splits_of(first).items() <= splits_of(second).items()


@pytest.mark.parametrize("instances", [1, 2])
def test_removed_photos_are_excluded_by_the_index(job: Job, instances: int):
    job.add_bins(200)
    first = job.run(*SMALL, "--maximum-removed", "0.9", instances=instances)
    before = job.versions("out/shards")
    shards = [list(iterate([shard])) for shard in first.splits["train"].shards if shard.samples > 1]
    gone = {shard[0].image_id for shard in shards}
    assert len(gone) > 3
    job.rows = [row for row in job.rows if row["image_id"] not in gone]

    job.run(*SMALL, "--maximum-removed", "0.9", instances=instances)

    assert_exact(job)
    assert job.versions("out/shards") == before
    excluded = {i for split in job.index.splits.values() for shard in split.shards for i in shard.excluded}
    assert excluded == gone
    assert job.index.sha256 != first.sha256


def test_a_shard_of_which_too_much_was_removed_is_written_again_without_it(job: Job):
    job.add_bins(200)
    first = job.run(*SMALL)
    full, other = first.splits["train"].shards[:2]
    members = [sample.image_id for sample in samples(first)["train"]]
    gone = {*members[: full.samples // 2], members[full.samples]}  # half of one, one photo of the other
    job.rows = [row for row in job.rows if row["image_id"] not in gone]

    job.run(*SMALL)

    assert_exact(job)
    shards = {shard.uri: shard for shard in job.index.splits["train"].shards}
    assert full.uri not in shards
    assert shards[other.uri].excluded == [members[full.samples]]
    assert job.summary.photos.written == full.samples - full.samples // 2
    assert job.summary.photos.excluded == 1


def test_what_is_removed_and_comes_back_is_the_same_data_set_again(job: Job):
    job.add_bins(120)
    rows = list(job.rows)
    first = job.run(*SMALL)
    for left in (rows[:100], rows[:70], rows[20:], rows):
        job.rows = list(left)
        last = job.run(*SMALL)
        assert_exact(job)

    assert last == first


def test_the_same_photos_give_the_same_index_however_often_they_are_sharded(job: Job):
    job.add_bins(60)
    first = job.run(*SMALL, instances=2)
    before = job.versions("out/shards")

    # The number of instances is no matter where nothing is to be written.
    assert [job.run(*SMALL, instances=n) for n in (1, 2, 3)] == [first] * 3
    assert job.versions("out/shards") == before


def test_a_photo_that_was_replaced_relabelled_or_moved_is_written_again(job: Job):
    job.add_bins(90)
    first = job.run(*SMALL, "--maximum-removed", "0.9")
    replaced, relabelled = job.rows[3]["image_id"], job.rows[5]["image_id"]
    job.rows = [row for row in job.rows if row["image_id"] != replaced]
    job.add(replaced, 1, ["B1"], jpeg(5_000))
    row = next(row for row in job.rows if row["image_id"] == relabelled)
    row["quantity"] = (row["quantity"] + 1) % 3

    job.run(*SMALL, "--maximum-removed", "0.9")

    assert_exact(job)
    assert job.summary.photos.written == 2
    (now,) = (s for split in samples(job.index).values() for s in split if s.image_id == replaced)
    (before,) = (s for split in samples(first).values() for s in split if s.image_id == replaced)
    assert now.jpeg != before.jpeg


def test_a_given_split_that_moves_a_photo_moves_it(job: Job):
    job.add_bins(40)
    place = f"s3://{job.bucket}/split.csv"

    def run(moved: str):
        names = {n: ("train", "validation", "test")[n % 5 if n % 5 < 3 else 0] for n in range(40)}
        lines = [f"{n:05d},{moved if n == 10 else name}" for n, name in names.items()]
        job.s3.put_object(Bucket=job.bucket, Key="split.csv", Body="\n".join(["image_id,split", *lines]).encode())
        return job.run(*SMALL, "--split", "file", "--split-file-location", place)

    run("train")
    second = run("test")

    assert_exact(job)
    assert splits_of(second)["00010"] == "test"
    assert job.summary.photos.written == 1


@pytest.mark.parametrize(
    "flags",
    [("--seed", "2"), ("--test-fraction", "0.2"), ("--split", "random"), ("--compact", "1"), ("--quality", "80")],
)
def test_another_split_or_shape_of_the_photos_begins_other_shards(job: Job, flags: tuple[str, ...]):
    job.add_bins(60)
    job.run(*SMALL)
    before = written(job)

    job.run(*SMALL, *flags)

    assert_exact(job)
    assert job.summary.photos.reused == 0
    assert before.items() <= written(job).items()


def test_a_refused_photo_is_not_read_again_until_it_is_another(job: Job):
    job.add_bins(90)
    broken = [f"broken-{number}" for number in range(4)]
    for number, image_id in enumerate(broken):
        job.add(image_id, 1, [f"X{number}"], jpeg(number)[:-300])
    job.run(*SMALL)
    assert job.summary.rejects == {"truncated": broken}
    # A record settles those before a shard's last photo; to read one now would be another reason.
    records = [
        Record.parse(content, S3Uri("b", "k")) for key, content in job.objects("out/shards").items() if is_record(key)
    ]
    settled = sorted(image_id for record in records for ids in record.rejects.values() for image_id in ids)
    assert settled
    for image_id in broken:
        job.s3.delete_object(Bucket=job.bucket, Key=f"raw/{image_id}.jpg")
    job.add_bins(110)

    job.run(*SMALL)

    rest = sorted(set(broken) - set(settled))
    assert job.summary.rejects == {"truncated": settled} | ({"missing-image": rest} if rest else {})
    job.rows = [row for row in job.rows if row["image_id"] not in broken]
    for number, image_id in enumerate(broken):
        job.add(image_id, 1, [f"X{number}"], jpeg(number))
    job.run(*SMALL)
    assert job.summary.rejects == {}
    assert_exact(job)


def test_a_photo_that_was_missing_is_looked_for_again(job: Job):
    job.add_bins(90)
    row = dict(job.rows[4])
    job.s3.delete_object(Bucket=job.bucket, Key=f"raw/{row['image_key']}")
    job.run(*SMALL)
    assert job.summary.rejects == {"missing-image": [row["image_id"]]}

    job.s3.put_object(Bucket=job.bucket, Key=f"raw/{row['image_key']}", Body=jpeg(int(row["image_id"])))
    job.run(*SMALL)

    assert job.summary.rejects == {}
    assert_exact(job)


def test_the_share_of_rejects_is_that_of_all_photos_not_of_the_new_ones(job: Job):
    job.add_bins(90)
    job.run(*SMALL)
    for number in range(4):
        job.add(f"broken-{number}", 1, [f"X{number}"], jpeg(number)[:-300])

    job.run(*SMALL, "--maximum-rejects", "0.05")

    assert job.summary.rejects == {"truncated": [f"broken-{number}" for number in range(4)]}
    job.add("broken-4", 1, ["X4"], jpeg(4)[:-300])
    with pytest.raises(StepError, match=r"^5 of 95 photos cannot be used so far.*truncated 5"):
        job.run(*SMALL, "--maximum-rejects", "0.05")


def as_run(job: Job, run: int, count: int, patch: pytest.MonkeyPatch, crash: int = 0) -> None:
    """The only instance of the job `run`, from its beginning, with the first `count` labels; killed after `crash`."""
    job.runs = run
    shutil.rmtree(job.folder / f"{run}", ignore_errors=True)
    rows, job.rows = job.rows, job.rows[:count]
    with patch.context() as patched:
        if crash:
            crash_after(crash, patched)
            with pytest.raises(RuntimeError, match="the machine stops here"):
                job.run_instance(0, 1, *SMALL)
        else:
            job.run_instance(0, 1, *SMALL)
    if crash:
        job.rows = rows
    else:
        assert_exact(job)
        job.rows = rows


def test_what_overlapping_jobs_wrote_is_the_same_data_set_again(job: Job, monkeypatch: pytest.MonkeyPatch):
    """While a job shards, another has its photos and ten more; each is killed in between, to take turns."""
    job.add_bins(60)
    job.run(*SMALL)
    job.add_bins(220)
    for run, count, crash in ((5, 210, 45), (6, 220, 35), (5, 210, 30), (6, 220, 35), (5, 210, 0), (6, 220, 0)):
        as_run(job, run, count, monkeypatch, crash)
    index = job.index

    for run in (7, 8):
        as_run(job, run, 220, monkeypatch)
        assert job.summary.photos.written == 0
        assert job.index == index


def test_shards_of_a_job_that_was_broken_off_do_not_take_the_place_of_others(job: Job, monkeypatch):
    job.add_bins(120)
    as_run(job, 5, 120, monkeypatch, crash=20)  # in the first bucket, which has no marker then
    assert not [key for key in job.objects("out/shards") if key.endswith("complete.json")]
    # Planned before the other wrote anything: as if it had listed nothing.
    with monkeypatch.context() as patched:
        patched.setattr("steps.shard.catalog.stored_objects", lambda uri: iter(()))
        as_run(job, 6, 110, patched)
    index = job.index

    as_run(job, 7, 110, monkeypatch)

    assert job.index == index
    assert job.summary.photos.written == 0


def test_a_shard_at_the_limit_of_what_may_be_removed_is_used(job: Job):
    job.add_bins(50)
    shard = job.run("--split", "random", "--image-size", "64").splits["train"].shards[0]
    members = [sample.image_id for sample in samples(job.index)["train"]]
    share = 21 / shard.samples
    job.rows = [row for row in job.rows if row["image_id"] not in members[:21]]
    job.run("--split", "random", "--image-size", "64", "--maximum-removed", f"{share}")
    assert job.index.splits["train"].shards[0].uri == shard.uri


def crash_after(photos: int, patch: pytest.MonkeyPatch) -> None:
    sample_bytes, calls = tar.sample_bytes, itertools.count()

    def crash(*sample):
        if next(calls) == photos:
            raise RuntimeError("the machine stops here")
        return sample_bytes(*sample)

    patch.setattr(tar, "sample_bytes", crash)


def test_a_crash_loses_nothing_even_where_other_photos_came_meanwhile(job: Job, monkeypatch: pytest.MonkeyPatch):
    job.add_bins(120)
    with monkeypatch.context() as patch:
        crash_after(90, patch)
        with pytest.raises(RuntimeError, match="the machine stops here"):
            job.run(*SMALL)
    before = job.versions("out/shards")
    whole = [key for key in before if key.endswith(".tar") and key.replace(".tar", ".parquet") in before]
    assert len(whole) > 3
    job.add_bins(130)

    job.run(*SMALL)

    assert_exact(job)
    uris = {shard.uri.split("/", 3)[3] for split in job.index.splits.values() for shard in split.shards}
    assert set(whole) <= uris
    assert {key: before[key] for key in whole}.items() <= job.versions("out/shards").items()


def test_instances_that_see_other_shards_write_no_photo_twice(job: Job):
    """Another job becomes ready between the first instance's look and the second's."""
    job.add_bins(120)
    plan = job.plan(*SMALL)
    job.runs += 1
    first = job.runs
    job.run_instance(0, 2, *SMALL, plan=plan)
    job.run(*SMALL)  # of the same photos, by itself
    before = written(job)
    assert 0 < job.summary.photos.reused < 120
    later, job.runs = job.runs, first

    job.run_instance(1, 2, *SMALL, plan=plan)

    assert written(job) == before
    assert_exact(job)
    index = job.index
    job.runs = later
    assert_exact(job)
    assert job.index == index


def test_a_shard_that_is_gone_is_written_again(job: Job):
    job.add_bins(60)
    first = job.run(*SMALL)
    shard = first.splits["train"].shards[1]
    job.s3.delete_object(Bucket=job.bucket, Key=shard.uri.split("/", 3)[3])

    job.run(*SMALL)

    assert_exact(job)
    assert job.summary.photos.written == shard.samples


def test_a_tar_in_a_strange_folder_is_named(job: Job):
    job.add_bins(60)
    shard = job.run(*SMALL).splits["train"].shards[0]
    key = shard.uri.split("/", 3)[3]
    strange = key.replace("/train/", "/train-2/")
    for suffix in (".tar", ".parquet"):
        body = job.objects(key.replace(".tar", suffix))[key.replace(".tar", suffix)]
        job.s3.put_object(Bucket=job.bucket, Key=strange.replace(".tar", suffix), Body=body)

    with pytest.raises(StepError, match=r"train-2/train-000000\.tar: shards are in folders named train"):
        job.run(*SMALL)


def test_what_instances_agree_on_is_not_in_the_summary_that_others_load(job: Job):
    job.add_bins(60)
    job.run(*SMALL, instances=2)
    assert not job.objects(f"out/runs/{job.runs}/summary")
    names = {key.rsplit("/", 1)[1] for key in job.objects(f"out/runs/{job.runs}/jobs/job-{job.runs}/")}
    assert names == {"plan.json", "part-000.json", "part-001.json"}


def test_the_last_instance_alone_hands_on(job: Job):
    job.add_bins(120)
    plan = job.plan(*SMALL)
    job.runs += 1
    for instance in (2, 0, 1):
        handed_on = list((job.folder / f"{job.runs}").rglob("hand_over.json"))
        assert handed_on == []
        job.run_instance(instance, 3, *SMALL, plan=plan)

    assert_exact(job)
    markers = [key for key in job.objects("out/shards") if key.endswith(COMPLETE_MARKER)]
    assert {key.split("/")[3] for key in markers} == {bucket.name for bucket in plan.plan.buckets}


def test_an_instance_without_a_bucket_delivers_an_empty_part(job: Job):
    job.add_bins(60)
    job.run(*SMALL, instances=3)

    assert_exact(job)
    assert job.summary.photos.written == 60
