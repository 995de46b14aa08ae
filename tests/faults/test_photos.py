"""Photos that are not what they should be: what the shard step makes of them, and what it says."""

from __future__ import annotations

import io
import struct
import tracemalloc

import pytest
from PIL import Image

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.photos.jpeg import MAX_SCANS
from steps.shards.reading import iterate
from tests.unit.steps import bombs
from tests.unit.steps.shard.conftest import Job, jpeg, splits_of

SIZES = pytest.mark.parametrize("size", ["0", "64"])


def picture(mode: str, orientation: int = 1) -> bytes:
    """A photo of 120 x 90 pixels in another colour space, or lying on its side."""
    image = Image.open(io.BytesIO(jpeg(1))).convert(mode)
    exif = image.getexif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def bomb(side: int = 60_000) -> bytes:
    """A small file whose header claims `side` x `side` pixels: 10.8 GB of them."""
    data = bytearray(jpeg(1))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", side, side)
    return bytes(data)


@SIZES
def test_photos_that_cannot_be_used_are_counted_by_reason_with_their_ids(job: Job, size: str):
    job.add_bins(60)
    job.add("truncated", 1, ["X1"], jpeg(1)[:-300])
    job.add("a-bomb", 1, ["X2"], bomb())
    job.add("a-bomb-of-scans", 1, ["X8"], bombs.scans(MAX_SCANS + 1))
    job.add("a-png", 1, ["X3"], b"\x89PNG" + bytes(100))
    job.add("empty", 1, ["X4"], b"")
    job.add("missing", 1, ["X5"], None)
    job.add("../../etc/passwd", 1, ["X6"], None)
    job.add("a.b", 1, ["X7"], None)

    index = job.run("--maximum-rejects", "0.2", "--image-size", size)

    assert job.summary.rejects == {
        "missing-image": ["missing"],
        "not-jpeg": ["a-png", "empty"],
        "too-large": ["a-bomb", "a-bomb-of-scans"],
        "truncated": ["truncated"],
        "unsafe-id": ["../../etc/passwd", "a.b"],
    }
    assert splits_of(index).keys() == {row["image_id"] for row in job.rows[:60]}


def test_a_photo_damaged_in_the_middle_is_found_when_it_is_resized(job: Job):
    job.add_bins(60)
    job.add("damaged", 1, ["X"], jpeg(2)[:700] + bytes(100) + jpeg(2)[800:])

    job.run("--image-size", "64")
    assert job.summary.rejects == {"undecodable": ["damaged"]}


def test_a_bomb_costs_no_memory(job: Job):
    job.add_bins(30)
    job.add("a-bomb", 1, ["X"], bomb())
    tracemalloc.start()
    try:
        job.run("--maximum-rejects", "0.2")
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_grey_cmyk_and_lying_photos_are_upright_colour_photos_afterwards(job: Job):
    job.add_bins(60)
    for image_id, content in {"grey": picture("L"), "cmyk": picture("CMYK"), "lying": picture("RGB", 6)}.items():
        job.add(image_id, 1, [image_id], content)

    index = job.run("--image-size", "64")

    read = {s.image_id: Image.open(io.BytesIO(s.jpeg)) for split in SPLITS for s in iterate(index.splits[split].shards)}
    assert {read[name].mode for name in ("grey", "cmyk", "lying")} == {"RGB"}
    assert (read["grey"].size, read["cmyk"].size, read["lying"].size) == ((85, 64), (85, 64), (64, 85))


def test_ids_that_are_one_number_stay_two_photos(job: Job):
    job.add_bins(30)
    job.add("1", 1, ["X"], jpeg(50))
    job.add("01", 2, ["Y"], jpeg(51))

    index = job.run("--image-size", "0")

    read = {s.image_id: s for split in SPLITS for s in iterate(index.splits[split].shards)}
    assert (read["1"].quantity, read["1"].jpeg) == (1, jpeg(50))
    assert (read["01"].quantity, read["01"].jpeg) == (2, jpeg(51))
    assert read["00001"].jpeg == jpeg(1)


def test_an_id_that_comes_twice_is_refused(job: Job):
    job.add_bins(30)
    job.rows.append(next(row for row in job.rows if row["image_id"] == "00007"))

    with pytest.raises(StepError, match="the image id '00007' occurs twice"):
        job.run()


def test_a_photo_that_was_replaced_after_it_was_labelled_is_refused(job: Job):
    job.add_bins(60)
    job.s3.put_object(Bucket=job.bucket, Key="raw/00007.jpg", Body=jpeg(99))

    job.run()
    assert job.summary.rejects == {"replaced": ["00007"]}


def test_more_rejects_than_allowed_fail_and_name_the_reasons_and_leave_no_half_shard(job: Job):
    job.add_bins(60)
    for number in range(5):
        job.add(f"gone-{number}", 1, [f"X{number}"], None)
        job.add(f"half-{number}", 1, [f"Y{number}"], jpeg(number)[:-300])

    with pytest.raises(StepError, match=r"4 of 70 photos .* --maximum-rejects: .*(missing-image|truncated) [1-4] \("):
        job.run("--maximum-rejects", "0.05")
    assert job.objects("out/shards") == {}


def test_a_bin_between_two_splits_is_set_aside_and_counted(job: Job):
    job.add_bins(60)
    first = job.run()
    bins = {split: next(i for i, s in splits_of(first).items() if s == split and job.items(i)) for split in SPLITS}
    job.add("between", 2, [*job.items(bins["train"]), *job.items(bins["test"])], jpeg(1))

    second = job.run()

    assert job.summary.rejects == {"between-two-splits": ["between"]}
    assert splits_of(second) == splits_of(first)


def test_an_empty_split_fails(job: Job):
    job.add("1", 1, ["A"], None)
    job.add("2", 2, ["B"], None)

    with pytest.raises(StepError, match="no photo is in the validation split"):
        job.run()


def test_one_class_only_fails(job: Job):
    for number in range(20):
        job.add(f"{number}", 4, [f"B{number}"], None)

    with pytest.raises(StepError, match="all 20 photos show 4 objects; a model needs two quantities"):
        job.run()


def test_a_class_that_loses_all_its_training_photos_fails(job: Job):
    """The plan had them; then they could not be read. No weight is infinite, no class is silently gone."""
    job.add_bins(60)
    job.add("rare-1", 9, ["X"], None)
    job.add("rare-2", 9, ["Y"], jpeg(99))
    job.add("rare-3", 9, ["Z"], jpeg(98))

    with pytest.raises(StepError, match="quantity 9 occurs in the validation split but not in training"):
        job.run("--maximum-rejects", "0.5")
