"""Reading shards: photos and counts, streamed from S3 and checked against the dataset index on their way.

A shard is a WebDataset tar: two members per sample, `{image_id}.jpg` and `{image_id}.cls` (the quantity, in decimal).
Nothing is written to disk. obstore repeats failed requests (503, resets) with backoff and continues an interrupted
body; this module checks that the bytes are the ones that the shard step wrote.

A stream must be opened in the process that reads it: obstore does not survive a fork (see `steps.runtime.s3`). A
parent process that has itself read from S3 needs workers that are spawned, not forked.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from steps.contracts.dataset import Shard
from steps.contracts.errors import StepError
from steps.contracts.photo_files import MAX_BYTES
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import open_store, send

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from _typeshed import SupportsRead, WriteableBuffer
    from obstore.store import S3Store

# One chunk is read ahead while its predecessor is decoded: about 400 photos of 256 pixels.
CHUNK_BYTES = 8 * 1024 * 1024
# The first one is small, as its reader waits for it.
FIRST_CHUNK_BYTES = 1024 * 1024
# A run that is just started again has the step's result from the cache.
AGAIN = "python -m pipeline start --fresh ShardImages"
# A step that runs again keeps the shards that exist.
ALL_AGAIN = "to write all of them again set another shard.compact, then: python -m pipeline upsert, start"
# A tar ends in two empty blocks of 512 bytes.
_TRAILER_BYTES = 1024
_MEMBERS = frozenset({"jpg", "cls"})
_END: Buffer = b""
_NO_MEMBER = bytes(tarfile.BLOCKSIZE)
_MAGIC = b"ustar"
_PLAIN_FILE = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True)
class Sample:
    """One photo in its shard: the JPEG's bytes, and the number of objects that it shows."""

    image_id: str
    jpeg: bytes
    quantity: int


@dataclass(frozen=True)
class Mount:
    """A folder with the objects below an S3 prefix: a channel in FastFile or File mode."""

    prefix: str
    folder: Path

    def path(self, uri: str) -> Path:
        """The path of the object at `uri`. Raises StepError when it is not below the prefix."""
        relative = uri.removeprefix(self.prefix.rstrip("/") + "/")
        if relative == uri or ".." in relative.split("/"):
            raise StepError(
                f"{uri} is not below {self.prefix}, the prefix of {self.folder}; to write it again: {AGAIN}"
            )
        return self.folder / relative


def read_shard(shard: Shard) -> Iterator[Sample]:
    """The samples of one shard, in the order in which they were written, while it streams from S3.

    Raises StepError as `samples_in` does, and when the shard is missing or access is denied.
    """
    with open_stream(shard.uri, shard) as stream:
        yield from samples_in(stream, shard)


def samples_in(stream: SupportsRead[bytes], shard: Shard) -> Iterator[Sample]:
    """The samples of one shard from its stream (`open_stream`), in the order in which they were written.

    Photos that the index excludes are skipped. Raises StepError that names the shard when it has another length than in
    the index, is not a tar, or has a sample without its photo or count; and, at its end, when its SHA-256 or its number
    of samples is not the index's. A caller must therefore read to the end before it uses the samples.
    """
    excluded = frozenset(shard.excluded)
    samples = skipped = 0
    for sample in _samples(stream, shard.uri):
        if sample.image_id in excluded:
            skipped += 1
        else:
            samples += 1
            yield sample
    while stream.read(CHUNK_BYTES):
        pass  # bytes behind the tar's end are part of the checksum
    if (samples, skipped) != (shard.samples, len(excluded)):
        without = f" besides {len(excluded)} excluded ones" if excluded or skipped else ""
        raise _damaged(shard.uri, f"it has {samples + skipped} samples, in the index {shard.samples}{without}")


def iterate(shards: Iterable[Shard]) -> Iterator[Sample]:
    """The samples of all `shards`, one shard after the other; raises as `read_shard` does."""
    for shard in shards:
        yield from read_shard(shard)


