"""Shards in: photos and their counts, streamed from S3 and checked against the dataset index while they pass.

A shard is a WebDataset tar: two members a sample, `{image_id}.jpg` and `{image_id}.cls` (the quantity, in decimal).
Nothing is written to disk. obstore repeats requests that fail (503, resets) with backoff and resumes a body that
breaks off where it broke; what is left to check here is that the bytes are the ones that the shard step wrote.

A stream must be opened in the process that reads it: obstore does not survive a fork (see `steps.runtime.s3`). A
parent process that has itself read from S3 needs workers that are spawned, not forked.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from steps.contracts.dataset import Shard
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import MAX_BYTES
from steps.runtime.s3 import open_store

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from _typeshed import SupportsRead, WriteableBuffer
    from obstore.store import S3Store

# One chunk is read ahead while its predecessor is decoded: about 400 photos of 256 pixels.
CHUNK_BYTES = 8 * 1024 * 1024
# The first one is small: somebody waits for it.
FIRST_CHUNK_BYTES = 1024 * 1024
# Without another version the step, and in later runs too, comes from the cache.
AGAIN = "set another shard.version in pipeline.yaml, then: python -m pipeline upsert, start"
# A tar ends in two empty blocks of 512 bytes.
_TRAILER_BYTES = 1024
_MEMBERS = frozenset({"jpg", "cls"})
_END: Buffer = b""
_NO_MEMBER = bytes(tarfile.BLOCKSIZE)
_MAGIC = b"ustar"
_PLAIN_FILE = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True)
class Sample:
    """One photo as it lies in its shard: the JPEG's bytes, and how many objects it shows."""

    image_id: str
    jpeg: bytes
    quantity: int


@dataclass(frozen=True)
class Mount:
    """A folder that shows what lies below an S3 prefix: a channel in FastFile or File mode."""

    prefix: str
    folder: Path

    def path(self, uri: str) -> Path:
        """Where the object at `uri` is. Raises StepError when it is not below the prefix."""
        relative = uri.removeprefix(self.prefix.rstrip("/") + "/")
        if relative == uri or ".." in relative.split("/"):
            raise StepError(f"{uri} is not below {self.prefix}, which {self.folder} shows; to write it again: {AGAIN}")
        return self.folder / relative


def read_shard(shard: Shard) -> Iterator[Sample]:
    """The samples of one shard, in the order in which they were written, while it streams from S3.

    Raises StepError as `samples_in` does, and when it is missing or may not be read.
    """
    with open_stream(shard.uri, shard) as stream:
        yield from samples_in(stream, shard)


def samples_in(stream: SupportsRead[bytes], shard: Shard) -> Iterator[Sample]:
    """The samples of one shard from its stream (`open_stream`), in the order in which they were written.

    Photos that the index excludes are passed over. Raises StepError that names the shard when it is not as long as the
    index says, is not a tar, or has a sample without its photo or count; and, once all of it has passed, when its
    SHA-256 or its number of samples is not the index's. A caller must therefore read to the end before it trusts what
    it read.
    """
    excluded = frozenset(shard.excluded)
    samples = passed_over = 0
    for sample in _samples(stream, shard.uri):
        if sample.image_id in excluded:
            passed_over += 1
        else:
            samples += 1
            yield sample
    while stream.read(CHUNK_BYTES):
        pass  # what follows the tar's end belongs to the checksum
    if (samples, passed_over) != (shard.samples, len(excluded)):
        without = f" besides {len(excluded)} that it excludes" if excluded or passed_over else ""
        raise _damaged(shard.uri, f"it has {samples + passed_over} samples, the index says {shard.samples}{without}")


def iterate(shards: Iterable[Shard]) -> Iterator[Sample]:
    """The samples of all `shards`, one shard after the other; raises as `read_shard` does."""
    for shard in shards:
        yield from read_shard(shard)


def open_stream(uri: str, expected: Shard | None = None, mount: Mount | None = None) -> _CheckedStream:
    """A readable stream over the object at `uri`, opened and read one chunk ahead by a thread.

    With `mount` the object is read from there. With `expected` its length is checked on opening and its SHA-256 before
    the last chunk is handed out, so that a reader who comes to the end of the tar has read what was written. Reading
    raises StepError that names the object. Close it, or leave it to the garbage collector.
    """
    return _CheckedStream(uri, expected, mount)


def register_webdataset_scheme(shards: Iterable[Shard] = (), mount: Mount | None = None) -> None:
    """Let WebDataset open `s3://` URLs with `open_stream`; those of `shards` are checked against the index.

    Call it in the process that reads: a spawned worker does not inherit it.
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
    """An object as a stream. It reads as a buffered one does, from the chunk at hand without a buffer of its own."""

    def __init__(self, uri: str, expected: Shard | None, mount: Mount | None) -> None:
        super().__init__()
        self._uri = uri
        self._expected = expected
        self._digest = hashlib.sha256()
        self._received = 0
        self._chunk = memoryview(b"")
        chunks = _chunks(uri, expected, mount)
        # An executor's thread, unlike a daemon thread, is waited for when the interpreter ends: a thread that is
        # stopped inside obstore aborts the process.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="shard")
        self._read_next = functools.partial(self._executor.submit, next, chunks, _END)
        self._next: Future[Buffer] = self._read_next()

    def readable(self) -> bool:
        """True: a stream that is read only."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, fewer at the end only; all that is left without a size."""
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
        """Fill `buffer` as far as it goes; 0 at the end."""
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
        """Take the next chunk; the end of the tar only once the checksum was compared. False at the end."""
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
                raise _damaged(self._uri, "its SHA-256 is not the index's")
            # A tar reader may leave the last block of the trailer unread, and with it the check.
            if 0 < left < _TRAILER_BYTES:
                self._receive()
                self._chunk = memoryview(b"".join((chunk, self._chunk)))
        return True


