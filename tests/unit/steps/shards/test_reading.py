"""Shards in: what a reader gets, and how damage is told."""

import gc
import hashlib
import io
import tarfile
import threading

import pytest
import webdataset

from steps.contracts.dataset import Shard
from steps.contracts.errors import StepError
from steps.shards import reading as shards
from steps.shards.reading import (
    Mount,
    Sample,
    iterate,
    open_stream,
    read_shard,
    register_webdataset_scheme,
    samples_in,
)
from tests.unit.steps.faulty_s3 import serve

SAMPLES = [Sample(f"{number:05d}", bytes([number]) * (900 + number), number % 6) for number in range(40)]


def tar_of(members: list[tuple[str, bytes]]) -> bytes:
    """A tar as Python's own library writes it (unlike the step under test)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def members_of(samples: list[Sample]) -> list[tuple[str, bytes]]:
    return [
        m for s in samples for m in ((f"{s.image_id}.jpg", s.jpeg), (f"{s.image_id}.cls", str(s.quantity).encode()))
    ]


@pytest.fixture(scope="module")
def put(s3):
    bucket = "shards-under-test"
    s3.create_bucket(Bucket=bucket)

    def put(data: bytes, samples: int = len(SAMPLES), key: str = "train/train-000-000000.tar") -> Shard:
        """Upload `data` and describe it as the index does."""
        s3.put_object(Bucket=bucket, Key=key, Body=data)
        uri = f"s3://{bucket}/{key}"
        return Shard(uri=uri, samples=samples, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    return put


def test_samples_come_as_they_were_written(put):
    assert list(read_shard(put(tar_of(members_of(SAMPLES))))) == SAMPLES


def test_excluded_photos_are_passed_over(put):
    gone = [SAMPLES[0].image_id, SAMPLES[7].image_id, SAMPLES[-1].image_id]
    shard = put(tar_of(members_of(SAMPLES))).model_copy(update={"samples": 37, "excluded": gone})

    assert list(read_shard(shard)) == [sample for sample in SAMPLES if sample.image_id not in gone]


@pytest.mark.parametrize("excluded", [["00001"], ["00001", "no-such-photo"], []])
def test_a_shard_that_holds_other_photos_than_are_excluded_is_named(put, excluded):
    shard = put(tar_of(members_of(SAMPLES))).model_copy(update={"samples": 38, "excluded": excluded})

    with pytest.raises(StepError, match=r"damaged shard: it has 40 samples, in the index 38"):
        list(read_shard(shard))


def test_shards_are_read_one_after_the_other(put):
    first = put(tar_of(members_of(SAMPLES[:10])), 10, "first.tar")
    second = put(tar_of(members_of(SAMPLES[10:])), 30, "second.tar")

    assert list(iterate([first, second])) == SAMPLES


def test_a_shard_that_is_missing_is_named(put):
    shard = put(tar_of(members_of(SAMPLES))).model_copy(update={"uri": put(b"x").uri + ".gone"})

    with pytest.raises(StepError, match=r"^s3://.*\.tar\.gone: the shard does not exist"):
        list(read_shard(shard))


def test_a_truncated_shard_is_named_before_anything_of_it_is_used(put):
    data = tar_of(members_of(SAMPLES))
    whole = put(data)
    put(data[:-512])

    with pytest.raises(StepError, match=rf"^{whole.uri}: damaged shard: it has {len(data) - 512} bytes"):
        next(read_shard(whole))


@pytest.mark.parametrize("place", [600, 512 * 57 + 3, -1])
def test_a_shard_with_one_other_bit_is_named(put, place: int):
    data = bytearray(tar_of(members_of(SAMPLES)))
    whole = put(bytes(data))
    data[place] ^= 1
    put(bytes(data))

    with pytest.raises(StepError, match=rf"^{whole.uri}: damaged shard"):
        list(read_shard(whole))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (members_of(SAMPLES)[:-1], "sample '00039' has no cls"),
        (members_of(SAMPLES)[1:], "member '00001.jpg' does not continue sample '00000'"),
        ([*members_of(SAMPLES), ("notes.txt", b"")], "member 'notes.txt' does not continue"),
        ([("1.jpg", b"x"), ("1.cls", b"-1")], "the count of sample '1' is b'-1'"),
        ([("../1.jpg", b"x"), ("../1.cls", b"1")], "member '../1.jpg' does not continue"),
    ],
)
def test_a_sample_that_is_not_one_photo_with_one_count_is_named(put, members, message: str):
    shard = put(tar_of(members))

    with pytest.raises(StepError) as caught:
        list(read_shard(shard))
    assert str(caught.value).startswith(f"{shard.uri}: damaged shard: {message}")


def test_a_shard_of_fewer_samples_than_the_index_says_is_named(put):
    shard = put(tar_of(members_of(SAMPLES)), samples=41)

    with pytest.raises(StepError, match="it has 40 samples, in the index 41"):
        list(read_shard(shard))


def test_a_member_that_claims_to_be_huge_is_refused_without_an_allocation(put):
    header = tarfile.TarInfo("1.jpg")
    header.size = 7 * 1024**3
    shard = put(header.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))

    with pytest.raises(StepError, match=r"member '1\.jpg' is not a photo or a count"):
        list(read_shard(shard))


@pytest.mark.parametrize("how", ["503", "cut"])
def test_a_stream_survives_requests_that_fail_for_a_while(how: str, monkeypatch: pytest.MonkeyPatch):
    body = tar_of(members_of(SAMPLES))
    shards._store.cache_clear()
    with serve(body, lambda n: how if n < 3 else "", monkeypatch) as s3, open_stream("s3://a-bucket/x.tar") as stream:
        assert stream.read() == body
        assert len(s3.ranges) == 3
    shards._store.cache_clear()


def test_a_reader_that_takes_its_time_keeps_no_response_open(monkeypatch: pytest.MonkeyPatch):
    body = tar_of(members_of(SAMPLES))
    monkeypatch.setattr(shards, "CHUNK_BYTES", 10_000)
    shards._store.cache_clear()
    with serve(body, lambda n: "", monkeypatch) as s3, open_stream("s3://a-bucket/x.tar") as stream:
        assert stream.read() == body
        # Chunk by chunk: the last range is asked for at the end only, however long that takes.
        assert s3.ranges[:2] == ["bytes=0-9999", "bytes=10000-19999"]
        assert len(s3.ranges) == -(-len(body) // 10_000)
    shards._store.cache_clear()


def test_a_denied_shard_is_named(monkeypatch: pytest.MonkeyPatch):
    shards._store.cache_clear()
    with (
        serve(b"", lambda n: "403", monkeypatch),
        open_stream("s3://a-bucket/x.tar") as stream,
        pytest.raises(StepError, match=r"^s3://a-bucket/x.tar: access denied; the job's role needs s3:GetObject"),
    ):
        stream.read()
    shards._store.cache_clear()


def test_webdataset_gets_the_samples_and_is_told_of_damage(put):
    data = tar_of(members_of(SAMPLES))
    shard = put(data)
    register_webdataset_scheme([shard])

    def read() -> list[dict]:
        return list(webdataset.WebDataset([shard.uri], shardshuffle=False))

    assert [(s["__key__"], s["jpg"], int(s["cls"])) for s in read()] == [
        (s.image_id, s.jpeg, s.quantity) for s in SAMPLES
    ]
    put(data[:700] + b"?" + data[701:])
    with pytest.raises(StepError, match=f"{shard.uri}: damaged shard: its SHA-256"):
        read()


def test_the_checksum_is_compared_even_when_the_last_chunk_is_only_half_the_trailer(
    put, monkeypatch: pytest.MonkeyPatch
):
    data = tar_of(members_of(SAMPLES[:1]))[: 4 * 512 + 1024]
    shard = put(data, 1).model_copy(update={"sha256": "0" * 64})
    monkeypatch.setattr(shards, "_open_s3", lambda uri: (len(data), iter([data[:-512], data[-512:]])))

    with open_stream(shard.uri, shard) as stream, pytest.raises(StepError, match="its SHA-256"):
        stream.read(len(data) - 512)


def test_a_reader_that_stops_early_leaves_no_thread_behind(put):
    before = set(threading.enumerate())
    reader = read_shard(put(tar_of(members_of(SAMPLES))))
    next(reader)

    del reader
    gc.collect()
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("shard")]
    for thread in left:
        thread.join(60)

    assert not [thread for thread in left if thread.is_alive()]


def test_shards_are_not_opened_for_writing():
    register_webdataset_scheme()

    with pytest.raises(StepError, match="shards are read"):
        webdataset.gopen("s3://a-bucket/x.tar", "wb")


def test_a_channel_shows_the_shards_below_its_prefix(put, tmp_path):
    data = tar_of(members_of(SAMPLES))
    shard = put(data)
    mount = Mount(shard.uri.removesuffix("/train/train-000-000000.tar"), tmp_path)
    (tmp_path / "train").mkdir()
    place = tmp_path / "train" / "train-000-000000.tar"
    place.write_bytes(data)

    with open_stream(shard.uri, shard, mount) as stream:
        assert list(samples_in(stream, shard)) == SAMPLES

    place.write_bytes(data[:-1])
    with open_stream(shard.uri, shard, mount) as stream, pytest.raises(StepError, match=rf"^{shard.uri}: damaged"):
        stream.read()

    place.unlink()
    with (
        open_stream(shard.uri, shard, mount) as stream,
        pytest.raises(StepError, match=rf"^{shard.uri}: the shard does not exist"),
    ):
        stream.read()


@pytest.mark.parametrize("uri", ["s3://other/train.tar", "s3://bucket/shards/../secret", "s3://bucket/shards"])
def test_what_is_not_below_a_channels_prefix_is_refused(uri: str, tmp_path):
    with pytest.raises(StepError, match="is not below s3://bucket/shards"):
        open_stream(uri, None, Mount("s3://bucket/shards", tmp_path)).read()