def open_stream(uri: str, expected: Shard | None = None, mount: Mount | None = None) -> _CheckedStream:
    """A readable stream of the object at `uri`, opened and read one chunk ahead by a thread.

    With `mount` the object is read from that folder. With `expected` its length is checked on opening and its SHA-256
    before the last chunk is returned, so that a reader at the end of the tar has read what was written. Reading raises
    StepError that names the object. Close it, or leave it to the garbage collector.
    """
    return _CheckedStream(uri, expected, mount)


def register_webdataset_scheme(shards: Iterable[Shard] = (), mount: Mount | None = None) -> None:
    """Let WebDataset open `s3://` URLs with `open_stream`; those of `shards` are checked against the index.

    Call it in the reading process: a spawned worker does not inherit it.
    """
    import webdataset  # noqa: F401  # its package replaces the name `webdataset.gopen` by the function of that name

    expected = {shard.uri: shard for shard in shards}

    def gopen(url: str, mode: str = "rb", bufsize: int = 8192, **_: object) -> _CheckedStream:
        del bufsize
        if mode != "rb":
            raise StepError(f"{url}: shards are read, not opened with mode {mode!r}")
        return open_stream(url, expected.get(url), mount)

    sys.modules["webdataset.gopen"].gopen_schemes["s3"] = gopen