def _chunks(uri: str, expected: Shard | None, mount: Mount | None) -> Iterator[Buffer]:
    """The object's bytes from S3, or from where it is mounted. Raises StepError that names it, also on its length."""
    with _naming(uri):
        size, chunks = _open_file(mount.path(uri)) if mount else _open_s3(uri)
        if expected and size != expected.bytes:
            raise _damaged(uri, f"it has {size} bytes, the index says {expected.bytes}")
        yield from chunks


def _open_s3(uri: str) -> tuple[int, Iterator[Buffer]]:
    """A request a chunk. One response for the whole object would time out while a training computes between reads."""
    import obstore

    place = S3Uri.parse(uri)
    store = _store(place.bucket, os.getpid())
    end = min(FIRST_CHUNK_BYTES, CHUNK_BYTES)
    first = obstore.get(store, place.key, options={"range": (0, end)})
    size: int = first.meta["size"]

    def chunks() -> Iterator[Buffer]:
        yield first.bytes()
        for start in range(end, size, CHUNK_BYTES):
            yield obstore.get_range(store, place.key, start=start, end=min(start + CHUNK_BYTES, size))

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
        raise StepError(f"{uri}: there is no such shard; to write it again: {AGAIN}") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StepError(f"{uri}: access denied; the job's role needs s3:GetObject there") from error
    except OSError as error:
        raise StepError(f"{uri}: reading it failed: {error.strerror or error}") from error
    except BaseError as error:
        reason = str(error).partition("\n")[0]
        raise StepError(f"{uri}: reading it failed, with all retries: {reason}") from error


@lru_cache(maxsize=16)
def _store(bucket: str, process: int) -> S3Store:
    """One store, and its connections, a bucket and process."""
    del process
    return open_store(bucket)


def _samples(stream: SupportsRead[bytes], uri: str) -> Iterator[Sample]:
    """Pairs of members that follow each other, as samples."""
    image_id, parts = "", dict[str, bytes]()
    for member, content in _members(stream, uri):
        name, _, kind = member.partition(".")
        if kind not in _MEMBERS or kind in parts or (parts and name != image_id):
            raise _damaged(uri, f"member {member!r} does not follow on sample {image_id!r}")
        image_id, parts[kind] = name, content
        if len(parts) == len(_MEMBERS):
            yield Sample(image_id, parts["jpg"], _quantity(parts["cls"], image_id, uri))
            parts = {}
    if parts:
        raise _damaged(uri, f"sample {image_id!r} has no {', '.join(_MEMBERS - set(parts))}")


def _members(stream: SupportsRead[bytes], uri: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member, up to the tar's end.

    The shard step writes plain files with short names, so a header is all there is to a member. tarfile's own
    streaming reader, made for all that tars may hold, takes five times as long, and every epoch reads every shard.
    """
    while (header := stream.read(tarfile.BLOCKSIZE)) != _NO_MEMBER:
        name, size = _parse_header(header, uri)
        content = stream.read(size + -size % tarfile.BLOCKSIZE)
        if len(content) < size or len(content) % tarfile.BLOCKSIZE:
            raise _damaged(uri, f"it ends within member {name!r}")
        yield name, content[:size]


def _parse_header(header: bytes, uri: str) -> tuple[str, int]:
    """Name and size of a plain file (POSIX ustar header: name at 0, size at 124, type at 156, magic at 257).

    The header's own checksum is left to the shard's, which covers all of it.
    """
    if len(header) != tarfile.BLOCKSIZE or header[257:262] != _MAGIC:
        raise _damaged(uri, "it is not a whole tar")
    try:
        name, size = header[: header.index(0)].decode("ascii"), int(header[124:135], 8)
    except ValueError as error:
        raise _damaged(uri, f"it is not a whole tar ({error})") from error
    # A damaged size must not become an allocation.
    if header[156:157] not in _PLAIN_FILE or not 0 <= size <= MAX_BYTES:
        raise _damaged(uri, f"member {name!r} is not a photo or a count")
    return name, size


def _quantity(text: bytes, image_id: str, uri: str) -> int:
    if not text.isdigit():
        raise _damaged(uri, f"the count of sample {image_id!r} is {text[:20]!r}")
    return int(text)


def _damaged(uri: str, what: str) -> StepError:
    return StepError(f"{uri}: damaged shard: {what}; remove it, and write it again: {AGAIN}")
