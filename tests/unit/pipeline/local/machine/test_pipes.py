"""Kind: a channel that is requested as a stream and arrives as files, or in another order, form or number."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.machine import streams
from pipeline.local.machine.pipes import Pipe
from pipeline.local.machine.transfer import Source

MAGIC = 0xCED7230A


class Body(io.BytesIO):
    """An S3 object's body."""

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while part := self.read(min(size, 5)):
            yield part


class Objects:
    """Stands for an S3 client: objects by their keys."""

    def __init__(self, **objects: bytes) -> None:
        self._objects = objects

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": Body(self._objects[Key])}

    @property
    def sources(self) -> list[Source]:
        return [Source("bucket", key, key) for key in self._objects]


def content(channel: dict[str, Any], objects: Objects, epoch: int = 0) -> bytes:
    return b"".join(streams.of(channel, objects, objects.sources)(epoch))


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A function that starts a pipe with the stream. Returns its path without the epoch."""
    started = []

    def start(stream: Callable[[int], Iterator[bytes]]) -> Path:
        started.append(Pipe(tmp_path / "data" / "train", stream))
        started[-1].start()
        return tmp_path / "data" / "train"

    yield start
    for pipe in started:
        pipe.stop()


def read(path: Path, epoch: int) -> bytes:
    return path.with_name(f"{path.name}_{epoch}").read_bytes()


def test_each_epoch_has_a_pipe_with_all_objects_in_their_order(pipe: Callable[..., Path]) -> None:
    objects = Objects(a=b"a" * 100_000, b=b"b", c=b"")
    path = pipe(streams.of({}, objects, objects.sources))
    assert stat.S_ISFIFO(path.with_name("train_0").stat().st_mode)
    assert [read(path, epoch) for epoch in range(3)] == [b"a" * 100_000 + b"b"] * 3


def test_a_reader_that_leaves_early_gets_the_next_epoch_from_its_begin(pipe: Callable[..., Path]) -> None:
    path = pipe(lambda epoch: iter([f"{epoch}:".encode(), bytes(1 << 20)]))
    with path.with_name("train_0").open("rb") as stream:
        assert stream.read(2) == b"0:"
    assert read(path, 1)[:2] == b"1:"


def test_a_pipe_that_nobody_reads_ends_with_the_job(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path / "train", lambda _: iter([b"x"]))
    pipe.start()
    pipe.stop()
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "pipe train"]


def test_an_object_that_cannot_be_read_is_the_pipes_error(tmp_path: Path) -> None:
    objects = Objects(a=b"no gzip")
    pipe = Pipe(tmp_path / "train", streams.of({"CompressionType": "Gzip"}, objects, objects.sources))
    pipe.start()
    assert read(tmp_path / "train", 0) == b""
    pipe.stop()
    assert "s3://bucket/a is not gzip" in str(pipe.error)


def test_compressed_objects_are_decompressed() -> None:
    objects = Objects(a=gzip.compress(b"one") + gzip.compress(b"more"), b=gzip.compress(b"two" * 1000))
    assert content({"CompressionType": "Gzip"}, objects) == b"onemore" + b"two" * 1000
    with pytest.raises(ValueError, match="s3://bucket/a ends within its gzip data"):
        content({"CompressionType": "Gzip"}, Objects(a=gzip.compress(b"one" * 100)[:-9]))


def test_a_shuffled_channel_has_an_order_per_epoch_by_its_seed() -> None:
    objects = Objects(**{letter: letter.encode() for letter in "abcdefghij"})
    orders = [content({"ShuffleConfig": {"Seed": seed}}, objects, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert len({b"abcdefghij", *orders}) == 5
    assert all(sorted(order) == sorted(b"abcdefghij") for order in orders)
    assert content({"ShuffleConfig": {"Seed": 1}}, objects, 0) == orders[0]


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (b"", [0]),
        (b"abc", [0]),
        (b"abcd", [0]),
        (b"abcd" + struct.pack("<I", MAGIC) + b"efg", [1, 3]),
        (b"abc" + struct.pack("<I", MAGIC) + b"efg", [0]),  # not at a multiple of four: no reader stops there
        (struct.pack("<I", MAGIC) * 3, [1, 2, 2, 3]),
    ],
)
def test_a_record_is_read_again_as_it_was(data: bytes, kinds: list[int]) -> None:
    wrapped = content({"RecordWrapperType": "RecordIO"}, Objects(a=data))
    pieces, seen, position = [], [], 0
    while position < len(wrapped):
        magic, head = struct.unpack_from("<II", wrapped, position)
        assert magic == MAGIC
        seen.append(head >> 29)
        size = head & ((1 << 29) - 1)
        pieces.append(wrapped[position + 8 : position + 8 + size])
        position += 8 + size + -size % 4
    assert seen == kinds
    assert struct.pack("<I", MAGIC).join(pieces) == data