class _CheckedStream(io.RawIOBase):
    """An object as a stream. It reads like a buffered one, from the current chunk without a buffer of its own."""

    def __init__(self, uri: str, expected: Shard | None, mount: Mount | None) -> None:
        super().__init__()
        self._uri = uri
        self._expected = expected
        self._digest = hashlib.sha256()
        self._received = 0
        self._chunk = memoryview(b"")
        chunks = _chunks(uri, expected, mount)
        # At its end the interpreter waits for an executor's thread, but not for a daemon thread, and a thread that is
        # stopped inside obstore aborts the process.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="shard")
        self._read_next = partial(self._executor.submit, next, chunks, _END)
        self._next: Future[Buffer] = self._read_next()

    def readable(self) -> bool:
        """True: the stream is read-only."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, fewer only at the end; without a size all remaining bytes."""
        if size is not None and 0 <= size <= len(self._chunk):
            taken, self._chunk = self._chunk[:size], self._chunk[size:]
            return bytes(taken)
        pieces, missing = list[bytes](), sys.maxsize if size is None or size < 0 else size
        while missing and (self._chunk or self._receive()):
            pieces.append(bytes(self._chunk[:missing]))
            self._chunk = self._chunk[missing:]
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` as far as possible. Returns the number of bytes, 0 at the end."""
        target = memoryview(buffer).cast("B")
        content = self.read(len(target))
        target[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Stop reading ahead."""
        if not self.closed:
            self._executor.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _receive(self) -> bool:
        """Take the next chunk, the last one only after comparing the checksum. False at the end."""
        chunk = memoryview(self._next.result())
        if not chunk:
            return False
        self._next = self._read_next()
        self._digest.update(chunk)
        self._received += len(chunk)
        self._chunk = chunk
        if self._expected:
            left = self._expected.bytes - self._received
            if left <= 0 and self._digest.hexdigest() != self._expected.sha256:
                raise _damaged(self._uri, "its SHA-256 is not that of the index")
            # A tar reader may not read the last block of the trailer, and would skip the check.
            if 0 < left < _TRAILER_BYTES:
                self._receive()
                self._chunk = memoryview(b"".join((chunk, self._chunk)))
        return True


def _chunks(uri: str, expected: Shard | None, mount: Mount | None) -> Iterator[Buffer]:
    """The object's bytes from S3 or from the mount. Raises StepError that names it, also for another length."""
    with _naming(uri):
        size, chunks = _open_file(mount.path(uri)) if mount else _open_s3(uri)
        if expected and size != expected.bytes:
            raise _damaged(uri, f"it has {size} bytes, in the index {expected.bytes}")
        yield from chunks


def _open_s3(uri: str) -> tuple[int, Iterator[Buffer]]:
    """One request per chunk; one for the whole object would time out while a training computes between reads."""
    import obstore

    place = S3Uri.parse(uri)
    store = _store(place.bucket, os.getpid())
    end = min(FIRST_CHUNK_BYTES, CHUNK_BYTES)
    first = send(lambda: obstore.get(store, place.key, options={"range": (0, end)}))
    size: int = first.meta["size"]

    def chunks() -> Iterator[Buffer]:
        yield first.bytes()
        for start in range(end, size, CHUNK_BYTES):
            last = min(start + CHUNK_BYTES, size)
            yield send(partial(obstore.get_range, store, place.key, start=start, end=last))

    return size, chunks()


def _open_file(path: Path) -> tuple[int, Iterator[Buffer]]:
    def chunks() -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    return path.stat().st_size, chunks()


@contextmanager
def _naming(uri: str) -> Iterator[None]:
    """Turn obstore's errors into StepErrors that name the object."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as error:
        raise StepError(f"{uri}: the shard does not exist; to write it again: {AGAIN}") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StepError(f"{uri}: access denied; the job's role needs s3:GetObject for it") from error
    except OSError as error:
        raise StepError(f"{uri}: reading it failed: {error.strerror or error}") from error
    except BaseError as error:
        reason = str(error).partition("\n")[0]
        raise StepError(f"{uri}: reading it failed, with all retries: {reason}") from error


@lru_cache(maxsize=16)
def _store(bucket: str, process: int) -> S3Store:
    """One store, with its connections, per bucket and process."""
    del process
    return open_store(bucket)


def _samples(stream: SupportsRead[bytes], uri: str) -> Iterator[Sample]:
    """Pairs of consecutive members as samples."""
    image_id, parts = "", dict[str, bytes]()
    for member, content in _members(stream, uri):
        name, _, kind = member.partition(".")
        if kind not in _MEMBERS or kind in parts or (parts and name != image_id):
            raise _damaged(uri, f"member {member!r} does not continue sample {image_id!r}")
        image_id, parts[kind] = name, content
        if len(parts) == len(_MEMBERS):
            if not parts["cls"].isdigit():
                raise _damaged(uri, f"the count of sample {image_id!r} is {parts['cls'][:20]!r}")
            yield Sample(image_id, parts["jpg"], int(parts["cls"]))
            parts = {}
    if parts:
        raise _damaged(uri, f"sample {image_id!r} has no {', '.join(_MEMBERS - set(parts))}")


def _members(stream: SupportsRead[bytes], uri: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member, up to the tar's end.

    The shard step writes plain files with short names, so that a member has a single header. tarfile's own streaming
    reader, which supports all kinds of members, takes five times as long, and every epoch reads every shard.
    """
    while (header := stream.read(tarfile.BLOCKSIZE)) != _NO_MEMBER:
        name, size = _parse_header(header, uri)
        content = stream.read(size + -size % tarfile.BLOCKSIZE)
        if len(content) < size or len(content) % tarfile.BLOCKSIZE:
            raise _damaged(uri, f"it ends within member {name!r}")
        yield name, content[:size]


def _parse_header(header: bytes, uri: str) -> tuple[str, int]:
    """Name and size of a plain file (POSIX ustar header: name at 0, size at 124, type at 156, magic at 257).

    The header's own checksum is not compared, as the shard's covers it.
    """
    if len(header) != tarfile.BLOCKSIZE or header[257:262] != _MAGIC:
        raise _damaged(uri, "it is not a complete tar")
    try:
        name, size = header[: header.index(0)].decode("ascii"), int(header[124:135], 8)
    except ValueError as error:
        raise _damaged(uri, f"it is not a complete tar ({error})") from error
    # A damaged size must not cause an allocation.
    if header[156:157] not in _PLAIN_FILE or not 0 <= size <= MAX_BYTES:
        raise _damaged(uri, f"member {name!r} is not a photo or a count")
    return name, size


def _damaged(uri: str, what: str) -> StepError:
    return StepError(f"{uri}: damaged shard: {what}; remove it, and write it again: {AGAIN}")
